//! A program that provides the equipment of a device: it prints how that is wired as one line of JSON, and runs for as long
//! as the device is leased, until its standard input ends. What it prints is not trusted to be well formed, nor to end.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, OnceLock, PoisonError, mpsc},
    thread,
    time::Duration,
};

use command_fds::{CommandFdExt as _, FdMapping};
use nix::{
    sys::{
        signal::{Signal, killpg},
        wait::{Id, WaitPidFlag, WaitStatus, waitid},
    },
    unistd::Pid,
};
use provebench_record::text;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader},
    process::{Child, ChildStdin, Command},
    runtime::Handle,
    sync::oneshot,
    time::timeout,
};

use super::{
    CableEnd, LeasedBy, Provided, Provider, ProviderError, Providing, Request, starvation::Shares,
};
use crate::{
    Capability,
    inventory::{Wiring, wiring_printed},
};

/// It has its memory to write back, or others to tell, until it has stopped.
const STOP_LIMIT: Duration = Duration::from_secs(10);
/// Much longer than the line it prints when it is ready.
const LONGEST_LINE: usize = 64 * 1024;
/// The number that the DUT's network cable has there.
const CABLE_FD: i32 = 3;
/// Tells the program that number.
const CABLE: &str = "PROVEBENCH_CABLE";
/// Tells the program which device it is for.
const DEVICE: &str = "PROVEBENCH_DEVICE";
/// How much of its messages is kept.
const MESSAGES: usize = 4 * 1024;
/// How long a message of it may be in a message of ours.
const SHOWN: usize = 1000;

/// A program that provides the equipment of a device.
#[derive(Clone, Debug, PartialEq)]
pub struct Program {
    /// The program, and its arguments.
    pub command: Vec<OsString>,
    /// What a bench with its equipment can do.
    pub provides: BTreeSet<Capability>,
    /// The DUT's network cable ends in a socket that it gets.
    pub takes_cable: bool,
    /// A folder that only one of its kind can use at a time; it is made.
    pub memory: Option<PathBuf>,
    /// What paths in the wiring are relative to.
    pub base: PathBuf,
    /// How long it may take until it is ready.
    pub limit: Duration,
    pub(crate) kind: &'static str,
    /// As errors call it.
    pub(crate) what: &'static str,
    pub(crate) remedies: Remedies,
}

/// What to do about a program that does not do its part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Remedies {
    pub(crate) no_program: &'static str,
    pub(crate) refused: &'static str,
    pub(crate) not_ready: &'static str,
}

impl Program {
    /// Until it is ready, it has a few sockets to open.
    pub const START_LIMIT: Duration = Duration::from_secs(20);

    /// The one that `provider` of a device in `devices.toml` names.
    pub(crate) fn new(
        command: Vec<OsString>,
        provides: BTreeSet<Capability>,
        takes_cable: bool,
        limit: Duration,
        base: &Path,
    ) -> Self {
        Self {
            command,
            provides,
            takes_cable,
            memory: None,
            base: base.to_owned(),
            limit,
            kind: "provided",
            what: "the provider of",
            remedies: Remedies {
                no_program: "correct `command` of its `provider` in devices.toml, or install the program",
                refused: "run the command by hand: it has to print how the device is wired, and to run until its standard input ends",
                not_ready: "run the command by hand: `provebench schema wiring` says what it has to print, in one line",
            },
        }
    }

