use clap::{Args, ValueEnum};

use super::context::Runs;
use super::exit::{Exit, Failure};
use super::output::out;
use crate::run;
use provebench_record::report::changes::Threshold;
use provebench_record::report::{Changes, EarlierError, Results};

/// Show what is other in a run than in an earlier one; runs nothing
///
/// Exits with 1 if there are new failures, with 3 or 4 if something that was decided before is an ERROR or
/// INCONCLUSIVE now, else with 0.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The earlier run: its folder, its results.json, its identifier, or `latest`
    before: String,
    /// The run to compare with it
    #[arg(default_value = "latest")]
    after: String,
    #[command(flatten)]
    slower: SlowerThan,
    /// Write Markdown, for the summary of a CI job
    #[arg(long)]
    markdown: bool,
    #[command(flatten)]
    runs: Runs,
}

/// What to compare a run with.
#[derive(Debug, Args)]
pub(super) struct Baseline {
    /// Tell what is other than in an earlier run: its folder, its results.json, its identifier, or `latest`
    #[arg(long, value_name = "RUN")]
    baseline: Option<String>,
    /// Which failures make the run fail
    #[arg(
        long,
        value_name = "WHICH",
        default_value = "any",
        requires = "baseline"
    )]
    fail_on: FailOn,
    #[command(flatten)]
    slower: SlowerThan,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FailOn {
    /// All of them
    Any,
    /// Only those that are not in the baseline. Exits with 3 or 4 only for what the baseline decided and this run
    /// could not
    New,
}

#[derive(Debug, Args)]
struct SlowerThan {
    /// Tell cases that take longer by more than this, and by 1 s at least
    #[arg(long = "slower-than", value_name = "PERCENT", default_value_t = 30)]
    percent: u32,
}

pub(super) fn act(arguments: &Arguments) -> Result<Exit, Failure> {
    let before = Results::of_earlier(&arguments.runs.folder, &arguments.before)?;
    let after = Results::of_earlier(&arguments.runs.folder, &arguments.after)?;
    run::refuse_same(&before, &after.run).map_err(Failure::usage)?;
    let changes = Changes::between(&before, &after, arguments.slower.threshold());
    out(&if arguments.markdown {
        changes.to_markdown()
    } else {
        changes.to_text()
    });
    Ok(Exit::of_changes(&changes))
}

impl Baseline {
    pub(super) fn request(&self) -> Option<run::Baseline<'_>> {
        let slower = self.slower.threshold();
        let run = self.baseline.as_deref();
        run.map(|run| run::Baseline { run, slower })
    }

    pub(super) fn exit(&self, results: &Results) -> Exit {
        match (&results.changes, self.fail_on) {
            (Some(changes), FailOn::New) if !results.interrupted => Exit::of_changes(changes),
            _ => Exit::of(results),
        }
    }
}

impl SlowerThan {
    fn threshold(&self) -> Threshold {
        Threshold {
            share: f64::from(self.percent) / 100.0,
        }
    }
}

impl From<EarlierError> for Failure {
    fn from(error: EarlierError) -> Self {
        Self::usage(error)
    }
}
