//! The update server: files that a script sets, over HTTPS.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use tokio::runtime::Handle;

use super::{
    ServiceError, ServiceName,
    ca::TestCa,
    control::{Control, Port, Serve},
    record::{Log, ServiceLog},
    seen::Seen,
    site::{Front, Site},
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

/// How it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpdateAnswer {
    /// As it should.
    Right,
    /// This status, 100 to 999, for whatever is asked.
    Status(u16),
    /// Bytes that are no HTTP.
    Garbage,
    /// Right, but the connection is cut when this many bytes of the content are sent.
    Truncated(u64),
    /// Right, but the content comes at this pace.
    Slow {
        /// Bytes a second, at least 1.
        bytes_per_second: u32,
    },
    /// Right, but a bit of this byte of each file (counted from its start) is wrong.
    Corrupt(u64),
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
        config: UpdateConfig,
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
        let ports = |listen: Vec<SocketAddr>, tls: Option<Arc<Tls>>| -> Vec<Port> {
            let front = Arc::new(Front {
                tls,
                site: site.clone(),
            });
            let port = |address| Port {
                address,
                interface: None,
                serve: Serve::Tcp(front.clone()),
            };
            listen.into_iter().map(port).collect()
        };
        Ok(Self {
            control: Control::new(handle, log.clone(), ports(config.listen, Some(tls.clone()))),
            plain: Control::new(handle, plain_log, ports(config.plain, None)),
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
        self.log.saw(Seen::Told {
            what: format!("answers: {answer:?}"),
        });
    }

    /// Has this file at this path (`/PB-RS1/manifest`) from the next request on.
    pub fn set_file(&self, path: &str, content: impl Into<Bytes>) {
        let content = content.into();
        self.log.saw(Seen::Told {
            what: format!("has {path} of {} bytes", content.len()),
        });
        self.site.lock().files.insert(path.into(), content);
    }

    /// Has no file from the next request on.
    pub fn clear(&self) {
        self.log.saw(Seen::Told {
            what: "has no file".to_owned(),
        });
        self.site.lock().files.clear();
    }

    /// Has that file no more; false if it never had.
    pub fn remove_file(&self, path: &str) -> bool {
        self.log.saw(Seen::Told {
            what: format!("has {path} no more"),
        });
        self.site.lock().files.remove(path).is_some()
    }
}
