//! Who is to blame: a FAIL counts only if the whole bench was sound, and what the script itself did is no fault of it.

use std::io::Read as _;
use std::net::TcpListener;
use std::sync::atomic::Ordering;
use std::thread;

use provebench_record::event::Outcome;
use rstest::rstest;

use crate::bench::World;

#[rstest]
#[case::fail("t.press(\"reset\", 0.01)\nt.fail(\"insecure\")", "insecure; but: ")]
#[case::silence(
    "t.press(\"reset\", 0.01)\nt.console.expect(\"never\", timeout = 0.05)",
    "did not appear"
)]
// What did not come proves nothing either.
#[case::pass(
    "t.press(\"reset\", 0.01)\nt.console.try_expect(\"never\", timeout = 0.05)",
    "it would have passed; but: "
)]
fn a_supply_that_trips_is_the_benchs(#[case] body: &str, #[case] said: &str) {
    let world = World::new();
    world.plug.trips.store(true, Ordering::Relaxed);
    let result = world.run(body).result;
    assert_eq!(result.outcome(), Outcome::Error, "{result:?}");
    assert!(result.end.is_spoiled(), "{result:?}");
    let message = &result.message;
    assert!(message.contains(said), "{message}");
    assert!(
        message.contains("was switched on, but says it is off"),
        "{message}"
    );
}

#[rstest]
#[case::off("t.power.off()\nt.fail(\"insecure\")")]
#[case::cut("t.power.cut_at_write(\"store\", 5)\nt.fail(\"insecure\")")]
#[case::cycled("t.power.cycle(off = 0.01)\nt.fail(\"insecure\")")]
#[case::cut_waited_for(
    "t.power.cut_at_write(\"store\", 5)\nt.expect(t.power.wait_cut(9), \"no cut\")\nt.fail(\"insecure\")"
)]
fn what_the_script_does_to_the_power_is_no_fault_of_the_bench(#[case] body: &str) {
    let world = World::new();
    world.plug.writes.store(5, Ordering::Relaxed);
    let result = world.run(body).result;
    assert_eq!(result.outcome(), Outcome::Fail, "{result:?}");
    assert_eq!(result.message, "insecure");
    assert_eq!(result.doubt, None);
}

/// A terminal server that hangs up whenever something is sent, and is there again at once.
fn flapping() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0]);
        }
    });
    format!("socket://{address}")
}

#[rstest]
#[case::silence("t.console.expect(\"answer\", timeout = 1)")]
#[case::taken_for_none(
    "t.expect(t.console.try_expect(\"answer\", timeout = 1) != None, \"no answer\")"
)]
#[case::taken_for_good(
    "t.expect(t.console.try_expect(\"answer\", timeout = 1) == None, \"an answer\")"
)]
#[case::before("t.wait(1, \"until it is back\")\nt.fail(\"insecure\")")]
fn a_port_that_comes_back_is_no_silent_device(#[case] body: &str) {
    let world = World::new().console(&flapping());
    let result = world
        .run(&format!("t.console.line(\"question\")\n{body}"))
        .result;
    assert_eq!(result.outcome(), Outcome::Error, "{result:?}");
    assert!(result.end.is_spoiled(), "{result:?}");
    let message = &result.message;
    let away = ["was away for", "has vanished"];
    assert!(
        away.iter().any(|words| message.contains(words)),
        "{message}"
    );
}
