//! An MQTT broker, 3.1.1 and 5.0: mosquitto behind our own TLS, so that certificates, outages and wrong answers are
//! ours to stage and every packet is seen in the clear.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::runtime::Handle;

use super::{
    ca::TestCa,
    control::Control,
    error::ServiceError,
    handler::{Port, Serve},
    observation::{Observation, Sender},
    record::{Log, ServiceLog, ServiceName},
    tls::{ClientAuth, Tls},
};

mod broker;
mod client;
mod door;
mod packet;

pub use broker::broker_leftovers;
pub use client::{Message, MqttClient};
pub use door::MqttAnswer;

use broker::Broker;
use door::Door;

/// Where it listens and by which name.
#[derive(Debug, Clone)]
pub struct MqttConfig {
    /// Addresses with TLS.
    pub listen: Vec<SocketAddr>,
    /// Addresses without TLS: closed until a script opens them.
    pub plain: Vec<SocketAddr>,
    /// The name in its certificates.
    pub name: String,
    /// What it asks clients for at first.
    pub client_auth: ClientAuth,
    /// The broker's program: a path, or a name that is looked for.
    pub program: PathBuf,
}

/// The broker.
pub struct Mqtt {
    handle: Handle,
    control: Control,
    plain: Control,
    tls: Arc<Tls>,
    answer: Arc<Mutex<MqttAnswer>>,
    broker: Broker,
    log: ServiceLog,
}

impl Mqtt {
    pub(super) async fn new(
        handle: &Handle,
        log: &Log,
        ca: Arc<TestCa>,
        config: MqttConfig,
    ) -> Result<Self, ServiceError> {
        let broker = Broker::start(handle, &config.program).await?;
        let answer = Arc::new(Mutex::new(MqttAnswer::Normal));
        let (log, plain_log) = (log.of(ServiceName::Mqtt), log.of(ServiceName::MqttPlain));
        let auth = config.client_auth;
        let tls = Arc::new(Tls::new(ca, &config.name, &["mqtt"], auth, log.clone())?);
        let ports = |listen: Vec<SocketAddr>, tls: Option<Arc<Tls>>| -> Vec<Port> {
            let door = Arc::new(Door {
                tls,
                broker: broker.socket(),
                answer: answer.clone(),
            });
            let port = |address| Port {
                address,
                interface: None,
                serve: Serve::Tcp(door.clone()),
            };
            listen.into_iter().map(port).collect()
        };
        Ok(Self {
            handle: handle.clone(),
            control: Control::new(handle, log.clone(), ports(config.listen, Some(tls.clone()))),
            plain: Control::new(handle, plain_log, ports(config.plain, None)),
            tls,
            answer,
            broker,
            log,
        })
    }

    /// Start, stop, hang. The broker behind runs on: sessions, retained messages and wills are not lost.
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

    /// Answers every CONNECT this way from now on.
    pub fn answer(&self, answer: MqttAnswer) {
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = answer;
        self.log.record(Observation::Reconfigured {
            what: format!("answers: {answer:?}"),
        });
    }

    /// A client of the bench's own, past all that is staged for the DUT; it leaves no records.
    ///
    /// # Errors
    /// [`ServiceError::Client`] if the broker does not take it.
    pub async fn client(&self, name: &str) -> Result<MqttClient, ServiceError> {
        MqttClient::connect(&self.handle, &self.broker.socket(), name).await
    }

    /// Whether the broker runs.
    ///
    /// # Errors
    /// [`ServiceError::Broker`] if not.
    pub async fn health(&self) -> Result<(), ServiceError> {
        self.broker.health().await
    }
}

/// Reads a stream of packets, first as the DUT's, then as the broker's.
pub fn fuzz_packets(data: &[u8]) {
    for sender in [Sender::Dut, Sender::Broker] {
        let mut buffer = bytes::BytesMut::from(data);
        let mut reader = packet::Reader::default();
        while let Ok(Some(frame)) = packet::next_frame(&mut buffer) {
            if reader.read(sender, &frame).is_err() {
                break;
            }
        }
    }
}
