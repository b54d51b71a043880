//! What a service gives for each of its ports: where it is, and who handles what comes there.

use std::{
    net::{Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::net::TcpStream;

use super::{observation::Observation, record::ServiceLog};

/// How a port is served.
#[derive(Clone)]
pub(super) enum Serve {
    Tcp(Arc<dyn ConnectionHandler>),
    Udp(Arc<dyn DatagramHandler>),
    /// A raw socket for ICMPv6, its number in place of the port, that has joined this multicast group (RFC 4861 6.2.2).
    Icmp {
        handler: Arc<dyn DatagramHandler>,
        group: Ipv6Addr,
    },
}

/// A port to open. All ports of a service get the same number where theirs is 0.
pub(super) struct Port {
    pub(super) address: SocketAddr,
    /// Network interface that it is bound to.
    pub(super) interface: Option<String>,
    pub(super) serve: Serve,
}

/// Serves a TCP connection until it is over. Must bound what it keeps and how long it waits for a peer that has not
/// shown yet what it wants.
pub(super) trait ConnectionHandler: Send + Sync {
    fn handle(self: Arc<Self>, stream: TcpStream, log: ServiceLog) -> BoxFuture<'static, ()>;
}

/// Answers a datagram.
pub(super) trait DatagramHandler: Send + Sync {
    fn answer(&self, datagram: &[u8], from: SocketAddr) -> Reply;

    /// Whether it is for this service; else nobody looks at it.
    fn accepts(&self, _datagram: &[u8]) -> bool {
        true
    }

    /// What is sent without being asked for, at the start and then so often.
    fn unsolicited(&self) -> Option<(Duration, Reply)> {
        None
    }
}

/// What to write down, and what to send to whom.
pub(super) struct Reply {
    pub(super) observation: Observation,
    pub(super) send: Option<(Vec<u8>, SocketAddr)>,
}

impl Serve {
    /// As in `53/udp`.
    pub(super) fn protocol(&self) -> &'static str {
        match self {
            Self::Tcp(_) => "tcp",
            Self::Udp(_) => "udp",
            Self::Icmp { .. } => "icmpv6",
        }
    }
}
