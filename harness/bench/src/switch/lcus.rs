//! Relay boards with a serial port behind a CH340, sold as LCUS-1, -2, -4 and -8 (LC Technology).
//!
//! A command is four bytes: A0, the relay's number from 1, 1 or 0, and the sum of these modulo 256. It is not answered.
//! The byte FF asks for the state; the answer has a line for each relay, `CH1: ON ` or `CH1: OFF`. Boards with one relay
//! may not know it.

use std::{str, time::Duration};

use tokio::time::{Instant, sleep};

use super::{
    BoxFuture, Switch, SwitchError,
    believed::Believed,
    line::{Endpoint, Line, LineError},
    obeyed, shorten,
};
use crate::inventory::LcusConfig;

/// An answer takes some 10 ms for each relay at 9600 Bd.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);
/// A board may tell the state before the command for a while.
const OBEY_LIMIT: Duration = Duration::from_secs(2);
/// Between questions.
const ASK_AGAIN: Duration = Duration::from_millis(50);

const START: u8 = 0xA0;
const ASK: u8 = 0xFF;

/// One relay.
#[derive(Debug)]
pub(super) struct Lcus {
    endpoint: Endpoint,
    relay: u8,
    /// Without, it does not tell its state.
    believed: Option<Believed>,
    limit: Duration,
}

impl Lcus {
    pub(super) fn new(config: &LcusConfig) -> Self {
        Self {
            endpoint: Endpoint::Serial {
                port: config.port.clone(),
                baud: config.baud.get(),
            },
            relay: config.relay.get(),
            believed: (!config.feedback).then(Believed::default),
            limit: ANSWER_LIMIT,
        }
    }

    #[cfg(test)]
    pub(super) fn with_limit(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    async fn switch(&self, on: bool) -> Result<(), SwitchError> {
        let fail = |error| self.unreachable(error);
        if let Some(believed) = &self.believed {
            believed.forget();
        }
        let mut line = Line::open(&self.endpoint, self.limit).await.map_err(fail)?;
        line.send(&command(self.relay, on)).await.map_err(fail)?;
        if let Some(believed) = &self.believed {
            believed.set(on);
            return Ok(());
        }
        let deadline = Instant::now() + OBEY_LIMIT.min(self.limit);
        loop {
            let state = self.ask(&mut line).await?;
            if state == on || Instant::now() >= deadline {
                return obeyed(|| self.name(), on, state);
            }
            sleep(ASK_AGAIN).await;
        }
    }

    async fn ask(&self, line: &mut Line) -> Result<bool, SwitchError> {
        line.send(&[ASK]).await.map_err(|e| self.unreachable(e))?;
        match line.read(|answer| state(answer, self.relay)).await {
            Ok(state) => Ok(state),
            Err(LineError::Late(answer)) if !answer.is_empty() => Err(SwitchError::Answer {
                device: self.name(),
                command: format!("{ASK:02X}"),
                answer: shorten(&String::from_utf8_lossy(&answer)),
            }),
            Err(error @ LineError::Late(_)) => Err(SwitchError::unreachable(
                self.name(),
                "is it the right port? A board without status command needs `feedback = false` in devices.toml: then \
                    it is believed",
                error,
            )),
            Err(error) => Err(self.unreachable(error)),
        }
    }

    fn unreachable(&self, error: LineError) -> SwitchError {
        SwitchError::unreachable(
            self.name(),
            "is the board plugged in, is `port` in devices.toml right, and may you open it? \
                `ls -l /dev/serial/by-id`; group dialout",
            error,
        )
    }

    fn name(&self) -> String {
        format!("relay {} at {}", self.relay, self.endpoint)
    }
}

impl Switch for Lcus {
    fn set(&self, on: bool) -> BoxFuture<'_, Result<(), SwitchError>> {
        Box::pin(self.switch(on))
    }

    fn is_on(&self) -> BoxFuture<'_, Result<bool, SwitchError>> {
        Box::pin(async move {
            if let Some(believed) = &self.believed {
                return believed.get(|| self.name(), "switch it first: the board can't be asked");
            }
            let line = Line::open(&self.endpoint, self.limit).await;
            self.ask(&mut line.map_err(|e| self.unreachable(e))?).await
        })
    }
}

fn command(relay: u8, on: bool) -> [u8; 4] {
    let sum = START.wrapping_add(relay).wrapping_add(on.into());
    [START, relay, on.into(), sum]
}

/// The state of a relay, once its line is whole.
fn state(answer: &[u8], relay: u8) -> Option<bool> {
    let mut lines = answer.split_inclusive(|&byte| byte == b'\n');
    lines.find_map(|line| {
        let line = str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
        let (channel, state) = line.split_once(':')?;
        let number = channel.trim().strip_prefix("CH")?;
        match (number.parse() == Ok(relay), state.trim()) {
            (true, "ON") => Some(true),
            (true, "OFF") => Some(false),
            _ => None,
        }
    })
}
