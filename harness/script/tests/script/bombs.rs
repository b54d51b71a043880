//! Scripts that do too much: each ends as an ERROR of its unit, or as a file that can't be loaded. None ends the process,
//! and none stays.

use std::env;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use provebench_record::event::Outcome;
use provebench_script::Suite;
use rstest::rstest;

use crate::bench::{PATIENCE, World};

/// What the child is told to do, and which way.
const BOMB: &str = "PROVEBENCH_TEST_BOMB";
const WAY: &str = "PROVEBENCH_TEST_BOMB_WAY";
/// How its line begins that says how that ended.
const ENDED: &str = "ended: ";

/// An eighth of what scripts have usually: of addresses, which the stack and the heap are a share of, and of memory.
const SMALL: [&str; 2] = ["prlimit", "--as=8589934592"];
const SMALL_MEMORY: usize = 256 << 20;
/// Short: some are ended by nothing else.
const DEADLINE_TIME: Duration = Duration::from_secs(3);
const GRACE: Duration = Duration::from_millis(500);

/// In a process of its own, since it may well end it.
fn set_off(way: &str, bomb: &str, before: &[&str]) -> String {
    let this = env::current_exe().expect("this program");
    let mut command = match before {
        [] => Command::new(this),
        [program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments).arg(this);
            command
        }
    };
    let child = command
        .args(["bombs::one", "--exact", "--ignored", "--nocapture"])
        .env(BOMB, bomb)
        .env(WAY, way)
        .output()
        .expect("it can be started");
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success(), "{}: {child:?}", child.status);
    let end = said
        .lines()
        .find_map(|line| Some(line.split_once(ENDED)?.1.to_owned()));
    end.unwrap_or_else(|| panic!("it did not end: {said}"))
}

#[test]
#[ignore = "run by the others, in a process of its own"]
fn one() {
    let bomb = env::var(BOMB).expect("what to do");
    // Too long for an environment.
    let bomb = match bomb.strip_prefix('@') {
        Some(path) => fs::read_to_string(path).expect("it is there"),
        None => bomb,
    };
    let begin = Instant::now();
    let way = env::var(WAY).expect("which way");
    if way == "load" {
        let world = World::new();
        world.files.write("cases/acme-1.star", bomb);
        let loaded = Suite::load(Some(&world.files.root().join("cases")));
        let end = match &loaded {
            Ok(_) => "loaded".to_owned(),
            Err(error) => format!("refused: {error}"),
        };
        println!("{ENDED}{end}");
    } else {
        let mut world = World::new().driver("def pass_on(d, x = None):\n    return x\n");
        match &*way {
            "small" => {
                world.deadline = DEADLINE_TIME;
                world.bounds = Some((SMALL_MEMORY, GRACE));
            }
            "whole" => world.deadline = DEADLINE_TIME * 2,
            _ => {}
        }
        let result = world.run(&bomb).result;
        // The next one has a bench and a session in order.
        world.deadline = PATIENCE;
        let next = world
            .run("t.console.send(\"help\\r\")\nt.console.expect(\"you said\")")
            .result;
        assert_eq!(next.outcome(), Outcome::Pass, "{next:?}");
        println!("{ENDED}{}: {}", result.outcome(), result.message);
    }
    assert!(begin.elapsed() < 4 * PATIENCE);
}

// Deep enough for the stack of any thread that is not made for it, and too deep for the one that is.
const LISTS: &str = "x = []\nfor i in range(200000):\n    x = [x]\n";
const TUPLES: &str = "x = ()\nfor i in range(200000):\n    x = (x,)\n";
const MANY_LISTS: &str = "x = []\nfor i in range(2500000):\n    x = [x]\n";
const MANY_TUPLES: &str = "x = ()\nfor i in range(2500000):\n    x = (x,)\n";
const DICTS: &str = "x = {}\nfor i in range(1000):\n    x = {\"a\": x}\n";
const STRUCTS: &str = "x = struct()\nfor i in range(1000):\n    x = struct(a = x)\n";
const PARTIALS: &str = "x = partial(len)\nfor i in range(1000):\n    x = partial(len, x)\n";
const SETS: &str = "x = ()\nfor i in range(1000):\n    x = (x,)\nx = set([x])\n";
const TWICE: &str = "x = []\ny = []\nfor i in range(60):\n    x = [x, x]\n    y = [y, y]\n";
const BLOBS: &str = "all = []\nfor i in range(100000):\n    all.append(blob_fill(0, 20000000))\n";

