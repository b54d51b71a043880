//! A run's journal, read back. It may have been cut, damaged or made by anybody: what no run writes is refused, with its
//! line.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use time::OffsetDateTime;

use super::format;
use super::results::Results;
use super::sound;
use super::unreadable::{EarlierError, JournalError};
use crate::event::{DeviceInfo, Event, JOURNAL_FORMAT, Settings, Stamped};
use crate::evidence::{self, LinesError, whole_lines};
use provebench_standard::CaseId;

/// What a run's journal says.
#[derive(Debug)]
pub struct Journal {
    /// As far as the run came.
    pub results: Results,
    /// What was to run on each device.
    pub planned: BTreeMap<String, BTreeSet<CaseId>>,
    /// The devices that the run had when it ended.
    pub left: BTreeSet<String>,
    /// How long the run was at work.
    pub seconds: f64,
    /// The number that each source came to.
    pub sources: BTreeMap<String, u64>,
    /// The byte where its last whole line ends.
    pub end: u64,
}

impl Journal {
    /// Reads a file; none if it ends before it says what was to run.
    pub fn read(path: &Path) -> Result<Option<Self>, EarlierError> {
        let file = evidence::open_plain(File::options().read(true), path);
        let read = file
            .map_err(|error| LinesError::Io(error).into())
            .and_then(|file| Self::from_lines(BufReader::with_capacity(1 << 20, file)));
        read.map_err(|error| EarlierError::of_journal(path, error))
    }

    /// The same from anywhere.
    pub fn from_lines(from: impl BufRead) -> Result<Option<Self>, JournalError> {
        let mut replay: Option<Replay> = None;
        let mut other_format = None;
        let read = whole_lines(from, |line| {
            sound::check_keys(line)?;
            if replay.is_none()
                && let Err(error) = format::check(line, JOURNAL_FORMAT)
            {
                return Err(other_format.insert(error).to_string());
            }
            let stamped: Stamped = serde_json::from_slice(line).map_err(|e| e.to_string())?;
            match &mut replay {
                None => replay = Some(Replay::begin(&stamped)?),
                Some(replay) => replay.go_on(&stamped)?,
            }
            Ok(())
        });
        if let Some(error) = other_format {
            return Err(error.into());
        }
        let end = read?;
        Ok(replay.map(|replay| Self {
            results: replay.results,
            planned: replay.planned,
            left: replay.left,
            seconds: replay.seconds,
            sources: replay.sources,
            end,
        }))
    }
}

struct Replay {
    results: Results,
    planned: BTreeMap<String, BTreeSet<CaseId>>,
    left: BTreeSet<String>,
    seconds: f64,
    since: Option<OffsetDateTime>,
    /// The devices of the run, and the cases that are under way on them.
    devices: BTreeMap<String, Option<CaseId>>,
    settings: Settings,
    /// The latest number of each source.
    sources: BTreeMap<String, u64>,
}

impl Replay {
    fn begin(stamped: &Stamped) -> Result<Self, String> {
        let Event::RunStarted {
            devices,
            planned,
            unselected_units,
            settings,
            ..
        } = &stamped.event
        else {
            return Err("a journal begins with what is to run".into());
        };
        let mut results = Results::new();
        results.apply(stamped);
        sound::check_results(&results)?;
        let mut replay = Self {
            results,
            planned: planned.clone(),
            left: BTreeSet::new(),
            seconds: 0.0,
            since: Some(stamped.time),
            devices: devices
                .iter()
                .map(|DeviceInfo { name, .. }| (name.clone(), None))
                .collect(),
            settings: *settings,
            sources: BTreeMap::new(),
        };
        replay.count(stamped)?;
        for (device, cases) in planned {
            replay.known_device(device)?;
            cases.iter().try_for_each(|case| replay.known_case(case))?;
        }
        for (device, cases) in unselected_units {
            replay.known_device(device)?;
            cases.keys().try_for_each(|case| replay.known_case(case))?;
            let units = cases.values().flatten();
            units.copied().try_for_each(sound::check_letter)?;
        }
        Ok(replay)
    }

