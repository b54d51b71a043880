//! A board on a bench, emulated: what a host finds on its cables is what it would
//! find with a real board. A debug probe, a console, a smart plug, a button.

mod bmp;
mod board;
mod chip;
mod console;
mod debug;
mod error;
pub mod memory_map;
mod plug;
mod probe;
mod qemu;
mod server;
mod storage;

pub use board::BoardConfig;
pub use error::BoardError;
pub use qemu::default_program;
pub use server::{Ports, Ready, VirtualBoard};
