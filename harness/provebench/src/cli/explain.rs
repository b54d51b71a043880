use std::fmt::Write as _;

use clap::Args;
use console::style;

use super::context::Files;
use super::exit::{Exit, Failure};
use super::output::{out, width, wrapped_to};
use provebench_bench::Capability;
use provebench_script::{Case, Suite, Unit};
use provebench_standard::explain::{self, Block, Page, Script, Scripts, Section, Takes};

/// Explain a provision, test case or unit, IXIT table or field, condition, feature, device state, ...
///
/// What is asked and why, when it applies, how products pass and fail, guidance for firmware engineers and assessors,
/// which IXIT fields, driver functions and bench equipment it takes, and which test cases of provebench decide it. In
/// our own words; what counts is the text of the standard.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// 5.3-10, 5.3-10-1, '5.3-10-1 a', 5.3, 7-UpdMech, 7-UpdMech.configuration, 'condition 14', 'feature e',
    /// factory-default, the name of a rule, a scheme, a cipher suite
    #[arg(value_name = "WORD", required = true)]
    words: Vec<String>,
}

pub(super) fn act(arguments: &Arguments, files: &Files) -> Result<Exit, Failure> {
    let word = arguments.words.join(" ");
    let scripts = scripts(&files.suite()?);
    let page = explain::explain(&word, &scripts).map_err(|unknown| {
        let near: Vec<String> = unknown
            .near
            .iter()
            .map(|name| format!("`{name}`"))
            .collect();
        let help = match &near[..] {
            [] => "`provebench list provisions`, `groups`, `cases` and `units` show what there is"
                .to_owned(),
            near => format!("near are {}", near.join(", ")),
        };
        Failure::usage(UnknownWord {
            word: unknown.word,
            help,
        })
    })?;
    out(&laid_out(&page, usize::from(width()).min(WIDEST)));
    Ok(Exit::Ok)
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("nothing is called `{word}`")]
struct UnknownWord {
    word: String,
    #[help]
    help: String,
}

/// Longer lines of prose are hard to read.
const WIDEST: usize = 110;

fn scripts(suite: &Suite) -> Scripts {
    let cases = suite.cases().iter();
    let scripts = cases.map(|case| {
        let units = case.units.iter();
        let units = units.map(|unit| (unit.letter, takes(case, unit)));
        let script = Script {
            file: case.file.clone(),
            units: units.collect(),
        };
        (case.id.clone(), script)
    });
    scripts.collect()
}

fn takes(case: &Case, unit: &Unit) -> Takes {
    let needs = case.needs.iter().chain(&unit.needs).chain(&unit.pass_needs);
    let mut takes = Takes::default();
    for need in needs {
        match need {
            Capability::Dut(function) => takes.driver.insert(function.clone()),
            other => takes.equipment.insert(other.to_string()),
        };
    }
    takes
}

fn laid_out(page: &Page, width: usize) -> String {
    let mut text = format!("{}\n", style(&page.title).bold());
    for section in &page.sections {
        text.push('\n');
        if !section.heading.is_empty() {
            let _ = writeln!(text, "{}", style(section.heading).bold());
        }
        for block in &section.blocks {
            text.push_str(&block_text(section, block, width));
            text.push('\n');
        }
    }
    text
}

fn block_text(section: &Section, block: &Block, width: usize) -> String {
    const INDENT: usize = 2;
    match block {
        Block::Text(text) if section.heading.is_empty() => wrapped_to(width, text, 0, 0),
        Block::Text(text) => wrapped_to(width, text, INDENT, INDENT),
        Block::Item(text) => wrapped_to(width, &format!("- {text}"), INDENT, INDENT + 2),
        Block::Term(name, text) => {
            let column = INDENT + column(section) + 2;
            let name = format!("{:INDENT$}{name}", "");
            let size = console::measure_text_width(&name);
            let text_beside = wrapped_to(width, text, column, column);
            if size + 1 < column {
                // It begins with as many spaces as the name is wide, and more.
                return format!("{name}{}", &text_beside[size..]);
            }
            let name = wrapped_to(width, name.trim_start(), INDENT, INDENT);
            if text.is_empty() {
                name
            } else {
                format!("{name}\n{text_beside}")
            }
        }
    }
}

/// Width of the names in a section; longer ones have a line of their own.
fn column(section: &Section) -> usize {
    const LONGEST: usize = 22;
    let names = section.blocks.iter().filter_map(|block| match block {
        Block::Term(name, _) => Some(console::measure_text_width(name)),
        _ => None,
    });
    names.filter(|&size| size <= LONGEST).max().unwrap_or(4)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(80)]
    #[case(110)]
    fn no_line_is_wider_than_asked(#[case] width: usize) {
        console::set_colors_enabled(false);
        for name in explain::names() {
            let page = explain::explain(&name, &Scripts::new()).unwrap();
            for line in laid_out(&page, width).lines().skip(1) {
                let has_no_break = !line.trim().contains(' ');
                let size = console::measure_text_width(line);
                assert!(size <= width || has_no_break, "{name}: {line}");
            }
        }
    }

    #[test]
    fn names_stand_beside_their_text_or_above() {
        console::set_colors_enabled(false);
        let page = Page {
            title: "t".into(),
            sections: vec![Section {
                heading: "H",
                blocks: vec![
                    Block::Term("a".into(), "first".into()),
                    Block::Term(
                        "a name that takes a line of its own".into(),
                        "second".into(),
                    ),
                    Block::Term("nothing to say on this name".into(), String::new()),
                    Block::Item("third fourth".into()),
                ],
            }],
        };
        let long = "  a name that\n  takes a line\n  of its own\n     second\n";
        let alone = "  nothing to\n  say on this\n  name\n";
        let expected = format!("t\n\nH\n  a  first\n{long}{alone}  - third\n    fourth\n");
        assert_eq!(laid_out(&page, 14), expected);
    }
}
