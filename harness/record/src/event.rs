//! The one vocabulary between the runner and everyone who watches it: terminal, journal, reports.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Not;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Number, Value};
use time::OffsetDateTime;

use provebench_standard::{CaseId, UnitName, Verdict};

/// Version of the format of journals. Fields that are added change nothing; all else is another format.
pub const JOURNAL_FORMAT: u32 = 2;

/// An event, who told it and when it happened: one line of `journal.jsonl`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stamped {
    /// [`JOURNAL_FORMAT`], in the first line of a journal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<u32>,
    /// Who tells it: the machine that the device is at.
    pub source: String,
    /// Counts from 1 what a source tells, without gaps: what is missing or there twice shows. 0 for what no journal keeps.
    pub seq: u64,
    /// When, UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub time: OffsetDateTime,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// Stamps what one source tells, in its order.
#[derive(Clone, Debug)]
pub struct Stamper {
    source: String,
    latest: u64,
}

impl Stamper {
    /// `latest` is the number that the source has come to before; 0 in a journal that begins.
    pub fn new(source: &str, latest: u64) -> Self {
        Self {
            source: source.to_owned(),
            latest,
        }
    }

    /// What the journal keeps is numbered.
    pub fn stamp(&mut self, time: OffsetDateTime, event: Event) -> Stamped {
        if !event.is_journaled() {
            return self.unnumbered(time, event);
        }
        self.latest += 1;
        Stamped {
            seq: self.latest,
            ..self.unnumbered(time, event)
        }
    }

    /// For what no journal is to keep.
    pub fn unnumbered(&self, time: OffsetDateTime, event: Event) -> Stamped {
        Stamped {
            format: matches!(event, Event::RunStarted { .. }).then_some(JOURNAL_FORMAT),
            source: self.source.clone(),
            seq: 0,
            time,
            event,
        }
    }
}

/// Events are read by way of serde's buffer, for their tag; where a crate has `serde_json` keep numbers as text, as the
/// scripts' interpreter does, only `Number` finds them there.
fn number<'de, D: Deserializer<'de>, T: DeserializeOwned>(from: D) -> Result<T, D::Error> {
    let number = Number::deserialize(from)?;
    T::deserialize(Value::Number(number)).map_err(D::Error::custom)
}

/// The same for all of a map.
fn numbers<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, u64>, D::Error> {
    let numbers = BTreeMap::<String, Number>::deserialize(from)?;
    let read = |(name, number)| {
        let number = u64::deserialize(Value::Number(number));
        number
            .map(|number| (name, number))
            .map_err(D::Error::custom)
    };
    numbers.into_iter().map(read).collect()
}

