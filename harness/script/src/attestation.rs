//! `attestations.toml`: what only a person can see, answered once and kept.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use miette::{Diagnostic, NamedSource, SourceSpan};
use serde::Deserialize;
use thiserror::Error;

use provebench_bench::confine::{LONGEST_FILE, LONGEST_TEXT, Roots};
use provebench_bench::inventory::Target;

/// Answers of human assessors.
#[derive(Clone, Debug, Default)]
pub struct Attestations {
    entries: Vec<Attestation>,
    folder: PathBuf,
    /// Where evidence may be.
    roots: Option<Roots>,
}

/// One answer to one question.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attestation {
    /// What `t.ask` calls the question.
    pub id: String,
    /// The device that was looked at; absent if the answer holds for every one.
    pub device: Option<String>,
    /// The question as it was asked. An answer to another wording is no answer.
    pub question: String,
    /// The answer.
    pub answer: String,
    /// Who answered.
    pub name: String,
    /// When.
    pub date: toml::value::Datetime,
    /// A photo or document that shows it, relative to the file.
    pub evidence: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    attestation: Vec<Attestation>,
}

/// `attestations.toml` that cannot be used.
#[derive(Debug, Error, Diagnostic)]
pub enum AttestationError {
    /// Cannot be read.
    #[error("cannot read {}", path.display())]
    #[diagnostic(code(attestations::read), help("check that it exists and may be read"))]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What an answer names as its evidence can't be used.
    #[error("cannot read {}, the evidence of answer `{id}`", path.display())]
    #[diagnostic(
        code(attestations::evidence),
        help(
            "put it beside attestations.toml, or correct `evidence`, which is relative to that file"
        )
    )]
    Evidence {
        /// The question that is answered.
        id: String,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Says something that cannot be understood.
    #[error("{}: {message}", path.display())]
    #[diagnostic(
        code(attestations::parse),
        help(
            "entries are [[attestation]] with id, question, answer, name, date (as 2026-01-31) \
             and, where useful, device and evidence"
        )
    )]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
        /// The text.
        #[source_code]
        text: Arc<NamedSource<String>>,
        /// Where.
        #[label("here")]
        span: Option<SourceSpan>,
    },
}

impl Attestations {
    /// Reads a target's answers. Without a file there are none.
    pub fn of(target: &Target) -> Result<Self, AttestationError> {
        Self::load_within(&target.attestations(), &target.roots)
    }

    /// Reads a file that the user names, whose evidence is beside it, below it, or in the folders that are allowed.
    pub fn load(path: &Path, allowed: &[PathBuf]) -> Result<Self, AttestationError> {
        let folder = path.parent().unwrap_or(Path::new(""));
        // The user may name a link.
        let real = fs::canonicalize(path).unwrap_or_default();
        let real = real.parent().unwrap_or(folder).to_owned();
        let allowed: Vec<PathBuf> = allowed.iter().cloned().chain([real]).collect();
        Self::load_within(path, &Roots::new(folder, &allowed))
    }

