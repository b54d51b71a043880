use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use rstest::rstest;

use crate::sharing::IDS;
use crate::{Cli, text};

#[test]
fn a_run_ends_with_where_its_reports_are() {
    let cli = Cli::new();
    cli.passing();
    cli.case(
        "5.11-1-2",
        "",
        &[
            ('a', "t.save(\"dump.txt\", \"kept\")"),
            ('b', "t.fail(\"\\0]]>\\x1b[2J\")"),
        ],
    );
    let output = text(&cli.run(&[]).code(1).get_output().stdout);
    assert!(
        !output.contains('\u{1b}'),
        "no colours, no DUT's escapes: {output:?}"
    );
    let run = |name: &str| {
        let line = output.lines().find(|line| line.ends_with(name));
        let path = line.unwrap_or_else(|| panic!("{name} in {output}"));
        cli.bench
            .root()
            .join(path.split_whitespace().last().unwrap())
    };
    let junit = run("junit.xml");
    let results = run("results.json");
    let manifest = run("manifest.sha256");

    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let check = Command::new(root.join("ci/check-junit"))
        .args([&junit, &results])
        .output()
        .unwrap();
    assert!(check.status.success(), "{check:?}");
    let check = Command::new("sha256sum")
        .args(["--check", "--strict"])
        .arg(&manifest)
        .current_dir(manifest.parent().unwrap())
        .output()
        .unwrap();
    assert!(check.status.success(), "{check:?}");
    let hashed = text(&check.stdout);
    for file in [
        "journal.jsonl",
        "junit.xml",
        "results.json",
        "cases/one/5.11-1-2/dump.txt",
        "cases/two/5.11-1-2/steps.jsonl",
    ] {
        assert!(
            hashed.contains(&format!("{file}: OK")),
            "{file} in {hashed}"
        );
    }
}

#[test]
fn attachments_are_found_from_where_the_run_was_started() {
    let cli = Cli::new();
    cli.case("5.11-1-2", "", &[('a', "t.save(\"dump.txt\", \"kept\")")]);
    cli.run(&["one"]).code(0);
    assert_relative_attachments(&cli);
}

/// GitLab takes no others, and a run that goes on is found by a link (`latest`).
#[test]
fn attachments_are_found_also_after_going_on() {
    let cli = Cli::new();
    cli.case("5.11-1-2", "", &[('a', "t.save(\"dump.txt\", \"kept\")")]);
    let runs = cli.bench.root().canonicalize().unwrap().join("runs");
    cli.run(&["one", "--runs", runs.to_str().unwrap()]).code(0);
    assert_relative_attachments(&cli);
    cli.run(&["--resume", "latest"]).code(0);
    assert_relative_attachments(&cli);
}

fn assert_relative_attachments(cli: &Cli) {
    let junit = text(&cli.read("runs/latest/junit.xml"));
    let attached: Vec<&str> = junit
        .split("[[ATTACHMENT|")
        .skip(1)
        .map(|rest| rest.split("]]").next().unwrap())
        .collect();
    assert!(
        attached.iter().all(|path| path.starts_with("runs/2")),
        "{attached:?}"
    );
    let saved = attached.iter().find(|path| path.ends_with("dump.txt"));
    assert_eq!(
        cli.read(saved.expect("the saved file is attached")),
        b"kept"
    );
}

/// One event a line, in the order in which things happen.
#[test]
fn the_journal_tells_what_happened() {
    let cli = Cli::new();
    cli.passing();
    cli.run(&["one"]).code(0);
    let journal = text(&cli.read("runs/latest/journal.jsonl"));
    let events: Vec<String> = journal
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|event| event["event"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        events,
        [
            "run-started",
            "device-started",
            "case-started",
            "unit-started",
            "unit-finished",
            "case-finished",
            "device-finished",
            "run-finished"
        ]
    );
}

/// What was found is not lost for a full disk: reports go where there is room, and what is missing is told.
#[test]
fn a_full_disk_loses_no_result() {
    let cli = Cli::new();
    cli.case("5.1-1-2", "", &[('a', "t.fail(\"user data is left\")")]);
    let fill = "[t.save(\"f%d.txt\" % n, \"x\" * 4000) for n in range(1000)]";
    cli.case("5.1-2-2", "", &[('a', fill)]);
    for id in &IDS[2..14] {
        cli.case(id, "", &[('a', "t.expect(True, \"never\")")]);
    }
    fs::create_dir(cli.bench.root().join("runs")).unwrap();
    let room = cli.bench.root().join("room");
    fs::create_dir(&room).unwrap();
    // Its folder of runs is a disk of its own, and a small one.
    let mounted =
        "mount -t tmpfs -o size=128k none runs && exec \"$0\" run one --quarantine-after 0";
    let output = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", mounted])
        .arg(env!("CARGO_BIN_EXE_provebench"))
        .current_dir(cli.bench.root())
        .env("PROVEBENCH_LEASES", cli.bench.root().join("leases"))
        .env("TMPDIR", &room)
        .output()
        .expect("unshare(1) is there");
    let (said, told) = (text(&output.stdout), text(&output.stderr));
    let told = told.replace("\n  │ ", " ");
    let told = told.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(output.status.code(), Some(3), "{said}{told}");
    assert!(said.contains("1 failed"), "{said}{told}");
    assert!(told.contains("the journal ends before the run"), "{told}");
    assert!(told.contains("No space left"), "{told}");
    assert!(said.contains("INTERRUPTED by the journal"), "{said}");
    for name in ["results.json", "junit.xml"] {
        let line = said.lines().find(|line| line.ends_with(name));
        let path = line.unwrap_or_else(|| panic!("{name} in {said}"));
        let path = Path::new(path.split_whitespace().last().unwrap());
        assert!(path.starts_with(&room), "{said}");
        let report = fs::read_to_string(path).unwrap();
        assert!(report.contains("user data is left"), "{report}");
        let folder = path.parent().unwrap().metadata().unwrap();
        assert_eq!(folder.permissions().mode() & 0o777, 0o700);
    }
}

