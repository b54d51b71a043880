//! The broker itself: mosquitto as a child process, on a Unix socket that only we and the bench's own client use.

use std::{
    collections::VecDeque,
    fmt::Write as _,
    fs::{self, File},
    io,
    os::{fd::AsRawFd as _, unix::fs::MetadataExt as _},
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use nix::unistd::Uid;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader},
    net::UnixStream,
    process::{Child, Command},
    runtime::Handle,
    sync::{Mutex as AsyncMutex, OnceCell},
    time::{sleep, timeout},
};

use crate::services::error::ServiceError;

/// It listens within milliseconds.
const START_LIMIT: Duration = Duration::from_secs(20);
/// Between looks for its socket.
const LOOK: Duration = Duration::from_millis(5);
/// Lines and bytes of its messages that are kept.
const LINES: usize = 50;
const LONGEST_LINE: u64 = 1024;
/// Largest message that goes through the broker, in bytes. Our front cuts at the same.
pub(super) const LARGEST_PACKET: usize = 256 * 1024;

/// In the broker's folder, where it runs: whatever TMPDIR is, it is no part of a socket's address, which is short, nor of the
/// broker's configuration, where a blank ends a name.
const SOCKET: &str = "mqtt.sock";
const CONFIG: &str = "mosquitto.conf";
/// How the names of the folders for both begin.
const FOLDER: &str = "provebench-mqtt-";

/// A broker that is started when it is first needed: a product that has none costs no process, and one that speaks to some
/// all the same is heard.
pub(super) struct LazyBroker {
    handle: Handle,
    program: PathBuf,
    broker: OnceCell<Broker>,
}

impl LazyBroker {
    pub(super) fn new(handle: &Handle, program: PathBuf) -> Self {
        Self {
            handle: handle.clone(),
            program,
            broker: OnceCell::new(),
        }
    }

    /// Starts it, if nobody did.
    pub(super) async fn get(&self) -> Result<&Broker, ServiceError> {
        let start = || Broker::start(&self.handle, &self.program);
        self.broker.get_or_try_init(start).await
    }

    /// Whether it still runs, if it was started.
    pub(super) async fn health(&self) -> Result<(), ServiceError> {
        match self.broker.get() {
            Some(broker) => broker.health().await,
            None => Ok(()),
        }
    }
}

/// A running broker. Dropped, it is killed.
pub(super) struct Broker {
    place: Place,
    child: AsyncMutex<Child>,
    messages: Messages,
    /// Removed in the end.
    _dir: TempDir,
}

/// A folder, by a name that is short whatever its path is.
struct Place(File);

impl Place {
    fn of(folder: &Path) -> io::Result<Self> {
        File::open(folder).map(Self)
    }

    fn socket(&self) -> PathBuf {
        format!("/proc/self/fd/{}/{SOCKET}", self.0.as_raw_fd()).into()
    }
}

impl Broker {
    pub(super) async fn start(handle: &Handle, program: &Path) -> Result<Self, ServiceError> {
        Self::start_in(&std::env::temp_dir(), handle, program).await
    }

    async fn start_in(base: &Path, handle: &Handle, program: &Path) -> Result<Self, ServiceError> {
        let dir = tempfile::Builder::new()
            .prefix(FOLDER)
            .tempdir_in(base)
            .map_err(|source| ServiceError::BrokerFolder {
                dir: base.into(),
                source,
            })?;
        let place = Place::of(dir.path());
        let written = place.and_then(|place| {
            fs::write(dir.path().join(CONFIG), configuration())?;
            Ok(place)
        });
        let place = written.map_err(|source| ServiceError::BrokerFolder {
            dir: dir.path().into(),
            source,
        })?;
        let program = program.to_owned();
        let task = handle.spawn(async move {
            let (child, messages) = spawn(&program, dir.path())
                .map_err(|source| ServiceError::NoBroker { program, source })?;
            let broker = Self {
                place,
                _dir: dir,
                child: AsyncMutex::new(child),
                messages,
            };
            broker.wait_until_it_listens().await?;
            Ok(broker)
        });
        task.await.unwrap_or_else(|error| {
            Err(ServiceError::Broker {
                what: "was not started".into(),
                messages: error.to_string(),
            })
        })
    }

    /// Where it listens.
    pub(super) fn socket(&self) -> PathBuf {
        self.place.socket()
    }

