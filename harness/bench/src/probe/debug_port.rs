//! Read-out protection: seen and cleared through the chip's control access port, as `target.toml` describes it.

use std::{
    thread,
    time::{Duration, Instant},
};

use probe_rs::{
    Target,
    architecture::arm::{
        ArmDebugInterface, ArmError, FullyQualifiedApAddress, dp::DPIDR, dp::DpAccess,
        dp::DpAddress, sequences::DefaultArmSequence,
    },
};
use probe_rs_target::{ArmCoreAccessOptions, CoreAccessOptions};
use serde::Serialize;

use super::{
    ProbeError,
    worker::{Worker, core_error},
};
use crate::inventory::DebugPort;

/// How long a mass erase may take.
const ERASE_LIMIT: Duration = Duration::from_secs(30);
/// There is no event for the end of an erase: the chip is asked this often.
const ERASE_POLL: Duration = Duration::from_millis(5);

/// Identification register of an access port.
const IDR: u64 = 0xFC;

/// State of the read-out protection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protection {
    /// Memory can be read and written.
    Open,
    /// The debug port refuses access to memory.
    Locked,
    /// `target.toml` does not say how to find out.
    Unsupported,
}

impl Worker {
    pub(super) fn protection(&mut self) -> Result<Protection, ProbeError> {
        let Some(port) = self.setup.debug_port.clone() else {
            return Ok(Protection::Unsupported);
        };
        self.check_control_ap(&port)?;
        let ap = self.control_ap(&port)?;
        self.with_debug_port("reading the protection state", |interface| {
            let status = interface.read_raw_ap_register(&ap, port.status.register.into())?;
            Ok(if status == port.status.open {
                Protection::Open
            } else {
                Protection::Locked
            })
        })
    }

    pub(super) fn recover(&mut self) -> Result<(), ProbeError> {
        let chip = self.setup.chip.clone();
        let Some(port) = self.setup.debug_port.clone() else {
            return Err(ProbeError::NoDebugPort { chip });
        };
        // Whoever lets himself be read is asked who he is before all is erased. Where that fails for another reason,
        // erasing may be the cure.
        if self.protection()? == Protection::Open
            && let Err(error @ ProbeError::WrongChip { .. }) = self.check_identity()
        {
            return Err(error);
        }
        let not_recovered = |reason: &str| ProbeError::NotRecovered {
            chip: chip.clone(),
            reason: reason.into(),
        };
        self.detach();
        let ap = self.control_ap(&port)?;
        let (status, erase) = (&port.status, &port.erase);
        let finished = self.with_debug_port("mass erase", |interface| {
            interface.write_raw_ap_register(&ap, erase.register.into(), erase.value)?;
            if let Some(busy) = erase.busy_register
                && !poll(|| Ok(interface.read_raw_ap_register(&ap, busy.into())? == 0))?
            {
                return Ok(false);
            }
            if let Some(reset) = &port.reset {
                interface.write_raw_ap_register(&ap, reset.register.into(), reset.assert)?;
                interface.write_raw_ap_register(&ap, reset.register.into(), reset.release)?;
            }
            // Without a busy register, the end of the erase shows in that the port is open.
            Ok(erase.busy_register.is_some()
                || poll(|| {
                    Ok(interface.read_raw_ap_register(&ap, status.register.into())? == status.open)
                })?)
        })?;
        if !finished {
            return Err(not_recovered("the mass erase does not end"));
        }
        match self.protection()? {
            Protection::Open => Ok(()),
            Protection::Locked | Protection::Unsupported => {
                Err(not_recovered("it still says that it is locked"))
            }
        }
    }

    /// Whether the control access port is the one that the target has: on another chip the same number may be anything.
    fn check_control_ap(&mut self, port: &DebugPort) -> Result<(), ProbeError> {
        let Some(expected) = port.idr else {
            return Ok(());
        };
        let ap = self.control_ap(port)?;
        let found = self
            .with_debug_port("reading the control access port's identity", |interface| {
                interface.read_raw_ap_register(&ap, IDR)
            })?;
        if found == expected {
            return Ok(());
        }
        Err(ProbeError::WrongChip {
            selector: self.setup.probe.selector.clone(),
            expected: format!(
                "{}, whose access port {} has IDR {expected:#010x}",
                self.setup.chip, port.control_ap
            ),
            found: format!(
                "a chip whose access port {} has IDR {found:#010x}",
                port.control_ap
            ),
        })
    }

