//! A good and a bad product for each unit of each shipped case: one that never failed has proven nothing, and neither has one
//! that never passed. What else is to be told of good and bad products, the other tests of this folder tell.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::thread;

use provebench_record::event::Outcome;
use provebench_script::Suite;
use provebench_testing::repository;
use serde::Deserialize;

use super::judge;

/// An entry of `units.toml`; its key is the unit, such as `5.11-1-2 b`. Products are what [`judge`] takes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair {
    /// A product that passes.
    good: String,
    /// One that fails.
    bad: String,
    /// Part of the message that it fails with.
    why: String,
}

fn table() -> BTreeMap<String, Pair> {
    let path = repository().join("harness/script/tests/script/products/units.toml");
    let text = fs::read_to_string(path).expect("units.toml is there");
    toml::from_str(&text).expect("it is in order")
}

/// The same table that the products are taken from has all units, or this fails and names those that it lacks.
#[test]
fn every_unit_has_a_good_and_a_bad_product() {
    let suite = Suite::load(Some(&repository().join("testcases")));
    let suite = suite.unwrap_or_else(|e| panic!("{:?}", miette::Report::new(e)));
    let cases = suite.cases().iter();
    let shipped = cases.flat_map(|case| {
        let units = case.units.iter();
        units.map(|unit| format!("{} {}", case.id, unit.letter))
    });
    let shipped: BTreeSet<String> = shipped.collect();
    let known: BTreeSet<String> = table().into_keys().collect();
    let without: Vec<&String> = shipped.difference(&known).collect();
    assert!(without.is_empty(), "units without products: {without:?}");
    let strange: Vec<&String> = known.difference(&shipped).collect();
    assert!(strange.is_empty(), "products of no unit: {strange:?}");
}

#[test]
fn good_products_pass() {
    each(|unit, pair| {
        let result = judge(unit, &pair.good);
        (result.outcome() != Outcome::Pass).then(|| format!("{unit}: {result:?}"))
    });
}

#[test]
fn bad_products_fail() {
    each(|unit, pair| {
        let result = judge(unit, &pair.bad);
        let is_told = !pair.why.is_empty() && result.message.contains(&pair.why);
        let is_judged = result.outcome() == Outcome::Fail && is_told;
        (!is_judged).then(|| format!("{unit}: {result:?}"))
    });
}

/// Tries all units beside each other. All that is wrong is told, not only what comes first.
fn each(wrong: impl Fn(&str, &Pair) -> Option<String> + Sync) {
    let table: Vec<(String, Pair)> = table().into_iter().collect();
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let wrong: Vec<String> = thread::scope(|scope| {
        let table = &table;
        let wrong = &wrong;
        let parts = (0..threads).map(|first| {
            scope.spawn(move || {
                let part = table.iter().skip(first).step_by(threads);
                let wrong = part.filter_map(|(unit, pair)| wrong(unit, pair));
                wrong.collect::<Vec<_>>()
            })
        });
        let parts: Vec<_> = parts.collect();
        let parts = parts.into_iter();
        parts
            .flat_map(|part| part.join().expect("it can be judged"))
            .collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
