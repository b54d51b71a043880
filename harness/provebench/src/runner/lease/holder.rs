//! Who has a lease, as written into its file.

use std::{
    fmt,
    fs::File,
    io::{self, Read, Seek, Write},
    os::fd::AsFd,
    path::Path,
};

use nix::{
    fcntl::{FcntlArg, fcntl},
    libc,
    unistd::{Uid, User},
};
use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::LeaseError;
use super::folder::open_found;
use provebench_record::text::one_line;

/// Nobody needs more to know who holds a lease.
const LONGEST_TEXT: u64 = 1024;

/// Who has a device, or waits for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Process.
    pub pid: u32,
    /// Name of the user, or number where there is no name.
    pub user: String,
    /// What for.
    pub purpose: String,
    /// Since when, UTC, RFC 3339.
    pub since: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            pid,
            user,
            purpose,
            since,
        } = self;
        write!(f, "process {pid} ({purpose}) since {since}, user {user}")
    }
}

impl Holder {
    /// This process, from now on.
    pub(super) fn new(purpose: &str) -> Self {
        let uid = Uid::current();
        let user = User::from_uid(uid).ok().flatten();
        let now = OffsetDateTime::now_utc().truncate_to_second();
        Self {
            pid: std::process::id(),
            user: user.map_or_else(|| uid.to_string(), |user| user.name),
            purpose: purpose.chars().take(300).collect(),
            since: now.format(&Rfc3339).unwrap_or_default(),
        }
    }

    fn unknown() -> Self {
        Self {
            pid: 0,
            user: "unknown".into(),
            purpose: "unknown".into(),
            since: "unknown".into(),
        }
    }

    /// What is in a file.
    pub(super) fn read(text: &[u8]) -> Self {
        let written = serde_json::from_slice(text);
        written.map_or_else(|_| Self::unknown(), Self::harmless)
    }

    /// As anybody may have written it: nothing of it is for terminals to obey.
    fn harmless(self) -> Self {
        Self {
            pid: self.pid,
            user: one_line(&self.user, 40),
            purpose: one_line(&self.purpose, 300),
            since: one_line(&self.since, 40),
        }
    }

    /// Writes it into a file that is locked already, with a mark that others can look for.
    pub(super) fn write(&self, file: &mut File) -> io::Result<()> {
        fcntl(file.as_fd(), FcntlArg::F_OFD_SETLK(&mark(libc::F_WRLCK)))?;
        let text = serde_json::to_vec(self)?;
        file.set_len(0)?;
        file.rewind()?;
        file.write_all(&text)
    }
}

/// Takes the mark off.
pub(super) fn unmark(file: &File) -> io::Result<()> {
    fcntl(file.as_fd(), FcntlArg::F_OFD_SETLK(&mark(libc::F_UNLCK)))?;
    Ok(())
}

/// A lock that nobody waits for. Unlike `flock`, it can be asked for without taking it, which would keep others off
/// for a moment.
fn mark(kind: libc::c_int) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 1,
        l_pid: 0,
    }
}

/// Who holds the file, if anybody does.
pub(super) fn of(path: &Path) -> Result<Option<Holder>, LeaseError> {
    let fail = |source: io::Error| LeaseError::file(path, source);
    let Some(file) = open_found(path).map_err(fail)? else {
        return Ok(None);
    };
    let mut found = mark(libc::F_WRLCK);
    fcntl(file.as_fd(), FcntlArg::F_OFD_GETLK(&mut found)).map_err(|errno| fail(errno.into()))?;
    if found.l_type == libc::F_UNLCK as libc::c_short {
        return Ok(None);
    }
    let mut text = Vec::new();
    let _ = file.take(LONGEST_TEXT).read_to_end(&mut text);
    Ok(Some(Holder::read(&text)))
}
