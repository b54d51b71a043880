use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;

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
#[case::rounds_without_end(&["run", "--repeat", "10001"])]
#[case::retries_without_end(&["run", "--retry-errors", "101"])]
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

/// A disk that is full.
fn full() -> Stdio {
    File::options()
        .write(true)
        .open("/dev/full")
        .unwrap()
        .into()
}

#[rstest]
#[case::plan(&["plan"])]
#[case::schema(&["schema", "devices"])]
#[case::completions(&["completions", "bash"])]
#[case::man(&["man"])]
#[case::list(&["list", "cases"])]
#[case::check(&["check"])]
#[case::help(&["--help"])]
#[case::help_of_a_command(&["help", "run"])]
#[case::version(&["--version"])]
#[case::run(&["run"])]
fn what_can_not_be_printed_is_told(#[case] words: &[&str]) {
    let cli = Cli::new();
    cli.passing();
    let output = cli.program(words).stdout(full()).output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("standard output is not complete"), "{said}");
}

/// There is nobody to tell, and the exit code is what it would be.
#[rstest]
#[case::failure(&["plan", "--devices", "none.toml"], 2)]
#[case::usage(&["walk"], 2)]
#[case::problems(&["check", "--devices", "none.toml"], 2)]
#[case::good(&["plan"], 0)]
#[case::log(&["plan"], 0)]
fn standard_error_may_be_full_or_closed(#[case] words: &[&str], #[case] code: i32) {
    let cli = Cli::new();
    cli.passing();
    let run = |stderr: Stdio| {
        let mut program = cli.program(words);
        program.env("PROVEBENCH_LOG", "trace").stdout(Stdio::null());
        let mut child = program.stderr(stderr).spawn().unwrap();
        drop(child.stderr.take());
        child.wait().unwrap().code()
    };
    assert_eq!(run(full()), Some(code));
    assert_eq!(run(Stdio::piped()), Some(code));
}

#[rstest]
#[case(&["power", "one", "cycle", "--off", "nan"])]
#[case(&["power", "one", "cycle", "--off", "inf"])]
#[case(&["power", "one", "cycle", "--off", "1e300"])]
#[case(&["power", "one", "cycle", "--off", "-1"])]
#[case(&["power", "one", "cycle", "--off=-1"])]
#[case(&["power", "one", "cycle", "--off", "soon"])]
#[case(&["console", "one", "--idle", "nan"])]
#[case(&["console", "one", "--idle", "-1"])]
#[case(&["console", "one", "--idle", "1e300"])]
#[case(&["run", "--deadline", "18446744073709551615"])]
#[case(&["run", "--unit-deadline", "0"])]
#[case(&["run", "--wait=-1"])]
#[case(&["run", "--wait=nan"])]
#[case(&["run", "--repeat=-1"])]
#[case(&["run", "--retry-errors", "1e9"])]
fn numbers_that_can_not_be_are_refused(#[case] words: &[&str]) {
    let cli = Cli::new();
    cli.passing();
    let output = cli.command(words).assert().code(2).get_output().clone();
    let said = text(&output.stderr);
    let option = words.iter().find(|word| word.starts_with("--")).unwrap();
    let option = option.split('=').next().unwrap();
    assert!(said.contains(option), "{said}");
    assert!(said.len() < 1000, "{said}");
}

#[test]
fn a_long_number_is_not_printed_out() {
    let cli = Cli::new();
    let body = "t.console.expect(\"x\", timeout = 1e300)";
    cli.case("5.1-1-2", "", &[('a', body)]);
    let output = cli.run(&["one"]).code(3).get_output().clone();
    let said = text(&output.stdout);
    assert!(
        said.contains("timeout = 1e300 is not a valid duration"),
        "{said}"
    );
}

#[test]
fn nobody_hears_of_a_log_that_was_not_asked_for() {
    let cli = Cli::new();
    cli.passing();
    let said = |asked: &str| {
        let mut command = cli.command(&["run", "one"]);
        let output = command.env("PROVEBENCH_LOG", asked).output().unwrap();
        (output.status.code(), text(&output.stderr))
    };
    assert_eq!(said(""), (Some(0), String::new()));
    let (code, traced) = said("trace");
    assert_eq!(code, Some(0));
    assert!(!traced.is_empty() && !traced.contains('\u{1b}'), "{traced}");
    let (code, refused) = said("provebench=loud");
    assert_eq!(code, Some(2));
    assert!(refused.contains("PROVEBENCH_LOG"), "{refused}");
}

