//! The SCPI driver against a supply that parses what it is sent, over TCP and over a pseudo-terminal.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read, Write},
    net::TcpListener,
    num::{NonZeroU8, NonZeroU16, NonZeroU32},
    os::fd::OwnedFd,
    path::PathBuf,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use nix::{pty::openpty, sys::termios, unistd::ttyname};
use rstest::rstest;

use crate::{
    Power,
    inventory::ScpiConfig,
    probe::PowerEpoch,
    switch::{Meter as _, Switch as _, SwitchError, scpi::Scpi},
};

const PATIENCE: Duration = Duration::from_mins(1);
const IMPATIENCE: Duration = Duration::from_millis(300);

#[derive(Debug, Clone, Copy, Default)]
struct Output {
    on: bool,
    volts: f64,
    amperes: f64,
}

/// A supply with two outputs, as those of Keysight's E36300 series.
#[derive(Debug, Default)]
struct Supply {
    outputs: [Output; 2],
    selected: usize,
    errors: Vec<&'static str>,
    history: Vec<String>,
    /// Commands but `SYST:REM` are errors until it came.
    wants_remote: bool,
    /// Overcurrent protection trips as soon as it is on.
    trips: bool,
    /// Sets no more than this, and says nothing about it.
    clamps: Option<f64>,
    /// Says this to that query.
    says: Option<(&'static str, &'static str)>,
    /// Closes the connection instead of answering.
    hangs_up: bool,
}

impl Supply {
    fn obey(&mut self, message: &str) -> Option<String> {
        self.history.push(message.to_owned());
        if let Some((query, answer)) = self.says
            && query == message
        {
            return Some(answer.into());
        }
        let (header, argument) = message.split_once(' ').unwrap_or((message, ""));
        if self.wants_remote && !["SYST:REM", "SYST:ERR?", "*CLS"].contains(&header) {
            self.errors.push("+550,\"Command not allowed in local\"");
            return None;
        }
        let clamps = self.clamps.unwrap_or(f64::MAX);
        let output = &mut self.outputs[self.selected];
        match header {
            "*CLS" => self.errors.clear(),
            "SYST:REM" => self.wants_remote = false,
            "SYST:ERR?" => {
                // First in, first out.
                let none = "+0,\"No error\"";
                let first = self.errors.first().copied().unwrap_or(none).to_owned();
                self.errors.drain(..1.min(self.errors.len()));
                return Some(first);
            }
            "INST:NSEL" => match argument.parse() {
                Ok(number @ 1..=2) => self.selected = number - 1,
                _ => self.errors.push("-222,\"Data out of range\""),
            },
            "VOLT" => match argument.parse::<f64>() {
                Ok(volts) if volts <= 25.0 => output.volts = volts.min(clamps),
                _ => self.errors.push("-222,\"Data out of range\""),
            },
            "CURR" => output.amperes = argument.parse().unwrap(),
            "OUTP" => output.on = argument == "ON" && !self.trips,
            "VOLT?" => return Some(format!("{:+.8E}", output.volts)),
            "CURR?" => return Some(format!("{:+.8E}", output.amperes)),
            "OUTP?" => return Some(u8::from(output.on).to_string()),
            "MEAS:CURR?" => {
                let drawn = if output.on { output.amperes / 4.0 } else { 0.0 };
                return Some(format!("{drawn:+.8E}"));
            }
            _ => self.errors.push("-113,\"Undefined header\""),
        }
        None
    }
}

type Shared = Arc<Mutex<Supply>>;

fn talk(supply: &Shared, from: impl Read, mut to: impl Write) {
    let mut messages = BufReader::new(from);
    let mut message = String::new();
    while messages
        .read_line(&mut message)
        .is_ok_and(|count| count > 0)
    {
        let mut supply = supply.lock().unwrap();
        if supply.hangs_up && message.contains('?') {
            return;
        }
        if let Some(answer) = supply.obey(message.trim_end()) {
            // Whoever asked may have given up.
            let _ = writeln!(to, "{answer}");
        }
        message.clear();
    }
}

