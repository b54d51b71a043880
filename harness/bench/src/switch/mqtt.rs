//! Plugs that are switched through an MQTT broker: Tasmota (<https://tasmota.github.io/docs/MQTT/>) and what
//! zigbee2mqtt reaches (<https://www.zigbee2mqtt.io/guide/usage/mqtt_topics_and_messages.html>).
//!
//! Each command is a conversation of its own: connect, subscribe, tell it what to do, then ask what it is.

use std::{path::Path, sync::Arc, time::Duration};

use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, MqttOptions, Outgoing,
    Packet, Publish, QoS, SubscribeFilter, SubscribeReasonCode, TlsConfiguration, Transport,
};
use rustls::ClientConfig;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout, timeout_at};

use super::{
    BoxFuture, Switch, SwitchError,
    address::{self, User},
    obeyed, shorten, tls,
};
use crate::inventory::{TasmotaMqttConfig, Zigbee2mqttConfig};

/// A Zigbee device may take this long to answer; zigbee2mqtt itself gives up after 10 s.
const LIMIT: Duration = Duration::from_secs(15);
/// What a device said before it knew of the command may come after it.
const OBEY_LIMIT: Duration = Duration::from_secs(2);
/// To say goodbye.
const LEAVE_LIMIT: Duration = Duration::from_secs(1);
/// Of brokers without and with TLS.
const PORTS: (u16, u16) = (1883, 8883);
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// Longest message that is read: a zigbee device tells all it has in one.
const LARGEST: usize = 1024 * 1024;

/// One output of a device behind a broker.
#[derive(Debug)]
pub(super) struct MqttPlug {
    host: String,
    port: u16,
    tls: Option<Arc<ClientConfig>>,
    user: Option<User>,
    dialect: Dialect,
    limit: Duration,
}

/// How its topics and messages look.
#[derive(Debug)]
enum Dialect {
    Tasmota {
        topic: String,
        relay: u8,
    },
    Zigbee2mqtt {
        base: String,
        name: String,
        /// `state`, or `state_l1`.
        key: String,
    },
}

/// What a message tells of the output.
enum Message {
    State(bool),
    /// It can't be reached.
    Offline(String),
    Nonsense,
    Nothing,
}

impl MqttPlug {
    pub(super) fn tasmota(config: &TasmotaMqttConfig) -> Result<Self, SwitchError> {
        let dialect = Dialect::Tasmota {
            topic: config.topic.clone(),
            relay: config.relay.get(),
        };
        Self::new(&config.broker, config.ca.as_deref(), dialect)
    }

    pub(super) fn zigbee2mqtt(config: &Zigbee2mqttConfig) -> Result<Self, SwitchError> {
        let dialect = Dialect::Zigbee2mqtt {
            base: config.base_topic.clone(),
            name: config.name.clone(),
            key: match &config.endpoint {
                Some(endpoint) => format!("state_{endpoint}"),
                None => "state".into(),
            },
        };
        Self::new(&config.broker, config.ca.as_deref(), dialect)
    }

    fn new(broker: &str, ca: Option<&Path>, dialect: Dialect) -> Result<Self, SwitchError> {
        let (scheme, port, tls) = if broker.starts_with("mqtts:") {
            ("mqtts", PORTS.1, Some(tls::client(ca)?))
        } else {
            ("mqtt", PORTS.0, None)
        };
        let (url, user) = address::parse(broker, scheme)?;
        let host = url.host_str().unwrap_or_default();
        Ok(Self {
            host: host.trim_matches(['[', ']']).into(),
            port: url.port().unwrap_or(port),
            tls,
            user,
            dialect,
            limit: LIMIT,
        })
    }

