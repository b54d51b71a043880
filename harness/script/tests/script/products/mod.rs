//! The shipped test cases are fair to other products than the reference sensor: good ones of other kinds pass, and bad
//! ones fail. The products are scripts (`products/`), so that thousands of them can be tried, and a delay of hours takes
//! no time.

mod booting;
mod calling;
mod changing;
mod erasing;
mod guessing;
mod locked;
mod logins;
mod opening;
mod passwords;
mod serving;
mod spelling;
mod telling;
mod typing;
mod units;
mod updating;
mod wire;

use std::collections::BTreeSet;
use std::fs;

use provebench_record::event::Outcome;
use provebench_script::UnitEnd;

use crate::bench::World;
use provebench_testing::repository;

/// Runs a unit of a shipped case, such as `5.1-1-2 c`, on a product: a file of products, and a call of a function of it,
/// which gets `t` as its first argument.
fn judge(unit: &str, product: &str) -> UnitEnd {
    judge_many(unit, product, 1)
}

/// The same on so many products of that kind, until one does not pass.
fn judge_many(unit: &str, product: &str, products: u32) -> UnitEnd {
    let (case, letter) = unit.split_once(' ').expect("a case and a unit");
    let (file, call) = product.split_once(": ").expect("a file and a call");
    let (function, arguments) = call.split_once('(').expect("a call");
    let clause = case.split('-').next().expect("a clause");
    let world = World::new();
    // The case itself, under a name that is free to have any units, and the unit behind one that hands it the product.
    let path = repository().join(format!("testcases/{clause}/{case}.star"));
    let shipped = fs::read_to_string(path).expect("it is shipped");
    let unit = format!("def unit_{letter}(t):");
    assert!(shipped.contains(&unit), "{case} has unit {letter}");
    let load = format!("load(\"//products/{file}.star\", on_bench = \"{function}\")");
    let script = shipped
        .replace(&format!("id = \"{case}\""), "id = \"products-1\"")
        .replace(&unit, &format!("def shipped_{letter}(t):"))
        .replacen("\ncase(", &format!("\n{load}\n\ncase("), 1)
        + &format!(
            "\n{unit}\n    \"On products.\"\n    for _ in range({products}):\n        shipped_{letter}(on_bench(t, {arguments})\n"
        );
    copy_loaded(&world, "", &script, &mut BTreeSet::new());
    world.files.write("cases/products-1.star", script);
    let letter = letter.chars().next().expect("a letter");
    world.run_unit(letter).result
}

/// Runs a unit on a product, as [`judge`], which has to end so, for a reason that has this text in it.
#[track_caller]
fn expect(unit: impl AsRef<str>, product: impl AsRef<str>, outcome: Outcome, message: &str) {
    assert_judged(&judge(unit.as_ref(), product.as_ref()), outcome, message);
}

/// Copies what a script in that folder loads, and what that loads: a file that nobody needs would be loaded all the same, and
/// most of the time that a product takes is that.
fn copy_loaded(world: &World, folder: &str, script: &str, copied: &mut BTreeSet<String>) {
    for line in script.lines() {
        let Some((module, _)) = line
            .strip_prefix("load(\"")
            .and_then(|line| line.split_once('"'))
        else {
            continue;
        };
        let path = match module.strip_prefix("//") {
            Some(path) => path.to_owned(),
            None => format!("{folder}/{}", module.trim_start_matches(':')),
        };
        if !copied.insert(path.clone()) {
            continue;
        }
        let (folder, name) = path.split_once('/').expect("a folder and a name");
        let from = match folder {
            "products" => "harness/script/tests/script/products".to_owned(),
            folder => format!("testcases/{folder}"),
        };
        let text = fs::read_to_string(repository().join(from).join(name));
        let text = text.unwrap_or_else(|error| panic!("{module}: {error}"));
        copy_loaded(world, folder, &text, copied);
        world.files.write(&format!("cases/{path}"), text);
    }
}

#[track_caller]
fn assert_judged(result: &UnitEnd, outcome: Outcome, message: &str) {
    assert_eq!(result.outcome(), outcome, "{result:?}");
    assert!(result.message.contains(message), "{result:?}");
}
