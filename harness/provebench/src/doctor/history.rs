//! When a bench last did its part.

use std::{collections::BTreeMap, fs, path::Path};

use time::OffsetDateTime;

use super::Findings;
use provebench_record::{
    event::Outcome,
    report::{DeviceResult, Results},
};
use provebench_standard::Verdict;

/// Older runs than so many are not looked at: results of a large bench are megabytes.
const MOST: usize = 50;

/// The last run of each device in which its bench made no error.
#[derive(Clone, Debug, Default)]
pub struct History(BTreeMap<String, Good>);

#[derive(Clone, Debug)]
struct Good {
    run: String,
    started: OffsetDateTime,
    verdict: Option<Verdict>,
}

impl History {
    /// Reads the latest runs in a folder; those that can't be read are passed over.
    pub fn read(runs: &Path, devices: &[&str]) -> Self {
        let mut names: Vec<String> = fs::read_dir(runs)
            .into_iter()
            .flatten()
            .flatten()
            // `latest` is one of the others.
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        // Names begin with the time.
        names.sort_unstable_by(|a, b| b.cmp(a));
        let mut history = Self::default();
        for name in names.iter().take(MOST) {
            if devices.iter().all(|device| history.0.contains_key(*device)) {
                break;
            }
            let Ok(results) = Results::of_earlier(runs, name) else {
                continue;
            };
            for device in results.devices.iter().filter(|device| is_good(device)) {
                let good = || Good {
                    run: results.run.clone(),
                    started: results.started,
                    verdict: device.verdict,
                };
                history
                    .0
                    .entry(device.info.name.clone())
                    .or_insert_with(good);
            }
        }
        history
    }

    pub(super) fn tell(&self, device: &str, findings: &mut Findings) {
        match self.0.get(device) {
            Some(Good {
                run,
                started,
                verdict,
            }) => {
                let verdict = verdict.map_or_else(String::new, |verdict| format!(": {verdict}"));
                let (date, hour, minute) = (started.date(), started.hour(), started.minute());
                findings.good(format!(
                    "last run without an error of the bench: {date} {hour:02}:{minute:02} UTC ({run}){verdict}"
                ));
            }
            None => findings.note(
                format!("no run without an error of the bench is among the last {MOST}"),
                "",
            ),
        }
    }
}

/// Something was shown, and nothing was in the way.
fn is_good(device: &DeviceResult) -> bool {
    let mut units = device
        .cases
        .values()
        .flat_map(|case| &case.units)
        .peekable();
    device.errors.is_empty()
        && units.peek().is_some()
        && units.all(|unit| unit.outcome != Outcome::Error)
}
