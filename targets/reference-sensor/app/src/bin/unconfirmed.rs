//! An update that is signed and broken: it fails at start, before it confirms itself.
#![no_std]
#![no_main]

#[path = "../heap.rs"]
mod heap;

use core::panic::PanicInfo;

use board::{println, uart};

#[cortex_m_rt::entry]
fn main() -> ! {
    uart::enable_output();
    heap::start();
    println!("app: starting");
    panic!("the sensor does not answer");
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    println!("app: {info}");
    board::restart()
}