    fn load_within(path: &Path, roots: &Roots) -> Result<Self, AttestationError> {
        let bytes = roots.read(path, LONGEST_TEXT);
        let text = bytes.and_then(|bytes| {
            let text = String::from_utf8(bytes);
            text.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.utf8_error()))
        });
        let text = match text {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => {
                return Err(AttestationError::Read {
                    path: path.to_owned(),
                    source,
                });
            }
        };
        let file: File = toml::from_str(&text).map_err(|error| AttestationError::Parse {
            path: path.to_owned(),
            message: error.message().to_owned(),
            span: error.span().map(Into::into),
            text: Arc::new(NamedSource::new(path.display().to_string(), text.clone())),
        })?;
        Ok(Self {
            entries: file.attestation,
            folder: path.parent().map(Path::to_owned).unwrap_or_default(),
            roots: Some(roots.clone()),
        })
    }

    /// Whether all evidence that answers name can be read.
    ///
    /// # Errors
    /// The first that can't: it is missing, or not where evidence may be.
    pub fn check_evidence(&self) -> Result<(), AttestationError> {
        for entry in &self.entries {
            if let Some((path, Err(source))) = self.evidence(entry) {
                return Err(AttestationError::Evidence {
                    id: entry.id.clone(),
                    path,
                    source,
                });
            }
        }
        Ok(())
    }

    /// The answer to a question about a device: one for the very device goes first.
    pub(super) fn answer(
        &self,
        id: &str,
        question: &str,
        device: &str,
    ) -> Result<&Attestation, NoAnswer> {
        let matching = |of: Option<&str>| {
            self.entries
                .iter()
                // Later answers replace earlier ones.
                .rfind(move |entry| entry.id == id && entry.device.as_deref() == of)
        };
        let entry = matching(Some(device))
            .or_else(|| matching(None))
            .ok_or(NoAnswer::Missing)?;
        let same = |a: &str, b: &str| a.split_whitespace().eq(b.split_whitespace());
        if !same(&entry.question, question) {
            return Err(NoAnswer::OtherQuestion);
        }
        if entry.answer.trim().is_empty() || entry.name.trim().is_empty() {
            return Err(NoAnswer::Empty);
        }
        Ok(entry)
    }

    /// The evidence of an answer: where it is, and what, or why it can't be read.
    pub(super) fn evidence(
        &self,
        attestation: &Attestation,
    ) -> Option<(PathBuf, io::Result<Vec<u8>>)> {
        let path = self.folder.join(attestation.evidence.as_ref()?);
        let content = self.roots.as_ref()?.read(&path, LONGEST_FILE);
        Some((path, content))
    }
}

/// Why a question has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum NoAnswer {
    #[error("no assessor has answered it yet: add it to attestations.toml")]
    Missing,
    #[error("attestations.toml answers a question of another wording: have it answered again")]
    OtherQuestion,
    #[error("attestations.toml has it without an answer or without the name of who answered")]
    Empty,
}

#[cfg(test)]
mod tests {
    use rstest::{fixture, rstest};
    use tempfile::TempDir;

    use super::*;

    #[fixture]
    fn folder() -> TempDir {
        tempfile::tempdir().expect("a temporary folder")
    }

    fn written(folder: &TempDir, text: &str) -> Result<Attestations, AttestationError> {
        let path = folder.path().join("attestations.toml");
        fs::write(&path, text).expect("written");
        Attestations::load(&path, &[])
    }

    const TWO: &str = r#"
        [[attestation]]
        id = "label"
        question = "Is the model on the label?"
        answer = "yes"
        name = "A. Sessor"
        date = 2026-01-31

        [[attestation]]
        id = "label"
        device = "b"
        question = "Is the model on the label?"
        answer = "no"
        name = "A. Sessor"
        date = 2026-02-01
        evidence = "photos/b.jpg"
    "#;

    #[rstest]
    #[case("a", Ok("yes"))]
    #[case("b", Ok("no"))]
    fn the_answer_for_the_very_device_goes_first(
        folder: TempDir,
        #[case] device: &str,
        #[case] expected: Result<&str, NoAnswer>,
    ) {
        let all = written(&folder, TWO).expect("valid");
        let answer = all.answer("label", "Is the model  on the label?", device);
        assert_eq!(answer.map(|a| a.answer.as_str()), expected);
    }

    #[rstest]
    fn an_answer_to_another_question_is_none(folder: TempDir) {
        let all = written(&folder, TWO).expect("valid");
        assert_eq!(
            all.answer("label", "Is the label there?", "a"),
            Err(NoAnswer::OtherQuestion)
        );
        assert_eq!(all.answer("box", "?", "a"), Err(NoAnswer::Missing));
    }

    #[rstest]
    fn without_a_file_there_are_no_answers(folder: TempDir) {
        let all =
            Attestations::load(&folder.path().join("none.toml"), &[]).expect("no file is fine");
        assert_eq!(all.answer("label", "?", "a"), Err(NoAnswer::Missing));
    }

    #[rstest]
    #[case("[[attestation]]\nid = 1")]
    #[case("[[attestation]]\nid = \"x\"\nanswr = \"yes\"")]
    #[case("[[attestation")]
    fn faults_are_told_with_their_place(folder: TempDir, #[case] text: &str) {
        let error = written(&folder, text).expect_err("faulty");
        let AttestationError::Parse { span, .. } = error else {
            panic!("{error:?}");
        };
        assert!(span.is_some());
    }
}
