//! A network namespace of one DUT, and threads that live in it.
//!
//! Sockets belong to the namespace of the thread that makes them, so all that runs on [`Namespace::runtime`] is in the
//! DUT's world with ordinary sockets. The namespace is held by descriptors and threads only: it is gone, with all
//! its interfaces, when the process is, however that ended.
//!
//! A namespace needs `CAP_SYS_ADMIN`. Without it, [`enter_user_namespace`] gives the process the capabilities that it
//! needs over its own namespaces, and none over anything else. A thread can't do that for itself (`EINVAL`, see
//! `user_namespaces(7)`), and entering a network namespace takes `CAP_SYS_ADMIN` in the user namespace of the caller
//! too (`setns(2)`): a helper process that makes both would not help. So the process does it as a whole, first thing.

use std::{
    fs::{self, File},
    io,
    os::fd::{AsRawFd as _, OwnedFd, RawFd},
    path::Path,
    sync::{Arc, OnceLock},
    thread,
};

use nix::{
    errno::Errno,
    sched::{CloneFlags, setns, unshare},
    unistd::{getegid, geteuid},
};
use tokio::runtime::{Builder, Runtime};

use crate::{error::NetworkError, sys};

/// Bits of capability masks, `linux/capability.h`.
const CAP_NET_ADMIN: u64 = 1 << 12;
const CAP_NET_RAW: u64 = 1 << 13;
const CAP_SYS_ADMIN: u64 = 1 << 21;
const NEEDED: u64 = CAP_NET_ADMIN | CAP_NET_RAW | CAP_SYS_ADMIN;

/// Lets this process make network namespaces although it is not root: it enters a user namespace of its own, where
/// its user and group stay what they are. Does nothing where the process has the capabilities already.
///
/// From then on programs that are set-user-ID (`sudo`) can't gain anything.
///
/// # Errors
/// [`NetworkError::TooLate`] when the process has other threads, so call it first in `main`;
/// [`NetworkError::Forbidden`] where the system does not allow it.
pub fn enter_user_namespace() -> Result<(), NetworkError> {
    let forbidden = |source| NetworkError::Forbidden { source };
    if effective_capabilities().map_err(forbidden)? & NEEDED == NEEDED {
        return Ok(());
    }
    let threads = fs::read_dir("/proc/self/task").map_err(forbidden)?.count();
    if threads != 1 {
        return Err(NetworkError::TooLate { threads });
    }
    let (user, group) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER).map_err(|errno| forbidden(errno.into()))?;
    // Whoever may not drop groups in the outer world may not do so here: the kernel wants this said first.
    fs::write("/proc/self/setgroups", "deny")
        .and_then(|()| fs::write("/proc/self/uid_map", format!("{user} {user} 1")))
        .and_then(|()| fs::write("/proc/self/gid_map", format!("{group} {group} 1")))
        .map_err(forbidden)
}

/// Whether this process may make network namespaces. Tried once.
pub fn is_allowed() -> bool {
    static ALLOWED: OnceLock<bool> = OnceLock::new();
    *ALLOWED.get_or_init(|| Namespace::create().is_ok())
}

fn effective_capabilities() -> io::Result<u64> {
    let status = fs::read_to_string("/proc/thread-self/status")?;
    status
        .lines()
        .find_map(|line| u64::from_str_radix(line.strip_prefix("CapEff:")?.trim(), 16).ok())
        .ok_or_else(|| io::Error::other("/proc/thread-self/status has no CapEff"))
}

/// Whether this process may take interfaces out of the network namespace that it is in: not after it has entered a user
/// namespace of its own, see [`enter_user_namespace`].
pub fn may_take_interfaces() -> bool {
    Namespace::current().is_ok_and(|here| here.is_ours())
}

/// Does work on a thread of its own that the caller waits for; in the namespace of the caller, to begin with.
pub(super) fn run_here<T: Send>(
    work: impl AsyncFnOnce() -> Result<T, NetworkError> + Send,
) -> Result<T, NetworkError> {
    let starting = NetworkError::setup("starting a thread");
    let on_thread = || {
        let runtime = Builder::new_current_thread().enable_all().build();
        runtime.map_err(&starting)?.block_on(work())
    };
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name("in namespace".into())
            .spawn_scoped(scope, on_thread)
            .map_err(&starting)?;
        let panicked = |_| Err(starting(io::Error::other("the thread panicked")));
        thread.join().unwrap_or_else(panicked)
    })
}

/// A network namespace. It lasts as long as this, or any thread or socket in it.
#[derive(Debug, Clone)]
pub(super) struct Namespace {
    descriptor: Arc<OwnedFd>,
}

impl Namespace {
    /// Makes a namespace with nothing in it but a loopback interface that is down.
    pub(super) fn create() -> Result<Self, NetworkError> {
        let make = || {
            unshare(CloneFlags::CLONE_NEWNET)?;
            File::open("/proc/thread-self/ns/net")
        };
        // A thread of its own, so that the caller's stays where it is.
        let file = thread::scope(|scope| {
            thread::Builder::new()
                .name("new namespace".into())
                .spawn_scoped(scope, make)?
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("the thread panicked")))
        });
        match file {
            Ok(file) => Ok(Self {
                descriptor: Arc::new(file.into()),
            }),
            Err(source) => Err(NetworkError::Forbidden { source }),
        }
    }

    /// That of the calling thread.
    pub(super) fn current() -> io::Result<Self> {
        Self::open(Path::new("/proc/thread-self/ns/net"))
    }

    /// The one that a file in `/proc/PID/ns` stands for.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            descriptor: Arc::new(File::open(path)?.into()),
        })
    }

    /// Whether this process may change what is in it.
    pub(super) fn is_ours(&self) -> bool {
        let is_capable = effective_capabilities().is_ok_and(|mask| mask & NEEDED == NEEDED);
        is_capable && sys::is_ours(&self.descriptor)
    }

    /// Something to call it by in netlink messages.
    pub(super) fn as_raw_fd(&self) -> RawFd {
        self.descriptor.as_raw_fd()
    }

    /// Does work in the namespace, on a thread of its own that the caller waits for.
    pub(super) fn run<T: Send>(
        &self,
        work: impl AsyncFnOnce() -> Result<T, NetworkError> + Send,
    ) -> Result<T, NetworkError> {
        let entering = NetworkError::setup("entering a network namespace");
        run_here(async || {
            self.enter().map_err(|errno| entering(errno.into()))?;
            work().await
        })
    }

    /// Moves the calling thread into the namespace, for good.
    pub(super) fn enter(&self) -> Result<(), Errno> {
        setns(&*self.descriptor, CloneFlags::CLONE_NEWNET)
    }

    /// A runtime all of whose threads, also those for blocking calls, are in the namespace.
    pub(super) fn runtime(&self, name: &str, workers: usize) -> Result<Runtime, NetworkError> {
        let namespace = self.clone();
        Builder::new_multi_thread()
            .worker_threads(workers)
            .thread_name(name)
            .enable_all()
            .on_thread_start(move || {
                if let Err(errno) = namespace.enter() {
                    // It would speak to the lab's network instead of the DUT's, and there is no way to refuse a
                    // thread. It can't happen to whoever made the namespace.
                    tracing::error!(%errno, "a thread of the bench network can't enter its namespace");
                    std::process::abort();
                }
            })
            .build()
            .map_err(NetworkError::setup("starting the runtime"))
    }
}