/// Whatever the environment is, or is not.
#[rstest]
#[case::nothing_for_anybody("umask 0777")]
#[case::all_for_all("umask 0")]
#[case::no_home("unset HOME XDG_STATE_HOME XDG_RUNTIME_DIR TERM")]
#[case::dumb_terminal("TERM=dumb")]
#[case::turkish("LC_ALL=tr_TR.UTF-8 LANG=tr_TR.UTF-8; export LC_ALL LANG")]
#[case::plain("LC_ALL=POSIX LANG=C; export LC_ALL LANG")]
#[case::no_folder_for_temporary_files("TMPDIR=/nowhere; export TMPDIR")]
fn it_works_in_an_unusual_environment(#[case] setting: &str) {
    let cli = Cli::new();
    cli.passing();
    let script = format!("{setting}; exec \"$0\" run one");
    let output = limited(&cli, &["sh", "-c", &script], &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(!cli.read("runs/latest/junit.xml").is_empty());
}

/// What was tried when no more files could be opened is not to blame.
#[rstest]
#[case::console(&["console", "one"])]
#[case::run(&["run", "one"])]
#[case::doctor(&["doctor", "one"])]
fn a_limit_on_open_files_is_named(#[case] arguments: &[&str]) {
    // What other tests have open at this moment is inherited.
    const LIMITED: &str = r#"
        for fd in /proc/self/fd/*; do fd=${fd##*/}; [ "$fd" -lt 3 ] || eval "exec $fd>&-"; done
        ulimit -n 14; exec "$0" "$@""#;
    let cli = Cli::new();
    cli.passing();
    let limited = limited(&cli, &["bash", "-c", LIMITED], arguments);
    let said = text(&[limited.stdout, limited.stderr].concat());
    assert_eq!(limited.status.code(), Some(3), "{said}");
    assert!(said.contains("ulimit -n"), "{said}");
}

/// What comes of provebench when it is started by another program, which limits it or sets something.
fn limited(cli: &Cli, by: &[&str], arguments: &[&str]) -> std::process::Output {
    std::process::Command::new(by[0])
        .args(&by[1..])
        .arg(env!("CARGO_BIN_EXE_provebench"))
        .args(arguments)
        .current_dir(cli.bench.root())
        .env("PROVEBENCH_LEASES", cli.bench.root().join("leases"))
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// `ulimit -v`: which of the threads and buffers does not fit is a matter of luck.
#[test]
fn too_little_memory_is_named_and_no_bug_of_ours() {
    let cli = Cli::new();
    cli.passing();
    for limit in (300..=700).step_by(40) {
        let memory = format!("--as={limit}000000");
        let limited = limited(&cli, &["prlimit", &memory], &["run", "one"]);
        let said = text(&[limited.stdout, limited.stderr].concat());
        let code = limited.status.code();
        let is_named = code == Some(3) && said.contains("ulimit -v");
        assert!(code == Some(0) || is_named, "{limit} MB, {code:?}: {said}");
        assert!(!said.contains("bug in provebench"), "{limit} MB: {said}");
    }
}

/// What is around a mistake is shown, but for what nobody is to read over one's shoulder.
#[rstest]
#[case::of_a_field(
    "label = { serial = \"SN77\", password = \"secretpw1234\" }\n\
     power = { driver = \"command\", on = [\"true\"], off = [\"true\"] }",
    "are the same"
)]
#[case::of_the_value("label = \"secretpw1234\"", "invalid type")]
#[case::of_the_file(
    "label = { password = \"secretpw1234\" }\npower = { driver = ",
    "devices.toml"
)]
fn messages_about_devices_show_no_passwords(#[case] lines: &str, #[case] told: &str) {
    let cli = Cli::new();
    cli.passing();
    let device = format!("[[device]]\nname = \"a\"\ntarget = \"sensor\"\n{lines}\n");
    cli.bench.write("devices.toml", device);
    let said = |arguments: &[&str]| {
        let output = cli.command(arguments).assert().code(2).get_output().clone();
        text(&output.stderr)
    };
    let shown = said(&["check"]);
    assert!(shown.contains(told), "{shown}");
    assert!(!shown.contains("secretpw"), "{shown}");
    assert!(shown.contains("************"), "{shown}");
    let shown = said(&["check", "--show-secrets"]);
    assert!(shown.contains("\"secretpw1234\""), "{shown}");
}
