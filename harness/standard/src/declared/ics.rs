//! The ICS: what is claimed for each provision, which conditions and features there are, and of which product.

use std::collections::BTreeMap;

use super::finding::{Finding, Kind};
use super::ixit::unknown;
use super::node::{self, Key, Node, NodeValue};
use super::{Place, Sources};
use crate::{Catalogue, Claim, Ics, Provision, ProvisionId, Support, suggest};

/// An ICS as the supplier filled it in.
///
/// ```toml
/// "5.1-1" = { support = "yes", detail = "one password per device" }
/// "5.8-3" = { support = "n/a", detail = "senses nothing" }
///
/// [product]
/// name = "Sensor"
///
/// [features]
/// a = true
/// v = { is = false, detail = "no microphone, no camera" }
///
/// [conditions]
/// 12 = true
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Statement {
    answers: BTreeMap<ProvisionId, Answer>,
    conditions: BTreeMap<String, Holds>,
    features: BTreeMap<String, Holds>,
    /// The device under test.
    pub product: Party,
    /// Who asks for the assessment.
    pub supplier: Party,
    /// The statement itself.
    pub document: Party,
}

/// What the supplier says of a provision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The claim.
    pub claim: Claim,
    /// Where it is.
    pub place: Place,
}

/// Data about product, supplier or document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Party(BTreeMap<String, Vec<String>>);

/// Whether a condition or feature is declared to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Holds {
    pub(super) is: bool,
    pub(super) place: Place,
}

/// What a provision's status depends on: `feature` or `condition`, its key, and whether it is declared.
type Dependency<'a> = (&'static str, &'a str, Option<&'a Holds>);

/// Data of the pro forma (TS 103 701 v1.1.1, A.2): a text each, or a list.
pub(super) const PRODUCT: [&str; 8] = [
    "name",
    "model",
    "hardware",
    "serial_number",
    "operating_system",
    "firmware",
    "services",
    "other_names",
];
pub(super) const SUPPLIER: [&str; 3] = ["name", "address", "contact"];
pub(super) const DOCUMENT: [&str; 4] = ["version", "date", "author", "edition"];
const TABLES: [&str; 5] = ["product", "supplier", "document", "conditions", "features"];

impl Party {
    /// What is said under a key; several where it is a list.
    pub fn get(&self, key: &str) -> &[String] {
        self.0.get(key).map_or(&[], Vec::as_slice)
    }
}

impl Statement {
    /// Reads an ICS. What is wrong is told; all else is read.
    pub fn parse(sources: &Sources) -> (Self, Vec<Finding>) {
        let mut findings = Vec::new();
        let mut statement = Self::default();
        for (key, node) in node::parse(sources, &mut findings) {
            match key.name.as_str() {
                "product" => statement.product = party(&key, node, &PRODUCT, &mut findings),
                "supplier" => statement.supplier = party(&key, node, &SUPPLIER, &mut findings),
                "document" => statement.document = party(&key, node, &DOCUMENT, &mut findings),
                "conditions" => {
                    let known = keys(Catalogue::shipped().conditions());
                    statement.conditions =
                        declarations("condition", &key, node, &known, &mut findings);
                }
                "features" => {
                    let known = keys(Catalogue::shipped().features());
                    statement.features = declarations("feature", &key, node, &known, &mut findings);
                }
                _ => statement.answer(&key, &node, &mut findings),
            }
        }
        (statement, findings)
    }

    /// What is claimed, for verdicts.
    pub fn ics(&self) -> Ics {
        let answers = self.answers.iter();
        answers
            .map(|(id, answer)| (id.clone(), answer.claim.clone()))
            .collect()
    }

    /// What is said of a provision.
    pub fn get(&self, provision: &ProvisionId) -> Option<&Answer> {
        self.answers.get(provision)
    }

    /// Whether a provision is claimed with yes.
    pub fn claims(&self, provision: &ProvisionId) -> bool {
        self.get(provision)
            .is_some_and(|answer| answer.claim.support == Support::Yes)
    }

    /// Whether a provision applies by what is declared; `None` if something that it depends on is not declared.
    pub fn applies(&self, provision: &Provision) -> Option<bool> {
        let depends = self.depends(provision);
        let is = |declared: bool| {
            move |(_, _, holds): &Dependency<'_>| holds.is_some_and(|holds| holds.is == declared)
        };
        if depends.iter().any(is(false)) {
            Some(false)
        } else {
            depends.iter().all(is(true)).then_some(true)
        }
    }

    pub(super) fn condition(&self, key: &str) -> Option<&Holds> {
        self.conditions.get(key)
    }

    pub(super) fn feature(&self, key: &str) -> Option<&Holds> {
        self.features.get(key)
    }

    /// Answers that contradict what is declared or the standard, that lack reasons, or that are missing.
    pub fn check(&self) -> Vec<Finding> {
        let provisions = Catalogue::shipped().provisions();
        let provisions = provisions.filter(|provision| !provision.id.is_word());
        let findings = provisions.flat_map(|provision| {
            let answer = self.get(&provision.id);
            answer.map_or_else(
                || vec![unanswered(provision)],
                |answer| self.check_answer(provision, answer),
            )
        });
        findings.collect()
    }

