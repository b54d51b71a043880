//! The command line as its users meet it: output, files, exit codes, signals.
//!
//! The devices here have a console that nobody answers on and no other equipment, so that whatever
//! a test case's script says happens at once; runs on boards are tested elsewhere.

mod attempts;
mod changes;
mod commands;
mod doctor;
mod documented_steps;
mod documents;
mod errors;
mod examples;
mod filter;
mod floods;
mod interrupt;
mod library;
mod probeless;
mod provided;
mod reports;
mod resume;
mod rows;
mod sharing;
mod shells;
mod standard;
mod standstill;
mod switched_power;
mod units;
mod verdicts;

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use assert_cmd::Command;
use nix::pty::{OpenptyResult, openpty};
use nix::unistd::ttyname;
use provebench_testing::TestBench;
use serde_json::Value;

/// A bench with two devices, and test cases to be written.
struct Cli {
    bench: TestBench,
    consoles: [OpenptyResult; 2],
}

impl Cli {
    fn new() -> Self {
        let bench = TestBench::new();
        let consoles = [(); 2].map(|()| openpty(None, None).unwrap());
        let device = |name: &str, tag: &str, console: &OpenptyResult| {
            let port = ttyname(&console.slave).unwrap();
            format!(
                "[[device]]\nname = \"{name}\"\ntarget = \"sensor\"\ntags = [\"{tag}\"]\nconsole = {{ port = \"{}\" }}\n\n",
                port.display()
            )
        };
        let devices = [
            device("one", "left", &consoles[0]),
            device("two", "right", &consoles[1]),
        ];
        bench.write("devices.toml", devices.concat());
        Self { bench, consoles }
    }

    /// Adds a test case. `arguments` are further ones of `case()`; each unit is its letter and body.
    fn case(&self, id: &str, arguments: &str, units: &[(char, &str)]) -> &Self {
        let mut script =
            format!("\"\"\"What {id} shows.\"\"\"\n\ncase(id = \"{id}\", {arguments})\n");
        for (letter, body) in units {
            let _ = write!(
                script,
                "\ndef unit_{letter}(t):\n    \"What unit {letter} proves.\"\n    {body}\n"
            );
        }
        let clause = id.split('-').next().unwrap();
        self.bench
            .write(&format!("testcases/{clause}/{id}.star"), script);
        self
    }

    fn passing(&self) -> &Self {
        self.case(
            "5.1-1-2",
            "unread = {\"1-AuthMech\": \"nobody logs in\"}",
            &[('a', "t.expect(True, \"never\")")],
        )
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PathBuf::from(env!("CARGO_BIN_EXE_provebench")));
        command
            .current_dir(self.bench.root())
            .env("PROVEBENCH_LEASES", self.bench.root().join("leases"))
            .env_remove("PROVEBENCH_DEVICES")
            .args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> assert_cmd::assert::Assert {
        self.command(&["run"]).args(arguments).assert()
    }

    /// `provebench` with these words, beside which the test is to go on.
    fn program(&self, words: &[&str]) -> std::process::Command {
        let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_provebench"));
        program
            .args(words)
            .current_dir(self.bench.root())
            .env("PROVEBENCH_LEASES", self.bench.root().join("leases"))
            .stdin(Stdio::null());
        program
    }

    /// Begins `provebench run` with these words, and keeps what it says.
    fn begin(&self, words: &[&str]) -> Child {
        self.program(&["run"])
            .args(words)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// `results.json` of the latest run.
    fn results(&self) -> Value {
        serde_json::from_slice(&self.read("runs/latest/results.json")).unwrap()
    }

    fn read(&self, path: &str) -> Vec<u8> {
        fs::read(self.bench.root().join(path)).unwrap()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}
