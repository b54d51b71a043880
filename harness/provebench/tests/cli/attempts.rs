//! Several attempts at a case: asked for, after errors of the bench, and when that fails too often.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rstest::rstest;
use serde_json::{Value, json};

use crate::{Cli, text};

const PASS: &str = "t.expect(True, \"never\")";
const PRESS: &str = "t.press(\"reset\", 0.001)";
/// Passes in some rounds only: random data differs by round, and is the same for the same seed.
const SOMETIMES: &str = "t.expect(t.canary(\"x\") < \"R\", \"not today\")";

/// A relay board as Tasmota firmware has it, whose second relay fails a number of times.
pub(crate) struct Relays {
    url: String,
    failures: Arc<AtomicUsize>,
    /// After a failure, it says nothing sensible so many times.
    away: Arc<AtomicUsize>,
    /// Whether each is on: power, button.
    pub(crate) states: Arc<Mutex<[bool; 2]>>,
}

impl Relays {
    pub(crate) fn new(failures: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let failures = Arc::new(AtomicUsize::new(failures));
        let states = Arc::new(Mutex::new([true, false]));
        let away = Arc::new(AtomicUsize::new(0));
        let (left, switched, silent) = (
            Arc::clone(&failures),
            Arc::clone(&states),
            Arc::clone(&away),
        );
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (states, left) = (Arc::clone(&switched), Arc::clone(&left));
                let away = Arc::clone(&silent);
                thread::spawn(move || answer(stream, &states, &left, &away));
            }
        });
        Self {
            url,
            failures,
            away,
            states,
        }
    }

    /// From now on, it fails so many times more.
    pub(crate) fn fail(&self, failures: usize) {
        self.failures.store(failures, Ordering::SeqCst);
    }

    pub(crate) fn mend(&self) {
        self.fail(0);
    }

    /// Gives the first device a power switch and a reset button.
    pub(crate) fn wire(&self, cli: &Cli) {
        let devices = text(&cli.read("devices.toml"));
        let equipment = format!(
            "power = {{ driver = \"tasmota\", url = \"{0}\", relay = 1 }}\n\
             actuators.reset = {{ driver = \"tasmota\", url = \"{0}\", relay = 2 }}\n",
            self.url
        );
        cli.bench.write(
            "devices.toml",
            devices.replacen("console", &format!("{equipment}console"), 1),
        );
    }
}

fn answer(
    mut stream: TcpStream,
    states: &Mutex<[bool; 2]>,
    failures: &AtomicUsize,
    away: &AtomicUsize,
) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let request = lines.next().unwrap().unwrap();
    for line in lines.map_while(Result::ok) {
        if line.is_empty() {
            break;
        }
    }
    let take = |n: usize| n.checked_sub(1);
    let is_press = request.contains("Power2") && request.contains("On");
    let fails = is_press
        && failures
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, take)
            .is_ok();
    let is_away = failures.load(Ordering::SeqCst) == 0
        && !fails
        && away
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, take)
            .is_ok();
    let fails = fails || is_away;
    let (status, body) = if fails {
        ("500 Oops", "relay stuck".into())
    } else {
        let relay = usize::from(request.contains("Power2"));
        let mut states = states.lock().unwrap();
        if request.contains("On") {
            states[relay] = true;
        } else if request.contains("Off") {
            states[relay] = false;
        }
        let state = if states[relay] { "ON" } else { "OFF" };
        (
            "200 OK",
            json!({ format!("POWER{}", relay + 1): state }).to_string(),
        )
    };
    let _ = write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
}

fn case<'a>(results: &'a Value, id: &str) -> &'a Value {
    &results["devices"][0]["cases"][id]
}

