//! The product's driver.

use provebench_record::event::Outcome;
use provebench_script::Limit;
use rstest::rstest;
use serde_json::json;

use crate::bench::{PATIENCE, World};

const DRIVER: &str = r#"
def login(d, password = None):
    d.console.line(password or d.device.label["password"])
    d.console.expect("you said correct horse\r\n", timeout = 0.3)
    return True

def status(d):
    return {"on": d.power.is_on()}

def broken(d):
    return _helper(d)

def _helper(d):
    label = d.device.label
    return label["colour"]

def personalise(d, sample):
    if sample == "production":
        d.fail("cannot be locked")
"#;

#[test]
fn functions_of_the_driver_get_d_and_the_arguments() {
    let report = World::new().driver(DRIVER).run(
        "t.expect(t.dut.login(), \"login\")\n\
         t.expect(t.dut.status()[\"on\"], \"on\")\n\
         t.dut.login(password = \"wrong\")",
    );
    // The DUT's doing: it did not say what the driver knows that it should.
    assert_eq!(
        report.result.outcome(),
        Outcome::Fail,
        "{:?}",
        report.result
    );
    let at = report.result.at.as_ref().expect("a place");
    assert!(at.file.ends_with("driver.star"), "{at}");
    assert_eq!(at.line, 4);
    let caller = &report.result.stack[0];
    assert!(caller.contains("5.11-1-2.star:9 in unit_a"), "{caller}");
    let last = report.steps.last().expect("steps");
    assert_eq!(last.name, "dut.login");
    assert_eq!(last.arguments, json!({ "password": "wrong" }));
    // Calls within it are counted after it.
    let inner = &report.steps[report.steps.len() - 2];
    assert_eq!(inner.name, "console.expect");
    assert!(inner.number > last.number);
}

#[test]
fn a_fault_in_the_driver_is_an_error_with_its_place() {
    let report = World::new().driver(DRIVER).run("t.dut.broken()");
    assert_eq!(
        report.result.outcome(),
        Outcome::Error,
        "{:?}",
        report.result
    );
    assert!(
        report.result.message.contains("colour"),
        "{:?}",
        report.result
    );
    assert_eq!(report.result.at.as_ref().expect("a place").line, 15);
    assert_eq!(report.result.stack.len(), 3, "{:?}", report.result.stack);
}

/// Else a forgotten `return` is what the product says.
#[rstest]
#[case::nothing(
    "login(d): pass",
    "login()",
    "login of the driver",
    "returns None; it has to return True or False"
)]
#[case::no_text("model(d): return None", "model()", "model of the driver", "a text")]
#[case::no_dict("status(d): return []", "status()", "status of the driver", "a dict")]
#[case::no_struct(
    "update(d, i): return True",
    "update(b'')",
    "update of the driver",
    "accepted"
)]
fn what_the_driver_returns_is_looked_at(
    #[case] driver: &str,
    #[case] call: &str,
    #[case] who: &str,
    #[case] why: &str,
) {
    let call = call.replace("b''", "blob(\"\")");
    let world = World::new().driver(&format!("def {driver}\n"));
    let result = world
        .run(&format!("t.expect(t.dut.{call}, \"it fails\")"))
        .result;
    assert_eq!(result.outcome(), Outcome::Error, "{result:?}");
    assert!(result.message.contains(who), "{result:?}");
    assert!(result.message.contains(why), "{result:?}");
}

#[test]
fn private_functions_are_the_drivers_own() {
    let result = World::new().driver(DRIVER).run("t.dut._helper()").result;
    assert_eq!(result.outcome(), Outcome::Error, "{result:?}");
    assert!(
        result.message.contains("has no function _helper"),
        "{result:?}"
    );
}

#[test]
fn the_runner_calls_it_too() {
    let world = World::new().driver(DRIVER);
    let limit = Limit::new(PATIENCE, world.cancel.clone());
    let ((good, bad, none), steps) = world.session(|session| {
        (
            session.call_driver("personalise", &[json!("engineering")], &limit),
            session.call_driver("personalise", &[json!("production")], &limit),
            session.call_driver("await_ready", &[], &limit),
        )
    });
    assert_eq!(good, Ok(()));
    let bad = bad.expect_err("fails");
    assert_eq!(bad.end.outcome(), Outcome::Fail);
    assert!(bad.to_string().contains("cannot be locked"), "{bad}");
    assert!(bad.to_string().contains("driver.star:19"), "{bad}");
    let none = none.expect_err("there is none");
    assert_eq!(none.end.outcome(), Outcome::Error);
    assert!(steps.iter().all(|step| step.unit.is_none()));
}

const PASSWORDS: &str = r#"
def change_password(d, old, new):
    return struct(ok = new != "weak", reason = "")

def factory_reset(d, method):
    if method == "keeps":
        d.set_password(d.password)

def in_force(d):
    return d.password
"#;

/// The label's until another one was set, and again after a reset, unless the driver says otherwise.
#[test]
fn a_driver_knows_the_password_in_force() {
    let report = World::new().driver(PASSWORDS).run(
        "seen = [t.dut.in_force()]\n\
         t.dut.change_password(\"correct horse\", \"weak\")\n\
         seen.append(t.dut.in_force())\n\
         t.dut.change_password(\"correct horse\", new = \"battery\")\n\
         seen.append(t.dut.in_force())\n\
         t.dut.factory_reset(\"keeps\")\n\
         seen.append(t.dut.in_force())\n\
         t.dut.factory_reset(\"all\")\n\
         seen.append(t.dut.in_force())\n\
         t.expect(seen == [\"correct horse\", \"correct horse\", \"battery\", \"battery\", \"correct horse\"], \"{}\", seen)",
    );
    assert_eq!(
        report.result.outcome(),
        Outcome::Pass,
        "{:?}",
        report.result
    );
}