/// What ends a bomb, if it does not meet a limit of its own: slow machines come no further.
const DEADLINE: &str = "the deadline has passed";

#[rstest]
#[case::lists_repr(MANY_LISTS, "repr(x)", "nested too deeply")]
#[case::lists_json(MANY_LISTS, "json.encode(x)", "nested too deeply")]
#[case::lists_f_string(MANY_LISTS, "f\"{x}\"", "nested too deeply")]
#[case::lists_equal(
    LISTS,
    "y = []\nfor i in range(200000):\n    y = [y]\nx == y",
    "recursion"
)]
#[case::lists_less(
    LISTS,
    "y = []\nfor i in range(200000):\n    y = [y]\nx < y",
    "recursion"
)]
#[case::lists_sorted(
    LISTS,
    "y = []\nfor i in range(200000):\n    y = [y]\nsorted([x, y])",
    "recursion"
)]
#[case::many_tuples_repr(MANY_TUPLES, "repr(x)", "nested too deeply")]
#[case::many_tuples_key(MANY_TUPLES, "d = {x: 1}\nfail(\"held\")", "held")]
#[case::many_tuples_set(MANY_TUPLES, "s = set([x])\nfail(\"held\")", "held")]
#[case::many_tuples_in(MANY_TUPLES, "x in {}\nfail(\"held\")", "held")]
#[case::lists_searched(LISTS, "t.net.watch_for([x])", "")]
#[case::twice_repr(TWICE, "repr(x)", "MiB of memory")]
#[case::twice_json(TWICE, "json.encode(x)", "MiB of memory")]
#[case::twice_equal(TWICE, "x == y", DEADLINE)]
#[case::itself("x = []\nx.append(x)\n", "json.encode(x)", "ycle")]
#[case::list_repeated("n = 1000000000\n", "[0] * n", "MiB of memory")]
#[case::tuple_repeated("n = 1000000000\n", "(0,) * n", "MiB of memory")]
#[case::text_repeated("n = 2000000000\n", "(\"ab\" * n)", "MiB of memory")]
#[case::list_listed(
    "n = 2000000000\n",
    "list(range(n))",
    "the interpreter of scripts can't do that"
)]
#[case::list_made("", "[i for i in range(2000000000)]", "")]
#[case::list_grown("x = [0]\n", "for i in range(60):\n    x += x", "MiB of memory")]
#[case::joined("x = [\"x\" * 1000000] * 1000000\n", "\",\".join(x)", "MiB of memory")]
#[case::replaced("x = \"x\" * 1000000\n", "x.replace(\"x\", x)", "MiB of memory")]
#[case::formatted(
    "x = \"x\" * 1000000\n",
    "(\"{}\" * 100000).format(*([x] * 100000))",
    "MiB of memory"
)]
#[case::text_doubled("x = \"ab\"\n", "for i in range(60):\n    x = x + x", "MiB of memory")]
#[case::blobs(BLOBS, "len(all)", "MiB of memory")]
#[case::blob_filled("", "blob_fill(0, 1 << 40)", "too large")]
#[case::blob_hex(
    "x = blob_fill(0, 20000000)\n",
    "for i in range(9):\n    x = blob(x.hex())",
    "MiB of memory"
)]
#[case::squared("x = 3\n", "for i in range(40):\n    x = x * x", DEADLINE)]
#[case::number_read("", "int(\"9\" * 3000000)", DEADLINE)]
#[case::number_shown("n = 100000000\n", "str(1 << n)", "")]
#[case::number_shifted("n = 1000000000000000\n", "1 << n", "")]
#[case::keyed("", "sorted(range(100000000), key = lambda x: -x)", "")]
#[case::reversed_ranges("", "x = [reversed(range(2000000)) for i in range(100000)]", "")]
#[case::dicts_made("", "{str(i): [i] for i in range(2000000000)}", "")]
#[case::split(
    "x = \"a\" * 10000000\n",
    "y = [x.split(\"a\") for i in range(1000)]",
    "MiB of memory"
)]
#[case::expression_of_expressions("", "t.console.expect(\"((a{1,1000}){1,1000}){1,1000}\")", "")]
#[case::canary("", "t.canary(\"x\", 1 << 40)", "1 to 4096")]
#[case::random("", "t.random(1 << 40)", "at most")]
#[case::for_ever("", "t.wait(1e308, \"for nothing\")", "")]
fn ends_as_an_error(#[case] before: &str, #[case] act: &str, #[case] why: &str) {
    let end = set_off("small", &format!("{before}{act}"), &SMALL);
    assert!(end.starts_with("ERROR: "), "{end}");
    assert!(end.contains(why) || end.contains(DEADLINE), "{end}");
}

