//! A board in a temporary directory, and what its cables are driven with.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::{fd::AsFd as _, unix::fs::OpenOptionsExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use probe_rs::{
    Permissions, Session,
    config::Registry,
    flashing::{DownloadOptions, FlashError},
    probe::{DebugProbeSelector, Probe, WireProtocol, list::Lister},
};
use rstest::fixture;
use serde_json::Value;
use tempfile::TempDir;

/// Generous: it only ends a test that would hang.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const CHIP_YAML: &str = include_str!("../../chip.yaml");
/// See `tests/firmware/firmware.s` for what its keys do.
pub(crate) const FIRMWARE: &[u8] = include_bytes!("../firmware/firmware.bin");
/// Addresses in it, as `tests/firmware/build` prints them.
pub(crate) const LOOP: u64 = 0x70;
pub(crate) const BREAK: u64 = 0x102;

pub(crate) const RAM: u64 = 0x2000_0000;
pub(crate) const NVM: u64 = 0x2100_0000;
pub(crate) const PAGE: u64 = 0x0100_0000;

/// What the line that a board prints says of itself.
pub(crate) fn about(line: &str) -> Value {
    let line: Value = serde_json::from_str(line).expect("a line of JSON");
    line["about"].clone()
}

pub(crate) struct Board {
    child: Child,
    pub(crate) ready: Value,
    pub(crate) dir: PathBuf,
    temporary: Option<TempDir>,
}

pub(crate) fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_virtual-board"))
}

impl Board {
    /// Starts a board on this directory.
    pub(crate) fn start(dir: PathBuf, arguments: &[&str]) -> Self {
        Self::spawn(Self::command(&dir, arguments), dir)
    }

    /// Like [`Self::start`], with its messages kept for [`Self::ended`].
    pub(crate) fn start_quiet(dir: PathBuf, arguments: &[&str]) -> Self {
        Self::start_command(Self::command(&dir, arguments), dir)
    }

    /// Starts a board by a command of one's own; its messages are kept.
    pub(crate) fn start_command(mut command: Command, dir: PathBuf) -> Self {
        command.stderr(Stdio::piped());
        Self::spawn(command, dir)
    }

    fn command(dir: &Path, arguments: &[&str]) -> Command {
        let mut command = program();
        command
            .args(["--name", "test", "--dir"])
            .arg(dir)
            .args(arguments);
        command
    }

    fn spawn(mut command: Command, dir: PathBuf) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the board's program starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("stdout is piped");
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("one line on stdout");
        Board {
            ready: about(&line),
            child,
            dir,
            temporary: None,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn emulator(&self) -> Option<u64> {
        self.status("emulator").as_u64()
    }

    pub(crate) fn plug_address(&self) -> &str {
        self.ready["plug"].as_str().expect("an address")
    }

    pub(crate) fn plug(&self, command: &str) -> Value {
        let url = format!("{}/cm", self.plug_address());
        let url = reqwest::Url::parse_with_params(&url, [("cmnd", command)]).expect("an address");
        let (_, text) = get(url.as_str());
        serde_json::from_str(&text).expect("the plug answers with JSON")
    }

    /// What the plug tells about the board itself.
    pub(crate) fn status(&self, field: &str) -> Value {
        self.plug("Status 0")["StatusBoard"][field].clone()
    }

    pub(crate) fn console_lost(&self) -> u64 {
        self.status("console_lost").as_u64().expect("a number")
    }

    pub(crate) fn console_path(&self) -> PathBuf {
        self.ready["console"].as_str().expect("a path").into()
    }

    /// Non-volatile memory, past the debug port.
    pub(crate) fn nvm(&self) -> Vec<u8> {
        std::fs::read(self.dir.join("nvm.bin")).expect("it is a file")
    }

    pub(crate) fn power(&self, on: bool) {
        let state = if on { "ON" } else { "OFF" };
        let answer = self.plug(&format!("Power1 {state}"));
        assert_eq!(answer, serde_json::json!({"POWER1": state}));
    }

    pub(crate) fn probe(&self) -> Probe {
        let selector: DebugProbeSelector = self.ready["probe"]
            .as_str()
            .expect("a selector")
            .parse()
            .expect("a good selector");
        let mut probe = Lister::new().open(selector).expect("the probe opens");
        probe.select_protocol(WireProtocol::Swd).expect("SWD");
        probe
    }

    pub(crate) fn attach(&self) -> Session {
        self.try_attach().expect("attaches")
    }

    pub(crate) fn try_attach(&self) -> Result<Session, probe_rs::Error> {
        self.probe()
            .attach_with_registry("provebench-virtual", Permissions::default(), &registry())
    }

    pub(crate) fn console(&self) -> Console {
        let file = File::options()
            .read(true)
            .write(true)
            .custom_flags(nix::libc::O_NOCTTY)
            .open(self.console_path())
            .expect("the console opens");
        Console {
            file,
            seen: Vec::new(),
        }
    }

    /// Flashes the test firmware and lets it run.
    pub(crate) fn load_firmware(&self) -> Console {
        let mut session = self.attach();
        flash(&mut session, 0, FIRMWARE).expect("flashes");
        let mut console = self.console();
        session.core(0).expect("core").reset().expect("resets");
        console.expect("R4\n");
        console
    }

    /// Ends the board by the end of its standard input; returns its exit code.
    pub(crate) fn stop(mut self) -> Option<i32> {
        drop(self.child.stdin.take());
        let status = self.child.wait().expect("it can be waited for");
        status.code()
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it can be waited for");
    }

    pub(crate) fn end_input(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self) -> Ended {
        ended(&mut self.child)
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
        // Nothing is in the directory any more when it goes.
        drop(self.temporary.take());
    }
}

/// A board of one's own, powered.
#[fixture]
pub(crate) fn board() -> Board {
    let temporary = TempDir::new().expect("a temporary directory");
    let mut board = Board::start(temporary.path().join("board"), &["--power", "on"]);
    board.temporary = Some(temporary);
    board
}

pub(crate) fn registry() -> Registry {
    let mut registry = Registry::new();
    registry
        .add_target_family_from_yaml(CHIP_YAML)
        .expect("chip.yaml is valid");
    registry
}

/// Programs as the harness does: keep what is around, verify.
pub(crate) fn flash(session: &mut Session, address: u64, data: &[u8]) -> Result<(), FlashError> {
    let mut loader = session.target().flash_loader();
    loader.add_data(address, data)?;
    let mut options = DownloadOptions::default();
    options.keep_unwritten_bytes = true;
    options.verify = true;
    loader.commit(session, options)
}

/// Status and body of a page.
pub(crate) fn get(url: &str) -> (u16, String) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let request = reqwest::Client::new().get(url).timeout(PATIENCE);
        let response = request.send().await.expect("the plug answers");
        let status = response.status().as_u16();
        (status, response.text().await.expect("with text"))
    })
}

