//! JUnit XML, for the report views of CI servers.
//!
//! A suite is one provision on one device, a test case is a unit; a case that was not run is one
//! skipped test case, and so is each unit that was not selected beside others of its case. FAIL is `<failure>`, ERROR is `<error>`, INCONCLUSIVE is `<skipped>`.
//! `classname` names target and provision but not the device, `name` is the unit's identifier without its wording:
//! neither exchanging a board nor rewording a docstring must begin a new history. The wording is in the text.
//!
//! Histories of CI servers go by class and name, and GitLab drops all but one of several results that have the same. So
//! where devices.toml has several devices of a target, and each runs all cases, the device's name follows in brackets,
//! whichever of them are in a run. Where they share the cases, one result stands for all of them.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, Write};
use std::path::Path;

use junit_report::{Duration, TestCase, TestResult, TestSuite};
use quick_xml::Writer;
use quick_xml::events::{BytesCData, BytesDecl, Event as Xml};
use time::format_description::well_known::Rfc3339;

use super::attempts::CaseResult;
use super::results::{DeviceResult, Results};
use crate::event::{DeviceInfo, Outcome, UnitResult, told_losses};
use crate::text::{bounded, one_line, printable};
use provebench_standard::{CaseId, ProvisionId};

/// GitLab ignores reports of 30 MB and more; whatever is larger for other reasons is of no use to anybody.
const LARGEST: usize = 29_000_000;

