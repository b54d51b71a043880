//! Whatever else has a program that switches it.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use nix::{
    sys::memfd::{MFdFlags, memfd_create},
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::{
    process,
    time::{sleep, timeout},
};

use super::{BoxFuture, Switch, SwitchError, believed::Believed, obeyed, shorten};
use crate::inventory::CommandConfig;

/// Bytes of its output that are read.
const READ: u64 = 4096;
/// Whoever prints more does not end by itself, and would fill a disk.
const MOST: u64 = 16 << 20;
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// A switch that programs reach.
#[derive(Debug)]
pub(super) struct Command {
    on: Vec<String>,
    off: Vec<String>,
    state: Option<Vec<String>>,
    limit: Duration,
    believed: Believed,
}

/// What a program left.
struct Outcome {
    status: ExitStatus,
    stdout: String,
    stderr: String,
}

impl Command {
    pub(super) fn new(config: &CommandConfig) -> Self {
        Self {
            on: config.on.clone(),
            off: config.off.clone(),
            state: config.state.clone(),
            limit: config.limit(),
            believed: Believed::default(),
        }
    }

    async fn switch(&self, on: bool) -> Result<(), SwitchError> {
        self.believed.forget();
        let words = if on { &self.on } else { &self.off };
        let outcome = self.run(words).await?;
        if !outcome.status.success() {
            return Err(outcome.failed(words));
        }
        let Some(state) = &self.state else {
            self.believed.set(on);
            return Ok(());
        };
        let is_on = self.ask(state).await?;
        obeyed(|| format!("what `{}` switches", words.join(" ")), on, is_on)
    }

    async fn ask(&self, words: &[String]) -> Result<bool, SwitchError> {
        let outcome = self.run(words).await?;
        let said = outcome.stdout.trim().to_ascii_lowercase();
        match (&*said, outcome.status.code()) {
            ("on" | "1" | "true" | "", Some(0)) => Ok(true),
            ("off" | "0" | "false", Some(0)) => Ok(false),
            // A program that has something to complain about did not mean "off".
            ("", Some(1)) if outcome.stderr.trim().is_empty() => Ok(false),
            _ => Err(outcome.failed(words)),
        }
    }

    async fn run(&self, words: &[String]) -> Result<Outcome, SwitchError> {
        let fail = |what: String| SwitchError::Command {
            command: words.join(" "),
            what,
            output: String::new(),
        };
        // Files, not pipes: something that the program leaves behind may keep a pipe open for ever.
        let files = || io::Result::Ok((temporary()?, temporary()?));
        let (stdout, stderr) = files().map_err(|e| fail(format!("has nowhere to print: {e}")))?;
        let mut child = spawn(words, &stdout, &stderr).map_err(|e| fail(not_started(words, &e)))?;
        let group = child.id();
        let ended = tokio::select! {
            biased;
            ended = timeout(self.limit, child.wait()) => {
                ended.map_err(|_| format!("did not end within {:?}", self.limit))
            }
            () = floods([&stdout, &stderr]) => Err(format!("printed more than {} MiB", MOST >> 20)),
        };
        let status = match ended {
            Ok(status) => status,
            Err(what) => {
                stop(group);
                let _ = child.wait().await;
                return Err(SwitchError::Command {
                    command: words.join(" "),
                    what,
                    output: printed(&text(stdout), &text(stderr)),
                });
            }
        };
        let status = status.map_err(|e| fail(format!("can't be waited for: {e}")))?;
        Ok(Outcome {
            status,
            stdout: text(stdout),
            stderr: text(stderr),
        })
    }
}

/// Waits until one of these has become too long.
async fn floods(files: [&File; 2]) {
    let is_long = |file: &&File| file.metadata().is_ok_and(|data| data.len() > MOST);
    while !files.iter().any(is_long) {
        sleep(LOOK).await;
    }
}

/// A file that ends with us; in memory where the folder for such files can't be written to.
fn temporary() -> io::Result<File> {
    let in_memory = || io::Result::Ok(memfd_create(c"output", MFdFlags::MFD_CLOEXEC)?.into());
    tempfile::tempfile().or_else(|_| in_memory())
}

impl Outcome {
    fn failed(&self, words: &[String]) -> SwitchError {
        SwitchError::Command {
            command: words.join(" "),
            what: format!("ended with {}", self.status),
            output: printed(&self.stdout, &self.stderr),
        }
    }
}

impl Switch for Command {
    fn set(&self, on: bool) -> BoxFuture<'_, Result<(), SwitchError>> {
        Box::pin(self.switch(on))
    }

    fn is_on(&self) -> BoxFuture<'_, Result<bool, SwitchError>> {
        Box::pin(async move {
            match &self.state {
                Some(state) => self.ask(state).await,
                None => self.believed.get(
                    || format!("what `{}` switches", self.on.join(" ")),
                    "add `state = [...]`, a command that tells it, to the switch in devices.toml",
                ),
            }
        })
    }
}

/// Kills a program and all that it started.
fn stop(group: Option<u32>) {
    if let Some(group) = group.and_then(|id| i32::try_from(id).ok()) {
        let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
    }
}

fn text(mut file: File) -> String {
    let mut bytes = Vec::new();
    // The program and we share the file's position.
    let _ = file
        .rewind()
        .and_then(|()| file.take(READ).read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

fn printed(stdout: &str, stderr: &str) -> String {
    match [stderr.trim(), stdout.trim()].map(shorten) {
        [a, b] if a.is_empty() && b.is_empty() => " and printed nothing".into(),
        [a, b] if a.is_empty() || b.is_empty() => format!(": {a}{b}"),
        [a, b] => format!(": {a}; {b}"),
    }
}

/// The kernel says of the program what it means of the interpreter that the program's first line names.
fn not_started(words: &[String], error: &io::Error) -> String {
    let mut message = format!("can't be started: {error}");
    let first = words
        .first()
        .and_then(|program| std::fs::read(program).ok());
    let first = first
        .as_deref()
        .and_then(|text| text.split(|b| *b == b'\n').next());
    if first.is_some_and(|line| line.starts_with(b"#!") && line.ends_with(b"\r")) {
        message += " (its first line ends in CR LF: save it with line ends of LF)";
    }
    message
}

fn spawn(words: &[String], stdout: &File, stderr: &File) -> io::Result<process::Child> {
    let [program, arguments @ ..] = words else {
        return Err(io::Error::other("it names no program"));
    };
    process::Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(stdout.try_clone()?)
        .stderr(stderr.try_clone()?)
        // Ctrl-C is for us: power is restored before we go. And what it starts ends with it.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}
