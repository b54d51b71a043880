//! What is written as JUnit XML must be read alike by parsers that are not ours, whatever the DUT
//! and the scripts put into it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use provebench_record::event::{
    Attempt, CaseInfo, DeviceInfo, Event, Fault, Outcome, Settings, Skip, SkipKind, Stamper,
    UnitResult,
};
use provebench_record::report::{Results, junit};
use provebench_record::text::{excerpt, printable_bytes};
use provebench_standard::{CaseId, UnitName};
use quick_xml::Reader;
use quick_xml::escape::unescape;
use quick_xml::events::Event as Xml;
use rstest::rstest;
use time::OffsetDateTime;

const HOSTILE: &[&[u8]] = &[
    b"",
    b"\0\x01\x02\x08\x0b\x0c\x0e\x1f\x7f",
    b"\x1b[2J\x1b]0;title\x07\x1b[31m",
    b"]]>",
    b"]]]]>>]]>",
    b"<![CDATA[ <!-- --> <?xml?> &lt; &#0; &bogus; ]]",
    b"\"'<>&",
    b"\xff\xfe\x80\xc3(",
    b"\xc2\x85\xc2\x9b\xef\xbf\xbe\xef\xbf\xbf\xe2\x80\xae",
    b"line\r\nline\rline\n\n\n",
    b"[[ATTACHMENT|/etc/passwd]]",
    "K\u{fc}che \u{1f512} \u{10ffff}".as_bytes(),
];

#[test]
fn other_parsers_read_what_was_meant() {
    let dir = tempfile::tempdir().unwrap();
    let devices = ["sensor-a", "sensor \"<b>\""];
    let mut results = run(&devices, &["5.11-1-2", "5.2-1-2"]);
    let outcomes = [
        Outcome::Pass,
        Outcome::Fail,
        Outcome::Error,
        Outcome::Inconclusive,
    ];
    for device in devices {
        for (n, hostile) in HOSTILE.iter().enumerate() {
            for (m, outcome) in outcomes.into_iter().enumerate() {
                let unit = char::from(b'a' + u8::try_from((n * 4 + m) % 26).unwrap());
                finish_unit(
                    &mut results,
                    device,
                    "5.11-1-2",
                    unit,
                    outcome,
                    &String::from_utf8_lossy(hostile),
                    hostile,
                );
            }
        }
        skip(&mut results, device, "5.2-1-2", "no <power>, ]]> \0");
    }

    check(&results, dir.path());
}

#[test]
fn a_run_of_nothing_is_a_report_too() {
    let dir = tempfile::tempdir().unwrap();
    check(&run(&["sensor-a"], &[]), dir.path());
}

#[rstest]
fn text_survives(#[values(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)] n: usize) {
    let text = printable_bytes(HOSTILE[n]);
    let xml = to_xml(&failed(&text, b""));
    let failure = text_of(&xml, "failure");
    assert_eq!(failure, format!("{text}\nto show: unit a\nat x.star:1"));
}

/// The only case of the only device is over, and has left these files.
fn finish_case(results: &mut Results, evidence: &str, files: [&str; 2]) {
    apply(
        results,
        Event::CaseFinished {
            device: "sensor-a".into(),
            case: id("5.11-1-2"),
            seconds: 1.0,
            evidence: Some(evidence.into()),
            files: files.map(Into::into).into(),
            will_retry: false,
        },
    );
}

/// Whoever reads a report is told of it, also where the unit was decided by what was seen.
#[test]
fn what_was_not_seen_is_told() {
    let mut results = failed("x", b"");
    for count in [1000, 200] {
        apply(
            &mut results,
            Event::NotSeen {
                device: "sensor-a".into(),
                case: id("5.11-1-2"),
                losses: [("frames-missed".to_owned(), count)].into(),
            },
        );
    }
    finish_case(
        &mut results,
        "cases/sensor-a/5.11-1-2",
        ["console.log", "steps.jsonl"],
    );
    let out = text_of(&to_xml(&results), "system-out");
    let told = "not seen by the bench: frames missed: 1200";
    assert!(out.lines().any(|line| line == told), "{out}");
    let json = serde_json::to_value(&results).unwrap();
    let case = &json["devices"][0]["cases"]["5.11-1-2"];
    assert_eq!(case["not_seen"]["frames-missed"], 1200);
    let summary = provebench_record::report::summary(&results, Path::new("runs/r"), 120);
    assert!(summary.contains("frames missed: 1200"), "{summary}");
}

