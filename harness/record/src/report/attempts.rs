//! What one case showed on one device: several attempts at it, and what they come to.
//!
//! Rounds are asked for (`--repeat`), and the worst of them counts. Within a round, further attempts make up for errors
//! of the bench (`--retry-errors`, or a run that was killed and resumed): an error counts only if no attempt of the round
//! decided. So no attempt ever erases a FAIL that counts. One in doubt (this machine stood still meanwhile) is repeated, and
//! weighs no more than an error until the repetition has decided: it is kept, and told.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Not;

use serde::{Deserialize, Serialize};

use crate::event::{Attempt, Fault, Outcome, Skip, SkipKind, UnitResult};
use provebench_standard::{UnitName, Verdict};

/// What one case showed on one device.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct CaseResult {
    /// None if it is not applicable, or was interrupted before anything was shown.
    pub verdict: Option<Verdict>,
    /// Why it was not run, or not to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip: Option<Skip>,
    /// Why it is a FAIL without having been run: what the supplier says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_met: Option<String>,
    /// How long it took.
    pub seconds: f64,
    /// Its folder, relative to the run's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
    /// Files in that folder.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// In the order in which they ran; of several attempts at a unit the one that counts.
    pub units: Vec<UnitResult>,
    /// Units that were not selected: the case was not run as a whole, and does not pass.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub unselected: BTreeSet<char>,
    /// Units whose attempts ended differently, errors of the bench that a retry made up for aside.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub flaky: BTreeSet<UnitName>,
    /// What was not seen of what the device did, or not kept, in all attempts: how many by kind.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub not_seen: BTreeMap<String, u64>,
    /// All attempts in their order, where there was more than one.
    #[serde(default, skip_serializing_if = "is_single")]
    pub attempts: Vec<AttemptResult>,
    /// What the attempts come to so far.
    #[serde(skip)]
    tally: Tally,
}

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
fn is_single(attempts: &[AttemptResult]) -> bool {
    attempts.len() < 2
}

impl CaseResult {
    /// Nothing yet, of a case of which these units were not selected.
    pub(super) fn without(unselected: BTreeSet<char>) -> Self {
        Self {
            unselected,
            ..Self::default()
        }
    }

    /// Attempts that were made because of errors of the bench.
    pub fn retries(&self) -> usize {
        let retries = self.attempts.iter().filter(|a| a.attempt.retry > 0);
        retries.count()
    }

    /// How the attempts at a unit ended, in their order.
    pub fn outcomes(&self, unit: &UnitName) -> Vec<Outcome> {
        let results = self.attempts.iter().flat_map(|a| &a.units);
        let of_unit = results.filter(|result| result.unit == *unit);
        of_unit.map(|result| result.outcome).collect()
    }

