//! A network interface of this machine that a DUT is plugged into, taken for a run and given back.
//!
//! It is moved into a network namespace in which nothing else is: no addresses, no services. So neither this machine
//! nor the bench can speak to the DUT but through [`frames`](super::frames), and whoever manages this machine's network
//! (`NetworkManager` and the like) does not see it. All interfaces are treated alike; leaving some where they are would
//! let this machine's own broadcasts, multicasts and services reach the DUT.
//!
//! What becomes of it, with the namespace that it came from being that of the thread that takes it:
//!
//! | interface | at the end of a run | when the harness is killed |
//! |---|---|---|
//! | Ethernet card | moved back, name and state as before | the kernel moves it to the *initial* network namespace, and leaves it switched off |
//! | VLAN of a card | removed (it was made here) | the kernel removes it |
//! | TAP, veth, other virtual ones | moved back, name and state as before | the kernel removes it: whoever made it has to make it again |
//!
//! (`default_device_exit_net` in `net/core/dev.c`.) What the kernel does not know stands in the interface's alias for as
//! long as it is away: [`Mark`]. Whoever takes it next, or [`Leftover`], finds it there.
//!
//! [`set_up`](Port::set_up) is what a DUT sees as its cable being pulled, if it is plugged in directly and the driver
//! switches the transceiver off with the interface. Most do; not those that keep it on for Wake-on-LAN or a management
//! controller. Behind a switch (and with VLANs there always is one) the DUT keeps its carrier, and only frames stop.

use std::{fmt, str::FromStr, sync::Arc};

use nix::errno::Errno;
use rtnetlink::{LinkUnspec, LinkVlan, packet_route::link::LinkMessage};

use crate::{
    error::NetworkError,
    namespace::{Namespace, may_take_interfaces, run_here},
    netlink::{Link, Netlink, errno, without_own_addresses},
    packet::PortSocket,
    sys::Merging,
};

/// What an alias of the kernel may hold, without the zero at its end (`IFALIASZ`).
const LONGEST_ALIAS: usize = 255;

/// A network interface of this machine that is the DUT's alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NetworkPort {
    /// Its name.
    pub interface: String,
    /// Only this VLAN of it is the DUT's: 1 to 4094.
    pub vlan: Option<u16>,
}

impl fmt::Display for NetworkPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.vlan {
            None => f.write_str(&self.interface),
            Some(vlan) => write!(f, "VLAN {vlan} of {}", self.interface),
        }
    }
}

/// An interface that has been taken. Dropped, it is given back.
#[derive(Debug)]
pub(super) struct Port {
    config: NetworkPort,
    /// Where the interface is now, and nothing else.
    namespace: Namespace,
    /// What it is called there.
    name: String,
    /// Once it is set up.
    socket: Option<Arc<PortSocket>>,
    /// Frames that the interface itself had missed when it was looked at last.
    missed: u64,
    /// Where it belongs; `None` once it is back there, and for VLANs, which are made and not taken.
    origin: Option<Origin>,
}

#[derive(Debug)]
struct Origin {
    host: Namespace,
    mark: Mark,
}

impl Port {
    /// Takes an interface out of `host`. Blocks.
    pub(super) fn take(config: &NetworkPort, host: Namespace) -> Result<Self, NetworkError> {
        // Without, it could not even be looked for.
        if !host.is_ours() {
            return Err(no_rights(&config.interface));
        }
        let namespace = Namespace::create()?;
        let mut port = match config.vlan {
            None => {
                let mark = host.run(async || move_in(&config.interface, &namespace).await)?;
                Self {
                    config: config.clone(),
                    name: config.interface.clone(),
                    origin: Some(Origin { host, mark }),
                    socket: None,
                    missed: 0,
                    namespace,
                }
            }
            Some(vlan) => {
                let name = format!("vlan{vlan}");
                host.run(async || make_vlan(&config.interface, vlan, &name, &namespace).await)?;
                Self {
                    config: config.clone(),
                    name,
                    origin: None,
                    socket: None,
                    missed: 0,
                    namespace,
                }
            }
        };
        // From here on it is given back if something goes wrong.
        let socket = port.namespace.run(async || {
            let netlink = Netlink::open()?;
            let index = netlink.index(&port.name).await?;
            be_silent(&port.name);
            let changing = NetworkError::netlink("setting the DUT's interface up");
            let silent = without_own_addresses(index).build();
            netlink.change(silent).await.map_err(&changing)?;
            Merging::default()
                .set(&port.name)
                .map_err(NetworkError::setup("switching the merging of frames off"))?;
            let up = LinkUnspec::new_with_index(index).up().build();
            netlink.change(up).await.map_err(&changing)?;
            PortSocket::open(&port.name).map_err(NetworkError::setup(
                "opening a packet socket on the DUT's interface",
            ))
        })?;
        port.socket = Some(Arc::new(socket));
        // Those before are none of this network's.
        port.missed()?;
        tracing::info!(port = %config, "taken for the DUT");
        Ok(port)
    }

