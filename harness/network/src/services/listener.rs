//! The sockets of services: every port of every service is opened, served, cut and closed here.

use std::{
    collections::VecDeque,
    io,
    net::{Ipv6Addr, SocketAddr, UdpSocket as StdSocket},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use nix::net::if_::if_nametoindex;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream, UdpSocket},
    sync::{mpsc, oneshot},
    task::{AbortHandle, Id, JoinHandle, JoinSet},
    time::{Interval, MissedTickBehavior, interval, sleep},
};

use super::{
    gate::Gate,
    handler::{ConnectionHandler, DatagramHandler, Port, Reply, Serve},
    observation::Observation,
    record::ServiceLog,
};

/// Connections that a port holds at once; a device needs a handful.
const MOST_CONNECTIONS: usize = 128;
/// Connections that wait to be accepted.
const BACKLOG: i32 = 128;
/// Between tries to accept while the system has no descriptors left.
const RETRY: Duration = Duration::from_millis(100);
/// The largest UDP datagram.
const DATAGRAM: usize = 65_535;

/// An open port. Dropped, it is closed soon; [`close`](Self::close) waits until it is.
pub(super) struct OpenPort {
    address: SocketAddr,
    task: JoinHandle<usize>,
    orders: mpsc::Sender<Order>,
}

enum Order {
    /// Cut all connections and tell how many.
    Cut(oneshot::Sender<usize>),
    /// Say at once what is said without being asked.
    Announce,
    Close,
}

impl OpenPort {
    /// Opens it on the calling thread.
    pub(super) fn open(
        port: &Port,
        address: SocketAddr,
        gate: &Gate,
        log: &ServiceLog,
    ) -> io::Result<Self> {
        let (orders, receiver) = mpsc::channel(1);
        let (gate, log) = (gate.clone(), log.clone());
        let (address, task) = match &port.serve {
            Serve::Tcp(service) => {
                let listener = listen(address)?;
                let address = listener.local_addr()?;
                let service = service.clone();
                let listening = TcpListening { service, gate, log };
                (address, tokio::spawn(listening.run(listener, receiver)))
            }
            Serve::Udp(service) => {
                let socket = bind(address, port.interface.as_deref())?;
                let address = socket.local_addr()?;
                let service = service.clone();
                let listening = UdpListening { service, gate, log };
                (address, tokio::spawn(listening.run(socket, receiver)))
            }
            Serve::Icmp { handler, group } => {
                let interface = port.interface.as_deref().unwrap_or_default();
                let socket = icmp_socket(address, interface, group)?;
                let service = handler.clone();
                let listening = UdpListening { service, gate, log };
                (address, tokio::spawn(listening.run(socket, receiver)))
            }
        };
        Ok(Self {
            address,
            task,
            orders,
        })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts all connections and tells how many there were.
    pub(super) async fn cut(&self) -> usize {
        let (sender, count) = oneshot::channel();
        if self.orders.send(Order::Cut(sender)).await.is_err() {
            return 0;
        }
        count.await.unwrap_or_default()
    }

    /// Has it say at once what it says without being asked, if anything.
    pub(super) async fn announce(&self) {
        let _ = self.orders.send(Order::Announce).await;
    }

    /// Closes the port, cuts all connections and tells how many there were.
    pub(super) async fn close(self) -> usize {
        let _ = self.orders.send(Order::Close).await;
        self.task.await.unwrap_or_default()
    }
}

/// With address reuse, so that a service can come back while its old connections linger in the kernel.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // The route that makes all addresses local is not enough to listen on them, as it is with IPv4.
        socket.set_freebind_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

fn bind(address: SocketAddr, interface: Option<&str>) -> io::Result<UdpSocket> {
    let socket = StdSocket::bind(address)?;
    socket.set_nonblocking(true)?;
    let socket = UdpSocket::from_std(socket)?;
    if let Some(interface) = interface {
        // Broadcasts come and go here only, whatever the routes say.
        socket.bind_device(Some(interface.as_bytes()))?;
    }
    socket.set_broadcast(true)?;
    Ok(socket)
}

/// A raw socket for ICMPv6 at a link-local address, in a multicast group. It is a datagram socket to tokio, and to all that is done
/// with it here.
fn icmp_socket(address: SocketAddr, interface: &str, group: &Ipv6Addr) -> io::Result<UdpSocket> {
    let SocketAddr::V6(mut address) = address else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let index = if_nametoindex(interface)?;
    address.set_scope_id(index);
    let socket = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6))?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from(address).into())?;
    socket.join_multicast_v6(group, index)?;
    socket.set_multicast_if_v6(index)?;
    socket.set_multicast_loop_v6(false)?;
    // What has come through a router is not believed (RFC 4861 6.1.2).
    socket.set_unicast_hops_v6(255)?;
    socket.set_multicast_hops_v6(255)?;
    UdpSocket::from_std(socket.into())
}

struct TcpListening {
    service: Arc<dyn ConnectionHandler>,
    gate: Gate,
    log: ServiceLog,
}

#[derive(Default)]
struct Connections {
    tasks: JoinSet<()>,
    /// Oldest first.
    order: VecDeque<(Id, AbortHandle)>,
}

