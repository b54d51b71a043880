//! The target's side of the serial wire: what a probe clocks in and out bit by bit.
//!
//! Probes do this only to connect (line reset, first DPIDR); then they use the
//! accelerated commands of the remote protocol.

const LINE_RESET_ONES: u32 = 50;

/// A complete request of eight bits with good parity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) ap: bool,
    pub(crate) read: bool,
    /// Register address in the port: 0, 4, 8 or 12.
    pub(crate) address: u8,
}

/// The target's three bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ack {
    Ok = 0b001,
    Fault = 0b100,
}

/// What a driven bit completes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    LineReset,
    /// To be answered with [`Line::answer`] before the probe reads.
    Request(Request),
    /// Data phase of an acknowledged write.
    Data {
        request: Request,
        value: u32,
        parity_ok: bool,
    },
}

#[derive(Debug)]
enum State {
    /// Protocol error or power-up: only a line reset helps.
    Lost,
    /// In a line reset, until the line goes low.
    Reset,
    Idle,
    Request {
        bits: u8,
        count: u8,
    },
    Answer {
        bits: u64,
        left: u8,
        then: Option<Request>,
    },
    Data {
        request: Request,
        bits: u64,
        count: u8,
    },
}

#[derive(Debug)]
pub(crate) struct Line {
    state: State,
    ones: u32,
}

impl Line {
    pub(crate) fn new() -> Self {
        Line {
            state: State::Lost,
            ones: 0,
        }
    }

    /// The probe drives one bit.
    pub(crate) fn drive(&mut self, bit: bool) -> Option<Event> {
        self.ones = if bit { self.ones + 1 } else { 0 };
        if self.ones == LINE_RESET_ONES {
            self.state = State::Reset;
            return Some(Event::LineReset);
        }
        match self.state {
            State::Lost => None,
            State::Reset => {
                if !bit {
                    self.state = State::Idle;
                }
                None
            }
            State::Answer {
                then: Some(request),
                ..
            } => {
                self.state = State::Data {
                    request,
                    bits: u64::from(bit),
                    count: 1,
                };
                None
            }
            State::Idle | State::Answer { .. } => {
                self.state = if bit {
                    State::Request { bits: 1, count: 1 }
                } else {
                    State::Idle
                };
                None
            }
            State::Request { bits, count } => {
                self.request_bit(bits | u8::from(bit) << count, count + 1)
            }
            State::Data {
                request,
                bits,
                count,
            } => {
                let bits = bits | u64::from(bit) << count;
                if count < 32 {
                    self.state = State::Data {
                        request,
                        bits,
                        count: count + 1,
                    };
                    return None;
                }
                self.state = State::Idle;
                Some(Event::Data {
                    request,
                    value: (bits & 0xFFFF_FFFF) as u32,
                    parity_ok: bits.count_ones().is_multiple_of(2),
                })
            }
        }
    }

    fn request_bit(&mut self, bits: u8, count: u8) -> Option<Event> {
        if count < 8 {
            self.state = State::Request { bits, count };
            return None;
        }
        let bit = |n: u8| bits >> n & 1 == 1;
        let parity_ok = (bits >> 1 & 0x1F).count_ones().is_multiple_of(2);
        // Stop is low, park is high.
        if bit(6) || !bit(7) || !parity_ok {
            self.state = State::Lost;
            return None;
        }
        Some(Event::Request(Request {
            ap: bit(1),
            read: bit(2),
            address: (bits >> 3 & 0b11) << 2,
        }))
    }

    /// What the probe will read after its request.
    pub(crate) fn answer(&mut self, request: Request, ack: Ack, value: u32) {
        let ack = ack as u64;
        self.state = if request.read {
            let parity = u64::from(value.count_ones() & 1);
            State::Answer {
                bits: ack | u64::from(value) << 3 | parity << 35,
                left: 36,
                then: None,
            }
        } else {
            State::Answer {
                bits: ack,
                left: 3,
                then: Some(request),
            }
        };
    }

    /// The probe reads one bit; an undriven line is pulled up.
    pub(crate) fn sample(&mut self) -> bool {
        match &mut self.state {
            State::Answer { bits, left, .. } if *left > 0 => {
                let bit = *bits & 1 == 1;
                *bits >>= 1;
                *left -= 1;
                bit
            }
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn drive(line: &mut Line, value: u64, len: u32) -> Vec<Event> {
        (0..len)
            .filter_map(|n| line.drive(value >> n & 1 == 1))
            .collect()
    }

    fn connected() -> Line {
        let mut line = Line::new();
        assert_eq!(
            drive(&mut line, (1 << 51) - 1, 54),
            [Event::LineReset],
            "51 high, 3 low"
        );
        line
    }

    const READ_DPIDR: u64 = 0xA5;
    const WRITE_ABORT: u64 = 0x81;

    #[test]
    fn a_read_is_answered_with_data_and_parity() {
        let mut line = connected();
        let request = Request {
            ap: false,
            read: true,
            address: 0,
        };
        assert_eq!(drive(&mut line, READ_DPIDR, 8), [Event::Request(request)]);
        line.answer(request, Ack::Ok, 0x2BA0_1477);
        let bits = (0..36).fold(0u64, |bits, n| bits | u64::from(line.sample()) << n);
        assert_eq!(bits & 0b111, 0b001);
        assert_eq!(bits >> 3 & 0xFFFF_FFFF, 0x2BA0_1477);
        assert_eq!(bits >> 35, u64::from(0x2BA0_1477u32.count_ones() & 1));
    }

    #[rstest]
    #[case(0x1E, true)]
    #[case(0x1F, false)]
    fn a_write_has_its_data_phase(#[case] value: u64, #[case] parity_ok: bool) {
        let mut line = connected();
        let request = Request {
            ap: false,
            read: false,
            address: 0,
        };
        assert_eq!(drive(&mut line, WRITE_ABORT, 8), [Event::Request(request)]);
        line.answer(request, Ack::Ok, 0);
        assert_eq!(
            [line.sample(), line.sample(), line.sample()],
            [true, false, false]
        );
        assert_eq!(
            drive(&mut line, value, 33),
            [Event::Data {
                request,
                value: value as u32,
                parity_ok
            }]
        );
    }

    #[test]
    fn nobody_answers_before_a_line_reset_or_after_a_bad_request() {
        let mut line = Line::new();
        assert_eq!(drive(&mut line, READ_DPIDR, 8), []);
        assert!(line.sample());
        let mut line = connected();
        assert_eq!(drive(&mut line, READ_DPIDR ^ 0x20, 8), [], "parity");
        assert_eq!(drive(&mut line, READ_DPIDR, 8), [], "still lost");
    }
}
