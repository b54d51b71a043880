//! A machine of a test's own: a network namespace with a veth pair in it. One end is the bench's interface, the DUT is
//! plugged into the other.

use std::{net::Ipv4Addr, thread};

use futures_util::TryStreamExt as _;
use nix::sched::{CloneFlags, unshare};
use provebench_network::{Cable, DUT_V4, GATEWAY_V4, Network, NetworkConfig, NetworkPort, Side};
use rtnetlink::{
    Handle, LinkUnspec, LinkVeth, RouteMessageBuilder,
    packet_route::link::{LinkAttribute, LinkFlags, LinkMessage},
};

use crate::support::PATIENCE;

/// The bench's interface, and what is plugged into it.
pub const NIC: &str = "nic0";
pub const DUT: &str = "dut0";

/// Runs in a machine of the test's own, with nothing in it but a veth pair that is down.
pub fn in_a_machine<T: Send + 'static>(work: impl AsyncFnOnce(Handle) -> T + Send + 'static) -> T {
    let thread = thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("the test may make network namespaces");
        let_programs_inherit_rights();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let (connection, netlink, _) = rtnetlink::new_connection().unwrap();
            tokio::spawn(connection);
            let veth = LinkVeth::new(NIC, DUT).build();
            netlink.link().add(veth).execute().await.unwrap();
            tokio::time::timeout(3 * PATIENCE, work(netlink))
                .await
                .expect("it ends in time")
        })
    });
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Programs that this thread starts have the capabilities that taking interfaces takes, whoever we are: what
/// `AmbientCapabilities=` does in a systemd unit.
fn let_programs_inherit_rights() {
    use caps::{CapSet, Capability};
    for capability in [
        Capability::CAP_NET_ADMIN,
        Capability::CAP_NET_RAW,
        Capability::CAP_SYS_ADMIN,
    ] {
        for set in [CapSet::Inheritable, CapSet::Ambient] {
            caps::raise(None, set, capability).unwrap();
        }
    }
}

pub fn on(interface: &str, side: Side) -> NetworkConfig {
    NetworkConfig {
        side,
        cable: Cable::Port(NetworkPort {
            interface: interface.into(),
            vlan: None,
        }),
        ..NetworkConfig::new(format!("on {interface}"))
    }
}

/// The bench at one end, a DUT made of this kernel's network stack at the other.
pub async fn both() -> (Network, Network) {
    let bench = Network::start(on(NIC, Side::Bench)).await.unwrap();
    let dut = Network::start(on(DUT, Side::Device)).await.unwrap();
    (bench, dut)
}

pub async fn find(netlink: &Handle, name: &str) -> Option<LinkMessage> {
    let links = netlink.link().get().execute();
    let links: Vec<LinkMessage> = links.try_collect().await.unwrap();
    links.into_iter().find(|link| {
        link.attributes
            .contains(&LinkAttribute::IfName(name.into()))
    })
}

pub async fn index(netlink: &Handle, name: &str) -> u32 {
    let link = find(netlink, name).await;
    link.unwrap_or_else(|| panic!("there is {name}"))
        .header
        .index
}

pub async fn is_up(netlink: &Handle, name: &str) -> Option<bool> {
    let link = find(netlink, name).await?;
    Some(link.header.flags.contains(LinkFlags::Up))
}

pub fn alias(link: &LinkMessage) -> &str {
    let alias = link
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::IfAlias(alias) => Some(alias.as_str()),
            _ => None,
        });
    alias.unwrap_or_default()
}

pub async fn set_up(netlink: &Handle, name: &str) {
    let up = LinkUnspec::new_with_index(index(netlink, name).await).up();
    netlink.link().set(up.build()).execute().await.unwrap();
}

pub async fn give_address(netlink: &Handle, name: &str, address: &str, prefix: u8) {
    let index = index(netlink, name).await;
    let address = address.parse().unwrap();
    let adding = netlink.address().add(index, address, prefix);
    adding.execute().await.unwrap();
}

/// Gives [`DUT`] the address that a DUT has, and everything else behind the bench: so this machine's own programs are on it.
pub async fn join_network() {
    let (connection, netlink, _) = rtnetlink::new_connection().unwrap();
    tokio::spawn(connection);
    give_address(&netlink, DUT, &DUT_V4.to_string(), 24).await;
    let everything = RouteMessageBuilder::<Ipv4Addr>::new().gateway(GATEWAY_V4);
    let adding = netlink.route().add(everything.build());
    adding.execute().await.unwrap();
}

/// Waits until an interface has a carrier, or none.
pub async fn await_carrier(netlink: &Handle, name: &str, expected: bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let link = find(netlink, name).await.expect("it is there");
        if link.header.flags.contains(LinkFlags::LowerUp) == expected {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "{link:?}");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

/// Sends frames out of an interface of this machine.
pub struct Sender(socket2::Socket);

impl Sender {
    #[allow(unsafe_code)] // no crate at hand makes such an address
    pub fn new(interface: &str) -> Self {
        use nix::libc::{AF_PACKET, sa_family_t, sockaddr_ll};
        use socket2::{Domain, SockAddr, Socket, Type};
        let index = nix::net::if_::if_nametoindex(interface).unwrap();
        // SAFETY: what is initialised is a `sockaddr_ll`, of that length.
        let ((), address) = unsafe {
            SockAddr::try_init(|storage, length| {
                let address = &mut *storage.cast::<sockaddr_ll>();
                address.sll_family = AF_PACKET as sa_family_t;
                address.sll_ifindex = index.cast_signed();
                *length = size_of::<sockaddr_ll>().try_into().unwrap();
                Ok(())
            })
        }
        .unwrap();
        let socket = Socket::new(Domain::PACKET, Type::RAW, None).unwrap();
        // Of no protocol: it receives nothing.
        socket.bind(&address).unwrap();
        Self(socket)
    }

    pub fn socket(&self) -> &socket2::Socket {
        &self.0
    }

    pub fn send(&self, frame: &[u8]) {
        self.0.send(frame).unwrap();
    }
}
