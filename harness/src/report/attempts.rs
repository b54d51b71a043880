//! Several attempts at a case, and what they come to.
//!
//! Rounds are asked for (`--repeat`), and the worst of them counts. Within a round, further attempts make up for errors
//! of the bench (`--retry-errors`, or a run that was killed and resumed): an error counts only if no attempt of the round
//! decided. So no attempt ever erases a FAIL that counts. One in doubt (this machine stood still meanwhile) is repeated, and
//! weighs no more than an error until the repetition has decided: it is kept, and told.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Not;

use serde::{Deserialize, Serialize};

use super::results::CaseResult;
use crate::event::{Attempt, Outcome, Skip, SkipKind, UnitResult};
use crate::standard::Verdict;

/// One attempt at a case.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct AttemptResult {
    /// Which.
    #[serde(flatten)]
    pub attempt: Attempt,
    /// How long it took.
    pub seconds: f64,
    /// Its folder, relative to the run's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
    /// Files in that folder.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// In the order in which they ran.
    pub units: Vec<UnitResult>,
    /// Whether it came to its end: not if the run was killed or interrupted meanwhile.
    pub is_finished: bool,
    /// Whether another one is to make up for it.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub will_retry: bool,
}

/// The attempts at a case that there was one of are the case itself.
pub(super) fn is_single(attempts: &[AttemptResult]) -> bool {
    attempts.len() < 2
}

impl CaseResult {
    /// Attempts that were made because of errors of the bench.
    pub fn retries(&self) -> usize {
        let retries = self.attempts.iter().filter(|a| a.attempt.retry > 0);
        retries.count()
    }

    /// How the attempts at a unit ended, in their order.
    pub fn outcomes(&self, unit: char) -> Vec<Outcome> {
        let results = self.attempts.iter().flat_map(|a| &a.units);
        let of_unit = results.filter(|result| result.unit == unit);
        of_unit.map(|result| result.outcome).collect()
    }

    /// How the attempts at a unit that is flaky ended, in words.
    pub fn told_flaky(&self, unit: char) -> Option<String> {
        self.flaky.contains(&unit).then(|| {
            let outcomes = self.outcomes(unit);
            let mut counts: BTreeMap<Outcome, usize> = BTreeMap::new();
            for outcome in &outcomes {
                *counts.entry(*outcome).or_default() += 1;
            }
            let counts = counts.iter().rev().map(|(o, n)| format!("{n} {o}"));
            let counts: Vec<String> = counts.collect();
            format!(
                "flaky: {} in {} attempts",
                counts.join(", "),
                outcomes.len()
            )
        })
    }

    /// That a unit has failed in doubt, and what was done about it, in words.
    pub fn told_doubt(&self, unit: char) -> Option<String> {
        let results = self.attempts.iter().enumerate();
        let mut results = results.flat_map(|(n, a)| a.units.iter().map(move |u| (n, u)));
        let (n, doubt) = results.find_map(|(n, result)| {
            let is_it = result.unit == unit && result.outcome == Outcome::Fail;
            Some((n, result.doubt.as_ref().filter(|_| is_it)?))
        })?;
        let repeated = self.attempts[n + 1..].iter().any(|later| {
            later.attempt.round == self.attempts[n].attempt.round
                && later.units.iter().any(|u| u.unit == unit)
        });
        let repeated = if repeated {
            "repeated"
        } else {
            "not repeated yet"
        };
        Some(format!("failed {doubt}; {repeated}"))
    }

    pub(super) fn begin(&mut self, attempt: Attempt, evidence: Option<String>) {
        self.attempts.push(AttemptResult {
            attempt,
            evidence,
            ..AttemptResult::default()
        });
        // What was interrupted goes on.
        self.skip = None;
        self.weigh();
    }

    pub(super) fn add(&mut self, result: &UnitResult) {
        self.latest().units.push(result.clone());
        self.weigh();
    }

    pub(super) fn skip(&mut self, skip: &Skip) {
        self.skip = Some(skip.clone());
        self.weigh();
    }

    pub(super) fn reopen(&mut self) {
        if self.skip.as_ref().is_some_and(|skip| skip.kind.is_left()) {
            self.skip = None;
            self.weigh();
        }
    }

    /// Neither begun nor skipped.
    pub(super) fn is_blank(&self) -> bool {
        self.attempts.is_empty() && self.skip.is_none()
    }

    pub(super) fn finish(
        &mut self,
        seconds: f64,
        evidence: Option<&String>,
        files: &[String],
        will_retry: bool,
    ) {
        // An attempt takes off what an earlier one was told: this was told since.
        let skip = self.skip.as_ref().map(|skip| skip.kind);
        let attempt = self.latest();
        attempt.seconds = seconds;
        attempt.evidence = evidence.cloned();
        attempt.files = files.to_vec();
        attempt.will_retry = will_retry;
        attempt.is_finished = skip != Some(SkipKind::Interrupted);
        self.seconds = self.attempts.iter().map(|a| a.seconds).sum();
        self.point_to_evidence();
    }

    pub(super) fn list_evidence(&mut self, list: impl Fn(&str) -> Vec<String>) {
        for attempt in self.attempts.iter_mut().filter(|a| !a.is_finished) {
            if let Some(evidence) = &attempt.evidence {
                attempt.files = list(evidence);
            }
        }
        self.point_to_evidence();
    }

