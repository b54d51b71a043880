//! The kernel's netlink interface: orders to it, and what it tells of interfaces.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    ops::Deref,
};

use futures_util::TryStreamExt as _;
use rtnetlink::{
    Handle, LinkMessageBuilder, LinkUnspec, RouteMessageBuilder,
    packet_route::{
        address::{AddressAttribute, AddressMessage, AddressScope},
        link::{
            AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InfoKind, LinkAttribute, LinkFlags,
            LinkInfo, LinkLayerType, LinkMessage,
        },
        route::{RouteAddress, RouteAttribute, RouteMessage, RouteType},
    },
};
use tokio::task::JoinHandle;

use crate::error::NetworkError;

/// A connection, in the namespace of the thread that opened it.
pub(super) struct Netlink {
    handle: Handle,
    connection: JoinHandle<()>,
}

impl Netlink {
    pub(super) fn open() -> Result<Self, NetworkError> {
        let (connection, handle, _) =
            rtnetlink::new_connection().map_err(NetworkError::setup("opening netlink"))?;
        Ok(Self {
            handle,
            connection: tokio::spawn(connection),
        })
    }

    pub(super) async fn change(&self, message: LinkMessage) -> Result<(), rtnetlink::Error> {
        self.link().set(message).execute().await
    }

    /// Index of an interface that is there.
    pub(super) async fn index(&self, name: &str) -> Result<u32, NetworkError> {
        self.find(name)
            .await?
            .map(|link| link.index)
            .ok_or_else(|| {
                NetworkError::setup("finding an interface")(std::io::ErrorKind::NotFound.into())
            })
    }

    pub(super) async fn find(&self, name: &str) -> Result<Option<Link>, NetworkError> {
        let links = self.links().await?;
        Ok(links.into_iter().find(|link| link.name == name))
    }

    /// All interfaces of the namespace.
    pub(super) async fn links(&self) -> Result<Vec<Link>, NetworkError> {
        let listing = NetworkError::netlink("listing interfaces");
        let links = self.link().get().execute().map_ok(Link::from);
        links.try_collect().await.map_err(listing)
    }

    /// What of the host would be lost without an interface, in words; `None` if nothing.
    pub(super) async fn use_of(&self, link: &Link) -> Result<Option<String>, NetworkError> {
        if !link.is_ethernet() {
            return Ok(Some("it is not an Ethernet interface".into()));
        }
        let links = self.links().await?;
        if let Some(controller) = link.controller {
            let named = links.iter().find(|other| other.index == controller);
            let name = named.map_or("another interface", |other| &other.name);
            return Ok(Some(format!("it is a port of {name}")));
        }
        let on_top = |other: &&Link| other.lower == Some(link.index) && other.index != link.index;
        if let Some(upper) = links.iter().find(on_top) {
            return Ok(Some(format!("{} is on top of it", upper.name)));
        }
        let routes = self.routes(link.index).await?;
        if routes.iter().any(|(_, length)| *length == 0) {
            return Ok(Some("this machine's default route goes through it".into()));
        }
        let listing = NetworkError::netlink("listing addresses");
        let get = self.address().get().set_link_index_filter(link.index);
        let addresses: Vec<AddressMessage> = get.execute().try_collect().await.map_err(listing)?;
        if let Some(address) = addresses.iter().find_map(beyond_the_link) {
            return Ok(Some(format!(
                "this machine has the address {address} on it"
            )));
        }
        Ok(routes.first().map(|(destination, length)| {
            format!("this machine's route to {destination}/{length} goes through it")
        }))
    }

    /// Destinations beyond the link that are reached through an interface, with their prefix lengths.
    async fn routes(&self, interface: u32) -> Result<Vec<(String, u8)>, NetworkError> {
        let mut v4 = RouteMessageBuilder::<Ipv4Addr>::new().build();
        let mut v6 = RouteMessageBuilder::<Ipv6Addr>::new().build();
        let mut found = Vec::new();
        for message in [&mut v4, &mut v6] {
            // Of every table and kind.
            message.header.table = 0;
            message.header.kind = RouteType::Unspec;
            let listing = NetworkError::netlink("listing routes");
            let get = self.route().get(message.clone());
            let routes: Vec<RouteMessage> = get.execute().try_collect().await.map_err(listing)?;
            let through = routes.iter().filter(|route| is_through(route, interface));
            found.extend(through.filter_map(destination));
        }
        Ok(found)
    }
}

