//! Starts and stops the program that stands for a virtual board. From there on it is a board like any other, with a
//! debug probe, a console and a plug.

use std::{
    collections::BTreeMap,
    env, io,
    num::NonZeroU8,
    os::fd::OwnedFd,
    path::PathBuf,
    process::Stdio,
    sync::{Arc, Mutex, OnceLock, PoisonError, mpsc},
    thread,
    time::Duration,
};

use command_fds::{CommandFdExt as _, FdMapping};
use miette::Diagnostic;
use nix::{
    sys::wait::{Id, WaitPidFlag, WaitStatus, waitid},
    unistd::Pid,
};
use serde::Deserialize;
use thiserror::Error;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader},
    process::{Child, ChildStdin, Command},
    runtime::Handle,
    sync::oneshot,
    time::timeout,
};

use super::starvation::Shares;
use super::switch::{SwitchError, Tasmota};
use crate::inventory::{
    ConsoleConfig, ConsolePort, ProbeConfig, Protocol, SwitchConfig, TasmotaConfig, VirtualBoard,
    Wiring,
};

/// The program, unless `devices.toml` names another.
const PROGRAM: &str = "virtual-board";
/// It has a few sockets to open until it is ready.
const START_LIMIT: Duration = Duration::from_secs(20);
/// It has its memory to write back until it has stopped.
const STOP_LIMIT: Duration = Duration::from_secs(10);
/// Much longer than the line it prints when it is ready.
const LONGEST_LINE: u64 = 64 * 1024;
/// The number that its Ethernet cable has there.
const CABLE_FD: i32 = 3;
/// How much of its messages is kept.
const MESSAGES: usize = 4 * 1024;

/// A virtual board could not be had.
#[derive(Debug, Error, Diagnostic)]
#[non_exhaustive]
pub enum VirtualBoardError {
    /// There is no such program.
    #[error("the program for virtual boards is not at {}", program.display())]
    #[diagnostic(help(
        "build it (`cargo build --workspace`), or name it in devices.toml: virtual = {{ program = \"...\" }}"
    ))]
    NoProgram {
        /// Where it was looked for.
        program: PathBuf,
    },
    /// Its folder can't be made.
    #[error("the folder {} for the virtual board's memory can't be made", dir.display())]
    #[diagnostic(help(
        "name one that can be written to in devices.toml: virtual = {{ dir = \"...\" }}"
    ))]
    Folder {
        /// The folder.
        dir: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It could not be started.
    #[error("{} can't be started", program.display())]
    #[diagnostic(help("is it a program that you may run?"))]
    Start {
        /// The program.
        program: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It ended when it should have been ready.
    #[error("virtual board `{name}` did not start ({status}): {messages}")]
    #[diagnostic(help(
        "if QEMU is missing, `ci/setup` installs it; if the board's folder is in use, another run has the board"
    ))]
    Refused {
        /// The device.
        name: String,
        /// How it ended.
        status: String,
        /// What it said.
        messages: String,
    },
    /// It says nothing, or something else than expected.
    #[error("virtual board `{name}` is not ready: {reason}")]
    #[diagnostic(help(
        "are harness and virtual board of the same version? Build both: `cargo build --workspace`"
    ))]
    NotReady {
        /// The device.
        name: String,
        /// What was seen.
        reason: String,
    },
    /// It did not run for a while: what the DUT was asked then, nobody answered.
    #[error("virtual board `{name}` was stopped for a while")]
    #[diagnostic(help("something has sent it SIGSTOP, as a debugger does"))]
    StoodStill {
        /// The device.
        name: String,
    },
    /// It ended while in use.
    #[error("virtual board `{name}` has died ({status}): {messages}")]
    #[diagnostic(help("something ended the program, or QEMU failed; start the run again"))]
    Died {
        /// The device.
        name: String,
        /// How it ended.
        status: String,
        /// What it said.
        messages: String,
    },
}

/// A running virtual board. Dropped, it is killed; [`stop`](Self::stop) lets it write its memory back.
#[derive(Debug)]
pub(super) struct BoardProcess {
    name: String,
    child: Child,
    /// The board runs for as long as this is open.
    stdin: ChildStdin,
    messages: Messages,
    /// Address of its plug.
    plug: String,
    /// What it had got of this machine's processors at the begin of what is watched.
    shares: Shares,
}

