//! One powered machine: the emulator's process and its control sockets.

mod gdb;
mod link;
mod qmp;
mod qtest;

use std::{
    fs::File,
    io,
    os::{
        fd::{AsRawFd as _, OwnedFd, RawFd},
        unix::fs::FileExt as _,
    },
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use nix::{
    fcntl::{FcntlArg, FdFlag, fcntl},
    sys::signal::Signal,
};
use tokio::{
    io::AsyncReadExt as _,
    net::UnixStream,
    process::{Child, ChildStderr, Command},
    sync::mpsc,
    task::JoinHandle,
    time::timeout,
};

pub(crate) use self::{
    gdb::{Gdb, Point, Stop, StopWatch},
    qmp::{ETHERNET, Event, Qmp},
    qtest::Qtest,
};
use crate::{error::BoardError, ethernet::Ethernet};

/// How much of the emulator's standard error is kept for messages.
const KEPT_STDERR: usize = 4096;
const EXIT_TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) struct Machine {
    child: Child,
    /// What it wrote to its standard error; comes when it has closed it.
    said: Option<JoinHandle<Vec<u8>>>,
    /// What the emulator has mapped as non-volatile memory.
    nvm: File,
    nvm_path: PathBuf,
    pub(crate) gdb: Gdb,
    pub(crate) qtest: Qtest,
    pub(crate) qmp: Qmp,
}

/// What is to be watched while a machine runs.
pub(crate) struct Signals {
    pub(crate) stops: StopWatch,
    pub(crate) events: mpsc::UnboundedReceiver<Event>,
}

impl Machine {
    /// Starts the emulator, stopped before its first instruction, with `nvm` mapped.
    /// Returns it with its UART's other end.
    pub(crate) async fn start(
        program: &Path,
        nvm: &Path,
        ethernet: Option<&Ethernet>,
    ) -> Result<(Self, Signals, UnixStream), BoardError> {
        let nvm_path = nvm.to_owned();
        let nvm_file = File::open(nvm).map_err(|source| BoardError::Storage {
            action: "read",
            path: nvm_path.clone(),
            source,
        })?;
        let (gdb, gdb_end) = socket_pair("gdb")?;
        let (qtest, qtest_end) = socket_pair("qtest")?;
        let (qmp, qmp_end) = socket_pair("qmp")?;
        let (uart, uart_end) = socket_pair("console")?;
        let inherited = [gdb_end, qtest_end, qmp_end, uart_end];

        if let Some(ethernet) = ethernet {
            ethernet
                .drop_stale_frames()
                .map_err(|source| BoardError::Link {
                    link: "ethernet",
                    source,
                })?;
        }
        let mut command = Command::new(program);
        command
            .args(arguments(nvm, &inherited, ethernet))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let descriptors = inherited
            .iter()
            .map(std::os::fd::AsRawFd::as_raw_fd)
            .chain(ethernet.map(Ethernet::fd))
            .collect();
        die_with_parent_and_inherit(&mut command, descriptors);
        let mut child = command.spawn().map_err(|source| BoardError::QemuMissing {
            program: program.to_owned(),
            source,
        })?;
        drop(inherited);

        let mut said = child
            .stderr
            .take()
            .map(|stderr| tokio::spawn(tail_of(stderr)));
        match Self::connect(gdb, qtest, qmp).await {
            Ok((gdb, qtest, qmp, events)) => {
                let signals = Signals {
                    stops: gdb.stop_watch(),
                    events,
                };
                let machine = Machine {
                    child,
                    said,
                    nvm: nvm_file,
                    nvm_path,
                    gdb,
                    qtest,
                    qmp,
                };
                Ok((machine, signals, uart))
            }
            // It says on its standard error why it would not start.
            Err(_) => Err(died(&mut child, &mut said).await),
        }
    }