/// One of each kind with all that a script may have.
#[rstest]
#[case::depth(
    "x = []\nfor i in range(8000000):\n    x = [x]\n",
    "repr(x)",
    "nested too deeply"
)]
#[case::list("n = 1000000000\n", "[0] * n", "MiB of memory")]
#[case::text("x = \"x\" * 1000000\n", "x.replace(\"x\", x)", "MiB of memory")]
#[case::blob("x = blob(\"a\")\n", "for i in range(60):\n    x += x", "too large")]
#[case::operation(TWICE, "x == y", DEADLINE)]
fn ends_as_an_error_at_the_limits_that_are_usual(
    #[case] before: &str,
    #[case] act: &str,
    #[case] why: &str,
) {
    let end = set_off("whole", &format!("{before}{act}"), &[]);
    assert!(end.starts_with("ERROR: "), "{end}");
    assert!(end.contains(why) || end.contains(DEADLINE), "{end}");
}

/// How much stack a level takes depends on the build: it may be too deep or not, but is never the end of the process.
#[rstest]
#[case::tuples_repr(TUPLES, "repr(x)")]
fn ends_either_way(#[case] before: &str, #[case] act: &str) {
    let end = set_off("small", &format!("{before}{act}"), &SMALL);
    assert!(
        ["ERROR: ", "PASS"].iter().any(|way| end.starts_with(way)),
        "{end}"
    );
}

/// These have overflown the stack of a thread.
#[rstest]
#[case::repr(LISTS, "repr(x)")]
#[case::str(LISTS, "str(x)")]
#[case::print(LISTS, "print(x)")]
#[case::format(LISTS, "\"{}\".format(x)")]
#[case::format_repr(LISTS, "\"{!r}\".format(x)")]
#[case::percent(LISTS, "\"%s\" % (x,)")]
#[case::f_string(LISTS, "f\"{x}\"")]
#[case::log(LISTS, "t.log(\"{}\", x)")]
#[case::expect(LISTS, "t.expect(x, \"{}\", x)")]
#[case::driver(LISTS, "t.expect(t.dut.pass_on(x) != None, \"{}\", x)")]
#[case::json("x = []\nfor i in range(1000):\n    x = [x]\n", "json.encode(x)")]
#[case::dicts_repr(DICTS, "repr(x)")]
#[case::dicts_json(DICTS, "json.encode(x)")]
#[case::dicts_driver(DICTS, "t.dut.pass_on(x = x)")]
#[case::structs_repr(STRUCTS, "repr(x)")]
#[case::structs_json(STRUCTS, "json.encode(x)")]
#[case::structs_key(STRUCTS, "{x: 1}")]
#[case::structs_log(STRUCTS, "t.log(\"{}\", x)")]
#[case::partials_repr(PARTIALS, "repr(x)")]
#[case::partials_log(PARTIALS, "t.log(\"{}\", x)")]
#[case::sets_log(SETS, "t.log(\"{}\", x)")]
#[case::tuples_key(TUPLES, "{x: 1}")]
#[case::long_integer_log(
    "x = 3\nfor i in range(20):\n    x = x * x\n",
    "t.log(\"{} {}\", x, [x])"
)]
#[case::answer(
    "x = blob(\"[\" * 127 + \"]\" * 127).json()\n",
    "t.dut.pass_on({\"a\": json.encode(x), \"b\": x})"
)]
fn is_no_bomb(#[case] before: &str, #[case] act: &str) {
    let end = set_off("patient", &format!("{before}{act}"), &[]);
    assert_eq!(end, "PASS: ");
}

