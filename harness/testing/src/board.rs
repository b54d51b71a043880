//! A virtual board that was started by hand and is wired as any board is: a probe, a console and a plug.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rstest::fixture;
use serde_json::Value;

use crate::TestBench;

/// A running board, switched on. Dropped, it ends.
pub struct Board {
    child: Child,
    /// Selector of its debug probe.
    pub probe: String,
    /// Path of its serial port.
    pub console: String,
    /// URL of its plug.
    pub plug: String,
}

impl Board {
    /// Starts one whose memory is in `dir`.
    pub fn start(dir: &Path) -> Self {
        let this = std::env::current_exe().expect("a program");
        // Tests are in `deps` of the folder that programs are in.
        let folder = this.ancestors().nth(2).expect("a folder");
        let program = folder.join("virtual-board");
        let mut child = Command::new(program)
            .args(["--name", "wired", "--power", "on", "--dir"])
            .arg(dir.join("board"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the virtual board is built beside the harness");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap();
        let text = |name: &str| ready["about"][name].as_str().unwrap().to_owned();
        Self {
            probe: text("probe"),
            console: text("console"),
            plug: text("plug"),
            child,
        }
    }

    /// Itself for `devices.toml`, as device `wired`.
    pub fn device(&self) -> String {
        let Self {
            probe,
            console,
            plug,
            ..
        } = self;
        format!(
            "[[device]]\nname = \"wired\"\ntarget = \"reference-sensor\"\n\
             label = {{ serial = \"PB250113\", password = \"Jx4u-Ly9n-Tb7s\" }}\n\
             probe = {{ selector = \"{probe}\" }}\n\
             console = {{ port = \"{console}\" }}\n\
             power = {{ driver = \"tasmota\", url = \"{plug}\", relay = 1 }}\n"
        )
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// A board with equipment, and a bench that it is on.
pub struct World {
    // Ends before its folder does.
    pub board: Board,
    pub bench: TestBench,
}

#[fixture]
pub fn world() -> World {
    let bench = TestBench::of_sensors([]);
    let board = Board::start(bench.root());
    bench.append("devices.toml", &board.device());
    World { board, bench }
}
