//! Shelly plugs and relays, by HTTP: generation 1 (<https://shelly-api-docs.shelly.cloud/gen1/>), and the RPC of
//! generation 2 and later (<https://shelly-api-docs.shelly.cloud/gen2/>).

use std::time::Duration;

use http_auth::{PasswordClient, PasswordParams};
use reqwest::{
    Client, Response, StatusCode, Url,
    header::{AUTHORIZATION, WWW_AUTHENTICATE},
};
use serde_json::Value;
use tokio::sync::OnceCell;

use super::{
    BoxFuture, Switch, SwitchError,
    address::{self, User},
    error::on_off,
    http, obeyed, shorten,
};
use crate::inventory::ShellyConfig;

/// One output of a Shelly.
#[derive(Debug)]
pub(super) struct Shelly {
    client: Client,
    url: Url,
    user: Option<User>,
    output: u8,
    generation: OnceCell<Generation>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Generation {
    One,
    /// Or later: they speak the same.
    Two,
}

impl Shelly {
    pub(super) fn new(config: &ShellyConfig, limit: Duration) -> Result<Self, SwitchError> {
        let (url, user) = address::parse(&config.url, "http")?;
        let client = http::client(limit).map_err(|e| http::unreachable(http::origin(&url), e))?;
        Ok(Self {
            client,
            url,
            user,
            output: config.output,
            generation: OnceCell::new(),
        })
    }

    /// Devices of all generations say without a password what they are.
    async fn generation(&self) -> Result<Generation, SwitchError> {
        let ask = || async {
            let about = self.get("/shelly", &[]).await?;
            match about.get("gen").map(Value::as_u64) {
                Some(Some(2..)) => Ok(Generation::Two),
                None if about.get("type").is_some() => Ok(Generation::One),
                _ => Err(self.nonsense("/shelly", shorten(&about.to_string()))),
            }
        };
        self.generation.get_or_try_init(ask).await.copied()
    }

    async fn command(&self, on: bool) -> Result<(), SwitchError> {
        let output = self.output.to_string();
        match self.generation().await? {
            Generation::One => {
                let path = format!("/relay/{output}");
                self.get(&path, &[("turn", on_off(on))]).await
            }
            Generation::Two => {
                let on = on.to_string();
                self.get("/rpc/Switch.Set", &[("id", &output), ("on", &on)])
                    .await
            }
        }
        .map(drop)
    }

    async fn state(&self) -> Result<bool, SwitchError> {
        let output = self.output.to_string();
        let (path, key, query) = match self.generation().await? {
            Generation::One => (format!("/relay/{output}"), "ison", None),
            Generation::Two => (
                "/rpc/Switch.GetStatus".into(),
                "output",
                Some(("id", &*output)),
            ),
        };
        let answer = self.get(&path, query.as_slice()).await?;
        answer
            .get(key)
            .and_then(Value::as_bool)
            .ok_or_else(|| self.nonsense(&path, shorten(&answer.to_string())))
    }

    async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, SwitchError> {
        let mut url = self.url.clone();
        url.set_path(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let fail = |source| http::unreachable(self.name(), source);
        let mut response = self.client.get(url.clone()).send().await.map_err(fail)?;
        if response.status() == StatusCode::UNAUTHORIZED {
            let authorization = self.authorization(&response, &url)?;
            let request = self.client.get(url).header(AUTHORIZATION, authorization);
            response = request.send().await.map_err(fail)?;
        }
        let status = response.status();
        if status == StatusCode::UNAUTHORIZED {
            return Err(self.refused("user or password is wrong"));
        }
        let answer = http::text(response).await.map_err(fail)?;
        serde_json::from_str(&answer)
            .ok()
            .filter(|_| status.is_success())
            .ok_or_else(|| self.nonsense(path, format!("{status}: {}", shorten(&answer))))
    }

    /// Generation 1 asks for basic authentication (RFC 7617), later ones for digest with SHA-256 (RFC 7616).
    fn authorization(&self, response: &Response, url: &Url) -> Result<String, SwitchError> {
        let Some(user) = &self.user else {
            return Err(self.refused("it wants a password"));
        };
        let challenge = response.headers().get(WWW_AUTHENTICATE);
        let challenge = challenge
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let uri = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        let params = PasswordParams {
            username: &user.name,
            password: &user.password,
            uri: &uri,
            method: "GET",
            body: Some(&[]),
        };
        PasswordClient::builder()
            .challenges(challenge)
            .build()
            .and_then(|mut client| client.respond(&params))
            .map_err(|error| self.refused(&format!("its challenge is not understood: {error}")))
    }

    fn name(&self) -> String {
        format!("output {} of {}", self.output, http::origin(&self.url))
    }

    fn refused(&self, reason: &str) -> SwitchError {
        SwitchError::Refused {
            device: self.name(),
            reason: reason.into(),
            remedy: "write url in devices.toml as http://USER:PASSWORD@HOST; the user of generation 2 and later is `admin`",
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

impl Switch for Shelly {
    fn set(&self, on: bool) -> BoxFuture<'_, Result<(), SwitchError>> {
        Box::pin(async move {
            self.command(on).await?;
            // Generation 2 answers with the state before, and both trip by themselves on overload.
            let state = self.state().await?;
            obeyed(|| self.name(), on, state)
        })
    }

    fn is_on(&self) -> BoxFuture<'_, Result<bool, SwitchError>> {
        Box::pin(self.state())
    }
}
