//! Boot loader: verifies the image that is to be started, before every start.
//!
//! The image is copied to RAM and verified there, so that what was verified is what runs.
#![no_std]
#![no_main]

mod flaws;

use core::{convert::Infallible, panic::PanicInfo};

use board::{
    LED_ATTENTION, LOAD_ADDRESS, RUNNING_HEADER, handoff, light, nor, nor::Nor, page::ResetCause,
    println, trust, uart, watchdog,
};
use cortex_m_rt::{entry, exception};
use image::{
    BootState, HEADER_SIZE, Header, Journal, Refusal, SignedHeader, Slot, Version, decide,
};
use sensor::{MODEL, memory};

#[entry]
fn main() -> ! {
    uart::enable_output();
    println!(
        "\nboot: {MODEL} boot loader {}, reset: {}",
        env!("CARGO_PKG_VERSION"),
        ResetCause::read()
    );
    // Only for the flaw word: whether the device has an identity is the application's business.
    let _ = board::personalisation();
    flaws::open_debug_port();

    let mut journal = Journal::<_, BootState>::new(Nor, memory::BOOT_STATE);
    let state = flaws::meddle(ok(journal.load()));
    let decision = decide(state, |slot| {
        let verified = load(slot, state.floor);
        match verified {
            Ok(version) => println!("boot: slot {}: {version}, verified", slot.name()),
            Err(Refusal::NoImage) if blank(slot) => println!("boot: slot {}: empty", slot.name()),
            Err(refusal) => println!("boot: slot {}: refused, {refusal}", slot.name()),
        }
        verified
    });
    if let Some(slot) = decision.failed_trial {
        println!("boot: update in slot {} failed", slot.name());
    }
    ok(journal.store(decision.state));
    let Some((slot, _)) = decision.start else {
        out_of_order("no image can be started")
    };
    println!(
        "boot: starting slot {}{}",
        slot.name(),
        if decision.on_trial { " on trial" } else { "" }
    );
    handoff::leave(slot);
    watchdog::start();
    start()
}

/// Whether a slot holds nothing, rather than something that is no image.
fn blank(slot: Slot) -> bool {
    let mut start = [0; 64];
    nor::read(memory::slot(slot), &mut start);
    start.iter().all(|byte| *byte == 0xFF)
}

/// Copies the image of a slot to where it runs, and verifies it there.
fn load(slot: Slot, floor: Version) -> Result<Version, Refusal> {
    let base = memory::slot(slot);
    let mut bytes = [0; HEADER_SIZE];
    nor::read(base, &mut bytes);
    let signed = SignedHeader::parse(&bytes)?;
    trust::verify_header(&signed, floor)?;
    let header = signed.header();
    let payload = load_payload(header, base + HEADER_SIZE as u32);
    match header.verify_payload(payload) {
        Err(Refusal::Digest) if flaws::ignores_digest() => (),
        verified => verified?,
    }
    for (at, word) in (RUNNING_HEADER..).step_by(4).zip(bytes.as_chunks().0) {
        board::register::write(at, u32::from_le_bytes(*word));
    }
    Ok(header.version)
}

/// Copies the payload to RAM. The header was verified, its length included.
fn load_payload(header: &Header, offset: u32) -> &'static [u8] {
    assert!(header.payload_len <= board::LOAD_ROOM);
    // SAFETY: the room at LOAD_ADDRESS is RAM that the boot loader does not use (memory.x), and no
    // reference to an earlier load is alive: `load` keeps none.
    let room = unsafe {
        core::slice::from_raw_parts_mut(LOAD_ADDRESS as *mut u8, header.payload_len as usize)
    };
    nor::read(offset, room);
    room
}

/// Hands over to the loaded image.
fn start() -> ! {
    uart::drain();
    // SAFETY: single core, no interrupt is enabled. The image at LOAD_ADDRESS was verified; it
    // begins with its vector table, which is aligned as the core requires.
    unsafe {
        (*cortex_m::peripheral::SCB::PTR).vtor.write(LOAD_ADDRESS);
        cortex_m::asm::bootload(LOAD_ADDRESS as *const u32)
    }
}

/// Stays here until someone repairs the device.
fn out_of_order(why: &str) -> ! {
    println!("boot: {why}; the device is out of order");
    light(LED_ATTENTION);
    loop {
        cortex_m::asm::wfi();
    }
}

fn ok<T>(result: Result<T, Infallible>) -> T {
    let Ok(value) = result;
    value
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    println!("boot: {info}");
    out_of_order("internal error")
}

#[exception]
unsafe fn HardFault(frame: &cortex_m_rt::ExceptionFrame) -> ! {
    println!("boot: fault at {:#010x}", frame.pc());
    out_of_order("internal error")
}
