//! The console's UART: output, which waits for the wire, and the registers for input.

use core::{
    fmt,
    sync::atomic::{AtomicBool, Ordering},
};

use crate::register::{read, write};

const BASE: usize = 0x4000_4000;
const DATA: usize = BASE;
const STATE: usize = BASE + 0x4;
const CTRL: usize = BASE + 0x8;
const INTERRUPT: usize = BASE + 0xC;
const DIVIDER: usize = BASE + 0x10;

const TX_FULL: u32 = 1 << 0;
const RX_FULL: u32 = 1 << 1;
const TX_ENABLE: u32 = 1 << 0;
const RX_ENABLE: u32 = 1 << 1;
const RX_INTERRUPT: u32 = 1 << 3;

/// Interrupt number of received bytes.
pub const RX_IRQ: u16 = 0;
/// 25 MHz / 115200
const BAUD_DIVIDER: u32 = 217;
/// Polls before the other end counts as gone: a good second of a stalled wire.
const PATIENCE: u32 = 20_000_000;

static STALLED: AtomicBool = AtomicBool::new(false);

/// Switches output on.
pub fn enable_output() {
    write(DIVIDER, BAUD_DIVIDER);
    write(CTRL, TX_ENABLE);
}

/// Switches input on as well, with or without interrupts for it.
pub fn enable_input(interrupt: bool) {
    let interrupt = if interrupt { RX_INTERRUPT } else { 0 };
    write(CTRL, TX_ENABLE | RX_ENABLE | interrupt);
}

/// Takes a byte that was received.
pub fn receive() -> Option<u8> {
    (read(STATE) & RX_FULL != 0).then(|| read(DATA) as u8)
}

/// Acknowledges the interrupt of received bytes.
pub fn acknowledge() {
    write(INTERRUPT, 1 << 1);
}

/// Sends bytes as they are. If the wire takes none for long, they are lost rather than the device.
pub fn send(bytes: &[u8]) {
    for byte in bytes {
        if wait_for_room() {
            write(DATA, u32::from(*byte));
        }
    }
}

/// Waits until everything is on the wire.
pub fn drain() {
    wait_for_room();
}

fn wait_for_room() -> bool {
    let patience = if STALLED.load(Ordering::Relaxed) {
        1
    } else {
        PATIENCE
    };
    let room = (0..patience).any(|_| read(STATE) & TX_FULL == 0);
    STALLED.store(!room, Ordering::Relaxed);
    room
}

/// Text output; a line end becomes CR LF, as terminals expect.
pub struct Output;

impl fmt::Write for Output {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for line in text.split_inclusive('\n') {
            match line.strip_suffix('\n') {
                Some(line) => {
                    send(line.as_bytes());
                    send(b"\r\n");
                }
                None => send(line.as_bytes()),
            }
        }
        Ok(())
    }
}

/// Prints to the console.
#[macro_export]
macro_rules! print {
    ($($arg:tt)*) => {{
        // Output never fails: it drops what the wire does not take.
        let _ = core::fmt::Write::write_fmt(&mut $crate::uart::Output, format_args!($($arg)*));
    }};
}

/// Prints a line to the console.
#[macro_export]
macro_rules! println {
    () => { $crate::print!("\n") };
    ($($arg:tt)*) => { $crate::print!("{}\n", format_args!($($arg)*)) };
}