/// Whose exit code is 3 says why, though each unit did better when it was tried again.
#[test]
fn errors_of_the_bench_are_counted_beside_those_of_units() {
    let mut results = failed("x", b"");
    for message in ["the board has died", "the board has died again"] {
        apply(
            &mut results,
            Event::DeviceError {
                device: "sensor-a".into(),
                message: message.into(),
            },
        );
    }
    let summary = provebench_record::report::summary(&results, Path::new("runs/r"), 120);
    assert!(summary.contains("; errors of the bench: 2"), "{summary}");
}

#[test]
fn attachments_stand_alone_on_their_lines() {
    let mut results = failed("x", b"boot\r\nlogin: \x1b[31m");
    let evidence = "cases/sensor-a/5.11-1-2";
    finish_case(&mut results, evidence, ["console.log", "steps.jsonl"]);
    let out = text_of(&to_xml(&results), "system-out");
    assert_eq!(
        out.lines().collect::<Vec<_>>(),
        [
            "boot",
            "login: \\x1b[31m",
            "[[ATTACHMENT|runs/r/cases/sensor-a/5.11-1-2/console.log]]",
            "[[ATTACHMENT|runs/r/cases/sensor-a/5.11-1-2/steps.jsonl]]"
        ]
    );
}

/// GitLab shows the first attachment of a unit that failed; Jenkins keeps one file of each name for a unit.
#[test]
fn the_attempt_that_counts_is_attached_and_the_others_are_told() {
    let mut results = run(&["sensor-a"], &["5.11-1-2"]);
    for (retry, outcome) in [(0, Outcome::Error), (1, Outcome::Fail)] {
        let attempt = Attempt { round: 1, retry };
        apply(
            &mut results,
            Event::CaseStarted {
                device: "sensor-a".into(),
                case: id("5.11-1-2"),
                attempt,
                evidence: None,
            },
        );
        finish_unit(&mut results, "sensor-a", "5.11-1-2", 'a', outcome, "x", b"");
        let evidence = format!("cases/sensor-a/5.11-1-2_{retry}");
        finish_case(&mut results, &evidence, ["after.json", "console.log"]);
    }
    let xml = to_xml(&results);
    let out = text_of(&xml, "system-out");
    let lines: Vec<_> = out.lines().filter(|line| line.contains("runs/r")).collect();
    assert_eq!(
        lines,
        [
            "[[ATTACHMENT|runs/r/cases/sensor-a/5.11-1-2_1/console.log]]",
            "[[ATTACHMENT|runs/r/cases/sensor-a/5.11-1-2_1/after.json]]",
            "another attempt: runs/r/cases/sensor-a/5.11-1-2_0",
        ],
        "{xml}"
    );
}

/// GitLab ignores reports of 30 MB and more, and all but one of several results with the same class and name.
#[test]
fn even_a_huge_report_is_one_that_gitlab_takes() {
    let cases: Vec<String> = (1..=100).map(|n| format!("5.11-{n}-2")).collect();
    let cases: Vec<&str> = cases.iter().map(String::as_str).collect();
    let devices = ["sensor-a", "sensor-b"];
    let mut results = run(&devices, &cases);
    let message = "why it failed ".repeat(300);
    let console = "what it said on the way ".repeat(100);
    for device in devices {
        for case in &cases {
            for unit in 'a'..='z' {
                finish_unit(
                    &mut results,
                    device,
                    case,
                    unit,
                    Outcome::Fail,
                    &message,
                    console.as_bytes(),
                );
            }
        }
    }
    let xml = to_xml(&results);
    // All of it would be 34 MB.
    assert!(xml.len() < 30_000_000, "{}", xml.len());
    assert!(
        xml.len() > 5_000_000,
        "there is room for more: {}",
        xml.len()
    );
    let names = attributes_of(&xml, "testcase", "name");
    let classes = attributes_of(&xml, "testcase", "classname");
    assert_eq!(names.len(), devices.len() * cases.len() * 26);
    let unique: BTreeSet<_> = classes.iter().zip(&names).collect();
    assert_eq!(unique.len(), names.len());
}