#[test]
fn each_repetition_is_kept_and_the_worst_counts() {
    let cli = Cli::new();
    cli.case("5.1-1-2", "", &[('a', SOMETIMES), ('b', PASS)]);
    let output = cli.run(&["one", "--repeat", "12", "--seed", "7"]).code(1);
    let said = text(&output.get_output().stdout);
    let results = cli.results();
    let case = case(&results, "5.1-1-2");
    assert_eq!(case["flaky"], json!(["a"]));
    assert_eq!(case["units"][0]["outcome"], "fail");
    assert_eq!(case["units"][1]["outcome"], "pass");
    assert_eq!(
        results["counts"],
        json!({"pass": 1, "fail": 1, "error": 0, "inconclusive": 0, "skipped": 0, "flaky": 1})
    );
    let attempts = case["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 12);
    let failed = attempts
        .iter()
        .filter(|a| a["units"][0]["outcome"] == "fail")
        .count();
    assert!((1..12).contains(&failed), "{case}");
    let told = format!("flaky: {failed} FAIL, {} PASS in 12 attempts", 12 - failed);
    assert!(said.contains(&told), "{told} in {said}");
    assert!(said.contains("(round 12)"), "{said}");
    let junit = text(&cli.read("runs/latest/junit.xml"));
    assert!(junit.contains(&told), "{junit}");
    for attempt in attempts {
        let steps = format!(
            "runs/latest/{}/steps.jsonl",
            attempt["evidence"].as_str().unwrap()
        );
        cli.read(&steps);
        assert!(junit.contains(&steps[5..]) || junit.contains("steps.jsonl"));
    }
    // What to look at is an attempt that shows the failure.
    let telling = attempts
        .iter()
        .find(|a| a["evidence"] == case["evidence"])
        .unwrap();
    assert_eq!(telling["units"][0]["outcome"], "fail");
}

#[test]
fn a_single_attempt_is_no_list() {
    let cli = Cli::new();
    cli.passing();
    cli.run(&["one"]).code(0);
    assert_eq!(case(&cli.results(), "5.1-1-2")["attempts"], Value::Null);
}

#[rstest]
#[case::none(0, "1", 0, "pass", 0)]
#[case::made_up_for(1, "1", 0, "pass", 1)]
#[case::again(2, "2", 0, "pass", 2)]
#[case::not_enough(2, "1", 3, "error", 1)]
#[case::not_wanted(1, "0", 3, "error", 0)]
fn errors_of_the_bench_are_retried(
    #[case] failures: usize,
    #[case] retries: &str,
    #[case] code: i32,
    #[case] outcome: &str,
    #[case] retried: usize,
) {
    let cli = Cli::new();
    let relays = Relays::new(failures);
    relays.wire(&cli);
    cli.case(
        "5.1-1-2",
        "needs = [\"press.reset\"]",
        &[('a', PASS), ('b', PRESS)],
    );
    let output = cli.run(&["one", "--retry-errors", retries]).code(code);
    let said = text(&output.get_output().stdout);
    let results = cli.results();
    let case = case(&results, "5.1-1-2");
    assert_eq!(case["units"][1]["outcome"], outcome, "{said}");
    assert_eq!(
        results["counts"]["retries"].as_u64().unwrap_or(0),
        retried as u64
    );
    assert_eq!(
        said.contains("RETRIED one 5.1-1-2  after:"),
        retried > 0,
        "{said}"
    );
    assert_eq!(
        case["flaky"],
        Value::Null,
        "the bench's errors are not the DUT's"
    );
    let junit = text(&cli.read("runs/latest/junit.xml"));
    let told = format!("retries after errors of the bench: {retried}");
    assert_eq!(junit.contains(&told), retried > 0, "{junit}");
    if retried > 0 {
        let kept = &case["attempts"][0]["units"][1];
        assert_eq!(kept["outcome"], "error");
        assert!(
            kept["message"].as_str().unwrap().contains("relay stuck"),
            "{kept}"
        );
    }
}

#[rstest]
#[case::fail("t.fail(\"insecure\")", 1)]
#[case::inconclusive("t.inconclusive(\"who knows\")", 4)]
#[case::mistake_in_the_script("{}[\"no such key\"]", 3)]
#[case::need_that_is_not_named("t.probe.read(0, 4)", 3)]
fn nothing_else_is_retried(#[case] body: &str, #[case] code: i32) {
    let cli = Cli::new();
    cli.case("5.1-1-2", "", &[('a', body)]);
    cli.run(&["one", "--retry-errors", "5"]).code(code);
    assert_eq!(cli.results()["counts"]["retries"], Value::Null);
}

/// A case whose state the driver brings about like this.
fn prepared_by(cli: &Cli, body: &str, ids: &[&str]) {
    cli.bench.write(
        "targets/sensor/driver.star",
        format!("def to_initialized(d):\n    {body}\n"),
    );
    for id in ids {
        cli.case(id, "state = \"initialized\"", &[('a', PASS)]);
    }
}

/// It would be there in every attempt, and says nothing about the board.
#[test]
fn a_mistake_in_the_driver_is_no_fault_of_the_bench() {
    let cli = Cli::new();
    let ids = ["5.1-1-2", "5.1-2-2", "5.1-3-2"];
    prepared_by(&cli, "d.device.label[\"pasword\"]", &ids);
    cli.run(&["one", "--retry-errors", "5", "--quarantine-after", "2"])
        .code(3);
    assert_eq!(
        cli.results()["counts"],
        json!({"pass": 0, "fail": 0, "error": 3, "inconclusive": 0, "skipped": 0})
    );
}

#[test]
fn a_bench_that_fails_under_the_driver_is_retried() {
    let cli = Cli::new();
    Relays::new(1).wire(&cli);
    prepared_by(&cli, "d.press(\"reset\", 0.001)", &["5.1-1-2"]);
    cli.run(&["one"]).code(0);
    assert_eq!(cli.results()["counts"]["retries"], 1);
}

/// The button fails once, but unit a has shown a FAIL before that.
#[test]
fn a_fail_is_never_retried() {
    let cli = Cli::new();
    Relays::new(1).wire(&cli);
    let units = [('a', "t.fail(\"insecure\")"), ('b', PRESS)];
    cli.case("5.1-1-2", "needs = [\"press.reset\"]", &units);
    cli.run(&["one", "--retry-errors", "5"]).code(1);
    let results = cli.results();
    let units = &case(&results, "5.1-1-2")["units"];
    assert_eq!(units[0]["outcome"], "fail");
    assert_eq!(units[1]["outcome"], "error");
}

#[test]
fn a_board_whose_bench_fails_again_and_again_is_left_out() {
    let cli = Cli::new();
    let relays = Relays::new(usize::MAX);
    relays.wire(&cli);
    for n in 1..=5 {
        let id = format!("5.1-{n}-2");
        let body = format!("t.device.name == \"two\" or {PRESS}");
        cli.case(&id, "", &[('a', &body)]);
    }
    let arguments = ["--retry-errors", "0", "--quarantine-after", "2"];
    let output = cli.run(&arguments).code(3);
    let said = text(&output.get_output().stdout);
    let told: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("quarantined after"))
        .collect();
    assert!(
        told[0].contains(
            "one: quarantined after bench errors in 2 test cases in a row; 3 test cases are not run"
        ) && told[0].contains("relay stuck"),
        "{said}"
    );
    let results = cli.results();
    assert_eq!(
        results["counts"],
        json!({"pass": 5, "fail": 0, "error": 2, "inconclusive": 0, "skipped": 3})
    );
    assert_eq!(case(&results, "5.1-5-2")["skip"]["kind"], "quarantined");
    assert_eq!(results["devices"][0]["verdict"], "inconclusive");
    assert_eq!(results["devices"][1]["verdict"], "pass");
}

