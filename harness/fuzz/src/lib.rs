//! The parsers of what others wrote or send, for `ci/fuzz`. No input may make them panic, hang, or take memory without
//! bound; where more can be said, it is asserted.

use std::{fs, path::Path, sync::LazyLock};

use tempfile::TempDir;

use provebench::{
    redact::Secrets,
    runner::{Expression, lease},
};
use provebench_bench::{
    console,
    inventory::{Inventory, Target},
};
use provebench_network as network;
use provebench_network::services;
use provebench_record::{
    report::{EarlierError, Journal, Results, junit, summary},
    text,
};
use provebench_script::Attestations;
use provebench_standard::declared::{self, Declared, Finding, Sources, Statement};

/// A parser.
pub type Parser = fn(&[u8]);

/// All of them by name.
pub const PARSERS: &[(&str, Parser)] = &[
    // What a DUT sends.
    ("console-log", console::fuzzing::log),
    ("console-pattern", console::fuzzing::pattern),
    ("console-rfc2217", console::fuzzing::rfc2217),
    ("contents", network::fuzzing::contents),
    ("dhcp", services::fuzzing::dhcp),
    ("dns", services::fuzzing::dns),
    ("frames", network::fuzzing::frames),
    ("hello", network::fuzzing::hello),
    ("http-answer", network::fuzzing::http_answer),
    ("http-request", services::fuzzing::http_request),
    ("mqtt", services::fuzzing::mqtt),
    ("text", shown),
    // What people and other processes write.
    ("attestations", attestations),
    ("devices", devices),
    ("filter", filter),
    ("ics", ics),
    ("ixit", ixit),
    ("journal", journal),
    ("lease", lease::fuzz_holder),
    ("redact", redact),
    ("results", results),
    ("target", target),
];

/// A file with that content, in a folder of this process.
fn file(name: &str, data: &[u8]) -> std::path::PathBuf {
    static FOLDER: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a folder"));
    let path = FOLDER.path().join(name);
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    fs::write(&path, data).expect("a file");
    path
}

fn attestations(data: &[u8]) {
    let _ = Attestations::load(&file("attestations.toml", data), &[]);
}

fn devices(data: &[u8]) {
    let path = file("bench/devices.toml", data);
    if let Err(error) = Inventory::load(&path, Path::new("targets")) {
        let _ = format!("{:?}", miette::Report::new(error));
    }
}

fn target(data: &[u8]) {
    let path = file("targets/product/target.toml", data);
    let folder = path.parent().expect("a folder");
    if let Err(error) = Target::load(folder, folder.parent().expect("a folder"), &[]) {
        let _ = format!("{:?}", miette::Report::new(error));
    }
}

/// Whatever is wrong can be told.
fn told(findings: &[Finding]) {
    for finding in findings {
        assert!(!finding.told().is_empty());
    }
}

fn ics(data: &[u8]) {
    if let Ok(text) = str::from_utf8(data) {
        let (statement, findings) = Statement::parse(&Sources::one("ics.toml", text));
        told(&findings);
        told(&statement.check());
        declared::check(&Declared::default(), Some(&statement));
    }
}

fn ixit(data: &[u8]) {
    if let Ok(text) = str::from_utf8(data) {
        let (ixit, findings) = Declared::parse(&Sources::one("ixit.toml", text));
        told(&findings);
        told(&ixit.missing(|_| true));
        told(&declared::check(&ixit, None));
    }
}

fn filter(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let mut no_run = |name: &str| {
        Err(EarlierError::Missing {
            name: name.into(),
            runs: "runs".into(),
        })
    };
    if let Err(error) = Expression::parse(text, &mut no_run) {
        let _ = format!("{:?}", miette::Report::new(error));
    }
}

/// What a journal says can be reported, and read again.
fn journal(data: &[u8]) {
    if let Ok(Some(_)) = Journal::from_lines(data) {
        let path = file("run/journal.jsonl", data);
        let run = path.parent().and_then(Path::to_str).expect("its folder");
        let results = Results::of_earlier(Path::new(""), run).expect("it is a run");
        report(&results);
    }
}

fn results(data: &[u8]) {
    if let Ok(results) = Results::from_json(data) {
        report(&results);
    }
}

fn report(results: &Results) {
    let run = Path::new("run");
    let shown = summary(results, run, 100);
    assert!(!shown.contains('\u{202e}'), "{shown:?}");
    let mut xml = Vec::new();
    junit::write(results, run, &mut xml).expect("JUnit can be written");
    let mut reader = quick_xml::Reader::from_reader(&xml[..]);
    while reader.read_event().expect("it is XML") != quick_xml::events::Event::Eof {}
    let json = serde_json::to_vec(results).expect("results can be written");
    Results::from_json(&json).expect("results can be read again");
}

/// A secret in the first line, a text in the rest.
fn redact(data: &[u8]) {
    let Some((secrets, shown)) = str::from_utf8(data).ok().and_then(|t| t.split_once('\n')) else {
        return;
    };
    let all = secrets.split(',').map(|secret| ("?".into(), secret.into()));
    let blacked = Secrets::new(all).black_out(shown).into_owned();
    for secret in secrets.split(',').map(str::trim) {
        let is_like_the_mark = secret.contains(['[', '?', ']']);
        if secret.len() >= 6 && secret.chars().count() >= 3 && !is_like_the_mark {
            assert!(!blacked.contains(secret), "{secret:?} in {blacked:?}");
        }
    }
}

/// Nothing of it is obeyed or hidden.
fn shown(data: &[u8]) {
    let all = text::printable_bytes(data);
    let lines = text::excerpt(data).unwrap_or_default();
    let line = text::one_line(&String::from_utf8_lossy(data), 100);
    assert!(line.chars().count() <= 100, "{line:?}");
    for (shown, allowed) in [(all, "\n\t"), (lines, "\n\t"), (line, "")] {
        let is_harmful = |c| text::is_hostile(c) && !allowed.contains(c);
        assert!(!shown.contains(is_harmful), "{shown:?}");
    }
}
