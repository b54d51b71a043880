//! What a bench, a driver and a device offer together, and what of a case's needs that leaves unmet.

use std::collections::BTreeSet;

use provebench_bench::{Capability, inventory::Device};

use super::declaration::Sample;

/// What bench, driver and device together offer to a test case.
#[derive(Clone, Debug, Default)]
pub struct Offer(BTreeSet<Capability>);

/// The driver's function that brings the firmware into a device that has no debug probe.
pub const PROVISION: &str = "provision";
/// The driver's function that makes a sample of a device.
pub const PERSONALISE: &str = "personalise";

impl Offer {
    /// What a device offers whose bench can do so much.
    pub fn of(
        device: &Device,
        bench: BTreeSet<Capability>,
        functions: &BTreeSet<String>,
        siblings: &[Device],
    ) -> Self {
        let mut all = bench;
        if all.contains(&Capability::Services) {
            let known = device
                .target
                .services()
                .filter(|(_, spec)| !spec.hosts.is_empty());
            all.extend(known.map(|(name, _)| Capability::Service(name.into())));
        }
        let images = device.image_set();
        let is_programmed =
            all.contains(&Capability::Probe) && images.values().any(|image| image.flash);
        if is_programmed || functions.contains(PROVISION) {
            all.insert(Capability::Reimage);
        }
        // What has no probe has no debug port that makes a sample: it is taken as it is, if the driver can't change
        // that. What no probe programs is made a sample of while it is provisioned.
        let is_made = functions.contains(PERSONALISE)
            || !all.contains(&Capability::Probe)
            || (functions.contains(PROVISION) && !is_programmed);
        if is_made {
            let samples = [Sample::Engineering, Sample::Production];
            all.extend(samples.map(|sample| Capability::Sample(sample.as_str().into())));
        }
        if siblings.iter().any(|sibling| !sibling.label.is_empty()) {
            all.insert(Capability::Siblings);
        }
        all.extend(images.keys().cloned().map(Capability::Image));
        all.extend(functions.iter().cloned().map(Capability::Dut));
        Self(all)
    }

    /// All of it.
    pub(super) fn all(&self) -> &BTreeSet<Capability> {
        &self.0
    }

    /// Whether it is among what is offered.
    pub fn has(&self, capability: &Capability) -> bool {
        self.0.contains(capability)
    }

    /// Why not all of these are met, in one text; none if they are. Functions of the driver are named together.
    pub fn lacks_of<'n>(&self, needs: impl IntoIterator<Item = &'n Capability>) -> Option<String> {
        let mut functions: Vec<&str> = Vec::new();
        let mut reasons = Vec::new();
        for need in needs {
            match (need, self.lacks(need)) {
                (_, None) => {}
                (Capability::Dut(function), Some(_)) => functions.push(function),
                (Capability::Sample(_), Some(_)) => functions.push(PERSONALISE),
                (_, Some(reason)) => reasons.push(reason),
            }
        }
        match &functions[..] {
            [] => {}
            [function] => reasons.push(no_function(function)),
            several => reasons.push(format!(
                "the product's driver has no functions {}",
                several.join(", ")
            )),
        }
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }

    /// Why a need isn't met; none if it is.
    pub fn lacks(&self, need: &Capability) -> Option<String> {
        if self.has(need) {
            return None;
        }
        Some(match need {
            Capability::Probe
            | Capability::Console
            | Capability::Power
            | Capability::PowerCutAtWrite
            | Capability::PowerCurrent
            | Capability::Press(_) => {
                format!("the bench of this device has no {need} (devices.toml)")
            }
            Capability::Net | Capability::Services => format!(
                "the bench has no {need} for this device: that takes [networks.lan] in target.toml, `network` or a provider with a network in devices.toml, and the right to make network namespaces (root, or user namespaces) and to move the interface (root, or CAP_NET_ADMIN, CAP_NET_RAW and CAP_SYS_ADMIN)"
            ),
            Capability::Service(name) => format!(
                "the product knows no name of service {name} (`host` of [services.{name}] in target.toml)"
            ),
            Capability::Siblings => {
                "no other device of the target has a label (devices.toml)".into()
            }
            Capability::Reimage if self.has(&Capability::Probe) => {
                "alters the firmware, and nothing can bring it back: the device's image set has no image with `flash = true` (target.toml), and the product's driver has no function provision".into()
            }
            Capability::Reimage => {
                "alters the firmware, and nothing can bring it back: the bench of this device has no probe (devices.toml), and the product's driver has no function provision".into()
            }
            Capability::Sample(_) => no_function(PERSONALISE),
            Capability::Dut(function) => no_function(function),
            Capability::Image(image) => {
                format!("the device's image set has no image {image} (target.toml)")
            }
        })
    }
}

fn no_function(function: &str) -> String {
    format!("the product's driver has no function {function}")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn offer(words: &[&str]) -> Offer {
        Offer(words.iter().map(|word| word.parse().unwrap()).collect())
    }

    #[rstest]
    #[case(&["probe"], None)]
    #[case(&["dut.update"], Some("the product's driver has no function update"))]
    #[case(
        &["dut.update", "image.older", "dut.logout"],
        Some("the device's image set has no image older (target.toml); the product's driver has no functions update, logout")
    )]
    #[case(
        &["dut.update", "sample.production"],
        Some("the product's driver has no functions update, personalise")
    )]
    fn what_is_lacking_is_told_in_one_text(#[case] words: &[&str], #[case] told: Option<&str>) {
        let needs: Vec<Capability> = words.iter().map(|word| word.parse().unwrap()).collect();
        assert_eq!(offer(&["probe"]).lacks_of(&needs).as_deref(), told);
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
    #[case("sample.production", true)]
    fn only_what_is_offered_is_met(#[case] word: &str, #[case] met: bool) {
        let offer = offer(&[
            "probe",
            "power.cut_at_write",
            "press.reset",
            "dut.login",
            "image.update",
            "siblings",
            "reimage",
            "sample.production",
        ]);
        let need = word.parse().unwrap();
        assert_eq!(offer.lacks(&need).is_none(), met);
        assert!(Offer::default().lacks(&need).is_some());
    }
}
