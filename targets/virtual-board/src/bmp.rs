//! The Black Magic Probe remote protocol, version 4: requests parsed, answers written.
//! Only what probe-rs uses for SWD; all else is answered as not supported.

/// The longest frame that is accepted; probes have a buffer of 1024 bytes.
pub(crate) const MAX_FRAME: usize = 2048;
const PROTOCOL_VERSION: u64 = 4;
/// Bit 0: the probe does ADIv5 accesses itself.
const ACCELERATORS: u64 = 1;

/// A request without its frame (`!` and `#`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Request {
    Start,
    ProtocolVersion,
    Accelerators,
    Voltage,
    Frequency,
    SetFrequency {
        hertz: u32,
    },
    /// Lines that have no meaning on this board.
    Ignored,
    ResetPin {
        low: bool,
    },
    SwdInit,
    SwdOut {
        bits: u32,
        len: u8,
    },
    SwdIn {
        len: u8,
    },
    DpRead {
        address: u8,
    },
    DpWrite {
        address: u8,
        value: u32,
    },
    ApRead {
        port: u8,
        address: u8,
    },
    ApWrite {
        port: u8,
        address: u8,
        value: u32,
    },
    MemoryRead {
        address: u32,
        len: usize,
    },
    MemoryWrite {
        address: u32,
        size: usize,
        data: Vec<u8>,
    },
}

/// Why a request is not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rejected {
    NotSupported,
    Malformed,
}

impl Request {
    pub(crate) fn parse(frame: &[u8]) -> Result<Self, Rejected> {
        let text = std::str::from_utf8(frame).map_err(|_| Rejected::Malformed)?;
        let mut fields = match text.get(..2) {
            Some(_) => Fields(&text[2..]),
            None => return Err(Rejected::Malformed),
        };
        let request = match &text[..2] {
            "GA" => Request::Start,
            "HC" => Request::ProtocolVersion,
            "HA" => Request::Accelerators,
            "GV" => Request::Voltage,
            "Gf" => Request::Frequency,
            "GF" => Request::SetFrequency {
                hertz: fields.hex(8)? as u32,
            },
            "GP" | "GE" => Request::Ignored,
            "GZ" => Request::ResetPin {
                low: fields.hex(1)? == 1,
            },
            "SS" => Request::SwdInit,
            "So" => Request::SwdOut {
                len: fields.bit_count()?,
                bits: fields.rest_hex()?,
            },
            "Si" => Request::SwdIn {
                len: fields.bit_count()?,
            },
            "Ad" => {
                fields.device()?;
                fields.hex(2)?;
                Request::DpRead {
                    address: fields.hex(4)? as u8,
                }
            }
            "AR" => {
                fields.device()?;
                let read = fields.hex(2)? != 0;
                let address = fields.hex(4)? as u8;
                let value = fields.hex(8)? as u32;
                if read {
                    Request::DpRead { address }
                } else {
                    Request::DpWrite { address, value }
                }
            }
            "Aa" => {
                fields.ap_device()?;
                Request::ApRead {
                    port: fields.hex(2)? as u8,
                    address: fields.hex(4)? as u8,
                }
            }
            "AA" => {
                fields.ap_device()?;
                Request::ApWrite {
                    port: fields.hex(2)? as u8,
                    address: fields.hex(4)? as u8,
                    // Sent in the order of memory, other than in AR.
                    value: (fields.hex(8)? as u32).swap_bytes(),
                }
            }
            "Am" => {
                let address = fields.memory_address()?;
                let len = fields.length()?;
                Request::MemoryRead { address, len }
            }
            "AM" => {
                fields.memory_port()?;
                let size = 1 << fields.hex(2)?.min(3);
                let address = fields.address()?;
                let len = fields.length()?;
                let data = hex::decode(fields.0).map_err(|_| Rejected::Malformed)?;
                if data.len() != len {
                    return Err(Rejected::Malformed);
                }
                return Ok(Request::MemoryWrite {
                    address,
                    size,
                    data,
                });
            }
            _ => return Err(Rejected::NotSupported),
        };
        Ok(request)
    }
}

/// Fields of fixed width in hexadecimal digits.
struct Fields<'a>(&'a str);

impl Fields<'_> {
    fn hex(&mut self, digits: usize) -> Result<u64, Rejected> {
        let (field, rest) = self.0.split_at_checked(digits).ok_or(Rejected::Malformed)?;
        self.0 = rest;
        u64::from_str_radix(field, 16).map_err(|_| Rejected::Malformed)
    }

    fn rest_hex(&mut self) -> Result<u32, Rejected> {
        u32::from_str_radix(self.0, 16).map_err(|_| Rejected::Malformed)
    }

    fn bit_count(&mut self) -> Result<u8, Rejected> {
        match self.hex(2)? {
            count @ 0..=32 => Ok(count as u8),
            _ => Err(Rejected::Malformed),
        }
    }

    /// There is one device on the wire.
    fn device(&mut self) -> Result<(), Rejected> {
        match self.hex(2)? {
            0 => Ok(()),
            _ => Err(Rejected::NotSupported),
        }
    }

    /// In accesses to an access port's register, hosts put bits 8 to 15 of an ADIv6
    /// register address where the device belongs (IDR: 0xDFC); ADIv5 has no such bits.
    fn ap_device(&mut self) -> Result<(), Rejected> {
        self.hex(2).map(drop)
    }

    /// Device, access port and its CSW, which a probe sets as it needs.
    fn memory_port(&mut self) -> Result<(), Rejected> {
        self.device()?;
        let port = self.hex(2)?;
        self.hex(8)?;
        if port == 0 {
            Ok(())
        } else {
            Err(Rejected::NotSupported)
        }
    }

    fn memory_address(&mut self) -> Result<u32, Rejected> {
        self.memory_port()?;
        self.address()
    }

    fn address(&mut self) -> Result<u32, Rejected> {
        self.hex(16)?.try_into().map_err(|_| Rejected::Malformed)
    }

    fn length(&mut self) -> Result<usize, Rejected> {
        match self.hex(8)? {
            len if len <= MAX_FRAME as u64 / 2 => Ok(len as usize),
            _ => Err(Rejected::Malformed),
        }
    }
}

