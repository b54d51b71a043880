//! The ways to a serial port: one of this machine, or one behind a network.

use std::{io, time::Duration};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_serial::SerialStream;

use super::{log, rfc2217, rtt};
use crate::{Probe, inventory::ConsolePort};

/// A server that takes longer to answer is none.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// A server that has nothing to offer says so within this time, and in so many bytes.
const REFUSAL_LIMIT: Duration = Duration::from_millis(200);
const LONGEST_REFUSAL: usize = 256;

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
        ConsolePort::Socket(server) => raw(connect(server).await?).await?,
        ConsolePort::Rfc2217(server) => {
            Box::new(rfc2217::open(connect(server).await?, baud).await?)
        }
        ConsolePort::Rtt(port) => Box::new(rtt::open(line.probe.as_ref(), *port)?),
    })
}

/// What comes at once and is followed by the end is the server's own: that somebody else has the port, for one.
async fn raw(mut stream: TcpStream) -> io::Result<Wire> {
    let mut said = Vec::new();
    let ended = timeout(REFUSAL_LIMIT, async {
        while said.len() < LONGEST_REFUSAL {
            if stream.read_buf(&mut said).await? == 0 {
                return Ok(true);
            }
        }
        Ok::<bool, io::Error>(false)
    });
    if let Ok(ended) = ended.await
        && ended?
    {
        let mut text = String::new();
        log::escape(said.trim_ascii(), &mut text);
        let reason = match &*text {
            "" => "the server closes the connection at once".to_owned(),
            text => format!("the server closes the connection, and says: {text}"),
        };
        return Err(io::Error::new(io::ErrorKind::ConnectionRefused, reason));
    }
    let (reader, writer) = stream.into_split();
    Ok(Box::new(tokio::io::join(
        io::Cursor::new(said).chain(reader),
        writer,
    )))
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
