//! The board with its cables plugged in.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use serde::Serialize;
use serde_json::{Value, json};
use tokio::{net::TcpListener, process::Command, sync::mpsc};

use crate::{
    board::{Board, BoardConfig, SharedBoard},
    error::BoardError,
    plug, probe,
};

/// TCP ports on the loopback interface; 0 takes any free one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ports {
    /// Of the debug probe.
    pub probe: u16,
    /// Of the smart plug.
    pub plug: u16,
}

/// Where the board's cables are.
#[derive(Debug, Clone, Serialize)]
pub struct Ready {
    /// As it was given.
    pub name: String,
    /// Of this process.
    pub pid: u32,
    /// Selector of the debug probe, as probe-rs wants it.
    pub probe: String,
    /// The console: a terminal, at a path that stays the same.
    pub console: PathBuf,
    /// Base address of the smart plug.
    pub plug: String,
    /// Where the memories are kept.
    pub dir: PathBuf,
    /// There is an Ethernet cable, and the plug switches its carrier.
    #[serde(skip)]
    pub is_cabled: bool,
}

impl Ready {
    /// The one line that the program prints: how the board is wired, as a provider of provebench tells it.
    pub fn line(&self) -> Value {
        let relay = |relay| json!({"driver": "tasmota", "url": self.plug, "relay": relay});
        let mut power = relay(1);
        power["cut_at_write"] = json!(true);
        let mut wiring = json!({
            "probe": {"selector": self.probe},
            "console": {"port": self.console},
            "power": power,
            "actuators": {"reset": relay(2)},
        });
        if self.is_cabled {
            wiring["carrier"] = relay(3);
        }
        json!({"wiring": wiring, "ends_with_lease": true, "about": self})
    }
}

/// A running board.
pub struct VirtualBoard {
    board: SharedBoard,
    faults: mpsc::UnboundedReceiver<BoardError>,
    ready: Ready,
}

impl VirtualBoard {
    /// Plugs everything in; switches the mains on if `powered`.
    pub async fn start(
        config: BoardConfig,
        ports: Ports,
        powered: bool,
    ) -> Result<Self, BoardError> {
        check_emulator(&config.qemu).await?;
        let (probe_listener, probe_port) = listen("debug probe", ports.probe).await?;
        let (plug_listener, plug_port) = listen("smart plug", ports.plug).await?;
        let (board, faults) = Board::open(config)?;
        let ready = {
            let mut board = board.lock().await;
            if powered {
                board.power_on().await?;
            }
            Ready {
                name: board.config().name.clone(),
                pid: std::process::id(),
                probe: format!("1d50:6018:127.0.0.1:{probe_port}"),
                console: board.console_link(),
                plug: format!("http://127.0.0.1:{plug_port}"),
                dir: board.dir().to_owned(),
                is_cabled: board.link().is_some(),
            }
        };
        tokio::spawn(probe::serve(probe_listener, board.clone()));
        tokio::spawn(plug::serve(plug_listener, board.clone()));
        Ok(VirtualBoard {
            board,
            faults,
            ready,
        })
    }

    /// Where its cables are.
    pub fn ready(&self) -> &Ready {
        &self.ready
    }

    /// Returns only when something ends the board: its emulator died.
    pub async fn fault(&mut self) -> BoardError {
        match self.faults.recv().await {
            Some(error) => error,
            // The board holds the sender and we hold the board.
            None => std::future::pending().await,
        }
    }

    /// Switches the mains off and keeps the memories.
    pub async fn stop(self) -> Result<(), BoardError> {
        self.board.lock().await.power_off().await
    }
}

/// A board without emulator says so at once, not when its mains are switched on.
async fn check_emulator(program: &Path) -> Result<(), BoardError> {
    let version = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .status();
    // What else may be wrong with it shows, with its own words, when it is used.
    version
        .await
        .map(drop)
        .map_err(|source| BoardError::QemuMissing {
            program: program.to_owned(),
            source,
        })
}

async fn listen(what: &'static str, port: u16) -> Result<(TcpListener, u16), BoardError> {
    let failed = |source| BoardError::Port { what, port, source };
    let listener = TcpListener::bind(("127.0.0.1", port))
        .await
        .map_err(failed)?;
    let port = listener.local_addr().map_err(failed)?.port();
    Ok((listener, port))
}
