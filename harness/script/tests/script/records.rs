//! The evidence trail, and what scripts are told.

use std::fs;

use provebench_record::event::Outcome;
use rstest::rstest;

use crate::bench::World;

#[test]
fn every_call_is_a_step() {
    let report = World::new().run(
        "t.console.line(\"hello\")\n\
         m = t.console.expect(\"said (?P<what>\\\\w+)(x)?\\r\\n\")\n\
         t.expect(m.groups == [\"hello\", None], \"{}\", m.groups)\n\
         t.expect(m.named == {\"what\": \"hello\"}, \"{}\", m.named)\n\
         t.save(\"../notes/a b.txt\", \"text\")\n\
         t.log(\"{} bytes\", 3)\n\
         print(\"printed\")",
    );
    assert_eq!(
        report.result.outcome(),
        Outcome::Pass,
        "{:?}",
        report.result
    );
    let expected = [
        "console.line",
        "console.expect",
        "expect",
        "expect",
        "save",
        "log",
        "print",
    ];
    assert_eq!(report.names(), expected);
    let seqs: Vec<_> = report.steps.iter().map(|step| step.number).collect();
    assert_eq!(seqs, (1..=7).collect::<Vec<_>>());
    assert!(
        report
            .steps
            .iter()
            .all(|step| step.unit == Some('a'.into()))
    );
    assert_eq!(report.step("console.line").arguments["text"], "hello");
    assert_eq!(report.step("console.expect").result, "said hello\\r\\n");
    assert_eq!(report.step("log").arguments["message"], "3 bytes");
    let saved = &report.step("save").artefacts[0];
    assert!(!saved.contains('/'), "{saved}");
}

#[test]
fn hostile_output_breaks_nothing() {
    let world = World::new();
    let report = world.run(
        "mark = t.console.mark()\n\
         t.console.line(\"garbage\")\n\
         m = t.console.expect(\"(?s-u:.*) end\\r\\n\")\n\
         seen = t.console.since(mark)\n\
         t.log(\"{} {}\", seen, m)\n\
         t.save(t.console.text_since(mark), seen)\n\
         t.canary(m.text)\n\
         t.fail(\"saw {}\", t.console.text_since(mark))",
    );
    assert_eq!(
        report.result.outcome(),
        Outcome::Fail,
        "{:?}",
        report.result
    );
    let printable = |text: &str| text.chars().all(|c| !c.is_control() && c != '\u{202e}');
    assert!(
        printable(&report.result.message),
        "{}",
        report.result.message
    );
    for step in &report.steps {
        let json = serde_json::to_string(step).expect("serializes");
        assert!(printable(&json), "{json}");
    }
    let saved = &report.step("save").artefacts[0];
    let kept = fs::read(world.files.root().join("evidence").join(saved)).expect("it is there");
    assert!(kept.ends_with(b" end\r\n"));
}

#[test]
fn much_output_stays_short_in_the_record() {
    let report = World::new().run(
        "mark = t.console.mark()\n\
         t.console.line(\"flood\")\n\
         t.console.line(\"over\")\n\
         t.console.expect(\"you said over\\r\\n\")\n\
         t.log(\"{}\", t.random(100000))",
    );
    assert_eq!(
        report.result.outcome(),
        Outcome::Pass,
        "{:?}",
        report.result
    );
    for step in &report.steps {
        let json = serde_json::to_string(step).expect("serializes");
        assert!(json.len() < 4000, "{} of {}", json.len(), step.name);
    }
    assert_eq!(report.step("random").artefacts, ["random.bin"]);
}

#[rstest]
#[case("t.device.name", "wired")]
#[case("t.device.label[\"serial\"]", "S1")]
#[case("t.device.options[\"flaw\"]", "none")]
#[case("[s.name for s in t.siblings]", "[\"emulated\"]")]
#[case("t.target.name", "sensor")]
#[case("t.target.product", "{colour: \"white\", model: \"S-1\"}")]
#[case("t.target.timing[\"reset\"]", "2.5")]
#[case("t.target.options[\"flaw\"]", "{no-lockout: {}, none: {}}")]
#[case(
    "[(m.name, m.role, m.size) for m in t.target.memory][1]",
    "(\"store\", \"user-data\", 4096)"
)]
#[case("t.images", "[\"boot\", \"update\"]")]
#[case("t.image(\"update\").text()", "update")]
#[case(
    "t.ics(\"5.1-1\")",
    "struct(support = \"yes\", detail = \"on the label\")"
)]
#[case("t.ics(\"5.2-1\").support", "None")]
#[case("t.ixit(\"1-AuthMech\")[0][\"id\"]", "AuthMech-Console")]
#[case("t.ixit(\"2-UserInfo\")", "[]")]
#[case(
    "[t.has(n) for n in [\"power\", \"console\", \"probe\", \"dut.login\", \"press.reset\"]]",
    "[True, True, False, True, True]"
)]
#[case("t.has(\"siblings\")", "False")]
#[case("len(t.canary(\"x\", length = 40))", "40")]
#[case("0 < t.deadline() and t.deadline() <= 180 and t.now() >= 0", "True")]
#[case("t.console.try_expect(\"never\", timeout = 0.05)", "None")]
fn scripts_are_told(#[case] expression: &str, #[case] expected: &str) {
    let report = World::new().run(&format!("t.fail(\"{{}}\", {expression})"));
    assert_eq!(report.result.message, expected);
}

#[test]
fn the_same_seed_gives_the_same_values() {
    let values = |seed| {
        let mut world = World::new();
        world.seed = seed;
        world
            .run("t.fail(\"{} {}\", t.canary(\"x\"), t.random(8))")
            .result
            .message
    };
    assert_eq!(values(7), values(7));
    assert_ne!(values(7), values(8));
}
