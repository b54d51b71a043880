use std::fmt::Write;
use std::time::Instant;

use clap::Args;
use console::style;

use super::context::{Files, Runs, Selection};
use super::exit::{Exit, Failure};
use super::output::{out, plural, wrapped};
use crate::runner::{DevicePlan, NotRun, Plan, PlanError, PlannedCase, UnitLacks};
use provebench_record::event::SkipKind;
use provebench_record::text::{one_line, printable};
use provebench_script::Sample;

/// Show what would run, what not and why; touches no device
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    runs: Runs,
}

pub(super) fn act(arguments: &Arguments, files: &Files) -> Result<Exit, Failure> {
    let began = Instant::now();
    let inventory = files.inventory()?;
    let suite = files.suite()?;
    let expression = arguments.selection.expression(&arguments.runs)?;
    let filter = arguments.selection.filter(expression.as_ref());
    let plan = Plan::new(&inventory, &suite, filter)?;
    out(&describe(&plan));
    out(&style(format!("planned in {:.0?}\n", began.elapsed()))
        .dim()
        .to_string());
    Ok(Exit::Ok)
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        Self::usage(error)
    }
}

/// The plan in words. Devices for which it is the same share a paragraph.
pub(super) fn describe(plan: &Plan<'_>) -> String {
    let mut text = String::new();
    let cases = plural(plan.cases.len(), "test case");
    let devices = plural(plan.devices.len(), "device");
    let left_out = match plan.unselected.len() {
        0 => String::new(),
        n => format!(" ({n} not selected)"),
    };
    let _ = writeln!(
        text,
        "{} {cases} on {devices}{left_out}\n",
        style("Plan:").bold()
    );

    let mut told = vec![false; plan.devices.len()];
    for n in 0..plan.devices.len() {
        if told[n] {
            continue;
        }
        let alike: Vec<usize> = (n..plan.devices.len())
            .filter(|&m| is_alike(&plan.devices[n], &plan.devices[m]))
            .collect();
        for &m in &alike {
            told[m] = true;
        }
        let devices: Vec<&DevicePlan<'_>> = alike.iter().map(|&m| &plan.devices[m]).collect();
        describe_devices(&mut text, &devices);
    }
    if !plan.labels.is_empty() {
        let names: Vec<&str> = plan.labels.iter().map(|d| d.name.as_str()).collect();
        let _ = writeln!(
            text,
            "{}  label only: nothing is run on it, others are compared with it\n",
            style(names.join(", ")).bold()
        );
    }
    text
}

fn is_alike(a: &DevicePlan<'_>, b: &DevicePlan<'_>) -> bool {
    let order = |plan: &DevicePlan<'_>| -> Vec<(String, Option<Sample>, UnitLacks)> {
        let run = plan.run.iter();
        run.map(|p| (p.name(), p.sample, p.lacks.clone())).collect()
    };
    a.device.target.name == b.device.target.name
        && a.device.images == b.device.images
        && order(a) == order(b)
        && a.skip == b.skip
        && a.compared == b.compared
}

/// Which units run for which rows of the IXIT, those of the same rows in one line.
fn rows(plan: &DevicePlan<'_>) -> Vec<String> {
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for planned in &plan.run {
        for unit in planned.case.units.iter().filter(|u| !u.for_each.is_empty()) {
            let runs = planned.runs.iter();
            let runs = runs.filter(|run| run.name.letter == unit.letter);
            let rows: Vec<&str> = runs.filter_map(|run| run.name.row.as_deref()).collect();
            if rows.is_empty() {
                continue;
            }
            let rows = printable(&rows.join(", "));
            let unit = format!("{} {}", planned.case.id, unit.letter);
            match groups.iter_mut().find(|(known, _)| *known == rows) {
                Some((_, units)) => units.push(unit),
                None => groups.push((rows, vec![unit])),
            }
        }
    }
    let groups = groups.into_iter();
    groups
        .map(|(rows, units)| format!("for each of {rows}: {}", units.join(", ")))
        .collect()
}

fn label_of(why: &NotRun) -> &'static str {
    match why {
        NotRun::NotMet(_) => "not met",
        NotRun::Skipped(skip) if skip.kind == SkipKind::NotApplicable => "not applicable",
        NotRun::Skipped(_) => "not run",
    }
}

fn describe_devices(text: &mut String, devices: &[&DevicePlan<'_>]) {
    let plan = devices[0];
    let names: Vec<&str> = devices.iter().map(|d| d.device.name.as_str()).collect();
    let target = &plan.device.target;
    let _ = writeln!(
        text,
        "{}  {} ({}), images {}",
        style(names.join(", ")).bold(),
        target.name,
        target.model,
        plan.device.images
    );
    for (sample, label) in [
        (Some(Sample::Engineering), " as engineering sample"),
        (Some(Sample::Production), " as production sample"),
        (None, ""),
    ] {
        let ids: Vec<String> = plan
            .run
            .iter()
            .filter(|p| p.sample == sample)
            .map(PlannedCase::name)
            .collect();
        if !ids.is_empty() {
            let line = format!("run {}{label}: {}", ids.len(), ids.join(" "));
            let _ = writeln!(text, "{}", wrapped(&line, 2, 6));
        }
    }
    for note in plan.notes() {
        let _ = writeln!(text, "{}", wrapped(&format!("note: {note}"), 2, 6));
    }
    for planned in plan.run.iter().filter(|p| !p.unselected.is_empty()) {
        let units: Vec<String> = planned.unselected.iter().map(char::to_string).collect();
        let line = format!("not selected: {} {}", planned.case.id, units.join(", "));
        let _ = writeln!(text, "{}", style(wrapped(&line, 2, 6)).dim());
    }
    for remark in plan.undriven() {
        let remark = printable(&remark);
        let line = wrapped(&format!("note: {remark}"), 2, 6);
        let _ = writeln!(text, "{}", style(line).yellow());
    }
    for line in rows(plan) {
        let _ = writeln!(text, "{}", wrapped(&line, 2, 6));
    }
    for planned in &plan.run {
        for run in &planned.runs {
            if let Some((_, why)) = &run.settled {
                let line = format!(
                    "can't pass: {} {}  {}",
                    planned.case.id,
                    run.name,
                    one_line(why, 500)
                );
                let _ = writeln!(text, "{}", style(wrapped(&line, 2, 6)).yellow());
            }
        }
        let UnitLacks { to_run, to_pass } = &planned.lacks;
        for (label, reasons) in [("not run", to_run), ("can't pass", to_pass)] {
            for (letter, reason) in reasons {
                let reason = one_line(reason, 500);
                let line = format!("{label}: {} {letter}  {reason}", planned.case.id);
                let _ = writeln!(text, "{}", style(wrapped(&line, 2, 6)).yellow());
            }
        }
    }
    for label in ["not applicable", "not met", "not run"] {
        for (case, why) in plan.skip.iter().filter(|(_, why)| label_of(why) == label) {
            let line = format!("{label}: {case}  {}", one_line(why.reason(), 500));
            let line = wrapped(&line, 2, 6);
            let line = match label {
                "not applicable" => style(line).dim(),
                "not met" => style(line).red(),
                _ => style(line).yellow(),
            };
            let _ = writeln!(text, "{line}");
        }
    }
    text.push('\n');
}
