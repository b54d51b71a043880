use rstest::rstest;

use crate::{Cli, TestBench, text};

#[rstest]
#[case::no_command(&[])]
#[case::unknown_command(&["walk"])]
#[case::unknown_option(&["run", "--fast"])]
#[case::unknown_device(&["flash", "three"])]
#[case::unknown_word(&["run", "three"])]
#[case::unknown_clause(&["plan", "5.2"])]
#[case::unknown_tag(&["plan", "--tag", "middle"])]
#[case::nothing_left(&["plan", "--tag", "left", "--tag", "right"])]
#[case::no_devices(&["plan", "--devices", "none.toml"])]
#[case::no_targets(&["plan", "--targets", "none"])]
#[case::no_testcases(&["plan", "--testcases", "none"])]
#[case::no_attestations(&["run", "--attestations", "none.toml"])]
fn usage_is_2(#[case] arguments: &[&str]) {
    let cli = Cli::new();
    cli.passing();
    let output = cli.command(arguments).assert().code(2).get_output().clone();
    let said = text(&output.stderr);
    let named = arguments.last().is_some_and(|last| said.contains(last));
    let is_told = named || said.contains("Usage") || said.contains("nothing is selected");
    assert!(is_told, "{said}");
    assert!(!cli.bench.root().join("runs").exists(), "nothing was run");
}

#[rstest]
#[case::devices("devices.toml", "[[device]]\nname = 7\n", "devices.toml:2")]
#[case::target(TestBench::TARGET_FILE, "[target]\nmodel = 1\n", "target.toml")]
#[case::ics(
    TestBench::ICS_FILE,
    "\"5.99-1\" = { support = \"yes\" }\n",
    "ics.toml"
)]
#[case::driver("targets/sensor/driver.star", "def login(d:\n", "driver.star:")]
#[case::case("testcases/5.1/5.1-1-2.star", "case(id = 7)\n", "5.1-1-2.star:1")]
#[case::attestations(
    "targets/sensor/attestations.toml",
    "[[attestation]]\nid = 7\n",
    "attestations.toml"
)]
fn broken_files_are_told_once_with_their_place(
    #[case] file: &str,
    #[case] content: &str,
    #[case] place: &str,
) {
    let cli = Cli::new();
    cli.passing();
    cli.bench.write(file, content);
    let output = cli.run(&[]).code(2).get_output().clone();
    let said = text(&output.stderr);
    assert!(said.contains(place), "{said}");
    assert!(!cli.bench.root().join("runs").exists(), "nothing was run");
}

/// They may have to be built: the run does not begin without.
#[test]
fn missing_images_are_told_before_the_run() {
    let cli = Cli::new();
    cli.passing();
    cli.bench.remove("targets/sensor/boot.bin");
    let output = cli.run(&[]).code(2).get_output().clone();
    let said = text(&output.stderr);
    assert!(
        said.contains("boot.bin") && said.contains("make images"),
        "{said}"
    );
    assert!(!cli.bench.root().join("runs").exists(), "nothing was run");
}

#[test]
fn evidence_that_can_not_be_kept_is_a_bench_error() {
    let cli = Cli::new();
    cli.passing();
    cli.bench.write("runs", "a file");
    let output = cli.run(&[]).code(3).get_output().clone();
    let said = text(&output.stderr);
    assert!(said.contains("cannot create runs/"), "{said}");
}

#[test]
fn help_documents_the_exit_codes() {
    let output = Cli::new()
        .command(&["--help"])
        .assert()
        .code(0)
        .get_output()
        .clone();
    let said = text(&output.stdout);
    for code in ["0  ", "1  ", "2  ", "3  ", "4  ", "130  "] {
        assert!(
            said.lines().any(|line| line.trim().starts_with(code)),
            "{code}: {said}"
        );
    }
}
