//! The bench that the scripts of these tests run on.

#![allow(unreachable_pub)] // there is no other way out of a test

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Query, State};
use axum::routing::get;
use nix::pty::openpty;
use nix::unistd::ttyname;
use provebench_bench::inventory::Inventory;
use provebench_bench::{Bench, BenchLogs, BenchOptions};
use provebench_record::event::{Outcome, Step};
use provebench_record::evidence::CaseEvidence;
use provebench_script::{Attestations, Driver, Limit, Session, Setup, Suite, UnitEnd};
use serde_json::json;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use provebench_testing::TestBench;

/// Long enough on any machine; waited for only when a test fails.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// What is before the body of the unit in the script: its first line is line 6.
const HEAD: &str = r#""""A case."""

case(id = "5.11-1-2")

def unit_a(t):
    "A unit."
"#;

/// Line of the script that the first line of the unit's body is.
pub const FIRST_LINE: usize = 7;

/// A wired device with a console and a power switch, and a driver.
pub struct World {
    pub files: TestBench,
    pub runtime: Runtime,
    pub plug: Arc<Plug>,
    pub cancel: CancellationToken,
    pub deadline: Duration,
    /// Memory of a function, and how long it may go on after the deadline, if other than usual.
    pub bounds: Option<(usize, Duration)>,
    pub seed: u64,
    _port: OwnedFd,
}

/// What a run left behind.
pub struct Report {
    /// The first of the worst, where the unit runs for each row.
    pub result: UnitEnd,
    /// How each run of the unit ended.
    pub runs: Vec<(String, Outcome)>,
    pub steps: Vec<Step>,
}

/// A plug that counts the DUT's writes.
#[derive(Default)]
pub struct Plug {
    on: Mutex<bool>,
    armed: Mutex<Option<u64>>,
    pub writes: AtomicU64,
    /// It takes the power away when the button is pressed.
    pub trips: AtomicBool,
}

impl World {
    /// The bench is sound, the DUT answers as [`answer`] says.
    pub fn new() -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let plug = Arc::new(Plug::default());
        let url = serve(&runtime, plug.clone());
        let pty = openpty(None, None).expect("a pseudo terminal");
        let port = ttyname(&pty.slave).expect("it has a name");
        play(File::from(pty.master));

