//! How to run.

use std::num::NonZeroU32;
use std::time::Duration;

use super::interrupt::Interrupt;
use super::queue::Times;
use crate::redact::Secrets;
use provebench_bench::inventory::LogLimit;
use provebench_record::event::Settings;
use provebench_script::Attestations;

/// How to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long to wait for a device that is in use.
    pub wait: Option<Duration>,
    /// What has a part in the results.
    pub settings: Settings,
    /// Answers of human assessors that replace those kept with the target.
    pub attestations: Option<Attestations>,
    /// After so many test cases in a row that the bench of a device has spoiled, it is left out. None: never.
    pub quarantine_after: Option<NonZeroU32>,
    /// Time for each unit, within its case's.
    pub unit_deadline: Option<Duration>,
    /// How long cases took before, for the order of those that devices share.
    pub times: Times,
    /// How large logs may become.
    pub log_limit: LogLimit,
    /// What is blacked out in all that the run tells.
    pub secrets: Secrets,
    /// Cancelled to stop the run between steps.
    pub interrupt: Interrupt,
}