    /// Whether anything answers at the other end of the debug cable, locked or not.
    pub(super) fn ping(&mut self) -> Result<(), ProbeError> {
        if !is_arm(self.target()?) {
            // There is no debug port to ask.
            return self.with_core(|core| {
                let state = core.status().map_err(core_error("asking for its state"));
                state.map(drop)
            });
        }
        let debug_port = self.debug_port()?;
        self.with_debug_port("reading the debug port's identity", |interface| {
            interface.read_dp_register::<DPIDR>(debug_port).map(drop)
        })
    }

    /// Which debug port is the chip's, where several share the wires (RP2040).
    pub(super) fn debug_port(&mut self) -> Result<DpAddress, ProbeError> {
        Ok(debug_port_of(self.target()?))
    }

    /// Access to the debug port below the memory access port: works on a locked chip.
    pub(super) fn with_debug_port<T>(
        &mut self,
        action: &'static str,
        mut work: impl FnMut(&mut dyn ArmDebugInterface) -> Result<T, ArmError>,
    ) -> Result<T, ProbeError> {
        let fail = |source| ProbeError::DebugPort {
            action,
            source: Box::new(source),
        };
        if let Some(session) = self.session_mut()
            && let Ok(interface) = session.get_arm_interface()
            && let Ok(result) = work(interface)
        {
            return Ok(result);
        }
        // No session, or one that did not live through a power cut.
        self.detach();
        let debug_port = self.debug_port()?;
        let mut probe = self.open()?;
        probe
            .attach_to_unspecified()
            .map_err(|source| self.attach_error(source))?;
        let mut interface = probe
            .try_into_arm_debug_interface(DefaultArmSequence::create())
            .map_err(|(_, source)| fail(source))?;
        interface.select_debug_port(debug_port).map_err(fail)?;
        work(&mut *interface).map_err(fail)
    }

    fn control_ap(&mut self, port: &DebugPort) -> Result<FullyQualifiedApAddress, ProbeError> {
        let debug_port = self.debug_port()?;
        Ok(FullyQualifiedApAddress::v1_with_dp(
            debug_port,
            port.control_ap,
        ))
    }
}

fn is_arm(target: &Target) -> bool {
    let options = target.cores.first().map(|core| &core.core_access_options);
    matches!(options, None | Some(CoreAccessOptions::Arm(_)))
}

fn debug_port_of(target: &Target) -> DpAddress {
    match target.cores.first().map(|core| &core.core_access_options) {
        Some(CoreAccessOptions::Arm(ArmCoreAccessOptions {
            targetsel: Some(targetsel),
            ..
        })) => DpAddress::Multidrop(*targetsel),
        _ => DpAddress::Default,
    }
}

/// Waits for the chip to be `done`; `false` when it takes too long.
fn poll(mut done: impl FnMut() -> Result<bool, ArmError>) -> Result<bool, ArmError> {
    let deadline = Instant::now() + ERASE_LIMIT;
    while !done()? {
        if Instant::now() > deadline {
            return Ok(false);
        }
        thread::sleep(ERASE_POLL);
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use probe_rs::config::Registry;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::single("STM32F407VGTx", true, DpAddress::Default)]
    #[case::one_of_several("RP2040", true, DpAddress::Multidrop(0x0100_2927))]
    #[case::risc_v("GD32VF103CBT6", false, DpAddress::Default)]
    fn the_debug_port_is_that_of_the_chip(
        #[case] chip: &str,
        #[case] arm: bool,
        #[case] port: DpAddress,
    ) {
        let target = Registry::from_builtin_families()
            .get_target_by_name(chip)
            .unwrap();
        assert_eq!((is_arm(&target), debug_port_of(&target)), (arm, port));
    }
}