fn in_network(supply: Supply) -> (Shared, ScpiConfig) {
    let supply = Arc::new(Mutex::new(supply));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = ScpiConfig {
        host: Some("127.0.0.1".into()),
        tcp_port: NonZeroU16::new(listener.local_addr().unwrap().port()).unwrap(),
        ..nowhere()
    };
    let shared = Arc::clone(&supply);
    thread::spawn(move || {
        // One at a time, as small supplies do it.
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            talk(&shared, &stream, &stream);
        }
    });
    (supply, config)
}

fn at_serial_port(supply: Supply) -> (Shared, ScpiConfig, OwnedFd) {
    let supply = Arc::new(Mutex::new(supply));
    let pty = openpty(None, None).unwrap();
    let mut raw = termios::tcgetattr(&pty.slave).unwrap();
    termios::cfmakeraw(&mut raw);
    termios::tcsetattr(&pty.slave, termios::SetArg::TCSANOW, &raw).unwrap();
    let config = ScpiConfig {
        port: Some(ttyname(&pty.slave).unwrap()),
        ..nowhere()
    };
    let shared = Arc::clone(&supply);
    let (from, to) = (File::from(pty.master.try_clone().unwrap()), pty.master);
    thread::spawn(move || talk(&shared, from, File::from(to)));
    (supply, config, pty.slave)
}

fn nowhere() -> ScpiConfig {
    ScpiConfig {
        host: None,
        tcp_port: NonZeroU16::new(5025).unwrap(),
        port: None::<PathBuf>,
        baud: NonZeroU32::new(9600).unwrap(),
        channel: None,
        voltage: Some(5.0),
        current: Some(0.4),
        remote: false,
    }
}

fn supply(config: &ScpiConfig) -> Scpi {
    Scpi::new(config).with_limit(PATIENCE)
}

#[tokio::test]
async fn limits_are_set_before_it_is_switched_on_and_every_command_is_checked() {
    let (shared, config) = in_network(Supply::default());
    let supply = supply(&config);
    supply.set(true).await.unwrap();
    assert!(supply.is_on().await.unwrap());
    let history = shared.lock().unwrap().history.clone();
    let expected = [
        "*CLS",
        "VOLT 5",
        "SYST:ERR?",
        "VOLT?",
        "CURR 0.4",
        "SYST:ERR?",
        "CURR?",
        "OUTP ON",
        "SYST:ERR?",
        "OUTP?",
        "*CLS",
        "OUTP?",
    ];
    assert_eq!(history, expected);
    supply.set(false).await.unwrap();
    assert!(!shared.lock().unwrap().outputs[0].on);
}

#[tokio::test]
async fn current_is_measured_at_the_output_of_the_device() {
    let (shared, mut config) = in_network(Supply::default());
    config.channel = NonZeroU8::new(2);
    let power = Power::new(Arc::new(supply(&config)), "test", PowerEpoch::default());
    assert!(power.can_measure());
    power.on().await.unwrap();
    let current = power.current().await.unwrap();
    assert!((current - 0.1).abs() < 1e-9, "{current}");
    let outputs = shared.lock().unwrap().outputs;
    assert_eq!(outputs.map(|output| output.on), [false, true]);
    power.off().await.unwrap();
    let current = power.current().await.unwrap();
    assert!(current.abs() < 1e-9, "{current}");
}

#[tokio::test]
async fn two_outputs_of_one_supply_get_their_turn() {
    let (shared, config) = in_network(Supply::default());
    let supplies = [1, 2].map(|channel| {
        supply(&ScpiConfig {
            channel: NonZeroU8::new(channel),
            voltage: Some(f64::from(channel) * 3.0),
            ..config.clone()
        })
    });
    let (one, two) = tokio::join!(supplies[0].set(true), supplies[1].set(true));
    one.unwrap();
    two.unwrap();
    let outputs = shared.lock().unwrap().outputs;
    assert!(outputs.iter().all(|output| output.on));
    assert_eq!(outputs.map(|output| output.volts.round() as i64), [3, 6]);
}

