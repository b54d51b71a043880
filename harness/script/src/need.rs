//! What a test case needs of bench, product and device, and whether that is on offer.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use provebench_bench::inventory::Device;

/// One thing that a test case needs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Need {
    /// A debug probe.
    Probe,
    /// A serial console.
    Console,
    /// A power switch.
    Power,
    /// A power switch that cuts at the N-th write to a memory region.
    PowerCutAtWrite,
    /// The supply measures current.
    PowerCurrent,
    /// The DUT's network, in the bench's hands.
    Net,
    /// The services around the DUT.
    Services,
    /// An actuator at the button of that name.
    Press(String),
    /// The product knows that service by a name: `mqtt`, `update`.
    Service(String),
    /// Another device of the same target with a label.
    Siblings,
    /// A function of the product's driver.
    Dut(String),
    /// An image of the device's image set.
    Image(String),
    /// Something that brings the device's own firmware back: a debug probe that programs it, or the product's driver.
    Reimage,
}

/// Every need, as written in scripts; `NAME` stands for a name.
pub(super) const WORDS: [&str; 13] = [
    "probe",
    "console",
    "power",
    "power.cut_at_write",
    "power.current",
    "net",
    "services",
    "service.NAME",
    "press.NAME",
    "siblings",
    "reimage",
    "dut.FUNCTION",
    "image.NAME",
];

/// Services that a product may know a name of, or not.
const NAMED_SERVICES: [&str; 2] = ["mqtt", "update"];

/// A word that is no [`Need`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown need \"{0}\"; known are {known}", known = WORDS.join(", "))]
pub struct UnknownNeed(String);

impl FromStr for Need {
    type Err = UnknownNeed;

    fn from_str(word: &str) -> Result<Self, UnknownNeed> {
        let named = word
            .split_once('.')
            .filter(|(_, name)| is_name(name))
            .map(|(kind, name)| (kind, name.to_owned()));
        match (word, named) {
            ("probe", _) => Ok(Self::Probe),
            ("console", _) => Ok(Self::Console),
            ("power", _) => Ok(Self::Power),
            ("power.cut_at_write", _) => Ok(Self::PowerCutAtWrite),
            ("power.current", _) => Ok(Self::PowerCurrent),
            ("net", _) => Ok(Self::Net),
            ("services", _) => Ok(Self::Services),
            ("siblings", _) => Ok(Self::Siblings),
            ("reimage", _) => Ok(Self::Reimage),
            (_, Some(("service", name))) if NAMED_SERVICES.contains(&&*name) => {
                Ok(Self::Service(name))
            }
            (_, Some(("press", name))) => Ok(Self::Press(name)),
            (_, Some(("dut", name))) => Ok(Self::Dut(name)),
            (_, Some(("image", name))) => Ok(Self::Image(name)),
            _ => Err(UnknownNeed(word.to_owned())),
        }
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Probe => f.write_str("probe"),
            Self::Console => f.write_str("console"),
            Self::Power => f.write_str("power"),
            Self::PowerCutAtWrite => f.write_str("power.cut_at_write"),
            Self::PowerCurrent => f.write_str("power.current"),
            Self::Press(name) => write!(f, "press.{name}"),
            Self::Net => f.write_str("net"),
            Self::Services => f.write_str("services"),
            Self::Service(name) => write!(f, "service.{name}"),
            Self::Siblings => f.write_str("siblings"),
            Self::Reimage => f.write_str("reimage"),
            Self::Dut(name) => write!(f, "dut.{name}"),
            Self::Image(name) => write!(f, "image.{name}"),
        }
    }
}

/// What bench, driver and device together offer to a test case.
#[derive(Clone, Debug, Default)]
pub struct Offer {
    /// Words of the bench: `probe`, `console`, `power`, `power.cut_at_write`, `press.reset`.
    pub capabilities: BTreeSet<String>,
    /// Functions of the product's driver.
    pub functions: BTreeSet<String>,
    /// Images of the device's image set.
    pub images: BTreeSet<String>,
    /// Other devices of the target have labels.
    pub siblings: bool,
    /// There is something that brings the device's own firmware back.
    pub reimage: bool,
}

/// The driver's function that brings the firmware into a device that has no debug probe.
pub const PROVISION: &str = "provision";
/// The driver's function that makes a sample of a device.
pub const PERSONALISE: &str = "personalise";

impl Offer {
    /// What a device offers whose bench can do so much.
    pub fn of(
        device: &Device,
        mut capabilities: BTreeSet<String>,
        functions: &BTreeSet<String>,
        siblings: &[Device],
    ) -> Self {
        if let Some(network) = &device.target.network
            && capabilities.contains("services")
        {
            for (service, name) in [("mqtt", &network.mqtt), ("update", &network.update)] {
                capabilities.extend(name.is_some().then(|| format!("service.{service}")));
            }
        }
        let images = device.image_set();
        let programs = images.values().any(|image| image.flash);
        Self {
            reimage: (capabilities.contains("probe") && programs) || functions.contains(PROVISION),
            capabilities,
            functions: functions.clone(),
            images: images.keys().cloned().collect(),
            siblings: siblings.iter().any(|sibling| !sibling.label.is_empty()),
        }
    }

