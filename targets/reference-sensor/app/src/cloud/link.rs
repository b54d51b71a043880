//! A connection to a server: encrypted, as it has to be, or in the clear, as flaws have it.

use embassy_net::tcp::TcpSocket;
use embedded_io_async::{Error as _, ErrorKind, ErrorType, Read, Write};
use tls::{Stream, rustls::client::UnbufferedClientConnection};

/// A connection.
pub(super) enum Link<'a, 'b> {
    Encrypted(Stream<&'a mut TcpSocket<'b>, UnbufferedClientConnection>),
    /// Only with a flaw.
    Plain(&'a mut TcpSocket<'b>),
}

impl ErrorType for Link<'_, '_> {
    type Error = ErrorKind;
}

impl Read for Link<'_, '_> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
        match self {
            Self::Encrypted(stream) => stream.read(buffer).await.map_err(|error| error.kind()),
            Self::Plain(socket) => socket.read(buffer).await.map_err(|error| error.kind()),
        }
    }
}

impl Write for Link<'_, '_> {
    async fn write(&mut self, buffer: &[u8]) -> Result<usize, ErrorKind> {
        match self {
            Self::Encrypted(stream) => stream.write(buffer).await.map_err(|error| error.kind()),
            Self::Plain(socket) => socket.write(buffer).await.map_err(|error| error.kind()),
        }
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        match self {
            Self::Encrypted(stream) => stream.flush().await.map_err(|error| error.kind()),
            Self::Plain(socket) => socket.flush().await.map_err(|error| error.kind()),
        }
    }
}
