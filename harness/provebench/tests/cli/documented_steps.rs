//! What the documents tell to write, written; what they tell to run, run; on virtual boards.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::Value;

use crate::text;
use provebench_testing::{TestBench, repository, virtual_sensor};

/// A block of code in Markdown.
struct Block {
    language: String,
    text: String,
}

fn blocks(document: &str) -> Vec<Block> {
    let document = fs::read_to_string(repository().join(document)).unwrap();
    let parts = document.split("\n```").skip(1).step_by(2);
    let blocks = parts.map(|part| part.split_once('\n').unwrap());
    blocks
        .map(|(language, text)| Block {
            language: language.into(),
            text: format!("{text}\n"),
        })
        .collect()
}

/// Runs provebench in the folder of the bench; exit code, and all that it said.
fn provebench(bench: &TestBench, arguments: &[&str]) -> (Option<i32>, String) {
    let output = assert_cmd::Command::new(env!("CARGO_BIN_EXE_provebench"))
        .current_dir(bench.root())
        .env("XDG_RUNTIME_DIR", bench.root())
        .env("XDG_STATE_HOME", bench.root().join("state"))
        .env("PROVEBENCH_LEASES", bench.root().join("leases"))
        .env_remove("PROVEBENCH_DEVICES")
        .args(arguments)
        .output()
        .unwrap();
    let said = text(&output.stdout) + &text(&output.stderr);
    (output.status.code(), said)
}

/// Outcomes of the latest run as `sensor-a a pass`.
fn outcomes(bench: &TestBench, case: &str) -> Vec<String> {
    let results = fs::read(bench.root().join("runs/latest/results.json")).unwrap();
    let results: Value = serde_json::from_slice(&results).unwrap();
    let devices = results["devices"].as_array().unwrap();
    let of_device = |device: &Value| -> Vec<String> {
        let units = device["cases"][case]["units"].as_array().unwrap();
        let told = |unit: &Value| {
            let parts = [&device["name"], &unit["unit"], &unit["outcome"]];
            parts.map(|part| part.as_str().unwrap()).join(" ")
        };
        units.iter().map(told).collect()
    };
    devices.iter().flat_map(of_device).collect()
}

#[test]
fn a_product_is_brought_up() {
    const REAL: &str = ", for the real board";
    let bench = TestBench::new();
    fs::remove_dir_all(bench.targets()).unwrap();
    fs::create_dir_all(bench.root().join("targets/lamp")).unwrap();
    for shipped in ["targets/virtual-board", "target"] {
        symlink(repository().join(shipped), bench.root().join(shipped)).unwrap();
    }
    bench.write("targets/lamp/ixit.toml", "");
    bench.write("targets/lamp/ics.toml", "");
    bench.write("targets/lamp/driver.star", "");

    let blocks = blocks("docs/targets.md");
    let files = blocks.iter().filter_map(|block| {
        let (path, text) = block.text.strip_prefix("# ")?.split_once('\n')?;
        // The product without a debug probe is followed where there are networks.
        path.contains("lamp").then_some((path, text))
    });
    let (real, first): (Vec<_>, Vec<_>) = files.partition(|(path, _)| path.ends_with(REAL));
    assert_eq!((first.len(), real.len()), (6, 2));
    for (path, text) in first {
        if path.starts_with("targets/lamp/") && bench.root().join(path).exists() {
            bench.append(path, text);
        } else {
            bench.write(path, text);
        }
    }
    let lamp = ["--devices", "lamp.toml"];
    let (code, said) = provebench(&bench, &[&["check"], &lamp[..]].concat());
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = provebench(&bench, &[&["run", "5.3-16-2"], &lamp[..]].concat());
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(
        outcomes(&bench, "5.3-16-2"),
        ["lamp-1 a pass", "lamp-1 b pass"]
    );

    for (path, text) in real {
        bench.write(path.strip_suffix(REAL).unwrap(), text);
    }
    // It has no images yet: `check` would miss them.
    let (code, said) = provebench(&bench, &[&["list", "devices"], &lamp[..]].concat());
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("lamp-1"), "{said}");
}

