use std::io::{self, IsTerminal, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use clap::Args;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::context::{Files, Wait, runtime, time};
use super::exit::{Exit, Failure};
use super::output::{lost, tell};
use super::stop;
use super::terminal::Raw;
use crate::runner::Lease;
use provebench_bench::console::{Output, Pattern};
use provebench_bench::{Bench, BenchError, BenchLogs, BenchOptions, Console, ConsoleError};

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
    until: Option<Pattern>,
    /// At the end of piped input: quit when the device has been silent for that long
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = time, allow_negative_numbers = true)]
    idle: Duration,
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
#[error("the device was silent for {} s without having said what matches `{until}`", idle.as_secs_f64())]
#[diagnostic(help("wait longer with --idle, or correct the pattern"))]
struct NotSeen {
    idle: Duration,
    until: String,
}

const QUIT: u8 = 0x1d; // Ctrl-]

pub(super) fn act(arguments: &Arguments, files: &Files) -> Result<Exit, Failure> {
    let inventory = files.inventory()?;
    let device = inventory.device(&arguments.device)?;
    let runtime = runtime()?;
    let stop = stop::token(&runtime);
    let result = runtime.block_on(async {
        let leased = Lease::acquire(device, "provebench console", arguments.wait.limit());
        let Some(lease) = stop.run_until_cancelled(leased).await else {
            return Ok(Exit::Interrupted);
        };
        let logs = arguments.log.as_ref().map(|path| BenchLogs {
            console: path.clone(),
            limit: inventory.log_limit,
            ..BenchLogs::default()
        });
        let options = BenchOptions {
            logs: logs.unwrap_or_default(),
            claim: Some(Arc::new(lease?)),
            ..BenchOptions::default()
        };
        let bench = Bench::open(device, &options).await?;
        let result = match bench.console() {
            Ok(console) => talk(arguments, &device.name, console, &stop).await,
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

async fn talk(
    arguments: &Arguments,
    device: &str,
    console: &Console,
    stop: &CancellationToken,
) -> Result<Exit, Failure> {
    let is_interactive = io::stdin().is_terminal();
    let _raw = is_interactive.then(Raw::enter);
    if is_interactive {
        tell(&format!("{device}: Ctrl-] quits\r\n"));
    }
    let printer = Printer::start();
    let talked = stop
        .run_until_cancelled(converse(arguments, is_interactive, console, &printer))
        .await;
    // Whoever does not read on keeps nobody here who is to stop.
    stop.run_until_cancelled(printer.finish()).await;
    match talked {
        Some(exit) if !stop.is_cancelled() => exit,
        _ => Ok(Exit::Interrupted),
    }
}

async fn converse(
    arguments: &Arguments,
    is_interactive: bool,
    console: &Console,
    printer: &Printer,
) -> Result<Exit, Failure> {
    let mut input = read_input();
    let mut has_input = true;
    // Before the bench was opened nothing was shown.
    let mut shown = 0;
    let mut seen = std::pin::pin!(seen(arguments.until.as_ref(), console));
    loop {
        let wait = if has_input {
            Duration::from_hours(1)
        } else {
            arguments.idle
        };
        tokio::select! {
            chunk = input.recv(), if has_input => match chunk {
                Some(chunk) => match keys(arguments, is_interactive, &chunk) {
                    Keys::Send(data) => console.send(&data).await.map_err(BenchError::from)?,
                    Keys::Quit(data) => {
                        console.send(&data).await.map_err(BenchError::from)?;
                        return Ok(Exit::Ok);
                    }
                },
                // A terminal that is closed.
                None if is_interactive => return Ok(Exit::Interrupted),
                None => has_input = false,
            },
            said = console.output(shown, wait) => {
                let said = said.map_err(BenchError::from)?;
                shown = said.end;
                if !said.bytes.is_empty() {
                    if !printer.print(said).await {
                        return Ok(Exit::Interrupted);
                    }
                } else if !has_input {
                    return silent(arguments, console).await;
                }
            },
            found = &mut seen => {
                found.map_err(BenchError::from)?;
                let rest = console.output(shown, Duration::ZERO).await;
                printer.print(rest.map_err(BenchError::from)?).await;
                return Ok(Exit::Ok);
            }
        }
    }
}

/// Until the device has said it; for ever where nothing is waited for.
async fn seen(until: Option<&Pattern>, console: &Console) -> Result<(), ConsoleError> {
    match until {
        Some(until) => console.expect(until, Duration::MAX).await.map(|_| ()),
        None => std::future::pending().await,
    }
}

async fn silent(arguments: &Arguments, console: &Console) -> Result<Exit, Failure> {
    let Some(until) = &arguments.until else {
        return Ok(Exit::Ok);
    };
    // Nothing more comes that could change it.
    match console.expect(until, Duration::ZERO).await {
        Ok(_) => Ok(Exit::Ok),
        Err(ConsoleError::Timeout { .. }) => Err(Failure::bench(NotSeen {
            idle: arguments.idle,
            until: until.to_string(),
        })),
        Err(error) => Err(BenchError::from(error).into()),
    }
}

/// Prints in a thread of its own: whoever reads may take his time.
struct Printer {
    chunks: Sender<Output>,
    done: oneshot::Receiver<()>,
}

impl Printer {
    fn start() -> Self {
        let (chunks, mut to_print) = mpsc::channel::<Output>(16);
        let (finished, done) = oneshot::channel();
        thread::spawn(move || {
            while let Some(said) = to_print.blocking_recv() {
                if said.lost > 0 {
                    tell(&format!("\r\n[{} bytes are left out here]\r\n", said.lost));
                }
                let mut stdout = io::stdout().lock();
                let printed = stdout.write_all(&said.bytes).and_then(|()| stdout.flush());
                if let Err(error) = printed {
                    lost(error);
                    break;
                }
            }
            let _ = finished.send(());
        });
        Self { chunks, done }
    }

    /// False when nobody reads it any more.
    async fn print(&self, output: Output) -> bool {
        self.chunks.send(output).await.is_ok()
    }

    /// Until all is printed.
    async fn finish(self) {
        drop(self.chunks);
        let _ = self.done.await;
    }
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
    thread::spawn(move || {
        let mut chunk = [0; 1024];
        while let Ok(n @ 1..) = io::stdin().read(&mut chunk) {
            if sender.blocking_send(chunk[..n].to_vec()).is_err() {
                break;
            }
        }
    });
    receiver
}
