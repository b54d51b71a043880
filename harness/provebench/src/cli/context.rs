use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tokio::runtime::{Builder, Runtime};

use super::exit::Failure;
use super::output::keep_secret;
use crate::redact::Secrets;
use crate::runner::{Expression, Filter};
use provebench_bench::inventory::{self, Inventory};
use provebench_record::report::Results;
use provebench_script::{ScriptError, Suite};

/// Where things are.
#[derive(Debug, Args)]
pub(super) struct Files {
    /// The devices of this bench
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        default_value = "devices.toml",
        env = "PROVEBENCH_DEVICES",
        hide_env = true
    )]
    pub(super) devices: PathBuf,
    /// Folder with a folder for each target
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        default_value = "targets",
        env = "PROVEBENCH_TARGETS",
        hide_env = true
    )]
    pub(super) targets: PathBuf,
    /// Folder of test cases [default: testcases, or those built in where that is missing]
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "PROVEBENCH_TESTCASES",
        hide_env = true
    )]
    pub(super) testcases: Option<PathBuf>,
    /// Folder whose files targets may name (images that are built elsewhere, say), besides those in the target's own
    /// folder and in `allow_paths` of devices.toml
    #[arg(long = "allow-path", global = true, value_name = "DIR")]
    allow_paths: Vec<PathBuf>,
    /// Show passwords of labels and of switches instead of blacking them out in reports and messages: for a look at one's
    /// own bench
    #[arg(long, global = true)]
    show_secrets: bool,
}

impl Files {
    pub(super) fn inventory(&self) -> Result<Inventory, Failure> {
        if self.show_secrets {
            keep_secret(Secrets::default());
        }
        let loaded = Inventory::load_allowing(&self.devices, &self.targets, &self.allow_paths);
        let inventory = loaded.map_err(|error| {
            if self.show_secrets {
                error.showing_secrets()
            } else {
                error
            }
        })?;
        keep_secret(self.secrets(&inventory));
        Ok(inventory)
    }

    /// What is not to be shown.
    pub(super) fn secrets(&self, inventory: &Inventory) -> Secrets {
        if self.show_secrets {
            Secrets::default()
        } else {
            Secrets::of(inventory)
        }
    }

    /// The targets that there are, right or wrong.
    pub(super) fn target_names(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(&self.targets)
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| entry.path().join("target.toml").is_file())
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        names
    }

    pub(super) fn suite(&self) -> Result<Suite, ScriptError> {
        const BESIDE: &str = "testcases";
        let beside = PathBuf::from(BESIDE);
        match &self.testcases {
            Some(folder) => Suite::load(Some(folder)),
            None if beside.is_dir() => Suite::load(Some(&beside)),
            None => Suite::load(None),
        }
    }
}

/// What is to be run.
#[derive(Debug, Args)]
pub(super) struct Selection {
    /// Devices (`sensor-a`), test cases (`5.11-1-2`), units of one (`5.11-1-2:b,d`), test groups (`5.11-1`) or clauses
    /// (`5.11`); all unless given. A case of which not all units run does not pass: it is INCONCLUSIVE at best
    #[arg(value_name = "FILTER")]
    words: Vec<String>,
    /// Only test cases, or devices, that have this tag
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Only what meets this expression, e.g. `tag(network) & !case(5.9-*)`, `failed(latest) | group(5.11-*)`
    ///
    /// Predicates on test cases and devices: case(ID), unit(LETTER), group(ID), clause(ID), tag(TAG), device(NAME),
    /// target(NAME), each with `*`, `?` and `[ab]` as wildcards; affected(COMPONENT): what a change in that part of the firmware can
    /// affect, as [components] in target.toml says; all(), none(). On an earlier run (a folder, results.json, identifier
    /// or `latest`): passed(RUN), failed(RUN), errored(RUN), inconclusive(RUN), skipped(RUN). Joined by `&` (and), `|`
    /// (or), `-` (but not), `!` (not) and parentheses. Narrows what FILTER and --tag select.
    #[arg(long = "filter", short = 'E', value_name = "EXPR")]
    expression: Option<String>,
    /// Only what changes in these parts of the firmware can affect, as [components] in target.toml says; the same as
    /// --filter 'affected(A) | affected(B)'
    #[arg(long, value_name = "COMPONENT", value_delimiter = ',')]
    changed_only: Vec<String>,
}

/// Where runs are kept.
#[derive(Debug, Args)]
pub(super) struct Runs {
    /// Where each run has its own folder with reports and evidence
    #[arg(long = "runs", value_name = "DIR", default_value = "runs")]
    pub(super) folder: PathBuf,
}

impl Selection {
    pub(super) fn expression(&self, runs: &Runs) -> Result<Option<Expression>, Failure> {
        let changed = self.changed_only.iter();
        let changed: Vec<String> = changed.map(|name| format!("affected({name})")).collect();
        let changed = (!changed.is_empty()).then(|| changed.join(" | "));
        let text = match (&self.expression, changed) {
            (Some(wanted), Some(changed)) => Some(format!("({wanted}) & ({changed})")),
            (wanted, changed) => wanted.clone().or(changed),
        };
        let mut load = |name: &str| Results::of_earlier(&runs.folder, name);
        text.map(|text| Expression::parse(&text, &mut load))
            .transpose()
            .map_err(Failure::usage)
    }

    pub(super) fn filter<'a>(&'a self, expression: Option<&'a Expression>) -> Filter<'a> {
        Filter {
            words: &self.words,
            tags: &self.tags,
            expression,
        }
    }
}

/// How long to wait for a device that is in use.
#[derive(Debug, Args)]
pub(super) struct Wait {
    /// Wait in line for a device that is in use, first come, first served, instead of giving up at once; for as long as
    /// it takes, or that long
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, value_parser = seconds, default_missing_value = "none")]
    wait: Option<Limit>,
}

#[derive(Clone, Copy, Debug)]
struct Limit(Duration);

fn seconds(text: &str) -> Result<Limit, String> {
    if text == "none" {
        return Ok(Limit(Duration::MAX));
    }
    let seconds: Result<u32, _> = text.parse();
    seconds
        .map(|seconds| Limit(Duration::from_secs(seconds.into())))
        .map_err(|_| {
            "not a number of seconds; put --wait behind what it could be mistaken for".into()
        })
}

/// Longest time that an option takes, in seconds.
pub(super) const LONGEST: u64 = inventory::LONGEST.as_secs();

/// A time in seconds, for options.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    let seconds: Option<f64> = text.parse().ok();
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|time| *time <= inventory::LONGEST)
        .ok_or_else(|| format!("not a time in seconds, from 0 to {LONGEST}"))
}

impl Wait {
    pub(super) fn limit(&self) -> Option<Duration> {
        self.wait.map(|Limit(time)| time)
    }
}

pub(super) fn runtime() -> Result<Runtime, Failure> {
    can_open_files()
        .and_then(|()| {
            Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
        })
        .map_err(|source| Failure::bench(RuntimeError { source }))
}

/// Where the runtime can't open what it needs for signals, it panics.
fn can_open_files() -> io::Result<()> {
    const NEEDED: usize = 12;
    let files = (0..NEEDED).map(|_| File::open("/dev/null"));
    files.collect::<io::Result<Vec<_>>>().map(drop)
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("cannot start threads")]
#[diagnostic(help("raise the limits on processes and open files (ulimit -u, ulimit -n)"))]
struct RuntimeError {
    source: io::Error,
}