/// Writes the results as JUnit XML. `run_dir` is how attachments are found from where the CI
/// server looks, usually relative to the working directory.
///
/// What is too large for CI servers is written with less detail; `results.json` has it all.
pub fn write(results: &Results, run_dir: &Path, mut sink: impl Write) -> Result<(), JunitError> {
    let last = Detail::ALL.len() - 1;
    for (n, detail) in Detail::ALL.into_iter().enumerate() {
        let builder = Builder::new(results, run_dir, detail);
        if n == last {
            let xml = builder.build(usize::MAX)?;
            if xml.len() > LARGEST {
                tracing::warn!(bytes = xml.len(), "JUnit XML is too large for GitLab");
            }
            return Ok(sink.write_all(&xml)?);
        }
        // What is surely too large is not made only to be thrown away.
        if builder.least_size() > LARGEST {
            continue;
        }
        match builder.build(LARGEST) {
            Ok(xml) => return Ok(sink.write_all(&xml)?),
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                tracing::debug!("JUnit XML with less detail");
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// What is written, as long as it is not too large.
struct Bounded {
    xml: Vec<u8>,
    most: usize,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.most - self.xml.len() {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.xml.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
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
    /// The sink.
    #[error("cannot write JUnit XML: {0}")]
    Io(#[from] io::Error),
}

struct Builder<'a> {
    results: &'a Results,
    run_dir: &'a Path,
    detail: Detail,
    /// Cases of which there are results of a device of the target.
    seen: HashSet<(&'a str, &'a CaseId)>,
}

impl<'a> Builder<'a> {
    fn new(results: &'a Results, run_dir: &'a Path, detail: Detail) -> Self {
        Self {
            results,
            run_dir,
            detail,
            seen: HashSet::new(),
        }
    }

    /// Bytes that the report has at least.
    fn least_size(&self) -> usize {
        /// `<testcase name="5.1-1-2 a" time="0" classname="" file=""/>` and its line.
        const AROUND: usize = 60;
        /// `<failure type="FAIL" message=""><![CDATA[]]></failure>`.
        const AROUND_FAULT: usize = 50;
        let devices = self.results.devices.iter();
        let cases = devices.flat_map(|d| d.cases.iter().map(move |(id, case)| (d, id, case)));
        let sizes = cases.map(|(device, id, case)| {
            let info = self.results.cases.get(id);
            let file = info.map_or(0, |info| info.file.len());
            let around = AROUND + device.info.target.len() + file;
            let attachments = self.attachments(case).map_or(0, |lines| lines.len());
            let units = case.units.iter().map(|unit| {
                let shows = info.and_then(|info| info.units.get(&unit.unit.letter));
                let shows = shows.map_or(0, |shows| least_line(shows, TITLE));
                let (told, is_passed) = match unit.outcome {
                    Outcome::Pass => (0, true),
                    Outcome::Inconclusive => (self.least_message(unit), false),
                    Outcome::Error | Outcome::Fail => {
                        let title = unit.message.as_deref().map_or(0, |m| least_line(m, TITLE));
                        (AROUND_FAULT + title + self.least_message(unit), false)
                    }
                };
                let is_told = self.detail.passed || !is_passed;
                around + told + usize::from(is_told) * (shows + attachments)
            });
            units.sum::<usize>()
        });
        sizes.sum()
    }

    /// Bytes that message and console of a unit that did not pass take at least.
    fn least_message(&self, unit: &UnitResult) -> usize {
        let message = unit.message.as_deref().map_or(0, least_text);
        let console = unit.console.as_deref().filter(|_| self.detail.console);
        message.min(self.detail.message) + console.map_or(0, least_text)
    }

    fn build(mut self, most: usize) -> io::Result<Vec<u8>> {
        let least = cfg!(debug_assertions).then(|| self.least_size());
        let xml = Bounded {
            xml: Vec::new(),
            most,
        };
        let mut writer = Writer::new_with_indent(xml, b' ', 1);
        writer.write_event(Xml::Decl(BytesDecl::new("1.0", Some("utf-8"), None)))?;
        let suites = writer.create_element("testsuites");
        if self.results.devices.iter().all(|d| d.cases.is_empty()) {
            suites.write_empty()?;
        } else {
            suites.write_inner_content(|writer| self.write_suites(writer))?;
        }
        let mut xml = writer.into_inner();
        xml.write_all(b"\n")?;
        debug_assert!(least.is_none_or(|least| least <= xml.xml.len()));
        Ok(xml.xml)
    }

    fn write_suites(&mut self, writer: &mut Writer<Bounded>) -> io::Result<()> {
        let mut number = 0;
        for device in &self.results.devices {
            let mut groups: BTreeMap<&ProvisionId, TestSuite> = BTreeMap::new();
            for (id, case) in &device.cases {
                groups
                    .entry(&id.provision)
                    .or_insert_with(|| self.suite(device, &id.provision))
                    .testcases
                    .extend(self.case(device, id, case));
            }
            let properties = self.properties(&device.info);
            for suite in groups.into_values() {
                write_suite(writer, number, &suite, &properties)?;
                number += 1;
            }
        }
        Ok(())
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
        let is_first = self.seen.insert((&device.info.target, id));
        let has_its_own = device.info.has_siblings && !self.results.settings.is_shared;
        let whose = if has_its_own || !is_first {
            format!(" [{}]", device.info.name)
        } else {
            String::new()
        };
        let classname = printable(&format!("{}.{}", device.info.target, id.provision));
        let file = info.map(|i| printable(&i.file));
        let attachments = self.attachments(case);
        let detail = self.detail;
        let finish = |mut test: TestCase, asides: &[String], console: Option<&str>| {
            test.classname = Some(classname.clone());
            test.filepath.clone_from(&file);
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
                    .and_then(|i| i.units.get(&unit.unit.letter))
                    .map_or("", String::as_str);
                let shows = to_show(shows);
                let name = printable(&format!("{id} {}{whose}", unit.unit));
                let flaky = case.told_flaky(&unit.unit);
                let test = TestCase {
                    result: result(unit, flaky.as_deref(), shows.as_deref(), detail.message),
                    ..TestCase::success(&name, duration(unit.seconds))
                };
                let console = unit.console.as_deref();
                // Passed units would only fill up the CI server's limit.
                let console = console.filter(|_| unit.outcome != Outcome::Pass);
                let doubt = case.told_doubt(&unit.unit).map(|doubt| quoted(&doubt));
                let notes = unit.notes.iter();
                let notes = notes.map(|note| quoted(&format!("note: {}", one_line(note, NOTE))));
                // In the text of what did not pass it is anyway.
                let shows = shows.filter(|_| detail.passed && unit.outcome == Outcome::Pass);
                let asides = shows.map(|shows| quoted(&shows)).into_iter();
                let asides = asides
                    .chain(flaky)
                    .chain(doubt)
                    .chain(told_retries(case))
                    .chain(told_not_seen(case))
                    .chain(notes);
                finish(test, &asides.collect::<Vec<_>>(), console)
            })
            .collect();
        for unit in case.unselected_beside() {
            let shows = info.and_then(|i| i.units.get(&unit));
            let shows = to_show(shows.map_or("", String::as_str));
            let test = TestCase {
                result: skipped(&with_line(UNSELECTED.into(), shows.as_deref())),
                ..TestCase::skipped(&printable(&format!("{id} {unit}{whose}")))
            };
            tests.push(finish(test, &[], None));
        }
        if let Some(why) = case.why_not_run() {
            let shows = to_show(info.map_or("", |i| &i.title));
            let name = printable(&format!("{id}{whose}"));
            let reason = with_line(bounded(why, detail.message), shows.as_deref());
            let result = match case.not_met {
                Some(_) => TestResult::Failure {
                    type_: "FAIL".into(),
                    message: one_line(why, TITLE),
                    cause: Some(cdata(&reason)),
                },
                None => skipped(&reason),
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
/// Of a unit that nobody asked for, beside others of its case.
const UNSELECTED: &str = "not selected";
const NOTE: usize = 1000;

/// What a unit or a case is about, in the words of its script; none if it has none.
fn to_show(wording: &str) -> Option<String> {
    let wording = one_line(wording, TITLE);
    (!wording.is_empty()).then(|| format!("to show: {wording}"))
}

/// Bytes that [`one_line`] leaves at least.
fn least_line(text: &str, longest: usize) -> usize {
    let head = text.trim().chars().take(longest * 2 + 1);
    head.filter(|c| !c.is_whitespace()).count().min(longest)
}

/// Bytes that [`printable`] leaves at least.
fn least_text(text: &str) -> usize {
    text.len() - text.bytes().filter(|byte| *byte == b'\r').count()
}

fn with_line(mut text: String, line: Option<&str>) -> String {
    if let Some(line) = line {
        text.push('\n');
        text += line;
    }
    text
}

/// What the bench did not see, which a reader of any of the case's units is to know.
fn told_not_seen(case: &CaseResult) -> Option<String> {
    let losses = told_losses(&case.not_seen);
    (!losses.is_empty()).then(|| quoted(&format!("not seen by the bench: {losses}")))
}

/// CI servers have no word for it.
fn told_retries(case: &CaseResult) -> Option<String> {
    match case.retries() {
        0 => None,
        n => Some(format!("retries after errors of the bench: {n}")),
    }
}

fn result(
    unit: &UnitResult,
    flaky: Option<&str>,
    shows: Option<&str>,
    longest: usize,
) -> TestResult {
    let message = unit.message.as_deref().unwrap_or("no reason given");
    let message = &match flaky {
        Some(flaky) => format!("{flaky}: {message}"),
        None => message.to_owned(),
    };
    let mut full = with_line(bounded(message, longest), shows);
    let at = unit.at.as_ref().map(|at| format!("at {at}"));
    let fault = unit.fault.map(|fault| format!("fault of the {fault}"));
    for line in fault.iter().chain(&at).chain(&unit.stack) {
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

/// The JUnit crate counts, but has no words for properties and the number of skipped tests, and gives `<skipped>`
/// attributes that the schema does not allow.
fn write_suite(
    writer: &mut Writer<Bounded>,
    number: usize,
    suite: &TestSuite,
    properties: &[(String, String)],
) -> io::Result<()> {
    let counts = [
        ("tests", suite.tests()),
        ("errors", suite.errors()),
        ("failures", suite.failures()),
        ("skipped", suite.skipped()),
    ];
    let counts = counts.map(|(name, count)| (name, count.to_string()));
    let timestamp = suite.timestamp.format(&Rfc3339).unwrap_or_default();
    let time = suite.time().as_seconds_f64().to_string();
    writer
        .create_element("testsuite")
        .with_attribute(("id", number.to_string().as_str()))
        .with_attribute(("name", suite.name.as_str()))
        .with_attribute(("package", suite.package.as_str()))
        .with_attributes(counts.iter().map(|(name, n)| (*name, n.as_str())))
        .with_attribute(("hostname", suite.hostname.as_str()))
        .with_attribute(("timestamp", timestamp.as_str()))
        .with_attribute(("time", time.as_str()))
        .write_inner_content(|writer| {
            writer
                .create_element("properties")
                .write_inner_content(|writer| {
                    for (name, value) in properties {
                        writer
                            .create_element("property")
                            .with_attribute(("name", name.as_str()))
                            .with_attribute(("value", value.as_str()))
                            .write_empty()?;
                    }
                    Ok(())
                })?;
            let mut cases = suite.testcases.iter();
            cases.try_for_each(|case| write_case(writer, case))
        })?;
    Ok(())
}

fn write_case(writer: &mut Writer<Bounded>, case: &TestCase) -> io::Result<()> {
    let time = case.time.as_seconds_f64().to_string();
    let optional = [("classname", &case.classname), ("file", &case.filepath)];
    let optional = optional
        .iter()
        .filter_map(|(name, value)| Some((*name, value.as_deref()?)));
    let element = writer
        .create_element("testcase")
        .with_attribute(("name", case.name.as_str()))
        .with_attribute(("time", time.as_str()))
        .with_attributes(optional);
    if matches!(case.result, TestResult::Success) && case.system_out.is_none() {
        element.write_empty()?;
        return Ok(());
    }
    element.write_inner_content(|writer| {
        let (name, attributes, cause) = match &case.result {
            TestResult::Success => ("", None, &None),
            TestResult::Skipped => ("skipped", None, &None),
            TestResult::SkippedWithCause { cause, .. } => ("skipped", None, cause),
            TestResult::Error {
                type_,
                message,
                cause,
            } => ("error", Some((type_, message)), cause),
            TestResult::Failure {
                type_,
                message,
                cause,
            } => ("failure", Some((type_, message)), cause),
        };
        if !name.is_empty() {
            let mut element = writer.create_element(name);
            if let Some((kind, message)) = attributes {
                element = element
                    .with_attribute(("type", kind.as_str()))
                    .with_attribute(("message", message.as_str()));
            }
            match cause {
                Some(cause) => drop(element.write_cdata_content(BytesCData::new(cause))?),
                None => drop(element.write_empty()?),
            }
        }
        if let Some(out) = &case.system_out {
            writer
                .create_element("system-out")
                .write_cdata_content(BytesCData::new(out))?;
        }
        Ok(())
    })?;
    Ok(())
}