/// What the program prints when it is ready.
#[derive(Debug, Deserialize)]
struct Ready {
    probe: String,
    console: PathBuf,
    plug: String,
}

impl BoardProcess {
    /// Starts a board and tells how it is wired. It is switched off. `cable` is what is plugged into its Ethernet
    /// socket.
    pub(super) async fn start(
        name: &str,
        config: &VirtualBoard,
        baud: u32,
        cable: Option<OwnedFd>,
    ) -> Result<(Self, Wiring), VirtualBoardError> {
        let program = config.program.clone().unwrap_or_else(beside_this_program);
        let dir = memory_of(name, config);
        std::fs::create_dir_all(&dir).map_err(|source| VirtualBoardError::Folder {
            dir: dir.clone(),
            source,
        })?;
        let mut command = Command::new(&program);
        command
            .args(["--name", name, "--power", "off", "--dir"])
            .arg(&dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        if let Some(cable) = cable {
            command.arg("--ethernet-fd").arg(CABLE_FD.to_string());
            let mapping = FdMapping {
                parent_fd: cable,
                child_fd: CABLE_FD,
            };
            // Only fails for numbers that are given twice.
            let _ = command.fd_mappings(vec![mapping]);
        }
        let mut child = spawn(command).await.map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => VirtualBoardError::NoProgram {
                program: program.clone(),
            },
            _ => VirtualBoardError::Start {
                program: program.clone(),
                source,
            },
        })?;
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(VirtualBoardError::Start {
                program,
                source: io::ErrorKind::BrokenPipe.into(),
            });
        };
        let messages = Messages::collect(stderr);
        let mut board = Self {
            name: name.into(),
            child,
            stdin,
            messages,
            plug: String::new(),
            shares: Shares::default(),
        };
        let mut line = String::new();
        let mut stdout = BufReader::new(stdout.take(LONGEST_LINE));
        match timeout(START_LIMIT, stdout.read_line(&mut line)).await {
            Ok(Ok(length)) if length > 0 => {}
            Ok(_) => return Err(board.refused().await),
            Err(_) => {
                return Err(board.not_ready(format!("nothing printed within {START_LIMIT:?}")));
            }
        }
        let ready: Ready = serde_json::from_str(&line)
            .map_err(|error| board.not_ready(format!("{error} in {:?}", line.trim_end())))?;
        board.plug.clone_from(&ready.plug);
        Ok((board, ready.wiring(baud)))
    }

    /// Switches the carrier of its Ethernet interface.
    pub(super) fn carrier(&self) -> Result<Tasmota, SwitchError> {
        Tasmota::carrier(&self.plug)
    }

    /// Whether the program is still running, and has not been stopped since this was last asked.
    pub(super) fn health(&mut self) -> Result<(), VirtualBoardError> {
        match self.child.try_wait() {
            Ok(None) if self.was_stopped() => Err(VirtualBoardError::StoodStill {
                name: self.name.clone(),
            }),
            Ok(None) => Ok(()),
            ended => Err(VirtualBoardError::Died {
                name: self.name.clone(),
                status: ended
                    .ok()
                    .flatten()
                    .map_or_else(|| "unknown".into(), |status| status.to_string()),
                messages: self.messages.text(),
            }),
        }
    }

    /// From here on it is watched what it gets of this machine's processors.
    pub(super) fn begin(&mut self) {
        self.shares = self.shares_now();
    }

    /// How long it waited for a processor since then, and how long it ran, if it got less than half of what it asked for.
    pub(super) fn starved(&self) -> Option<(Duration, Duration)> {
        self.shares_now().starved_since(&self.shares)
    }

    fn shares_now(&self) -> Shares {
        self.child.id().map(Shares::of).unwrap_or_default()
    }

    /// The kernel tells a parent that its child was stopped, for as long as that lasts, and once that it goes on.
    fn was_stopped(&self) -> bool {
        let Some(pid) = self.child.id() else {
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

    /// Lets the board write its memory back and end.
    pub(super) async fn stop(self) {
        let Self {
            name,
            mut child,
            stdin,
            ..
        } = self;
        drop(stdin);
        match timeout(STOP_LIMIT, child.wait()).await {
            Ok(Ok(status)) if status.success() => {}
            Ok(result) => {
                tracing::warn!(board = name, ?result, "the virtual board did not end well");
            }
            Err(_) => {
                tracing::warn!(board = name, "the virtual board does not end, killing it");
                let _ = child.kill().await;
            }
        }
    }

    async fn refused(&mut self) -> VirtualBoardError {
        let status = timeout(STOP_LIMIT, self.child.wait()).await;
        self.messages.complete().await;
        VirtualBoardError::Refused {
            name: self.name.clone(),
            status: status
                .ok()
                .and_then(Result::ok)
                .map_or_else(|| "still running".into(), |status| status.to_string()),
            messages: self.messages.text(),
        }
    }

    fn not_ready(&self, reason: String) -> VirtualBoardError {
        VirtualBoardError::NotReady {
            name: self.name.clone(),
            reason,
        }
    }
}

impl Ready {
    fn wiring(self, baud: u32) -> Wiring {
        let relay = |relay, cut_at_write| {
            SwitchConfig::Tasmota(TasmotaConfig {
                url: self.plug.clone(),
                relay,
                cut_at_write,
            })
        };
        Wiring {
            probe: Some(ProbeConfig {
                selector: self.probe,
                protocol: Protocol::Swd,
                speed_khz: None,
            }),
            console: Some(ConsoleConfig {
                port: ConsolePort::Serial(self.console),
                baud,
            }),
            power: Some(relay(NonZeroU8::MIN, true)),
            network: None,
            actuators: BTreeMap::from([(
                "reset".into(),
                relay(NonZeroU8::MIN.saturating_add(1), false),
            )]),
        }
    }
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
            text => text.into(),
        }
    }
}