    /// Why not all of these are met, in one text; none if they are. Functions of the driver are named together.
    pub fn lacks_of<'n>(&self, needs: impl IntoIterator<Item = &'n Need>) -> Option<String> {
        let mut functions: Vec<&str> = Vec::new();
        let mut reasons = Vec::new();
        for need in needs {
            match (need, self.lacks(need)) {
                (_, None) => {}
                (Need::Dut(function), Some(_)) => functions.push(function),
                (_, Some(reason)) => reasons.push(reason),
            }
        }
        match &functions[..] {
            [] => {}
            [function] => reasons.extend(self.lacks(&Need::Dut((*function).to_owned()))),
            several => reasons.push(format!(
                "the product's driver has no functions {}",
                several.join(", ")
            )),
        }
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }

    /// Why a need isn't met; none if it is.
    pub fn lacks(&self, need: &Need) -> Option<String> {
        let (met, reason) = match need {
            Need::Probe
            | Need::Console
            | Need::Power
            | Need::PowerCutAtWrite
            | Need::PowerCurrent
            | Need::Press(_) => (
                self.capabilities.contains(&need.to_string()),
                format!("the bench of this device has no {need} (devices.toml)"),
            ),
            Need::Net | Need::Services => (
                self.capabilities.contains(&need.to_string()),
                format!(
                    "the bench has no {need} for this device: that takes [network] in target.toml, a virtual board or `network` in devices.toml, and the right to make network namespaces (root, or user namespaces) and to move the interface (root, or CAP_NET_ADMIN, CAP_NET_RAW and CAP_SYS_ADMIN)"
                ),
            ),
            Need::Service(name) => (
                self.capabilities.contains(&need.to_string()),
                format!(
                    "the product knows no name of service {name} (`{name}` of [network] in target.toml)"
                ),
            ),
            Need::Siblings => (
                self.siblings,
                "no other device of the target has a label (devices.toml)".into(),
            ),
            Need::Reimage => (
                self.reimage,
                if self.capabilities.contains("probe") {
                    "alters the firmware, and nothing can bring it back: the device's image set has no image with `flash = true` (target.toml), and the product's driver has no function provision".into()
                } else {
                    "alters the firmware, and nothing can bring it back: the bench of this device has no probe (devices.toml), and the product's driver has no function provision".into()
                },
            ),
            Need::Dut(function) => (
                self.functions.contains(function),
                format!("the product's driver has no function {function}"),
            ),
            Need::Image(image) => (
                self.images.contains(image),
                format!("the device's image set has no image {image} (target.toml)"),
            ),
        };
        (!met).then_some(reason)
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
    #[case("press.reset")]
    #[case("service.mqtt")]
    #[case("siblings")]
    #[case("reimage")]
    #[case("dut.factory_reset")]
    #[case("image.wrong-key")]
    fn words_keep_their_text(#[case] word: &str) {
        assert_eq!(word.parse::<Need>().unwrap().to_string(), word);
    }

    #[rstest]
    #[case("prob")]
    #[case("")]
    #[case("dut.")]
    #[case("press")]
    #[case("power.cut")]
    #[case("dut.a b")]
    #[case("service.telnet")]
    fn other_words_are_refused(#[case] word: &str) {
        let error = word.parse::<Need>().unwrap_err().to_string();
        assert!(error.contains("known are probe"), "{error}");
    }

    #[rstest]
    #[case(&["probe"], None)]
    #[case(&["dut.update"], Some("the product's driver has no function update"))]
    #[case(
        &["dut.update", "image.older", "dut.logout"],
        Some("the device's image set has no image older (target.toml); the product's driver has no functions update, logout")
    )]
    fn what_is_lacking_is_told_in_one_text(#[case] words: &[&str], #[case] told: Option<&str>) {
        let needs: Vec<Need> = words.iter().map(|word| word.parse().unwrap()).collect();
        let offer = Offer {
            capabilities: ["probe".to_owned()].into(),
            ..Offer::default()
        };
        assert_eq!(offer.lacks_of(&needs).as_deref(), told);
    }

    #[rstest]
    #[case("probe", true)]
    #[case("console", false)]
    #[case("power.cut_at_write", true)]
    #[case("power", false)]
    #[case("press.reset", true)]
    #[case("press.mode", false)]
    #[case("dut.login", true)]
    #[case("dut.update", false)]
    #[case("image.update", true)]
    #[case("image.older", false)]
    #[case("siblings", true)]
    #[case("reimage", true)]
    fn only_what_is_offered_is_met(#[case] word: &str, #[case] met: bool) {
        let set = |words: &[&str]| words.iter().map(ToString::to_string).collect();
        let offer = Offer {
            capabilities: set(&["probe", "power.cut_at_write", "press.reset"]),
            functions: set(&["login"]),
            images: set(&["update"]),
            siblings: true,
            reimage: true,
        };
        let need = word.parse().unwrap();
        assert_eq!(offer.lacks(&need).is_none(), met);
        assert!(Offer::default().lacks(&need).is_some());
    }
}