    fn check_answer(&self, provision: &Provision, answer: &Answer) -> Vec<Finding> {
        let Provision { id, status, .. } = provision;
        let finding = |kind, message: String| {
            Finding::new(kind, message)
                .at(&answer.place, "the answer")
                .bearing_on([id.clone()])
        };
        let support = answer.claim.support;
        let has_reason = !answer.claim.detail.trim().is_empty();
        let applies = self.applies(provision);
        let mut findings = Vec::new();
        match (support, applies) {
            (Support::NotApplicable, _) if status.is_unconditional() => {
                let message = format!("{id} applies to every product, and is answered with n/a");
                let help = if status.mandatory {
                    "mandatory: only yes makes the statement valid"
                } else {
                    "answer yes, or no with the reason"
                };
                findings.push(finding(Kind::Contradiction, message).with_help(help));
            }
            (Support::NotApplicable, Some(true)) => {
                let message = format!(
                    "{id} is answered with n/a, and what it depends on is declared to be there"
                );
                findings.push(self.with_dependencies(
                    finding(Kind::Contradiction, message),
                    provision,
                    true,
                ));
            }
            (Support::NotApplicable, None) => {
                for (kind, key, holds) in self.depends(provision) {
                    if holds.is_none() {
                        let message =
                            format!("{id} is answered with n/a, and {kind} {key} is not declared");
                        let help = format!("declare it: [{kind}s] {key} = false");
                        findings.push(finding(Kind::Unchecked, message).with_help(help));
                    }
                }
            }
            (Support::Yes | Support::No, Some(false)) => {
                let said = if support == Support::Yes { "yes" } else { "no" };
                let message = format!(
                    "{id} is answered with {said}, and what it depends on is declared to be absent"
                );
                findings.push(self.with_dependencies(
                    finding(Kind::Contradiction, message),
                    provision,
                    false,
                ));
            }
            _ => {}
        }
        if support == Support::No && status.mandatory && applies != Some(false) {
            let message = format!("{id} is mandatory, and not met: the assessment fails");
            findings.push(finding(Kind::Breach, message));
        }
        if support != Support::Yes && !has_reason {
            let said = if support == Support::No {
                "not met"
            } else {
                "not applicable"
            };
            let message = format!("{id} is {said}, without a reason");
            let finding = finding(Kind::Breach, message).with_help("say why in `detail`");
            findings.push(if status.mandatory {
                finding
            } else {
                finding.bearing_on(["5.0-1".parse().expect("an id")])
            });
        }
        findings
    }

    /// Names the declarations that contradict an answer.
    fn with_dependencies(&self, finding: Finding, provision: &Provision, are: bool) -> Finding {
        let depends = self.depends(provision).into_iter();
        let against = depends.filter_map(|(kind, key, holds)| {
            let holds = holds.filter(|holds| holds.is == are)?;
            Some((holds, format!("{kind} {key}: {}", meaning(kind, key))))
        });
        against.fold(finding, |finding, (holds, what)| {
            finding.at(&holds.place, what)
        })
    }

    /// What the status of a provision depends on, and whether that is declared.
    fn depends<'a>(&'a self, provision: &'a Provision) -> Vec<Dependency<'a>> {
        let condition = provision.status.condition.as_deref();
        let condition = condition.map(|key| ("condition", key, self.condition(key)));
        let feature = provision.status.feature.as_deref();
        let feature = feature.map(|key| ("feature", key, self.feature(key)));
        condition.into_iter().chain(feature).collect()
    }

    fn answer(&mut self, key: &Key, node: &Node, findings: &mut Vec<Finding>) {
        let catalogue = Catalogue::shipped();
        let id = key.name.parse::<ProvisionId>().ok();
        let Some(id) = id.filter(|id| catalogue.provision(id).is_some()) else {
            let provisions = catalogue
                .provisions()
                .map(|provision| provision.id.to_string());
            let known: Vec<String> = provisions.chain(TABLES.map(str::to_owned)).collect();
            let near = suggest::by_likeness(&key.name, known);
            let near: Vec<&str> = near.iter().take(3).map(String::as_str).collect();
            findings.push(
                Finding::new(
                    Kind::Unknown,
                    format!("`{}` is no provision of EN 303 645 v3.1.3", key.name),
                )
                .at(&key.place, "here")
                .with_help(format!("near are {}", near.join(", "))),
            );
            return;
        };
        let NodeValue::Table(entries) = &node.value else {
            let message = format!("{id} is {}, and has to be a table", node.is_a());
            let help = format!("write \"{id}\" = {{ support = \"yes\", detail = \"...\" }}");
            findings.push(
                Finding::new(Kind::WrongValue, message)
                    .at(&node.place, "here")
                    .with_help(help),
            );
            return;
        };
        let mut support = None;
        let mut detail = String::new();
        let before = findings.len();
        for (key, node) in entries {
            match (key.name.as_str(), &node.value) {
                ("support", NodeValue::Text(text)) => match support_of(text) {
                    Some(answer) => support = Some(answer),
                    None => findings.push(wrong(&id, node, "support is yes, no or n/a")),
                },
                ("support", _) => findings.push(wrong(&id, node, "support is yes, no or n/a")),
                ("detail", NodeValue::Text(text)) => detail.clone_from(text),
                ("detail", _) => findings.push(wrong(&id, node, "detail is a text")),
                _ => findings.push(unknown("key of an answer", key, &["support", "detail"])),
            }
        }
        match support {
            Some(support) => {
                let claim = Claim { support, detail };
                let place = key.place.clone();
                self.answers.insert(id, Answer { claim, place });
            }
            None if findings.len() == before => {
                let message = format!("{id} has no `support`");
                findings.push(
                    Finding::new(Kind::WrongValue, message)
                        .at(&node.place, "here")
                        .with_help("say yes, no or n/a"),
                );
            }
            None => {}
        }
    }
}

