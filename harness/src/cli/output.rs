use std::io::{self, IsTerminal, Write};

use comfy_table::{Attribute, Cell, Table};

use crate::report::plain_table;

/// Columns of the terminal; enough for a log where there is none.
pub(super) fn width() -> u16 {
    let terminal = console::Term::stdout();
    if io::stdout().is_terminal() {
        terminal.size().1.clamp(40, 160)
    } else {
        120
    }
}

/// Prints. Whoever reads may have gone (`| head`), which is no reason to fail.
pub(super) fn out(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
    let _ = io::stdout().flush();
}

pub(super) fn plural(n: usize, what: &str) -> String {
    if n == 1 {
        format!("1 {what}")
    } else {
        format!("{n} {what}s")
    }
}

/// Breaks a line into the terminal's width: the first part indented by `first`, all others by
/// `rest`.
pub(super) fn wrapped(line: &str, first: usize, rest: usize) -> String {
    let width = usize::from(width());
    let mut text = " ".repeat(first);
    let mut column = first;
    for (n, word) in line.split(' ').enumerate() {
        let size = console::measure_text_width(word);
        if n > 0 && column + 1 + size > width {
            text.push('\n');
            text.push_str(&" ".repeat(rest));
            column = rest;
        } else if n > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += size;
    }
    text
}

/// A table that fits the terminal.
pub(super) fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = plain_table(width());
    table.set_header(header.map(|text| Cell::new(text).add_attribute(Attribute::Bold)));
    table
}
