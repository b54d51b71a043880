use std::borrow::Cow;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::OnceLock;

use comfy_table::{Attribute, Cell, Table};

use super::exit::Exit;
use crate::redact::{self, Secrets};
use provebench_record::report::plain_table;

/// Columns of the terminal; enough for a log where there is none.
pub(super) fn width() -> u16 {
    let terminal = console::Term::stdout();
    if io::stdout().is_terminal() {
        terminal.size().1.clamp(40, 160)
    } else {
        120
    }
}

/// Why something could not be printed, the first time.
static LOST: OnceLock<io::Error> = OnceLock::new();

/// What is not to be printed.
static SECRETS: OnceLock<Secrets> = OnceLock::new();

/// From now on, these are blacked out in all that is printed.
pub(super) fn keep_secret(secrets: Secrets) {
    let _ = SECRETS.set(secrets);
}

fn harmless(text: &str) -> Cow<'_, str> {
    let Some(secrets) = SECRETS.get() else {
        // Of a file with a mistake, nobody knows what is secret; what a URL has before the host is.
        return redact::without_passwords_in_urls(text);
    };
    secrets.black_out(text)
}

/// Prints. Whoever reads may have gone (`| head`), which is no reason to fail; a full disk is, at the end: see
/// [`complete`].
pub(super) fn out(text: &str) {
    let mut stdout = io::stdout().lock();
    let printed = stdout
        .write_all(harmless(text).as_bytes())
        .and_then(|()| stdout.flush());
    printed.unwrap_or_else(lost);
}

/// Remembers that something could not be printed.
pub(super) fn lost(error: io::Error) {
    // A terminal that is gone gives EIO.
    let is_gone = error.kind() == ErrorKind::BrokenPipe || io::stdout().is_terminal();
    if !is_gone {
        let _ = LOST.set(error);
    }
}

/// Tells on standard error. Where that is closed or full, nobody can be told.
pub(super) fn tell(text: &str) {
    let _ = io::stderr().write_all(harmless(text).as_bytes());
}

/// How to exit when something that was to be printed is missing.
pub(super) fn complete(exit: Exit) -> Exit {
    let Some(error) = LOST.get() else {
        return exit;
    };
    tell(&format!(
        "Error: standard output is not complete: {error}\n  help: is the disk full that it goes to?\n"
    ));
    if exit == Exit::Ok { Exit::Bench } else { exit }
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
    wrapped_to(usize::from(width()), line, first, rest)
}

/// Breaks a line into that width.
pub(super) fn wrapped_to(width: usize, line: &str, first: usize, rest: usize) -> String {
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
pub(super) fn table_of(header: &[&str]) -> Table {
    let mut table = plain_table(width());
    let header = header.iter();
    table.set_header(header.map(|text| Cell::new(text).add_attribute(Attribute::Bold)));
    table
}
