use std::fs;
use std::path::Path;

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

/// A target's folder comes with a merge request: what it names must not lead to other files of this machine.
#[rstest]
#[case::evidence_of_answers(|root: &Path| {
    let answer = "[[attestation]]\nid = \"x\"\nquestion = \"?\"\nanswer = \"yes\"\nname = \"A\"\ndate = 2026-01-31\n";
    let outside = "evidence = \"../../secret\"\n";
    fs::write(root.join("targets/sensor/attestations.toml"), answer.to_owned() + outside).unwrap();
}, "outside of")]
#[case::answers(|root: &Path| link("../../secret", root, "targets/sensor/attestations.toml"), "outside of")]
#[case::image(|root: &Path| {
    fs::remove_file(root.join("targets/sensor/boot.bin")).unwrap();
    link("../../secret", root, "targets/sensor/boot.bin");
}, "outside of")]
#[case::driver(|root: &Path| {
    fs::remove_file(root.join("targets/sensor/driver.star")).unwrap();
    link("../../secret", root, "targets/sensor/driver.star");
}, "outside of")]
#[case::declarations(|root: &Path| {
    fs::remove_file(root.join("targets/sensor/ics.toml")).unwrap();
    link("../../secret", root, "targets/sensor/ics.toml");
}, "outside of")]
#[case::script(|root: &Path| link("../secret", root, "testcases/more.star"), "outside of")]
#[case::endless_script(|root: &Path| link("/dev/zero", root, "testcases/more.star"), "a device")]
#[case::endless_image(|root: &Path| {
    fs::remove_file(root.join("targets/sensor/boot.bin")).unwrap();
    link("/dev/zero", root, "targets/sensor/boot.bin");
}, "a device")]
#[case::fifo(|root: &Path| fifo(root, "testcases/more.star"), "a FIFO")]
#[case::fifo_beside_the_driver(|root: &Path| {
    fs::remove_file(root.join("targets/sensor/driver.star")).unwrap();
    fifo(root, "targets/sensor/driver.star");
}, "a FIFO")]
fn other_files_of_this_machine_are_not_read(#[case] spoil: fn(&Path), #[case] why: &str) {
    let cli = Cli::new();
    cli.passing();
    cli.bench.write("secret", "root:$6$hash:19000");
    spoil(cli.bench.root());
    let output = cli
        .command(&["check"])
        .assert()
        .code(2)
        .get_output()
        .clone();
    let said = text(&output.stderr);
    assert!(said.contains(why), "{said}");
    assert!(!said.contains("$6$"), "{said}");
}

fn link(to: &str, root: &Path, path: &str) {
    std::os::unix::fs::symlink(to, root.join(path)).unwrap();
}

fn fifo(root: &Path, path: &str) {
    nix::unistd::mkfifo(&root.join(path), nix::sys::stat::Mode::S_IRWXU).unwrap();
}

/// What the user allows is read.
#[test]
fn images_that_are_built_elsewhere_can_be_allowed() {
    let cli = Cli::new();
    cli.passing();
    let root = cli.bench.root();
    fs::create_dir(root.join("out")).unwrap();
    fs::rename(
        root.join("targets/sensor/boot.bin"),
        root.join("out/boot.bin"),
    )
    .unwrap();
    link("../../out/boot.bin", root, "targets/sensor/boot.bin");
    cli.command(&["check"]).assert().code(2);
    cli.command(&["check", "--allow-path", "out"])
        .assert()
        .code(0);
    let devices = fs::read_to_string(root.join("devices.toml")).unwrap();
    cli.bench.write(
        "devices.toml",
        format!("allow_paths = [\"out\"]\n{devices}"),
    );
    cli.command(&["check"]).assert().code(0);
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

/// With nothing to program, whatever was in the device before would be tested. (That of others is told by the tests of
/// the inventory.)
#[rstest]
#[case::empty("", "", "is empty")]
#[case::only_end("hex", ":00000001FF\n", "has no byte that goes into memory")]
#[case::no_end("hex", ":0100000001FE\n", "is cut off")]
#[case::user_data("hex", ":0110000001EE\n:00000001FF\n", "goes to 0x1000")]
#[case::elf_as_bin("", "\x7fELF\x01\x01\x01", "looks like ELF")]
fn bad_images_are_told_by_whatever_would_program_them(
    #[case] format: &str,
    #[case] file: &str,
    #[case] what: &str,
    #[values(&["check"][..], &["flash", "two"], &["flash", "two", "boot"], &["run", "two"])]
    command: &[&str],
) {
    let cli = Cli::new();
    cli.passing();
    cli.bench.write("targets/sensor/boot.bin", file);
    if !format.is_empty() {
        let format = format!("format = \"{format}\"\n");
        cli.bench
            .replace(TestBench::TARGET_FILE, "address = 0x0\n", &format);
    }
    let output = cli.command(command).assert().code(2).get_output().clone();
    let said = text(&output.stderr);
    assert!(said.contains(what), "{said}");
    assert!(said.contains("sensor/target.toml:27:8"), "{said}");
    assert!(!said.contains("already there"), "{said}");
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
