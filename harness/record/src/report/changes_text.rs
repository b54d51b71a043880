//! Changes since an earlier run in words: for the terminal and as Markdown.

use std::fmt::Write;

use console::{Style, style};

use super::changes::{Changes, Seen, Slower, UnitChange};
use super::terminal::outcome_style;
use crate::event::Outcome;
use crate::text::{one_line, printable};

/// Cases are many where a whole suite is exchanged.
const MOST_CASES: usize = 20;

impl Changes {
    /// For the terminal: a line for each change.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        let _ = writeln!(
            out,
            "{} {}",
            style("Compared with run").bold(),
            printable(&self.baseline)
        );
        for section in self.sections() {
            for change in section.units {
                let _ = writeln!(
                    out,
                    "{:>14} {}",
                    section.style.apply_to(section.word),
                    change.in_words()
                );
            }
        }
        for slower in &self.slower {
            let word = Style::new().yellow().apply_to("SLOWER");
            let _ = writeln!(out, "{word:>14} {}", slower.in_words());
        }
        for line in self.rest() {
            let _ = writeln!(out, "{:>14} {line}", "");
        }
        let _ = writeln!(out, "{:>14} {}", "", self.totals());
        out
    }

    /// For summaries of CI servers and merge requests.
    pub fn to_markdown(&self) -> String {
        let mut out = format!(
            "### Compared with run {}\n\n{}\n",
            inert(&self.baseline, 100),
            self.totals()
        );
        for section in self.sections().iter().filter(|s| !s.units.is_empty()) {
            let _ = writeln!(
                out,
                "\n**{}**\n\n| Device | Case | Unit | Before | Now | Why |\n|---|---|---|---|---|---|",
                section.title
            );
            for change in section.units {
                let _ = writeln!(
                    out,
                    "| {} | {} | {} | {} | {} | {} |",
                    inert(&change.device, 100),
                    change.case,
                    inert(&change.unit.to_string(), 120),
                    word(change.before),
                    word(change.after),
                    inert(change.message.as_deref().unwrap_or(""), 300)
                );
            }
        }
        if !self.slower.is_empty() {
            let _ = writeln!(
                out,
                "\n**Slower**\n\n| Device | Case | Before | Now |\n|---|---|---:|---:|"
            );
            for slower in &self.slower {
                let _ = writeln!(
                    out,
                    "| {} | {} | {:.1} s | {:.1} s (+{:.0} %) |",
                    inert(&slower.device, 100),
                    slower.case,
                    slower.before,
                    slower.after,
                    slower.percent()
                );
            }
        }
        let rest = self.rest();
        if !rest.is_empty() {
            out.push('\n');
        }
        for line in rest {
            let _ = writeln!(out, "- {}", inert(&line, 1000));
        }
        out
    }

    fn sections(&self) -> [Section<'_>; 4] {
        let section = |title, word, units, style| Section {
            title,
            word,
            units,
            style,
        };
        [
            section(
                "New failures",
                "NEW FAILURE",
                self.new_failures.as_slice(),
                outcome_style(Outcome::Fail),
            ),
            section(
                "Decided before, not now",
                "UNDECIDED",
                &self.undecided,
                outcome_style(Outcome::Inconclusive),
            ),
            section("Fixed", "FIXED", &self.fixed, outcome_style(Outcome::Pass)),
            section(
                "Passed now, not decided before",
                "DECIDED",
                &self.decided,
                outcome_style(Outcome::Pass),
            ),
        ]
    }

    /// What needs no table.
    fn rest(&self) -> Vec<String> {
        let cases = [
            ("cases added", &self.added),
            ("cases gone", &self.gone),
            ("cases not selected now", &self.unselected),
        ];
        let devices = [
            ("devices added", &self.devices_added),
            ("devices gone", &self.devices_gone),
        ];
        let cases = cases.into_iter().map(|(what, ids)| (what, listed(ids)));
        let units = self.unselected_units.iter().map(|(case, units)| {
            let units: Vec<String> = units.iter().map(char::to_string).collect();
            format!("{case}:{}", units.join(","))
        });
        let units = [("units not selected now", listed(&units.collect::<Vec<_>>()))];
        let devices = devices.into_iter().map(|(what, names)| {
            let names = names.join(", ");
            (what, (!names.is_empty()).then(|| printable(&names)))
        });
        cases
            .chain(units)
            .chain(devices)
            .filter_map(|(what, list)| Some(format!("{what}: {}", list?)))
            .collect()
    }

    fn totals(&self) -> String {
        if self.is_empty() {
            return match self.known_failures {
                0 => "nothing has changed".into(),
                n => format!("nothing has changed; {n} failing as before"),
            };
        }
        format!(
            "{} new failures, {} fixed, {} no longer decided, {} decided now, {} slower; {} failing as before",
            self.new_failures.len(),
            self.fixed.len(),
            self.undecided.len(),
            self.decided.len(),
            self.slower.len(),
            self.known_failures
        )
    }
}

struct Section<'a> {
    title: &'static str,
    word: &'static str,
    units: &'a [UnitChange],
    style: Style,
}

impl UnitChange {
    fn in_words(&self) -> String {
        let mut text = format!(
            "{} {} {}  {} -> {}",
            printable(&self.device),
            self.case,
            printable(&self.unit.to_string()),
            word(self.before),
            word(self.after)
        );
        if let Some(message) = &self.message {
            let _ = write!(text, ": {}", one_line(message, 300));
        }
        text
    }
}

impl Slower {
    fn percent(&self) -> f64 {
        (self.after / self.before - 1.0) * 100.0
    }

    fn in_words(&self) -> String {
        format!(
            "{} {}  {:.1} s -> {:.1} s (+{:.0} %)",
            printable(&self.device),
            self.case,
            self.before,
            self.after,
            self.percent()
        )
    }
}

fn word(seen: Option<Seen>) -> &'static str {
    match seen {
        None => "none",
        Some(Seen::NotApplicable) => "not applicable",
        Some(Seen::Pass) => "PASS",
        Some(Seen::NotRun) => "not run",
        Some(Seen::Inconclusive) => "INCONCLUSIVE",
        Some(Seen::Error) => "ERROR",
        Some(Seen::Fail) => "FAIL",
    }
}

fn listed(ids: &[impl ToString]) -> Option<String> {
    let shown = ids.iter().take(MOST_CASES).map(ToString::to_string);
    let shown: Vec<String> = shown.collect();
    match ids.len().saturating_sub(MOST_CASES) {
        _ if shown.is_empty() => None,
        0 => Some(shown.join(" ")),
        more => Some(format!("{} and {more} more", shown.join(" "))),
    }
}

/// Text that the DUT has a say in, with nothing in it that Markdown or HTML would obey.
fn inert(text: &str, longest: usize) -> String {
    let mut out = String::new();
    for c in one_line(text, longest).chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            // `@name` and `#1` are links on code forges.
            '@' | '#' => {
                let _ = write!(out, "&#{};", u32::from(c));
            }
            '\\' | '`' | '*' | '_' | '[' | ']' | '(' | ')' | '!' | '|' | '~' | '$' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}
