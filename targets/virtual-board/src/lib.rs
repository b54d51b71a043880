//! A board on a bench, emulated: what a host finds on its cables is what it would
//! find with a real board. A debug probe, a console, a smart plug, a button, an
//! Ethernet cable.

mod bmp;
mod board;
mod chip;
mod console;
mod debug;
mod error;
mod ethernet;
pub mod memory_map;
mod plug;
mod probe;
mod qemu;
mod server;
mod storage;

pub use board::BoardConfig;
pub use error::BoardError;
pub use ethernet::{Ethernet, Mac};
pub use qemu::default_program;
pub use server::{Ports, Ready, VirtualBoard};
