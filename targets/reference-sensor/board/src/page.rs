//! The virtual board's register page: what a real board has in pins, fuses and a reset controller.

use core::fmt;

use crate::register::read;

const PAGE: usize = 0x0100_0000;
const ID: u32 = u32::from_le_bytes(*b"PVBR");

/// What caused the last reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetCause {
    /// Power came.
    PowerOn,
    /// The reset pin.
    Pin,
    /// Software, or a debugger, asked for it.
    Software,
    /// Nobody fed the watchdog.
    Watchdog,
    /// The board does not say.
    Unknown,
}

impl ResetCause {
    /// Reads the cause of the last reset.
    pub fn read() -> Self {
        match register(8) {
            1 => Self::PowerOn,
            2 => Self::Pin,
            4 => Self::Software,
            8 => Self::Watchdog,
            _ => Self::Unknown,
        }
    }
}

impl fmt::Display for ResetCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PowerOn => "power-on",
            Self::Pin => "pin",
            Self::Software => "software",
            Self::Watchdog => "watchdog",
            Self::Unknown => "unknown",
        })
    }
}

/// Whether the button is held.
pub fn button() -> bool {
    register(4) & 1 != 0
}

/// The chip's unique number.
pub fn chip_id() -> u64 {
    u64::from(register(0x14)) << 32 | u64::from(register(0x10))
}

/// 0 where the board has no register page.
fn register(offset: usize) -> u32 {
    if read(PAGE) == ID {
        read(PAGE + offset)
    } else {
        0
    }
}
