//! Laboratory supplies that speak SCPI (SCPI-99; IEEE 488.2 for `*CLS`), over TCP or a serial port.

use std::{str, time::Duration};

use super::{
    BoxFuture, Meter, Switch, SwitchError,
    line::{Endpoint, Line, LineError},
    obeyed, shorten,
};
use crate::inventory::ScpiConfig;

/// For one conversation; measuring takes longest, some 100 ms.
const LIMIT: Duration = Duration::from_secs(10);
/// A number that stands for "no number" or "out of range" (SCPI-99, 7.2.1.4 and 7.2.1.5: 9.9E37, 9.91E37).
const NO_NUMBER: f64 = 9.8e37;
/// Of a setting, or this in V or A, whichever is more: supplies round to what they can resolve.
const TOLERANCE: f64 = 0.005;
const RESOLUTION: f64 = 0.011;

/// One output of a supply.
#[derive(Debug)]
pub(super) struct Scpi {
    endpoint: Endpoint,
    channel: Option<u8>,
    voltage: Option<f64>,
    current: Option<f64>,
    remote: bool,
    limit: Duration,
}

/// A conversation, with the right output selected.
struct Session<'s> {
    line: Line,
    supply: &'s Scpi,
}

impl Scpi {
    pub(super) fn new(config: &ScpiConfig) -> Self {
        // Which of them it is was checked when the inventory was read.
        let endpoint = match (&config.port, &config.host) {
            (Some(port), _) => Endpoint::Serial {
                port: port.clone(),
                baud: config.baud.get(),
            },
            (None, host) => Endpoint::Tcp {
                host: host.clone().unwrap_or_default(),
                port: config.tcp_port.get(),
            },
        };
        Self {
            endpoint,
            channel: config.channel.map(std::num::NonZeroU8::get),
            voltage: config.voltage,
            current: config.current,
            remote: config.remote,
            limit: LIMIT,
        }
    }

    #[cfg(test)]
    pub(super) fn with_limit(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    async fn open(&self) -> Result<Session<'_>, SwitchError> {
        let line = Line::open(&self.endpoint, self.limit).await;
        let line = line.map_err(|error| self.unreachable(error))?;
        let mut session = Session { line, supply: self };
        // Errors of others before us, then everything ours.
        session.send("*CLS").await?;
        if self.remote {
            session.command("SYST:REM").await?;
        }
        if let Some(channel) = self.channel {
            session.command(&format!("INST:NSEL {channel}")).await?;
        }
        Ok(session)
    }

    async fn switch(&self, on: bool) -> Result<(), SwitchError> {
        let mut session = self.open().await?;
        if on {
            let limits = [("VOLT", "V", self.voltage), ("CURR", "A", self.current)];
            for (setting, unit, wanted) in limits {
                if let Some(wanted) = wanted {
                    session.adjust(setting, unit, wanted).await?;
                }
            }
        }
        session
            .command(if on { "OUTP ON" } else { "OUTP OFF" })
            .await?;
        let state = session.state().await?;
        obeyed(|| self.name(), on, state)
    }

    fn unreachable(&self, error: LineError) -> SwitchError {
        SwitchError::unreachable(
            self.name(),
            "is it on and connected, its remote interface enabled and not taken by another program, and is its \
                address in devices.toml right? A supply that answers nothing at its serial port may need another \
                `baud`, or `remote = true`",
            error,
        )
    }

    fn nonsense(&self, command: &str, answer: &str) -> SwitchError {
        SwitchError::Answer {
            device: self.name(),
            command: command.into(),
            answer: shorten(answer),
        }
    }

    fn name(&self) -> String {
        match self.channel {
            Some(channel) => format!("output {channel} of the supply at {}", self.endpoint),
            None => format!("the supply at {}", self.endpoint),
        }
    }
}

impl Session<'_> {
    async fn send(&mut self, message: &str) -> Result<(), SwitchError> {
        let sent = self.line.send(format!("{message}\n").as_bytes()).await;
        sent.map_err(|error| self.supply.unreachable(error))
    }

    /// A command, and what the supply thinks of it.
    async fn command(&mut self, command: &str) -> Result<(), SwitchError> {
        self.send(command).await?;
        let answer = self.query("SYST:ERR?").await?;
        let code = answer.split(',').next().map(str::trim);
        match code.map(str::parse::<i32>) {
            Some(Ok(0)) => Ok(()),
            Some(Ok(_)) => Err(self.supply.nonsense(command, &answer)),
            _ => Err(self.supply.nonsense("SYST:ERR?", &answer)),
        }
    }

    async fn query(&mut self, query: &str) -> Result<String, SwitchError> {
        self.send(query).await?;
        match self.line.read(first_line).await {
            Ok(answer) => Ok(answer),
            Err(LineError::Late(part)) if !part.is_empty() => {
                let part = String::from_utf8_lossy(&part);
                Err(self.supply.nonsense(query, &part))
            }
            Err(error) => Err(self.supply.unreachable(error)),
        }
    }

    async fn number(&mut self, query: &str) -> Result<f64, SwitchError> {
        let answer = self.query(query).await?;
        match answer.parse::<f64>() {
            Ok(number) if number.abs() < NO_NUMBER => Ok(number),
            _ => Err(self.supply.nonsense(query, &answer)),
        }
    }

    /// Adjusts a setting, and makes sure that the supply took it: it is the DUT that a wrong one would break.
    async fn adjust(
        &mut self,
        setting: &str,
        unit: &'static str,
        wanted: f64,
    ) -> Result<(), SwitchError> {
        self.command(&format!("{setting} {wanted}")).await?;
        let state = self.number(&format!("{setting}?")).await?;
        if (state - wanted).abs() <= RESOLUTION.max(wanted * TOLERANCE) {
            return Ok(());
        }
        Err(SwitchError::Setting {
            device: self.supply.name(),
            wanted,
            state,
            unit,
        })
    }

    async fn state(&mut self) -> Result<bool, SwitchError> {
        let answer = self.query("OUTP?").await?;
        match answer.to_ascii_uppercase().as_str() {
            "1" | "+1" | "ON" => Ok(true),
            "0" | "+0" | "OFF" => Ok(false),
            _ => Err(self.supply.nonsense("OUTP?", &answer)),
        }
    }
}

impl Switch for Scpi {
    fn set(&self, on: bool) -> BoxFuture<'_, Result<(), SwitchError>> {
        Box::pin(self.switch(on))
    }

    fn is_on(&self) -> BoxFuture<'_, Result<bool, SwitchError>> {
        Box::pin(async move { self.open().await?.state().await })
    }

    fn meter(&self) -> Option<&dyn Meter> {
        Some(self)
    }
}

impl Meter for Scpi {
    fn current(&self) -> BoxFuture<'_, Result<f64, SwitchError>> {
        Box::pin(async move { self.open().await?.number("MEAS:CURR?").await })
    }
}

fn first_line(read: &[u8]) -> Option<String> {
    let end = read.iter().position(|&byte| byte == b'\n')?;
    Some(String::from_utf8_lossy(&read[..end]).trim().to_owned())
}
