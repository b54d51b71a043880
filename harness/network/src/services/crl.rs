//! The list of revoked certificates, over plain HTTP, where all certificates of servers say that it is (RFC 5280, 4.2.1.13;
//! RFC 2585 for how it is served). There is nothing else to ask: no OCSP, neither a responder nor a stapled answer.

use std::{future::ready, net::SocketAddr, sync::Arc};

use futures_util::future::BoxFuture;
use tokio::runtime::Handle;

use super::{
    ca::{self, TestCa},
    control::Control,
    error::ServiceError,
    record::ServiceLog,
    service::{Hosts, Kind, Place, Service, Settings},
    site::Site,
};

/// Where the list is.
#[derive(Debug, Clone)]
pub struct CrlConfig {
    /// Addresses, without TLS: whoever asks is about to find out whom to trust, and the list is signed.
    pub listen: Vec<SocketAddr>,
}

/// The kind of service. Lists are at port 80, where the gateway's is for scripts to open: it has addresses of its own.
pub(super) static KIND: Kind = Kind {
    name: "crl",
    port: 80,
    plain_port: None,
    hosts: Hosts::None,
    is_single: true,
    own_address: Some(80),
    own_host: Some(ca::CRL_NAME),
    settings: |at| {
        Some(Box::new(CrlConfig {
            listen: at.listen(),
        }))
    },
};

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
}

impl Settings for CrlConfig {
    fn make(
        self: Box<Self>,
        place: Place<'_>,
    ) -> BoxFuture<'_, Result<Box<dyn Service>, ServiceError>> {
        let Place {
            name,
            handle,
            log,
            ca,
        } = place;
        let service = Crl::new(handle, log.of(name), ca, &self);
        Box::pin(ready(Ok(Box::new(service) as Box<dyn Service>)))
    }
}

impl Service for Crl {
    fn control(&self) -> &Control {
        &self.control
    }
}
