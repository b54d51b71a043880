use std::process::ExitCode;

use miette::{Diagnostic, Report};

use crate::runner::LeaseError;
use provebench_bench::BenchError;
use provebench_bench::inventory::InventoryError;
use provebench_record::evidence::EvidenceError;
use provebench_record::report::changes::Seen;
use provebench_record::report::{Changes, Results};
use provebench_script::{AttestationError, ScriptError};
use provebench_standard::Verdict;

/// How provebench ends. Shown by `provebench --help`; this is the one place that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All that is applicable passed; or the command did what it was asked.
    Ok = 0,
    /// At least one FAIL.
    Fail = 1,
    /// Usage or configuration: nothing was tested.
    Usage = 2,
    /// Nothing failed, but the bench could not do its part.
    Bench = 3,
    /// Nothing failed, but something is INCONCLUSIVE or could not be run.
    Inconclusive = 4,
    /// Interrupted before the end.
    Interrupted = 130,
}

/// The same in words, for `--help`.
pub(super) const HELP: &str = "\
Exit codes:
    0  all applicable test cases PASS; or the command did what it was asked
    1  at least one FAIL
    2  usage or configuration error: nothing was tested
    3  bench error: something could not be tested, and nothing failed; or not all of the run could be kept
    4  nothing failed, but something is INCONCLUSIVE or could not be run
  130  interrupted by a signal, or because nobody reads the output any more; or stopped by --deadline
With --baseline RUN --fail-on new, 1, 3 and 4 only stand for what is worse than in that run.";

impl Exit {
    /// For a run. A FAIL outweighs what the bench could not do; a run that was cut short says so.
    pub fn of(results: &Results) -> Self {
        if results.interrupted {
            return Self::Interrupted;
        }
        match results.verdict {
            Some(Verdict::Fail) => Self::Fail,
            _ if results.has_errors() => Self::Bench,
            Some(Verdict::Pass) => Self::Ok,
            Some(Verdict::Inconclusive) | None => Self::Inconclusive,
        }
    }

    /// For what is worse than in an earlier run. That a bench fails is no success either: else a run without any
    /// verdict would have no new failure.
    pub(super) fn of_changes(changes: &Changes) -> Self {
        if !changes.new_failures.is_empty() {
            return Self::Fail;
        }
        match changes.lost().filter_map(|unit| unit.after).max() {
            Some(Seen::Error) => Self::Bench,
            Some(_) => Self::Inconclusive,
            None => Self::Ok,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command could not do what it was asked: what to tell, and how to exit.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) exit: Exit,
    pub(super) report: Report,
}

impl Failure {
    pub(super) fn usage(error: impl Diagnostic + Send + Sync + 'static) -> Self {
        Self {
            exit: Exit::Usage,
            report: error.into(),
        }
    }

    pub(super) fn bench(error: impl Diagnostic + Send + Sync + 'static) -> Self {
        Self {
            exit: Exit::Bench,
            report: error.into(),
        }
    }
}

impl From<InventoryError> for Failure {
    fn from(error: InventoryError) -> Self {
        Self::usage(error)
    }
}

impl From<ScriptError> for Failure {
    fn from(error: ScriptError) -> Self {
        Self::usage(error)
    }
}

impl From<EvidenceError> for Failure {
    fn from(error: EvidenceError) -> Self {
        Self::bench(error)
    }
}

impl From<AttestationError> for Failure {
    fn from(error: AttestationError) -> Self {
        Self::usage(error)
    }
}

impl From<LeaseError> for Failure {
    fn from(error: LeaseError) -> Self {
        Self::bench(error)
    }
}

impl From<BenchError> for Failure {
    fn from(error: BenchError) -> Self {
        Self::bench(error)
    }
}
