//! Devices whose equipment a program provides.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, ttyname};
use provebench_testing::repository;
use rstest::rstest;

use crate::{Cli, text};

/// Long enough on any machine; waited for only when a test fails.
const PATIENCE: Duration = Duration::from_mins(1);

/// A program for devices whose console is the first argument. It says what it does in the file `log`.
const GIVE: &str = r#"#!/bin/sh
echo "given $PROVEBENCH_DEVICE" >> log
echo "{\"wiring\": {\"console\": {\"port\": \"$1\"}}}"
cat > /dev/null
echo "ended $PROVEBENCH_DEVICE" >> log
"#;

/// Asks for a word over the console before it passes.
const ASKS: &str = "t.console.line(\"here\")\n    t.console.expect(\"go on\", timeout = 60)";

fn write_program(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Two devices that are given one and the same console.
fn with_provider(program: &str) -> Cli {
    let cli = Cli::new();
    write_program(&cli.bench.root().join("give"), program);
    let port = ttyname(&cli.consoles[0].slave).unwrap();
    let device = |name: &str| {
        let port = port.display();
        format!(
            "[[device]]\nname = \"{name}\"\ntarget = \"sensor\"\n\
             provider = {{ command = [\"./give\", \"{port}\"], provides = [\"console\"], timeout = 30 }}\n"
        )
    };
    cli.bench
        .write("devices.toml", ["one", "two"].map(device).concat());
    cli
}

impl Cli {
    fn log(&self) -> String {
        fs::read_to_string(self.bench.root().join("log")).unwrap_or_default()
    }

    /// Until the case asks.
    fn await_question(&self) -> fs::File {
        let mut master = fs::File::from(self.consoles[0].master.try_clone().unwrap());
        let mut said = String::new();
        while !said.contains("here") {
            let mut chunk = [0; 100];
            let length = master.read(&mut chunk).unwrap();
            said += &String::from_utf8_lossy(&chunk[..length]);
        }
        master
    }
}

#[test]
fn a_device_is_provided_for_as_long_as_it_is_used_and_its_port_is_nobody_else_s() {
    let cli = with_provider(GIVE);
    cli.case("5.1-1-2", "needs = [\"console\"]", &[('a', ASKS)]);
    let plan = cli.command(&["plan", "one"]).assert().code(0);
    assert!(text(&plan.get_output().stdout).contains("5.1-1-2"));
    let list = cli.command(&["devices"]).assert().code(0);
    assert!(text(&list.get_output().stdout).contains("provided: console"));
    assert_eq!(cli.log(), "", "nothing is started to look at it");

    let run = cli.begin(&["one"]);
    let mut master = cli.await_question();
    let other = cli
        .command(&["console", "two", "--idle", "0"])
        .assert()
        .code(3);
    let said = text(&other.get_output().stderr);
    assert!(
        said.contains("what the provider of `two` gave can't be used"),
        "{said}"
    );
    assert!(
        said.contains(&format!("in use by process {}", run.id())),
        "{said}"
    );
    assert_eq!(cli.log(), "given one\ngiven two\nended two\n");

    master.write_all(b"go on\r\n").unwrap();
    let ended = run.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0), "{}", text(&ended.stdout));
    assert!(cli.log().ends_with("ended one\n"), "{}", cli.log());
    let free = cli.command(&["console", "two", "--idle", "0"]);
    let free = { free }.write_stdin("").assert();
    free.code(0);
}

#[rstest]
#[case::in_order(Signal::SIGINT)]
#[case::killed(Signal::SIGKILL)]
fn a_run_that_ends_before_its_time_ends_what_was_provided(#[case] signal: Signal) {
    let cli = with_provider(GIVE);
    cli.case("5.1-1-2", "needs = [\"console\"]", &[('a', ASKS)]);
    let mut run = cli.begin(&["one"]);
    cli.await_question();
    kill(Pid::from_raw(run.id().cast_signed()), signal).unwrap();
    run.wait().unwrap();
    let began = Instant::now();
    while !cli.log().ends_with("ended one\n") {
        assert!(began.elapsed() < PATIENCE, "{}", cli.log());
        thread::sleep(Duration::from_millis(10));
    }
}

