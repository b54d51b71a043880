//! Which addresses the DUT has, found out by asking who is there.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6},
    time::{Duration, Instant},
};

use futures_util::TryStreamExt as _;
use rtnetlink::packet_route::neighbour::NeighbourMessage;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use crate::{error::NetworkError, host, netlink::Netlink, network::Network};

/// RFC 863: whoever has the address is asked for, by ARP or neighbour discovery; what is sent then does not matter.
const DISCARD: u16 = 9;
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// Type, code, checksum (the kernel's), identifier, sequence number (RFC 4443 4.1).
const ECHO_REQUEST: [u8; 8] = [128, 0, 0, 0, 0x50, 0x42, 0, 1];
/// Answers to questions to all may be spread over so long (RFC 4861 7.2.7 spreads over less).
const LIMIT: Duration = Duration::from_secs(1);
/// How often whoever asks all looks who has answered.
const LOOK_EVERY: Duration = Duration::from_millis(20);

impl Network {
    /// Addresses that the DUT has, as it shows now when it is asked: those that it has used so far or said that it
    /// has, and those that answer a question to all nodes. Takes a second.
    ///
    /// # Errors
    /// [`NetworkError::Setup`] when the bench can't ask.
    pub async fn addresses(&self) -> Result<BTreeSet<IpAddr>, NetworkError> {
        addresses(self).await
    }
}

async fn addresses(network: &Network) -> Result<BTreeSet<IpAddr>, NetworkError> {
    let begin = Instant::now();
    let scope = network.scope;
    let source = network.endpoint(network.side.link_local().into(), 0);
    let everybody = async move {
        forget_neighbours(scope).await?;
        say_hello(source, scope).map_err(NetworkError::setup("asking who is there"))
    };
    network.run(everybody).await?;
    let mut asked = BTreeSet::new();
    let asking = async {
        loop {
            let known = network.shared.lock().index.hosts();
            for address in known {
                if asked.insert(address) {
                    let to = network.endpoint(address, DISCARD);
                    // An address without a route is none that anybody could use.
                    if let Err(error) = network.run(ask_for(to)).await {
                        tracing::debug!(%to, %error, "not asked");
                    }
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    // It only ends with its time.
    let _ = host::within::<Infallible>(LIMIT, asking).await;
    Ok(network.shared.lock().index.hosts_since(begin))
}

/// Whether somebody says to have that address; asked three times (RFC 4861 10: `MAX_UNICAST_SOLICIT`, a second apart).
pub(super) async fn is_there(network: &Network, address: IpAddr) -> Result<bool, NetworkError> {
    let begin = Instant::now();
    network.run(forget_neighbours(network.scope)).await?;
    network
        .run(ask_for(network.endpoint(address, DISCARD)))
        .await?;
    let answer = network
        .shared
        .until(|state| state.index.hosts_since(begin).contains(&address));
    Ok(host::within(3 * LIMIT, answer).await.is_ok())
}

/// What the kernel knows it does not ask.
async fn forget_neighbours(interface: u32) -> Result<(), NetworkError> {
    let forgetting = NetworkError::netlink("forgetting who has which address");
    let netlink = Netlink::open()?;
    let known = netlink.neighbours().get().execute();
    let known: Vec<NeighbourMessage> = known.try_collect().await.map_err(&forgetting)?;
    for neighbour in known {
        if neighbour.header.ifindex == interface {
            // It may be gone by itself.
            netlink.neighbours().del(neighbour).execute().await.ok();
        }
    }
    Ok(())
}

fn say_hello(source: SocketAddr, scope: u32) -> io::Result<()> {
    let socket = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6))?;
    socket.bind(&source.into())?;
    socket.set_multicast_if_v6(scope)?;
    let everybody = SocketAddrV6::new(ALL_NODES, 0, 0, scope);
    socket.send_to(&ECHO_REQUEST, &SocketAddr::from(everybody).into())?;
    Ok(())
}

async fn ask_for(to: SocketAddr) -> Result<(), NetworkError> {
    let asking = NetworkError::setup("asking for an address");
    let any: IpAddr = match to {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let asked = async {
        let socket = UdpSocket::bind((any, 0)).await?;
        socket.send_to(&[], to).await
    };
    asked.await.map(|_| ()).map_err(asking)
}
