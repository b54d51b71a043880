//! The console: a pseudo-terminal that outlives power cycles.

use std::{
    collections::VecDeque,
    fs, io,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    libc,
    sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr},
};
use tokio::{
    io::unix::AsyncFd,
    net::UnixStream,
    sync::{Notify, mpsc, watch},
    time::{Instant, sleep, sleep_until},
};

use crate::error::BoardError;

/// Output that is kept for a client that is not there or is slow.
const KEPT_OUTPUT: usize = 256 * 1024;
/// Input that is kept for firmware that does not read.
const KEPT_INPUT: usize = 64 * 1024;
/// After this long without anything read, nobody listens: the oldest output goes.
const NOBODY_LISTENS: Duration = Duration::from_secs(1);
/// How soon firmware that was not ready for input is asked again.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Removes the link when dropped.
pub(crate) struct Console {
    link: PathBuf,
    uarts: mpsc::UnboundedSender<UnixStream>,
    lost: watch::Receiver<u64>,
    waiting: Arc<Notify>,
}

impl Console {
    /// Makes the terminal, and `link` point to it.
    pub(crate) fn open(link: PathBuf) -> Result<Self, BoardError> {
        let failed = |source| BoardError::Console {
            path: link.clone(),
            source,
        };
        let (master, slave) = raw_terminal(&link).map_err(failed)?;
        let master = watched(master).map_err(failed)?;
        let (uarts, new_uarts) = mpsc::unbounded_channel();
        let (lost_sender, lost) = watch::channel(0);
        let waiting = Arc::new(Notify::new());
        let pump = Pump {
            master,
            _slave: slave,
            uart: None,
            output: VecDeque::new(),
            input: VecDeque::new(),
            progress: Instant::now(),
            lost: lost_sender,
            waiting: Arc::clone(&waiting),
        };
        tokio::spawn(pump.run(new_uarts));
        Ok(Console {
            link,
            uarts,
            lost,
            waiting,
        })
    }

    /// Notifies, again and again, while something typed has not been taken.
    pub(crate) fn waiting(&self) -> Arc<Notify> {
        Arc::clone(&self.waiting)
    }

    /// Connects the UART of a machine that has just been started.
    pub(crate) fn attach(&self, uart: UnixStream) {
        // The pump ends only with the runtime.
        let _ = self.uarts.send(uart);
    }

    /// Bytes that were thrown away since nobody read them.
    pub(crate) fn lost(&self) -> u64 {
        *self.lost.borrow()
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.link);
    }
}

fn raw_terminal(link: &Path) -> io::Result<(OwnedFd, OwnedFd)> {
    let pty = nix::pty::openpty(None, None)?;
    let mut settings = tcgetattr(&pty.slave)?;
    cfmakeraw(&mut settings);
    tcsetattr(&pty.slave, SetArg::TCSANOW, &settings)?;
    fcntl(&pty.master, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    for fd in [&pty.master, &pty.slave] {
        fcntl(fd, FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC))?;
    }
    let name = nix::unistd::ttyname(pty.slave.as_fd())?;
    // A link that a killed board has left is replaced at once, never missing.
    let new = link.with_extension("new");
    let _ = fs::remove_file(&new);
    std::os::unix::fs::symlink(name, &new)?;
    fs::rename(&new, link)?;
    Ok((pty.master, pty.slave))
}

#[allow(unsafe_code)]
fn watched(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is the same open descriptor until it is dropped.
    Ok(unsafe { AsyncFd::register(fd) }?)
}

struct Pump {
    master: AsyncFd<OwnedFd>,
    /// Kept open so that what nobody has read yet survives a client's closing.
    _slave: OwnedFd,
    uart: Option<UnixStream>,
    output: VecDeque<u8>,
    input: VecDeque<u8>,
    progress: Instant,
    lost: watch::Sender<u64>,
    waiting: Arc<Notify>,
}

