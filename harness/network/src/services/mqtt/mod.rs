//! An MQTT broker, 3.1.1 and 5.0: mosquitto behind our own TLS, so that certificates, outages and wrong answers are
//! ours to stage and every packet is seen in the clear.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::future::BoxFuture;
use tokio::runtime::Handle;

use super::{
    control::Control,
    error::ServiceError,
    handler::{Port, Serve},
    observation::{Observation, Sender},
    record::ServiceLog,
    service::{Hosts, Kind, Place, Service, Settings, answer_of},
    tls::{ClientAuth, Tls},
};

mod broker;
mod client;
mod door;
mod packet;

pub use broker::broker_leftovers;
pub use client::{Message, MqttClient};
pub use door::MqttAnswer;

use broker::LazyBroker;
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
    /// It is started only when somebody has connected.
    pub is_lazy: bool,
}

/// The kind of service. Start and stop open and close its ports; the broker behind runs on: sessions, retained messages
/// and wills are not lost.
pub(super) static KIND: Kind = Kind {
    name: "mqtt",
    port: 8883,
    plain_port: Some(1883),
    hosts: Hosts::One,
    is_single: false,
    own_address: None,
    own_host: None,
    settings: |at| {
        Some(Box::new(MqttConfig {
            listen: at.listen(),
            plain: at.listen_plain(),
            name: at.host(),
            client_auth: ClientAuth::Requested,
            program: PathBuf::from("mosquitto"),
            is_lazy: at.hosts.is_empty(),
        }))
    },
};

/// The answers that scripts can choose.
const ANSWERS: [(&str, MqttAnswer); 3] = [
    ("normal", MqttAnswer::Normal),
    ("garbage", MqttAnswer::Garbage),
    ("drop", MqttAnswer::Drop),
];

/// The broker.
pub struct Mqtt {
    handle: Handle,
    control: Control,
    plain: Control,
    tls: Arc<Tls>,
    answer: Arc<Mutex<MqttAnswer>>,
    broker: Arc<LazyBroker>,
    log: ServiceLog,
}

impl Mqtt {
    async fn new(place: Place<'_>, config: MqttConfig) -> Result<Self, ServiceError> {
        let Place {
            name,
            handle,
            log,
            ca,
        } = place;
        let broker = Arc::new(LazyBroker::new(handle, config.program));
        if !config.is_lazy {
            broker.get().await?;
        }
        let answer = Arc::new(Mutex::new(MqttAnswer::Normal));
        let (log, plain_log) = (log.of(name.clone()), log.of(name.plain()));
        let auth = config.client_auth;
        let tls = Tls::new(ca.clone(), &config.name, &["mqtt"], auth, log.clone())?;
        let tls = Arc::new(tls);
        let ports = |listen: Vec<SocketAddr>, tls: Option<Arc<Tls>>| -> Vec<Port> {
            let door = Arc::new(Door {
                tls,
                broker: broker.clone(),
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
        let broker = self.broker.get().await?;
        MqttClient::connect(&self.handle, &broker.socket(), name).await
    }
}

impl Settings for MqttConfig {
    fn make(
        self: Box<Self>,
        place: Place<'_>,
    ) -> BoxFuture<'_, Result<Box<dyn Service>, ServiceError>> {
        Box::pin(async move { Ok(Box::new(Mqtt::new(place, *self).await?) as Box<dyn Service>) })
    }
}

impl Service for Mqtt {
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

    fn reset(&self) {
        self.answer(MqttAnswer::Normal);
    }

    fn health(&self) -> BoxFuture<'_, Result<(), ServiceError>> {
        Box::pin(self.broker.health())
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
