//! The port that port scans come from.

use std::{
    io,
    net::{Ipv6Addr, SocketAddr},
};

use socket2::SockRef;
use tokio::net::TcpSocket;

/// The port that SYN packets come from. Kept for as long as the network is there: what is still on its way when a scan
/// is over must not be taken for somebody else's.
#[derive(Debug)]
pub(crate) struct ScanPort {
    number: u16,
    _socket: TcpSocket,
}

impl ScanPort {
    /// One for both families, in the namespace of the calling thread.
    pub(crate) fn reserve() -> io::Result<Self> {
        let socket = TcpSocket::new_v6()?;
        SockRef::from(&socket).set_only_v6(false)?;
        socket.bind(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0))?;
        let number = socket.local_addr()?.port();
        Ok(Self {
            number,
            _socket: socket,
        })
    }

    pub(crate) fn number(&self) -> u16 {
        self.number
    }
}
