//! Errors in one line, for events, findings and verdicts.

use std::error::Error;
use std::iter::successors;
use std::string::FromUtf8Error;

use miette::{Diagnostic, Report};
use nix::errno::Errno;

/// An error with all that led to it, and what to do about it.
pub fn explain(error: &dyn Diagnostic) -> String {
    let what = with_causes(error);
    match remedy(error) {
        Some(help) => format!("{what} (help: {help})"),
        None => what,
    }
}

/// What to do about an error. Whatever was tried, it is not to blame if no more files could be opened.
pub fn remedy(error: &dyn Diagnostic) -> Option<String> {
    let help = error.help().map(|help| help.to_string());
    exhausted(&with_causes(error)).map(str::to_owned).or(help)
}

/// The same error, told with a remedy that helps.
pub fn with_remedy(report: Report) -> Report {
    match exhausted(&with_causes(&*report)) {
        Some(help) => Exhausted {
            help,
            source: report.into(),
        }
        .into(),
        None => report,
    }
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("too many files are open")]
struct Exhausted {
    #[help]
    help: &'static str,
    source: Box<dyn Error + Send + Sync>,
}

/// What raises the limit on open files that was met, if one was. By the text: many causes are known by that alone.
fn exhausted(what: &str) -> Option<&'static str> {
    let is = |errno: Errno| what.contains(&format!("(os error {})", errno as i32));
    if is(Errno::EMFILE) {
        Some(
            "raise the limit on open files: `ulimit -n` shows it, `ulimit -n 4096` sets it for this shell, \
             LimitNOFILE= in a systemd unit, --ulimit nofile=4096 in Docker",
        )
    } else if is(Errno::ENFILE) {
        Some(
            "all programs of this machine together have too many files open: raise sysctl fs.file-max",
        )
    } else {
        None
    }
}

/// An error with all that led to it.
pub fn with_causes(error: &dyn Diagnostic) -> String {
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
pub fn no_text(error: &FromUtf8Error) -> String {
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
    #[case::too_many_files(
        Trouble { help: Some("is the kernel built with veth?"), ..because("a", trouble("Too many open files (os error 24)")) },
        "a: Too many open files (os error 24) (help: raise the limit on open files: `ulimit -n` shows it, \
         `ulimit -n 4096` sets it for this shell, LimitNOFILE= in a systemd unit, --ulimit nofile=4096 in Docker)"
    )]
    #[case(Trouble { help: Some("do d"), ..because("a", trouble("b")) }, "a: b (help: do d)")]
    fn an_error_is_told_with_its_causes_and_its_remedy(#[case] error: Trouble, #[case] told: &str) {
        assert_eq!(explain(&error), told);
    }

    #[test]
    fn what_met_the_limit_on_open_files_says_so_first() {
        let error = Trouble {
            help: Some("is it plugged in?"),
            ..because("a", trouble("Too many open files (os error 24)"))
        };
        let report = with_remedy(error.into());
        let causes: Vec<String> = report.chain().map(ToString::to_string).collect();
        let expected = [
            "too many files are open",
            "a",
            "Too many open files (os error 24)",
        ];
        assert_eq!(causes, expected);
        let help = report
            .help()
            .map(|help| help.to_string())
            .unwrap_or_default();
        assert!(help.contains("ulimit -n"), "{help}");
        let other = with_remedy(trouble("b").into());
        assert_eq!(other.to_string(), "b");
    }
}
