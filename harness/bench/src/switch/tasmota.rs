//! Plugs and relay boards with Tasmota firmware, by HTTP: <https://tasmota.github.io/docs/Commands/>.

use std::ops::Range;

use reqwest::Url;
use serde_json::Value;

use super::{BoxFuture, CutState, Switch, SwitchError, WriteCut, address, http, obeyed, shorten};

/// One output of a Tasmota device.
#[derive(Debug, Clone)]
pub(crate) struct Tasmota {
    client: reqwest::Client,
    /// `http://host/cm`, with user and password where the device wants them.
    endpoint: Url,
    relay: u8,
    /// The device knows the command `CutAtWrite`, which is not one of Tasmota's own.
    cut_at_write: bool,
}

impl Tasmota {
    pub(crate) fn new(url: &str, relay: u8, cut_at_write: bool) -> Result<Self, SwitchError> {
        let (mut endpoint, user) = address::parse(url, "http")?;
        // Tasmota takes its password in the query only.
        if let Some(user) = user {
            endpoint
                .query_pairs_mut()
                .append_pair("user", &user.name)
                .append_pair("password", &user.password);
        }
        endpoint.set_path("/cm");
        let client = http::client(http::ANSWER_LIMIT)
            .map_err(|e| http::unreachable(device_name(&endpoint, relay), e))?;
        Ok(Self {
            client,
            endpoint,
            relay,
            cut_at_write,
        })
    }

    async fn command(&self, command: &str) -> Result<Value, SwitchError> {
        let mut url = self.endpoint.clone();
        url.query_pairs_mut().append_pair("cmnd", command);
        let fail = |source| http::unreachable(self.name(), source);
        let response = self.client.get(url).send().await.map_err(fail)?;
        let status = response.status();
        let answer = http::text(response).await.map_err(fail)?;
        serde_json::from_str(&answer)
            .ok()
            .filter(|_| status.is_success())
            .ok_or_else(|| self.nonsense(command, format!("{status}: {}", shorten(&answer))))
    }

    async fn switch(&self, command: &str) -> Result<bool, SwitchError> {
        let answer = self.command(command).await?;
        // Devices with one relay leave its number out.
        let state = answer
            .get(format!("POWER{}", self.relay))
            .or_else(|| answer.get("POWER"));
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
        device_name(&self.endpoint, self.relay)
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
                    "Power{} {}",
                    self.relay,
                    if on { "On" } else { "Off" }
                ))
                .await?;
            obeyed(|| self.name(), on, state)
        })
    }

    fn is_on(&self) -> BoxFuture<'_, Result<bool, SwitchError>> {
        Box::pin(async move { self.switch(&format!("Power{}", self.relay)).await })
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

fn device_name(endpoint: &Url, relay: u8) -> String {
    format!("relay {relay} of {}", http::origin(endpoint))
}
