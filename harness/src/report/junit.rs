//! JUnit XML, for the report views of CI servers.
//!
//! A suite is one provision on one device, a test case is a unit; a case that was not run is one
//! skipped test case. FAIL is `<failure>`, ERROR is `<error>`, INCONCLUSIVE is `<skipped>`.
//! `classname` names target and provision but not the device: exchanging a board must not begin a
//! new history. GitLab drops all but one of several results of the same name, so when more than
//! one device of a target runs a case, the second one's results are marked `[2]`, and so on.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::path::Path;

use junit_report::{Duration, Report, TestCase, TestResult, TestSuite};
use quick_xml::events::{BytesStart, Event as Xml};
use quick_xml::{Reader, Writer};

use super::results::{CaseResult, DeviceResult, Results};
use super::text::{bounded, one_line, printable};
use crate::event::{DeviceInfo, Outcome, SkipKind, UnitResult};
use crate::standard::{CaseId, ProvisionId};

/// GitLab ignores reports of 30 MB and more; whatever is larger for other reasons is of no use to anybody.
const LARGEST: usize = 29_000_000;

/// Writes the results as JUnit XML. `run_dir` is how attachments are found from where the CI
/// server looks, usually relative to the working directory.
///
/// What is too large for CI servers is written with less detail; `results.json` has it all.
pub fn write(results: &Results, run_dir: &Path, mut sink: impl Write) -> Result<(), JunitError> {
    let mut xml = Vec::new();
    for detail in Detail::ALL {
        let (report, suites) = Builder::new(results, run_dir, detail).build();
        let mut plain = Vec::new();
        report.write_xml(&mut plain)?;
        xml = complete(&plain, &suites)?;
        if xml.len() <= LARGEST {
            break;
        }
        tracing::debug!(bytes = xml.len(), "JUnit XML with less detail");
    }
    if xml.len() > LARGEST {
        tracing::warn!(bytes = xml.len(), "JUnit XML is too large for GitLab");
    }
    Ok(sink.write_all(&xml)?)
}

/// How much is told of each unit.
#[derive(Clone, Copy)]
struct Detail {
    /// The longest message, in bytes.
    message: usize,
    /// What the console said.
    console: bool,
    /// The evidence of units that passed, too.
    passed: bool,
}

impl Detail {
    const ALL: [Self; 3] = [
        Self {
            message: 4000,
            console: true,
            passed: true,
        },
        Self {
            message: 1000,
            console: false,
            passed: false,
        },
        Self {
            message: 100,
            console: false,
            passed: false,
        },
    ];
}

