//! HTTP/1.1 as a client (RFC 9112): the question, and the head of the answer.

use core::fmt::Write as _;

use heapless::String;

/// Longest question.
pub const MAX_REQUEST: usize = 256;
/// Longest head of an answer.
pub const MAX_HEAD: usize = 1024;
const MAX_HEADERS: usize = 24;

/// The head of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Bytes of the head: the body begins behind it.
    pub len: usize,
    /// Status code.
    pub status: u16,
    /// Bytes of the body.
    pub body: u32,
    /// First byte of the body within the whole, and length of the whole, of a part.
    pub part: Option<(u32, u32)>,
}

/// Not an answer that this client understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Asks for a file, or for `count` bytes of it from `start` on.
pub fn get(host: &str, path: &[&str], range: Option<(u32, u32)>) -> Option<String<MAX_REQUEST>> {
    let mut request = String::new();
    request.push_str("GET ").ok()?;
    for part in path {
        write!(request, "/{part}").ok()?;
    }
    write!(request, " HTTP/1.1\r\nHost: {host}\r\n").ok()?;
    if let Some((start, count)) = range {
        let last = start.checked_add(count)?.checked_sub(1)?;
        write!(request, "Range: bytes={start}-{last}\r\n").ok()?;
    }
    request.push_str("\r\n").ok()?;
    Some(request)
}

/// Reads the head of an answer; None while it is not complete.
pub fn head(bytes: &[u8]) -> Result<Option<Head>, Malformed> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(len) = response.parse(bytes).map_err(|_| Malformed)? else {
        return if bytes.len() < MAX_HEAD {
            Ok(None)
        } else {
            Err(Malformed)
        };
    };
    let mut body = None;
    let mut part = None;
    for header in response.headers.iter() {
        let value = core::str::from_utf8(header.value).map_err(|_| Malformed)?;
        let value = value.trim();
        if header.name.eq_ignore_ascii_case("content-length") {
            // Two lengths are a trick (RFC 9112, section 6.3).
            if body.replace(number(value)?).is_some() {
                return Err(Malformed);
            }
        } else if header.name.eq_ignore_ascii_case("content-range") {
            part = Some(range(value).ok_or(Malformed)?);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(Malformed);
        }
    }
    Ok(Some(Head {
        len,
        status: response.code.ok_or(Malformed)?,
        body: body.ok_or(Malformed)?,
        part,
    }))
}

/// `bytes FIRST-LAST/WHOLE`: first byte and length of the whole.
fn range(value: &str) -> Option<(u32, u32)> {
    let (range, whole) = value.strip_prefix("bytes ")?.split_once('/')?;
    let (first, _) = range.split_once('-')?;
    Some((number(first).ok()?, number(whole).ok()?))
}

fn number(digits: &str) -> Result<u32, Malformed> {
    // `parse` would take a sign.
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        digits.parse().map_err(|_| Malformed)
    } else {
        Err(Malformed)
    }
}