fn unanswered(provision: &Provision) -> Finding {
    let Provision { id, title, .. } = provision;
    Finding::new(
        Kind::Missing,
        format!("the ICS does not answer {id} ({title})"),
    )
    .with_help("say yes, no or n/a, and why")
    .bearing_on([id.clone()])
}

fn wrong(id: &ProvisionId, node: &Node, why: &str) -> Finding {
    Finding::new(Kind::WrongValue, format!("{id}: {why}")).at(&node.place, "here")
}

fn support_of(text: &str) -> Option<Support> {
    match text {
        "yes" => Some(Support::Yes),
        "no" => Some(Support::No),
        "n/a" => Some(Support::NotApplicable),
        _ => None,
    }
}

fn keys(known: Vec<(&'static str, &'static str)>) -> Vec<&'static str> {
    known.into_iter().map(|(key, _)| key).collect()
}

fn meaning(kind: &str, key: &str) -> &'static str {
    let catalogue = Catalogue::shipped();
    let meaning = match kind {
        "condition" => catalogue.condition(key),
        _ => catalogue.feature(key),
    };
    meaning.unwrap_or_default()
}

/// The entries of a table; none if it is none, which is told.
fn table(key: &Key, node: Node, findings: &mut Vec<Finding>) -> Vec<(Key, Node)> {
    if let NodeValue::Table(entries) = node.value {
        return entries;
    }
    let message = format!("`{}` is {}, and has to be a table", key.name, node.is_a());
    findings.push(Finding::new(Kind::Malformed, message).at(&key.place, "here"));
    Vec::new()
}

fn party(key: &Key, node: Node, known: &[&str], findings: &mut Vec<Finding>) -> Party {
    let mut party = Party::default();
    let what = format!("key of [{}]", key.name);
    for (key, node) in table(key, node, findings) {
        let texts = match &node.value {
            _ if !known.contains(&key.name.as_str()) => {
                findings.push(unknown(&what, &key, known));
                continue;
            }
            NodeValue::Text(text) => Some(vec![text.clone()]),
            NodeValue::List(nodes) => {
                let texts = nodes.iter().map(|node| match &node.value {
                    NodeValue::Text(text) => Some(text.clone()),
                    _ => None,
                });
                texts.collect()
            }
            _ => None,
        };
        if let Some(texts) = texts {
            party.0.insert(key.name, texts);
        } else {
            let message = format!("`{}` is a text, or a list of texts", key.name);
            findings.push(Finding::new(Kind::WrongValue, message).at(&node.place, "here"));
        }
    }
    party
}

fn declarations(
    kind: &str,
    key: &Key,
    node: Node,
    known: &[&str],
    findings: &mut Vec<Finding>,
) -> BTreeMap<String, Holds> {
    let mut declared = BTreeMap::new();
    for (key, node) in table(key, node, findings) {
        if !known.contains(&key.name.as_str()) {
            findings.push(
                Finding::new(
                    Kind::Unknown,
                    format!("`{}` is no {kind} of EN 303 645 v3.1.3", key.name),
                )
                .at(&key.place, "here")
                .with_help(format!("known are {}", known.join(", "))),
            );
            continue;
        }
        let is = match &node.value {
            NodeValue::Boolean(is) => Some(*is),
            NodeValue::Table(entries) => entries.iter().find_map(|(key, node)| match &node.value {
                NodeValue::Boolean(is) if key.name == "is" => Some(*is),
                _ => None,
            }),
            _ => None,
        };
        if let Some(is) = is {
            let place = key.place.clone();
            declared.insert(key.name, Holds { is, place });
        } else {
            let message = format!("{kind} {} is true or false", key.name);
            let help = format!(
                "write {} = true, or {0} = {{ is = false, detail = \"why\" }}",
                key.name
            );
            findings.push(
                Finding::new(Kind::WrongValue, message)
                    .at(&node.place, "here")
                    .with_help(help),
            );
        }
    }
    declared
}

#[cfg(test)]
mod tests;
