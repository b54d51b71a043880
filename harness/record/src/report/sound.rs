//! What may stand in records of runs that may be anybody's: no more than what a run writes.

use std::collections::{BTreeSet, HashSet};
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::attempts::CaseResult;
use super::results::Results;
use crate::event::{Attempt, KeptFile, Settings};
use crate::evidence::{is_of_case, is_of_device, is_of_file};

/// More of them are on no bench, and would take for ever to be gone through.
const MOST_DEVICES: usize = 10_000;
/// A century.
const LONGEST_SECONDS: f64 = 3e9;
/// No bench fails that often in one case: `--retry-errors` and kills.
const MOST_RETRIES: u32 = 1_000_000;

pub(super) fn check_results(results: &Results) -> Result<(), String> {
    check_seconds(results.seconds)?;
    if results.run.is_empty() {
        return Err("the run has no identifier".into());
    }
    if results.settings.repeat == 0 {
        return Err("no test case is run 0 times".into());
    }
    let units = results.cases.values().flat_map(|case| case.units.keys());
    units.copied().try_for_each(check_letter)?;
    if results.devices.len() > MOST_DEVICES {
        return Err(format!("there are more than {MOST_DEVICES} devices"));
    }
    let mut names = BTreeSet::new();
    for device in &results.devices {
        if !names.insert(&device.info.name) {
            return Err(format!("device {:?} is there twice", device.info.name));
        }
        check_seconds(device.seconds)?;
        check_kept(&device.info.name, &device.evidence)?;
        for (id, case) in &device.cases {
            let wrong = |reason| format!("{:?} {id}: {reason}", device.info.name);
            check_case(&device.info.name, case, results.settings).map_err(wrong)?;
        }
    }
    Ok(())
}

fn check_case(device: &str, case: &CaseResult, settings: Settings) -> Result<(), String> {
    check_seconds(case.seconds)?;
    check_evidence(device, case.evidence.as_deref(), &case.files)?;
    for attempt in &case.attempts {
        check_attempt(attempt.attempt, settings)?;
        check_seconds(attempt.seconds)?;
        check_evidence(device, attempt.evidence.as_deref(), &attempt.files)?;
    }
    case.unselected.iter().copied().try_for_each(check_letter)?;
    let attempted = case.attempts.iter().flat_map(|attempt| &attempt.units);
    for unit in case.units.iter().chain(attempted) {
        check_seconds(unit.seconds)?;
    }
    Ok(())
}

pub(super) fn check_seconds(seconds: f64) -> Result<(), String> {
    if (0.0..LONGEST_SECONDS).contains(&seconds) {
        Ok(())
    } else {
        Err(format!("nothing takes {seconds:e} s"))
    }
}

pub(super) fn check_letter(unit: char) -> Result<(), String> {
    if unit.is_ascii_lowercase() {
        Ok(())
    } else {
        Err(format!("{unit:?} is not the letter of a test unit"))
    }
}

pub(super) fn check_attempt(attempt: Attempt, settings: Settings) -> Result<(), String> {
    let Attempt { round, retry } = attempt;
    if !(1..=settings.repeat).contains(&round) {
        return Err(format!("there is no round {round} of {}", settings.repeat));
    }
    if retry > MOST_RETRIES {
        return Err(format!("there is no retry {retry}"));
    }
    Ok(())
}

pub(super) fn check_evidence(
    device: &str,
    folder: Option<&str>,
    files: &[String],
) -> Result<(), String> {
    if let Some(folder) = folder.filter(|folder| !is_of_case(device, folder)) {
        return Err(format!(
            "{folder:?} is not a valid path for evidence of {device:?}"
        ));
    }
    match files.iter().find(|file| !is_of_file(file)) {
        Some(file) => Err(format!("{file:?} is not a file name")),
        None => Ok(()),
    }
}

pub(super) fn check_kept(device: &str, files: &[KeptFile]) -> Result<(), String> {
    for KeptFile { path, sha256, .. } in files {
        if !is_of_device(device, path) {
            return Err(format!(
                "{path:?} is not a valid path for evidence of {device:?}"
            ));
        }
        if sha256.len() != 64 || !sha256.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(format!("{sha256:?} is not a SHA-256"));
        }
    }
    Ok(())
}

/// That no object has a key twice: which of both counts would be anybody's guess.
pub(super) fn check_keys(json: &[u8]) -> Result<(), String> {
    let checked: Result<UniqueKeys, _> = serde_json::from_slice(json);
    checked.map(drop).map_err(|e| e.to_string())
}

struct UniqueKeys;

impl<'de> Deserialize<'de> for UniqueKeys {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for UniqueKeys {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Self, A::Error> {
        while all.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut all: A) -> Result<Self, A::Error> {
        let mut keys = HashSet::new();
        while let Some(key) = all.next_key::<String>()? {
            if keys.contains(&key) {
                return Err(A::Error::custom(format!("key {key:?} is there twice")));
            }
            keys.insert(key);
            all.next_value::<Self>()?;
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::sound(r#"{"a": [1, -2, 3e4, "b", null, true, {"a": {}}], "b": 1e308}"#, Ok(()))]
    #[case::twice(r#"{"a": 1, "a": 1}"#, Err("key \"a\" is there twice"))]
    #[case::escaped(r#"{"a": 1, "\u0061": 1}"#, Err("key \"a\" is there twice"))]
    #[case::inside(
        r#"[{"b": {"a": 1, "b": 2, "a": 1}}]"#,
        Err("key \"a\" is there twice")
    )]
    #[case::cut(r#"{"a": "#, Err("EOF"))]
    fn keys_are_there_once(#[case] json: &str, #[case] expected: Result<(), &str>) {
        let checked = check_keys(json.as_bytes());
        match (checked, expected) {
            (Ok(()), Ok(())) => {}
            (Err(error), Err(reason)) => assert!(error.starts_with(reason), "{error}"),
            other => panic!("{other:?}"),
        }
    }

    #[rstest]
    #[case('[', ']')]
    #[case('{', '}')]
    fn depth_is_bounded(#[case] open: char, #[case] close: char) {
        let open = if open == '{' {
            "{\"a\":".to_owned()
        } else {
            open.to_string()
        };
        let bomb = open.repeat(1_000_000) + "1" + &close.to_string().repeat(1_000_000);
        let error = check_keys(bomb.as_bytes()).unwrap_err();
        assert!(error.contains("recursion limit"), "{error}");
    }

    #[rstest]
    #[case(0.0, true)]
    #[case(12.5, true)]
    #[case(-0.1, false)]
    #[case(1e308, false)]
    #[case(f64::INFINITY, false)]
    #[case(f64::NAN, false)]
    fn times_are_possible(#[case] seconds: f64, #[case] is_possible: bool) {
        assert_eq!(check_seconds(seconds).is_ok(), is_possible);
    }
}