    /// All frames that reach it, and a way to send some.
    pub(super) fn socket(&self) -> Result<Arc<PortSocket>, NetworkError> {
        self.socket.clone().ok_or_else(|| self.gone())
    }

    /// Whether the interface is still there.
    pub(super) fn health(&self) -> Result<(), NetworkError> {
        match &self.socket {
            Some(socket) if socket.is_bound() => Ok(()),
            _ => Err(self.gone()),
        }
    }

    /// Switches the interface on or off. Blocks.
    pub(super) fn set_up(&self, up: bool) -> Result<(), NetworkError> {
        self.namespace.run(async || {
            let netlink = Netlink::open()?;
            let Some(link) = netlink.find(&self.name).await? else {
                return Err(self.gone());
            };
            let changing = NetworkError::netlink("switching the DUT's interface");
            let to = LinkUnspec::new_with_index(link.index);
            let to = if up { to.up() } else { to.down() };
            netlink.change(to.build()).await.map_err(changing)
        })
    }

    /// Frames that the interface itself has missed since this was asked last: they reached no socket. Blocks.
    pub(super) fn missed(&mut self) -> Result<u64, NetworkError> {
        let link = self.namespace.run(async || {
            let found = Netlink::open()?.find(&self.name).await?;
            found.ok_or_else(|| self.gone())
        })?;
        let before = std::mem::replace(&mut self.missed, link.missed);
        Ok(link.missed.saturating_sub(before))
    }

    fn gone(&self) -> NetworkError {
        NetworkError::PortGone {
            port: self.config.to_string(),
        }
    }

    /// Moves it to where it came from. Blocks.
    pub(super) fn give_back(&mut self) -> Result<(), NetworkError> {
        let Some(Origin { host, mark }) = self.origin.take() else {
            return Ok(());
        };
        move_back(&self.namespace, &self.name, &host, &mark).map_err(|source| {
            NetworkError::NotGivenBack {
                port: self.config.to_string(),
                source: Box::new(source),
            }
        })
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        if let Err(error) = self.give_back() {
            let report = miette::Report::new(error);
            tracing::error!("{report:?}");
        }
    }
}

/// Runs in the host's namespace.
async fn move_in(interface: &str, to: &Namespace) -> Result<Mark, NetworkError> {
    let netlink = Netlink::open()?;
    let link = usable(&netlink, interface, None).await?;
    // One that a run left behind which was killed is as it was before that run.
    let mark = Mark::of(&link);
    let marked = LinkUnspec::new_with_index(link.index)
        .alias(mark.to_string())
        .down();
    order(&netlink, interface, marked.build()).await?;
    let away = LinkUnspec::new_with_index(link.index).setns_by_fd(to.as_raw_fd());
    let moved = order(&netlink, interface, away.build()).await;
    if moved.is_err()
        && let Err(error) = mark.restore(&netlink, link.index).await
    {
        tracing::warn!(interface, %error, "left switched off");
    }
    moved.map(|()| mark)
}

/// Runs in the host's namespace. The VLAN begins its life in the other one: never is it in the host's.
async fn make_vlan(
    interface: &str,
    vlan: u16,
    name: &str,
    to: &Namespace,
) -> Result<(), NetworkError> {
    let netlink = Netlink::open()?;
    let link = usable(&netlink, interface, Some(vlan)).await?;
    let made = LinkVlan::new(name, link.index, vlan).setns_by_fd(to.as_raw_fd());
    let adding = netlink.link().add(made.build()).execute();
    adding.await.map_err(|error| match errno(&error) {
        Some(Errno::EPERM) => no_rights(interface),
        Some(Errno::EEXIST) => in_use(interface, format!("its VLAN {vlan} is in use")),
        _ => NetworkError::Vlan {
            interface: interface.into(),
            vlan,
            source: Box::new(error),
        },
    })
}