        let files = TestBench::new();
        files
            .replace("devices.toml", "probe = { selector = \"1366:1015:0001\", protocol = \"swd\", speed_khz = 4000 }\n", "")
            .replace("devices.toml", "/dev/serial/by-id/usb-1", &port.display().to_string())
            .replace(
                "devices.toml",
                "power = { driver = \"tasmota\", url = \"http://10.0.0.5\", relay = 1 }",
                &format!("power = {{ driver = \"tasmota\", url = \"{url}\", relay = 1, cut_at_write = true }}"),
            )
            .replace("devices.toml", "http://10.0.0.5", &url);
        Self {
            files,
            runtime,
            plug,
            cancel: CancellationToken::new(),
            deadline: 3 * PATIENCE,
            bounds: None,
            seed: 1,
            _port: pty.slave,
        }
    }

    /// With another power switch than the plug.
    pub fn power(self, power: &str) -> Self {
        let text = fs::read_to_string(self.files.devices()).expect("devices.toml");
        let old = text.lines().find(|line| line.starts_with("power ="));
        self.files
            .replace("devices.toml", old.expect("it has power"), power);
        self
    }

    /// With another console.
    pub fn console(self, port: &str) -> Self {
        let text = fs::read_to_string(self.files.devices()).expect("devices.toml");
        let old = text.split('"').find(|word| word.starts_with("/dev/pts/"));
        self.files
            .replace("devices.toml", old.expect("it has a console"), port);
        self
    }

    pub fn driver(self, text: &str) -> Self {
        self.files.write("targets/sensor/driver.star", text);
        self
    }

    /// Runs a unit with that body.
    pub fn run(&self, body: &str) -> Report {
        let body = body.replace('\n', "\n    ");
        self.run_file(&format!("{HEAD}    {body}\n"))
    }

    /// Runs unit a of that script.
    pub fn run_file(&self, script: &str) -> Report {
        self.files.write("cases/5.11/5.11-1-2.star", script);
        self.run_unit('a')
    }

    /// Runs a unit of the only case that there is.
    pub fn run_unit(&self, letter: char) -> Report {
        let suite = Suite::load(Some(&self.files.root().join("cases")));
        let suite = suite.unwrap_or_else(|e| panic!("{:?}", miette::Report::new(e)));
        let case = &suite.cases()[0];
        let limit = Limit::new(self.deadline, self.cancel.clone());
        let limit = match self.bounds {
            Some((memory, grace)) => limit.bounded(memory, grace),
            None => limit,
        };
        let ((result, runs), steps) = self.session(|session| {
            let unit = case.units.iter().find(|unit| unit.letter == letter);
            let unit = unit.expect("the case has the unit");
            let mut worst: Option<UnitEnd> = None;
            let mut names = Vec::new();
            for run in case.runs_of(unit, session.ixit()) {
                let result = session.run(case, &run, &limit);
                names.push((run.name.to_string(), result.outcome()));
                if worst
                    .as_ref()
                    .is_none_or(|worst| worst.outcome() < result.outcome())
                {
                    worst = Some(result);
                }
            }
            (worst.expect("it has a run"), names)
        });
        Report {
            result,
            runs,
            steps,
        }
    }

    /// Does something in a session on the open bench.
    pub fn session<R>(&self, work: impl FnOnce(&Arc<Session>) -> R) -> (R, Vec<Step>) {
        let inventory = Inventory::load(&self.files.devices(), &self.files.targets())
            .unwrap_or_else(|e| panic!("{:?}", miette::Report::new(e)));
        let (device, siblings) = inventory.devices.split_first().expect("two devices");
        let driver = Driver::load(&device.target.driver)
            .unwrap_or_else(|e| panic!("{:?}", miette::Report::new(e)));
        let evidence = self.files.root().join("evidence");
        fs::create_dir_all(&evidence).expect("a folder");
        let origin = Instant::now();
        let options = BenchOptions {
            logs: BenchLogs {
                console: self.files.root().join("console.log"),
                origin,
                ..BenchLogs::default()
            },
            ..BenchOptions::default()
        };
        let bench = self.runtime.block_on(Bench::open(device, &options));
        let bench = bench.unwrap_or_else(|e| panic!("{:?}", miette::Report::new(e)));
        let attestations = Attestations::load(&self.files.root().join("attestations.toml"), &[]);
        let bench = Arc::new(bench);
        let steps = Arc::new(Mutex::new(Vec::new()));
        let result = {
            let attestations = attestations.expect("it is in order");
            let evidence = CaseEvidence::at(&evidence);
            let kept = steps.clone();
            let setup = Setup {
                bench: bench.clone(),
                device: device.clone(),
                siblings: siblings.to_vec(),
                driver: Arc::new(driver),
                memory: Arc::default(),
                attestations: Arc::new(attestations),
                evidence,
                sink: Arc::new(move |step| kept.lock().expect("no panic").push(step)),
                origin,
                seed: self.seed,
            };
            work(&Session::new(setup, self.runtime.handle().clone()))
        };
        let bench = Arc::into_inner(bench).expect("no script has it any more");
        self.runtime
            .block_on(bench.close())
            .unwrap_or_else(|e| panic!("{:?}", miette::Report::new(e)));
        let steps = Arc::into_inner(steps).expect("no script has them any more");
        (result, steps.into_inner().expect("no panic"))
    }
}

impl Report {
    pub fn names(&self) -> Vec<&str> {
        self.steps.iter().map(|step| step.name.as_str()).collect()
    }

    pub fn step(&self, name: &str) -> &Step {
        let mut steps = self.steps.iter().filter(|step| step.name == name);
        steps
            .next()
            .unwrap_or_else(|| panic!("{name} in {:?}", self.names()))
    }
}

/// What the DUT prints when it is sent a line.
fn answer(line: &str) -> Vec<u8> {
    match line {
        "garbage" => {
            let every_byte: Vec<u8> = (0..=255).collect();
            [
                &every_byte,
                "\u{202e}]]>\x1b[2J\x1b]0;x\x07 end\r\n".as_bytes(),
            ]
            .concat()
        }
        "flood" => b"0123456789abcdef".repeat(65_536),
        line => format!("you said {line}\r\n> ").into_bytes(),
    }
}

/// A product's console for someone who is not logged in; `be NAME` at the DUT's makes it one.
#[derive(Clone, Copy)]
enum Shell {
    /// Repeats what it is told.
    Parrot,
    /// getty, which asks for a name; login, which asks for a password. One user may get in, by its own name.
    Getty { user: Option<User>, asks: bool },
    /// Asks for a password, whatever is said.
    Password,
    /// A shell without login, whose `su` asks for a password.
    Su,
    /// A shell for whoever got in at a login.
    Inside(User),
}

/// Who gets in at a login.
#[derive(Clone, Copy)]
enum User {
    /// `debug`, who is not asked for a password.
    Debug,
    /// `guest`, whose password is `guest`.
    Guest,
}

impl Shell {
    fn getty(user: Option<User>) -> Self {
        Self::Getty { user, asks: false }
    }

