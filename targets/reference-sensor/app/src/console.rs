//! Input of the console: bytes from the interrupt, lines and blocks for those who wait for them.

use board::{print, uart};
use embassy_sync::{blocking_mutex::raw::CriticalSectionRawMutex, pipe::Pipe};
use embassy_time::{Duration, TimeoutError, with_timeout};
use heapless::Vec;

static RECEIVED: Pipe<CriticalSectionRawMutex, 1024> = Pipe::new();

/// Longest line that is looked at.
pub(crate) const MAX_LINE: usize = 160;
/// A line as typed, without its end.
pub(crate) type Line = Vec<u8, MAX_LINE>;

const CTRL_C: u8 = 0x03;
const BACKSPACE: u8 = 0x08;
const CTRL_U: u8 = 0x15;
const DELETE: u8 = 0x7F;

/// A byte came in. If there is no room it stays in the UART, whose interrupt is off until there is
/// room again: whoever sends faster than we read is slowed down, if the wire can do that.
pub(crate) fn on_receive() {
    uart::acknowledge();
    while RECEIVED.free_capacity() > 0 {
        let Some(byte) = uart::receive() else { return };
        // There is room: just checked, and nobody else fills the pipe.
        let _ = RECEIVED.try_write(&[byte]);
    }
    uart::enable_input(false);
}

/// Reads what is there, at least one byte.
async fn read(buffer: &mut [u8]) -> usize {
    let read = RECEIVED.read(buffer).await;
    // Bytes may wait in the UART since the pipe was full.
    critical_section::with(|_| {
        uart::enable_input(true);
        on_receive();
    });
    read
}

/// Fills `buffer`. Whoever pauses for longer than `patience` gets no more attention.
pub(crate) async fn read_exact(buffer: &mut [u8], patience: Duration) -> Result<(), TimeoutError> {
    let mut filled = 0;
    while filled < buffer.len() {
        filled += with_timeout(patience, read(&mut buffer[filled..])).await?;
    }
    Ok(())
}

/// What was typed.
pub(crate) enum Typed {
    /// A line.
    Line(Line),
    /// More than fits into a line.
    TooLong,
    /// Ctrl-C.
    Cancelled,
}

/// How typing shows on the terminal.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Echo {
    /// As it is typed.
    On,
    /// Not at all.
    Off,
}

/// Reads a line.
pub(crate) async fn read_line(echo: Echo) -> Typed {
    let mut line = Line::new();
    let mut too_long = false;
    loop {
        let mut byte = [0];
        read(&mut byte).await;
        match byte[0] {
            b'\r' | b'\n' => {
                print!("\n");
                return if too_long {
                    Typed::TooLong
                } else {
                    Typed::Line(line)
                };
            }
            CTRL_C => {
                print!("^C\n");
                return Typed::Cancelled;
            }
            CTRL_U => {
                for _ in 0..line.len() {
                    rub_out(echo);
                }
                line.clear();
                too_long = false;
            }
            BACKSPACE | DELETE => {
                if line.pop().is_some() {
                    rub_out(echo);
                }
            }
            // Control characters are nothing to type.
            0..0x20 => (),
            byte => {
                if line.push(byte).is_err() {
                    too_long = true;
                } else if echo == Echo::On {
                    uart::send(&[byte]);
                }
            }
        }
    }
}

fn rub_out(echo: Echo) {
    if echo == Echo::On {
        print!("\x08 \x08");
    }
}

/// Starts listening.
pub(crate) fn open() {
    uart::enable_input(true);
}
