//! Plugs and relay boards that are switched by HTTP.

use std::num::NonZeroU8;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{ProblemKind, Role, Settings, problem};

/// A plug or relay board with Tasmota firmware.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TasmotaConfig {
    /// `http://HOST[:PORT]`, with `USER:PASSWORD@` before the host where it asks for one.
    pub url: String,
    /// Number of the relay; 1 unless given.
    #[serde(default = "super::first")]
    pub relay: NonZeroU8,
    /// The switch can cut power at the N-th write to a memory region, which only virtual ones can.
    #[serde(default)]
    pub cut_at_write: bool,
}

/// A Shelly plug or relay.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShellyConfig {
    /// `http://HOST[:PORT]`, with `USER:PASSWORD@` before the host where it asks for one; the user of generation 2 and
    /// later is `admin`.
    pub url: String,
    /// Number of the output, from 0 as Shelly counts; 0 unless given.
    #[serde(default)]
    pub output: u8,
}

impl Settings for TasmotaConfig {
    fn output(&self) -> String {
        format!("relay {} of {}", self.relay, shown(&self.url))
    }

    fn secrets(&self) -> Vec<String> {
        super::secrets_of_url(&self.url)
    }

    fn check(&self, role: Role) -> Result<(), ProblemKind> {
        if self.cut_at_write && role != Role::Power {
            let remedy = "remove `cut_at_write`";
            return Err(problem("tasmota", "`cut_at_write` is for power", remedy));
        }
        http(&self.url)
    }
}

impl Settings for ShellyConfig {
    fn output(&self) -> String {
        format!("output {} of {}", self.output, shown(&self.url))
    }

    fn secrets(&self) -> Vec<String> {
        super::secrets_of_url(&self.url)
    }

    fn check(&self, _: Role) -> Result<(), ProblemKind> {
        http(&self.url)
    }
}

/// The same for all ways to write an address, and without password.
fn shown(url: &str) -> String {
    reqwest::Url::parse(url).map_or_else(
        |_| url.to_owned(),
        |parsed| parsed.origin().ascii_serialization(),
    )
}

fn http(url: &str) -> Result<(), ProblemKind> {
    let reason = match reqwest::Url::parse(url) {
        Ok(parsed) if parsed.scheme() == "http" => return Ok(()),
        Ok(parsed) => format!("it starts with `{}:`", parsed.scheme()),
        Err(_) if !url.contains("://") => "it does not start with `http://`".to_owned(),
        Err(err) => err.to_string(),
    };
    Err(ProblemKind::Url {
        url: url.to_owned(),
        reason,
    })
}
