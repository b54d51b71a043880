//! QEMU's qtest socket: physical memory and device registers, while the core runs.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use tokio::net::UnixStream;

use super::link::Link;
use crate::error::{BoardError, shorten};

const NAME: &str = "qtest";
/// From here on base64 beats hex.
const LARGE: usize = 4096;

pub(crate) struct Qtest {
    link: Link,
}

impl Qtest {
    pub(crate) fn new(stream: UnixStream) -> Self {
        Qtest {
            link: Link::new(NAME, stream),
        }
    }

    pub(crate) async fn read(&mut self, address: u32, len: usize) -> Result<Vec<u8>, BoardError> {
        if len == 0 {
            return Ok(Vec::new());
        }
        if len >= LARGE {
            let request = format!("b64read 0x{address:x} 0x{len:x}\n");
            let answer = self.request(&request).await?;
            return match BASE64.decode(&answer) {
                Ok(bytes) if bytes.len() == len => Ok(bytes),
                _ => Err(unexpected(&request, answer.as_bytes())),
            };
        }
        let request = format!("read 0x{address:x} 0x{len:x}\n");
        let answer = self.request(&request).await?;
        match answer.strip_prefix("0x").map(hex::decode) {
            Some(Ok(bytes)) if bytes.len() == len => Ok(bytes),
            _ => Err(unexpected(&request, answer.as_bytes())),
        }
    }

    pub(crate) async fn write(&mut self, address: u32, data: &[u8]) -> Result<(), BoardError> {
        if data.is_empty() {
            return Ok(());
        }
        let mut request = String::with_capacity(48 + 2 * data.len());
        let len = data.len();
        if len >= LARGE {
            let _ = write!(request, "b64write 0x{address:x} 0x{len:x} ");
            BASE64.encode_string(data, &mut request);
        } else {
            let _ = write!(request, "write 0x{address:x} 0x{len:x} 0x");
            request.push_str(&hex::encode(data));
        }
        request.push('\n');
        self.request(&request).await.map(drop)
    }

    pub(crate) async fn fill(
        &mut self,
        address: u32,
        len: usize,
        value: u8,
    ) -> Result<(), BoardError> {
        self.request(&format!("memset 0x{address:x} 0x{len:x} 0x{value:x}\n"))
            .await
            .map(drop)
    }

    /// One bus access of exactly 32 bits, as device registers need.
    pub(crate) async fn read_word(&mut self, address: u32) -> Result<u32, BoardError> {
        let request = format!("readl 0x{address:x}\n");
        let answer = self.request(&request).await?;
        answer
            .strip_prefix("0x")
            .and_then(|digits| u64::from_str_radix(digits, 16).ok())
            .and_then(|value| u32::try_from(value).ok())
            .ok_or_else(|| unexpected(&request, answer.as_bytes()))
    }

    /// One bus access of exactly 32 bits, as device registers need.
    pub(crate) async fn write_word(&mut self, address: u32, value: u32) -> Result<(), BoardError> {
        self.request(&format!("writel 0x{address:x} 0x{value:x}\n"))
            .await
            .map(drop)
    }

    async fn request(&mut self, line: &str) -> Result<String, BoardError> {
        self.link.send(line.as_bytes()).await?;
        let answer = self.link.read_line().await?;
        match answer.strip_prefix("OK") {
            Some(rest) => Ok(rest.trim().to_owned()),
            None => Err(unexpected(line, answer.as_bytes())),
        }
    }
}

fn unexpected(request: &str, answer: &[u8]) -> BoardError {
    BoardError::Answer {
        link: NAME,
        request: shorten(request.as_bytes()),
        answer: shorten(answer),
    }
}
