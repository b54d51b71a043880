//! SNTP client (RFC 4330): the one question, and what to believe of the answer.

/// Bytes of question and answer.
pub const PACKET: usize = 48;
/// Seconds from 1900, where NTP begins, to 1970, where UNIX time does.
const TO_UNIX: u64 = 2_208_988_800;
/// Version 4, mode 3: client.
const QUESTION: u8 = 4 << 3 | 3;
const MODE_SERVER: u8 = 4;
const UNSYNCHRONISED: u8 = 3;
const HIGHEST_STRATUM: u8 = 15;

/// Why an answer is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// Not an answer of a server.
    Malformed,
    /// Not the answer to this question.
    NotOurs,
    /// The server does not know the time itself, or wants to be left alone.
    Unsynchronised,
}

/// The question. The server repeats `cookie`; whoever does not see the question can't.
pub fn question(cookie: u64) -> [u8; PACKET] {
    let mut packet = [0; PACKET];
    packet[0] = QUESTION;
    packet[40..].copy_from_slice(&cookie.to_be_bytes());
    packet
}

/// Seconds since 1970, of the answer to the question with this cookie.
pub fn answer(packet: &[u8], cookie: u64) -> Result<u64, Unusable> {
    let packet = packet.first_chunk::<PACKET>().ok_or(Unusable::Malformed)?;
    if packet[0] & 7 != MODE_SERVER {
        return Err(Unusable::Malformed);
    }
    if packet[24..32] != cookie.to_be_bytes() {
        return Err(Unusable::NotOurs);
    }
    let stratum = packet[1];
    if packet[0] >> 6 == UNSYNCHRONISED || stratum == 0 || stratum > HIGHEST_STRATUM {
        return Err(Unusable::Unsynchronised);
    }
    let seconds = u64::from(u32::from_be_bytes(core::array::from_fn(|i| packet[40 + i])));
    // From 2036 on the seconds start over (RFC 4330, section 3).
    let seconds = if seconds >> 31 == 0 {
        seconds + (1 << 32)
    } else {
        seconds
    };
    Ok(seconds - TO_UNIX)
}
