//! How far cases have come in a run that is resumed.

use std::collections::BTreeSet;

use provebench_record::event::Outcome;
use provebench_record::report::{AttemptResult, CaseResult};
use provebench_standard::UnitName;

/// Whether the case was skipped for good, or decided without a run.
pub(super) fn is_skipped(case: &CaseResult) -> bool {
    let skip = case.skip.as_ref();
    case.not_met.is_some() || skip.is_some_and(|skip| !skip.kind.is_left())
}

/// How far a case came before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CaseProgress {
    /// Rounds that are over.
    pub(super) rounds: u32,
    /// Attempts at the round after those, none of which is the last one.
    tries: Tries,
    is_skipped: bool,
}

/// Attempts at a round that is not over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tries {
    /// How many.
    pub(super) attempts: u32,
    /// How many of these the bench has spoiled; the others were cut short, or left a FAIL in doubt.
    pub(super) spoiled: u32,
    /// Units that they have left in doubt.
    pub(super) doubted: BTreeSet<UnitName>,
    /// Rows that attempts which were cut short have decided.
    pub(super) decided: BTreeSet<UnitName>,
}

impl CaseProgress {
    pub(super) fn of(case: &CaseResult) -> Self {
        let mut begun = Self {
            is_skipped: is_skipped(case),
            ..Self::default()
        };
        let Some(last) = case.attempts.last() else {
            return begun;
        };
        let round = last.attempt.round;
        if last.is_finished && !last.will_retry {
            begun.rounds = round;
        } else {
            begun.rounds = round.saturating_sub(1);
            let of_round = case.attempts.iter().filter(|a| a.attempt.round == round);
            let is_in_doubt = |attempt: &AttemptResult| {
                let mut units = attempt.units.iter();
                units.any(|u| u.outcome == Outcome::Fail && u.doubt.is_some())
            };
            let spoiled = of_round.clone();
            let spoiled = spoiled.filter(|a| a.is_finished && !is_in_doubt(a));
            let cut_short = of_round.clone().filter(|a| !a.is_finished);
            let rows = cut_short.flat_map(|a| &a.units);
            let decided = rows.filter(|u| {
                u.unit.row.is_some() && u.doubt.is_none() && u.outcome != Outcome::Error
            });
            let decided = decided.map(|u| u.unit.clone());
            let units = of_round.flat_map(|a| &a.units);
            let doubted = units.filter(|u| u.doubt.is_some());
            begun.tries = Tries {
                attempts: last.attempt.retry.saturating_add(1),
                spoiled: u32::try_from(spoiled.count()).unwrap_or(u32::MAX),
                doubted: doubted.map(|u| u.unit.clone()).collect(),
                decided: decided.collect(),
            };
        }
        begun
    }

    /// The attempts at a round that there were.
    pub(super) fn in_round(&self, round: u32) -> Tries {
        if round == self.rounds.saturating_add(1) {
            self.tries.clone()
        } else {
            Tries::default()
        }
    }

    pub(super) fn is_over(&self, repeat: u32) -> bool {
        self.is_skipped || self.rounds >= repeat
    }
}