/// Whether the interface of the calling thread's namespace is there for a DUT. Changes nothing. Blocks.
///
/// # Errors
/// Why not.
pub fn check_port(port: &NetworkPort) -> Result<(), NetworkError> {
    run_here(async || {
        let netlink = Netlink::open()?;
        usable(&netlink, &port.interface, port.vlan).await?;
        Ok(())
    })?;
    if may_take_interfaces() {
        Ok(())
    } else {
        Err(no_rights(&port.interface))
    }
}

/// The interface, if it or that VLAN of it may be the DUT's.
async fn usable(
    netlink: &Netlink,
    interface: &str,
    vlan: Option<u16>,
) -> Result<Link, NetworkError> {
    let found = netlink.find(interface).await?;
    let link = found.ok_or_else(|| NetworkError::NoInterface {
        interface: interface.into(),
    })?;
    let reason = if vlan.is_none() {
        netlink.use_of(&link).await?
    } else if !link.is_ethernet() {
        Some("it is not an Ethernet interface".into())
    } else if !link.is_up {
        Some(format!("it is switched off (`ip link set {interface} up`)"))
    } else if Merging::of(interface) != Merging::default() {
        Some(format!(
            "it makes one frame of several before a VLAN sees them \
             (`ethtool -K {interface} gro off lro off` ends that)"
        ))
    } else {
        None
    };
    match reason {
        None => Ok(link),
        Some(reason) => Err(in_use(interface, reason)),
    }
}

async fn order(
    netlink: &Netlink,
    interface: &str,
    message: LinkMessage,
) -> Result<(), NetworkError> {
    let ordered = netlink.change(message).await;
    ordered.map_err(|error| match errno(&error) {
        Some(Errno::EPERM) => no_rights(interface),
        // Of those that may not be moved: Wi-Fi, and what the kernel marks so.
        Some(Errno::EINVAL) => in_use(
            interface,
            "it can't be moved to another network namespace, as Wi-Fi and some virtual interfaces"
                .into(),
        ),
        _ => NetworkError::netlink("taking an interface")(error),
    })
}

/// Blocks.
pub(super) fn move_back(
    from: &Namespace,
    name: &str,
    host: &Namespace,
    mark: &Mark,
) -> Result<(), NetworkError> {
    let moving = NetworkError::netlink("moving the interface back");
    from.run(async || {
        let netlink = Netlink::open()?;
        let index = netlink.index(name).await?;
        if let Err(error) = mark.merging.set(name) {
            tracing::warn!(name, %error, "frames are merged otherwise than before");
        }
        let down = LinkUnspec::new_with_index(index).down();
        netlink.change(down.build()).await.map_err(&moving)?;
        let back = LinkUnspec::new_with_index(index)
            .name(&mark.name)
            .setns_by_fd(host.as_raw_fd());
        netlink.change(back.build()).await.map_err(&moving)
    })?;
    host.run(async || {
        let netlink = Netlink::open()?;
        let index = netlink.index(&mark.name).await?;
        mark.restore(&netlink, index).await.map_err(&moving)
    })
}

/// Nothing of this kernel's own is said there; without addresses there is not much anyway.
fn be_silent(interface: &str) {
    let path = format!("/proc/sys/net/ipv6/conf/{interface}/disable_ipv6");
    // Read-only in some containers, absent without IPv6.
    if let Err(error) = std::fs::write(&path, "1") {
        tracing::debug!(path, %error, "IPv6 stays on, without addresses");
    }
}

fn in_use(interface: &str, reason: String) -> NetworkError {
    NetworkError::InterfaceInUse {
        interface: interface.into(),
        reason,
    }
}

fn no_rights(interface: &str) -> NetworkError {
    NetworkError::NoRights {
        interface: interface.into(),
    }
}

/// How an interface was before it was taken, as its alias says while it is away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) name: String,
    up: bool,
    merging: Merging,
    /// Its alias was.
    alias: String,
}

impl Mark {
    /// Of an interface of the calling thread's namespace.
    fn of(link: &Link) -> Self {
        link.alias.parse().unwrap_or_else(|()| Self {
            name: link.name.clone(),
            up: link.is_up,
            merging: Merging::of(&link.name),
            alias: link.alias.clone(),
        })
    }

    /// Lets an interface that is where it belongs, and has its name, be as it was.
    async fn restore(&self, netlink: &Netlink, index: u32) -> Result<(), rtnetlink::Error> {
        let link = LinkUnspec::new_with_index(index).alias(&self.alias);
        let link = if self.up { link.up() } else { link };
        netlink.change(link.build()).await
    }
}