/// Consumers would fetch the file that the DUT names.
#[test]
fn the_dut_cannot_attach_files() {
    let xml = to_xml(&failed("x", b"ok\r\n[[ATTACHMENT|/etc/passwd]]\r\n"));
    let out = text_of(&xml, "system-out");
    assert!(out.contains("/etc/passwd"), "{out}");
    assert!(
        !out.lines()
            .any(|line| line.trim().starts_with("[[ATTACHMENT|")),
        "{out}"
    );
}

/// The results of unit a and of a case that is skipped, of the devices of a bench that are in a run.
#[rstest]
#[case::all(&["sensor-a", "sensor-b"], true, false, &["[sensor-a]", "[sensor-b]"])]
#[case::in_another_order(&["sensor-b", "sensor-a"], true, false, &["[sensor-b]", "[sensor-a]"])]
#[case::the_second_only(&["sensor-b"], true, false, &["[sensor-b]"])]
#[case::the_only_one_that_there_is(&["sensor-c"], false, false, &[""])]
#[case::shared(&["sensor-b"], true, true, &[""])]
#[case::shared_and_begun_twice(&["sensor-a", "sensor-b"], true, true, &["", "[sensor-b]"])]
#[case::of_an_older_run(&["sensor-a", "sensor-b"], false, false, &["", "[sensor-b]"])]
fn boards_are_told_apart_without_breaking_history(
    #[case] devices: &[&str],
    #[case] has_siblings: bool,
    #[case] is_shared: bool,
    #[case] marks: &[&str],
) {
    let settings = Settings {
        is_shared,
        ..Settings::default()
    };
    let mut results = run_with(devices, &["5.11-1-2", "5.2-1-2"], has_siblings, settings);
    for device in devices {
        let outcome = Outcome::Pass;
        finish_unit(&mut results, device, "5.11-1-2", 'a', outcome, "", b"");
        skip(&mut results, device, "5.2-1-2", "no power");
    }
    let xml = to_xml(&results);
    let names = attributes_of(&xml, "testcase", "name");
    let expected = marks.iter().flat_map(|mark| {
        ["5.2-1-2", "5.11-1-2 a"].map(|id| format!("{id} {mark}").trim_end().to_owned())
    });
    assert_eq!(names, expected.collect::<Vec<_>>());
    let classes = attributes_of(&xml, "testcase", "classname");
    let expected = ["reference-sensor.5.2-1", "reference-sensor.5.11-1"].repeat(devices.len());
    assert_eq!(classes, expected);
    let hosts = attributes_of(&xml, "testsuite", "hostname");
    assert_eq!(
        hosts,
        devices.iter().flat_map(|d| [*d, *d]).collect::<Vec<_>>()
    );
}

/// Another wording begins no new history, but is told.
#[test]
fn the_wording_is_no_part_of_the_name() {
    let mut results = run(&["sensor-a"], &["5.11-1-2", "5.2-1-2"]);
    let outcomes = [Outcome::Pass, Outcome::Fail, Outcome::Inconclusive];
    for (unit, outcome) in ('a'..).zip(outcomes) {
        finish_unit(
            &mut results,
            "sensor-a",
            "5.11-1-2",
            unit,
            outcome,
            "x",
            b"",
        );
    }
    skip(&mut results, "sensor-a", "5.2-1-2", "no power");
    let xml = to_xml(&results);
    let names = attributes_of(&xml, "testcase", "name");
    assert_eq!(names, ["5.2-1-2", "5.11-1-2 a", "5.11-1-2 b", "5.11-1-2 c"]);
    for wording in ["unit a", "unit b", "unit c", "what 5.2-1-2 shows <&>"] {
        assert_eq!(
            xml.matches(&format!("to show: {wording}")).count(),
            1,
            "{xml}"
        );
    }
}

/// A row is part of the name: a result for each, and a history of its own in CI.
#[test]
fn units_that_run_for_rows_have_a_test_case_each() {
    let mut results = run(&["sensor-a"], &["5.1-5-2"]);
    for (row, outcome) in [
        ("AuthMech-Console", Outcome::Pass),
        ("AuthMech-<Api>", Outcome::Fail),
    ] {
        let unit = UnitName::of_row('b', row);
        finish_unit(&mut results, "sensor-a", "5.1-5-2", unit, outcome, "x", b"");
    }
    let xml = to_xml(&results);
    assert_eq!(xml.matches("<testcase ").count(), 2, "{xml}");
    for name in [
        "5.1-5-2 b [AuthMech-Console]",
        "5.1-5-2 b [AuthMech-&lt;Api&gt;]",
    ] {
        assert!(xml.contains(&format!("name=\"{name}\"")), "{xml}");
    }
    // The wording is the unit's.
    assert!(xml.contains("to show: unit b"), "{xml}");
}