impl TcpListening {
    async fn run(self, listener: TcpListener, mut orders: mpsc::Receiver<Order>) -> usize {
        let mut connections = Connections::default();
        loop {
            tokio::select! {
                // Orders first: a DUT that connects without end must not keep the bench from closing the port.
                biased;
                order = orders.recv() => match order {
                    Some(Order::Cut(answer)) => {
                        let _ = answer.send(connections.cut().await);
                    }
                    Some(Order::Announce) => {}
                    Some(Order::Close) | None => break,
                },
                Some(ended) = connections.tasks.join_next_with_id() => {
                    connections.forget(ended.map_or_else(|error| error.id(), |(id, ())| id));
                }
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => self.welcome(stream, peer, &mut connections),
                    Err(error) => {
                        let reason = format!("a connection can't be accepted: {error}");
                        self.log.record(Observation::BenchFault { reason });
                        sleep(RETRY).await;
                    }
                },
            }
        }
        drop(listener);
        connections.cut().await
    }

    fn welcome(&self, stream: TcpStream, peer: SocketAddr, connections: &mut Connections) {
        let log = self.log.connected(peer);
        log.record(Observation::Connected);
        if connections.order.len() >= MOST_CONNECTIONS
            && let Some((_, oldest)) = connections.order.pop_front()
        {
            // The oldest is the likeliest to be dead or idle, so the service stays of use.
            oldest.abort();
            let limit = MOST_CONNECTIONS;
            log.record(Observation::TooMany { limit });
        }
        // Answers are small and urgent; a failure only makes them slower.
        let _ = stream.set_nodelay(true);
        let (service, gate) = (self.service.clone(), self.gate.clone());
        let closed = Closed(log.clone());
        let task = connections.tasks.spawn(async move {
            let _closed = closed;
            gate.pass(service.handle(stream, log)).await;
        });
        connections.order.push_back((task.id(), task));
    }
}

impl Connections {
    fn forget(&mut self, id: Id) {
        self.order.retain(|(other, _)| *other != id);
    }

    async fn cut(&mut self) -> usize {
        // Those that ended by themselves are not cut.
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            self.forget(ended.map_or_else(|error| error.id(), |(id, ())| id));
        }
        let cut = self.order.len();
        self.tasks.shutdown().await;
        self.order.clear();
        cut
    }
}

/// Says that a connection is over, however it ended.
struct Closed(ServiceLog);

impl Drop for Closed {
    fn drop(&mut self) {
        self.0.record(Observation::Closed);
    }
}

struct UdpListening {
    service: Arc<dyn DatagramHandler>,
    gate: Gate,
    log: ServiceLog,
}

impl UdpListening {
    async fn run(self, socket: UdpSocket, mut orders: mpsc::Receiver<Order>) -> usize {
        let mut buffer = vec![0; DATAGRAM];
        let mut unsolicited = self.service.unsolicited().map(|(every, _)| {
            let mut unsolicited = interval(every);
            unsolicited.set_missed_tick_behavior(MissedTickBehavior::Delay);
            unsolicited
        });
        loop {
            tokio::select! {
                biased;
                order = orders.recv() => match order {
                    Some(Order::Cut(answer)) => {
                        let _ = answer.send(0);
                    }
                    Some(Order::Announce) => self.announce(&socket).await,
                    Some(Order::Close) | None => return 0,
                },
                () = tick(&mut unsolicited) => self.announce(&socket).await,
                received = socket.recv_from(&mut buffer) => match received {
                    Ok((length, _)) if !self.service.accepts(&buffer[..length]) => {}
                    Ok((length, peer)) => self.answer(&socket, &buffer[..length], peer).await,
                    // A client that closed its port before our answer reached it.
                    Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                    Err(error) => {
                        let reason = format!("nothing can be received: {error}");
                        self.log.record(Observation::BenchFault { reason });
                        sleep(RETRY).await;
                    }
                },
            }
        }
    }

    async fn answer(&self, socket: &UdpSocket, datagram: &[u8], peer: SocketAddr) {
        let log = self.log.with_peer(peer);
        // Parsers are others', and what they read is a DUT's.
        let answered = AssertUnwindSafe(|| self.service.answer(datagram, peer));
        let reply = catch_unwind(answered).unwrap_or_else(|_| Reply {
            observation: Observation::malformed("it breaks the parser", datagram),
            send: None,
        });
        if !self.gate.is_open() {
            log.record(reply.observation.unanswered());
            return;
        }
        send(socket, reply, &log).await;
    }

    async fn announce(&self, socket: &UdpSocket) {
        if let Some((_, reply)) = self.service.unsolicited()
            && self.gate.is_open()
        {
            send(socket, reply, &self.log).await;
        }
    }
}

async fn send(socket: &UdpSocket, reply: Reply, log: &ServiceLog) {
    log.record(reply.observation);
    if let Some((answer, to)) = reply.send
        && let Err(error) = socket.send_to(&answer, to).await
    {
        let reason = format!("no answer can be sent to {to}: {error}");
        log.record(Observation::BenchFault { reason });
    }
}

/// Never, without a timer.
async fn tick(timer: &mut Option<Interval>) {
    match timer {
        Some(timer) => {
            timer.tick().await;
        }
        None => std::future::pending().await,
    }
}