/// What it has selected must not be switched by another.
#[tokio::test]
async fn another_process_has_its_turn() {
    use std::os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixDatagram},
    };
    let (shared, config) = in_network(Supply::default());
    let name = format!("provebench/127.0.0.1:{}", config.tcp_port);
    let name = SocketAddr::from_abstract_name(name).unwrap();
    let other = UnixDatagram::bind_addr(&name).unwrap();
    let error = Scpi::new(&config).with_limit(IMPATIENCE).set(true).await;
    let error = error.unwrap_err();
    assert!(
        matches!(error, SwitchError::Unreachable { .. }),
        "{error:?}"
    );
    assert!(shared.lock().unwrap().history.is_empty());
    let output = supply(&config);
    let switching = tokio::spawn(async move { output.set(true).await });
    tokio::task::yield_now().await;
    drop(other);
    switching.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_supply_at_a_serial_port_may_want_to_be_told_that_it_is_remote() {
    let (_, config, _port) = at_serial_port(Supply {
        wants_remote: true,
        ..Supply::default()
    });
    let error = supply(&config).set(true).await.unwrap_err();
    assert!(
        error.to_string().contains("not allowed in local"),
        "{error}"
    );
    let remote = ScpiConfig {
        remote: true,
        ..config
    };
    let supply = supply(&remote);
    supply.set(true).await.unwrap();
    assert!(supply.is_on().await.unwrap());
}

#[tokio::test]
async fn errors_of_others_are_not_ours() {
    let (_, config) = in_network(Supply {
        errors: vec!["-113,\"Undefined header\""],
        ..Supply::default()
    });
    supply(&config).set(true).await.unwrap();
}

#[rstest]
#[case::out_of_range(30.0, None, "`VOLT 30` with -222,\"Data out of range\"")]
#[case::clamped(12.0, Some(6.0), "12 V, but says it is 6 V")]
#[tokio::test]
async fn a_voltage_that_is_not_taken_leaves_it_off(
    #[case] voltage: f64,
    #[case] clamps: Option<f64>,
    #[case] said: &str,
) {
    let (shared, mut config) = in_network(Supply {
        clamps,
        ..Supply::default()
    });
    config.voltage = Some(voltage);
    let error = supply(&config).set(true).await.unwrap_err();
    assert!(error.to_string().contains(said), "{error}");
    assert!(!shared.lock().unwrap().outputs[0].on);
}

#[tokio::test]
async fn a_protection_that_trips_is_an_error() {
    let (_, config) = in_network(Supply {
        trips: true,
        ..Supply::default()
    });
    let error = supply(&config).set(true).await.unwrap_err();
    super::stayed_off(&error);
}

#[rstest]
#[case::state("OUTP?", "perhaps")]
#[case::error_queue("SYST:ERR?", "SSH-2.0-OpenSSH")]
#[case::setting("VOLT?", "9.91E37")]
#[tokio::test]
async fn nonsense_is_shown_as_what_it_is(
    #[case] query: &'static str,
    #[case] answer: &'static str,
) {
    let (_, config) = in_network(Supply {
        says: Some((query, answer)),
        ..Supply::default()
    });
    let error = supply(&config).set(true).await.unwrap_err();
    assert!(matches!(error, SwitchError::Answer { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(query) && text.contains(answer), "{text}");
}

#[tokio::test]
async fn an_overload_is_no_current() {
    let (_, config) = in_network(Supply {
        says: Some(("MEAS:CURR?", "+9.90000000E+37")),
        ..Supply::default()
    });
    let error = supply(&config).current().await.unwrap_err();
    assert!(matches!(error, SwitchError::Answer { .. }), "{error:?}");
}

#[tokio::test]
async fn silence_refusal_and_a_closed_connection_are_errors() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let config = ScpiConfig {
        host: Some("127.0.0.1".into()),
        tcp_port: NonZeroU16::new(port).unwrap(),
        ..nowhere()
    };
    let silence = Scpi::new(&config).with_limit(IMPATIENCE).set(true).await;
    drop(silent);
    let refusal = supply(&config).set(true).await;
    let (_, config) = in_network(Supply {
        hangs_up: true,
        ..Supply::default()
    });
    let closed = supply(&config).set(true).await;
    for outcome in [silence, refusal, closed] {
        let error = outcome.unwrap_err();
        assert!(
            matches!(error, SwitchError::Unreachable { .. }),
            "{error:?}"
        );
        assert!(
            error.to_string().contains("supply at 127.0.0.1:"),
            "{error}"
        );
    }
}