/// What happens in a run, in order for each device; devices interleave.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[expect(missing_docs, reason = "`device` and `case` say it")]
pub enum Event {
    /// First event.
    RunStarted {
        /// Identifier of the run, `<utc>-<id>`.
        run: String,
        /// Version of provebench.
        version: String,
        /// The devices that were selected.
        devices: Vec<DeviceInfo>,
        /// The cases that were selected.
        cases: BTreeMap<CaseId, CaseInfo>,
        /// The cases that there are but that were not selected.
        #[serde(default)]
        unselected: BTreeSet<CaseId>,
        /// What is selected on each device; of devices that share their cases, on one of them.
        #[serde(default)]
        planned: BTreeMap<String, BTreeSet<CaseId>>,
        /// Units of these cases that were not selected, on each device.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        unselected_units: BTreeMap<String, BTreeMap<CaseId, BTreeSet<char>>>,
        /// How it is run.
        #[serde(default)]
        settings: Settings,
    },
    /// The run had been killed or interrupted, and goes on.
    RunResumed {
        /// Version of provebench.
        version: String,
    },
    /// A case is not run on this device.
    CaseSkipped {
        device: String,
        case: CaseId,
        #[serde(flatten)]
        skip: Skip,
    },
    /// The supplier says that the product does not do what the case is about, though it is mandatory: FAIL, without a run.
    DeclaredNotMet {
        device: String,
        case: CaseId,
        /// Where the supplier says it, and how.
        reason: String,
    },
    /// The bench of a device is being made ready.
    DeviceStarted {
        device: String,
        /// Cases that will run on it.
        #[serde(deserialize_with = "number")]
        cases: usize,
    },
    /// The device is in use, and is waited for.
    Waiting {
        device: String,
        /// By whom, and who is before this run.
        text: String,
    },
    /// What the runner is busy with outside of steps, such as flashing.
    Progress { device: String, text: String },
    /// An attempt at a case begins, bringing about the state that it needs included.
    CaseStarted {
        device: String,
        case: CaseId,
        #[serde(default, skip_serializing_if = "Attempt::is_first")]
        attempt: Attempt,
        /// Folder of its evidence, relative to the run's: that of a killed attempt, too, is to be found.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        evidence: Option<String>,
    },
    /// A unit begins.
    UnitStarted {
        device: String,
        case: CaseId,
        unit: UnitName,
    },
    /// A script called into the bench. Kept in the case's evidence, not in the journal.
    Step {
        device: String,
        case: CaseId,
        #[serde(flatten)]
        step: Step,
    },
    /// A unit has an outcome.
    UnitFinished {
        device: String,
        case: CaseId,
        #[serde(flatten)]
        result: UnitResult,
    },
    /// What the device did during an attempt at a case was not all seen, or not all kept.
    NotSeen {
        device: String,
        case: CaseId,
        /// How many, by kind: `frames-missed`, ...
        #[serde(deserialize_with = "numbers")]
        losses: BTreeMap<String, u64>,
    },
    /// Evidence of all cases on a device so far: frames, who spoke with whom, what services saw. Told as a case ends, so
    /// that it is accounted for whatever becomes of the run. What it tells of a folder replaces what was told of it before.
    EvidenceKept {
        device: String,
        /// None as the device's bench is closed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        case: Option<CaseId>,
        files: Vec<KeptFile>,
    },
    /// An attempt at a case is over.
    CaseFinished {
        device: String,
        case: CaseId,
        #[serde(deserialize_with = "number")]
        seconds: f64,
        /// Its folder, relative to the run's.
        evidence: Option<String>,
        /// Files in that folder.
        files: Vec<String>,
        /// Whether another attempt is to make up for it, now or when the run is gone on with.
        #[serde(default, skip_serializing_if = "Not::not")]
        will_retry: bool,
    },
    /// The bench of a device failed outside of a case; the other devices go on.
    DeviceError { device: String, message: String },
    /// The operator asked to stop: no new step begins.
    Interrupted {
        /// The signal's name.
        signal: String,
    },
    /// Nothing more will happen on this device; its lease is free.
    DeviceFinished {
        device: String,
        #[serde(deserialize_with = "number")]
        seconds: f64,
    },
    /// Last event.
    RunFinished {
        interrupted: bool,
        #[serde(deserialize_with = "number")]
        seconds: f64,
    },
}

impl Event {
    /// Whether the journal keeps it: all but what is only worth seeing live, or kept elsewhere.
    pub fn is_journaled(&self) -> bool {
        !matches!(
            self,
            Self::Waiting { .. } | Self::Progress { .. } | Self::Step { .. }
        )
    }

    /// Whether something begins whose outcome will be a verdict.
    pub fn is_begin(&self) -> bool {
        matches!(self, Self::CaseStarted { .. } | Self::UnitStarted { .. })
    }

    /// Whether it must be on disk before anyone is told.
    pub fn is_verdict(&self) -> bool {
        matches!(
            self,
            Self::UnitFinished { .. }
                | Self::CaseFinished { .. }
                | Self::CaseSkipped { .. }
                | Self::DeclaredNotMet { .. }
                | Self::DeviceError { .. }
                | Self::RunFinished { .. }
        )
    }
}

/// A file of the evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptFile {
    /// Relative to the run's folder.
    pub path: String,
    /// In bytes. A file that grows (a capture) is told as far as it had come.
    #[serde(deserialize_with = "number")]
    pub size: u64,
    /// Of that many bytes, in hexadecimal.
    pub sha256: String,
}

