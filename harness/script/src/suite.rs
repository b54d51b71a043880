//! The test cases: found, loaded and checked.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::path::Path;
use std::time::Duration;

use starlark::codemap::Span;

use super::declaration::{Declaration, Sample, State, UnitNeeds};
use super::error::{Problem, ScriptError};
use super::module::{Loaded, Script, load_all};
use super::reads::Codes;
use super::rows::ForEach;
use super::source::Sources;
use provebench_bench::Capability;
use provebench_standard::{CaseId, CaseInfo, Catalogue};

/// All test cases, in the standard's order.
#[derive(Debug)]
pub struct Suite {
    cases: Vec<Case>,
    findings: Vec<Problem>,
}

/// A test case: a script file named after it.
#[derive(Debug)]
pub struct Case {
    /// TS 103 701's identifier.
    pub id: CaseId,
    /// State that the DUT must be in when the case starts.
    pub state: State,
    /// The sample of the product that the case is about.
    pub sample: Sample,
    /// What none of its units can do without.
    pub needs: Vec<Capability>,
    /// The DUT's firmware must be brought back before the next case.
    ///
    /// What does that is a need of the case, unless a unit says that it is its own.
    pub alters_firmware: bool,
    /// Time for all of its units.
    pub deadline: Duration,
    /// Words to choose cases by.
    pub tags: Vec<String>,
    /// What the case shows.
    pub doc: String,
    /// Its units, in order. At least one.
    pub units: Vec<Unit>,
    /// The IXIT tables that its code reads, by itself or by what it loads.
    pub reads: BTreeSet<String>,
    /// Its file, as named in messages.
    pub file: String,
    pub(super) script: Script,
}

/// A test unit: one function of the script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// `a` to `z`.
    pub letter: char,
    /// What the unit proves.
    pub doc: String,
    /// What it can't do without, beside what the case can't.
    pub needs: Vec<Capability>,
    /// What it can't pass without: it tries what it can, and may fail.
    pub pass_needs: Vec<Capability>,
    /// It runs for each row of these IXIT tables that it is for; for the product as a whole, if there are none.
    pub for_each: Vec<String>,
}

impl Suite {
    /// The test cases in a folder, or those built in.
    pub fn load(folder: Option<&Path>) -> Result<Self, ScriptError> {
        match folder {
            None => Self::from_sources(&Sources::embedded()),
            Some(folder) => Self::from_sources(&Sources::in_folder(folder)?),
        }
    }

    pub(super) fn from_sources(sources: &Sources) -> Result<Self, ScriptError> {
        let paths: Vec<String> = sources.files.keys().cloned().collect();
        let (loaded, mut problems) = load_all(sources, move |loader| {
            for path in &paths {
                loader.load(path);
            }
        });
        let mut loaded = loaded;
        let codes = loaded.iter_mut();
        let codes = codes.map(|(path, file)| (path.clone(), mem::take(&mut file.code)));
        let codes = Codes(codes.collect());
        let mut findings = Vec::new();
        let mut cases: BTreeMap<CaseId, Case> = BTreeMap::new();
        for (path, file) in loaded {
            let name = sources.shown(&path);
            let mut told = Told {
                problems: &mut problems,
                findings: &mut findings,
            };
            let Some(case) = case_of(&path, name, file, &codes, &mut told) else {
                continue;
            };
            if let Some(other) = cases.get(&case.id) {
                let message = format!("{} is the same test case", other.file);
                let content = &sources.files[&path];
                problems.push(Problem::in_file(&case.file, content, message));
            } else {
                cases.insert(case.id.clone(), case);
            }
        }
        if cases.is_empty() && problems.is_empty() {
            let path = sources.shown_in.clone();
            return Err(ScriptError::NoCases { path });
        }
        let cases = cases.into_values().collect();
        ScriptError::unless_any(problems, Self { cases, findings })
    }

    /// What is not as it should be with cases that can be run all the same: tables of the IXIT that the catalogue names
    /// for a case, and whose rows its code never reads.
    pub fn take_findings(&mut self) -> Vec<Problem> {
        mem::take(&mut self.findings)
    }

    /// All of them.
    pub fn cases(&self) -> &[Case] {
        &self.cases
    }

    /// The one with that identifier.
    pub fn case(&self, id: &CaseId) -> Option<&Case> {
        self.cases.iter().find(|case| case.id == *id)
    }
}

/// What is wrong with cases, and what is found about them.
struct Told<'a> {
    problems: &'a mut Vec<Problem>,
    findings: &'a mut Vec<Problem>,
}

