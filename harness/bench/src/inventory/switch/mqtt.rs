//! Plugs and relay boards that are switched through an MQTT broker.

use std::num::NonZeroU8;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{ProblemKind, Role, Settings, problem, same_host};

/// A plug or relay board with Tasmota firmware, through a broker.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TasmotaMqttConfig {
    /// `mqtt://HOST[:PORT]`, `mqtts://` with TLS; with `USER:PASSWORD@` before the host where the broker asks for one.
    pub broker: String,
    /// PEM file with the authority that issued the broker's certificate; what this machine trusts unless given.
    pub ca: Option<PathBuf>,
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
    /// `mqtt://HOST[:PORT]`, `mqtts://` with TLS; with `USER:PASSWORD@` before the host where the broker asks for one.
    pub broker: String,
    /// PEM file with the authority that issued the broker's certificate; what this machine trusts unless given.
    pub ca: Option<PathBuf>,
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

    fn secrets(&self) -> Vec<String> {
        super::secrets_of_url(&self.broker)
    }

    fn check(&self, _: Role) -> Result<(), ProblemKind> {
        broker("tasmota-mqtt", &self.broker, self.ca.as_deref())?;
        topic("tasmota-mqtt", "topic", &self.topic)
    }

    fn rebase(&mut self, dir: &Path) {
        self.ca = self.ca.take().map(|ca| dir.join(ca));
    }
}

impl Settings for Zigbee2mqttConfig {
    fn output(&self) -> String {
        let output = self.endpoint.as_deref().unwrap_or("output");
        let broker = shown(&self.broker);
        format!("{output} of {}/{} at {broker}", self.base_topic, self.name)
    }

    fn secrets(&self) -> Vec<String> {
        super::secrets_of_url(&self.broker)
    }

    fn check(&self, _: Role) -> Result<(), ProblemKind> {
        broker("zigbee2mqtt", &self.broker, self.ca.as_deref())?;
        topic("zigbee2mqtt", "name", &self.name)?;
        topic("zigbee2mqtt", "base_topic", &self.base_topic)
    }

    fn rebase(&mut self, dir: &Path) {
        self.ca = self.ca.take().map(|ca| dir.join(ca));
    }
}

/// The host only: with and without TLS a broker has two ports.
fn shown(broker: &str) -> String {
    let url = reqwest::Url::parse(broker).ok();
    let host = url.as_ref().and_then(reqwest::Url::host_str);
    same_host(host.unwrap_or(broker))
}

fn broker(driver: &'static str, url: &str, ca: Option<&Path>) -> Result<(), ProblemKind> {
    let reason = match reqwest::Url::parse(url) {
        Ok(parsed) if !["mqtt", "mqtts"].contains(&parsed.scheme()) => {
            format!("it starts with `{}:`", parsed.scheme())
        }
        Ok(parsed) if parsed.host_str().is_none_or(str::is_empty) => "it names no host".to_owned(),
        Ok(parsed) if ca.is_some() && parsed.scheme() == "mqtt" => {
            let remedy = "write broker = \"mqtts://...\", or leave out `ca`";
            return Err(problem(driver, "`ca` is for brokers with TLS", remedy));
        }
        Ok(_) => return Ok(()),
        Err(_) if !url.contains("://") => "it does not start with `mqtt://`".to_owned(),
        Err(err) => err.to_string(),
    };
    let what = format!("`{url}` is not the URL of a broker: {reason}");
    Err(problem(
        driver,
        what,
        "write broker = \"mqtt://HOST\" or \"mqtt://HOST:PORT\", mqtts:// with TLS",
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