    fn point_to_evidence(&mut self) {
        // The evidence to look at first is that of the attempt that counts.
        let worst = |attempt: &AttemptResult| attempt.units.iter().map(UnitResult::counting).max();
        let counts = self.units.iter().map(|u| u.outcome).max();
        let telling = self.attempts.iter().rev().find(|a| worst(a) == counts);
        if let Some(telling) = telling.or(self.attempts.last()) {
            self.evidence = telling.evidence.clone();
            self.files = telling.files.clone();
        }
    }

    fn latest(&mut self) -> &mut AttemptResult {
        if self.attempts.is_empty() {
            self.attempts.push(AttemptResult::default());
        }
        let last = self.attempts.len() - 1;
        &mut self.attempts[last]
    }

    /// Works out what the attempts come to.
    fn weigh(&mut self) {
        let mut order: Vec<char> = Vec::new();
        // The result that counts of each unit in each round, and the unit's outcomes that are none of the bench.
        let mut rounds: BTreeMap<(char, u32), &UnitResult> = BTreeMap::new();
        let mut decided: BTreeSet<(char, Outcome)> = BTreeSet::new();
        for attempt in &self.attempts {
            for result in &attempt.units {
                if !order.contains(&result.unit) {
                    order.push(result.unit);
                }
                let outcome = result.counting();
                if outcome != Outcome::Error {
                    decided.insert((result.unit, outcome));
                }
                let key = (result.unit, attempt.attempt.round);
                let counting = rounds.entry(key).or_insert(result);
                if within_round(outcome) >= within_round(counting.counting()) {
                    *counting = result;
                }
            }
        }
        let mut units = Vec::new();
        let mut flaky = BTreeSet::new();
        for unit in order {
            let of_unit = rounds.range((unit, 0)..=(unit, u32::MAX));
            let results: Vec<&UnitResult> = of_unit.map(|(_, result)| *result).collect();
            let first = results[0].counting();
            let differs = results.iter().any(|r| r.counting() != first);
            let several = decided.range((unit, Outcome::Pass)..=(unit, Outcome::Fail));
            if differs || several.count() > 1 {
                flaky.insert(unit);
            }
            // The first of the worst: max_by_key would give the last.
            let worst = results.iter().map(|r| r.counting()).max();
            let counting = results.iter().find(|r| Some(r.counting()) == worst);
            units.extend(counting.map(|result| as_it_counts(result)));
        }
        let verdicts = units.iter().map(|u| u.outcome.verdict());
        let skipped = self.skip.as_ref().and_then(Skip::verdict);
        self.verdict = Verdict::fold(verdicts.chain(skipped));
        self.units = units;
        self.flaky = flaky;
    }
}

/// A FAIL in doubt that nothing has decided since is an error, which says so.
fn as_it_counts(result: &UnitResult) -> UnitResult {
    let mut result = result.clone();
    if let (Outcome::Fail, Some(doubt)) = (result.outcome, &result.doubt) {
        let message = result.message.as_deref().unwrap_or("no reason given");
        result.message = Some(format!(
            "{message}; but: it failed {doubt}, and was not repeated"
        ));
        result.outcome = Outcome::Error;
    }
    result
}

/// An error of the bench is made up for by whatever decides; of what decides, the worst counts.
fn within_round(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Error => 0,
        Outcome::Pass => 1,
        Outcome::Inconclusive => 2,
        Outcome::Fail => 3,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const STOOD_STILL: &str = "while this machine stood still for 3.2 s";

    fn add(case: &mut CaseResult, retry: u32, outcome: Outcome, doubt: Option<&str>) {
        case.begin(Attempt { round: 1, retry }, None);
        case.add(&UnitResult {
            unit: 'a',
            outcome,
            message: Some("insecure".into()),
            doubt: doubt.map(str::to_owned),
            at: None,
            stack: Vec::new(),
            seconds: 0.0,
            notes: Vec::new(),
            console: None,
        });
    }

    /// The doubt goes to the device once.
    #[rstest]
    #[case::alone(None, Outcome::Error, "not repeated")]
    #[case::passes_then(Some(Outcome::Pass), Outcome::Pass, "repeated")]
    #[case::fails_again(Some(Outcome::Fail), Outcome::Fail, "repeated")]
    #[case::undecided_then(Some(Outcome::Inconclusive), Outcome::Inconclusive, "repeated")]
    #[case::bench_fails_then(Some(Outcome::Error), Outcome::Error, "repeated")]
    fn a_fail_in_doubt_counts_when_it_shows_again(
        #[case] repeated: Option<Outcome>,
        #[case] counts: Outcome,
        #[case] told: &str,
    ) {
        let mut case = CaseResult::default();
        add(&mut case, 0, Outcome::Fail, Some(STOOD_STILL));
        if let Some(outcome) = repeated {
            add(&mut case, 1, outcome, None);
        }
        assert_eq!(case.units[0].outcome, counts);
        assert_eq!(case.verdict, Some(counts.verdict()));
        assert!(case.flaky.is_empty(), "{case:?}");
        let doubt = case.told_doubt('a').unwrap();
        let begins = format!("failed {STOOD_STILL}; {told}");
        assert!(doubt.starts_with(&begins), "{doubt}");
        assert_eq!(case.attempts[0].units[0].outcome, Outcome::Fail);
    }

    #[test]
    fn no_doubt_takes_off_a_fail_that_counts() {
        let mut case = CaseResult::default();
        add(&mut case, 0, Outcome::Fail, None);
        add(&mut case, 1, Outcome::Fail, Some(STOOD_STILL));
        add(&mut case, 2, Outcome::Pass, None);
        assert_eq!(case.units[0].outcome, Outcome::Fail);
    }
}