    /// Starts it, and reads how the device is wired.
    async fn start(
        &self,
        name: &str,
        baud: u32,
        cable: Option<OwnedFd>,
    ) -> Result<Provided, ProviderError> {
        let (program, arguments) = match &self.command[..] {
            [program, arguments @ ..] => (PathBuf::from(program), arguments),
            [] => (PathBuf::new(), &[][..]),
        };
        if let Some(dir) = &self.memory {
            std::fs::create_dir_all(dir).map_err(|source| ProviderError::Folder {
                what: self.what,
                name: name.into(),
                dir: dir.clone(),
                source,
            })?;
        }
        let mut command = Command::new(&program);
        command
            .args(arguments)
            .env(DEVICE, name)
            .env_remove(CABLE)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C is for the run, which ends it in order.
            .process_group(0)
            .kill_on_drop(true);
        if let Some(cable) = cable {
            command.env(CABLE, CABLE_FD.to_string());
            let mapping = FdMapping {
                parent_fd: cable,
                child_fd: CABLE_FD,
            };
            // Only fails for numbers that are given twice.
            let _ = command.fd_mappings(vec![mapping]);
        }
        let mut child = spawn(command).await.map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => ProviderError::NoProgram {
                what: self.what,
                name: name.into(),
                program: program.clone(),
                remedy: self.remedies.no_program,
            },
            _ => ProviderError::Start {
                program: program.clone(),
                source,
            },
        })?;
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(ProviderError::Start {
                program,
                source: io::ErrorKind::BrokenPipe.into(),
            });
        };
        let messages = Messages::collect(stderr);
        let stdin = Some(stdin);
        let process = Process {
            name: name.into(),
            what: self.what,
            running: Some(Running { child, stdin }),
            messages,
            shares: Shares::default(),
        };
        let mut line = Vec::new();
        let mut stdout = BufReader::new(stdout.take(LONGEST_LINE as u64));
        let read = timeout(self.limit, stdout.read_until(b'\n', &mut line)).await;
        // What is printed later is nobody's.
        tokio::spawn(async move {
            let mut rest = stdout.into_inner().into_inner();
            tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
        });
        let limit = self.limit;
        let printed = match read {
            Err(_) if line.is_empty() => Err(format!("nothing printed within {limit:?}")),
            Err(_) => Err(format!("no whole line printed within {limit:?}")),
            Ok(Err(error)) => Err(error.to_string()),
            Ok(Ok(0)) => return Err(process.refused(self.remedies.refused).await),
            Ok(Ok(LONGEST_LINE)) if line.last() != Some(&b'\n') => Err(format!(
                "the line that it prints is longer than {LONGEST_LINE} bytes"
            )),
            Ok(Ok(_)) => std::str::from_utf8(&line)
                .map_err(|_| "what it prints is not UTF-8".to_owned())
                .and_then(|line| wiring_printed(line, name, baud, &self.base)),
        };
        match printed {
            Ok((wiring, ends_with_lease)) => Ok(Provided {
                wiring,
                ends_with_lease,
                process: Some(process),
            }),
            Err(reason) => Err(process.not_ready(reason, self.remedies.not_ready).await),
        }
    }

    /// Whether the wiring has what was announced.
    fn check(&self, name: &str, has_network: bool, wiring: &Wiring) -> Result<(), ProviderError> {
        let has: BTreeSet<Capability> = Capability::of_wiring(wiring, has_network).collect();
        let by_target = !has_network || self.takes_cable;
        let lacking = self.provides.iter().find(|capability| match capability {
            Capability::Net => !by_target && !has.contains(capability),
            _ => !has.contains(capability),
        });
        match lacking {
            None => Ok(()),
            Some(capability) => Err(ProviderError::Lacking {
                what: self.what,
                name: name.into(),
                capability: capability.clone(),
            }),
        }
    }
}

impl Provider for Program {
    fn kind(&self) -> Option<&str> {
        Some(self.kind)
    }

    fn capabilities(&self, has_network: bool) -> BTreeSet<Capability> {
        let mut all = self.provides.clone();
        if !has_network {
            all.remove(&Capability::Net);
        } else if all.contains(&Capability::Net) {
            all.insert(Capability::Services);
        }
        all
    }

    fn cable(&self) -> Option<CableEnd> {
        let is_announced = self.provides.contains(&Capability::Net);
        if self.takes_cable {
            Some(CableEnd::Socket)
        } else {
            is_announced.then_some(CableEnd::Interface)
        }
    }

