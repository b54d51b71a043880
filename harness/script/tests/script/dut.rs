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
    "try_store(d, f, i): return True",
    "try_store('', b'')",
    "try_store of the driver",
    "accepted"
)]
#[case::no_rows(
    "auth_mechanisms(d): return ['console']",
    "auth_mechanisms()",
    "auth_mechanisms of the driver",
    "a dict of row ids, each with a struct of functions"
)]
#[case::no_actions(
    "auth_mechanisms(d): return {'AuthMech-Console': None}",
    "auth_mechanisms()",
    "None for AuthMech-Console",
    "a dict of row ids, each with a struct of functions"
)]
#[case::no_answer(
    "auth_mechanisms(d): return {'AuthMech-Console': struct(attempt = lambda secret: True)}",
    "auth_mechanisms()['AuthMech-Console'].attempt('x')",
    "dut.auth_mechanisms[AuthMech-Console].attempt of the driver",
    "a struct with ok"
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
def auth_mechanisms(d):
    change = lambda old, new: struct(ok = new != "weak", reason = "")
    return {
        "AuthMech-Console": struct(change = change, in_force = lambda: d.secret("AuthMech-Console")),
        "AuthMech-Api": struct(change = change, in_force = lambda: d.secret("AuthMech-Api")),
        "AuthMech-Pin": struct(change = change, in_force = lambda: d.secret("AuthMech-Pin")),
    }

def deletion_functions(d):
    return {
        "DelFunc-All": struct(run = lambda: None),
        "DelFunc-Keeps": struct(run = lambda: d.set_secret("AuthMech-Console", d.secret("AuthMech-Console"))),
    }

def in_force(d):
    return d.secret("AuthMech-Console")
"#;

const MECHANISMS: &str = "[[1-AuthMech]]\nid = \"AuthMech-Console\"\n\n[[1-AuthMech]]\nid = \"AuthMech-Api\"\n\n\
    [[1-AuthMech]]\nid = \"AuthMech-Pin\"\nlabel = \"pin\"\n\n[[10-SecParam]]\nid = \"SecParam-Pin\"\nlabel = \"pin\"\n\n\
    [[10-SecParam]]\nid = \"SecParam-Key\"\n";

fn with_secrets() -> World {
    let world = World::new().driver(PASSWORDS);
    world.files.write("targets/sensor/ixit.toml", MECHANISMS);
    let label = "password = \"correct horse\"";
    world
        .files
        .replace("devices.toml", label, &format!("{label}, pin = \"0815\""));
    world
}

/// The label's until another one was set, and again after a reset, unless the driver says otherwise; one secret for all
/// rows that have it.
#[test]
fn a_driver_knows_the_secret_in_force() {
    let report = with_secrets().run(
        "auth = t.dut.auth_mechanisms()\n\
         deletes = t.dut.deletion_functions()\n\
         now = lambda: [mechanism.in_force() for mechanism in auth.values()] + [t.dut.in_force()]\n\
         delivered = [\"correct horse\", \"correct horse\", \"0815\", \"correct horse\"]\n\
         t.expect(now() == delivered, \"at first\")\n\
         auth[\"AuthMech-Api\"].change(\"correct horse\", \"weak\")\n\
         t.expect(now() == delivered, \"refused\")\n\
         auth[\"AuthMech-Api\"].change(\"correct horse\", new = \"battery\")\n\
         t.expect(now() == [\"battery\", \"battery\", \"0815\", \"battery\"], \"changed\")\n\
         auth[\"AuthMech-Pin\"].change(\"0815\", \"4711\")\n\
         deletes[\"DelFunc-Keeps\"].run()\n\
         t.expect(now() == [\"battery\", \"battery\", \"4711\", \"battery\"], \"kept\")\n\
         deletes[\"DelFunc-All\"].run()\n\
         t.expect(now() == delivered, \"deleted\")",
    );
    assert_eq!(
        report.result.outcome(),
        Outcome::Pass,
        "{:?}",
        report.result
    );
    let step = report.step("dut.auth_mechanisms[AuthMech-Api].change");
    assert_eq!(step.arguments, json!({ "1": "correct horse", "2": "weak" }));
}

#[rstest]
#[case::of_a_mechanism("1-AuthMech", 0, Ok("correct horse"))]
#[case::as_a_row_says("1-AuthMech", 2, Ok("0815"))]
#[case::of_a_parameter("10-SecParam", 0, Ok("0815"))]
#[case::that_nobody_names(
    "10-SecParam",
    1,
    Err("IXIT 10-SecParam: SecParam-Key does not say with `label`")
)]
fn a_unit_has_the_secret_of_a_row(
    #[case] table: &str,
    #[case] row: usize,
    #[case] expected: Result<&str, &str>,
) {
    let body = format!("t.fail(\"it is {{}}\", t.secret(t.ixit(\"{table}\")[{row}]))");
    let result = with_secrets().run(&body).result;
    match expected {
        Ok(secret) => assert_eq!(result.message, format!("it is {secret}")),
        Err(why) => {
            assert_eq!(result.outcome(), Outcome::Inconclusive, "{result:?}");
            assert!(result.message.starts_with(why), "{result:?}");
        }
    }
}

#[test]
fn a_secret_that_no_label_has_is_missing() {
    let result = with_secrets()
        .run("t.log(\"{}\", t.secret(t.ixit(\"1-AuthMech\")[2], t.siblings[0]))")
        .result;
    assert_eq!(result.outcome(), Outcome::Inconclusive, "{result:?}");
    assert!(
        result
            .message
            .starts_with("devices.toml has no `pin` in the label of emulated"),
        "{result:?}"
    );
}

/// What a driver can do on a device is compared with what is declared, without the device.
#[test]
fn a_driver_is_compared_with_what_is_declared() {
    let world = World::new().driver(
        "def auth_mechanisms(d):\n    rows = {\"AuthMech-Ssh\": struct()}\n    if d.has(\"console\"):\n        rows[\"AuthMech-Console\"] = struct()\n    return rows\n\n\
         def deletion_functions(d):\n    return {d.console.expect(\"x\").text: struct()}\n\n\
         def services(d):\n    return [x for x in range(1 << 30) if x < 0]\n",
    );
    let ixit = format!("{MECHANISMS}[[1-AuthMech]]\nid = \"AuthMech-Key\"\npassword = false\n");
    world.files.write("targets/sensor/ixit.toml", ixit);
    let (compared, _) = world.session(|session| session.compare());
    let of = |function: &str| {
        compared
            .iter()
            .find(|c| c.function == function)
            .expect(function)
    };
    let auth = of("auth_mechanisms");
    assert_eq!(auth.without_actions, ["AuthMech-Api", "AuthMech-Pin"]);
    assert_eq!(auth.without_row, ["AuthMech-Ssh"]);
    assert_eq!(auth.unknown, None);
    let deletes = of("deletion_functions")
        .unknown
        .as_deref()
        .expect("it needs the device");
    assert!(deletes.contains("while a test unit runs only"), "{deletes}");
    assert!(of("services").unknown.is_some());
    assert_eq!(compared.len(), 3);
}