impl Pump {
    async fn run(mut self, mut new_uarts: mpsc::UnboundedReceiver<UnixStream>) {
        loop {
            let full = self.output.len() >= KEPT_OUTPUT;
            tokio::select! {
                uart = new_uarts.recv() => match uart {
                    Some(uart) => {
                        self.read_uart(usize::MAX);
                        // Nobody heard what was typed until now.
                        self.forget_typed();
                        self.uart = Some(uart);
                    }
                    None => return,
                },
                () = readable(self.uart.as_ref()), if !full => self.read_uart(KEPT_OUTPUT),
                () = sleep_until(self.progress + NOBODY_LISTENS), if full => self.forget_half(),
                guard = self.master.writable(), if !self.output.is_empty() => {
                    let Ok(mut guard) = guard else { return };
                    let (chunk, _) = self.output.as_slices();
                    match guard.try_io(|fd| Ok(nix::unistd::write(fd, chunk)?)) {
                        Ok(Ok(count)) => {
                            self.output.drain(..count);
                            self.progress = Instant::now();
                        }
                        Ok(Err(_)) => return,
                        Err(_would_block) => {}
                    }
                },
                guard = self.master.readable(), if self.input.len() < KEPT_INPUT => {
                    let Ok(mut guard) = guard else { return };
                    let mut chunk = [0; 4096];
                    match guard.try_io(|fd| Ok(nix::unistd::read(fd, &mut chunk)?)) {
                        // Nobody hears what is typed while power is off.
                        Ok(Ok(count)) if self.uart.is_some() => self.input.extend(&chunk[..count]),
                        Ok(Ok(_)) | Err(_) => {}
                        Ok(Err(_)) => return,
                    }
                },
                () = writable(self.uart.as_ref()), if !self.input.is_empty() => {
                    let (chunk, _) = self.input.as_slices();
                    if let Some(Ok(count)) = self.uart.as_ref().map(|uart| uart.try_write(chunk)) {
                        self.input.drain(..count);
                        self.waiting.notify_one();
                    }
                },
                () = sleep(LOOK_AGAIN), if self.is_untaken() => self.waiting.notify_one(),
            }
        }
    }

    /// Whether something that was sent to the UART is still on its way.
    fn is_untaken(&self) -> bool {
        self.uart.as_ref().is_some_and(|uart| unread(uart) > 0)
    }

    /// Takes what the UART has sent, until there is no more or `limit` is kept.
    fn read_uart(&mut self, limit: usize) {
        let mut chunk = [0; 16 * 1024];
        while let Some(uart) = &self.uart
            && self.output.len() < limit
        {
            if self.output.is_empty() {
                self.progress = Instant::now();
            }
            match uart.try_read(&mut chunk) {
                Ok(count @ 1..) => self.output.extend(&chunk[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Ok(0) | Err(_) => {
                    self.uart = None;
                    self.input.clear();
                }
            }
        }
    }

    fn forget_typed(&mut self) {
        let mut chunk = [0; 4096];
        while matches!(
            nix::unistd::read(self.master.get_ref(), &mut chunk),
            Ok(1..)
        ) {}
        self.input.clear();
    }

    fn forget_half(&mut self) {
        let count = self.output.len() / 2;
        self.output.drain(..count);
        self.lost.send_modify(|lost| *lost += count as u64);
    }
}

/// How much of what was written the other end has not read.
#[allow(unsafe_code)]
fn unread(uart: &UnixStream) -> libc::c_int {
    let mut count = 0;
    // SAFETY: the descriptor is open, and the call writes one integer.
    match unsafe { libc::ioctl(uart.as_raw_fd(), libc::TIOCOUTQ, &raw mut count) } {
        0 => count,
        _ => 0,
    }
}

async fn readable(uart: Option<&UnixStream>) {
    match uart {
        Some(uart) => drop(uart.readable().await),
        None => std::future::pending().await,
    }
}

async fn writable(uart: Option<&UnixStream>) {
    match uart {
        Some(uart) => drop(uart.writable().await),
        None => std::future::pending().await,
    }
}
