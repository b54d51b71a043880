//! The update server: files that a script sets, over HTTPS.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use tokio::runtime::Handle;

use super::{
    ca::TestCa,
    control::Control,
    error::ServiceError,
    observation::Observation,
    record::{Log, ServiceLog, ServiceName},
    site::{Site, UpdateAnswer},
    tls::{ClientAuth, Tls},
};

/// Where it listens and by which name.
#[derive(Debug, Clone)]
pub struct UpdateConfig {
    /// Addresses with TLS.
    pub listen: Vec<SocketAddr>,
    /// Addresses without TLS: closed until a script opens them.
    pub plain: Vec<SocketAddr>,
    /// The name in its certificates.
    pub name: String,
    /// What it asks clients for at first.
    pub client_auth: ClientAuth,
}

/// The update server.
pub struct Update {
    control: Control,
    plain: Control,
    tls: Arc<Tls>,
    site: Arc<Site>,
    log: ServiceLog,
}

impl Update {
    pub(super) fn new(
        handle: &Handle,
        log: &Log,
        ca: Arc<TestCa>,
        config: &UpdateConfig,
    ) -> Result<Self, ServiceError> {
        let (log, plain_log) = (
            log.of(ServiceName::Update),
            log.of(ServiceName::UpdatePlain),
        );
        let auth = config.client_auth;
        let tls = Arc::new(Tls::new(
            ca,
            &config.name,
            &["http/1.1"],
            auth,
            log.clone(),
        )?);
        let site = Arc::new(Site::new("application/octet-stream"));
        let ports = site.ports(&config.listen, Some(tls.clone()));
        let plain_ports = site.ports(&config.plain, None);
        Ok(Self {
            control: Control::new(handle, log.clone(), ports),
            plain: Control::new(handle, plain_log, plain_ports),
            tls,
            site,
            log,
        })
    }

    /// Start, stop, hang.
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// The same without TLS; stopped at first.
    pub fn plain(&self) -> &Control {
        &self.plain
    }

    /// Certificates, versions, client certificates.
    pub fn tls(&self) -> &Tls {
        &self.tls
    }

    /// Answers this way from the next request on.
    pub fn answer(&self, answer: UpdateAnswer) {
        self.site.lock().answer = answer;
        self.log.record(Observation::Reconfigured {
            what: format!("answers: {answer:?}"),
        });
    }

    /// Has this file at this path (`/PB-RS1/manifest`) from the next request on.
    pub fn set_file(&self, path: &str, content: impl Into<Bytes>) {
        let content = content.into();
        self.log.record(Observation::Reconfigured {
            what: format!("has {path} of {} bytes", content.len()),
        });
        self.site.lock().files.insert(path.into(), content);
    }

    /// Has no file from the next request on.
    pub fn clear(&self) {
        self.log.record(Observation::Reconfigured {
            what: "has no file".to_owned(),
        });
        self.site.lock().files.clear();
    }

    /// Has that file no more; false if it never had.
    pub fn remove_file(&self, path: &str) -> bool {
        self.log.record(Observation::Reconfigured {
            what: format!("has {path} no more"),
        });
        self.site.lock().files.remove(path).is_some()
    }
}
