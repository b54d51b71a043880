//! The ways to a serial port: one of this machine, or one behind a network.

use std::{io, time::Duration};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_serial::SerialStream;

use super::{rfc2217, rtt};
use crate::{bench::Probe, inventory::ConsolePort};

/// A server that takes longer to answer is none.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// An open port.
pub(super) type Wire = Box<dyn Transport>;

/// Bytes to and from the DUT.
pub(super) trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// What a port is opened by.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) port: ConsolePort,
    pub(super) baud: u32,
    /// For RTT.
    pub(super) probe: Option<Probe>,
}

/// Opens the port; one of this machine is then ours alone.
pub(super) async fn open(line: &Line) -> io::Result<Wire> {
    let baud = line.baud;
    Ok(match &line.port {
        ConsolePort::Serial(path) => {
            let builder = tokio_serial::new(path.to_string_lossy(), baud);
            Box::new(SerialStream::open(&builder)?)
        }
        ConsolePort::Socket(server) => Box::new(connect(server).await?),
        ConsolePort::Rfc2217(server) => {
            Box::new(rfc2217::open(connect(server).await?, baud).await?)
        }
        ConsolePort::Rtt(port) => Box::new(rtt::open(line.probe.as_ref(), *port)?),
    })
}

/// Whoever is gone without a word (a server whose power failed) is noticed within seconds.
async fn connect(server: &str) -> io::Result<TcpStream> {
    let stream = timeout(CONNECT_LIMIT, TcpStream::connect(server))
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no answer"))??;
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(5))
        .with_interval(Duration::from_secs(2))
        .with_retries(3);
    SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
    Ok(stream)
}