    #[cfg(test)]
    pub(super) fn with_limit(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    async fn switch(&self, on: bool) -> Result<(), SwitchError> {
        let mut talk = self.open().await?;
        let (topic, message) = self.dialect.command(on);
        talk.publish(topic, message).await?;
        // What comes back tells that the command was taken; the question, what the device made of it.
        talk.state().await?;
        let (topic, message) = self.dialect.question();
        talk.publish(topic, message).await?;
        let mut state = talk.state().await?;
        let until = (Instant::now() + OBEY_LIMIT).min(talk.deadline);
        while state != on
            && let Ok(later) = timeout_at(until, talk.state()).await
        {
            state = later?;
        }
        talk.close().await;
        obeyed(|| self.name(), on, state)
    }

    async fn ask(&self) -> Result<bool, SwitchError> {
        let mut talk = self.open().await?;
        let (topic, message) = self.dialect.question();
        talk.publish(topic, message).await?;
        let state = talk.state().await?;
        talk.close().await;
        Ok(state)
    }

    /// Connected to the broker, and subscribed to all that tells of the output.
    async fn open(&self) -> Result<Talk<'_>, SwitchError> {
        let id = format!("provebench-{:08x}", rand::random::<u32>());
        let mut options = MqttOptions::new(id, &self.host, self.port);
        options
            .set_keep_alive(KEEP_ALIVE)
            .set_max_packet_size(LARGEST, LARGEST);
        if let Some(user) = &self.user {
            options.set_credentials(&user.name, &user.password);
        }
        if let Some(tls) = &self.tls {
            let tls = TlsConfiguration::Rustls(Arc::clone(tls));
            options.set_transport(Transport::tls_with_config(tls));
        }
        let (client, events) = AsyncClient::new(options, 8);
        let mut talk = Talk {
            plug: self,
            client,
            events,
            deadline: Instant::now() + self.limit,
        };
        let filters = self.dialect.topics();
        let filters = filters.map(|topic| SubscribeFilter::new(topic, QoS::AtLeastOnce));
        let subscribed = talk.client.subscribe_many(filters).await;
        subscribed.map_err(|error| self.unreachable(error))?;
        talk.subscribed().await?;
        Ok(talk)
    }

    fn unreachable(
        &self,
        error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> SwitchError {
        SwitchError::Unreachable {
            device: format!("the MQTT broker of {}", self.name()),
            remedy: "does it run, and is `broker` in devices.toml right?",
            source: error.into(),
        }
    }

    fn refused(&self, reason: &str) -> SwitchError {
        SwitchError::Refused {
            device: format!("the MQTT broker of {}", self.name()),
            reason: reason.into(),
            remedy: "write broker in devices.toml as mqtt://USER:PASSWORD@HOST, and let that user publish and \
                subscribe to the device's topics",
        }
    }

    fn mute(&self, reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> SwitchError {
        SwitchError::Unreachable {
            device: self.name(),
            remedy: "is it powered and connected to this broker, and is its name in devices.toml right? \
                `mosquitto_sub -v -t '#'` shows what there is",
            source: reason.into(),
        }
    }

    fn name(&self) -> String {
        let scheme = if self.tls.is_some() { "mqtts" } else { "mqtt" };
        let broker = format!("{scheme}://{}:{}", self.host, self.port);
        match &self.dialect {
            Dialect::Tasmota { topic, relay } => format!("relay {relay} of `{topic}` at {broker}"),
            Dialect::Zigbee2mqtt { base, name, key } => {
                format!("`{key}` of `{base}/{name}` at {broker}")
            }
        }
    }
}

impl Switch for MqttPlug {
    fn set(&self, on: bool) -> BoxFuture<'_, Result<(), SwitchError>> {
        Box::pin(self.switch(on))
    }

    fn is_on(&self) -> BoxFuture<'_, Result<bool, SwitchError>> {
        Box::pin(self.ask())
    }
}

impl Dialect {
    /// That tell of the output.
    fn topics(&self) -> [String; 3] {
        match self {
            // Devices with one relay leave its number out.
            Self::Tasmota { topic, relay } => [
                format!("stat/{topic}/POWER{relay}"),
                format!("stat/{topic}/POWER"),
                format!("tele/{topic}/LWT"),
            ],
            Self::Zigbee2mqtt { base, name, .. } => [
                format!("{base}/{name}"),
                format!("{base}/bridge/state"),
                format!("{base}/bridge/logging"),
            ],
        }
    }

    fn command(&self, on: bool) -> (String, String) {
        let state = if on { "ON" } else { "OFF" };
        match self {
            Self::Tasmota { topic, relay } => (format!("cmnd/{topic}/POWER{relay}"), state.into()),
            Self::Zigbee2mqtt { base, name, key } => (
                format!("{base}/{name}/set"),
                json!({ key.as_str(): state }).to_string(),
            ),
        }
    }

    fn question(&self) -> (String, String) {
        match self {
            Self::Tasmota { topic, relay } => (format!("cmnd/{topic}/POWER{relay}"), String::new()),
            Self::Zigbee2mqtt { base, name, key } => (
                format!("{base}/{name}/get"),
                json!({ key.as_str(): "" }).to_string(),
            ),
        }
    }

    fn told(&self, message: &Publish) -> Message {
        match self {
            Self::Tasmota { topic, relay } => tasmota_told(topic, *relay, message),
            Self::Zigbee2mqtt { base, name, key } => zigbee2mqtt_told(base, name, key, message),
        }
    }
}