/// What broke off may have left the device anyhow, with another password for one: the next attempt is not to be blamed.
#[test]
fn an_attempt_that_broke_off_leaves_a_device_to_be_put_right() {
    let cli = Cli::new();
    Relays::new(1).wire(&cli);
    cli.bench.write(
        "targets/sensor/driver.star",
        "def to_factory_default(d):\n    d.console.line(\"erase\")\n\n\
         def to_initialized(d):\n    d.console.line(\"set up\")\n",
    );
    let needs = "state = \"initialized\", needs = [\"console\", \"press.reset\"]";
    cli.case("5.1-1-2", needs, &[('a', PRESS)]);
    cli.run(&["one"]).code(0);
    let results = cli.results();
    let attempts = case(&results, "5.1-1-2")["attempts"].as_array().unwrap();
    let erased: Vec<bool> = attempts
        .iter()
        .map(|attempt| {
            let folder = attempt["evidence"].as_str().unwrap();
            let steps = text(&cli.read(&format!("runs/latest/{folder}/steps.jsonl")));
            assert!(steps.contains("set up"), "{steps}");
            steps.contains("erase")
        })
        .collect();
    assert_eq!(erased, [false, true]);
}

/// What is away is waited for, but not for ever: the next unit is not to be blamed for it.
#[rstest]
#[case::comes_back(3, "pass")]
#[case::stays_away(usize::MAX, "error")]
fn a_unit_begins_on_a_bench_that_is_sound(#[case] away: usize, #[case] outcome: &str) {
    let cli = Cli::new();
    let relays = Relays::new(1);
    relays.away.store(away, Ordering::SeqCst);
    relays.wire(&cli);
    let asked = "t.expect(t.power.is_on(), \"it is off\")";
    let arguments = "deadline = 8, needs = [\"press.reset\"]";
    cli.case("5.1-1-2", arguments, &[('a', PRESS), ('b', asked)]);
    let output = cli.run(&["one", "--retry-errors", "0"]).code(3);
    let said = text(&output.get_output().stdout);
    let results = cli.results();
    let units = &case(&results, "5.1-1-2")["units"];
    assert_eq!(units[0]["outcome"], "error", "{units}");
    assert_eq!(units[1]["outcome"], outcome, "{units}");
    let why = "the bench is not sound after unit a: ";
    assert_eq!(said.contains(why), outcome == "error", "{said}");
}