#[rstest]
#[case::refuses(
    "echo 'nobody is in' >&2; exit 7",
    "did not start (exit status: 7): nobody is in"
)]
#[case::rubbish(
    "echo 'Usage: give PORT'; cat",
    "expected value at line 1 column 1 in `Usage: give PORT"
)]
#[case::lacks(
    "echo '{\"wiring\": {}}'; cat",
    "provides no console, though devices.toml says so"
)]
#[case::missing("", "is not at")]
fn what_can_not_be_had_is_an_error_of_the_bench(#[case] program: &str, #[case] says: &str) {
    let cli = with_provider(&format!("#!/bin/sh\n{program}\n"));
    if program.is_empty() {
        fs::remove_file(cli.bench.root().join("give")).unwrap();
    }
    cli.case("5.1-1-2", "needs = [\"console\"]", &[('a', ASKS)]);
    cli.run(&["one", "--retry-errors", "0"]).code(3);
    let unit = &cli.results()["devices"][0]["cases"]["5.1-1-2"]["units"][0];
    assert_eq!(unit["outcome"], "error", "{unit}");
    let message = unit["message"].as_str().unwrap();
    assert!(message.contains(says), "{message}");
    assert!(message.contains("(help: "), "{message}");
}

#[test]
fn a_provider_that_dies_in_the_middle_is_an_error_of_the_bench() {
    let dies = GIVE.replace(
        "cat > /dev/null",
        "while [ ! -e die ]; do sleep 0.05; done; echo 'out of memory' >&2; exit 9",
    );
    let cli = with_provider(&dies);
    cli.case(
        "5.1-1-2",
        "needs = [\"console\"]",
        &[(
            'a',
            "t.console.line(\"here\")\n    t.console.expect(\"go on\", timeout = 1)",
        )],
    );
    let run = cli.begin(&["one", "--retry-errors", "0"]);
    cli.await_question();
    cli.bench.write("die", "");
    let ended = run.wait_with_output().unwrap();
    let said = text(&ended.stdout);
    assert_eq!(ended.status.code(), Some(3), "{said}");
    let unit = &cli.results()["devices"][0]["cases"]["5.1-1-2"]["units"][0];
    assert_eq!(unit["outcome"], "error", "{unit}");
    let message = unit["message"].as_str().unwrap();
    assert!(
        message.contains("has died (exit status: 9): out of memory"),
        "{message}"
    );
}

/// With an `ssh` that writes down what it is to do.
#[test]
fn the_documented_provider_lends_and_gives_back() {
    let cli = Cli::new();
    let root = cli.bench.root();
    let document = fs::read_to_string(repository().join("docs/bench.md")).unwrap();
    let script = document
        .split("```sh\n")
        .find(|part| part.contains("# lend LAB"));
    write_program(
        &root.join("lend"),
        script.unwrap().split("```").next().unwrap(),
    );
    let ssh = "#!/bin/sh\necho \"$*\" >> log\ncase $1 in -N) exec sleep 3600 ;; esac\n";
    fs::create_dir(root.join("bin")).unwrap();
    write_program(&root.join("bin/ssh"), ssh);
    let entry = document
        .split("```toml\n")
        .find(|part| part.contains("\"./lend\""));
    let entry = entry.unwrap().split("```").next().unwrap();
    cli.bench
        .write("devices.toml", entry.replace("\"gateway\"", "\"sensor\""));
    let path = format!(
        "{}:{}",
        root.join("bin").display(),
        std::env::var("PATH").unwrap()
    );
    let mut power = cli.command(&["power", "gateway-7", "off"]);
    let off = power.env("PATH", path).assert().code(0);
    assert_eq!(text(&off.get_output().stdout), "gateway-7: off\n");
    let mut done: Vec<_> = cli.log().lines().map(str::to_owned).collect();
    done.sort();
    assert_eq!(
        done,
        [
            "-N -L 20001:localhost:3001 lab.example",
            "lab.example lend-out gateway-7",
            "lab.example relay off",
            "lab.example take-back gateway-7",
        ]
    );
}