impl Deref for Netlink {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Netlink {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// What is needed of an interface.
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) name: String,
    pub(super) index: u32,
    /// Administratively up.
    pub(super) is_up: bool,
    /// Free text that the host's administrators may have given it.
    pub(super) alias: String,
    /// Frames that came faster than the hardware, or its driver, could take them.
    pub(super) missed: u64,
    layer: LinkLayerType,
    /// The bridge or bond that it is a port of.
    controller: Option<u32>,
    /// The interface of the same namespace that it is on top of.
    lower: Option<u32>,
}

impl Link {
    pub(super) fn is_ethernet(&self) -> bool {
        self.layer == LinkLayerType::Ether
    }
}

impl From<LinkMessage> for Link {
    fn from(message: LinkMessage) -> Self {
        let mut link = Self {
            name: String::new(),
            index: message.header.index,
            is_up: message.header.flags.contains(LinkFlags::Up),
            alias: String::new(),
            missed: 0,
            layer: message.header.link_layer_type,
            controller: None,
            lower: None,
        };
        // A veth names its other end, which is beside it and not below.
        let (mut is_veth, mut is_elsewhere) = (false, false);
        for attribute in message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name = name,
                LinkAttribute::IfAlias(alias) => link.alias = alias,
                LinkAttribute::Stats64(stats) => {
                    let full = stats.rx_over_errors.max(stats.rx_fifo_errors);
                    link.missed = full.saturating_add(stats.rx_missed_errors);
                }
                LinkAttribute::Controller(index) => link.controller = Some(index),
                LinkAttribute::Link(index) => link.lower = Some(index),
                LinkAttribute::LinkNetNsId(_) => is_elsewhere = true,
                LinkAttribute::LinkInfo(info) => {
                    is_veth |= info.contains(&LinkInfo::Kind(InfoKind::Veth));
                }
                _ => {}
            }
        }
        if is_veth || is_elsewhere {
            link.lower = None;
        }
        link
    }
}

/// For an interface on which this kernel is not to speak by itself.
pub(super) fn without_own_addresses(index: u32) -> LinkMessageBuilder<LinkUnspec> {
    let mode = AfSpecInet6::AddrGenMode(In6AddrGenMode::None);
    LinkUnspec::new_with_index(index).append_extra_attribute(LinkAttribute::AfSpecUnspec(vec![
        AfSpecUnspec::Inet6(vec![mode]),
    ]))
}

/// The kernel's answer, as `errno`.
pub(super) fn errno(error: &rtnetlink::Error) -> Option<nix::errno::Errno> {
    match error {
        rtnetlink::Error::NetlinkError(message) => {
            let code = message.code?.get();
            Some(nix::errno::Errno::from_raw(code.saturating_neg()))
        }
        _ => None,
    }
}

/// An address that others than its neighbours may know.
fn beyond_the_link(message: &AddressMessage) -> Option<String> {
    if !matches!(
        message.header.scope,
        AddressScope::Universe | AddressScope::Site
    ) {
        return None;
    }
    let length = message.header.prefix_len;
    message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            AddressAttribute::Address(address) => Some(format!("{address}/{length}")),
            _ => None,
        })
}

fn is_through(route: &RouteMessage, interface: u32) -> bool {
    route.header.kind == RouteType::Unicast
        && route.attributes.iter().any(|attribute| match attribute {
            RouteAttribute::Oif(index) => *index == interface,
            RouteAttribute::MultiPath(hops) => {
                hops.iter().any(|hop| hop.interface_index == interface)
            }
            _ => false,
        })
}

/// Where a route leads, unless that is on the link anyway.
fn destination(route: &RouteMessage) -> Option<(String, u8)> {
    let found = route
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::Destination(destination) => Some(destination),
            _ => None,
        });
    let length = route.header.destination_prefix_length;
    match found {
        Some(RouteAddress::Inet(v4)) => (!v4.is_link_local()).then(|| (v4.to_string(), length)),
        Some(RouteAddress::Inet6(v6)) => {
            let is_local = v6.is_unicast_link_local() || v6.is_multicast();
            (!is_local).then(|| (v6.to_string(), length))
        }
        _ => Some(("everywhere".into(), length)),
    }
}