/// What of the way in which a run is carried out has a part in its results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// What random data of the test cases derives from.
    #[serde(deserialize_with = "number")]
    pub seed: u64,
    /// How many times each case is run.
    #[serde(deserialize_with = "number")]
    pub repeat: u32,
    /// How many more attempts a case has after an error of the bench.
    #[serde(deserialize_with = "number")]
    pub retry_errors: u32,
    /// Devices of a target share the cases, rather than run all of them each.
    pub is_shared: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            seed: 0,
            repeat: 1,
            retry_errors: 1,
            is_shared: false,
        }
    }
}

/// `frames missed: 1200, gaps in streams: 3`.
pub fn told_losses(losses: &BTreeMap<String, u64>) -> String {
    let told = losses
        .iter()
        .map(|(kind, count)| format!("{}: {count}", kind.replace('-', " ")));
    told.collect::<Vec<_>>().join(", ")
}

/// A device that takes part in a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceInfo {
    /// Name in devices.toml.
    pub name: String,
    /// Name of its target.
    pub target: String,
    /// The target's model designation.
    pub model: String,
    /// Image set that it is flashed with.
    pub images: String,
    /// What is in that set: SHA-256 of each image, by name.
    #[serde(default)]
    pub digests: BTreeMap<String, String>,
    /// Whether devices.toml has other devices of the target, in the run or not.
    #[serde(default)]
    pub has_siblings: bool,
}

/// A case that takes part in a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseInfo {
    /// What it shows, in one line.
    pub title: String,
    /// Script, relative to the test cases' directory.
    pub file: String,
    /// What each unit shows.
    pub units: BTreeMap<char, String>,
}

/// Why a case is not run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skip {
    /// Kind of reason.
    pub kind: SkipKind,
    /// The reason.
    pub reason: String,
}

/// Kind of reason why a case is not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SkipKind {
    /// The provision does not apply to the DUT, or is recommended only and not met, as its ICS says: no verdict.
    NotApplicable,
    /// The bench or the driver lacks something: INCONCLUSIVE.
    Missing,
    /// The run was interrupted before: INCONCLUSIVE.
    Interrupted,
    /// The bench of the device had failed too often, or could not be used: INCONCLUSIVE.
    Quarantined,
}

impl SkipKind {
    /// Whether the case can be run when the run is gone on with: whoever does that has put the bench in order.
    pub fn is_left(self) -> bool {
        match self {
            Self::NotApplicable | Self::Missing => false,
            Self::Interrupted | Self::Quarantined => true,
        }
    }
}

/// Which attempt at a case this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Repetitions are asked for, and all count; from 1.
    #[serde(deserialize_with = "number")]
    pub round: u32,
    /// Further attempts in the same round make up for errors of the bench; from 0.
    #[serde(deserialize_with = "number")]
    pub retry: u32,
}

impl Attempt {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    fn is_first(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for Attempt {
    fn default() -> Self {
        Self { round: 1, retry: 0 }
    }
}

/// For people; empty for the first attempt.
impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.round > 1 {
            write!(f, " (round {})", self.round)?;
        }
        match self.retry {
            0 => Ok(()),
            1 => f.write_str(" (retry)"),
            n => write!(f, " (retry {n})"),
        }
    }
}

/// How a unit ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnitResult {
    /// Which unit, and for which row of the IXIT.
    pub unit: UnitName,
    /// How it ended.
    pub outcome: Outcome,
    /// Of an ERROR, who could not do their part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    /// Why, unless it passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When it ended so, if that may be the bench's doing: `while this machine stood still for 3.2 s`. A FAIL in doubt
    /// does not count; it is tried again, and what comes then does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubt: Option<String>,
    /// Where in the scripts, `file:line`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// How the scripts got there, outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stack: Vec<String>,
    /// Duration.
    #[serde(deserialize_with = "number")]
    pub seconds: f64,
    /// What else is to be known of it, whatever its outcome: what the bench may have missed, for example.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The end of what the DUT's console said meanwhile, fit for printing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub console: Option<String>,
}

