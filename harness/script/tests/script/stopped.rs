//! Scripts that would not end by themselves.

use std::thread;
use std::time::{Duration, Instant};

use provebench_record::event::Outcome;
use rstest::rstest;

use crate::bench::{PATIENCE, World};

const LOOP: &str = "n = 0\nfor i in range(2000000000):\n    n += i";
const COMPREHENSION: &str = "[i for i in range(2000000000) if i < 0]";

#[rstest]
#[case::endless_loop(LOOP)]
#[case::comprehension(COMPREHENSION)]
#[case::wait("t.wait(3600, \"for nothing\")")]
#[case::console("t.console.expect(\"never\", timeout = 3600)")]
#[case::many_calls("for i in range(2000000000):\n    t.log(\"again\")")]
fn the_deadline_stops(#[case] body: &str) {
    let mut world = World::new();
    world.deadline = Duration::from_millis(300);
    let begin = Instant::now();
    let result = world.run(body).result;
    assert!(begin.elapsed() < PATIENCE);
    assert_eq!(result.outcome(), Outcome::Error, "{result:?}");
    assert!(result.message.contains("deadline"), "{result:?}");
    assert!(!result.end.is_interrupted());
    assert!(result.at.is_some());
}

#[rstest]
#[case::endless_loop(LOOP)]
#[case::wait("t.wait(3600, \"for nothing\")")]
#[case::console("t.console.expect(\"never\", timeout = 3600)")]
fn the_operator_stops(#[case] body: &str) {
    let world = World::new();
    let cancel = world.cancel.clone();
    let operator = thread::spawn(move || {
        thread::sleep(Duration::from_millis(100));
        cancel.cancel();
    });
    let result = world.run(body).result;
    operator.join().expect("no panic");
    assert_eq!(result.outcome(), Outcome::Error, "{result:?}");
    assert!(result.end.is_interrupted(), "{result:?}");
}

#[test]
fn recursion_ends_with_one_message() {
    let result = World::new()
        .run_file(
            "\"\"\"A case.\"\"\"\n\ncase(id = \"5.11-1-2\")\n\ndef again(n):\n    return again(n + 1)\n\n\
             def unit_a(t):\n    \"A unit.\"\n    again(0)\n",
        )
        .result;
    assert_eq!(result.outcome(), Outcome::Error, "{result:?}");
    assert!(result.message.contains("stack"), "{result:?}");
    assert_eq!(result.at.expect("a place").line, 6);
}

#[test]
fn what_was_done_before_the_end_is_recorded() {
    let mut world = World::new();
    world.deadline = Duration::from_secs(3);
    let report = world.run("t.log(\"one\")\nt.wait(3600, \"for nothing\")\nt.log(\"two\")");
    assert_eq!(report.names(), ["log", "wait"]);
    assert!(
        report
            .step("wait")
            .error
            .as_ref()
            .is_some_and(|e| e.contains("deadline"))
    );
}
