//! The board of the reference sensor: registers, and what boot loader and application hand to each
//! other. Made for the MPS2 AN385 (Cortex-M3) with the virtual board's register page.
#![no_std]

pub mod ethernet;
pub mod handoff;
pub mod nor;
pub mod page;
pub mod register;
pub mod trust;
pub mod uart;
pub mod watchdog;

use sensor::{Credentials, Personalisation, memory::PERSONALISATION, personalisation};

/// Where the non-volatile memory is.
pub const NVM: usize = 0x2100_0000;
/// Where the header of the running image is.
pub const RUNNING_HEADER: usize = 0x2000_0000;
/// Where the payload of an image runs.
pub const LOAD_ADDRESS: u32 = RUNNING_HEADER as u32 + image::HEADER_SIZE as u32;
/// Bytes that a payload may have.
pub const LOAD_ROOM: u32 = sensor::memory::SLOT_SIZE - image::HEADER_SIZE as u32;

const LEDS: usize = 0x4002_8000;
/// On while the application runs.
pub const LED_RUNNING: u32 = 1 << 0;
/// On when the device needs attention: no image can be trusted, or all data is being erased.
pub const LED_ATTENTION: u32 = 1 << 1;

/// Lights these LEDs, and no others.
pub fn light(leds: u32) {
    register::write(LEDS, leds);
}

/// Reads what the factory wrote, and puts the flaw that it names in force.
pub fn personalisation() -> Result<Personalisation, personalisation::Missing> {
    let mut sector = [0; personalisation::SIZE];
    nor::read(PERSONALISATION, &mut sector);
    let personalisation = Personalisation::parse(&sector)?;
    sensor::flaw::choose(personalisation.flaw);
    Ok(personalisation)
}

/// Reads what the factory wrote for the network, into `sector`.
pub fn credentials(
    sector: &mut [u8; personalisation::SECTOR],
) -> Result<Credentials<'_>, personalisation::Missing> {
    nor::read(PERSONALISATION, sector);
    Credentials::parse(sector)
}

/// Starts anew, as after power-on.
pub fn restart() -> ! {
    uart::drain();
    cortex_m::peripheral::SCB::sys_reset()
}