#[test]
fn a_test_case_is_written_and_seen_to_fail() {
    let scripts: Vec<Block> = blocks("docs/writing-tests.md")
        .into_iter()
        .filter(|block| block.language == "python" && block.text.contains("case("))
        .collect();
    let [first, all, by_row] = &scripts[..] else {
        panic!("{} scripts", scripts.len());
    };
    let sensor = |name, serial, flaw| virtual_sensor(name, serial, "q7Hd-Vn3x-TzKe", flaw);
    let flaw = "forgets-settings-on-power-cut";
    let bench = TestBench::of_sensors([
        sensor("sensor-a", "PB250001", None),
        sensor("sensor-b", "PB250002", Some(flaw)),
    ]);
    let devices = fs::read_to_string(bench.devices()).unwrap();
    let block = blocks("docs/writing-tests.md");
    let told = block.iter().find(|block| block.text.contains("options"));
    let told = &told.expect("the flaw").text;
    assert!(devices.contains(told.trim()), "{told}");

    let targets = bench.targets();
    let run = |words: &[&str]| {
        let targets = ["--targets", targets.to_str().unwrap()];
        provebench(&bench, &[words, &targets[..]].concat())
    };
    bench.write("testcases/acme/acme-1.star", &first.text);
    bench.write("testcases/acme/acme-2.star", &by_row.text);
    for module in fs::read_dir(repository().join("testcases/lib")).unwrap() {
        let module = module.unwrap();
        let name = format!("testcases/lib/{}", module.file_name().to_str().unwrap());
        bench.write(&name, fs::read_to_string(module.path()).unwrap());
    }
    let (code, said) = run(&["check"]);
    assert_eq!(code, Some(0), "{said}");
    bench.write("testcases/acme/acme-1.star", &all.text);
    let (code, said) = run(&["run", "acme-1"]);
    assert_eq!(code, Some(1), "{said}");
    assert_eq!(
        outcomes(&bench, "acme-1"),
        [
            "sensor-a a pass",
            "sensor-a b pass",
            "sensor-b a pass",
            "sensor-b b fail"
        ],
        "{said}"
    );
}

/// Each on its own: they are parts of units.
#[test]
fn snippets_of_the_reference_are_right() {
    let bench = TestBench::new();
    let blocks = blocks("docs/writing-tests.md");
    let snippets = blocks.iter().filter(|block| block.language == "python");
    let snippets = snippets.filter(|block| !block.text.contains("case("));
    let mut found = 0;
    for (n, snippet) in snippets.enumerate() {
        let lines = snippet.text.lines().map(|line| format!("    {line}\n"));
        // What the text around it says is there.
        let given = "    image = t.image(\"update\")\n";
        let script = format!(
            "\"\"\"A snippet.\"\"\"\n\ncase(id = \"snippet-{n}\")\n\ndef unit_a(t):\n    \"It.\"\n{given}{}",
            lines.collect::<String>(),
            n = n + 1,
        );
        bench.write(&format!("testcases/snippet-{}.star", n + 1), script);
        found += 1;
    }
    assert!(found >= 6, "only {found} snippets");
    let (code, said) = provebench(&bench, &["check"]);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn answers_of_assessors_are_in_order() {
    let bench = TestBench::new();
    let blocks = blocks("docs/writing-tests.md");
    let answers = blocks.iter().find(|b| b.text.contains("[[attestation]]"));
    bench.write("targets/sensor/attestations.toml", &answers.unwrap().text);
    bench.write("targets/sensor/photos/leaflet.jpg", "a photograph");
    let (code, said) = provebench(&bench, &["check"]);
    assert_eq!(code, Some(0), "{said}");
}
