//! Who is at fault when a unit ends: the DUT, the bench, or the script.

use provebench_record::event::Outcome;
use rstest::rstest;

use crate::bench::{FIRST_LINE, World};

#[test]
fn a_unit_that_returns_passes() {
    let report = World::new().run("t.expect(True, \"fine\")");
    assert_eq!(
        report.result.outcome(),
        Outcome::Pass,
        "{:?}",
        report.result
    );
    assert_eq!(report.result.message, "");
}

#[rstest]
#[case::expect(
    "t.expect(1 == 2, \"{} is not {}\", 1, [2])",
    Outcome::Fail,
    "1 is not [2]"
)]
#[case::fail("t.fail(\"bad: {}\", \"x\\n\\ty\")", Outcome::Fail, "bad: x\\n\\ty")]
#[case::inconclusive("t.inconclusive(\"no idea\")", Outcome::Inconclusive, "no idea")]
#[case::unanswered(
    "(lambda a: a(\"label\", \"Is it there?\"))(t.ask)",
    Outcome::Inconclusive,
    "attestations.toml"
)]
#[case::silence(
    "t.console.expect(\"never\", timeout = 0.05)",
    Outcome::Fail,
    "did not appear"
)]
#[case::no_method("t.console.expect(\"x\").nothing", Outcome::Fail, "did not appear")]
#[case::attribute("t.device.nothing", Outcome::Error, "nothing")]
#[case::division("1 // 0", Outcome::Error, "zero")]
#[case::no_number("int(\"x\")", Outcome::Error, "x")]
#[case::explicit("fail(\"the script gives up\")", Outcome::Error, "the script gives up")]
#[case::types("t.console.send(1)", Outcome::Error, "data")]
#[case::missing_argument(
    "(lambda c: c.send())(t.console)",
    Outcome::Error,
    "Missing parameter `data`"
)]
#[case::too_many("(lambda p: p.on(1))(t.power)", Outcome::Error, "1")]
#[case::regex("t.console.expect(\"(\")", Outcome::Error, "unclosed group")]
#[case::time("t.wait(-1, \"back\")", Outcome::Error, "-1")]
#[case::no_time("t.wait(float(\"nan\"), \"?\")", Outcome::Error, "NaN")]
#[case::no_probe("t.probe.read(0, 4)", Outcome::Error, "probe")]
#[case::no_button("t.press(\"mode\", 1)", Outcome::Error, "mode")]
#[case::no_function("t.dut.fly()", Outcome::Error, "dut.fly")]
#[case::no_image("t.image(\"older\")", Outcome::Error, "update")]
#[case::no_region("t.power.cut_at_write(\"attic\", 1)", Outcome::Error, "store")]
#[case::no_need("t.has(\"luck\")", Outcome::Error, "known are")]
#[case::no_table("t.ixit(\"1-Auth\")", Outcome::Error, "1-AuthMech")]
#[case::no_provision("t.ics(\"5.five\")", Outcome::Error, "5.five")]
#[case::case_again("case(id = \"5.11-1-2\")", Outcome::Error, "top level")]
#[case::range(
    "blob(\"abc\").flip(24)",
    Outcome::Error,
    "outside of a blob of 3 bytes"
)]
#[case::huge("blob_fill(0, 1 << 40)", Outcome::Error, "too large")]
#[case::mark("t.console.since(1 << 50)", Outcome::Error, "is not a mark")]
fn one_message_tells_what_and_where(
    #[case] body: &str,
    #[case] outcome: Outcome,
    #[case] message: &str,
) {
    let body = body.replace("\"x\").nothing", "\"x\", timeout = 0.05).nothing");
    let result = World::new().run(&body).result;
    assert_eq!(result.outcome(), outcome, "{result:?}");
    assert!(result.message.contains(message), "{result:?}");
    assert_eq!(result.message.lines().count(), 1, "{result:?}");
    let at = result.at.expect("a place");
    assert!(at.file.ends_with("5.11-1-2.star"), "{at}");
    assert_eq!(at.line, FIRST_LINE, "{at}");
    assert!(!result.stack.is_empty());
}

#[test]
fn silence_of_a_dut_without_power_is_the_benchs_fault() {
    let result = World::new()
        .run("t.power.off()\nt.console.expect(\"never\", timeout = 0.05)")
        .result;
    assert_eq!(result.outcome(), Outcome::Error, "{result:?}");
    assert!(result.message.contains("switched off"), "{result:?}");
}

#[test]
fn silence_proves_nothing_when_the_probe_does_not_answer() {
    let world = World::new();
    world.files.replace(
        "devices.toml",
        "tags = [\"bench1\"]\n",
        "tags = [\"bench1\"]\nprobe = { selector = \"dead:beef:none\" }\n",
    );
    let result = world
        .run("t.console.expect(\"never\", timeout = 0.05)")
        .result;
    assert_eq!(result.outcome(), Outcome::Error, "{result:?}");
    assert!(result.message.contains("dead:beef"), "{result:?}");
}

#[test]
fn an_answer_of_an_assessor_is_taken_with_its_evidence() {
    let world = World::new();
    world.files.write("label.jpg", "a photo").write(
        "attestations.toml",
        "[[attestation]]\nid = \"label\"\ndevice = \"wired\"\nquestion = \"Is it there?\"\n\
         answer = \"yes\"\nname = \"A. Sessor\"\ndate = 2026-01-31\nevidence = \"label.jpg\"\n",
    );
    let report = world.run("t.expect(t.ask(\"label\", \"Is it there?\") == \"yes\", \"no label\")");
    assert_eq!(
        report.result.outcome(),
        Outcome::Pass,
        "{:?}",
        report.result
    );
    assert_eq!(report.step("ask").artefacts, ["label.jpg"]);
    assert_eq!(report.step("ask").result["name"], "A. Sessor");
}
