//! A TLS connection as a stream of bytes.
//!
//! Reading can be given up half way (a `select` with a timer) without harm: whatever has arrived, or
//! waits to be sent, is kept.

use alloc::{vec, vec::Vec};
use core::fmt;

use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use rustls::{
    client::UnbufferedClientConnection,
    server::UnbufferedServerConnection,
    unbuffered::{ConnectionState, EncodeError, UnbufferedStatus},
};

/// The longest record there is (RFC 8446, section 5.2), and its header.
const MAX_RECORD: usize = 5 + (1 << 14) + 256;
/// Bytes that are sent in one record.
const MAX_SENT: usize = 2048;
/// What a record has besides: header, content type, tag.
const OVERHEAD: usize = 5 + 1 + 16;
/// More than this many messages without progress are no handshake.
const MAX_STEPS: usize = 64;

/// What can go wrong.
#[derive(Debug)]
pub enum Error<E> {
    /// The stream below broke.
    Transport(E),
    /// TLS does not allow it.
    Tls(rustls::Error),
    /// The other side was gone before the handshake ended, or without taking its leave.
    Closed,
}

impl<E> From<rustls::Error> for Error<E> {
    fn from(error: rustls::Error) -> Self {
        Self::Tls(error)
    }
}

impl<E: fmt::Debug> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport(error) => write!(f, "connection lost: {error:?}"),
            Self::Tls(error) => write!(f, "{error}"),
            Self::Closed => f.write_str("closed by the other side"),
        }
    }
}

impl<E: fmt::Debug> core::error::Error for Error<E> {}

impl<E: embedded_io_async::Error> embedded_io_async::Error for Error<E> {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Transport(error) => error.kind(),
            Self::Tls(_) => ErrorKind::InvalidData,
            Self::Closed => ErrorKind::ConnectionAborted,
        }
    }
}

/// Either side of a connection; only rustls has them.
pub trait Side {
    /// What rustls keeps for this side.
    type Data;
    /// Processes what has arrived.
    fn process<'c, 'i>(
        &'c mut self,
        incoming: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data>;
}

impl Side for UnbufferedClientConnection {
    type Data = rustls::client::ClientConnectionData;
    fn process<'c, 'i>(
        &'c mut self,
        incoming: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }
}

impl Side for UnbufferedServerConnection {
    type Data = rustls::server::ServerConnectionData;
    fn process<'c, 'i>(
        &'c mut self,
        incoming: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }
}

/// A TLS connection.
pub struct Stream<T, S> {
    transport: T,
    side: S,
    /// Records that have arrived, up to `arrived`.
    incoming: Vec<u8>,
    arrived: usize,
    /// Records to be sent, from `sent` on.
    outgoing: Vec<u8>,
    sent: usize,
    /// What the other side said and nobody has read, from `read` on.
    plain: Vec<u8>,
    read: usize,
    peer_closed: bool,
}

/// What rustls needs in order to go on.
enum Next {
    /// Another look.
    Again,
    /// More from the other side; nothing can be sent yet.
    Handshake,
    /// Nothing: data can be sent, and awaited.
    Open,
}

impl<T: Read + Write, S: Side> Stream<T, S> {
    pub(crate) async fn open(transport: T, side: S) -> Result<Self, Error<T::Error>> {
        let mut stream = Self {
            transport,
            side,
            incoming: vec![0; MAX_RECORD],
            arrived: 0,
            outgoing: Vec::new(),
            sent: 0,
            plain: Vec::new(),
            read: 0,
            peer_closed: false,
        };
        let mut steps = 0;
        loop {
            match stream.step(None).await? {
                Next::Again => (),
                Next::Open => {
                    stream.send_outgoing().await?;
                    return Ok(stream);
                }
                Next::Handshake => {
                    steps += 1;
                    if steps > MAX_STEPS || stream.peer_closed {
                        return Err(Error::Closed);
                    }
                    stream.receive().await?;
                }
            }
        }
    }

    /// The stream below.
    pub fn transport(&mut self) -> &mut T {
        &mut self.transport
    }

    /// Takes leave of the other side.
    pub async fn close(&mut self) -> Result<(), Error<T::Error>> {
        while let Next::Again = self.step(Some(Outgoing::Close)).await? {}
        self.send_outgoing().await?;
        self.transport.flush().await.map_err(Error::Transport)
    }