impl UnitResult {
    /// Of a unit that was decided without its script.
    pub fn without_script(unit: UnitName, end: End, message: &str) -> Self {
        Self {
            unit,
            outcome: end.outcome(),
            fault: end.fault_of_error(),
            message: Some(message.to_owned()),
            doubt: None,
            at: None,
            stack: Vec::new(),
            seconds: 0.0,
            notes: Vec::new(),
            console: None,
        }
    }
}

impl UnitResult {
    /// The outcome as far as it counts: a FAIL in doubt says nothing about the DUT yet.
    pub fn counting(&self) -> Outcome {
        match self.outcome {
            Outcome::Fail if self.doubt.is_some() => Outcome::Error,
            outcome => outcome,
        }
    }

    /// Whether the bench spoiled it: another attempt may do better.
    pub fn is_spoiled(&self) -> bool {
        self.fault == Some(Fault::Bench)
    }
}

/// Whose doing it is that something did not end with PASS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// The DUT's, shown by evidence.
    Device,
    /// The bench's: another attempt may do better.
    Bench,
    /// That of the script, or of provebench itself: another attempt does no better.
    Script,
    /// The operator's, who did not wait for the end: it says nothing.
    Operator,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Device => "device",
            Self::Bench => "bench",
            Self::Script => "script",
            Self::Operator => "operator",
        })
    }
}

/// How a unit, or a call into a driver, ended, and whose doing that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// What was to be shown was shown.
    Pass,
    /// Neither shown nor refuted, and nobody's fault.
    Inconclusive,
    /// Somebody's doing.
    Fault(Fault),
}

impl End {
    /// The device's part and that of all others told apart.
    pub fn outcome(self) -> Outcome {
        match self {
            Self::Pass => Outcome::Pass,
            Self::Inconclusive => Outcome::Inconclusive,
            Self::Fault(Fault::Device) => Outcome::Fail,
            Self::Fault(Fault::Bench | Fault::Script | Fault::Operator) => Outcome::Error,
        }
    }

    /// Who could not do their part, of an ERROR.
    pub fn fault_of_error(self) -> Option<Fault> {
        match self {
            Self::Fault(fault @ (Fault::Bench | Fault::Script | Fault::Operator)) => Some(fault),
            Self::Pass | Self::Inconclusive | Self::Fault(Fault::Device) => None,
        }
    }

    /// Whether the bench failed, and may do better another time.
    pub fn is_spoiled(self) -> bool {
        self == Self::Fault(Fault::Bench)
    }

    /// Whether the operator interrupted it.
    pub fn is_interrupted(self) -> bool {
        self == Self::Fault(Fault::Operator)
    }
}

/// How a test unit ended, with the bench's own faults told apart from the DUT's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The unit showed what it had to show.
    Pass,
    /// Neither shown nor refuted, for a reason that the unit gives.
    Inconclusive,
    /// The bench or the script could not do its part; says nothing about the DUT.
    Error,
    /// The DUT's doing, shown by evidence.
    Fail,
}

impl Outcome {
    /// The verdict for the assessment: what the bench could not do is not the DUT's fault.
    pub fn verdict(self) -> Verdict {
        match self {
            Self::Pass => Verdict::Pass,
            Self::Inconclusive | Self::Error => Verdict::Inconclusive,
            Self::Fail => Verdict::Fail,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pass => "PASS",
            Self::Inconclusive => "INCONCLUSIVE",
            Self::Error => "ERROR",
            Self::Fail => "FAIL",
        })
    }
}

