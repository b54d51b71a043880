//! Plugs and relay boards with Tasmota firmware, by HTTP: <https://tasmota.github.io/docs/Commands/>.

use std::{ops::Range, time::Duration};

use reqwest::Url;
use serde_json::Value;

use super::{BoxFuture, CutState, Switch, SwitchError, WriteCut, on_off};

/// A plug in the local network answers within milliseconds, one that is asleep within a second or two.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// Longer answers are cut before they are shown.
const SHOWN: usize = 200;

/// What of a device is switched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Output {
    /// A relay, by its number.
    Relay(u8),
    /// The carrier of a virtual board's Ethernet interface, which is not one of Tasmota's own.
    Carrier,
}

/// One output of a Tasmota device.
#[derive(Debug, Clone)]
pub(in crate::bench) struct Tasmota {
    client: reqwest::Client,
    /// `http://host/cm`, with user and password where the device wants them.
    endpoint: Url,
    output: Output,
    /// The device knows the command `CutAtWrite`, which is not one of Tasmota's own.
    cut_at_write: bool,
}

impl Tasmota {
    pub(in crate::bench) fn new(
        url: &str,
        relay: u8,
        cut_at_write: bool,
    ) -> Result<Self, SwitchError> {
        Self::open(url, Output::Relay(relay), cut_at_write)
    }

    /// The carrier of the Ethernet interface of the virtual board with this plug.
    pub(in crate::bench) fn carrier(url: &str) -> Result<Self, SwitchError> {
        Self::open(url, Output::Carrier, false)
    }

    fn open(url: &str, output: Output, cut_at_write: bool) -> Result<Self, SwitchError> {
        let fail = |reason: String| SwitchError::Url {
            url: url.into(),
            reason,
        };
        let mut endpoint = Url::parse(url).map_err(|error| fail(error.to_string()))?;
        if endpoint.scheme() != "http" || endpoint.host_str().is_none() {
            return Err(fail("it must begin with http:// and name a host".into()));
        }
        // Tasmota takes its password in the query only.
        if let Some(password) = endpoint.password().map(str::to_owned) {
            let user = endpoint.username().to_owned();
            endpoint
                .query_pairs_mut()
                .append_pair("user", &user)
                .append_pair("password", &password);
        }
        // `http` URLs with a host have both parts: these can't fail.
        let _ = endpoint.set_username("");
        let _ = endpoint.set_password(None);
        endpoint.set_path("/cm");
        let client = reqwest::Client::builder()
            .timeout(ANSWER_LIMIT)
            // Bench equipment is never behind the proxy that leads to the Internet.
            .no_proxy()
            .build()
            .map_err(|source| SwitchError::Unreachable {
                device: device_name(&endpoint, output),
                source,
            })?;
        Ok(Self {
            client,
            endpoint,
            output,
            cut_at_write,
        })
    }

    async fn command(&self, command: &str) -> Result<Value, SwitchError> {
        let mut url = self.endpoint.clone();
        url.query_pairs_mut().append_pair("cmnd", command);
        // Without the URL: it may hold a password.
        let fail = |source: reqwest::Error| SwitchError::Unreachable {
            device: self.name(),
            source: source.without_url(),
        };
        let response = self.client.get(url).send().await.map_err(fail)?;
        let status = response.status();
        let answer = response.text().await.map_err(fail)?;
        serde_json::from_str(&answer)
            .ok()
            .filter(|_| status.is_success())
            .ok_or_else(|| self.nonsense(command, format!("{status}: {}", shorten(&answer))))
    }

    async fn switch(&self, command: &str) -> Result<bool, SwitchError> {
        let answer = self.command(command).await?;
        let state = match self.output {
            // Devices with one relay leave its number out.
            Output::Relay(relay) => answer
                .get(format!("POWER{relay}"))
                .or_else(|| answer.get("POWER")),
            Output::Carrier => answer.get("Link"),
        };
        match state.and_then(Value::as_str) {
            Some("ON") => Ok(true),
            Some("OFF") => Ok(false),
            _ => Err(self.nonsense(command, shorten(&answer.to_string()))),
        }
    }

    async fn cut(&self, command: &str) -> Result<CutState, SwitchError> {
        let answer = self.command(command).await?;
        let parse = || {
            let state = answer.get("CutAtWrite")?;
            Some(CutState {
                armed: state.get("armed")?.as_bool()?,
                fired: state.get("fired").and_then(Value::as_bool).unwrap_or(false),
                writes: state.get("writes")?.as_u64()?,
            })
        };
        parse().ok_or_else(|| self.nonsense(command, shorten(&answer.to_string())))
    }

    fn name(&self) -> String {
        device_name(&self.endpoint, self.output)
    }

    /// As the command calls what is switched.
    fn output(&self) -> String {
        match self.output {
            Output::Relay(relay) => format!("Power{relay}"),
            Output::Carrier => "Link".into(),
        }
    }

    fn nonsense(&self, command: &str, answer: String) -> SwitchError {
        SwitchError::Answer {
            device: self.name(),
            command: command.into(),
            answer,
        }
    }
}

impl Switch for Tasmota {
    fn set(&self, on: bool) -> BoxFuture<'_, Result<(), SwitchError>> {
        Box::pin(async move {
            let state = self
                .switch(&format!(
                    "{} {}",
                    self.output(),
                    if on { "On" } else { "Off" }
                ))
                .await?;
            if state == on {
                return Ok(());
            }
            Err(SwitchError::NotObeyed {
                device: self.name(),
                wanted: on_off(on),
                state: on_off(state),
            })
        })
    }

    fn is_on(&self) -> BoxFuture<'_, Result<bool, SwitchError>> {
        Box::pin(async move { self.switch(&self.output()).await })
    }

    fn write_cut(&self) -> Option<&dyn WriteCut> {
        self.cut_at_write.then_some(self)
    }
}

impl WriteCut for Tasmota {
    fn arm(&self, region: Range<u64>, count: u64) -> BoxFuture<'_, Result<(), SwitchError>> {
        Box::pin(async move {
            let length = region.end.saturating_sub(region.start);
            self.cut(&format!(
                "CutAtWrite {:#x} {length:#x} {count}",
                region.start
            ))
            .await
            .map(drop)
        })
    }

    fn disarm(&self) -> BoxFuture<'_, Result<(), SwitchError>> {
        Box::pin(async move { self.cut("CutAtWrite 0").await.map(drop) })
    }

    fn state(&self) -> BoxFuture<'_, Result<CutState, SwitchError>> {
        Box::pin(async move { self.cut("CutAtWrite").await })
    }
}

fn device_name(endpoint: &Url, output: Output) -> String {
    let host = endpoint.host_str().unwrap_or_default();
    let output = match output {
        Output::Relay(relay) => format!("relay {relay}"),
        Output::Carrier => "Ethernet carrier".into(),
    };
    match endpoint.port() {
        Some(port) => format!("{output} of http://{host}:{port}"),
        None => format!("{output} of http://{host}"),
    }
}

fn shorten(answer: &str) -> String {
    let mut text: String = answer
        .chars()
        .take(SHOWN)
        .flat_map(char::escape_debug)
        .collect();
    if answer.chars().nth(SHOWN).is_some() {
        text.push('…');
    }
    text
}
