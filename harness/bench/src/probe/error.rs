//! What can go wrong between the bench and a debug probe, or the chip behind it.

use std::{path::PathBuf, time::Duration};

use miette::Diagnostic;
use thiserror::Error;

/// A failure of the probe, of what it reaches, or of what it was told to program.
#[derive(Debug, Error, Diagnostic)]
#[non_exhaustive]
pub enum ProbeError {
    /// The selector in `devices.toml` is not of the form `VID:PID[:SERIAL]`.
    #[error("`{selector}` does not select a debug probe: {reason}")]
    #[diagnostic(help(
        "write probe.selector as VID:PID or VID:PID:SERIAL, for example \"1366:1015:000123456789\""
    ))]
    Selector {
        /// What was configured.
        selector: String,
        /// What probe-rs says about it.
        reason: String,
    },
    /// No such chip is known.
    #[error("chip `{chip}` is not known to probe-rs")]
    #[diagnostic(help(
        "correct `chip` in target.toml, or name a probe-rs target description in `chip_description`"
    ))]
    Chip {
        /// The name in `target.toml`.
        chip: String,
        /// What probe-rs says about it.
        #[source]
        source: Box<probe_rs::config::RegistryError>,
    },
    /// The chip description could not be used.
    #[error("chip description {} can't be used", path.display())]
    #[diagnostic(help(
        "chip_description in target.toml must name a probe-rs target description (YAML) that describes the chip"
    ))]
    ChipDescription {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The probe could not be opened.
    #[error("debug probe {selector} can't be opened")]
    #[diagnostic(help(
        "is the probe plugged in, is the selector in devices.toml right, and is no other program (a debugger, another run) using it?"
    ))]
    Open {
        /// The probe.
        selector: String,
        /// What probe-rs says about it.
        #[source]
        source: Box<probe_rs::probe::DebugProbeError>,
    },
    /// More than one probe is plugged in that may be meant: what is behind the other may be flashed.
    #[error("debug probe {selector} may be any of those plugged in at {}", places.join(", "))]
    #[diagnostic(help(
        "give its serial number in devices.toml: VID:PID:SERIAL; clones that share one can't be on one bench"
    ))]
    Ambiguous {
        /// The probe.
        selector: String,
        /// Where they are, as in sysfs.
        places: Vec<String>,
    },
    /// The probe is there, the chip does not answer.
    #[error("{chip} does not answer debug probe {selector}")]
    #[diagnostic(help(
        "is the device powered, is the debug cable in, does `chip` in target.toml name the chip on the board?"
    ))]
    Attach {
        /// The probe.
        selector: String,
        /// The chip expected there.
        chip: String,
        /// What probe-rs says about it.
        #[source]
        source: Box<probe_rs::Error>,
    },
    /// The debug port answers but refuses access: read-out protection is on.
    #[error("the debug port of {chip} is locked")]
    #[diagnostic(help("`recover` erases the whole chip and unlocks it"))]
    Locked {
        /// The chip.
        chip: String,
    },
    /// Another chip is there than the one to be programmed.
    #[error(
        "debug probe {selector} is wired to {found}, not to {expected}: nothing is programmed or erased"
    )]
    #[diagnostic(help(
        "check which board the probe is plugged into, and `probe.selector` in devices.toml; is the chip right, correct `chip` and [[identity]] in target.toml"
    ))]
    WrongChip {
        /// The probe.
        selector: String,
        /// The chip of the target.
        expected: String,
        /// What was read from the chip.
        found: String,
    },
    /// Its reset line is held.
    #[error("{chip} is held in reset by its debug probe")]
    #[diagnostic(help(
        "let the button go that is wired to nRST (driver `probe`) before the chip is asked anything"
    ))]
    InReset {
        /// The chip.
        chip: String,
    },
    /// The reset line can't be driven.
    #[error("debug probe {selector} can't drive its reset line")]
    #[diagnostic(help(
        "does this probe have nRST, and does probe-rs drive it? Otherwise hold the button by a relay"
    ))]
    ResetLine {
        /// The probe.
        selector: String,
        /// What probe-rs says about it.
        #[source]
        source: Box<probe_rs::probe::DebugProbeError>,
    },
    /// A memory access failed.
    #[error("{access} of {length} bytes at {address:#010x} failed")]
    #[diagnostic(help("is the address mapped on this chip, and was power on all the time?"))]
    Memory {
        /// `read` or `write`.
        access: &'static str,
        /// Where.
        address: u64,
        /// How much.
        length: usize,
        /// What probe-rs says about it.
        #[source]
        source: Box<probe_rs::Error>,
    },
    /// The core did not do as told.
    #[error("{action} failed")]
    #[diagnostic(help("is the device powered, and is nothing else debugging it?"))]
    Core {
        /// What was asked for: halt, run, reset...
        action: &'static str,
        /// What probe-rs says about it.
        #[source]
        source: Box<probe_rs::Error>,
    },
    /// An access to a debug port register failed.
    #[error("{action} through the control access port failed")]
    #[diagnostic(help(
        "is the device powered, and does [debug_port] in target.toml describe this chip?"
    ))]
    DebugPort {
        /// What was asked for.
        action: &'static str,
        /// What probe-rs says about it.
        #[source]
        source: Box<probe_rs::architecture::arm::ArmError>,
    },
    /// `target.toml` does not say how this chip is unlocked.
    #[error("{chip}: nothing is known about its read-out protection")]
    #[diagnostic(help("describe it in [debug_port] of target.toml"))]
    NoDebugPort {
        /// The chip.
        chip: String,
    },
    /// The mass erase ran, yet the port is still locked, or never finished.
    #[error("recovery of {chip} did not unlock its debug port: {reason}")]
    #[diagnostic(help(
        "switch the device off and on and try again; check [debug_port] in target.toml"
    ))]
    NotRecovered {
        /// The chip.
        chip: String,
        /// What was seen.
        reason: String,
    },
    /// An image could not be read or placed.
    #[error("image `{image}` can't be programmed")]
    #[diagnostic(help(
        "check the format and address of the image in target.toml against the chip's memory map"
    ))]
    Image {
        /// Its name in `target.toml`.
        image: String,
        /// What probe-rs says about it.
        #[source]
        source: Box<probe_rs::flashing::FileDownloadError>,
    },
    /// There would be nothing to see whether it is in the chip.
    #[error("image `{image}` has not a single byte for the chip")]
    #[diagnostic(help("build it again; `provebench check` looks at all images"))]
    EmptyImage {
        /// Its name in `target.toml`.
        image: String,
    },
    /// Programming failed.
    #[error("programming {what} failed while {phase}")]
    #[diagnostic(help(
        "was the probe unplugged or power lost? The flash contents are now undefined: program the device again"
    ))]
    Flash {
        /// The images, or the address range.
        what: String,
        /// What was being done.
        phase: super::FlashPhase,
        /// What probe-rs says about it.
        #[source]
        source: Box<probe_rs::flashing::FlashError>,
    },
    /// The operation took longer than it can with a working probe.
    #[error("{what}: no end after {limit:?}")]
    #[diagnostic(help(
        "unplug and replug the probe, switch the device off and on, then start again"
    ))]
    Timeout {
        /// The operation.
        what: String,
        /// How long was waited.
        limit: Duration,
    },
    /// The probe's thread is held by an earlier operation that does not end.
    #[error("the debug probe is stuck in an earlier operation ({what}, for {elapsed:?})")]
    #[diagnostic(help("unplug and replug the probe, then start again"))]
    Stuck {
        /// The operation that does not end.
        what: String,
        /// For how long it has been running.
        elapsed: Duration,
    },
    /// probe-rs gave up in a way it should not.
    #[error("the debug probe driver broke down during {what}: {message}")]
    #[diagnostic(help(
        "this is a fault of probe-rs or of the probe's firmware; update both, replug the probe"
    ))]
    Driver {
        /// The operation.
        what: String,
        /// The panic's message.
        message: String,
    },
}

impl ProbeError {
    /// Whether a fresh connection may cure it: the link or the power was lost in between.
    pub(super) fn is_access(&self) -> bool {
        matches!(
            self,
            Self::Memory { .. } | Self::Core { .. } | Self::DebugPort { .. } | Self::Attach { .. }
        )
    }
}