/// An answer without its frame (`&` and `#`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Done,
    Value(u64),
    Text(String),
    /// A register, sent in the order of memory.
    Register(u32),
    Memory(Vec<u8>),
    /// The target did not acknowledge, or answered FAULT.
    NoResponse,
    Fault,
    Rejected(Rejected),
}

impl Answer {
    pub(crate) const PROTOCOL_VERSION: Answer = Answer::Value(PROTOCOL_VERSION);
    pub(crate) const ACCELERATORS: Answer = Answer::Value(ACCELERATORS);

    pub(crate) fn to_frame(&self) -> Vec<u8> {
        const ERROR_FAULT: u32 = 3;
        let text = match self {
            Answer::Done => "K0".to_owned(),
            Answer::Value(value) => format!("K{value:x}"),
            Answer::Text(text) => format!("K{text}"),
            Answer::Register(value) => format!("K{:08x}", value.swap_bytes()),
            Answer::Memory(bytes) => format!("K{}", hex::encode(bytes)),
            Answer::NoResponse => format!("E{:x}", 0b111 << 8 | ERROR_FAULT),
            Answer::Fault => format!("E{:x}", 0b100 << 8 | ERROR_FAULT),
            Answer::Rejected(Rejected::NotSupported) => "N0".to_owned(),
            Answer::Rejected(Rejected::Malformed) => "P0".to_owned(),
        };
        format!("&{text}#").into_bytes()
    }
}

/// Takes the next complete request out of what has been received. What is outside of
/// a frame (acknowledgements of the GDB protocol) is skipped.
pub(crate) fn take_frame(received: &mut Vec<u8>) -> Option<Vec<u8>> {
    let Some(start) = received.iter().position(|&b| b == b'!') else {
        received.clear();
        return None;
    };
    let Some(len) = received[start..].iter().position(|&b| b == b'#') else {
        if received.len() - start > MAX_FRAME {
            received.clear();
        }
        return None;
    };
    let frame = received[start + 1..start + len].to_vec();
    received.drain(..=start + len);
    Some(frame)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("GA", Request::Start)]
    #[case("GZ1", Request::ResetPin { low: true })]
    #[case("GF003d0900", Request::SetFrequency { hertz: 4_000_000 })]
    #[case("So083f", Request::SwdOut { bits: 0x3F, len: 8 })]
    #[case("Si20", Request::SwdIn { len: 32 })]
    #[case("Ad00ff0004", Request::DpRead { address: 4 })]
    #[case("AR0000000450000f00", Request::DpWrite { address: 4, value: 0x5000_0F00 })]
    #[case("Aa000101fc", Request::ApRead { port: 1, address: 0xFC })]
    #[case("Aa0d0001fc", Request::ApRead { port: 0, address: 0xFC })]
    #[case("AA0001010401000000", Request::ApWrite { port: 1, address: 4, value: 1 })]
    #[case("Am0000a3000040000000002000000000000004", Request::MemoryRead { address: 0x2000_0000, len: 4 })]
    #[case("AM0000a3000040020000000020000000000000020aff", Request::MemoryWrite { address: 0x2000_0000, size: 4, data: vec![0x0A, 0xFF] })]
    fn requests_as_the_host_writes_them(#[case] frame: &str, #[case] expected: Request) {
        assert_eq!(Request::parse(frame.as_bytes()), Ok(expected));
    }

    #[rstest]
    #[case("", Rejected::Malformed)]
    #[case("S", Rejected::Malformed)]
    #[case("Si", Rejected::Malformed)]
    #[case("Si40", Rejected::Malformed)]
    #[case("JS", Rejected::NotSupported)]
    #[case("A6a00", Rejected::NotSupported)]
    #[case("Am0000a3000040ffffffffffffffff00000004", Rejected::Malformed)]
    #[case("Am0000a30000400000000020000000ffffffff", Rejected::Malformed)]
    #[case("AM0000a300004002000000002000000000000004aa", Rejected::Malformed)]
    #[case("Ad01ff0004", Rejected::NotSupported)]
    #[case("\u{e9}\u{e9}", Rejected::NotSupported)]
    fn nonsense_is_rejected(#[case] frame: &str, #[case] expected: Rejected) {
        assert_eq!(Request::parse(frame.as_bytes()), Err(expected));
    }

    #[test]
    fn registers_go_out_in_the_order_of_memory() {
        assert_eq!(Answer::Register(0x2BA0_1477).to_frame(), b"&K7714a02b#");
    }

    #[test]
    fn frames_are_found_in_a_stream() {
        let mut received = b"+#!GA#noise !HC#!S".to_vec();
        assert_eq!(take_frame(&mut received), Some(b"GA".to_vec()));
        assert_eq!(take_frame(&mut received), Some(b"HC".to_vec()));
        assert_eq!(take_frame(&mut received), None);
        assert_eq!(received, b"!S");
        received.extend(std::iter::repeat_n(b'x', MAX_FRAME));
        assert_eq!(take_frame(&mut received), None);
        assert!(received.is_empty(), "an endless frame is not kept");
    }
}