    fn go_on(&mut self, stamped: &Stamped) -> Result<(), String> {
        self.check(&stamped.event)?;
        self.count(stamped)?;
        match &stamped.event {
            Event::RunResumed { .. } => {
                self.since = None;
                self.devices.values_mut().for_each(|open| *open = None);
            }
            Event::DeviceStarted { device, .. } => drop(self.left.insert(device.clone())),
            Event::DeviceFinished { device, .. } => drop(self.left.remove(device)),
            Event::CaseStarted { device, case, .. } => {
                self.devices.insert(device.clone(), Some(case.clone()));
            }
            Event::CaseFinished { device, .. } => drop(self.devices.insert(device.clone(), None)),
            _ => {}
        }
        let before = self.since.replace(stamped.time).unwrap_or(stamped.time);
        // Clocks are put back at times.
        self.seconds += (stamped.time - before).as_seconds_f64().max(0.0);
        self.results.apply(stamped);
        Ok(())
    }

    /// Whether a run can write that.
    fn check(&self, event: &Event) -> Result<(), String> {
        match event {
            Event::RunStarted { .. } => Err("another run begins".into()),
            Event::RunResumed { .. } | Event::Interrupted { .. } => Ok(()),
            Event::CaseSkipped { device, case, .. }
            | Event::DeclaredNotMet { device, case, .. } => {
                self.known_device(device)?;
                self.known_case(case)
            }
            Event::DeviceStarted { device, .. }
            | Event::Waiting { device, .. }
            | Event::Progress { device, .. }
            | Event::DeviceError { device, .. } => self.known_device(device),
            Event::CaseStarted {
                device,
                case,
                attempt,
                evidence,
            } => {
                self.known_device(device)?;
                self.known_case(case)?;
                sound::check_attempt(*attempt, self.settings)?;
                sound::check_evidence(device, evidence.as_deref(), &[])
            }
            Event::UnitStarted { device, case, .. }
            | Event::Step { device, case, .. }
            | Event::NotSeen { device, case, .. } => self.under_way(device, case),
            Event::UnitFinished {
                device,
                case,
                result,
            } => {
                self.under_way(device, case)?;
                sound::check_seconds(result.seconds)
            }
            Event::EvidenceKept {
                device,
                case,
                files,
            } => {
                match case {
                    Some(case) => self.under_way(device, case)?,
                    None => self.known_device(device)?,
                }
                sound::check_kept(device, files)
            }
            Event::CaseFinished {
                device,
                case,
                seconds,
                evidence,
                files,
                ..
            } => {
                self.under_way(device, case)?;
                sound::check_seconds(*seconds)?;
                sound::check_evidence(device, evidence.as_deref(), files)
            }
            Event::DeviceFinished { device, seconds } => {
                self.known_device(device)?;
                sound::check_seconds(*seconds)
            }
            Event::RunFinished { seconds, .. } => sound::check_seconds(*seconds),
        }
    }

    /// What was told by a source, in its order: nothing twice, and nothing missing.
    fn count(&mut self, Stamped { source, seq, .. }: &Stamped) -> Result<(), String> {
        let latest = self.sources.get(source).copied().unwrap_or(0);
        let missing = seq.checked_sub(latest);
        match missing {
            Some(1) => {
                self.sources.insert(source.clone(), *seq);
                Ok(())
            }
            Some(more @ 2..) => Err(format!(
                "{} of {source:?} are missing before its event {seq}: the one before is {latest}",
                match more - 1 {
                    1 => "an event".into(),
                    missing => format!("{missing} events"),
                }
            )),
            Some(0) | None => Err(format!(
                "event {seq} of {source:?} is there twice, or after event {latest}"
            )),
        }
    }

    fn known_device(&self, device: &str) -> Result<(), String> {
        if self.devices.contains_key(device) {
            Ok(())
        } else {
            Err(format!("device {device:?} is none of this run"))
        }
    }

    fn known_case(&self, case: &CaseId) -> Result<(), String> {
        if self.results.cases.contains_key(case) {
            Ok(())
        } else {
            Err(format!("test case {case} is none of this run"))
        }
    }

    fn under_way(&self, device: &str, case: &CaseId) -> Result<(), String> {
        self.known_device(device)?;
        match self.devices.get(device) {
            Some(Some(open)) if open == case => Ok(()),
            _ => Err(format!("test case {case} was not begun on {device:?}")),
        }
    }
}