/// What the bench may have missed is told of units that passed, too.
#[test]
fn notes_are_told_whatever_the_outcome() {
    let mut results = run(&["sensor-a"], &["5.11-1-2"]);
    apply(
        &mut results,
        Event::UnitFinished {
            device: "sensor-a".into(),
            case: id("5.11-1-2"),
            result: UnitResult {
                unit: 'a'.into(),
                outcome: Outcome::Pass,
                fault: None,
                message: None,
                doubt: None,
                at: None,
                stack: Vec::new(),
                seconds: 0.25,
                notes: vec![
                    "3 frames were missed \u{202e}]]>".into(),
                    "[[ATTACHMENT|/etc/passwd]]".into(),
                ],
                console: None,
            },
        },
    );
    let out = text_of(&to_xml(&results), "system-out");
    assert_eq!(
        out.lines().collect::<Vec<_>>(),
        [
            "to show: unit a",
            "note: 3 frames were missed \\u{202e}]]>",
            "note: [ [ATTACHMENT|/etc/passwd]]"
        ]
    );
    let summary = provebench_record::report::summary(&results, Path::new("runs/r"), 100);
    assert!(
        summary.contains("NOTE sensor-a 5.11-1-2 a  3 frames were missed"),
        "{summary}"
    );
    let dir = tempfile::tempdir().unwrap();
    check(&results, dir.path());
}

/// `cargo test --release --test junit -- --ignored --nocapture a_hundred_thousand_results`
#[rstest]
#[case::passed(Outcome::Pass)]
#[case::failed(Outcome::Fail)]
#[ignore = "a measurement"]
fn a_hundred_thousand_results(#[case] outcome: Outcome) {
    let cases: Vec<String> = (1..=1000).map(|n| format!("5.11-{n}-2")).collect();
    let cases: Vec<&str> = cases.iter().map(String::as_str).collect();
    let devices = ["a", "b", "c", "d"];
    let mut results = run(&devices, &cases);
    for device in devices {
        for case in &cases {
            for unit in 'a'..='y' {
                let message = "user data is left at 0x0003_0000: ".repeat(3);
                finish_unit(
                    &mut results,
                    device,
                    case,
                    unit,
                    outcome,
                    &message,
                    b"app: ready\r\n> ",
                );
            }
        }
    }
    let began = Instant::now();
    let xml = to_xml(&results);
    println!(
        "{outcome}: 100,000 results, {} bytes, {:.3} s",
        xml.len(),
        began.elapsed().as_secs_f64()
    );
}

#[test]
fn huge_text_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let flood = "\0<&]]>".repeat(1_000_000);
    let results = failed(&flood, flood.as_bytes());
    check(&results, dir.path());
    assert!(to_xml(&results).len() < 100_000);
}

#[test]
fn many_results_take_no_time() {
    let cases: Vec<String> = (1..=1000).map(|n| format!("5.11-{n}-2")).collect();
    let cases: Vec<&str> = cases.iter().map(String::as_str).collect();
    let mut results = run(&["sensor-a"], &cases);
    for case in cases {
        for unit in 'a'..='z' {
            finish_unit(&mut results, "sensor-a", case, unit, Outcome::Pass, "", b"");
        }
    }
    let began = Instant::now();
    let xml = to_xml(&results);
    let took = began.elapsed();
    assert_eq!(attributes_of(&xml, "testcase", "name").len(), 26_000);
    assert!(xml.len() < 30_000_000, "{}", xml.len());
    // 100,000 take less than 1 s in a release build; this only catches what grows with the square.
    assert!(took.as_secs() < 20, "{took:?}");
}

