use std::io::{self, IsTerminal, Read, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use regex::bytes::Regex;
use tokio::sync::mpsc::{self, Receiver};

use super::context::{Files, Wait, runtime};
use super::exit::{Exit, Failure};
use crate::bench::{Bench, BenchError, BenchLogs, Console, ConsoleError};
use crate::runner::Lease;

/// Talk to a device's console: by hand, or through pipes
///
/// On a terminal every key goes to the device; Ctrl-] quits. Otherwise standard input is sent line
/// by line, each ended by a carriage return as the Enter key does, and what the device says is
/// printed until it has been silent for a while.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Name of the device
    device: String,
    /// Quit when the device says something that this regular expression matches
    #[arg(long, value_name = "REGEX")]
    until: Option<Regex>,
    /// At the end of piped input: quit when the device has been silent for that long
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0)]
    idle: f64,
    /// Send piped input as it is
    #[arg(long)]
    raw: bool,
    /// Keep a timestamped log of both directions
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    #[command(flatten)]
    wait: Wait,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("the device was silent for {idle} s without having said what matches `{until}`")]
#[diagnostic(help("wait longer with --idle, or correct the pattern"))]
struct NotSeen {
    idle: f64,
    until: String,
}

const QUIT: u8 = 0x1d; // Ctrl-]

pub(super) fn act(arguments: &Arguments, files: &Files) -> Result<Exit, Failure> {
    let inventory = files.inventory()?;
    let device = inventory.device(&arguments.device)?;
    let runtime = runtime()?;
    let result = runtime.block_on(async {
        let purpose = "provebench console";
        let _lease = Lease::acquire(device, purpose, arguments.wait.limit()).await?;
        let logs = match &arguments.log {
            Some(path) => BenchLogs {
                console: path.clone(),
                origin: Instant::now(),
                network: None,
            },
            None => BenchLogs::nowhere(),
        };
        let bench = Bench::open(device, &logs).await?;
        let result = match bench.console() {
            Ok(console) => talk(arguments, &device.name, console).await,
            Err(error) => Err(error.into()),
        };
        let closed = bench.close().await;
        let exit = result?;
        closed?;
        Ok(exit)
    });
    // The thread that reads standard input can't be waited for: it may never get anything.
    runtime.shutdown_background();
    result
}

async fn talk(arguments: &Arguments, device: &str, console: &Console) -> Result<Exit, Failure> {
    let is_interactive = io::stdin().is_terminal();
    let _raw = is_interactive.then(RawTerminal::enter);
    if is_interactive {
        eprint!("{device}: Ctrl-] quits\r\n");
    }
    let mut input = read_input();
    let mut has_input = true;
    // Before the bench was opened nothing was shown.
    let mut seen = 0;
    let idle = Duration::try_from_secs_f64(arguments.idle).unwrap_or(Duration::MAX);
    let anything = anything();
    loop {
        tokio::select! {
            chunk = input.recv(), if has_input => match chunk {
                Some(chunk) => match keys(arguments, is_interactive, &chunk) {
                    Keys::Send(data) => console.send(&data).await.map_err(BenchError::from)?,
                    Keys::Quit(data) => {
                        console.send(&data).await.map_err(BenchError::from)?;
                        return Ok(Exit::Ok);
                    }
                },
                None => has_input = false,
            },
            said = console.expect(&anything, if has_input { Duration::from_hours(1) } else { idle }) => match said {
                Ok(said) => {
                    print(&said.bytes);
                    if let Some(until) = &arguments.until
                        && until.is_match(&console.since(seen).unwrap_or(said.bytes))
                    {
                        return Ok(Exit::Ok);
                    }
                    // Patterns may span what comes in pieces, but no more than this.
                    seen = seen.max(said.end.saturating_sub(64 * 1024));
                }
                Err(ConsoleError::Timeout { .. }) if has_input => {}
                Err(ConsoleError::Timeout { .. }) => return silent(arguments),
                Err(error) => return Err(BenchError::from(error).into()),
            },
        }
    }
}

fn silent(arguments: &Arguments) -> Result<Exit, Failure> {
    match &arguments.until {
        None => Ok(Exit::Ok),
        Some(until) => Err(Failure::bench(NotSeen {
            idle: arguments.idle,
            until: until.to_string(),
        })),
    }
}

fn anything() -> Regex {
    Regex::new("(?s-u).+").expect("constant")
}

fn print(said: &[u8]) {
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(said);
    let _ = stdout.flush();
}

enum Keys {
    Send(Vec<u8>),
    Quit(Vec<u8>),
}

fn keys(arguments: &Arguments, is_interactive: bool, chunk: &[u8]) -> Keys {
    if is_interactive {
        return match chunk.iter().position(|key| *key == QUIT) {
            Some(at) => Keys::Quit(chunk[..at].to_vec()),
            None => Keys::Send(chunk.to_vec()),
        };
    }
    let enter = |byte: &u8| if *byte == b'\n' { b'\r' } else { *byte };
    Keys::Send(if arguments.raw {
        chunk.to_vec()
    } else {
        chunk.iter().map(enter).collect()
    })
}

fn read_input() -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel(16);
    std::thread::spawn(move || {
        let mut chunk = [0; 1024];
        while let Ok(n @ 1..) = io::stdin().read(&mut chunk) {
            if sender.blocking_send(chunk[..n].to_vec()).is_err() {
                break;
            }
        }
    });
    receiver
}

/// Has the terminal hand over each key as it is, until dropped.
struct RawTerminal(Option<Termios>);

impl RawTerminal {
    fn enter() -> Self {
        let before = tcgetattr(io::stdin()).ok();
        if let Some(before) = &before {
            let mut raw = before.clone();
            cfmakeraw(&mut raw);
            let _ = tcsetattr(io::stdin(), SetArg::TCSADRAIN, &raw);
        }
        Self(before)
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = tcsetattr(io::stdin(), SetArg::TCSADRAIN, before);
        }
    }
}