#[test]
fn errors_that_are_not_in_a_row_quarantine_nothing() {
    let cli = Cli::new();
    let relays = Relays::new(usize::MAX);
    relays.wire(&cli);
    for (n, body) in [PRESS, PASS, PRESS, PASS, PRESS].iter().enumerate() {
        cli.case(&format!("5.1-{}-2", n + 1), "", &[('a', body)]);
    }
    cli.run(&["one", "--retry-errors", "0", "--quarantine-after", "2"])
        .code(3);
    assert_eq!(cli.results()["counts"]["skipped"], 0);
    assert!(relays.failures.load(Ordering::SeqCst) <= usize::MAX - 3);
}

#[test]
fn the_deadline_of_a_run_stops_it() {
    let cli = Cli::new();
    cli.case(
        "5.1-1-2",
        "deadline = 3600",
        &[('a', "t.wait(3600, \"too long\")")],
    );
    cli.case("5.11-1-2", "", &[('a', PASS)]);
    let began = Instant::now();
    let output = cli.run(&["--deadline", "1"]).code(130);
    assert!(began.elapsed() < Duration::from_mins(2));
    let said = text(&output.get_output().stdout);
    assert!(said.contains("the deadline of 1 s"), "{said}");
    let results = cli.results();
    assert_eq!(results["interrupted"], true);
    assert_eq!(results["counts"]["skipped"], 4);
}

#[test]
fn the_deadline_of_a_unit_ends_that_one_only() {
    let cli = Cli::new();
    let units = [('a', "t.wait(3600, \"too long\")"), ('b', PASS)];
    cli.case("5.1-1-2", "deadline = 3600", &units);
    cli.run(&["one", "--unit-deadline", "1", "--retry-errors", "0"])
        .code(3);
    let results = cli.results();
    let units = &case(&results, "5.1-1-2")["units"];
    assert_eq!(units[0]["outcome"], "error");
    assert!(units[0]["message"].as_str().unwrap().contains("deadline"));
    assert_eq!(units[1]["outcome"], "pass");
}
