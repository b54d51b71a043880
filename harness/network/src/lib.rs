//! The whole world of a DUT: a network in which the bench is the gateway, sees every frame and stages any outage.
//!
//! ```text
//!   network namespace of one DUT                      |  process of the harness         |
//!   sockets of services, scans, ... -- bench0 = cable0 -- frames.rs (link, impairment) -- cable -- DUT
//!   10.77.0.1/24, fd77::1/64           veth pair      |  capture, flow index            |   datagrams of raw frames,
//!                                                                                           or a network interface
//! ```
//!
//! The bench answers for every address: a route that makes all addresses local is the sinkhole. What the DUT tries to
//! reach outside gets a reset or "port unreachable" from this kernel, and is listed by [`Network::flows`].

mod batch;
mod capture;
mod client;
mod closing;
mod error;
mod flood;
mod flow;
mod frames;
#[doc(hidden)]
pub mod fuzzing;
pub mod host;
mod impair;
mod interface;
pub mod losses;
mod medium;
mod namespace;
mod neighbours;
mod netlink;
mod network;
mod packet;
mod plan;
mod port;
pub mod scan;
mod scan_port;
pub mod search;
pub mod services;
mod sys;
mod tls_names;

pub use capture::{CaptureConfig, CaptureReport};
pub use client::{Exchanged, HttpAnswer, Kept, Over, Peer, Question, TlsPeer, Transport};
pub use error::NetworkError;
pub use flow::{
    CanaryHit, Certificate, DnsQuestion, Flow, Flows, HttpRequest, MqttSeen, Outcome, Protocol,
    TlsSeen, Unserved,
};
pub use frames::{Counts, Traffic};
pub use impair::Impairment;
pub use namespace::{enter_user_namespace, is_allowed, may_take_interfaces};
pub use network::{Cable, Network, NetworkConfig};
pub use plan::{
    Addressing, DUT_V4, DUT_V6, Direction, GATEWAY_LINK_LOCAL, GATEWAY_MAC, GATEWAY_V4, GATEWAY_V6,
    Side,
};
pub use port::{Leftover, NetworkPort, check_port};

/// The bench's interface to the DUT.
pub const INTERFACE: &str = interface::ADDRESSED;
