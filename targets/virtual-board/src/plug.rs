//! The smart plug: Tasmota's HTTP commands for its relays (mains, button, carrier of the Ethernet cable), and one of our
//! own: `CutAtWrite` for cuts at a certain store.

use std::{io, time::Duration};

use axum::{
    Json, Router,
    extract::{Query, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::get,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{
    board::{Board, SharedBoard},
    error::BoardError,
};

/// As many commands as Tasmota takes in one backlog.
const MAX_BACKLOG: usize = 30;

pub(crate) async fn serve(listener: TcpListener, board: SharedBoard) -> io::Result<()> {
    let router = Router::new().route("/cm", get(handle)).with_state(board);
    axum::serve(listener, router).await
}

#[derive(Debug, Deserialize)]
struct Parameters {
    #[serde(default)]
    cmnd: String,
}

async fn handle(State(board): State<SharedBoard>, Query(query): Query<Parameters>) -> Response {
    // A client that hangs up does not undo what it has asked for.
    let done = tokio::spawn(async move { respond(&board, &query.cmnd).await }).await;
    match done {
        Ok(Ok(answer)) => Json(answer).into_response(),
        Ok(Err(error)) => failed(&error.to_string()),
        Err(error) => failed(&error.to_string()),
    }
}

fn failed(error: &str) -> Response {
    let body = Json(json!({ "Error": error }));
    (StatusCode::INTERNAL_SERVER_ERROR, body).into_response()
}

async fn respond(board: &SharedBoard, text: &str) -> Result<Value, BoardError> {
    match Command::parse(text) {
        Command::Backlog(commands) => {
            tokio::spawn(backlog(board.clone(), commands));
            Ok(json!({"Backlog": "Appended"}))
        }
        Command::Delay(_) => Ok(json!({"Command": "Unknown"})),
        command => carry_out(&mut *board.lock().await, command).await,
    }
}

async fn backlog(board: SharedBoard, commands: Vec<Command>) {
    for command in commands {
        match command {
            Command::Delay(delay) => tokio::time::sleep(delay).await,
            Command::Backlog(_) => {}
            command => {
                let mut board = board.lock().await;
                // There is nobody to tell; what matters shows in the plug's state.
                let _ = carry_out(&mut board, command).await;
            }
        }
    }
}

async fn carry_out(board: &mut Board, command: Command) -> Result<Value, BoardError> {
    match command {
        Command::Power(relay, action) => {
            let Some(now) = is_on(board, relay) else {
                return Ok(json!({"Command": "Unknown"}));
            };
            let wanted = action.applied_to(now).unwrap_or(now);
            if wanted != now {
                switch(board, relay, wanted).await?;
            }
            let now = is_on(board, relay).unwrap_or(now);
            Ok(json!({relay.name(): on_off(now)}))
        }
        Command::CutAtWrite(Cutting::Query) => Ok(cut_state(board)),
        Command::CutAtWrite(Cutting::Disarm) => {
            let outcome = board.disarm_cut().await;
            board.check(outcome).await;
            Ok(cut_state(board))
        }
        Command::CutAtWrite(Cutting::Arm { start, len, limit }) => {
            let outcome = board.arm_cut(start, len, limit).await;
            board.check(outcome).await;
            Ok(cut_state(board))
        }
        Command::Status => status(board).await,
        Command::Backlog(_) | Command::Delay(_) | Command::Unknown => {
            Ok(json!({"Command": "Unknown"}))
        }
    }
}

async fn switch(board: &mut Board, relay: Relay, on: bool) -> Result<(), BoardError> {
    match (relay, on) {
        (Relay::Mains, true) => board.power_on().await,
        (Relay::Mains, false) => board.power_off().await,
        (Relay::Button, held) => {
            let outcome = board.set_button(held).await;
            board.check(outcome).await;
            Ok(())
        }
        (Relay::Carrier, up) => {
            let outcome = board.set_link(up).await;
            board.check(outcome).await;
            Ok(())
        }
    }
}

/// None for a relay that the board does not have: without a cable there is no carrier.
fn is_on(board: &Board, relay: Relay) -> Option<bool> {
    match relay {
        Relay::Mains => Some(board.is_on()),
        Relay::Button => Some(board.is_button_held()),
        Relay::Carrier => board.link(),
    }
}

fn on_off(on: bool) -> &'static str {
    if on { "ON" } else { "OFF" }
}

fn cut_state(board: &Board) -> Value {
    let cut = board.cut();
    json!({"CutAtWrite": {
        "armed": cut.armed,
        "fired": cut.fired,
        "writes": cut.writes,
        "start": cut.start,
        "len": cut.len,
        "n": cut.limit,
    }})
}

async fn status(board: &mut Board) -> Result<Value, BoardError> {
    let relays = u8::from(board.is_on()) | u8::from(board.is_button_held()) << 1;
    let leds = match board.chip() {
        Some(chip) => Some(chip.leds().await?),
        None => None,
    };
    let chip = board.chip().map(|chip| (chip.pid(), chip.is_locked()));
    Ok(json!({
        "Status": {
            "DeviceName": board.config().name,
            "FriendlyName": ["mains", "button"],
            "Topic": board.config().name,
            "Power": relays,
        },
        "StatusSTS": {
            "POWER1": on_off(board.is_on()),
            "POWER2": on_off(board.is_button_held()),
        },
        "StatusBoard": {
            "leds": leds,
            "emulator": chip.and_then(|(pid, _)| pid),
            "locked": chip.map(|(_, locked)| locked),
            "chip_id": format!("{:016x}", board.config().chip_id),
            "link": board.link(),
            "console_lost": board.console_lost(),
        },
    }))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relay {
    Mains,
    Button,
    Carrier,
}

impl Relay {
    fn name(self) -> &'static str {
        match self {
            Relay::Mains => "POWER1",
            Relay::Button => "POWER2",
            Relay::Carrier => "POWER3",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Query,
    Set(bool),
    Toggle,
}

impl Action {
    fn applied_to(self, now: bool) -> Option<bool> {
        match self {
            Action::Query => None,
            Action::Set(on) => Some(on),
            Action::Toggle => Some(!now),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cutting {
    Query,
    Disarm,
    Arm { start: u32, len: u32, limit: u64 },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Command {
    Power(Relay, Action),
    CutAtWrite(Cutting),
    Status,
    Delay(Duration),
    Backlog(Vec<Command>),
    Unknown,
}

impl Command {
    /// As Tasmota: names and words in any case.
    fn parse(text: &str) -> Self {
        let text = text.trim();
        let (name, arguments) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let arguments = arguments.trim();
        match name.to_ascii_lowercase().as_str() {
            "power" | "power1" => power(Relay::Mains, arguments),
            "power2" => power(Relay::Button, arguments),
            "power3" => power(Relay::Carrier, arguments),
            "status" | "state" => Command::Status,
            "cutatwrite" => cutting(arguments).map_or(Command::Unknown, Command::CutAtWrite),
            "delay" => match arguments.parse::<u16>() {
                Ok(tenths @ 1..=3600) => {
                    Command::Delay(Duration::from_millis(u64::from(tenths) * 100))
                }
                _ => Command::Unknown,
            },
            "backlog" | "backlog0" => Command::Backlog(
                arguments
                    .split(';')
                    .take(MAX_BACKLOG)
                    .map(Command::parse)
                    .collect(),
            ),
            _ => Command::Unknown,
        }
    }
}

fn power(relay: Relay, arguments: &str) -> Command {
    Command::Power(relay, action(arguments))
}

fn action(arguments: &str) -> Action {
    match arguments.to_ascii_lowercase().as_str() {
        "0" | "off" | "false" => Action::Set(false),
        "1" | "on" | "true" => Action::Set(true),
        "2" | "toggle" => Action::Toggle,
        _ => Action::Query,
    }
}

fn cutting(arguments: &str) -> Option<Cutting> {
    let numbers = arguments
        .split_whitespace()
        .map(number)
        .collect::<Option<Vec<_>>>()?;
    match numbers[..] {
        [] => Some(Cutting::Query),
        [0] => Some(Cutting::Disarm),
        [start, len, limit] if len > 0 => {
            let start = u32::try_from(start).ok()?;
            let len = u32::try_from(len).ok()?;
            // The range must end within the address space.
            start.checked_add(len - 1)?;
            Some(Cutting::Arm { start, len, limit })
        }
        _ => None,
    }
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("Power1 On", Command::Power(Relay::Mains, Action::Set(true)))]
    #[case("power OFF", Command::Power(Relay::Mains, Action::Set(false)))]
    #[case("Power1", Command::Power(Relay::Mains, Action::Query))]
    #[case("POWER2 toggle", Command::Power(Relay::Button, Action::Toggle))]
    #[case("Power2 2", Command::Power(Relay::Button, Action::Toggle))]
    #[case("Power3 off", Command::Power(Relay::Carrier, Action::Set(false)))]
    #[case("POWER3", Command::Power(Relay::Carrier, Action::Query))]
    #[case("Power4 On", Command::Unknown)]
    #[case("Status 0", Command::Status)]
    #[case("Delay 5", Command::Delay(Duration::from_millis(500)))]
    #[case("Delay -1", Command::Unknown)]
    #[case("CutAtWrite", Command::CutAtWrite(Cutting::Query))]
    #[case("CutAtWrite 0", Command::CutAtWrite(Cutting::Disarm))]
    #[case("CutAtWrite 0x21000000 4096 17", Command::CutAtWrite(Cutting::Arm { start: 0x2100_0000, len: 4096, limit: 17 }))]
    #[case("CutAtWrite 0xFFFFFFFF 2 1", Command::Unknown)]
    #[case("CutAtWrite 0x21000000 0 1", Command::Unknown)]
    #[case("CutAtWrite here", Command::Unknown)]
    #[case("", Command::Unknown)]
    fn commands_as_tasmota_takes_them(#[case] text: &str, #[case] expected: Command) {
        assert_eq!(Command::parse(text), expected);
    }

    #[test]
    fn a_backlog_is_a_list() {
        assert_eq!(
            Command::parse("Backlog Delay 5; Power1 Off"),
            Command::Backlog(vec![
                Command::Delay(Duration::from_millis(500)),
                Command::Power(Relay::Mains, Action::Set(false)),
            ])
        );
    }
}
