//! The Ethernet controller: SMSC LAN9118 (datasheet DS00002266), in as much as this board uses it.
//!
//! Frames come and go without checksum; nothing here waits for the wire.

use core::cell::Cell;

use crate::register::{read, write};

const BASE: usize = 0x4020_0000;
const RX_DATA: usize = BASE;
const TX_DATA: usize = BASE + 0x20;
const RX_STATUS: usize = BASE + 0x40;
const TX_STATUS: usize = BASE + 0x48;
const IRQ_CONFIG: usize = BASE + 0x54;
const INTERRUPTS: usize = BASE + 0x58;
const INTERRUPT_ENABLE: usize = BASE + 0x5C;
const BYTE_TEST: usize = BASE + 0x64;
const FIFO_LEVELS: usize = BASE + 0x68;
const RX_CONFIG: usize = BASE + 0x6C;
const TX_CONFIG: usize = BASE + 0x70;
const HW_CONFIG: usize = BASE + 0x74;
const RX_FIFO: usize = BASE + 0x7C;
const TX_FIFO: usize = BASE + 0x80;
const MAC_COMMAND: usize = BASE + 0xA4;
const MAC_DATA: usize = BASE + 0xA8;
const FLOW_CONTROL: usize = BASE + 0xAC;

const BYTE_TEST_PATTERN: u32 = 0x8765_4321;
const SOFT_RESET: u32 = 1 << 0;
/// 5 KiB for frames to send, the rest for received ones; store and forward.
const MEMORY_SPLIT: u32 = 5 << 16 | 1 << 20;
/// The value that the datasheet recommends.
const FLOW_CONTROL_LEVELS: u32 = 0x006E_3740;
/// Push-pull, active high, enabled.
const IRQ_LINE: u32 = 1 << 8 | 1 << 4 | 1;
/// Rings when this many times 64 bytes are free for frames to send.
const TX_FREE_LEVEL: u32 = 0x48 << 24;
const TX_ON: u32 = 1 << 1;

const RX_ARRIVED: u32 = 1 << 3;
const TX_FREE: u32 = 1 << 9;
const PHY: u32 = 1 << 18;

const MAC_BUSY: u32 = 1 << 31;
const MAC_READ: u32 = 1 << 30;
/// MAC registers: control, address, access to the PHY.
const CONTROL: u32 = 1;
const ADDRESS_HIGH: u32 = 2;
const ADDRESS_LOW: u32 = 3;
const PHY_COMMAND: u32 = 6;
const PHY_DATA: u32 = 7;
/// Full duplex, transmitter and receiver on.
const CONTROL_ON: u32 = 1 << 20 | 1 << 3 | 1 << 2;

const PHY_BUSY: u32 = 1 << 0;
const PHY_WRITE: u32 = 1 << 1;
const PHY_ADDRESS: u32 = 1 << 11;
/// PHY registers: control, status, source and mask of its interrupt.
const BASIC_CONTROL: u32 = 0;
const BASIC_STATUS: u32 = 1;
const PHY_INTERRUPTS: u32 = 29;
const PHY_INTERRUPT_MASK: u32 = 30;
const NEGOTIATE: u32 = 1 << 12 | 1 << 9;
/// Link down, negotiation complete, energy on the wire.
const LINK_CHANGES: u32 = 1 << 4 | 1 << 6 | 1 << 7;
const LINK_UP: u32 = 1 << 2;

/// Polls of a register before the chip counts as broken: it needs a handful.
const PATIENCE: u32 = 100_000;
/// Bytes of checksum that follow a received frame.
const CHECKSUM: usize = 4;
/// What the transmit FIFO needs besides a frame: two command words and alignment.
const TX_OVERHEAD: usize = 16;

/// Interrupt number of the controller.
pub const IRQ: u16 = 13;
/// Longest frame, without checksum.
pub const MTU: usize = 1514;

/// The chip does not answer, or not as it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Absent;

/// The controller, switched on.
pub struct Ethernet {
    mac: [u8; 6],
    /// Interrupts to wait for next.
    awaited: Cell<u32>,
}

impl Ethernet {
    /// Finds the controller and switches it on.
    pub fn open() -> Result<Self, Absent> {
        if read(BYTE_TEST) != BYTE_TEST_PATTERN {
            return Err(Absent);
        }
        write(HW_CONFIG, SOFT_RESET);
        poll(HW_CONFIG, SOFT_RESET)?;
        write(HW_CONFIG, MEMORY_SPLIT);
        write(FLOW_CONTROL, FLOW_CONTROL_LEVELS);
        write(INTERRUPT_ENABLE, 0);
        write(INTERRUPTS, u32::MAX);
        write(IRQ_CONFIG, IRQ_LINE);
        write(FIFO_LEVELS, TX_FREE_LEVEL);
        write(RX_CONFIG, 0);
        write(TX_CONFIG, TX_ON);
        let low = mac_read(ADDRESS_LOW)?.to_le_bytes();
        let high = mac_read(ADDRESS_HIGH)?.to_le_bytes();
        phy_write(BASIC_CONTROL, NEGOTIATE)?;
        phy_write(PHY_INTERRUPT_MASK, LINK_CHANGES)?;
        mac_write(CONTROL, CONTROL_ON)?;
        Ok(Self {
            mac: [low[0], low[1], low[2], low[3], high[0], high[1]],
            awaited: Cell::new(PHY),
        })
    }

