//! What the bench network could not do. None of it is a verdict on the DUT.

use std::{io, path::PathBuf};

use miette::Diagnostic;
use thiserror::Error;

/// What it takes to take interfaces.
pub(super) const RIGHTS: &str = "run as root, or with CAP_NET_ADMIN, CAP_NET_RAW and CAP_SYS_ADMIN: in a systemd unit \
    AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW CAP_SYS_ADMIN, or on the program itself \
    setcap cap_net_admin,cap_net_raw,cap_sys_admin+ep";

/// A failure of the bench network.
#[derive(Debug, Error, Diagnostic)]
#[non_exhaustive]
pub enum NetworkError {
    /// Neither capabilities nor a user namespace.
    #[error("this process may not make a network namespace")]
    #[diagnostic(help(
        "run as root (CAP_SYS_ADMIN, CAP_NET_ADMIN, CAP_NET_RAW), or let users make user namespaces: \
         sysctl user.max_user_namespaces=10000; on Debian also kernel.unprivileged_userns_clone=1; \
         on Ubuntu also kernel.apparmor_restrict_unprivileged_userns=0; \
         in Docker --privileged, or --cap-add SYS_ADMIN --cap-add NET_ADMIN --security-opt apparmor=unconfined"
    ))]
    Forbidden {
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// User namespaces are entered by whole processes.
    #[error("a user namespace can't be entered: this process already has {threads} threads")]
    #[diagnostic(help(
        "this is a fault of the harness: `enter_user_namespace` comes first in `main`"
    ))]
    TooLate {
        /// How many.
        threads: usize,
    },
    /// Setting up interfaces, addresses or routes.
    #[error("the bench network can't be set up: {action} failed")]
    #[diagnostic(help(
        "is the kernel built with veth, AF_PACKET and IPv6 (modules `veth`, `af_packet`, `ipv6`)?"
    ))]
    Setup {
        /// What was tried.
        action: &'static str,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The same, said by the kernel's netlink interface.
    #[error("the bench network can't be set up: {action} failed")]
    #[diagnostic(help(
        "is the kernel built with veth, AF_PACKET and IPv6 (modules `veth`, `af_packet`, `ipv6`)?"
    ))]
    Netlink {
        /// What was tried.
        action: &'static str,
        /// The kernel's answer.
        #[source]
        source: Box<rtnetlink::Error>,
    },
    /// `devices.toml` names an interface that is not there.
    #[error("there is no network interface `{interface}`")]
    #[diagnostic(help(
        "`ip -br link` lists those of this machine. Is it plugged in, or has another run taken it? \
         devices.toml names it: network = {{ interface = \"...\" }}"
    ))]
    NoInterface {
        /// Its name.
        interface: String,
    },
    /// An interface that is not the DUT's alone, or can't be.
    #[error("network interface `{interface}` can't be given to the DUT: {reason}")]
    #[diagnostic(help(
        "a DUT needs an interface that this machine does not use: name another in devices.toml, or free this one, \
         and tell NetworkManager or systemd-networkd to leave it alone"
    ))]
    InterfaceInUse {
        /// Its name.
        interface: String,
        /// What stands in the way.
        reason: String,
    },
    /// The process may not change this system's interfaces.
    #[error(
        "network interface `{interface}` can't be taken: this process may not change the interfaces of this machine"
    )]
    #[diagnostic(help("{RIGHTS}"))]
    NoRights {
        /// Its name.
        interface: String,
    },
    /// No VLAN interface.
    #[error("VLAN {vlan} can't be made on network interface `{interface}`")]
    #[diagnostic(help(
        "is the kernel built with VLANs (`modprobe 8021q`), and can the interface carry them?"
    ))]
    Vlan {
        /// What it was to be made on.
        interface: String,
        /// Its number.
        vlan: u16,
        /// The kernel's answer.
        #[source]
        source: Box<rtnetlink::Error>,
    },
    /// The interface has vanished.
    #[error("the DUT's network interface, {port}, is gone")]
    #[diagnostic(help("was it unplugged, or removed? Plug it in and start the run again"))]
    PortGone {
        /// What devices.toml names.
        port: String,
    },
    /// The interface could not be moved back.
    #[error("the network interface {port} could not be given back as it was")]
    #[diagnostic(help(
        "look at it with `ip -br link`; `provebench doctor --clean` puts right what can be"
    ))]
    NotGivenBack {
        /// What devices.toml names.
        port: String,
        /// Why.
        #[source]
        source: Box<NetworkError>,
    },
    /// The capture can't be written.
    #[error("frames can't be captured to {}", path.display())]
    #[diagnostic(help("is there space left, and may you write there?"))]
    Capture {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The thread that moves frames has ended.
    #[error("frames are no longer moved between bench and DUT: {reason}")]
    #[diagnostic(help("start the run again"))]
    Stopped {
        /// Why.
        reason: String,
    },
    /// The bench's own end of the cable is not as it was set up.
    #[error("the bench's own network interface in the DUT's network is not sound: {reason}")]
    #[diagnostic(help("something else on this machine has changed it; start the run again"))]
    OwnInterface {
        /// What is wrong.
        reason: String,
    },
    /// The bench could not be the DUT's client.
    #[error("the bench can't be a client of the DUT: {reason}")]
    #[diagnostic(help("look at the request; if it is in order, is the bench network still up?"))]
    Client {
        /// Why.
        reason: String,
    },
    /// An impairment that is none.
    #[error("{what} is {value}, which is not a probability (0 to 1)")]
    #[diagnostic(help("give a number from 0 (never) to 1 (every frame)"))]
    Probability {
        /// Which.
        what: &'static str,
        /// What was given.
        value: f64,
    },
    /// A scan could not be done.
    #[error("the scan of {target} can't be done: {action} failed")]
    #[diagnostic(help("is the bench network still up? See the capture for what was sent"))]
    Scan {
        /// What was scanned.
        target: std::net::IpAddr,
        /// What was tried.
        action: &'static str,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}

impl NetworkError {
    pub(super) fn setup(action: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| Self::Setup { action, source }
    }

    pub(super) fn netlink(action: &'static str) -> impl Fn(rtnetlink::Error) -> Self {
        move |source| Self::Netlink {
            action,
            source: Box::new(source),
        }
    }
}
