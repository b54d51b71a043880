use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tokio::runtime::{Builder, Runtime};

use super::exit::Failure;
use crate::inventory::Inventory;
use crate::runner::Filter;
use crate::script::{ScriptError, Suite};

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
}

impl Files {
    pub(super) fn inventory(&self) -> Result<Inventory, Failure> {
        Ok(Inventory::load(&self.devices, &self.targets)?)
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
    /// Devices (`sensor-a`), test cases (`5.11-1-2`), test groups (`5.11-1`) or clauses (`5.11`); all unless given
    #[arg(value_name = "FILTER")]
    words: Vec<String>,
    /// Only test cases, or devices, that have this tag
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
}

impl Selection {
    pub(super) fn filter(&self) -> Filter<'_> {
        Filter {
            words: &self.words,
            tags: &self.tags,
        }
    }
}

/// How long to wait for a device that is in use.
#[derive(Debug, Args)]
pub(super) struct Wait {
    /// Wait that long for a device that is in use, instead of giving up at once
    #[arg(long, value_name = "SECONDS")]
    wait: Option<u32>,
}

impl Wait {
    pub(super) fn limit(&self) -> Option<Duration> {
        self.wait.map(|seconds| Duration::from_secs(seconds.into()))
    }
}

pub(super) fn runtime() -> Result<Runtime, Failure> {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|source| Failure::bench(RuntimeError { source }))
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("cannot start threads")]
#[diagnostic(help("raise the limits on processes and open files (ulimit -u, ulimit -n)"))]
struct RuntimeError {
    source: std::io::Error,
}
