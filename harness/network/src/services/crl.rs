//! The list of revoked certificates, over plain HTTP, where all certificates of servers say that it is (RFC 5280, 4.2.1.13;
//! RFC 2585 for how it is served). There is nothing else to ask: no OCSP, neither a responder nor a stapled answer.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use tokio::runtime::Handle;

use super::{
    ca::{self, TestCa},
    control::Control,
    record::ServiceLog,
    site::Site,
};

/// An address of its own, of those that are nobody's (RFC 5737): lists are at port 80, where the gateway's is for scripts
/// to open.
pub(super) const ADDRESS_V4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 80);
/// The same (RFC 3849).
pub(super) const ADDRESS_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x80);

/// Where the list is.
#[derive(Debug, Clone)]
pub struct CrlConfig {
    /// Addresses, without TLS: whoever asks is about to find out whom to trust, and the list is signed.
    pub listen: Vec<SocketAddr>,
}

/// The server of the list.
pub struct Crl {
    control: Control,
}

impl Crl {
    pub(super) fn new(handle: &Handle, log: ServiceLog, ca: &TestCa, config: &CrlConfig) -> Self {
        let site = Arc::new(Site::new("application/pkix-crl"));
        let list = ca.crl_der().to_vec();
        site.lock().files.insert(ca::CRL_PATH.into(), list.into());
        let ports = site.ports(&config.listen, None);
        Self {
            control: Control::new(handle, log, ports),
        }
    }

    /// Start, stop, hang.
    pub fn control(&self) -> &Control {
        &self.control
    }
}