    /// Lets rustls process what has arrived; if nothing is left to do, has it encrypt `outgoing`.
    async fn step(&mut self, outgoing: Option<Outgoing<'_>>) -> Result<Next, Error<T::Error>> {
        let UnbufferedStatus { mut discard, state } =
            self.side.process(&mut self.incoming[..self.arrived]);
        let next = match state {
            Ok(ConnectionState::EncodeTlsData(mut encoder)) => {
                let start = self.outgoing.len();
                if let Err(EncodeError::InsufficientSize(size)) = encoder.encode(&mut []) {
                    self.outgoing.resize(start + size.required_size, 0);
                    let _ = encoder.encode(&mut self.outgoing[start..]);
                }
                Next::Again
            }
            // Sent before anything else is read: see `receive`.
            Ok(ConnectionState::TransmitTlsData(data)) => {
                data.done();
                Next::Again
            }
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                self.plain.drain(..self.read);
                self.read = 0;
                while let Some(record) = traffic.next_record() {
                    let record = record?;
                    discard += record.discard;
                    self.plain.extend_from_slice(record.payload);
                }
                Next::Again
            }
            Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                if let Some(message) = outgoing {
                    let start = self.outgoing.len();
                    self.outgoing.resize(start + message.len() + OVERHEAD, 0);
                    let end = &mut self.outgoing[start..];
                    let encrypted = match message {
                        Outgoing::Data(data) => traffic.encrypt(data, end),
                        Outgoing::Close => traffic.queue_close_notify(end),
                    };
                    let len = encrypted.map_err(|_| rustls::Error::EncryptError)?;
                    self.outgoing.truncate(start + len);
                }
                Next::Open
            }
            Ok(ConnectionState::BlockedHandshake) => Next::Handshake,
            Ok(ConnectionState::PeerClosed) => {
                self.peer_closed = true;
                Next::Again
            }
            // Closed, or early data, which is not offered.
            Ok(_) => return Err(Error::Closed),
            Err(error) => {
                self.tell_why().await;
                return Err(Error::Tls(error));
            }
        };
        self.incoming.copy_within(discard..self.arrived, 0);
        self.arrived -= discard;
        Ok(next)
    }

    /// After an error, rustls has an alert for the other side. It is a courtesy. What has arrived is shown again:
    /// rustls panics when messages that it has begun with are no longer there.
    async fn tell_why(&mut self) {
        for _ in 0..MAX_STEPS {
            let UnbufferedStatus { state, .. } =
                self.side.process(&mut self.incoming[..self.arrived]);
            match state {
                Ok(ConnectionState::EncodeTlsData(mut encoder)) => {
                    let start = self.outgoing.len();
                    if let Err(EncodeError::InsufficientSize(size)) = encoder.encode(&mut []) {
                        self.outgoing.resize(start + size.required_size, 0);
                        let _ = encoder.encode(&mut self.outgoing[start..]);
                    }
                }
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                _ => break,
            }
        }
        let _ = self.send_outgoing().await;
        let _ = self.transport.flush().await;
    }

    async fn send_outgoing(&mut self) -> Result<(), Error<T::Error>> {
        while self.sent < self.outgoing.len() {
            let written = self.transport.write(&self.outgoing[self.sent..]).await;
            let written = written.map_err(Error::Transport)?;
            if written == 0 {
                return Err(Error::Closed);
            }
            self.sent += written;
        }
        self.outgoing.clear();
        self.sent = 0;
        Ok(())
    }

    /// Sends what is to be sent, and waits for more from the other side.
    async fn receive(&mut self) -> Result<(), Error<T::Error>> {
        self.send_outgoing().await?;
        let room = &mut self.incoming[self.arrived..];
        if room.is_empty() {
            return Err(Error::Tls(rustls::Error::PeerSentOversizedRecord));
        }
        let received = self.transport.read(room).await.map_err(Error::Transport)?;
        if received == 0 {
            return Err(Error::Closed);
        }
        self.arrived += received;
        Ok(())
    }
}

#[derive(Clone, Copy)]
enum Outgoing<'a> {
    Data(&'a [u8]),
    Close,
}

impl Outgoing<'_> {
    fn len(self) -> usize {
        match self {
            Self::Data(data) => data.len(),
            // An alert.
            Self::Close => 2,
        }
    }
}

impl<T: ErrorType, S> ErrorType for Stream<T, S> {
    type Error = Error<T::Error>;
}

impl<T: Read + Write, S: Side> Read for Stream<T, S> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Self::Error> {
        if buffer.is_empty() {
            return Ok(0);
        }
        while self.read == self.plain.len() {
            if self.peer_closed {
                return Ok(0);
            }
            match self.step(None).await? {
                Next::Again => (),
                Next::Handshake | Next::Open => self.receive().await?,
            }
        }
        let unread = &self.plain[self.read..];
        let len = unread.len().min(buffer.len());
        buffer[..len].copy_from_slice(&unread[..len]);
        self.read += len;
        Ok(len)
    }
}

impl<T: Read + Write, S: Side> Write for Stream<T, S> {
    async fn write(&mut self, buffer: &[u8]) -> Result<usize, Self::Error> {
        if buffer.is_empty() {
            return Ok(0);
        }
        self.send_outgoing().await?;
        let data = &buffer[..buffer.len().min(MAX_SENT)];
        loop {
            match self.step(Some(Outgoing::Data(data))).await? {
                Next::Again => (),
                Next::Open => break,
                Next::Handshake => return Err(Error::Closed),
            }
        }
        self.send_outgoing().await?;
        Ok(data.len())
    }

    async fn flush(&mut self) -> Result<(), Self::Error> {
        self.send_outgoing().await?;
        self.transport.flush().await.map_err(Error::Transport)
    }
}