    /// Its address on the wire.
    pub fn mac(&self) -> [u8; 6] {
        self.mac
    }

    /// Whether there is someone at the other end of the cable.
    pub fn link_is_up(&self) -> bool {
        // Reading acknowledges the PHY's interrupt. The status keeps a loss of link until it is read.
        let _ = phy_read(PHY_INTERRUPTS);
        let _ = phy_read(BASIC_STATUS);
        phy_read(BASIC_STATUS).is_ok_and(|status| status & LINK_UP != 0)
    }

    /// Begins a turn: whether the link may have changed.
    pub fn begin(&self) -> bool {
        let raised = read(INTERRUPTS);
        // That a frame arrived is acknowledged when none is left.
        write(INTERRUPTS, raised & !RX_ARRIVED);
        self.awaited.set(PHY);
        raised & PHY != 0
    }

    /// Whether a frame has arrived; if not, its arrival will be waited for.
    pub fn has_frame(&self) -> bool {
        if frames_waiting() {
            return true;
        }
        write(INTERRUPTS, RX_ARRIVED);
        // One that came in between would never be told.
        if frames_waiting() {
            return true;
        }
        self.awaited.set(self.awaited.get() | RX_ARRIVED);
        false
    }

    /// Takes the frame that has arrived: its length, or None for a damaged one.
    pub fn take_frame(&self, buffer: &mut [u8]) -> Option<usize> {
        const DAMAGED: u32 = 1 << 15;
        let status = read(RX_STATUS);
        let received = (status >> 16 & 0x3FFF) as usize;
        let len = received.saturating_sub(CHECKSUM);
        let good = status & DAMAGED == 0 && len <= buffer.len();
        let buffer = if good { &mut buffer[..len] } else { &mut [] };
        let mut chunks = buffer.chunks_mut(4);
        for _ in 0..received.div_ceil(4) {
            let word = read(RX_DATA).to_le_bytes();
            if let Some(chunk) = chunks.next() {
                chunk.copy_from_slice(&word[..chunk.len()]);
            }
        }
        good.then_some(len)
    }

    /// Whether there is room for a frame of `len` bytes; if not, room will be waited for.
    pub fn has_room(&self, len: usize) -> bool {
        if (read(TX_FIFO) & 0xFFFF) as usize >= len + TX_OVERHEAD {
            return true;
        }
        self.awaited.set(self.awaited.get() | TX_FREE);
        false
    }

    /// Sends a frame that there is room for.
    pub fn send(&self, frame: &[u8]) {
        const FIRST_AND_LAST: u32 = 1 << 13 | 1 << 12;
        let len = frame.len() as u32;
        write(TX_DATA, FIRST_AND_LAST | len);
        write(TX_DATA, len);
        for chunk in frame.chunks(4) {
            let mut word = [0; 4];
            word[..chunk.len()].copy_from_slice(chunk);
            write(TX_DATA, u32::from_le_bytes(word));
        }
        // Nobody asks how it went, but the reports would fill their FIFO.
        while read(TX_FIFO) >> 16 & 0xFF != 0 {
            read(TX_STATUS);
        }
    }

    /// Ends a turn: what was found wanting will raise the interrupt.
    pub fn end(&self) {
        write(INTERRUPT_ENABLE, self.awaited.get());
    }
}

/// The interrupt: silences the controller until the next turn ends.
pub fn on_interrupt() {
    write(INTERRUPT_ENABLE, 0);
}

fn frames_waiting() -> bool {
    read(RX_FIFO) >> 16 & 0xFF != 0
}

/// Waits until these bits are clear.
fn poll(register: usize, bits: u32) -> Result<(), Absent> {
    (0..PATIENCE)
        .any(|_| read(register) & bits == 0)
        .then_some(())
        .ok_or(Absent)
}

fn mac_read(register: u32) -> Result<u32, Absent> {
    write(MAC_COMMAND, MAC_BUSY | MAC_READ | register);
    poll(MAC_COMMAND, MAC_BUSY)?;
    Ok(read(MAC_DATA))
}

fn mac_write(register: u32, value: u32) -> Result<(), Absent> {
    write(MAC_DATA, value);
    write(MAC_COMMAND, MAC_BUSY | register);
    poll(MAC_COMMAND, MAC_BUSY)
}

fn phy_read(register: u32) -> Result<u32, Absent> {
    mac_write(PHY_COMMAND, PHY_ADDRESS | register << 6 | PHY_BUSY)?;
    phy_wait()?;
    Ok(mac_read(PHY_DATA)? & 0xFFFF)
}

fn phy_write(register: u32, value: u32) -> Result<(), Absent> {
    mac_write(PHY_DATA, value)?;
    let command = PHY_ADDRESS | register << 6 | PHY_WRITE | PHY_BUSY;
    mac_write(PHY_COMMAND, command)?;
    phy_wait()
}

fn phy_wait() -> Result<(), Absent> {
    for _ in 0..PATIENCE {
        if mac_read(PHY_COMMAND)? & PHY_BUSY == 0 {
            return Ok(());
        }
    }
    Err(Absent)
}
