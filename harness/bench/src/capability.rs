//! What a bench offers and a test case needs: one vocabulary for both.

use std::{fmt, str::FromStr};

use strum::{EnumDiscriminants, EnumString, IntoStaticStr, VariantArray};

use crate::inventory::{SwitchConfig, Wiring};

/// Something that a bench, a product's driver or a device offers, and that a test case can need. In scripts and
/// `devices.toml` it is a word: `probe`, `press.reset`, `dut.auth_mechanisms`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EnumDiscriminants)]
#[strum_discriminants(
    name(Kind),
    vis(),
    derive(EnumString, IntoStaticStr, VariantArray),
    strum(serialize_all = "snake_case")
)]
pub enum Capability {
    /// A debug probe.
    Probe,
    /// A serial console.
    Console,
    /// A power switch.
    Power,
    /// A power switch that cuts at the N-th write to a memory region.
    #[strum_discriminants(strum(serialize = "power.cut_at_write"))]
    PowerCutAtWrite,
    /// The supply measures current.
    #[strum_discriminants(strum(serialize = "power.current"))]
    PowerCurrent,
    /// The DUT's network, in the bench's hands.
    Net,
    /// The services around the DUT.
    Services,
    /// The product knows that service of the target's by some name of a host: `mqtt`, `update`.
    Service(String),
    /// An actuator at the button of that name.
    Press(String),
    /// Another device of the same target with a label.
    Siblings,
    /// Something that brings the device's own firmware back: a debug probe that programs it, or the product's driver.
    Reimage,
    /// The device can be made that sample, `engineering` or `production`, or is taken as it is: nobody can.
    Sample(String),
    /// A function of the product's driver.
    Dut(String),
    /// An image of the device's image set.
    Image(String),
}

/// Samples that a device can be made.
const SAMPLES: [&str; 2] = ["engineering", "production"];

impl Capability {
    /// Every word; `NAME` and the like stand for a name.
    pub fn words() -> impl Iterator<Item = String> {
        let name = |kind: &Kind| match kind {
            Kind::Service | Kind::Press | Kind::Image | Kind::Sample => ".NAME",
            Kind::Dut => ".FUNCTION",
            _ => "",
        };
        let kinds = Kind::VARIANTS.iter();
        kinds.map(move |kind| format!("{}{}", <&str>::from(kind), name(kind)))
    }

    /// What equipment that is wired so offers a device. A network is of use if the target `has_network`.
    pub fn of_wiring(wiring: &Wiring, has_network: bool) -> impl Iterator<Item = Self> {
        let power = wiring.power.as_ref();
        let is = |ability: fn(&SwitchConfig) -> bool| power.is_some_and(ability);
        let has_net = wiring.network.is_some() && has_network;
        let single = [
            (wiring.probe.is_some(), Self::Probe),
            (wiring.console.is_some(), Self::Console),
            (power.is_some(), Self::Power),
            (is(SwitchConfig::can_cut_at_write), Self::PowerCutAtWrite),
            (is(SwitchConfig::can_measure), Self::PowerCurrent),
            (has_net, Self::Net),
            (has_net, Self::Services),
        ];
        let single = single
            .into_iter()
            .filter_map(|(has, word)| has.then_some(word));
        let buttons = wiring.actuators.keys().cloned().map(Self::Press);
        single.chain(buttons)
    }

    /// Whether it is wired to a device, rather than something of its product or of the bench around it.
    pub fn is_of_equipment(&self) -> bool {
        matches!(
            self,
            Self::Probe
                | Self::Console
                | Self::Power
                | Self::PowerCutAtWrite
                | Self::PowerCurrent
                | Self::Net
                | Self::Press(_)
        )
    }

    /// The name in a word that has one: the button's, the function's.
    fn name(&self) -> Option<&str> {
        match self {
            Self::Service(name)
            | Self::Press(name)
            | Self::Sample(name)
            | Self::Dut(name)
            | Self::Image(name) => Some(name),
            _ => None,
        }
    }

    /// `None` if that is no name for one of that kind, or it takes none.
    fn named(kind: Kind, name: &str) -> Option<Self> {
        let make = match kind {
            Kind::Service => Self::Service,
            Kind::Sample if SAMPLES.contains(&name) => Self::Sample,
            Kind::Press => Self::Press,
            Kind::Dut => Self::Dut,
            Kind::Image => Self::Image,
            _ => return None,
        };
        is_name(name).then(|| make(name.to_owned()))
    }
}

/// A word that is no [`Capability`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown need \"{0}\"; known are {known}", known = Capability::words().collect::<Vec<_>>().join(", "))]
pub struct UnknownCapability(String);

impl FromStr for Capability {
    type Err = UnknownCapability;

    fn from_str(word: &str) -> Result<Self, UnknownCapability> {
        let of_word = |word: &str| Kind::from_str(word).ok();
        let named = || {
            let (kind, name) = word.split_once('.')?;
            Self::named(of_word(kind)?, name)
        };
        let capability = match of_word(word) {
            Some(Kind::Probe) => Some(Self::Probe),
            Some(Kind::Console) => Some(Self::Console),
            Some(Kind::Power) => Some(Self::Power),
            Some(Kind::PowerCutAtWrite) => Some(Self::PowerCutAtWrite),
            Some(Kind::PowerCurrent) => Some(Self::PowerCurrent),
            Some(Kind::Net) => Some(Self::Net),
            Some(Kind::Services) => Some(Self::Services),
            Some(Kind::Siblings) => Some(Self::Siblings),
            Some(Kind::Reimage) => Some(Self::Reimage),
            // Words that take a name and have none.
            Some(Kind::Service | Kind::Press | Kind::Sample | Kind::Dut | Kind::Image) => None,
            None => named(),
        };
        capability.ok_or_else(|| UnknownCapability(word.to_owned()))
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = <&str>::from(Kind::from(self));
        match self.name() {
            Some(name) => write!(f, "{kind}.{name}"),
            None => f.write_str(kind),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("probe")]
    #[case("console")]
    #[case("power")]
    #[case("power.cut_at_write")]
    #[case("power.current")]
    #[case("net")]
    #[case("services")]
    #[case("press.reset")]
    #[case("service.mqtt")]
    #[case("siblings")]
    #[case("reimage")]
    #[case("sample.production")]
    #[case("dut.auth_mechanisms")]
    #[case("image.wrong-key")]
    fn words_keep_their_text(#[case] word: &str) {
        assert_eq!(word.parse::<Capability>().unwrap().to_string(), word);
    }

    #[rstest]
    #[case("prob")]
    #[case("")]
    #[case("dut.")]
    #[case("press")]
    #[case("power.cut")]
    #[case("probe.reset")]
    #[case("dut.a b")]
    #[case("service.")]
    #[case("sample.any")]
    fn other_words_are_refused(#[case] word: &str) {
        let error = word.parse::<Capability>().unwrap_err().to_string();
        assert!(error.contains("known are probe"), "{error}");
    }

    #[test]
    fn words_with_a_name_say_so() {
        let words: Vec<String> = Capability::words().collect();
        for word in ["probe", "press.NAME", "service.NAME", "dut.FUNCTION"] {
            assert!(words.contains(&word.to_owned()), "{words:?}");
        }
    }
}
