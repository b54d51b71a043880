//! Power and its cuts.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use provebench_record::event::Outcome;
use rstest::rstest;

use crate::bench::World;

#[test]
fn power_is_switched_and_told() {
    let report = World::new().run(
        "t.expect(t.power.is_on(), \"on at the beginning\")\n\
         t.power.off()\n\
         t.expect(not t.power.is_on(), \"off\")\n\
         t.power.cycle(off = 0.01)\n\
         t.expect(t.power.is_on(), \"on again\")\n\
         t.press(\"reset\", 0.01)",
    );
    assert_eq!(
        report.result.outcome(),
        Outcome::Pass,
        "{:?}",
        report.result
    );
}

/// A boot loader may listen for less time than a switch takes to say that it is on.
#[test]
fn keys_are_pressed_while_power_comes_on() {
    let world = World::new();
    let log = world.files.root().join("console.log");
    // What answers before power is there is none of a device that had none, and forgotten.
    let report = world.run(
        "t.power.off()\n\
         t.power.on(typing = \"x\\r\")\n\
         t.console.line(\"y\")\n\
         t.console.expect(\"you said y\")",
    );
    assert_eq!(
        report.result.outcome(),
        Outcome::Pass,
        "{:?}",
        report.result
    );
    assert!(report.step("power.on").arguments["typing"].is_string());
    let log = std::fs::read_to_string(log).expect("the console's log");
    assert!(log.contains("> x\\r"), "{log}");
}

#[test]
fn a_cut_ends_what_it_is_waited_for_in() {
    let world = World::new();
    let plug = world.plug.clone();
    let dut = thread::spawn(move || {
        thread::sleep(Duration::from_millis(100));
        plug.writes.store(5, Ordering::Relaxed);
    });
    let report = world.run(
        "seen = []\n\
         def work():\n\
        \x20   seen.append(\"begun\")\n\
        \x20   t.wait(3600, \"until power is cut\")\n\
        \x20   seen.append(\"ended\")\n\
         cut = t.power.cut_during(work, \"store\", 5)\n\
         t.expect(cut, \"no cut\")\n\
         t.expect(seen == [\"begun\"], \"{}\", seen)\n\
         t.expect(not t.power.is_on(), \"power is still on\")\n\
         t.power.on()\n\
         t.console.line(\"again\")\n\
         t.console.expect(\"said again\")",
    );
    dut.join().expect("no panic");
    assert_eq!(
        report.result.outcome(),
        Outcome::Pass,
        "{:?}",
        report.result
    );
    assert_eq!(report.step("power.cut_during").result, true);
    assert!(report.step("wait").error.is_some());
}

/// What was printed before the DUT lost its power is no answer to what is asked afterwards.
#[rstest]
#[case::waited_for("t.expect(t.power.wait_cut(60), \"no cut\")")]
#[case::during(
    "t.expect(t.power.cut_during(lambda: t.wait(60, \"until it is cut\"), \"store\", 5), \"no cut\")"
)]
fn what_was_printed_before_a_cut_at_a_write_is_forgotten(#[case] cut: &str) {
    let world = World::new();
    world.plug.writes.store(5, Ordering::Relaxed);
    let report = world.run(&format!(
        "mark = t.console.mark()\n\
         t.console.line(\"question\")\n\
         for _ in range(6000):\n\
        \x20   if \"said question\" in t.console.text_since(mark):\n\
        \x20       break\n\
        \x20   t.wait(0.01, \"until it is printed\")\n\
         t.power.cut_at_write(\"store\", 5)\n\
         {cut}\n\
         t.expect(\"said question\" in t.console.text_since(mark), \"it is in the log\")\n\
         answer = t.console.try_expect(\"said question\", timeout = 0.2)\n\
         t.expect(answer == None, \"{{}}\", answer)"
    ));
    assert_eq!(
        report.result.outcome(),
        Outcome::Pass,
        "{:?}",
        report.result
    );
}

#[test]
fn a_function_that_ends_before_the_cut_is_told() {
    let report = World::new().run(
        "cut = t.power.cut_during(lambda: t.log(\"short\"), (0x1000, 16), 5)\n\
         t.expect(not cut, \"a cut\")\n\
         t.expect(t.power.is_on(), \"off\")",
    );
    assert_eq!(
        report.result.outcome(),
        Outcome::Pass,
        "{:?}",
        report.result
    );
}

#[test]
fn a_failure_without_a_cut_stays_one() {
    let report = World::new().run("t.power.cut_during(lambda: t.fail(\"no\"), \"store\", 5)");
    assert_eq!(
        report.result.outcome(),
        Outcome::Fail,
        "{:?}",
        report.result
    );
    assert_eq!(report.result.message, "no");
}

#[test]
fn writes_are_counted_without_a_cut() {
    let world = World::new();
    world.plug.writes.store(3, Ordering::Relaxed);
    let report = world.run(
        "t.power.cut_at_write(\"store\", 0)\n\
         t.expect(t.power.writes() == 3, \"{}\", t.power.writes())\n\
         t.expect(not t.power.wait_cut(0.05), \"a cut\")\n\
         t.power.disarm()",
    );
    assert_eq!(
        report.result.outcome(),
        Outcome::Pass,
        "{:?}",
        report.result
    );
}

#[test]
fn a_plug_that_does_not_measure_is_no_failure_of_the_device() {
    let report = World::new().run("t.power.current()");
    assert_eq!(
        report.result.outcome(),
        Outcome::Error,
        "{:?}",
        report.result
    );
    assert!(
        report.result.message.contains("does not measure current"),
        "{:?}",
        report.result
    );
}

/// A supply that is always on, and tells an eighth of an ampere.
fn supply() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            for message in BufReader::new(&stream).lines().map_while(Result::ok) {
                let answer = match message.as_str() {
                    "SYST:ERR?" => "0,\"No error\"",
                    "OUTP?" => "1",
                    "MEAS:CURR?" => "+1.25000000E-01",
                    _ => continue,
                };
                let _ = writeln!(&stream, "{answer}");
            }
        }
    });
    port
}

#[test]
fn current_is_measured_and_the_step_is_evidence() {
    let power = format!(
        "power = {{ driver = \"scpi\", host = \"127.0.0.1\", tcp_port = {} }}",
        supply()
    );
    let report = World::new().power(&power).run(
        "t.expect(t.has(\"power.current\"), \"it measures\")\n\
         t.expect(t.power.current() == 0.125, \"it is an eighth\")",
    );
    assert_eq!(
        report.result.outcome(),
        Outcome::Pass,
        "{:?}",
        report.result
    );
    assert_eq!(report.step("power.current").result, 0.125);
}