/// An interface that a run had taken which was killed; the kernel has moved it back, and not put it right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    index: u32,
    name: String,
    mark: Mark,
}

impl Leftover {
    /// All there are in the network namespace of the calling thread. Blocks.
    ///
    /// # Errors
    /// [`NetworkError::Netlink`].
    pub fn find() -> Result<Vec<Self>, NetworkError> {
        run_here(async || {
            let links = Netlink::open()?.links().await?;
            let marked = links.into_iter().filter_map(|link| {
                Some(Self {
                    mark: link.alias.parse().ok()?,
                    index: link.index,
                    name: link.name,
                })
            });
            Ok(marked.collect())
        })
    }

    /// Lets it be as it was: name, on or off, alias, merging of frames. Blocks.
    ///
    /// # Errors
    /// [`NetworkError::NoRights`], or what the kernel says.
    pub fn put_right(&self) -> Result<(), NetworkError> {
        run_here(async || {
            let netlink = Netlink::open()?;
            if self.name != self.mark.name {
                let named = LinkUnspec::new_with_index(self.index).name(&self.mark.name);
                order(&netlink, &self.name, named.build()).await?;
            }
            if let Err(error) = self.mark.merging.set(&self.mark.name) {
                tracing::warn!(name = self.name, %error, "frames are merged otherwise than before");
            }
            let restored = self.mark.restore(&netlink, self.index).await;
            restored.map_err(|error| match errno(&error) {
                Some(Errno::EPERM) => no_rights(&self.name),
                _ => NetworkError::netlink("putting an interface right")(error),
            })
        })
    }
}

impl fmt::Display for Leftover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "network interface `{}`", self.name)?;
        if self.name != self.mark.name {
            write!(f, ", which is to be called `{}`", self.mark.name)?;
        }
        if self.mark.up {
            f.write_str(", which is to be switched on")?;
        }
        Ok(())
    }
}

/// Before what was to be marked, and before the alias that was there.
const PREFIX: &str = "provebench: ";
const REST: &str = " alias=";

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |yes| if yes { "on" } else { "off" };
        let text = format!(
            "{PREFIX}name={} was={} gro={} lro={}{REST}",
            self.name,
            word(self.up),
            word(self.merging.gro),
            word(self.merging.lro),
        );
        let room = LONGEST_ALIAS.saturating_sub(text.len());
        let rest = &self.alias[..self.alias.floor_char_boundary(room)];
        write!(f, "{text}{rest}")
    }
}

impl FromStr for Mark {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (words, alias) = text
            .strip_prefix(PREFIX)
            .and_then(|text| text.split_once(REST))
            .ok_or(())?;
        let word = |key: &str| {
            let mut all = words.split(' ').filter_map(|word| word.split_once('='));
            all.find_map(|(name, value)| (name == key).then_some(value))
        };
        let is_on = |key| match word(key) {
            Some("on") => Ok(true),
            Some("off") => Ok(false),
            _ => Err(()),
        };
        Ok(Self {
            name: word("name").ok_or(())?.into(),
            up: is_on("was")?,
            merging: Merging {
                gro: is_on("gro")?,
                lro: is_on("lro")?,
            },
            alias: alias.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn mark(alias: &str) -> Mark {
        Mark {
            name: "enp3s0".into(),
            up: true,
            merging: Merging {
                gro: true,
                lro: false,
            },
            alias: alias.into(),
        }
    }

    #[rstest]
    #[case::no_alias("")]
    #[case::plain("uplink to rack 3")]
    #[case::like_ours("provebench: name=x alias=y")]
    fn a_mark_is_read_as_it_was_written(#[case] alias: &str) {
        assert_eq!(mark(alias).to_string().parse(), Ok(mark(alias)));
    }

    #[test]
    fn a_mark_fits_into_an_alias() {
        let text = mark(&"ü".repeat(120)).to_string();
        assert!(text.len() <= LONGEST_ALIAS, "{}", text.len());
        let read: Mark = text.parse().unwrap();
        assert!(read.alias.chars().all(|c| c == 'ü') && read.alias.len() > 100);
    }

    #[rstest]
    #[case("")]
    #[case("uplink to rack 3")]
    #[case("provebench: ")]
    #[case("provebench: name=x was=maybe gro=on lro=on alias=")]
    fn other_aliases_are_no_marks(#[case] alias: &str) {
        assert_eq!(alias.parse::<Mark>(), Err(()));
    }
}
