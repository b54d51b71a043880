//! The bench's interface in a namespace: a veth pair, one end with the addresses, the other for raw frames.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use futures_util::TryStreamExt as _;
use rtnetlink::{
    LinkUnspec, LinkVeth, RouteMessageBuilder,
    packet_route::{
        address::{AddressAttribute, AddressFlags, AddressMessage},
        route::{RouteScope, RouteType},
    },
};

use crate::{
    error::NetworkError,
    netlink::{Netlink, without_own_addresses},
    plan::{Addressing, Side},
    sys,
};

/// Has the addresses.
pub(super) const ADDRESSED: &str = "bench0";
/// Where frames are taken from and given to.
pub(super) const RAW: &str = "cable0";
const LOOPBACK: &str = "lo";
/// Longer than the wait for an address that is checked for duplicates: there are none here.
const NO_DUPLICATES: AddressFlags = AddressFlags::Nodad;

/// Sets everything up; runs in the namespace.
pub(super) async fn configure(plan: Addressing, side: Side) -> Result<(), NetworkError> {
    let netlink = Netlink::open()?;
    let veth = LinkVeth::new(ADDRESSED, RAW)
        .address(side.mac().to_vec())
        .build();
    let adding = NetworkError::netlink("making a veth pair");
    netlink.link().add(veth).execute().await.map_err(adding)?;

    let changing = NetworkError::netlink("switching an interface on");
    let (loopback, addressed) = (
        netlink.index(LOOPBACK).await?,
        netlink.index(ADDRESSED).await?,
    );
    let raw = netlink.index(RAW).await?;
    // The kernel's own stack must not speak on the raw end.
    let silent = without_own_addresses(raw).arp(false).build();
    let steps = [
        LinkUnspec::new_with_index(loopback).up().build(),
        without_own_addresses(addressed).build(),
        silent,
        LinkUnspec::new_with_index(raw).up().build(),
        LinkUnspec::new_with_index(addressed).up().build(),
    ];
    for step in steps {
        netlink.change(step).await.map_err(&changing)?;
    }
    ignore_routers();
    sys::disable_offloads(ADDRESSED).map_err(NetworkError::setup("switching offloads off"))?;

    let addressing = NetworkError::netlink("giving an address");
    let (v4, v6) = plan.of(side);
    let addresses = [
        Some((IpAddr::V4(v4), plan.prefix)),
        v6.map(|v6| (IpAddr::V6(v6), 64)),
        Some((IpAddr::V6(side.link_local()), 64)),
    ];
    for (address, prefix) in addresses.into_iter().flatten() {
        let mut request = netlink.address().add(addressed, address, prefix);
        if address.is_ipv6() {
            let flags = AddressAttribute::Flags(NO_DUPLICATES);
            request.message_mut().attributes.push(flags);
        }
        request.execute().await.map_err(&addressing)?;
    }
    route(&netlink, plan, side, [loopback, addressed]).await
}

/// Whether everything is still as it was set up; `index` is that of the interface with the addresses. Runs in the
/// namespace.
pub(super) async fn check(plan: Addressing, side: Side, index: u32) -> Result<(), NetworkError> {
    let unsound = |reason: String| NetworkError::OwnInterface { reason };
    let netlink = Netlink::open()?;
    let links = netlink.links().await?;
    for name in [LOOPBACK, ADDRESSED, RAW] {
        match links.iter().find(|link| link.name == name) {
            None => return Err(unsound(format!("{name} is gone"))),
            Some(link) if !link.is_up => return Err(unsound(format!("{name} is down"))),
            Some(link) if name == ADDRESSED && link.index != index => {
                return Err(unsound(format!(
                    "{name} is not the one that was there before"
                )));
            }
            Some(_) => {}
        }
    }
    let listing = NetworkError::netlink("listing addresses");
    let get = netlink.address().get().set_link_index_filter(index);
    let found: Vec<AddressMessage> = get.execute().try_collect().await.map_err(listing)?;
    let has = |wanted: IpAddr| {
        let mut attributes = found.iter().flat_map(|message| &message.attributes);
        attributes.any(|attribute| match attribute {
            AddressAttribute::Address(address) | AddressAttribute::Local(address) => {
                *address == wanted
            }
            _ => false,
        })
    };
    let (v4, v6) = plan.of(side);
    let wanted = [
        Some(v4.into()),
        v6.map(IpAddr::from),
        Some(side.link_local().into()),
    ];
    let mut wanted = wanted.into_iter().flatten();
    match wanted.find(|address| !has(*address)) {
        None => Ok(()),
        Some(address) => Err(unsound(format!(
            "{ADDRESSED} has lost its address {address}"
        ))),
    }
}

/// The bench stands for every address that nobody has: whatever the DUT tries to reach is answered by this kernel, with
/// a reset or "port unreachable" where nothing listens. Directly connected prefixes are longer, so they win.
async fn route(
    netlink: &Netlink,
    plan: Addressing,
    side: Side,
    [loopback, addressed]: [u32; 2],
) -> Result<(), NetworkError> {
    let v4 = RouteMessageBuilder::<Ipv4Addr>::new();
    let v6 = RouteMessageBuilder::<Ipv6Addr>::new();
    let (v4, v6) = match side {
        Side::Bench => (
            v4.kind(RouteType::Local)
                .scope(RouteScope::Host)
                .output_interface(loopback),
            v6.kind(RouteType::Local)
                .scope(RouteScope::Host)
                .output_interface(loopback),
        ),
        Side::Device => {
            let v6 = match plan.ipv6 {
                Some(gateway) => v6.gateway(gateway),
                None => v6
                    .gateway(Side::Bench.link_local())
                    .output_interface(addressed),
            };
            (v4.gateway(plan.gateway), v6)
        }
    };
    let routing = NetworkError::netlink("routing everything to the bench");
    for route in [v4.build(), v6.build()] {
        netlink
            .route()
            .add(route)
            .execute()
            .await
            .map_err(&routing)?;
    }
    Ok(())
}

/// The DUT is no router of ours, whatever it says.
fn ignore_routers() {
    for setting in ["accept_ra", "accept_redirects"] {
        let path = format!("/proc/sys/net/ipv6/conf/{ADDRESSED}/{setting}");
        // Read-only in some containers. Then a DUT that plays router can only lead the bench's own packets astray.
        if let Err(error) = std::fs::write(&path, "0") {
            tracing::warn!(path, %error, "the bench may believe a DUT that says it is a router");
        }
    }
}
