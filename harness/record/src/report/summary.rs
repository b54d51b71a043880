//! What a run came to, for the end of the terminal's output.

use std::fmt::Write;
use std::path::Path;

use comfy_table::{
    Attribute, Cell, CellAlignment, Color, ContentArrangement, Table, TableComponent, presets,
};
use console::style;

use super::attempts::CaseResult;
use super::results::{Counts, DeviceResult, Results};
use super::terminal::outcome_style;
use crate::event::{Outcome, SkipKind, told_losses};
use crate::text::{one_line, printable};
use provebench_standard::{CaseId, Verdict};

/// A table of cases and devices, what did not pass and why, and the counts. `width` is the
/// terminal's, in columns; `run_dir` is where the evidence is.
pub fn summary(results: &Results, run_dir: &Path, width: u16) -> String {
    let mut out = String::new();
    if results.devices.iter().any(|d| !d.cases.is_empty()) {
        let _ = writeln!(out, "{}\n", table(results, width));
    }
    write_problems(&mut out, results, run_dir);
    let _ = writeln!(out, "{}", totals(results));
    out
}

/// More devices than this get a line each, rather than a column.
const MOST_COLUMNS: usize = 4;

fn table(results: &Results, width: u16) -> Table {
    let mut table = plain_table(width);
    if results.devices.len() <= MOST_COLUMNS {
        fill_by_case(&mut table, results);
    } else {
        fill_by_device(&mut table, results);
    }
    table
}