    fn leased_by(&self, device: &str) -> LeasedBy<'_> {
        if let Some(memory) = &self.memory {
            return LeasedBy::Folder(self.kind, memory);
        }
        let words = self.command.iter().map(|word| word.to_string_lossy());
        let command = words.collect::<Vec<_>>().join(" ");
        LeasedBy::Text(format!("provider {command} for {device}"))
    }

    fn provide<'p>(&'p self, request: Request<'p>) -> Providing<'p> {
        let Request {
            device,
            baud,
            has_network,
            cable,
        } = request;
        Box::pin(async move {
            let provided = self.start(device, baud, cable).await?;
            match self.check(device, has_network, &provided.wiring) {
                Ok(()) => Ok(provided),
                Err(error) => {
                    provided.end().await;
                    Err(error)
                }
            }
        })
    }
}

/// The program of a device that is leased. [`end`](Self::end) or dropped, it is told to end, and killed if it does not.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    what: &'static str,
    /// None once it is being ended.
    running: Option<Running>,
    messages: Messages,
    /// What it had got of this machine's processors at the begin of what is watched.
    shares: Shares,
}

/// A program that runs. Dropped, it is killed, with all that it has started.
#[derive(Debug)]
struct Running {
    child: Child,
    /// It runs for as long as this is open.
    stdin: Option<ChildStdin>,
}

impl Process {
    /// Whether the program is still running, and has not been stopped since this was last asked.
    pub(crate) fn health(&mut self) -> Result<(), ProviderError> {
        let state = self
            .running
            .as_mut()
            .map(|running| running.child.try_wait());
        match state {
            Some(Ok(None)) if self.was_stopped() => Err(ProviderError::StoodStill {
                what: self.what,
                name: self.name.clone(),
            }),
            Some(Ok(None)) => Ok(()),
            ended => Err(ProviderError::Died {
                what: self.what,
                name: self.name.clone(),
                status: told(ended.and_then(Result::ok).flatten(), "unknown"),
                messages: self.messages.text(),
            }),
        }
    }

    /// From here on it is watched what it gets of this machine's processors.
    pub(crate) fn begin(&mut self) {
        self.shares = self.shares_now();
    }

    /// How long it waited for a processor since then, and how long it ran, if it got less than half of what it asked for.
    pub(crate) fn starved(&self) -> Option<(Duration, Duration)> {
        self.shares_now().starved_since(&self.shares)
    }

    fn shares_now(&self) -> Shares {
        self.pid().map(Shares::of).unwrap_or_default()
    }

    /// The kernel tells a parent that its child was stopped, for as long as that lasts, and once that it goes on.
    fn was_stopped(&self) -> bool {
        let Some(pid) = self.pid() else {
            return false;
        };
        let told = |flag| {
            let pid = Id::Pid(Pid::from_raw(pid.cast_signed()));
            let told = waitid(pid, flag | WaitPidFlag::WNOHANG);
            told.is_ok_and(|status| status != WaitStatus::StillAlive)
        };
        let goes_on = told(WaitPidFlag::WCONTINUED);
        goes_on || told(WaitPidFlag::WSTOPPED | WaitPidFlag::WNOWAIT)
    }

    /// None once it has ended and that is known.
    fn pid(&self) -> Option<u32> {
        self.running.as_ref()?.child.id()
    }

    /// Tells it that the lease has ended, and waits until it has left things in order.
    pub(crate) async fn end(mut self) {
        if let Some(running) = self.running.take() {
            running.end(&self.name).await;
        }
    }

    /// It has ended, or said that it will print nothing.
    async fn refused(mut self, remedy: &'static str) -> ProviderError {
        let status = match self.running.take() {
            Some(running) => running.end(&self.name).await,
            None => None,
        };
        self.messages.complete().await;
        ProviderError::Refused {
            what: self.what,
            name: self.name.clone(),
            status: told(status, "it had to be killed"),
            messages: self.messages.text(),
            remedy,
        }
    }

