//! A web server, such as that for updates: files that a script sets, over HTTPS.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::{
    control::Control,
    error::ServiceError,
    observation::Observation,
    record::ServiceLog,
    service::{Hosts, Kind, Place, Service, Settings, answer_of},
    site::{Site, SiteAnswer},
    tls::{ClientAuth, Tls},
};

/// Where it listens and by which name.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// Addresses with TLS.
    pub listen: Vec<SocketAddr>,
    /// Addresses without TLS: closed until a script opens them.
    pub plain: Vec<SocketAddr>,
    /// The name in its certificates.
    pub name: String,
    /// What it asks clients for at first.
    pub client_auth: ClientAuth,
}

/// The kind of service.
pub(super) static KIND: Kind = Kind {
    name: "http",
    port: 443,
    plain_port: Some(80),
    hosts: Hosts::One,
    is_single: false,
    own_address: None,
    own_host: None,
    settings: |at| {
        Some(Box::new(HttpConfig {
            listen: at.listen(),
            plain: at.listen_plain(),
            name: at.host(),
            client_auth: ClientAuth::None,
        }))
    },
};

/// The answers that scripts can choose.
const ANSWERS: [(&str, SiteAnswer); 3] = [
    ("normal", SiteAnswer::Normal),
    ("error", SiteAnswer::Status(500)),
    ("garbage", SiteAnswer::Garbage),
];

/// The web server.
pub struct Http {
    control: Control,
    plain: Control,
    tls: Arc<Tls>,
    site: Arc<Site>,
    log: ServiceLog,
}

impl Http {
    fn new(place: Place<'_>, config: &HttpConfig) -> Result<Self, ServiceError> {
        let Place {
            name,
            handle,
            log,
            ca,
        } = place;
        let (log, plain_log) = (log.of(name.clone()), log.of(name.plain()));
        let auth = config.client_auth;
        let alpn = ["http/1.1"];
        let tls = Arc::new(Tls::new(
            ca.clone(),
            &config.name,
            &alpn,
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

    /// Answers this way from the next request on.
    pub fn answer(&self, answer: SiteAnswer) {
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

impl Settings for HttpConfig {
    fn make(
        self: Box<Self>,
        place: Place<'_>,
    ) -> BoxFuture<'_, Result<Box<dyn Service>, ServiceError>> {
        Box::pin(async move { Ok(Box::new(Http::new(place, &self)?) as Box<dyn Service>) })
    }
}

impl Service for Http {
    fn control(&self) -> &Control {
        &self.control
    }

    fn answers(&self) -> Vec<&'static str> {
        ANSWERS.iter().map(|(word, _)| *word).collect()
    }

    fn answer_by_name(&self, how: &str) -> Result<(), ServiceError> {
        self.answer(answer_of(self.name(), &ANSWERS, how)?);
        Ok(())
    }

    fn plain(&self) -> Option<&Control> {
        Some(&self.plain)
    }

    fn tls(&self) -> Result<&Tls, ServiceError> {
        Ok(&self.tls)
    }

    fn publish(&self, path: &str, content: Bytes) -> Result<(), ServiceError> {
        self.set_file(path, content);
        Ok(())
    }

    fn withdraw(&self, path: &str) -> Result<bool, ServiceError> {
        Ok(self.remove_file(path))
    }

    fn reset(&self) {
        self.answer(SiteAnswer::Normal);
        self.clear();
    }
}
