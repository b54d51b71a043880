//! What was found.

use miette::Diagnostic;

use provebench_record::explain::{remedy, with_causes};

/// How good it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it should be.
    Good,
    /// Worth knowing, and no reason not to start a run.
    Note,
    /// A run would fail at it.
    Wrong,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How good it is.
    pub level: Level,
    /// What was found.
    pub what: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

/// All that was found, in the order in which it was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings(pub Vec<Finding>);

impl Findings {
    /// As it should be.
    pub fn good(&mut self, what: impl Into<String>) {
        self.push(Level::Good, what.into(), None);
    }

    /// Worth knowing.
    pub fn note(&mut self, what: impl Into<String>, remedy: impl Into<String>) {
        self.push(Level::Note, what.into(), Some(remedy.into()));
    }

    /// A run would fail at it.
    pub fn wrong(&mut self, what: impl Into<String>, remedy: impl Into<String>) {
        self.push(Level::Wrong, what.into(), Some(remedy.into()));
    }

    /// Something could not be done: with all that led to it, and its own remedy.
    pub fn error(&mut self, error: &dyn Diagnostic) {
        self.push(Level::Wrong, with_causes(error), remedy(error));
    }

    /// Whether anything is wrong.
    pub fn any_wrong(&self) -> bool {
        self.0.iter().any(|finding| finding.level == Level::Wrong)
    }

    fn push(&mut self, level: Level, what: String, remedy: Option<String>) {
        self.0.push(Finding {
            level,
            what,
            remedy: remedy.filter(|remedy| !remedy.is_empty()),
        });
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use provebench_bench::ConsoleError;
    use provebench_bench::inventory::ConsolePort;

    #[test]
    fn an_error_is_told_with_its_causes_and_its_remedy() {
        let mut findings = Findings::default();
        findings.error(&ConsoleError::Open {
            port: ConsolePort::Serial("/dev/ttyX".into()),
            source: io::ErrorKind::NotFound.into(),
        });
        let [finding] = &findings.0[..] else {
            panic!("{findings:?}")
        };
        assert_eq!(
            finding.what,
            "console /dev/ttyX can't be opened: entity not found"
        );
        assert!(finding.remedy.as_ref().unwrap().contains("group dialout"));
        assert!(findings.any_wrong());
    }
}