/// A table with a line below its header and no others, coloured where the terminal is.
pub fn plain_table(width: u16) -> Table {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_style(TableComponent::HeaderLines, '─')
        .set_style(TableComponent::MiddleHeaderIntersections, '─')
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(width);
    if console::colors_enabled() {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    table
}

fn fill_by_case(table: &mut Table, results: &Results) {
    let devices = &results.devices;
    table.set_header(
        ["Case", "Shows"]
            .into_iter()
            .chain(devices.iter().map(|d| d.info.name.as_str()))
            .map(header),
    );
    for (id, info) in &results.cases {
        let mut row = vec![Cell::new(id), Cell::new(one_line(&info.title, 300))];
        row.extend(devices.iter().map(|d| match d.cases.get(id) {
            Some(case) => case_cell(case),
            None => Cell::new(""),
        }));
        table.add_row(row);
    }
}

fn case_cell(case: &CaseResult) -> Cell {
    if case.not_met.is_some() {
        return Cell::new("FAIL (ICS)").fg(Color::Red);
    }
    if let (Some(skip), true) = (&case.skip, case.units.is_empty()) {
        let (word, color) = match skip.kind {
            SkipKind::NotApplicable => ("n/a", Color::DarkGrey),
            SkipKind::Missing | SkipKind::Interrupted | SkipKind::Quarantined => {
                ("not run", Color::Yellow)
            }
        };
        return Cell::new(word).fg(color);
    }
    let Some(worst) = case.units.iter().map(|u| u.outcome).max() else {
        return Cell::new("stopped").fg(Color::Yellow);
    };
    let unselected: String = case.unselected_beside().flat_map(|u| [u, ' ']).collect();
    let units: String = match worst {
        Outcome::Pass if unselected.is_empty() => String::new(),
        worst => {
            let units = case.units.iter().filter(|u| u.outcome == worst);
            let units: Vec<_> = units.map(|u| u.unit.to_string()).collect();
            format!(" {}", printable(&units.join(", ")))
        }
    };
    // It rests on these units, and is no verdict of the case.
    let (word, color) = match worst {
        Outcome::Pass if case.skip.is_some() => ("stopped", Color::Yellow),
        Outcome::Pass if !unselected.is_empty() => ("INCONCLUSIVE: PASS of", Color::Yellow),
        Outcome::Pass => ("PASS", Color::Green),
        Outcome::Fail => ("FAIL", Color::Red),
        Outcome::Error => ("ERROR", Color::Magenta),
        Outcome::Inconclusive => ("INCONCLUSIVE", Color::Yellow),
    };
    let flaky = if case.flaky.is_empty() {
        ""
    } else {
        " (flaky)"
    };
    let unselected = if unselected.is_empty() {
        String::new()
    } else {
        format!(" ({unselected}not selected)")
    };
    Cell::new(format!("{word}{units}{flaky}{unselected}")).fg(color)
}

fn fill_by_device(table: &mut Table, results: &Results) {
    let columns = [
        "Device",
        "PASS",
        "FAIL",
        "ERROR",
        "INCONCLUSIVE",
        "Not run",
        "Time",
        "Verdict",
    ];
    table.set_header(columns.map(header));
    for device in &results.devices {
        let counts = count(device);
        let number = |n: usize, color| {
            let cell = Cell::new(n).set_alignment(CellAlignment::Right);
            if n == 0 {
                cell.fg(Color::DarkGrey)
            } else {
                cell.fg(color)
            }
        };
        table.add_row([
            Cell::new(&device.info.name),
            number(counts.pass, Color::Green),
            number(counts.fail, Color::Red),
            number(counts.error + device.errors.len(), Color::Magenta),
            number(counts.inconclusive, Color::Yellow),
            number(counts.skipped, Color::Yellow),
            Cell::new(format!("{:.1} s", device.seconds)).set_alignment(CellAlignment::Right),
            verdict_cell(device.verdict),
        ]);
    }
}

fn count(device: &DeviceResult) -> Counts {
    let mut counts = Counts::default();
    for case in device.cases.values() {
        counts.add_case(case);
    }
    counts
}

fn verdict_cell(verdict: Option<Verdict>) -> Cell {
    match verdict {
        Some(Verdict::Pass) => Cell::new("PASS").fg(Color::Green),
        Some(Verdict::Fail) => Cell::new("FAIL").fg(Color::Red),
        Some(Verdict::Inconclusive) => Cell::new("INCONCLUSIVE").fg(Color::Yellow),
        None => Cell::new("n/a").fg(Color::DarkGrey),
    }
}

fn header(text: &str) -> Cell {
    Cell::new(text).add_attribute(Attribute::Bold)
}

fn write_problems(out: &mut String, results: &Results, run_dir: &Path) {
    for device in &results.devices {
        for (id, case) in device.cases.iter().filter(|(_, case)| case.retries() > 0) {
            let word = style("RETRIED").yellow();
            let why = case
                .attempts
                .iter()
                .flat_map(|a| &a.units)
                .find_map(|unit| {
                    let message = unit.message.as_deref()?;
                    match (unit.outcome, &unit.doubt) {
                        (Outcome::Error, _) => Some(message.to_owned()),
                        (Outcome::Fail, Some(doubt)) => {
                            Some(format!("{} failed {doubt}: {message}", unit.unit))
                        }
                        _ => None,
                    }
                });
            let why = one_line(why.as_deref().unwrap_or("the run was killed"), 400);
            let _ = writeln!(out, "{word} {} {id}  after: {why}\n", device.info.name);
        }
        for (id, case) in device
            .cases
            .iter()
            .filter(|(_, case)| !case.not_seen.is_empty())
        {
            let word = style("NOT SEEN").yellow();
            let losses = told_losses(&case.not_seen);
            let name = &device.info.name;
            let _ = writeln!(out, "{word} {name} {id}  {}\n", printable(&losses));
        }
        for error in &device.errors {
            let word = outcome_style(Outcome::Error).apply_to("ERROR");
            let _ = writeln!(out, "{word} {}: {}\n", device.info.name, printable(error));
        }
        for (id, case) in &device.cases {
            write_case_problems(out, results, run_dir, device, id, case);
        }
    }
}

fn write_case_problems(
    out: &mut String,
    results: &Results,
    run_dir: &Path,
    device: &DeviceResult,
    id: &CaseId,
    case: &CaseResult,
) {
    let mut any = false;
    for unit in &case.units {
        for note in &unit.notes {
            any = true;
            let word = style("NOTE").yellow();
            let name = &device.info.name;
            let note = one_line(note, 1000);
            let unit = printable(&unit.unit.to_string());
            let _ = writeln!(out, "{word} {name} {id} {unit}  {note}");
        }
        if unit.outcome == Outcome::Pass {
            continue;
        }
        any = true;
        let word = outcome_style(unit.outcome).apply_to(unit.outcome);
        let shows = results.cases.get(id);
        let shows = shows.and_then(|c| c.units.get(&unit.unit.letter));
        let shows = one_line(shows.map_or("", String::as_str), 200);
        let _ = writeln!(
            out,
            "{word} {} {id} {}  {shows}",
            device.info.name,
            printable(&unit.unit.to_string())
        );
        if let Some(flaky) = case.told_flaky(&unit.unit) {
            let _ = writeln!(out, "  {}", style(flaky).yellow());
        }
        if let Some(doubt) = case.told_doubt(&unit.unit) {
            let _ = writeln!(out, "  {}", style(printable(&doubt)).yellow());
        }
        let message = unit.message.as_deref().unwrap_or("no reason given");
        let _ = writeln!(out, "  {}", one_line(message, 1000));
        if let Some(at) = &unit.at {
            let _ = writeln!(out, "  {}", style(format!("at {at}")).dim());
        }
    }
    if let (true, Some(evidence)) = (any, &case.evidence) {
        let folder = run_dir.join(evidence);
        let _ = writeln!(
            out,
            "  {}\n",
            style(format!("evidence: {}/", folder.display())).dim()
        );
    }
}

fn totals(results: &Results) -> String {
    let Counts {
        pass,
        fail,
        error,
        inconclusive,
        skipped,
        unselected,
        flaky,
        retries,
    } = results.counts;
    let part = |n: usize, what: &str, outcome: Outcome| {
        let text = format!("{n} {what}");
        if n == 0 {
            style(text).dim().to_string()
        } else {
            outcome_style(outcome).apply_to(text).to_string()
        }
    };
    let parts = [
        part(pass, "passed", Outcome::Pass),
        part(fail, "failed", Outcome::Fail),
        part(error, "errors", Outcome::Error),
        part(inconclusive, "inconclusive", Outcome::Inconclusive),
    ];
    let verdict = match results.verdict {
        Some(verdict) => verdict_style(verdict).apply_to(verdict).to_string(),
        None => "nothing applicable".into(),
    };
    let cases = |n: usize| {
        if n == 1 {
            "1 case".into()
        } else {
            format!("{n} cases")
        }
    };
    let stopped = if results.interrupted {
        "interrupted after"
    } else {
        "in"
    };
    let mut text = format!(
        "{verdict} {stopped} {:.1} s; units: {}; {} not run",
        results.seconds,
        parts.join(", "),
        cases(skipped)
    );
    let of_bench = results.devices.iter().map(|device| device.errors.len());
    let asides = [
        (unselected, "units not selected"),
        (flaky, "flaky units"),
        (retries, "retries after bench errors"),
        (of_bench.sum(), "errors of the bench"),
    ];
    for (n, what) in asides.into_iter().filter(|(n, _)| *n > 0) {
        let _ = write!(text, "; {}", style(format!("{what}: {n}")).yellow());
    }
    text
}

fn verdict_style(verdict: Verdict) -> console::Style {
    outcome_style(match verdict {
        Verdict::Pass => Outcome::Pass,
        Verdict::Fail => Outcome::Fail,
        Verdict::Inconclusive => Outcome::Inconclusive,
    })
}
