//! What can go wrong with services: the fault of the bench or of whoever asks, never the DUT's.

use std::{io, net::SocketAddr, path::PathBuf};

use miette::Diagnostic;
use thiserror::Error;

use super::{ca::CaError, name::ServiceName};

/// A service could not be had, or did not obey.
#[derive(Debug, Error, Diagnostic)]
#[non_exhaustive]
pub enum ServiceError {
    /// A port can't be opened.
    #[error("the {service} service can't listen on {address}")]
    #[diagnostic(help(
        "is the address one of this bench's network, does another program use the port, and may you open it \
         (ports below 1024 need CAP_NET_BIND_SERVICE)?"
    ))]
    Listen {
        /// Which.
        service: ServiceName,
        /// Where.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A stopped service still answers: the outage did not happen.
    #[error("the {service} service was stopped, but {address} is not closed: {seen}")]
    #[diagnostic(help(
        "does another program listen there? The outage did not happen, so nothing was shown"
    ))]
    NotStopped {
        /// Which.
        service: ServiceName,
        /// Where.
        address: SocketAddr,
        /// What an attempt to connect gave.
        seen: String,
    },
    /// The service is not part of this bench.
    #[error("there is no service {service:?}; there are {known}")]
    #[diagnostic(help("`[services.NAME]` in target.toml adds one"))]
    Absent {
        /// Which.
        service: ServiceName,
        /// Those that are.
        known: String,
    },
    /// It does not do that.
    #[error("service {service} {what}")]
    #[diagnostic(help(
        "its kind does not do that: see the table of kinds in docs/writing-tests.md"
    ))]
    Unable {
        /// Which.
        service: ServiceName,
        /// What it does not.
        what: &'static str,
    },
    /// It does not answer in that way.
    #[error("service {service} can't answer {how:?}; it can answer: {known}")]
    #[diagnostic(help("see the table of kinds in docs/writing-tests.md"))]
    Answer {
        /// Which.
        service: ServiceName,
        /// In what way.
        how: String,
        /// The ways that it has.
        known: String,
    },
    /// Certificates can't be made.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Ca(#[from] CaError),
    /// TLS can't be set up with these settings.
    #[error("TLS of the {service} service can't be set up")]
    #[diagnostic(help("this is a defect of provebench: report it"))]
    Tls {
        /// Which.
        service: ServiceName,
        /// Why not.
        #[source]
        source: rustls::Error,
    },
    /// No broker program.
    #[error("the MQTT broker {} can't be started", program.display())]
    #[diagnostic(help("install it: `ci/setup`, or on Debian `apt install mosquitto`"))]
    NoBroker {
        /// The program.
        program: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The broker did not start, or has ended.
    #[error("the MQTT broker {what}: {messages}")]
    #[diagnostic(help("provebench needs mosquitto 2.0 or newer; see what it says above"))]
    Broker {
        /// What happened.
        what: String,
        /// What it said last.
        messages: String,
    },
    /// The broker's folder can't be used.
    #[error("the MQTT broker's folder can't be made in {}", dir.display())]
    #[diagnostic(help("can it be written to? TMPDIR names another one"))]
    BrokerFolder {
        /// Where.
        dir: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The bench's own MQTT client failed.
    #[error("the bench's own MQTT client can't {what}: {reason}")]
    #[diagnostic(help(
        "is the broker still running? Topics and filters must be valid ones of MQTT"
    ))]
    Client {
        /// Subscribe, publish.
        what: &'static str,
        /// Why not.
        reason: String,
    },
    /// The runtime that the services live on is gone.
    #[error("the {service} service was interrupted")]
    #[diagnostic(help("the run is ending, or a defect ended the service's task: see the log"))]
    Interrupted {
        /// Which.
        service: ServiceName,
    },
}

impl ServiceError {
    /// Whoever asked is at fault, not the bench.
    pub fn is_misuse(&self) -> bool {
        matches!(
            self,
            Self::Absent { .. } | Self::Unable { .. } | Self::Answer { .. }
        )
    }
}