/// Modes of all folders and of all files of all runs.
fn modes(cli: &Cli) -> (BTreeSet<u32>, BTreeSet<u32>) {
    let (mut folders, mut files) = (BTreeSet::new(), BTreeSet::new());
    let mut left = vec![cli.bench.root().join("runs")];
    while let Some(folder) = left.pop() {
        folders.insert(folder.metadata().unwrap().permissions().mode() & 0o777);
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                left.push(entry.path());
            } else if kind.is_file() {
                files.insert(entry.metadata().unwrap().permissions().mode() & 0o777);
            }
        }
    }
    (folders, files)
}

/// What a device says may be secret: only who asks for it shares it.
#[rstest]
#[case::private(&[], "", 0o700, 0o600)]
#[case::by_option(&["--runs-mode", "0750"], "", 0o750, 0o640)]
#[case::by_inventory(&[], "runs_mode = \"0755\"\n", 0o755, 0o644)]
#[case::by_both(&["--runs-mode", "700"], "runs_mode = \"0755\"\n", 0o700, 0o600)]
fn runs_belong_to_their_user(
    #[case] arguments: &[&str],
    #[case] key: &str,
    #[case] folder: u32,
    #[case] file: u32,
) {
    let cli = Cli::new();
    cli.case("5.11-1-2", "", &[('a', "t.save(\"dump.txt\", \"kept\")")]);
    let devices = text(&cli.read("devices.toml"));
    cli.bench.write("devices.toml", format!("{key}{devices}"));
    cli.run(arguments).code(0);
    assert_eq!(modes(&cli), ([folder].into(), [file].into()));
}

#[rstest]
#[case::option(&["run", "--runs-mode", "0777"], "", "0700 (the user only)")]
#[case::inventory(&["check"], "runs_mode = \"0777\"\n", "expected one of `0700`, `0750`, `0755`")]
fn nobody_else_writes_into_runs(#[case] arguments: &[&str], #[case] key: &str, #[case] told: &str) {
    let cli = Cli::new();
    cli.passing();
    let devices = text(&cli.read("devices.toml"));
    cli.bench.write("devices.toml", format!("{key}{devices}"));
    let output = cli.command(arguments).assert().code(2);
    let error = [&output.get_output().stderr[..], &output.get_output().stdout].concat();
    let error = text(&error).replace("\n  │ ", " ");
    assert!(error.contains(told), "{error}");
}

/// Reports leave the bench; what the label says, and what opens plugs, stays.
#[rstest]
#[case::hidden(&[], false)]
#[case::shown(&["--show-secrets"], true)]
fn secrets_are_in_no_report(#[case] arguments: &[&str], #[case] are_shown: bool) {
    let cli = Cli::new();
    let log = "t.log(\"typed {}\", t.device.label[\"password\"]); t.save(t.device.label[\"password\"] + \".txt\", \"\"); ";
    let said = "t.fail(\"refused {} and {}\", t.device.label[\"password\"], blob(\"x\" + t.device.label[\"password\"]).base64())";
    cli.case("5.11-1-2", "", &[('a', &format!("{log}{said}"))]);
    let devices = text(&cli.read("devices.toml"));
    let label = "label = { serial = \"S1\", password = \"correct horse!\" }\n";
    // A plug that can't be reached: the error may tell where it is, but no password.
    let plug = "power = { driver = \"tasmota\", url = \"http://admin:URLSECRET88@127.0.0.1:9\" }\n";
    let devices = devices.replacen("tags", &format!("{label}tags"), 1);
    cli.bench.write("devices.toml", devices + plug);
    let output = cli.run(arguments);
    let output = output.get_output().clone();
    let mut texts = vec![text(&output.stdout), text(&output.stderr)];
    for file in ["junit.xml", "results.json", "journal.jsonl"] {
        texts.push(text(&cli.read(&format!("runs/latest/{file}"))));
    }
    let steps = "runs/latest/cases/one/5.11-1-2/steps.jsonl";
    texts.push(text(&cli.read(steps)));
    for text in &texts {
        let has_password = text.contains("correct horse") || text.contains("Y29ycmVjdCBob3JzZS");
        assert!(!has_password || are_shown, "{text}");
        assert!(!text.contains("URLSECRET88"), "{text}");
    }
    assert_eq!(texts[2].contains("correct horse!"), are_shown);
    assert!(
        texts[2].contains("_password_on_the_label_.txt") != are_shown,
        "{}",
        texts[2]
    );
    let is_marked = texts[2].contains("[password on the label]");
    assert_eq!(is_marked, !are_shown, "{}", texts[2]);
}
