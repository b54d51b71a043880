//! What ends a command before its time: signals, and that nobody reads any more what it prints.

use std::fmt::{self, Display, Formatter};
use std::fs;
use std::io;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::exit::Exit;
use super::output::tell;
use super::terminal;

/// Within this time of the first a signal is the same one: timeout(1) sends it to its child and to the child's group, and
/// wrappers pass on what the terminal has sent to all.
const MOMENT: Duration = Duration::from_secs(1);

/// What asks a command to end.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reason {
    /// Its name.
    Signal(&'static str),
    /// Nobody reads standard output any more.
    ReaderGone,
}

impl Display for Reason {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signal(name) => f.write_str(name),
            Self::ReaderGone => f.write_str("the end of whoever reads standard output"),
        }
    }
}

/// Calls `stop` with the reason when the command is asked to end. Another signal, later, ends it at once.
pub(super) fn listen(runtime: &Runtime, stop: impl Fn(Reason) + Send + Sync + 'static) {
    let stop = Arc::new(stop);
    let (sender, mut signals) = mpsc::unbounded_channel();
    let _context = runtime.enter();
    for (name, kind) in [
        ("SIGINT", SignalKind::interrupt()),
        ("SIGTERM", SignalKind::terminate()),
        ("SIGHUP", SignalKind::hangup()),
    ] {
        // nohup(1) means what it says.
        if kind == SignalKind::hangup() && is_ignored(kind) {
            continue;
        }
        // Without a handler the signal ends the process, which is what it would do anyway.
        let Ok(mut signal) = signal(kind) else {
            continue;
        };
        let sender = sender.clone();
        runtime.spawn(async move {
            while signal.recv().await.is_some() && sender.send(name).is_ok() {}
        });
    }
    let on_signal = Arc::clone(&stop);
    runtime.spawn(async move {
        let mut first: Option<Instant> = None;
        while let Some(name) = signals.recv().await {
            match first {
                None => {
                    first = Some(Instant::now());
                    on_signal(Reason::Signal(name));
                }
                Some(first) if first.elapsed() < MOMENT => {}
                Some(_) => at_once(),
            }
        }
    });
    watch_output(move || stop(Reason::ReaderGone));
}

/// A token that is cancelled when the command is asked to end.
pub(super) fn token(runtime: &Runtime) -> CancellationToken {
    let token = CancellationToken::new();
    let stop = token.clone();
    listen(runtime, move |reason| {
        // `| head` has had what it wanted: that is no news, and nobody is there to ask once more.
        if let Reason::Signal(_) = reason {
            let end = if terminal::is_raw() { "\r\n" } else { "\n" };
            tell(&format!(
                "stopping; once more to quit at once, whatever is switched off then{end}"
            ));
        }
        stop.cancel();
    });
    token
}

/// The kernel gives back leases, and providers end.
fn at_once() -> ! {
    terminal::restore();
    std::process::exit(Exit::Interrupted as i32)
}

fn is_ignored(kind: SignalKind) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (kind.as_raw_value() - 1)) != 0)
}

/// Calls `gone` when the other end of the pipe, socket or terminal that is standard output is closed.
fn watch_output(gone: impl Fn() + Send + 'static) {
    let watch = move || {
        let stdout = io::stdout();
        // Nothing is asked for but what is always told.
        let mut watched = [PollFd::new(stdout.as_fd(), PollFlags::empty())];
        loop {
            match poll(&mut watched, PollTimeout::NONE) {
                Ok(_) => break,
                Err(Errno::EINTR) => {}
                Err(_) => return,
            }
        }
        gone();
    };
    let name = "output".to_owned();
    if let Err(error) = thread::Builder::new().name(name).spawn(watch) {
        tracing::debug!(%error, "that nobody reads standard output will not be seen");
    }
}