/// How a program ended, and what it wrote.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Waits for the end of a program, without ending its input.
pub(crate) fn ended(child: &mut Child) -> Ended {
    let mut status = None;
    eventually("the program ends", || {
        status = child.try_wait().expect("it can be waited for");
        status.is_some()
    });
    let mut ended = Ended {
        code: status.and_then(|status| status.code()),
        stdout: String::new(),
        stderr: String::new(),
    };
    if let Some(mut stdout) = child.stdout.take() {
        stdout.read_to_string(&mut ended.stdout).expect("text");
    }
    if let Some(mut stderr) = child.stderr.take() {
        stderr.read_to_string(&mut ended.stderr).expect("text");
    }
    ended
}

/// Tries until it is so; fails the test if it never is.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) struct Console {
    file: File,
    seen: Vec<u8>,
}

impl Console {
    pub(crate) fn send(&mut self, text: &str) {
        self.send_bytes(text.as_bytes());
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.file.write_all(bytes).expect("writes");
    }

    /// Waits for this text; what comes before it is skipped.
    pub(crate) fn expect(&mut self, text: &str) {
        let end = Instant::now() + PATIENCE;
        loop {
            let found = self
                .seen
                .windows(text.len())
                .position(|window| window == text.as_bytes());
            if let Some(at) = found {
                self.seen.drain(..at + text.len());
                return;
            }
            assert!(
                self.read_more(end.saturating_duration_since(Instant::now())),
                "no {text:?} on the console, but {:?}",
                String::from_utf8_lossy(&self.seen)
            );
        }
    }

    /// Everything that comes until `len` bytes are there.
    pub(crate) fn take(&mut self, len: usize) -> Vec<u8> {
        let end = Instant::now() + PATIENCE;
        while self.seen.len() < len {
            assert!(
                self.read_more(end.saturating_duration_since(Instant::now())),
                "{len} bytes expected, got {}",
                self.seen.len()
            );
        }
        self.seen.drain(..len).collect()
    }

    /// Everything that comes until this byte, which is included.
    pub(crate) fn take_until(&mut self, last: u8) -> Vec<u8> {
        let end = Instant::now() + PATIENCE;
        while self.seen.last() != Some(&last) {
            assert!(
                self.read_more(end.saturating_duration_since(Instant::now())),
                "no {last:#x} on the console, only {} bytes",
                self.seen.len()
            );
        }
        std::mem::take(&mut self.seen)
    }

    /// Asserts that nothing comes for a while.
    pub(crate) fn expect_silence(&mut self, duration: Duration) {
        assert!(
            !self.read_more(duration),
            "{:?} on a console that should be silent",
            String::from_utf8_lossy(&self.seen)
        );
    }

    fn read_more(&mut self, limit: Duration) -> bool {
        let limit = u16::try_from(limit.as_millis()).expect("less than a minute");
        let mut fds = [PollFd::new(self.file.as_fd(), PollFlags::POLLIN)];
        if poll(&mut fds, PollTimeout::from(limit)).expect("polls") == 0 {
            return false;
        }
        let mut chunk = [0; 4096];
        let count = self.file.read(&mut chunk).expect("reads");
        self.seen.extend_from_slice(&chunk[..count]);
        count > 0
    }
}