    /// What it has printed, or not, is of no use.
    async fn not_ready(mut self, reason: String, remedy: &'static str) -> ProviderError {
        if let Some(running) = self.running.take() {
            running.end(&self.name).await;
        }
        self.messages.complete().await;
        ProviderError::NotReady {
            what: self.what,
            name: self.name.clone(),
            reason,
            messages: self.messages.text(),
            remedy,
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let Some(running) = self.running.take() else {
            return;
        };
        let name = std::mem::take(&mut self.name);
        // Whatever was given up: it may have others to tell.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move { running.end(&name).await });
        }
    }
}

impl Running {
    /// Lets it leave things in order and end. None if it had to be killed.
    async fn end(self, name: &str) -> Option<ExitStatus> {
        self.end_within(STOP_LIMIT, name).await
    }

    async fn end_within(mut self, limit: Duration, name: &str) -> Option<ExitStatus> {
        self.stdin = None;
        let ended = timeout(limit, self.child.wait()).await;
        match &ended {
            Ok(Ok(status)) if status.success() => {}
            Ok(result) => {
                tracing::warn!(
                    device = name,
                    ?result,
                    "what provides the device did not end well"
                );
            }
            Err(_) => {
                tracing::warn!(
                    device = name,
                    "what provides the device does not end, killing it"
                );
                self.kill();
                let _ = self.child.kill().await;
            }
        }
        ended.ok()?.ok()
    }

    fn kill(&self) {
        // While it is not waited for, its number is nobody else's.
        if let Some(pid) = self.child.id() {
            let _ = killpg(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

fn told(status: Option<ExitStatus>, unknown: &str) -> String {
    status.map_or_else(|| unknown.into(), |status| status.to_string())
}

/// The last that a program said on its standard error.
#[derive(Debug, Clone)]
struct Messages {
    text: Arc<Mutex<Vec<u8>>>,
    complete: Arc<tokio::sync::Notify>,
}

impl Messages {
    fn collect(mut from: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let messages = Self {
            text: Arc::default(),
            complete: Arc::default(),
        };
        let collected = messages.clone();
        tokio::spawn(async move {
            let mut chunk = [0; 1024];
            while let Ok(length @ 1..) = from.read(&mut chunk).await {
                let mut text = collected
                    .text
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                text.extend_from_slice(&chunk[..length]);
                let excess = text.len().saturating_sub(MESSAGES);
                text.drain(..excess);
            }
            collected.complete.notify_one();
        });
        messages
    }

    async fn complete(&self) {
        let _ = timeout(STOP_LIMIT, self.complete.notified()).await;
    }

    fn text(&self) -> String {
        let text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        match String::from_utf8_lossy(&text).trim() {
            "" => "it said nothing".into(),
            text => text::one_line(text, SHOWN),
        }
    }
}

/// Starts a child from a thread that never ends: a program may ask the kernel to be killed together with its parent, and
/// by that the kernel means the thread that started it.
async fn spawn(command: Command) -> io::Result<Child> {
    type Order = (Command, Handle, oneshot::Sender<io::Result<Child>>);
    static STARTER: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    let starter = STARTER.get_or_init(|| {
        let (sender, orders) = mpsc::channel::<Order>();
        // Should the thread not start, sending fails below.
        let _ = thread::Builder::new()
            .name("program starter".into())
            .spawn(move || {
                for (mut command, runtime, reply) in orders {
                    let _in_runtime = runtime.enter();
                    let _ = reply.send(command.spawn());
                }
            });
        sender
    });
    let (reply, child) = oneshot::channel();
    let gone = || io::Error::other("the thread that starts programs has ended");
    starter
        .send((command, Handle::current(), reply))
        .map_err(|_| gone())?;
    child.await.map_err(|_| gone())?
}

#[cfg(test)]
#[path = "tests/program.rs"]
mod tests;
