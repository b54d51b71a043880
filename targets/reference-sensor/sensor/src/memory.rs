//! What is where in the non-volatile memory, in bytes from its start. `target.toml` repeats this
//! for the bench; the README draws it.

use core::ops::Range;

use image::Slot;

/// Bytes of one image slot.
pub const SLOT_SIZE: u32 = 0x10_0000;
/// Which slot is in use: two sectors.
pub const BOOT_STATE: u32 = 0x20_0000;
/// Wrong passwords and unfinished erasure: two sectors.
pub const SECURITY_STATE: u32 = 0x20_2000;
/// Owner, room, schedule.
pub const SETTINGS: Range<u32> = 0x20_4000..0x20_8000;
/// Measurements and notes.
pub const HISTORY: Range<u32> = 0x20_8000..0x21_0000;
/// Telemetry that waits for the broker.
pub const TELEMETRY: Range<u32> = 0x21_0000..0x21_4000;
/// Count of starts: two sectors.
pub const STARTS: u32 = 0x21_4000;
/// Written in the factory: one sector.
pub const PERSONALISATION: u32 = 0xFF_F000;

/// Start of a slot.
pub const fn slot(slot: Slot) -> u32 {
    match slot {
        Slot::A => 0,
        Slot::B => SLOT_SIZE,
    }
}