/// One call of a script into the bench: the evidence trail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Counts from 1 within a case; 0 for what the runner does by itself.
    #[serde(deserialize_with = "number")]
    pub number: u32,
    /// The unit that made the call; none while the runner brings the DUT into a state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<UnitName>,
    /// What was called, as scripts write it: `console.expect`, `power.cut_at_write`.
    pub name: String,
    /// Arguments by name. Long byte strings are abbreviated or stored as artefacts.
    pub arguments: Value,
    /// What the call gave back; null if nothing, or if it failed.
    pub result: Value,
    /// Why the call failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When the call began, in seconds since the run's start.
    #[serde(deserialize_with = "number")]
    pub at: f64,
    /// How long it took.
    #[serde(deserialize_with = "number")]
    pub seconds: f64,
    /// Files that it left, relative to the case's evidence folder.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artefacts: Vec<String>,
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn unit() -> UnitResult {
        UnitResult {
            unit: 'b'.into(),
            outcome: Outcome::Error,
            fault: Some(Fault::Bench),
            message: Some("user data is left".into()),
            doubt: Some("while this machine stood still for 3.2 s".into()),
            at: Some("5.11-1-2.star:7".into()),
            stack: vec!["check".into()],
            seconds: 0.1,
            notes: vec!["3 frames were missed".into()],
            console: Some("> ".into()),
        }
    }

    #[rstest]
    #[case::started(Event::RunStarted {
        run: "20260314T150926Z-3f9a1c".into(),
        version: "0.1.0".into(),
        devices: Vec::new(),
        cases: BTreeMap::new(),
        unselected: BTreeSet::new(),
        planned: BTreeMap::new(),
        unselected_units: BTreeMap::from([(
            "a".into(),
            BTreeMap::from([("5.1-1-2".parse().unwrap(), BTreeSet::from(['b', 'c']))]),
        )]),
        settings: Settings { seed: u64::MAX, repeat: 3, retry_errors: 2, is_shared: true },
    })]
    #[case::not_met(Event::DeclaredNotMet {
        device: "a".into(),
        case: "5.11-1-2".parse().unwrap(),
        reason: "5.11-1 is mandatory, and not met according to the ICS".into(),
    })]
    #[case::device_started(Event::DeviceStarted { device: "a".into(), cases: 7 })]
    #[case::attempt(Event::CaseStarted {
        device: "a".into(),
        case: "5.11-1-2".parse().unwrap(),
        attempt: Attempt { round: 2, retry: 1 },
        evidence: Some("cases/a/5.11-1-2_attempt-2".into()),
    })]
    #[case::unit(Event::UnitFinished {
        device: "a".into(),
        case: "5.11-1-2".parse().unwrap(),
        result: unit(),
    })]
    #[case::step(Event::Step {
        device: "a".into(),
        case: "5.11-1-2".parse().unwrap(),
        step: Step {
            number: 1,
            unit: Some('a'.into()),
            name: "console.expect".into(),
            arguments: Value::Null,
            result: Value::Null,
            error: None,
            at: 12.5,
            seconds: 1.0,
            artefacts: Vec::new(),
        },
    })]
    #[case::not_seen(Event::NotSeen {
        device: "a".into(),
        case: "5.11-1-2".parse().unwrap(),
        losses: [("frames-missed".to_owned(), 1200)].into(),
    })]
    #[case::kept(Event::EvidenceKept {
        device: "a".into(),
        case: Some("5.11-1-2".parse().unwrap()),
        files: vec![KeptFile {
            path: "cases/a/capture.pcapng".into(),
            size: u64::MAX,
            sha256: "00".repeat(32),
        }],
    })]
    #[case::retried(Event::CaseFinished {
        device: "a".into(),
        case: "5.11-1-2".parse().unwrap(),
        seconds: 0.5,
        evidence: None,
        files: Vec::new(),
        will_retry: true,
    })]
    #[case::finished(Event::RunFinished { interrupted: false, seconds: 12.25 })]
    fn the_journal_can_be_read_again(#[case] event: Event) {
        let stamped = Stamper::new("bench-1", 6).stamp(OffsetDateTime::UNIX_EPOCH, event);
        let line = serde_json::to_string(&stamped).unwrap();
        let read: Stamped = serde_json::from_str(&line).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), line);
        for key in [
            "source", "seq", "time", "at", "device", "case", "unit", "event", "seconds",
        ] {
            let count = line.matches(&format!("\"{key}\":")).count();
            assert!(count < 2, "{key} in {line}");
        }
    }
}
