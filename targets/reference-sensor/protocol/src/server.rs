//! HTTP/1.1 as a server (RFC 9112): questions, and the heads of answers.

use core::fmt::{self, Write as _};

use heapless::String;

/// Longest head of a question.
pub const MAX_HEAD: usize = 1024;
/// Longest body of a question.
pub const MAX_BODY: usize = 1024;
const MAX_HEADERS: usize = 24;
/// Longest head of an answer.
pub const MAX_ANSWER: usize = 640;
/// The cookie with the token of a session.
const COOKIE: &str = "session";

/// The head of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question<'a> {
    /// Bytes of the head: the body begins behind it.
    pub len: usize,
    /// `GET`, ...
    pub method: &'a str,
    /// Path and query.
    pub path: &'a str,
    /// Token of the session.
    pub session: Option<&'a str>,
    /// Bytes of the body.
    pub body: usize,
    /// The client will not ask again.
    pub last: bool,
}

/// Not a question that is answered: the status says why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub Status);

/// Reads the head of a question; None while it is not complete.
pub fn question(bytes: &[u8]) -> Result<Option<Question<'_>>, Malformed> {
    let bad = Malformed(Status::BadRequest);
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let len = match request.parse(bytes) {
        Ok(httparse::Status::Complete(len)) if len <= MAX_HEAD => len,
        Ok(httparse::Status::Partial) if bytes.len() < MAX_HEAD => return Ok(None),
        Ok(_) | Err(httparse::Error::TooManyHeaders) => {
            return Err(Malformed(Status::HeadTooLarge));
        }
        Err(_) => return Err(bad),
    };
    let mut question = Question {
        len,
        method: request.method.ok_or(bad)?,
        path: request.path.ok_or(bad)?,
        session: None,
        body: 0,
        last: request.version == Some(0),
    };
    let mut length = None;
    for header in request.headers.iter() {
        let named = |name: &str| header.name.eq_ignore_ascii_case(name);
        let value = || core::str::from_utf8(header.value).map_err(|_| bad);
        if named("content-length") {
            let digits = value()?.trim();
            // `parse` would take a sign; two lengths are a trick (RFC 9112, section 6.3).
            if !digits.bytes().all(|byte| byte.is_ascii_digit()) || length.is_some() {
                return Err(bad);
            }
            length = Some(digits.parse().map_err(|_| Malformed(Status::TooLarge))?);
        } else if named("transfer-encoding") {
            return Err(Malformed(Status::NotImplemented));
        } else if named("connection") {
            question.last |= value()?.trim().eq_ignore_ascii_case("close");
        } else if named("cookie") {
            question.session = cookie(value()?).or(question.session);
        }
    }
    question.body = length.unwrap_or(0);
    if question.body > MAX_BODY {
        return Err(Malformed(Status::TooLarge));
    }
    Ok(Some(question))
}

/// Our cookie among those of a header (RFC 6265, section 4.2.1).
fn cookie(header: &str) -> Option<&str> {
    header.split(';').find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == COOKIE).then_some(value)
    })
}

/// Status of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
#[allow(missing_docs)] // their names are those of RFC 9110, or nearly
pub enum Status {
    Ok = 200,
    Accepted = 202,
    BadRequest = 400,
    Unauthorized = 401,
    NotFound = 404,
    MethodNotAllowed = 405,
    Conflict = 409,
    TooLarge = 413,
    Unprocessable = 422,
    TooManyRequests = 429,
    HeadTooLarge = 431,
    Failed = 500,
    NotImplemented = 501,
    Unavailable = 503,
}

impl Status {
    fn reason(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Accepted => "Accepted",
            Self::BadRequest => "Bad Request",
            Self::Unauthorized => "Unauthorized",
            Self::NotFound => "Not Found",
            Self::MethodNotAllowed => "Method Not Allowed",
            Self::Conflict => "Conflict",
            Self::TooLarge => "Content Too Large",
            Self::Unprocessable => "Unprocessable Content",
            Self::TooManyRequests => "Too Many Requests",
            Self::HeadTooLarge => "Request Header Fields Too Large",
            Self::Failed => "Internal Server Error",
            Self::NotImplemented => "Not Implemented",
            Self::Unavailable => "Service Unavailable",
        }
    }
}

/// The head of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    /// How it went.
    pub status: Status,
    /// Media type of the body.
    pub kind: &'static str,
    /// Bytes of the body; None if it ends with the connection.
    pub body: Option<usize>,
    /// Token of the session that begins; `""` if one ends.
    pub session: Option<&'a str>,
    /// Seconds until it is of use to try again.
    pub retry_after: Option<u32>,
    /// Methods that would have been possible.
    pub allow: Option<&'static str>,
    /// Nothing else is answered on this connection.
    pub last: bool,
}

impl Answer<'_> {
    /// As it is sent. No name and no version of the server is in it: nobody needs to know.
    pub fn head(&self) -> Option<String<MAX_ANSWER>> {
        let mut head = String::new();
        self.write(&mut head).ok()?;
        Some(head)
    }

    fn write(&self, head: &mut String<MAX_ANSWER>) -> fmt::Result {
        let (status, reason) = (self.status as u16, self.status.reason());
        write!(head, "HTTP/1.1 {status} {reason}\r\n")?;
        write!(head, "Content-Type: {}\r\n", self.kind)?;
        if let Some(len) = self.body {
            write!(head, "Content-Length: {len}\r\n")?;
        }
        if self.last || self.body.is_none() {
            head.write_str("Connection: close\r\n")?;
        }
        match self.session {
            Some("") => write!(
                head,
                "Set-Cookie: {COOKIE}=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Strict\r\n"
            )?,
            Some(token) => write!(
                head,
                "Set-Cookie: {COOKIE}={token}; Path=/; Secure; HttpOnly; SameSite=Strict\r\n"
            )?,
            None => (),
        }
        if let Some(seconds) = self.retry_after {
            write!(head, "Retry-After: {seconds}\r\n")?;
        }
        if let Some(methods) = self.allow {
            write!(head, "Allow: {methods}\r\n")?;
        }
        // What is shown is the user's, is not to be kept anywhere, and is never a script.
        head.write_str(
            "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n\
             Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n\r\n",
        )
    }
}

/// A text within HTML, where it stays a text.
pub struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}