/// Has `ci/check-junit` compare the report with what xmllint and junitparser make of it.
fn check(results: &Results, dir: &Path) {
    let junit = dir.join("junit.xml");
    let json = dir.join("results.json");
    fs::write(&junit, to_xml(results)).unwrap();
    fs::write(&json, serde_json::to_vec(results).unwrap()).unwrap();
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let output = Command::new(root.join("ci/check-junit"))
        .args([&junit, &json])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

fn failed(message: &str, console: &[u8]) -> Results {
    let mut results = run(&["sensor-a"], &["5.11-1-2"]);
    finish_unit(
        &mut results,
        "sensor-a",
        "5.11-1-2",
        'a',
        Outcome::Fail,
        message,
        console,
    );
    results
}

fn run(devices: &[&str], cases: &[&str]) -> Results {
    run_with(devices, cases, devices.len() > 1, Settings::default())
}

fn run_with(devices: &[&str], cases: &[&str], has_siblings: bool, settings: Settings) -> Results {
    let info = |case: &&str| {
        let units = ('a'..='z').map(|u| (u, format!("unit {u}"))).collect();
        let info = CaseInfo {
            title: format!("what {case} shows <&>"),
            file: format!("5.11/{case}.star"),
            units,
        };
        (id(case), info)
    };
    let device = |name: &&str| DeviceInfo {
        name: (*name).into(),
        target: "reference-sensor".into(),
        model: "PB-RS1".into(),
        images: "release".into(),
        digests: BTreeMap::from([("boot".into(), "0123abcd".into())]),
        has_siblings,
    };
    let mut results = Results::new();
    apply(
        &mut results,
        Event::RunStarted {
            run: "r".into(),
            version: "0".into(),
            devices: devices.iter().map(device).collect(),
            cases: cases.iter().map(info).collect::<BTreeMap<_, _>>(),
            unselected: BTreeSet::new(),
            planned: BTreeMap::new(),
            unselected_units: BTreeMap::new(),
            settings,
        },
    );
    results
}

fn finish_unit(
    results: &mut Results,
    device: &str,
    case: &str,
    unit: impl Into<UnitName>,
    outcome: Outcome,
    message: &str,
    console: &[u8],
) {
    apply(
        results,
        Event::UnitFinished {
            device: device.into(),
            case: id(case),
            result: UnitResult {
                unit: unit.into(),
                outcome,
                fault: (outcome == Outcome::Error).then_some(Fault::Bench),
                message: Some(message.into()),
                doubt: None,
                at: Some("x.star:1".into()),
                stack: Vec::new(),
                seconds: 0.25,
                notes: Vec::new(),
                console: excerpt(console),
            },
        },
    );
}

fn skip(results: &mut Results, device: &str, case: &str, reason: &str) {
    apply(
        results,
        Event::CaseSkipped {
            device: device.into(),
            case: id(case),
            skip: Skip {
                kind: SkipKind::Missing,
                reason: reason.into(),
            },
        },
    );
}

fn apply(results: &mut Results, event: Event) {
    results.apply(&Stamper::new("bench-1", 0).stamp(OffsetDateTime::UNIX_EPOCH, event));
}

fn id(case: &str) -> CaseId {
    case.parse().unwrap()
}

fn to_xml(results: &Results) -> String {
    let mut xml = Vec::new();
    junit::write(results, Path::new("runs/r"), &mut xml).unwrap();
    String::from_utf8(xml).unwrap()
}

fn text_of(xml: &str, element: &str) -> String {
    let mut reader = Reader::from_str(xml);
    let mut text = String::new();
    let mut inside = false;
    loop {
        match reader.read_event().unwrap() {
            Xml::Start(tag) if tag.name().as_ref() == element.as_bytes() => inside = true,
            Xml::End(tag) if tag.name().as_ref() == element.as_bytes() => return text,
            Xml::CData(data) if inside => text += str::from_utf8(&data).unwrap(),
            Xml::Eof => panic!("no {element} in {xml}"),
            _ => {}
        }
    }
}

fn attributes_of(xml: &str, element: &str, attribute: &str) -> Vec<String> {
    let mut reader = Reader::from_str(xml);
    let mut values = Vec::new();
    loop {
        match reader.read_event().unwrap() {
            Xml::Start(tag) | Xml::Empty(tag) if tag.name().as_ref() == element.as_bytes() => {
                let value = tag.try_get_attribute(attribute).unwrap().unwrap();
                let text = str::from_utf8(&value.value).unwrap();
                values.push(unescape(text).unwrap().into_owned());
            }
            Xml::Eof => return values,
            _ => {}
        }
    }
}
