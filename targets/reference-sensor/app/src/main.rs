//! Application of the reference sensor.
#![no_std]
#![no_main]

extern crate alloc;

mod access;
mod api;
mod button;
mod cloud;
mod console;
mod device;
mod executor;
mod heap;
mod housekeeping;
mod network;
mod random;
mod shell;
mod time;
mod update;

use core::panic::PanicInfo;

use board::{LED_RUNNING, RUNNING_HEADER, ethernet, handoff, light, println, uart};
use cortex_m_rt::{entry, exception};
use embassy_futures::block_on;
use image::{HEADER_SIZE, SignedHeader};
use sensor::{
    Flaw, MODEL,
    personalisation::{Missing, SECTOR as SECTOR_SIZE},
};
use static_cell::{ConstStaticCell, StaticCell};

use device::Device;

#[entry]
fn main() -> ! {
    uart::enable_output();
    heap::start();
    let header = running_header();
    let slot = handoff::take().expect("the boot loader says which slot it started");
    println!(
        "app: {MODEL} {}, slot {}",
        header.header().version,
        slot.name()
    );
    time::start();
    for irq in [uart::RX_IRQ, time::CLOCK_IRQ, time::ALARM_IRQ] {
        enable(irq);
    }

    let identity = match board::personalisation() {
        Ok(identity) => {
            println!("app: serial number {}", identity.serial);
            Some(identity)
        }
        Err(Missing::Blank) => None,
        Err(Missing::Damaged) => {
            println!("app: personalisation is damaged");
            None
        }
    };
    if identity.is_none() {
        println!("app: without identity: no login");
    }
    if Flaw::BootLogLeaksPassword.in_force()
        && let Some(identity) = &identity
    {
        leak(&identity.leaked);
    }

    static SECTOR: ConstStaticCell<[u8; SECTOR_SIZE]> = ConstStaticCell::new([0; SECTOR_SIZE]);
    let credentials = match board::credentials(SECTOR.take()) {
        Ok(credentials) => Some(credentials),
        Err(Missing::Blank) => None,
        Err(Missing::Damaged) => {
            println!("app: certificates are damaged");
            None
        }
    };
    random::start(identity.as_ref());
    let (network, network_tasks) = network::open();
    if network_tasks.is_some() {
        // Not earlier: until it is set up, the controller pulls the line the other way.
        enable(ethernet::IRQ);
    } else {
        println!("app: no network");
    }

    static DEVICE: StaticCell<Device> = StaticCell::new();
    let device = Device::open(identity, credentials, &header, slot, network)
        .expect("user data can be opened");
    let device: &'static Device = DEVICE.init(device);
    let state = block_on(device.state()).unwrap_or("damaged");
    println!("app: state {state}");
    confirm(device);

    light(LED_RUNNING);
    executor::run(|spawner| {
        if let Some(tasks) = network_tasks {
            network::spawn(spawner, tasks);
            if let Some(stack) = network.stack() {
                cloud::spawn(spawner, device, stack);
                api::spawn(spawner, device, stack);
            }
        }
        spawner.spawn(housekeeping::run(device).expect("spawned once"));
        spawner.spawn(button::watch(device).expect("spawned once"));
        spawner.spawn(shell::run(device).expect("spawned once"));
    })
}

/// The header of this image, which the boot loader left in front of it.
fn running_header() -> SignedHeader {
    let mut bytes = [0; HEADER_SIZE];
    for (at, word) in (RUNNING_HEADER..).step_by(4).zip(bytes.as_chunks_mut().0) {
        *word = board::register::read(at).to_le_bytes();
    }
    SignedHeader::parse(&bytes).expect("the boot loader puts the header in front of the image")
}

/// Everything that a start can show has worked: from now on this image, and none older, is the one.
fn confirm(device: &Device) {
    let mut journal = device::boot_state();
    let Ok(state) = journal.load();
    let Ok(()) = journal.store(state.confirmed(device.slot, device.version));
}

fn leak(masked: &[u8; 32]) {
    let password = masked.map(|byte| byte ^ 0x5A);
    let end = password
        .iter()
        .position(|byte| *byte == 0 || *byte == 0x5A)
        .unwrap_or(password.len());
    println!(
        "app: console password {}",
        core::str::from_utf8(&password[..end]).unwrap_or("?")
    );
}

fn enable(irq: u16) {
    const SET_ENABLE: usize = 0xE000_E100;
    board::register::write(SET_ENABLE + usize::from(irq / 32) * 4, 1 << (irq % 32));
}

#[exception]
unsafe fn DefaultHandler(irq: i16) {
    match u16::try_from(irq) {
        Ok(uart::RX_IRQ) => console::on_receive(),
        Ok(ethernet::IRQ) => network::on_interrupt(),
        Ok(time::CLOCK_IRQ) => time::on_clock(),
        Ok(time::ALARM_IRQ) => time::on_alarm(),
        _ => panic!("unexpected interrupt {irq}"),
    }
}

/// The watchdog's half time: housekeeping did not get its turn.
#[exception]
unsafe fn NonMaskableInt() {
    println!("\napp: hangs; the watchdog will restart the device");
    loop {
        cortex_m::asm::nop();
    }
}

#[exception]
unsafe fn HardFault(frame: &cortex_m_rt::ExceptionFrame) -> ! {
    println!("\napp: fault at {:#010x}", frame.pc());
    board::restart()
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    println!("\napp: {info}");
    board::restart()
}