/// Where there is less memory than a script may have.
#[rstest]
#[case::list_repeated("n = 200000000\n", "[0] * n")]
#[case::text_repeated("n = 1000000000\n", "(\"x\" * n)")]
#[case::lists_repr("x = []\nfor i in range(2500000):\n    x = [x]\n", "repr(x)")]
#[case::tuples_key("x = ()\nfor i in range(2500000):\n    x = (x,)\n", "{x: 1}")]
#[case::list_made("", "[str(i) for i in range(2000000000)]")]
fn ends_as_an_error_where_memory_is_short(#[case] before: &str, #[case] act: &str) {
    let little = ["prlimit", "--as=1500000000"];
    let end = set_off("small", &format!("{before}{act}"), &little);
    assert!(end.starts_with("ERROR: "), "{end}");
}

/// A case whose file has something in it.
fn file(before: &str, body: &str) -> String {
    format!(
        "\"\"\"A case.\"\"\"\n{before}\ncase(id = \"acme-1\")\n\ndef unit_a(t):\n    \"A unit.\"\n    {body}\n"
    )
}

fn elifs(n: usize) -> String {
    let arms = "    elif t == 1:\n        pass\n".repeat(n);
    file("", &format!("if t == 0:\n        pass\n{arms}"))
}

#[rstest]
#[case::elif(elifs(10_000))]
#[case::calls(file("", &format!("t{}", ".strip()".repeat(100_000))))]
#[case::brackets(file("", &format!("x = {}{}", "[".repeat(100_000), "]".repeat(100_000))))]
#[case::braces(file("", &format!("x = {}1{}", "{1:".repeat(100_000), "}".repeat(100_000))))]
#[case::indices(file("", &format!("x = t{}", "[0]".repeat(100_000))))]
#[case::minus(file("", &format!("x = {}1", "-".repeat(300_000))))]
#[case::not(file("", &format!("x = {}t", "not ".repeat(100_000))))]
#[case::sum(file("", &format!("x = t{}", "+t".repeat(100_000))))]
#[case::texts(file("", &format!("x = t{}", "+\"a\"".repeat(100_000))))]
#[case::lambdas(file("", &format!("x = {}1", "lambda: ".repeat(100_000))))]
#[case::choices(file("", &format!("x = {}1", "1 if t else ".repeat(80_000))))]
#[case::text_times_number(file("X = \"x\" * 2000000000\n", "pass"))]
#[case::text_times_number_within(file("", "x = \"x\" * 2000000000"))]
#[case::list_times_number(file("X = [0] * 2000000000\n", "pass"))]
#[case::shifted(file("X = str(1 << 2000000000)\n", "pass"))]
#[case::annotated(file(&format!("def f(x: {}int{}):\n    pass\n", "list[".repeat(50_000), "]".repeat(50_000)), "pass"))]
fn is_not_loaded(#[case] script: String) {
    let path = tempfile::NamedTempFile::new().expect("a file");
    fs::write(path.path(), &script).expect("it can be written");
    let end = set_off("load", &format!("@{}", path.path().display()), &[]);
    assert!(end.starts_with("refused: "), "{end}");
    assert!(end.contains("acme-1.star"), "{end}");
}

/// What somebody may well write, or what can be had, is no bomb.
#[rstest]
#[case::elif(elifs(1_500))]
#[case::calls(file("", &format!("x = \"a\"{}", ".strip()".repeat(1_500))))]
#[case::brackets(file("", &format!("x = {}{}", "[".repeat(700), "]".repeat(700))))]
#[case::texts(file("", &format!("x = t{}", "+\"a\"".repeat(1_500))))]
#[case::number(file("", &format!("x = {}", "9".repeat(300_000))))]
#[case::table(file(&format!("X = [{}]\n", "(1, \"a\"), ".repeat(50_000)), "pass"))]
#[case::parentheses(file("", &format!("x = {}1{}", "(".repeat(4_900), ")".repeat(4_900))))]
#[case::comprehension(file("", &format!("x = [1{}]", " for i in t".repeat(2_000))))]
#[case::list_times_number_within(file("", "x = [0] * 2000000000"))]
#[case::frozen(file(
    "def f():\n    x = []\n    for i in range(500000):\n        x = [x]\n    return x\nX = f()\n",
    "pass"
))]
fn is_loaded(#[case] script: String) {
    let path = tempfile::NamedTempFile::new().expect("a file");
    fs::write(path.path(), &script).expect("it can be written");
    let end = set_off("load", &format!("@{}", path.path().display()), &[]);
    assert_eq!(end, "loaded");
}
