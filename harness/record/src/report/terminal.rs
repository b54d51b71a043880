//! A run as it goes: a line for each case that is over and, on a terminal, a line for each device
//! that shows what it is busy with.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use console::{Style, style};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::attempts::CaseResult;
use super::reporter::Reporter;
use super::results::Results;
use crate::event::{DeviceInfo, Event, Outcome, SkipKind, Stamped, Step, UnitResult, told_losses};
use crate::text::{one_line, printable};
use provebench_standard::CaseId;

/// Shows events on the terminal that the process was started from.
#[derive(Debug, Default)]
pub struct Terminal {
    live: Option<Live>,
    /// Longest name of a device.
    widest: usize,
}

#[derive(Debug)]
struct Live {
    all: MultiProgress,
    bars: BTreeMap<String, ProgressBar>,
}

impl Reporter for Terminal {
    fn report(&mut self, stamped: &Stamped, results: &Results) {
        self.show(&stamped.event, results);
    }
}

impl Terminal {
    /// Live where standard error is a terminal, plain lines elsewhere.
    pub fn new() -> Self {
        let live = io::stderr().is_terminal().then(|| Live {
            all: MultiProgress::new(),
            bars: BTreeMap::new(),
        });
        Self {
            live,
            ..Self::default()
        }
    }

    fn show(&mut self, event: &Event, results: &Results) {
        match event {
            Event::RunStarted { devices, .. } => self.begin(devices),
            // What a declaration decides is in the plan, which was shown before; units are told with their case's end.
            Event::DeclaredNotMet { .. }
            | Event::RunResumed { .. }
            | Event::UnitFinished { .. }
            | Event::EvidenceKept { .. } => {}
            Event::CaseSkipped { device, case, skip } => {
                // The others are in the plan, which was shown before, or told of together.
                if skip.kind == SkipKind::Interrupted {
                    self.line(&label(
                        style("NOT RUN").dim(),
                        None,
                        device,
                        case,
                        &skip.reason,
                    ));
                }
            }
            Event::DeviceStarted { device, cases } => {
                self.bar(device, |bar| bar.set_length(*cases as u64));
            }
            Event::Waiting { device, text } => {
                let what = style("WAITING").dim();
                self.line(&format!("{what:>12} {device}: {}", printable(text)));
                self.busy(device, text);
            }
            Event::Progress { device, text } => self.busy(device, text),
            Event::CaseStarted { device, case, .. } => {
                self.bar(device, ProgressBar::reset_elapsed);
                self.busy(device, &case.to_string());
            }
            Event::UnitStarted { device, case, unit } => {
                self.busy(device, &format!("{case} {unit}"));
            }
            Event::Step { device, case, step } => {
                if self.live.is_some() {
                    self.busy(device, &describe(case, step));
                }
            }
            Event::NotSeen {
                device,
                case,
                losses,
            } => self.line(&label(
                style("NOT SEEN").yellow(),
                None,
                device,
                case,
                &told_losses(losses),
            )),
            Event::CaseFinished {
                device,
                case,
                seconds,
                ..
            } => {
                if let Some(result) = results.case_on(device, case) {
                    let info = results.cases.get(case);
                    let title = info.map_or("", |info| info.title.as_str());
                    self.finish(device, (case, title), result, *seconds);
                }
            }
            Event::DeviceError { device, message } => {
                let what = style("ERROR").red().bold();
                self.line(&format!("{what:>12} {device}: {}", printable(message)));
            }
            Event::Interrupted { signal } => {
                let what = style("INTERRUPTED").yellow().bold();
                self.line(&format!(
                    "{what:>12} by {signal}: stopping after the steps that are under way; once more to quit at once"
                ));
            }
            Event::DeviceFinished { device, .. } => self.bar(device, ProgressBar::finish_and_clear),
            Event::RunFinished { .. } => {
                if let Some(live) = self.live.take() {
                    let _ = live.all.clear();
                }
            }
        }
    }

    /// Shows a line that is not an event, without tearing the live ones.
    pub fn line(&self, line: &str) {
        let print = || {
            // Whoever reads may have gone (`| head`): the run goes on.
            let _ = writeln!(io::stdout(), "{line}");
        };
        match &self.live {
            Some(live) => live.all.suspend(print),
            None => print(),
        }
    }

    fn begin(&mut self, devices: &[DeviceInfo]) {
        self.widest = devices.iter().map(|d| d.name.len()).max().unwrap_or(0);
        let Some(live) = &mut self.live else { return };
        let look = ProgressStyle::with_template(
            "{spinner:.cyan} {prefix:.bold} {pos:>2}/{len} {wide_msg} {elapsed:.dim}",
        )
        .unwrap_or_else(|_| ProgressStyle::default_spinner());
        for device in devices {
            let bar = live.all.add(ProgressBar::new(0).with_style(look.clone()));
            bar.set_prefix(format!("{:1$}", device.name, self.widest));
            bar.enable_steady_tick(Duration::from_millis(120));
            live.bars.insert(device.name.clone(), bar);
        }
    }