/// Starts a child from a thread that never ends: the board asks the kernel to be killed together with its parent, and
/// by that the kernel means the thread that started it.
async fn spawn(command: Command) -> io::Result<Child> {
    type Order = (Command, Handle, oneshot::Sender<io::Result<Child>>);
    static STARTER: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    let starter = STARTER.get_or_init(|| {
        let (sender, orders) = mpsc::channel::<Order>();
        // Should the thread not start, sending fails below.
        let _ = thread::Builder::new()
            .name("board starter".into())
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

/// Next to the harness; test programs lie one folder deeper.
fn beside_this_program() -> PathBuf {
    let here = env::current_exe().unwrap_or_default();
    let folders = here
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join(PROGRAM));
    let mut candidates = folders.collect::<Vec<_>>();
    let first = if candidates.is_empty() {
        PathBuf::from(PROGRAM)
    } else {
        candidates.remove(0)
    };
    candidates
        .into_iter()
        .find(|program| !first.exists() && program.exists())
        .unwrap_or(first)
}

/// Where the memory of a device's virtual board is: that makes it another board than the next one.
pub fn memory_of(device: &str, board: &VirtualBoard) -> PathBuf {
    let given = board.dir.clone();
    given.unwrap_or_else(|| state_dir().join(folder_name(device)))
}

/// Where the memory of virtual boards outlives a run, unless `devices.toml` says where.
fn state_dir() -> PathBuf {
    let home = |variable: &str| {
        env::var_os(variable)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    home("XDG_STATE_HOME")
        .or_else(|| Some(home("HOME")?.join(".local/state")))
        .unwrap_or_else(env::temp_dir)
        .join("provebench/boards")
}

/// A device's name as a folder's name.
fn folder_name(device: &str) -> String {
    device
        .chars()
        .map(|c| {
            if c.is_alphanumeric() || matches!(c, '-' | '_') {
                c
            } else {
                '_'
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::{path::Path, time::Instant};

    use rstest::{fixture, rstest};
    use tempfile::TempDir;

    use super::*;

    #[fixture]
    fn dir() -> TempDir {
        tempfile::tempdir().unwrap()
    }

    async fn start(
        program: &str,
        dir: &TempDir,
    ) -> Result<(BoardProcess, Wiring), VirtualBoardError> {
        let boards = Path::new(env!("CARGO_MANIFEST_DIR")).join("../provebench/tests/boards");
        let config = VirtualBoard {
            board: "mps2-an385".into(),
            dir: Some(dir.path().join("new/board")),
            program: Some(boards.join(program)),
        };
        BoardProcess::start("test", &config, 115_200, None).await
    }

    #[rstest]
    #[tokio::test]
    async fn a_board_tells_its_wiring_and_ends_when_told(dir: TempDir) {
        let (mut board, wiring) = start("ready", &dir).await.unwrap();
        let dir = dir.path().join("new/board");
        assert_eq!(wiring.probe.unwrap().selector, "1d50:6018:127.0.0.1:1");
        assert_eq!(
            wiring.console.unwrap().port,
            ConsolePort::Serial(dir.join("console"))
        );
        assert!(wiring.actuators.contains_key("reset"));
        board.health().unwrap();
        board.stop().await;
        assert_eq!(
            std::fs::read_to_string(dir.join("stopped")).unwrap(),
            "stopped\n"
        );
    }

    #[rstest]
    #[tokio::test]
    async fn a_board_that_is_dropped_ends_as_well(dir: TempDir) {
        let (board, _) = start("ready", &dir).await.unwrap();
        let pid = board.child.id().unwrap();
        drop(board);
        let process = PathBuf::from(format!("/proc/{pid}/cmdline"));
        let deadline = Instant::now() + Duration::from_mins(1);
        // A dead child that has not been reaped yet has no command line.
        while std::fs::read(&process).is_ok_and(|line| !line.is_empty()) {
            assert!(Instant::now() < deadline, "still running");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[rstest]
    #[case::missing("no-such-program", "is not at")]
    #[case::refuses("refuses", "(exit status: 2): qemu-system-arm is not installed")]
    #[case::garbled("garbled", "Usage: garbled FILE...")]
    #[tokio::test]
    async fn a_board_that_does_not_start_says_why(
        dir: TempDir,
        #[case] program: &str,
        #[case] says: &str,
    ) {
        let error = start(program, &dir).await.unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }

    #[rstest]
    #[tokio::test]
    async fn a_board_that_died_is_a_fault_of_the_bench(dir: TempDir) {
        let (mut board, _) = start("dies", &dir).await.unwrap();
        board.child.wait().await.unwrap();
        board.messages.complete().await;
        let error = board.health().unwrap_err().to_string();
        assert!(
            error.contains("(exit status: 3): QEMU has gone away"),
            "{error}"
        );
    }

    #[rstest]
    #[tokio::test]
    async fn a_board_that_was_stopped_is_told_once(dir: TempDir) {
        use nix::sys::signal::{Signal, kill};

        let (mut board, _) = start("ready", &dir).await.unwrap();
        let pid = Pid::from_raw(board.child.id().unwrap().cast_signed());
        board.health().unwrap();
        let deadline = Instant::now() + Duration::from_mins(1);
        for (signal, again) in [(Signal::SIGSTOP, true), (Signal::SIGCONT, false)] {
            kill(pid, signal).unwrap();
            // The kernel tells as soon as the process has got it.
            while board.health().is_ok() {
                assert!(Instant::now() < deadline, "{signal} is not told");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            assert_eq!(board.health().is_err(), again, "{signal}");
        }
        board.stop().await;
    }

    #[rstest]
    #[tokio::test]
    async fn a_folder_that_cannot_be_made_is_named(dir: TempDir) {
        std::fs::write(dir.path().join("new"), "a file").unwrap();
        let error = start("ready", &dir).await.unwrap_err();
        assert!(
            matches!(error, VirtualBoardError::Folder { .. }),
            "{error:?}"
        );
    }

    #[rstest]
    #[case("sensor-a", "sensor-a")]
    #[case("../../etc", "______etc")]
    fn a_device_name_stays_in_the_folder(#[case] device: &str, #[case] folder: &str) {
        assert_eq!(folder_name(device), folder);
    }
}