fn case_of(
    path: &str,
    name: String,
    file: Loaded,
    codes: &Codes,
    told: &mut Told<'_>,
) -> Option<Case> {
    let Told { problems, findings } = told;
    let stem = path.rsplit('/').next().unwrap_or(path);
    let id: Option<CaseId> = stem.strip_suffix(".star").and_then(|s| s.parse().ok());
    let map = &file.outline.map;
    let whole = Span::default();
    let before = problems.len();

    let mut declared = file.declared.into_iter();
    let (declaration, at) = match (declared.next(), &id) {
        (Some(first), _) => first,
        (None, Some(id)) => {
            problems.push(
                Problem::at(map, whole, format!("case(id = \"{id}\", ...) is missing"))
                    .with_help("a file named after a test case declares it; name a file that only helps another one differently"),
            );
            return None;
        }
        // A file that others load.
        (None, None) => return None,
    };
    let span = at.as_ref().map_or(whole, |at| at.span);
    let at_case = |message: String| match &at {
        Some(at) => Problem::at(&at.file, at.span, message),
        None => Problem::at(map, whole, message),
    };
    if let Some((_, again)) = declared.next() {
        let problem = match again {
            Some(at) => Problem::at(&at.file, at.span, "case() is called a second time"),
            None => at_case("case() is called more than once".into()),
        };
        problems.push(problem.with_help("one file is one test case"));
    }
    if id.as_ref() != Some(&declaration.id) {
        problems.push(
            at_case(format!(
                "test case {} in a file of another name",
                declaration.id
            ))
            .with_help(format!("name the file {}.star", declaration.id)),
        );
    }
    let catalogue = Catalogue::shipped();
    let info = catalogue.case(&declaration.id);
    let provision = &declaration.id.provision;
    // Cases of a lab's own are about no provision of the standard.
    let is_own = provision.is_word() && catalogue.provision(provision).is_none();
    if info.is_none() && !is_own {
        problems.push(
            at_case(format!("the catalogue has no test case {}", declaration.id)).with_help(
                "identifiers are those of TS 103 701, such as 5.11-1-2; a case of your own has a word of lower-case letters and a number, such as acme-1",
            ),
        );
    }
    if file.outline.doc.is_none() {
        problems.push(
            Problem::at(map, span, "the file has no docstring")
                .with_help("begin it with what the case shows, in triple quotes"),
        );
    }
    let mut units = units(&file.outline, info, &declaration.for_each, problems);
    let arguments = [
        ("unit_needs", &declaration.unit_needs),
        ("pass_needs", &declaration.pass_needs),
    ];
    for (argument, needs) in arguments {
        let strange = without_unit(argument, needs, &units);
        problems.extend(strange.into_iter().map(at_case));
    }
    let is_for_rows = |unit: &Unit| !unit.for_each.is_empty();
    if !declaration.for_each.all.is_empty() && !units.iter().any(is_for_rows) {
        problems.push(
            at_case("for_each is given, and no unit takes a row".into())
                .with_help("define unit_a(t, row)"),
        );
    }
    let letters = declaration.for_each.of_unit.keys();
    for letter in letters.filter(|letter| !units.iter().any(|unit| unit.letter == **letter)) {
        problems.push(at_case(format!(
            "for_each is about unit {letter}, which the test case does not have"
        )));
    }
    for unit in &mut units {
        let of_unit = |needs: &UnitNeeds| needs.get(&unit.letter).cloned().unwrap_or_default();
        unit.needs = of_unit(&declaration.unit_needs);
        unit.pass_needs = of_unit(&declaration.pass_needs);
    }
    if units.is_empty() && problems.len() == before {
        problems.push(
            at_case("the test case has no unit".into())
                .with_help("define unit_a(t), and unit_b(t) and so on for further test units"),
        );
    }
    let functions: Vec<String> = units.iter().map(|u| format!("unit_{}", u.letter)).collect();
    let mut reads = codes.read_by(path, functions.iter().map(String::as_str));
    reads.extend(units.iter().flat_map(|unit| unit.for_each.iter().cloned()));
    let named = info.map_or(&[][..], |info| &info.ixit);
    for table in declaration.unread.keys() {
        if !named.contains(table) || reads.contains(table) {
            problems.push(
                at_case(format!(
                    "unread = ... has IXIT {table}, which the {}",
                    if named.contains(table) {
                        "case's code reads"
                    } else {
                        "catalogue does not name for the test case"
                    }
                ))
                .with_help("it gives reasons why tables that the catalogue names for the case are not read"),
            );
        }
    }
    for table in named {
        if !reads.contains(table) && !declaration.unread.contains_key(table) {
            findings.push(
                at_case(format!(
                    "test case {} never reads IXIT {table}, which the catalogue names for it: what is declared there is not tried",
                    declaration.id
                ))
                .with_help(format!(
                    "read it (`t.ixit(\"{table}\")`, or for_each = \"{table}\"), or say why not: unread = {{\"{table}\": \"...\"}}"
                )),
            );
        }
    }
    let Declaration {
        id,
        state,
        sample,
        needs,
        alters_firmware,
        deadline,
        tags,
        ..
    } = declaration;
    (problems.len() == before).then(|| Case {
        id,
        state,
        sample,
        needs,
        alters_firmware,
        deadline,
        tags,
        doc: file.outline.doc.unwrap_or_default(),
        units,
        reads,
        file: name,
        script: file.script,
    })
}