fn tasmota_told(topic: &str, relay: u8, message: &Publish) -> Message {
    if message.topic == format!("tele/{topic}/LWT") {
        return match &*message.payload {
            b"Offline" => Message::Offline("the broker lost it (LWT: Offline)".into()),
            _ => Message::Nothing,
        };
    }
    let is_ours = message.topic.ends_with(&format!("/POWER{relay}")) || relay == 1;
    match &*message.payload {
        _ if message.retain || !is_ours => Message::Nothing,
        b"ON" => Message::State(true),
        b"OFF" => Message::State(false),
        _ => Message::Nonsense,
    }
}

fn zigbee2mqtt_told(base: &str, name: &str, key: &str, message: &Publish) -> Message {
    let value: Value = serde_json::from_slice(&message.payload).unwrap_or_default();
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    match message.topic.strip_prefix(base) {
        Some("/bridge/state") => match text("state") {
            Some("offline") => Message::Offline("zigbee2mqtt is not running".into()),
            _ => Message::Nothing,
        },
        Some("/bridge/logging") => match (text("level"), text("message")) {
            (Some("error"), Some(said)) if said.contains(&format!("to '{name}' failed")) => {
                Message::Offline(shorten(said))
            }
            _ => Message::Nothing,
        },
        // What the broker kept is what it was.
        _ if message.retain => Message::Nothing,
        _ => match (text(key), value.get(key)) {
            (Some("ON"), _) => Message::State(true),
            (Some("OFF"), _) => Message::State(false),
            // A device may tell other things by themselves, and null before it is asked.
            (None, None | Some(Value::Null)) if value.is_object() => Message::Nothing,
            _ => Message::Nonsense,
        },
    }
}

/// A conversation with the broker.
struct Talk<'p> {
    plug: &'p MqttPlug,
    client: AsyncClient,
    events: EventLoop,
    deadline: Instant,
}

impl Talk<'_> {
    async fn publish(&mut self, topic: String, message: String) -> Result<(), SwitchError> {
        let published = self.client.publish(topic, QoS::AtLeastOnce, false, message);
        published
            .await
            .map_err(|error| self.plug.unreachable(error))
    }

    async fn subscribed(&mut self) -> Result<(), SwitchError> {
        loop {
            let late = || self.plug.unreachable("no answer in time");
            let event = timeout_at(self.deadline, self.events.poll()).await;
            match event.map_err(|_| late())? {
                Ok(Event::Incoming(Packet::SubAck(ack))) => {
                    let denied = ack.return_codes.contains(&SubscribeReasonCode::Failure);
                    return if denied {
                        Err(self.plug.refused("we may not subscribe"))
                    } else {
                        Ok(())
                    };
                }
                Ok(_) => {}
                Err(error) => return Err(self.failed(error)),
            }
        }
    }

    /// What the device says next of the state of the output.
    async fn state(&mut self) -> Result<bool, SwitchError> {
        loop {
            let event = timeout_at(self.deadline, self.events.poll()).await;
            let message = match event.map_err(|_| self.plug.mute("no answer in time"))? {
                Ok(Event::Incoming(Packet::Publish(message))) => message,
                Ok(_) => continue,
                Err(error) => return Err(self.failed(error)),
            };
            match self.plug.dialect.told(&message) {
                Message::State(state) => return Ok(state),
                Message::Offline(reason) => return Err(self.plug.mute(reason)),
                Message::Nothing => {}
                Message::Nonsense => {
                    return Err(SwitchError::Answer {
                        device: self.plug.name(),
                        command: self.plug.dialect.question().0,
                        answer: shorten(&String::from_utf8_lossy(&message.payload)),
                    });
                }
            }
        }
    }

    /// Says goodbye: brokers complain of clients that just go.
    async fn close(mut self) {
        if self.client.disconnect().await.is_ok() {
            let gone = async {
                while let Ok(event) = self.events.poll().await {
                    if event == Event::Outgoing(Outgoing::Disconnect) {
                        return;
                    }
                }
            };
            let _ = timeout(LEAVE_LIMIT, gone).await;
        }
    }

    fn failed(&self, error: ConnectionError) -> SwitchError {
        match error {
            ConnectionError::ConnectionRefused(
                ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized,
            ) => self.plug.refused("it wants another user or password"),
            ConnectionError::Tls(error) => SwitchError::Unreachable {
                device: format!("the MQTT broker of {}", self.plug.name()),
                remedy: "does it speak TLS there, does its certificate name the host that `broker` in devices.toml \
                    names, and is it from an authority in `ca`?",
                source: error.into(),
            },
            error => self.plug.unreachable(error),
        }
    }
}
