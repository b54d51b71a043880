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
use serde_json::Value as Json;

/// Runs a unit of a shipped case, such as `5.1-1-2 c`, on a product: a file of products, and a call of a function of it,
/// which gets `t` as its first argument.
fn judge(unit: &str, product: &str) -> UnitEnd {
    judge_many(unit, product, 1)
}

/// The same on so many products of that kind, until one does not pass. A unit that runs for each row of the IXIT does so
/// for those that the product declares; the first of the worst results is told.
fn judge_many(unit: &str, product: &str, products: u32) -> UnitEnd {
    let (case, letter) = unit.split_once(' ').expect("a case and a unit");
    let (file, call) = product.split_once(": ").expect("a file and a call");
    let (function, arguments) = call.split_once('(').expect("a call");
    let clause = case.split('-').next().expect("a clause");
    let load = format!("load(\"//products/{file}.star\", on_bench = \"{function}\")");

    // The case itself, under a name that is free to have any units, and the unit behind one that hands it the product.
    let path = repository().join(format!("testcases/{clause}/{case}.star"));
    let shipped = fs::read_to_string(path).expect("it is shipped");
    let unit = format!("def unit_{letter}(t");
    let (_, rest) = shipped.split_once(&unit).expect("the case has the unit");
    let (row, _) = rest.split_once("):").expect("parameters");
    // Of a case of that name, the catalogue names no tables.
    let (unread, reads): (Vec<&str>, Vec<&str>) =
        (shipped.split_inclusive('\n')).partition(|line| line.starts_with("    unread = {"));
    assert!(
        unread.iter().all(|line| line.ends_with("},\n")),
        "{case}: on one line"
    );
    let script = reads
        .concat()
        .replace(&format!("id = \"{case}\""), "id = \"products-1\"")
        .replace(&unit, &format!("def shipped_{letter}(t"))
        .replacen("\ncase(", &format!("\n{load}\n\ncase("), 1)
        + &format!(
            "\n{unit}{row}):\n    \"On products.\"\n    for _ in range({products}):\n        shipped_{letter}(on_bench(t, {arguments}{row})\n"
        );
    let world = World::new();
    let ixit = declared(&load, arguments);
    world.files.write("targets/sensor/ixit.toml", ixit);
    run(&world, &script, letter)
}

/// What a product declares, as `ixit.toml`.
fn declared(load: &str, arguments: &str) -> String {
    let world = World::new();
    let script = format!(
        "\"\"\"What a product declares.\"\"\"\n\n{load}\n\ncase(id = \"products-1\")\n\n\
         def unit_a(t):\n    \"Says it.\"\n    t.save(\"ixit.json\", json.encode(on_bench(t, {arguments}.declares))\n"
    );
    let result = run(&world, &script, "a");
    assert_judged(&result, Outcome::Pass, "");
    let json = fs::read(world.files.root().join("evidence/ixit.json")).expect("it was saved");
    let json: Json = serde_json::from_slice(&json).expect("it is JSON");
    toml::to_string(&toml_of(&json)).expect("it is TOML")
}

/// The same in TOML, where nothing is None.
fn toml_of(json: &Json) -> toml::Value {
    let said = |json: &&Json| !json.is_null();
    match json {
        Json::Null => panic!("a list with None"),
        Json::Bool(bool) => (*bool).into(),
        Json::Number(number) => match number.as_i64() {
            Some(number) => number.into(),
            None => number.as_f64().expect("a number").into(),
        },
        Json::String(text) => text.as_str().into(),
        Json::Array(all) => all
            .iter()
            .filter(said)
            .map(toml_of)
            .collect::<Vec<_>>()
            .into(),
        Json::Object(all) => {
            let all = all.iter().filter(|(_, json)| !json.is_null());
            let all = all.map(|(name, json)| (name.clone(), toml_of(json)));
            toml::Value::Table(all.collect())
        }
    }
}

fn run(world: &World, script: &str, letter: &str) -> UnitEnd {
    copy_loaded(world, "", script, &mut BTreeSet::new());
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
    for load in script.split("\nload(").skip(1) {
        let (_, load) = load.split_once('"').expect("a file");
        let (module, _) = load.split_once('"').expect("its end");
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