/// The report could not be written.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[diagnostic(
    code(junit),
    help("results.json and the journal in the run's folder have the same results")
)]
pub enum JunitError {
    /// From the crate that writes it.
    #[error("cannot write JUnit XML: {0}")]
    Report(#[from] junit_report::Error),
    /// Our own pass over its output found it unsound.
    #[error("JUnit XML is not well-formed: {0}")]
    Xml(#[from] quick_xml::Error),
    /// The sink.
    #[error("cannot write JUnit XML: {0}")]
    Io(#[from] io::Error),
}

/// What the JUnit crate has no words for.
struct Extra {
    skipped: usize,
    properties: Vec<(String, String)>,
}

struct Builder<'a> {
    results: &'a Results,
    run_dir: &'a Path,
    detail: Detail,
    /// How many devices of a target had results for a case so far.
    seen: HashMap<(&'a str, &'a CaseId), u32>,
}

impl<'a> Builder<'a> {
    fn new(results: &'a Results, run_dir: &'a Path, detail: Detail) -> Self {
        Self {
            results,
            run_dir,
            detail,
            seen: HashMap::new(),
        }
    }

    fn build(mut self) -> (Report, Vec<Extra>) {
        let mut report = Report::new();
        let mut extras = Vec::new();
        for device in &self.results.devices {
            let mut groups: BTreeMap<&ProvisionId, TestSuite> = BTreeMap::new();
            for (id, case) in &device.cases {
                groups
                    .entry(&id.provision)
                    .or_insert_with(|| self.suite(device, &id.provision))
                    .testcases
                    .extend(self.case(device, id, case));
            }
            for suite in groups.into_values() {
                extras.push(Extra {
                    skipped: suite.skipped(),
                    properties: self.properties(&device.info),
                });
                report.add_testsuite(suite);
            }
        }
        (report, extras)
    }

    fn properties(&self, device: &DeviceInfo) -> Vec<(String, String)> {
        let named = [
            ("device", &device.name),
            ("target", &device.target),
            ("model", &device.model),
            ("images", &device.images),
            ("run", &self.results.run),
        ];
        let named = named.map(|(name, value)| (name.to_owned(), printable(value)));
        let digests = device.digests.iter();
        let digests = digests
            .map(|(image, digest)| (format!("sha256 of {}", printable(image)), printable(digest)));
        named.into_iter().chain(digests).collect()
    }

    fn suite(&self, device: &DeviceResult, provision: &ProvisionId) -> TestSuite {
        let mut suite = TestSuite::new(&printable(&format!("{provision} ({})", device.info.name)));
        suite.package = printable(&device.info.target);
        suite.hostname = printable(&device.info.name);
        suite.timestamp = self.results.started;
        suite
    }

    fn case(
        &mut self,
        device: &'a DeviceResult,
        id: &'a CaseId,
        case: &CaseResult,
    ) -> Vec<TestCase> {
        let info = self.results.cases.get(id);
        let nth = self.seen.entry((&device.info.target, id)).or_default();
        *nth += 1;
        let nth = match *nth {
            1 => String::new(),
            n => format!(" [{n}]"),
        };
        let classname = printable(&format!("{}.{}", device.info.target, id.provision));
        let attachments = self.attachments(case);
        let detail = self.detail;
        let finish = |mut test: TestCase, asides: &[String], console: Option<&str>| {
            test.classname = Some(classname.clone());
            test.filepath = info.map(|i| printable(&i.file));
            let mut out = asides.to_vec();
            out.extend(console.filter(|_| detail.console).map(quoted));
            if detail.passed || !matches!(test.result, TestResult::Success) {
                out.extend(attachments.clone());
            }
            let out = out.join("\n");
            test.system_out = (!out.is_empty()).then_some(out);
            test
        };

        let mut tests: Vec<TestCase> = case
            .units
            .iter()
            .map(|unit| {
                let shows = info
                    .and_then(|i| i.units.get(&unit.unit))
                    .map_or("", String::as_str);
                let name = format!("{id} {}{nth}: {}", unit.unit, one_line(shows, TITLE));
                let flaky = case.told_flaky(unit.unit);
                let test = TestCase {
                    result: result(unit, flaky.as_deref(), detail.message),
                    ..TestCase::success(&name, duration(unit.seconds))
                };
                let console = unit.console.as_deref();
                // Passed units would only fill up the CI server's limit.
                let console = console.filter(|_| unit.outcome != Outcome::Pass);
                let doubt = case.told_doubt(unit.unit);
                let asides = flaky.into_iter().chain(doubt).chain(told_retries(case));
                finish(test, &asides.collect::<Vec<_>>(), console)
            })
            .collect();
        if let Some(skip) = &case.skip {
            let title = info.map_or("", |i| &i.title);
            let name = format!("{id}{nth}: {}", one_line(title, TITLE));
            let result = match skip.kind {
                SkipKind::NotMet => TestResult::Failure {
                    type_: "FAIL".into(),
                    message: one_line(&skip.reason, TITLE),
                    cause: None,
                },
                _ => skipped(&bounded(&skip.reason, detail.message)),
            };
            let test = TestCase {
                result,
                ..TestCase::skipped(&name)
            };
            tests.push(finish(test, &[], None));
        }
        tests
    }

    /// A line for each file of the attempt that counts. GitLab shows the first one of a unit: the console's log, if there
    /// is one. Jenkins keeps one file of each name for a unit, so files of further attempts are only told.
    fn attachments(&self, case: &CaseResult) -> Option<String> {
        let mut lines = Vec::new();
        if let Some(folder) = &case.evidence {
            let mut files: Vec<&String> = case.files.iter().collect();
            files.sort_by_key(|file| *file != CONSOLE);
            for file in files {
                let path = self.run_dir.join(folder).join(file);
                lines.push(cdata(&format!("[[ATTACHMENT|{}]]", path.display())));
            }
        }
        let others = case.attempts.iter().filter_map(|a| a.evidence.as_ref());
        for folder in others.filter(|folder| Some(*folder) != case.evidence.as_ref()) {
            let path = self.run_dir.join(folder);
            lines.push(cdata(&format!("another attempt: {}", path.display())));
        }
        (!lines.is_empty()).then(|| lines.join("\n"))
    }
}

/// As the evidence has it.
const CONSOLE: &str = "console.log";
const TITLE: usize = 160;

/// CI servers have no word for it.
fn told_retries(case: &CaseResult) -> Option<String> {
    match case.retries() {
        0 => None,
        n => Some(format!("retries after errors of the bench: {n}")),
    }
}

fn result(unit: &UnitResult, flaky: Option<&str>, longest: usize) -> TestResult {
    let message = unit.message.as_deref().unwrap_or("no reason given");
    let message = &match flaky {
        Some(flaky) => format!("{flaky}: {message}"),
        None => message.to_owned(),
    };
    let mut full = bounded(message, longest);
    let at = unit.at.as_ref().map(|at| format!("at {at}"));
    for line in at.iter().chain(&unit.stack) {
        full.push('\n');
        full += line;
    }
    match unit.outcome {
        Outcome::Pass => TestResult::Success,
        Outcome::Inconclusive => skipped(&format!("INCONCLUSIVE: {full}")),
        Outcome::Error => TestResult::Error {
            type_: "ERROR".into(),
            message: one_line(message, TITLE),
            cause: Some(cdata(&full)),
        },
        Outcome::Fail => TestResult::Failure {
            type_: "FAIL".into(),
            message: one_line(message, TITLE),
            cause: Some(cdata(&full)),
        },
    }
}

fn skipped(reason: &str) -> TestResult {
    TestResult::SkippedWithCause {
        type_: String::new(),
        message: String::new(),
        cause: Some(cdata(reason)),
    }
}

fn duration(seconds: f64) -> Duration {
    Duration::checked_seconds_f64(seconds).unwrap_or(Duration::ZERO)
}

/// Fit for the inside of a CDATA section, which the JUnit crate writes as it is.
fn cdata(text: &str) -> String {
    printable(text).replace("]]>", "]]]]><![CDATA[>")
}

/// What the DUT said, so that it can't name files for the CI server to fetch.
fn quoted(console: &str) -> String {
    cdata(&console.replace("[[ATTACHMENT|", "[ [ATTACHMENT|"))
}

/// Adds what the JUnit crate has no words for: properties and the number of skipped tests. Takes
/// off the attributes of `<skipped>`, which the schema does not allow.
fn complete(plain: &[u8], suites: &[Extra]) -> Result<Vec<u8>, JunitError> {
    let mut reader = Reader::from_reader(plain);
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 1);
    let mut extras = suites.iter();
    loop {
        match reader.read_event()? {
            Xml::Eof => break,
            Xml::Start(tag) if tag.name().as_ref() == b"testsuite" => {
                let Some(extra) = extras.next() else {
                    writer.write_event(Xml::Start(tag))?;
                    continue;
                };
                let mut tag = tag;
                tag.push_attribute(("skipped", extra.skipped.to_string().as_str()));
                writer.write_event(Xml::Start(tag))?;
                writer
                    .create_element("properties")
                    .write_inner_content(|w| {
                        for (name, value) in &extra.properties {
                            w.create_element("property")
                                .with_attribute(("name", name.as_str()))
                                .with_attribute(("value", value.as_str()))
                                .write_empty()?;
                        }
                        Ok(())
                    })?;
            }
            Xml::Start(tag) if tag.name().as_ref() == b"skipped" => {
                writer.write_event(Xml::Start(BytesStart::new("skipped")))?;
            }
            event => writer.write_event(event)?,
        }
    }
    let mut xml = writer.into_inner();
    xml.push(b'\n');
    Ok(xml)
}