    async fn connect(
        gdb: UnixStream,
        qtest: UnixStream,
        qmp: UnixStream,
    ) -> Result<(Gdb, Qtest, Qmp, mpsc::UnboundedReceiver<Event>), BoardError> {
        let (qmp, events) = Qmp::new(qmp).await?;
        Ok((Gdb::new(gdb).await?, Qtest::new(qtest), qmp, events))
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Reads non-volatile memory past the emulator, which shares its pages with us: a tenth of the time
    /// that its socket takes for a debugger's small reads.
    pub(crate) fn read_nvm(&self, offset: u32, len: usize) -> Result<Vec<u8>, BoardError> {
        let mut bytes = vec![0; len];
        self.nvm
            .read_exact_at(&mut bytes, offset.into())
            .map_err(|source| BoardError::Storage {
                action: "read",
                path: self.nvm_path.clone(),
                source,
            })?;
        Ok(bytes)
    }

    /// Cuts the power: nothing that the emulator might still do is waited for.
    pub(crate) async fn kill(mut self) {
        // Only fails when it has ended already, and kill() reaps it in any case.
        let _ = self.child.kill().await;
    }

    /// Why it ended; to be called after one of its sockets was closed.
    pub(crate) async fn died(&mut self) -> BoardError {
        died(&mut self.child, &mut self.said).await
    }
}

async fn died(child: &mut Child, said: &mut Option<JoinHandle<Vec<u8>>>) -> BoardError {
    let status = if let Ok(Ok(status)) = timeout(EXIT_TIMEOUT, child.wait()).await {
        status.to_string()
    } else {
        let _ = child.kill().await;
        "it closed its sockets and was killed".to_owned()
    };
    let said = match said.take() {
        Some(reader) => timeout(EXIT_TIMEOUT, reader).await,
        None => Ok(Ok(Vec::new())),
    };
    let said = said.ok().and_then(Result::ok).unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    let said = said
        .lines()
        .filter(|line| !line.contains("has no peer"))
        .collect::<Vec<_>>()
        .join("; ");
    BoardError::QemuDied {
        status,
        said: if said.is_empty() {
            "it said nothing".to_owned()
        } else {
            said
        },
    }
}

fn arguments(
    nvm: &Path,
    [gdb, qtest, qmp, uart]: &[OwnedFd; 4],
    ethernet: Option<&Ethernet>,
) -> Vec<String> {
    let chardev = |id: &str, fd: &OwnedFd| format!("socket,id={id},fd={}", fd.as_raw_fd());
    // In the emulator's options a comma is written twice.
    let nvm = nvm.to_string_lossy().replace(',', ",,");
    let backend = format!("memory-backend-file,id=nvm,size=16M,share=on,mem-path={nvm}");
    let pairs = [
        ("-machine", "mps2-an385,memory-backend=nvm".to_owned()),
        ("-object", backend),
        ("-accel", "tcg".to_owned()),
        ("-display", "none".to_owned()),
        // A reset is ours to carry out: the register page is renewed meanwhile.
        ("-action", "reboot=shutdown,shutdown=pause".to_owned()),
        ("-chardev", chardev("gdb", gdb)),
        ("-gdb", "chardev:gdb".to_owned()),
        ("-chardev", chardev("qtest", qtest)),
        ("-qtest", "chardev:qtest".to_owned()),
        ("-qtest-log", "none".to_owned()),
        ("-chardev", chardev("qmp", qmp)),
        ("-mon", "chardev=qmp,mode=control".to_owned()),
        ("-chardev", chardev("uart", uart)),
        ("-serial", "chardev:uart".to_owned()),
    ];
    let mut arguments = vec![
        "-nodefaults".to_owned(),
        "-no-user-config".to_owned(),
        "-S".to_owned(),
    ];
    let nic = match ethernet {
        None => vec![("-nic", "none".to_owned())],
        Some(ethernet) => {
            let fd = ethernet.fd();
            let cable = format!("dgram,id={ETHERNET},local.type=fd,local.str={fd}");
            // The board has its interface on it: only this old option plugs a cable in.
            let nic = format!("nic,netdev={ETHERNET},macaddr={}", ethernet.mac);
            vec![("-netdev", cable), ("-net", nic)]
        }
    };
    for (option, value) in pairs.into_iter().chain(nic) {
        arguments.push(option.to_owned());
        arguments.push(value);
    }
    arguments
}

fn socket_pair(link: &'static str) -> Result<(UnixStream, OwnedFd), BoardError> {
    let pair = || -> io::Result<(UnixStream, OwnedFd)> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        Ok((UnixStream::from_std(ours)?, theirs.into()))
    };
    pair().map_err(|source| BoardError::Link { link, source })
}

/// The emulator is killed by the kernel when we end, even on SIGKILL, and only it
/// gets its ends of the sockets.
#[allow(unsafe_code)]
fn die_with_parent_and_inherit(command: &mut Command, fds: Vec<RawFd>) {
    let parent = nix::unistd::getpid();
    let prepare = move || -> io::Result<()> {
        nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
        if nix::unistd::getppid() != parent {
            return Err(io::Error::from_raw_os_error(nix::libc::ESRCH));
        }
        for &fd in &fds {
            // SAFETY: these descriptors are kept open by the caller over the spawn.
            let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) };
            fcntl(fd, FcntlArg::F_SETFD(FdFlag::empty()))?;
        }
        // An abort of the emulator (the core locks up) is no case for a core dump.
        nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_CORE, 0, 0)?;
        Ok(())
    };
    // SAFETY: between fork and exec only async-signal-safe system calls are made,
    // nothing is allocated.
    unsafe { command.pre_exec(prepare) };
}

async fn tail_of(mut stderr: ChildStderr) -> Vec<u8> {
    let mut said = Vec::new();
    let mut chunk = [0; 1024];
    while let Ok(count @ 1..) = stderr.read(&mut chunk).await {
        said.extend_from_slice(&chunk[..count]);
        let excess = said.len().saturating_sub(KEPT_STDERR);
        said.drain(..excess);
    }
    said
}

/// Where the emulator is looked for by default.
pub fn default_program() -> PathBuf {
    PathBuf::from("qemu-system-arm")
}