    /// What it prints when it is sent a line.
    fn answer(&mut self, line: &str) -> Vec<u8> {
        let (next, text) = match (*self, line) {
            (Self::Parrot, "be getty") => (Self::getty(None), "be: ready"),
            (Self::Parrot, "be getty of debug") => (Self::getty(Some(User::Debug)), "be: ready"),
            (Self::Parrot, "be getty of guest") => (Self::getty(Some(User::Guest)), "be: ready"),
            (Self::Parrot, "be password") => (Self::Password, "be: ready"),
            (Self::Parrot, "be su") => (Self::Su, "be: ready"),
            (Self::Parrot, line) => return answer(line),
            (Self::Getty { asks: false, .. }, "") => (*self, "\r\ngw login: "),
            (
                Self::Getty {
                    user: Some(User::Debug),
                    asks: false,
                },
                "debug",
            ) => (Self::Inside(User::Debug), "\r\n$ "),
            (
                Self::Getty {
                    user: Some(User::Guest),
                    asks: true,
                },
                "guest",
            ) => (Self::Inside(User::Guest), "\r\nWelcome\r\n$ "),
            (Self::Getty { user, asks: false }, _) => {
                (Self::Getty { user, asks: true }, "\r\nPassword: ")
            }
            (Self::Getty { user, asks: true }, _) => {
                (Self::getty(user), "\r\nLogin incorrect\r\ngw login: ")
            }
            (Self::Inside(user), "exit") => (Self::getty(Some(user)), "\r\n\r\ngw login: "),
            (Self::Inside(_), "echo pb$((3*7))e") => (*self, "\r\npb21e\r\n$ "),
            (Self::Inside(_), _) => (*self, "\r\n$ "),
            (Self::Password, _) => (*self, "\r\nPassword: "),
            (Self::Su, "su") => (*self, "su\r\nPassword: "),
            (Self::Su, _) => (*self, "\r\nnot found\r\nuser@thing:~$ "),
        };
        *self = next;
        text.into()
    }

    /// What it prints for Ctrl-C, if that is more than a letter to it.
    fn interrupted(&mut self) -> Option<&'static [u8]> {
        match self {
            Self::Getty { user, .. } => {
                *self = Self::getty(*user);
                Some(b"\r\n\r\nThing OS 1 ttyS0\r\n\r\ngw login: ")
            }
            _ => None,
        }
    }
}

/// Answers what comes in, line by line, until the bench has closed the port.
fn play(mut terminal: File) {
    thread::spawn(move || {
        let mut shell = Shell::Parrot;
        let mut line = Vec::new();
        let mut byte = [0];
        while terminal.read(&mut byte).is_ok_and(|n| n == 1) {
            let says = match byte {
                [b'\r'] => {
                    let text = String::from_utf8_lossy(&line).into_owned();
                    line.clear();
                    shell.answer(&text)
                }
                [3] => {
                    let Some(says) = shell.interrupted() else {
                        line.extend(byte);
                        continue;
                    };
                    line.clear();
                    says.to_vec()
                }
                _ => {
                    line.extend(byte);
                    continue;
                }
            };
            if terminal.write_all(&says).is_err() {
                return;
            }
        }
    });
}

fn serve(runtime: &Runtime, plug: Arc<Plug>) -> String {
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let commands = async |State(plug): State<Arc<Plug>>,
                              Query(query): Query<HashMap<String, String>>| {
            plug.answer(&query["cmnd"])
        };
        let app = Router::new().route("/cm", get(commands)).with_state(plug);
        tokio::spawn(async move { axum::serve(listener, app).await });
        url
    })
}

impl Plug {
    fn answer(&self, command: &str) -> String {
        let words: Vec<_> = command.split_whitespace().collect();
        let mut on = self.on.lock().expect("no panic");
        let mut armed = self.armed.lock().expect("no panic");
        let writes = self.writes.load(Ordering::Relaxed);
        let fired = armed.is_some_and(|n| n > 0 && writes >= n);
        if fired {
            *on = false;
        }
        match words.as_slice() {
            ["Power1", "On"] => *on = true,
            ["Power1", "Off"] => *on = false,
            ["Power2", "On"] if self.trips.load(Ordering::Relaxed) => {
                *on = false;
                return json!({ "POWER2": "ON" }).to_string();
            }
            ["Power2", state] => return json!({ "POWER2": state.to_uppercase() }).to_string(),
            ["CutAtWrite", _, _, count] => *armed = count.parse().ok(),
            ["CutAtWrite", "0"] => *armed = None,
            _ => {}
        }
        if words[0] == "CutAtWrite" {
            let state =
                json!({ "armed": armed.is_some() && !fired, "fired": fired, "writes": writes });
            return json!({ "CutAtWrite": state }).to_string();
        }
        json!({ "POWER1": if *on { "ON" } else { "OFF" } }).to_string()
    }
}