    /// Whether it still runs.
    pub(super) async fn health(&self) -> Result<(), ServiceError> {
        match self.child.lock().await.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(self.failed(format!("has ended ({status})"))),
            Err(error) => Err(self.failed(format!("can't be asked ({error})"))),
        }
    }

    async fn wait_until_it_listens(&self) -> Result<(), ServiceError> {
        let socket = self.socket();
        let listens = async {
            while UnixStream::connect(&socket).await.is_err() {
                self.health().await?;
                sleep(LOOK).await;
            }
            Ok(())
        };
        match timeout(START_LIMIT, listens).await {
            Ok(result) => result,
            Err(_) => Err(self.failed(format!("does not listen after {START_LIMIT:?}"))),
        }
    }

    fn failed(&self, what: String) -> ServiceError {
        ServiceError::Broker {
            what,
            messages: self.messages.text(),
        }
    }
}

/// Folders of brokers that are dead: a run that was killed could not remove them. Only this user's.
pub fn broker_leftovers() -> Vec<PathBuf> {
    leftovers_in(&std::env::temp_dir())
}

fn leftovers_in(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut found: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(FOLDER))
        .map(|entry| entry.path())
        .filter(|path| is_dead(path))
        .collect();
    found.sort();
    found
}

/// Whether nobody listens there, and nobody is about to.
fn is_dead(folder: &Path) -> bool {
    // Not of a link: those are not ours.
    let Ok(found) = fs::symlink_metadata(folder) else {
        return false;
    };
    let is_ours = found.is_dir() && found.uid() == Uid::effective().as_raw();
    let age = found.modified().ok().and_then(|at| at.elapsed().ok());
    is_ours
        && age.is_some_and(|age| age > 2 * START_LIMIT)
        && Place::of(folder)
            .and_then(|place| std::os::unix::net::UnixStream::connect(place.socket()))
            .is_err()
}

/// `setpriv` (util-linux) has the kernel kill the broker when we die, however that is.
fn spawn(program: &Path, folder: &Path) -> io::Result<(Child, Messages)> {
    let program = which(program)?;
    let mut child = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--"])
        .arg(program)
        .args(["-c", CONFIG])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let messages = Messages::default();
    if let Some(stderr) = child.stderr.take() {
        tokio::spawn(messages.clone().collect(stderr));
    }
    Ok((child, messages))
}

/// Debian keeps mosquitto in /usr/sbin, which is not in everybody's PATH.
fn which(program: &Path) -> io::Result<PathBuf> {
    if program.components().count() > 1 {
        return program.canonicalize();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
        .ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// Whatever the DUT sends, the broker's memory is bounded; whatever it asks for, it may have.
fn configuration() -> String {
    let mut text = format!("listener 0 {SOCKET}\n");
    // Without `user root` it would change to a user who can't write to our folder. It is not root unless we are.
    for line in [
        "user root",
        "allow_anonymous true",
        "persistence false",
        "log_dest stderr",
        "log_type error",
        "log_type warning",
        "sys_interval 0",
        "max_connections 256",
        "max_inflight_messages 20",
        "max_queued_messages 1000",
        "max_queued_bytes 16777216",
        "memory_limit 134217728",
        "retain_available true",
    ] {
        text.push_str(line);
        text.push('\n');
    }
    let _ = writeln!(text, "max_packet_size {LARGEST_PACKET}");
    text
}

/// The last of what the broker said.
#[derive(Clone, Default)]
struct Messages(Arc<Mutex<VecDeque<String>>>);

impl Messages {
    async fn collect(self, stderr: impl AsyncRead + Unpin) {
        let mut stderr = BufReader::new(stderr);
        let mut line = Vec::new();
        loop {
            line.clear();
            let mut limited = (&mut stderr).take(LONGEST_LINE);
            if limited.read_until(b'\n', &mut line).await.unwrap_or(0) == 0 {
                return;
            }
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if lines.len() == LINES {
                lines.pop_front();
            }
            lines.push_back(text);
        }
    }

    fn text(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.is_empty() {
            return "it said nothing".into();
        }
        lines.iter().cloned().collect::<Vec<_>>().join("; ")
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::blanks("My Job@tmp (1) #2")]
    #[case::quotes("it's \"here\"")]
    #[case::not_ascii("é\u{2028}ä")]
    #[case::long(&"0123456789/".repeat(30))]
    #[tokio::test]
    async fn it_listens_in_whatever_folder(#[case] name: &str) {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().join(name);
        fs::create_dir_all(&base).unwrap();
        let broker = Broker::start_in(&base, &Handle::current(), Path::new("mosquitto"))
            .await
            .unwrap();
        UnixStream::connect(broker.socket()).await.unwrap();
        let inside = fs::read_dir(&base).unwrap().next().unwrap().unwrap().path();
        assert!(!is_dead(&inside));
    }

    #[tokio::test]
    async fn a_folder_that_is_missing_is_named() {
        let base = Path::new("/nowhere/at all");
        let error = Broker::start_in(base, &Handle::current(), Path::new("mosquitto")).await;
        let error = error.err().unwrap().to_string();
        assert!(error.contains("/nowhere/at all"), "{error}");
    }
}