    /// How the attempts at a unit that is flaky ended, in words.
    pub fn told_flaky(&self, unit: &UnitName) -> Option<String> {
        self.flaky.contains(unit).then(|| {
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
    pub fn told_doubt(&self, unit: &UnitName) -> Option<String> {
        let results = self.attempts.iter().enumerate();
        let mut results = results.flat_map(|(n, a)| a.units.iter().map(move |u| (n, u)));
        let (n, doubt) = results.find_map(|(n, result)| {
            let is_it = result.unit == *unit && result.outcome == Outcome::Fail;
            Some((n, result.doubt.as_ref().filter(|_| is_it)?))
        })?;
        let repeated = self.attempts[n + 1..].iter().any(|later| {
            later.attempt.round == self.attempts[n].attempt.round
                && later.units.iter().any(|u| u.unit == *unit)
        });
        let repeated = if repeated {
            "repeated"
        } else {
            "not repeated yet"
        };
        Some(format!("failed {doubt}; {repeated}"))
    }

    pub(super) fn begin(&mut self, attempt: Attempt, evidence: Option<String>) {
        self.note_latest();
        self.attempts.push(AttemptResult {
            attempt,
            evidence,
            ..AttemptResult::default()
        });
        // What was interrupted goes on.
        self.skip = None;
        self.fold();
    }

    pub(super) fn add(&mut self, result: &UnitResult) {
        let latest = self.latest();
        latest.units.push(result.clone());
        let (round, place) = (latest.attempt.round, latest.units.len() - 1);
        self.weigh(result, round, (self.attempts.len() - 1, place));
        self.fold();
    }

    pub(super) fn skip(&mut self, skip: &Skip) {
        self.skip = Some(skip.clone());
        self.fold();
    }

    pub(super) fn declare_not_met(&mut self, reason: &str) {
        self.not_met = Some(reason.to_owned());
        self.fold();
    }

    pub(super) fn reopen(&mut self) {
        if self.skip.as_ref().is_some_and(|skip| skip.kind.is_left()) {
            self.skip = None;
            self.fold();
        }
    }

    /// Neither begun nor skipped, nor decided without that.
    pub(super) fn is_blank(&self) -> bool {
        self.attempts.is_empty() && self.why_not_run().is_none()
    }

    /// Why it was not run, or not to its end.
    pub fn why_not_run(&self) -> Option<&str> {
        let skipped = self.skip.as_ref().map(|skip| &skip.reason);
        self.not_met.as_ref().or(skipped).map(String::as_str)
    }

    /// What the units of the latest round come to so far, each of them as it counts. Only known while events are gathered.
    pub(super) fn outcome_of_round(&self) -> Option<Outcome> {
        let round = self.attempts.last()?.attempt.round;
        let units = self.tally.units.values();
        let outcomes = units.filter_map(|unit| unit.rounds.get(&round));
        outcomes.map(|(_, outcome)| *outcome).max()
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
        let more = seconds - attempt.seconds;
        attempt.seconds = seconds;
        attempt.evidence = evidence.cloned();
        attempt.files = files.to_vec();
        attempt.will_retry = will_retry;
        attempt.is_finished = skip != Some(SkipKind::Interrupted);
        self.seconds += more;
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

    /// The evidence to look at first is that of the attempt that counts.
    fn point_to_evidence(&mut self) {
        self.note_latest();
        let counts = self.units.iter().map(|u| u.outcome).max();
        let telling = self.tally.latest.get(&counts);
        let telling = telling.map(|n| &self.attempts[*n]);
        if let Some(telling) = telling.or(self.attempts.last()) {
            self.evidence = telling.evidence.clone();
            self.files = telling.files.clone();
        }
    }

    fn note_latest(&mut self) {
        if let Some(attempt) = self.attempts.last() {
            let worst = attempt.units.iter().map(UnitResult::counting).max();
            self.tally.latest.insert(worst, self.attempts.len() - 1);
        }
    }

    fn latest(&mut self) -> &mut AttemptResult {
        if self.attempts.is_empty() {
            self.attempts.push(AttemptResult::default());
        }
        let last = self.attempts.len() - 1;
        &mut self.attempts[last]
    }

    /// Works out what the attempts at a unit come to with one more result, which is at that place.
    fn weigh(&mut self, result: &UnitResult, round: u32, at: Place) {
        let tally = self.tally.units.entry(result.unit.clone()).or_default();
        let outcome = result.counting();
        if outcome != Outcome::Error {
            tally.decided.insert(outcome);
        }
        let before = tally.rounds.get(&round).copied();
        if before.is_none_or(|(_, before)| within_round(outcome) >= within_round(before)) {
            tally.count(round, (at, outcome));
        }
        if tally.decided.len() > 1 || tally.by_outcome.len() > 1 {
            self.flaky.insert(result.unit.clone());
        } else {
            self.flaky.remove(&result.unit);
        }
        let counting = tally.counting();
        if counting == tally.told {
            return;
        }
        tally.told = counting;
        let Some((attempt, place)) = counting else {
            return;
        };
        let told = as_it_counts(&self.attempts[attempt].units[place]);
        match self.units.iter_mut().find(|unit| unit.unit == told.unit) {
            Some(unit) => *unit = told,
            None => self.units.push(told),
        }
    }

    /// Units that were not selected, beside others that were run.
    pub fn unselected_beside(&self) -> impl Iterator<Item = char> {
        let all = self.unselected.iter().copied();
        all.filter(|_| !self.units.is_empty())
    }

    /// The one place where a case gets its verdict.
    fn fold(&mut self) {
        let verdicts = self.units.iter().map(|u| u.outcome.verdict());
        let skipped = self.skip.as_ref().and_then(Skip::verdict);
        let not_met = self.not_met.as_ref().map(|_| Verdict::Fail);
        // Nobody knows what those would have shown.
        let unselected = self.unselected_beside().map(|_| Verdict::Inconclusive);
        self.verdict = Verdict::fold(verdicts.chain(skipped).chain(not_met).chain(unselected));
    }
}

impl Skip {
    /// A case that applies and was not run decides nothing; one that does not apply has no verdict.
    fn verdict(&self) -> Option<Verdict> {
        match self.kind {
            SkipKind::NotApplicable => None,
            SkipKind::Missing | SkipKind::Interrupted | SkipKind::Quarantined => {
                Some(Verdict::Inconclusive)
            }
        }
    }
}

/// Where a result is: which attempt, and which of its units.
type Place = (usize, usize);

/// What is known of all attempts at a case, so that one more costs the same however many there were. Only what gathers
/// events has it, not what was read from a file of results.
#[derive(Clone, Debug, Default)]
struct Tally {
    units: BTreeMap<UnitName, UnitTally>,
    /// The latest attempt by the worst that it showed.
    latest: BTreeMap<Option<Outcome>, usize>,
}

#[derive(Clone, Debug, Default)]
struct UnitTally {
    /// The result that counts of each round.
    rounds: BTreeMap<u32, (Place, Outcome)>,
    /// The rounds by how they count. None of the sets is empty.
    by_outcome: BTreeMap<Outcome, BTreeSet<u32>>,
    /// Outcomes that are none of the bench.
    decided: BTreeSet<Outcome>,
    /// The result that is told for all rounds.
    told: Option<Place>,
}

impl UnitTally {
    fn count(&mut self, round: u32, result: (Place, Outcome)) {
        if let Some((_, before)) = self.rounds.insert(round, result)
            && let Some(rounds) = self.by_outcome.get_mut(&before)
        {
            rounds.remove(&round);
            if rounds.is_empty() {
                self.by_outcome.remove(&before);
            }
        }
        self.by_outcome.entry(result.1).or_default().insert(round);
    }

    /// The first of the worst.
    fn counting(&self) -> Option<Place> {
        let (_, rounds) = self.by_outcome.last_key_value()?;
        let (place, _) = self.rounds.get(rounds.first()?)?;
        Some(*place)
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
        result.fault = Some(Fault::Bench);
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
    use std::iter;
    use std::time::Instant;

    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    const STOOD_STILL: &str = "while this machine stood still for 3.2 s";

    fn result(unit: char, outcome: Outcome, message: &str, doubt: Option<&str>) -> UnitResult {
        UnitResult {
            unit: unit.into(),
            outcome,
            fault: (outcome == Outcome::Error).then_some(Fault::Bench),
            message: Some(message.into()),
            doubt: doubt.map(str::to_owned),
            at: None,
            stack: Vec::new(),
            seconds: 0.0,
            notes: Vec::new(),
            console: None,
        }
    }

    fn add(case: &mut CaseResult, retry: u32, outcome: Outcome, doubt: Option<&str>) {
        case.begin(Attempt { round: 1, retry }, None);
        case.add(&result('a', outcome, "insecure", doubt));
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
        let doubt = case.told_doubt(&'a'.into()).unwrap();
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

    /// Catches what grows with the square.
    #[test]
    fn many_rounds_take_no_time() {
        let began = Instant::now();
        let mut case = CaseResult::default();
        for round in 1..=20_000 {
            case.begin(Attempt { round, retry: 0 }, None);
            for unit in 'a'..='c' {
                // What counts is far back.
                let outcome = if round == 1 {
                    Outcome::Fail
                } else {
                    Outcome::Pass
                };
                case.add(&result(unit, outcome, "insecure", None));
            }
            case.finish(1.0, None, &[], false);
        }
        assert_eq!(case.units[0].outcome, Outcome::Fail);
        assert!(began.elapsed().as_secs() < 60, "{:?}", began.elapsed());
    }

    /// The same from all attempts at once: results that count, in the order of units, and the units that are flaky.
    fn weighed(attempts: &[AttemptResult]) -> (Vec<UnitResult>, BTreeSet<UnitName>) {
        let all = || {
            let results = attempts.iter();
            results.flat_map(|a| a.units.iter().zip(iter::repeat(a.attempt.round)))
        };
        let mut order: Vec<UnitName> = Vec::new();
        for (result, _) in all() {
            if !order.contains(&result.unit) {
                order.push(result.unit.clone());
            }
        }
        let mut flaky = BTreeSet::new();
        let units = order.into_iter().map(|unit| {
            let of_unit = || all().filter(|(result, _)| result.unit == unit);
            let rounds: BTreeSet<u32> = of_unit().map(|(_, round)| round).collect();
            let counting = rounds.iter().map(|round| {
                let of_round = of_unit().filter(|(_, of)| of == round);
                // The last of those that weigh the most.
                let results = of_round.map(|(result, _)| result);
                results
                    .max_by_key(|result| within_round(result.counting()))
                    .unwrap()
            });
            let counting: Vec<&UnitResult> = counting.collect();
            let decided = of_unit().map(|(result, _)| result.counting());
            let decided: BTreeSet<Outcome> = decided.filter(|o| *o != Outcome::Error).collect();
            let several: BTreeSet<Outcome> = counting.iter().map(|r| r.counting()).collect();
            if decided.len() > 1 || several.len() > 1 {
                flaky.insert(unit);
            }
            let worst = several.last().copied();
            let first = counting.iter().find(|r| Some(r.counting()) == worst);
            as_it_counts(first.unwrap())
        });
        let units = units.collect();
        (units, flaky)
    }

    fn some_outcome() -> impl Strategy<Value = (Outcome, bool)> {
        let outcomes = [
            Outcome::Pass,
            Outcome::Inconclusive,
            Outcome::Error,
            Outcome::Fail,
        ];
        (prop::sample::select(outcomes.to_vec()), any::<bool>())
    }

    proptest! {
        /// However attempts come: whatever was gathered one by one is what they come to together.
        #[test]
        fn one_by_one_is_all_together(
            attempts in prop::collection::vec(
                (1..5_u32, prop::collection::vec((prop::char::range('a', 'c'), some_outcome()), 0..4)),
                1..8,
            ),
        ) {
            let mut case = CaseResult::default();
            for (n, (round, units)) in attempts.into_iter().enumerate() {
                case.begin(Attempt { round, retry: 0 }, Some(n.to_string()));
                for (unit, (outcome, in_doubt)) in units {
                    let doubt = in_doubt.then_some(STOOD_STILL);
                    case.add(&result(unit, outcome, &n.to_string(), doubt));
                }
                case.finish(1.5, Some(&n.to_string()), &[], false);
                let (units, flaky) = weighed(&case.attempts);
                let told = |units: &[UnitResult]| -> Vec<_> {
                    let told = units.iter();
                    told.map(|u| (u.unit.clone(), u.outcome, u.message.clone())).collect()
                };
                prop_assert_eq!(told(&case.units), told(&units));
                prop_assert_eq!(&case.flaky, &flaky);
                let counts = units.iter().map(|u| u.outcome).max();
                let worst = |a: &&AttemptResult| {
                    a.units.iter().map(UnitResult::counting).max() == counts
                };
                let telling = case.attempts.iter().rev().find(worst);
                let telling = telling.or(case.attempts.last()).unwrap();
                prop_assert_eq!(&case.evidence, &telling.evidence);
            }
            let seconds = 1.5 * f64::from(u32::try_from(case.attempts.len()).unwrap());
            prop_assert!((case.seconds - seconds).abs() < 1e-9);
        }
    }
}
