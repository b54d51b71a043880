//! Plugs and relay boards that are switched through an MQTT broker.

use std::num::NonZeroU8;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{ProblemKind, Role, Settings, problem};

/// A plug or relay board with Tasmota firmware, through a broker.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TasmotaMqttConfig {
    /// `mqtt://HOST[:PORT]`, with `USER:PASSWORD@` before the host where the broker asks for one.
    pub broker: String,
    /// The device's topic, as in `cmnd/TOPIC/POWER1`.
    pub topic: String,
    /// Number of the relay; 1 unless given.
    #[serde(default = "super::first")]
    pub relay: NonZeroU8,
}

/// A plug that zigbee2mqtt reaches.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Zigbee2mqttConfig {
    /// `mqtt://HOST[:PORT]`, with `USER:PASSWORD@` before the host where the broker asks for one.
    pub broker: String,
    /// The device's friendly name, or its IEEE address.
    pub name: String,
    /// For devices with several outputs, which: `l1`, `left`, ...
    pub endpoint: Option<String>,
    /// zigbee2mqtt's base topic; `zigbee2mqtt` unless given.
    #[serde(default = "base")]
    pub base_topic: String,
}

impl Settings for TasmotaMqttConfig {
    fn output(&self) -> String {
        let broker = shown(&self.broker);
        format!("relay {} of {} at {broker}", self.relay, self.topic)
    }

    fn check(&self, _: Role) -> Result<(), ProblemKind> {
        broker("tasmota-mqtt", &self.broker)?;
        topic("tasmota-mqtt", "topic", &self.topic)
    }
}

impl Settings for Zigbee2mqttConfig {
    fn output(&self) -> String {
        let output = self.endpoint.as_deref().unwrap_or("output");
        let broker = shown(&self.broker);
        format!("{output} of {}/{} at {broker}", self.base_topic, self.name)
    }

    fn check(&self, _: Role) -> Result<(), ProblemKind> {
        broker("zigbee2mqtt", &self.broker)?;
        topic("zigbee2mqtt", "name", &self.name)?;
        topic("zigbee2mqtt", "base_topic", &self.base_topic)
    }
}

/// Without user and password.
fn shown(broker: &str) -> &str {
    let rest = broker.strip_prefix("mqtt://").unwrap_or(broker);
    rest.rsplit_once('@').map_or(rest, |(_, host)| host)
}

fn broker(driver: &'static str, url: &str) -> Result<(), ProblemKind> {
    let reason = match reqwest::Url::parse(url) {
        Ok(parsed) if parsed.scheme() != "mqtt" => format!("it starts with `{}:`", parsed.scheme()),
        Ok(parsed) if parsed.host_str().is_none_or(str::is_empty) => "it names no host".to_owned(),
        Ok(_) => return Ok(()),
        Err(_) if !url.contains("://") => "it does not start with `mqtt://`".to_owned(),
        Err(err) => err.to_string(),
    };
    let what = format!("`{url}` is not the URL of a broker: {reason}");
    Err(problem(
        driver,
        what,
        "write broker = \"mqtt://HOST\" or \"mqtt://HOST:PORT\"",
    ))
}

/// A part of a topic that is published to: MQTT 3.1.1, 4.7.
fn topic(driver: &'static str, key: &str, topic: &str) -> Result<(), ProblemKind> {
    if topic.is_empty() || topic.contains(['+', '#', '\0']) {
        let what = format!("`{key}` can't be `{topic}`");
        let remedy = "write it as the device has it, without `+` and `#`";
        return Err(problem(driver, what, remedy));
    }
    Ok(())
}

fn base() -> String {
    "zigbee2mqtt".into()
}
