//! Restarts the device if nothing feeds it: an interrupt at half time, the reset at full time.

use crate::register::write;

const BASE: usize = 0x4000_8000;
const LOAD: usize = BASE;
const CONTROL: usize = BASE + 0x8;
const INTERRUPT_CLEAR: usize = BASE + 0xC;
const LOCK: usize = BASE + 0xC00;
const UNLOCK: u32 = 0x1ACC_E551;
/// 10 s at 25 MHz, so that the reset comes after 20 s. An emulated board stands still that long where others keep the
/// processor busy, and its clock does not.
const HALF_TIME: u32 = 10 * 25_000_000;

/// Starts the watchdog.
pub fn start() {
    write(LOCK, UNLOCK);
    write(LOAD, HALF_TIME);
    write(CONTROL, 0b11);
    write(LOCK, 0);
}

/// Gives it another full time.
pub fn feed() {
    write(LOCK, UNLOCK);
    write(INTERRUPT_CLEAR, 1);
    write(LOCK, 0);
}
