//! One control socket of the emulator.

use std::{io, sync::Arc, time::Duration};

use tokio::{io::Interest, net::UnixStream, time::timeout};

use crate::error::BoardError;

/// The emulator answers in microseconds; this only ends a wait for one that hangs.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) struct Link {
    name: &'static str,
    stream: Arc<UnixStream>,
    received: Vec<u8>,
    consumed: usize,
}

impl Link {
    pub(crate) fn new(name: &'static str, stream: UnixStream) -> Self {
        Link {
            name,
            stream: Arc::new(stream),
            received: Vec::new(),
            consumed: 0,
        }
    }

    /// The socket itself, to wait until there is something to read.
    pub(crate) fn stream(&self) -> Arc<UnixStream> {
        Arc::clone(&self.stream)
    }

    pub(crate) async fn send(&mut self, mut data: &[u8]) -> Result<(), BoardError> {
        while !data.is_empty() {
            match self.stream.try_write(data) {
                Ok(written) => data = &data[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let ready = timeout(ANSWER_TIMEOUT, self.stream.ready(Interest::WRITABLE));
                    ready
                        .await
                        .map_err(|_| self.hangs())?
                        .map_err(|e| self.lost(e))?;
                }
                Err(error) => return Err(self.lost(error)),
            }
        }
        Ok(())
    }

    /// Bytes that have arrived and are not consumed yet.
    pub(crate) fn pending(&self) -> &[u8] {
        &self.received[self.consumed..]
    }

    pub(crate) fn consume(&mut self, count: usize) {
        self.consumed += count;
        if self.consumed == self.received.len() {
            self.received.clear();
            self.consumed = 0;
        }
    }

    /// Takes what has arrived, without waiting. Returns whether there was anything.
    pub(crate) fn try_fill(&mut self) -> Result<bool, BoardError> {
        let mut any = false;
        loop {
            let mut chunk = [0; 16 * 1024];
            match self.stream.try_read(&mut chunk) {
                Ok(0) => return Err(self.lost(io::ErrorKind::UnexpectedEof.into())),
                Ok(count) => {
                    self.received.extend_from_slice(&chunk[..count]);
                    any = true;
                    if count < chunk.len() {
                        return Ok(true);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(any),
                Err(error) => return Err(self.lost(error)),
            }
        }
    }

    /// Waits for more.
    pub(crate) async fn fill(&mut self) -> Result<(), BoardError> {
        while !self.try_fill()? {
            let ready = timeout(ANSWER_TIMEOUT, self.stream.readable());
            ready
                .await
                .map_err(|_| self.hangs())?
                .map_err(|e| self.lost(e))?;
        }
        Ok(())
    }

    pub(crate) async fn read_line(&mut self) -> Result<String, BoardError> {
        let mut searched = 0;
        loop {
            if let Some(end) = self.pending()[searched..].iter().position(|&b| b == b'\n') {
                let end = searched + end;
                let line = String::from_utf8_lossy(&self.pending()[..end])
                    .trim_end()
                    .to_owned();
                self.consume(end + 1);
                return Ok(line);
            }
            searched = self.pending().len();
            self.fill().await?;
        }
    }

    fn hangs(&self) -> BoardError {
        let waited = ANSWER_TIMEOUT.as_secs();
        self.lost(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("no answer within {waited} s"),
        ))
    }

    fn lost(&self, source: io::Error) -> BoardError {
        BoardError::Link {
            link: self.name,
            source,
        }
    }
}