/// Needs of units that the case has not.
fn without_unit(argument: &str, needs: &UnitNeeds, units: &[Unit]) -> Vec<String> {
    let has = |letter: char| units.iter().any(|unit| unit.letter == letter);
    let strange: Vec<char> = needs.keys().copied().filter(|l| !has(*l)).collect();
    let told =
        |letter| format!("{argument} is about unit {letter}, which the test case does not have");
    strange.into_iter().map(told).collect()
}

fn units(
    outline: &super::lint::Outline,
    info: Option<&CaseInfo>,
    for_each: &ForEach,
    problems: &mut Vec<Problem>,
) -> Vec<Unit> {
    let mut units = Vec::new();
    for function in &outline.functions {
        let Some(suffix) = function.name.strip_prefix("unit_") else {
            continue;
        };
        let problem = |message: String| Problem::at(&outline.map, function.at.span, message);
        let mut letters = suffix.chars();
        let (Some(letter @ 'a'..='z'), None) = (letters.next(), letters.next()) else {
            problems.push(
                problem(format!("{} is not a test unit", function.name)).with_help(
                    "units are functions unit_a(t) to unit_z(t); name others differently",
                ),
            );
            continue;
        };
        let tables = for_each.tables(letter);
        let parameters = function.required.len();
        let is_for_rows = parameters == 2 || for_each.of_unit.contains_key(&letter);
        let (fits, wanted) = if is_for_rows {
            (parameters == 2 && function.takes(2), "two: {name}(t, row)")
        } else {
            (parameters == 1 && function.takes(1), "one: {name}(t)")
        };
        if !fits {
            let wanted = wanted.replace("{name}", &function.name);
            problems.push(problem(format!(
                "{name} takes {count} parameters; a unit that runs {how} takes {wanted}",
                name = function.name,
                count = function.required.len() + function.optional,
                how = if is_for_rows { "for each row" } else { "once" },
            )));
        } else if is_for_rows && tables.is_empty() {
            problems.push(
                problem(format!(
                    "{} takes 2 parameters, and no for_each of case() says of which IXIT table its rows are",
                    function.name
                ))
                .with_help("say it: case(..., for_each = \"1-AuthMech\"); a unit that runs once takes one: unit_a(t)"),
            );
        }
        let Some(doc) = function.doc.clone() else {
            problems.push(
                problem(format!("{} has no docstring", function.name))
                    .with_help("begin it with what the unit proves"),
            );
            continue;
        };
        if let Some(info) = info
            && !info.units.contains_key(&letter)
        {
            let known: Vec<_> = info.units.keys().map(ToString::to_string).collect();
            problems.push(problem(format!(
                "test case {} has no unit {letter}; its units are {}",
                info.id,
                known.join(", ")
            )));
        }
        if units.iter().any(|unit: &Unit| unit.letter == letter) {
            problems.push(problem(format!("{} is defined twice", function.name)));
        }
        units.push(Unit {
            letter,
            doc,
            for_each: if is_for_rows {
                tables.to_vec()
            } else {
                Vec::new()
            },
            needs: Vec::new(),
            pass_needs: Vec::new(),
        });
    }
    units.sort_by_key(|unit| unit.letter);
    units
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_cases_are_in_order() {
        let suite = Suite::load(None).unwrap_or_else(|e| panic!("{:?}", miette::Report::new(e)));
        assert!(!suite.cases().is_empty());
        for case in suite.cases() {
            assert!(!case.doc.is_empty());
            assert!(!case.units.is_empty());
        }
    }

    /// What a supplier declares where the catalogue says that a case is about it is tried, or the case says why not.
    #[test]
    fn the_built_in_cases_read_what_the_catalogue_names() {
        let mut suite =
            Suite::load(None).unwrap_or_else(|e| panic!("{:?}", miette::Report::new(e)));
        let findings = suite.take_findings();
        assert!(findings.is_empty(), "{findings:#?}");
        let case = |id: &str| suite.case(&id.parse().expect("an id")).expect(id);
        assert!(case("5.11-1-2").reads.contains("25-DelFunc"));
        assert!(!case("5.3-16-2").reads.contains("25-DelFunc"));
    }
}
