//! A conversation with equipment at a serial port or behind a TCP port. It is opened for each command and closed after
//! it, so that devices on other outputs of the same equipment, and other processes, get their turn.

use std::{
    collections::HashMap,
    fmt, io,
    net::SocketAddr,
    os::{
        linux::net::SocketAddrExt as _,
        unix::{self, net::UnixDatagram},
    },
    path::{Path, PathBuf},
    sync::{Arc, LazyLock, Mutex, PoisonError, Weak},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpStream, lookup_host},
    sync::{Mutex as AsyncMutex, OwnedMutexGuard},
    time::{Instant, sleep, timeout_at},
};
use tokio_serial::{SerialPortBuilderExt as _, SerialStream};

/// Another process has the equipment for about as long as one command takes: it is tried this often.
const RETRY: Duration = Duration::from_millis(50);
/// Most bytes that an answer may have.
const LONGEST: usize = 4096;

/// Where the equipment is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Endpoint {
    Serial { port: PathBuf, baud: u32 },
    Tcp { host: String, port: u16 },
}

/// An open conversation.
pub(super) struct Line {
    stream: Box<dyn Stream>,
    deadline: Instant,
    _turn: OwnedMutexGuard<()>,
    _turn_of_all: Option<UnixDatagram>,
}

/// Why nothing, or nothing whole, came back.
#[derive(Debug)]
pub(super) enum LineError {
    Io(io::Error),
    /// In time came no more than this.
    Late(Vec<u8>),
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Line {
    /// Opens it, and gives it so long for all that follows.
    pub(super) async fn open(endpoint: &Endpoint, limit: Duration) -> Result<Self, LineError> {
        let deadline = Instant::now() + limit;
        let late = |_| LineError::Late(Vec::new());
        let turn = turn(endpoint).lock_owned();
        let turn = timeout_at(deadline, turn).await.map_err(late)?;
        let mut turn_of_all = None;
        let stream: Box<dyn Stream> = match endpoint {
            Endpoint::Serial { port, baud } => Box::new(open_serial(port, *baud, deadline).await?),
            Endpoint::Tcp { host, port } => {
                let addresses = lookup_host((&**host, *port));
                let addresses = timeout_at(deadline, addresses).await.map_err(late)??;
                let addresses: Vec<SocketAddr> = addresses.collect();
                if let Some(first) = addresses.iter().min() {
                    turn_of_all = Some(turn_of_all_processes(*first, deadline).await?);
                }
                let connected = TcpStream::connect(&*addresses);
                let stream = timeout_at(deadline, connected).await.map_err(late)??;
                // Small messages, of which one waits for the other's answer.
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
        };
        Ok(Self {
            stream,
            deadline,
            _turn: turn,
            _turn_of_all: turn_of_all,
        })
    }

    pub(super) async fn send(&mut self, data: &[u8]) -> Result<(), LineError> {
        let sent = async {
            self.stream.write_all(data).await?;
            self.stream.flush().await
        };
        match timeout_at(self.deadline, sent).await {
            Ok(sent) => Ok(sent?),
            Err(_) => Err(LineError::Late(Vec::new())),
        }
    }

    /// Reads until `complete` finds in it what it looks for.
    pub(super) async fn read<T>(
        &mut self,
        complete: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<T, LineError> {
        let mut read = Vec::new();
        loop {
            let mut chunk = [0; 256];
            match timeout_at(self.deadline, self.stream.read(&mut chunk)).await {
                Err(_) => return Err(LineError::Late(read)),
                Ok(Err(error)) => return Err(error.into()),
                Ok(Ok(0)) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                Ok(Ok(count)) => read.extend_from_slice(&chunk[..count]),
            }
            if let Some(found) = complete(&read) {
                return Ok(found);
            }
            if read.len() > LONGEST {
                return Err(LineError::Late(read));
            }
        }
    }
}

impl From<io::Error> for LineError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Serial { port, .. } => write!(f, "{}", port.display()),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

/// Whose turn it is among the switches of this process.
fn turn(endpoint: &Endpoint) -> Arc<AsyncMutex<()>> {
    type Turns = HashMap<String, Weak<AsyncMutex<()>>>;
    static TURNS: LazyLock<Mutex<Turns>> = LazyLock::new(Mutex::default);
    let mut turns = TURNS.lock().unwrap_or_else(PoisonError::into_inner);
    turns.retain(|_, turn| turn.strong_count() > 0);
    let entry = turns.entry(endpoint.to_string()).or_default();
    entry.upgrade().unwrap_or_else(|| {
        let turn = Arc::default();
        *entry = Arc::downgrade(&turn);
        turn
    })
}

/// Whose turn it is among the processes of this machine: what one has selected, another must not switch. Only one socket can
/// have the name, and it ends with its process.
async fn turn_of_all_processes(
    equipment: SocketAddr,
    deadline: Instant,
) -> io::Result<UnixDatagram> {
    let name = unix::net::SocketAddr::from_abstract_name(format!("provebench/{equipment}"))?;
    loop {
        match UnixDatagram::bind_addr(&name) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < deadline => {
                sleep(RETRY).await;
            }
            result => return result,
        }
    }
}

/// For exclusive use: a lock that ends with the process.
async fn open_serial(port: &Path, baud: u32, deadline: Instant) -> io::Result<SerialStream> {
    loop {
        let error = match tokio_serial::new(port.to_string_lossy(), baud).open_native_async() {
            Ok(stream) => return Ok(stream),
            Err(error) => error,
        };
        // What serialport says of a port that somebody else has.
        let is_busy = error.kind() == tokio_serial::ErrorKind::NoDevice && port.exists();
        if !is_busy || Instant::now() >= deadline {
            return Err(error.into());
        }
        sleep(RETRY).await;
    }
}
