//! Errors in one line, for events, findings and verdicts.

use std::error::Error;
use std::iter::successors;
use std::string::FromUtf8Error;

use miette::Diagnostic;

/// An error with all that led to it, and what to do about it.
pub(crate) fn explain(error: &dyn Diagnostic) -> String {
    let what = with_causes(error);
    match error.help() {
        Some(help) => format!("{what} (help: {help})"),
        None => what,
    }
}

/// An error with all that led to it.
pub(crate) fn with_causes(error: &dyn Diagnostic) -> String {
    let causes = successors(Error::source(error), |&cause| cause.source());
    causes.fold(error.to_string(), |told, cause| {
        let cause = cause.to_string();
        // Some errors repeat their cause in their own words.
        if told.contains(&cause) {
            told
        } else {
            format!("{told}: {cause}")
        }
    })
}

/// Why bytes are no text, and where.
pub(crate) fn no_text(error: &FromUtf8Error) -> String {
    let bytes = error.as_bytes();
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return "it is UTF-16, not UTF-8".to_owned();
    }
    let at = error.utf8_error().valid_up_to();
    let line = 1 + memchr::memchr_iter(b'\n', &bytes[..at]).count();
    format!("line {line} is not UTF-8, but another encoding (Latin-1?) or no text")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[derive(Debug, thiserror::Error, Diagnostic)]
    #[error("{what}")]
    struct Trouble {
        what: &'static str,
        #[source]
        cause: Option<Box<Trouble>>,
        #[help]
        help: Option<&'static str>,
    }

    fn because(what: &'static str, cause: Trouble) -> Trouble {
        Trouble {
            cause: Some(Box::new(cause)),
            ..trouble(what)
        }
    }

    fn trouble(what: &'static str) -> Trouble {
        Trouble {
            what,
            cause: None,
            help: None,
        }
    }

    #[rstest]
    #[case(trouble("a"), "a")]
    #[case(because("a", because("b", trouble("c"))), "a: b: c")]
    #[case(because("a: b", because("b", trouble("c"))), "a: b: c")]
    #[case(Trouble { help: Some("do d"), ..because("a", trouble("b")) }, "a: b (help: do d)")]
    fn an_error_is_told_with_its_causes_and_its_remedy(#[case] error: Trouble, #[case] told: &str) {
        assert_eq!(explain(&error), told);
    }
}