    /// A line for the attempt that is over, and why units did not pass.
    fn finish(
        &mut self,
        device: &str,
        (case, title): (&CaseId, &str),
        result: &CaseResult,
        seconds: f64,
    ) {
        let Some(latest) = result.attempts.last() else {
            return;
        };
        let unselected = &result.unselected;
        let word = match result.outcome_of_round() {
            None => style("STOPPED".to_owned()).yellow(),
            Some(Outcome::Pass) if !latest.is_finished => style("STOPPED".to_owned()).yellow(),
            Some(Outcome::Pass) if !unselected.is_empty() => {
                let word = Outcome::Inconclusive;
                outcome_style(word).apply_to(word.to_string())
            }
            Some(outcome) => outcome_style(outcome).apply_to(outcome.to_string()),
        };
        let name = format!("{device:0$}", self.widest);
        let attempt = latest.attempt;
        let text = format!("{}{attempt}", one_line(title, 120));
        self.line(&label(word, Some(seconds), &name, case, &text));
        for unit in &latest.units {
            if unit.outcome != Outcome::Pass {
                for line in explain(unit) {
                    self.line(&line);
                }
            } else if !unselected.is_empty() {
                let name = printable(&unit.unit.to_string());
                let word = format!("{name} {}", unit.outcome);
                let word = outcome_style(unit.outcome).apply_to(word);
                self.line(&format!("{:13}{word}", ""));
            }
            for note in &unit.notes {
                let name = printable(&unit.unit.to_string());
                let note = format!("{name} note: {}", one_line(note, 400));
                self.line(&format!("{:13}{}", "", style(note).yellow()));
            }
        }
        if !unselected.is_empty() {
            let units: Vec<String> = unselected.iter().map(char::to_string).collect();
            let line = format!("not selected: {}", units.join(", "));
            self.line(&format!("{:13}{}", "", style(line).dim()));
        }
        if attempt.retry == 0 {
            self.bar(device, |bar| bar.inc(1));
        }
    }

    fn busy(&self, device: &str, what: &str) {
        self.bar(device, |bar| bar.set_message(one_line(what, 200)));
    }

    fn bar(&self, device: &str, act: impl FnOnce(&ProgressBar)) {
        if let Some(bar) = self.live.as_ref().and_then(|live| live.bars.get(device)) {
            act(bar);
        }
    }
}

/// How an outcome is coloured.
pub(super) fn outcome_style(outcome: Outcome) -> Style {
    match outcome {
        Outcome::Pass => Style::new().green().bold(),
        Outcome::Fail => Style::new().red().bold(),
        Outcome::Error => Style::new().magenta().bold(),
        Outcome::Inconclusive => Style::new().yellow().bold(),
    }
}

fn label(
    word: impl std::fmt::Display,
    seconds: Option<f64>,
    device: &str,
    case: &CaseId,
    text: &str,
) -> String {
    let time = match seconds {
        Some(seconds) => format!("[{seconds:6.1} s]"),
        None => " ".repeat(10),
    };
    format!("{word:>12} {time} {device} {case:8} {text}")
}

/// Why a unit did not pass.
fn explain(unit: &UnitResult) -> Vec<String> {
    const LINES: usize = 12;
    let message = printable(unit.message.as_deref().unwrap_or("no reason given"));
    let mut lines: Vec<String> = message.lines().take(LINES).map(str::to_owned).collect();
    if message.lines().count() > LINES {
        lines.push("...".into());
    }
    if let Some(at) = &unit.at {
        lines.push(style(format!("at {at}")).dim().to_string());
    }
    if let (Outcome::Fail, Some(doubt)) = (unit.outcome, &unit.doubt) {
        let told = format!(
            "failed {}; it is repeated, and counts if it fails again",
            printable(doubt)
        );
        lines.push(style(told).yellow().to_string());
    }
    let word = format!("{} {}", printable(&unit.unit.to_string()), unit.outcome);
    let first = outcome_style(unit.counting()).apply_to(word).to_string();
    lines
        .into_iter()
        .enumerate()
        .map(|(n, line)| match n {
            0 => format!("{:13}{first}: {}", "", one_line(&line, 400)),
            _ => format!("{:15}{}", "", line),
        })
        .collect()
}

fn describe(case: &CaseId, step: &Step) -> String {
    let unit = step.unit.as_ref();
    let unit = unit.map_or(String::new(), |unit| {
        format!(" {}", printable(&unit.to_string()))
    });
    let arguments = match &step.arguments {
        serde_json::Value::Object(map) => map
            .values()
            .map(|value| one_line(&value.to_string(), 60))
            .collect::<Vec<_>>()
            .join(", "),
        serde_json::Value::Null => String::new(),
        other => one_line(&other.to_string(), 60),
    };
    format!("{case}{unit} · {}({arguments})", step.name)
}
