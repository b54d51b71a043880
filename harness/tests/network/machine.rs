//! A machine of a test's own: a network namespace with a veth pair in it. One end is the bench's interface, the DUT is
//! plugged into the other.

use std::thread;

use futures_util::TryStreamExt as _;
use nix::sched::{CloneFlags, unshare};
use provebench::{
    bench::network::{Cable, Network, NetworkConfig, Side},
    inventory::NetworkPort,
};
use rtnetlink::{
    Handle, LinkUnspec, LinkVeth,
    packet_route::link::{LinkAttribute, LinkFlags, LinkMessage},
};

use crate::support::PATIENCE;

/// The bench's interface, and what is plugged into it.
pub(crate) const NIC: &str = "nic0";
pub(crate) const DUT: &str = "dut0";

/// Runs in a machine of the test's own, with nothing in it but a veth pair that is down.
pub(crate) fn in_a_machine<T: Send + 'static>(
    work: impl AsyncFnOnce(Handle) -> T + Send + 'static,
) -> T {
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

pub(crate) fn on(interface: &str, side: Side) -> NetworkConfig {
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
pub(crate) async fn both() -> (Network, Network) {
    let bench = Network::start(on(NIC, Side::Bench)).await.unwrap();
    let dut = Network::start(on(DUT, Side::Device)).await.unwrap();
    (bench, dut)
}

pub(crate) async fn find(netlink: &Handle, name: &str) -> Option<LinkMessage> {
    let links = netlink.link().get().execute();
    let links: Vec<LinkMessage> = links.try_collect().await.unwrap();
    links.into_iter().find(|link| {
        link.attributes
            .contains(&LinkAttribute::IfName(name.into()))
    })
}

pub(crate) async fn index(netlink: &Handle, name: &str) -> u32 {
    let link = find(netlink, name).await;
    link.unwrap_or_else(|| panic!("there is {name}"))
        .header
        .index
}

pub(crate) async fn is_up(netlink: &Handle, name: &str) -> Option<bool> {
    let link = find(netlink, name).await?;
    Some(link.header.flags.contains(LinkFlags::Up))
}

pub(crate) fn alias(link: &LinkMessage) -> &str {
    let alias = link
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::IfAlias(alias) => Some(alias.as_str()),
            _ => None,
        });
    alias.unwrap_or_default()
}

pub(crate) async fn set_up(netlink: &Handle, name: &str) {
    let up = LinkUnspec::new_with_index(index(netlink, name).await).up();
    netlink.link().set(up.build()).execute().await.unwrap();
}

pub(crate) async fn give_address(netlink: &Handle, name: &str, address: &str, prefix: u8) {
    let index = index(netlink, name).await;
    let address = address.parse().unwrap();
    let adding = netlink.address().add(index, address, prefix);
    adding.execute().await.unwrap();
}

/// Waits until an interface has a carrier, or none.
pub(crate) async fn await_carrier(netlink: &Handle, name: &str, expected: bool) {
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
