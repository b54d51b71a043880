//! What a filter expression means: which case runs on which device.

use std::collections::BTreeSet;

use glob::Pattern;
use miette::SourceSpan;
use strum::{EnumString, VariantNames};

use super::error::ExpressionError;
use provebench_bench::inventory::Device;
use provebench_record::event::{DeviceInfo, Outcome};
use provebench_record::report::{CaseResult, Results};
use provebench_script::{Case, Unit};
use provebench_standard::Verdict;

/// A filter expression, such as `tag(network) & !case(5.9-*)` or `failed(latest) - device(sensor-b)`.
#[derive(Debug)]
pub struct Expression {
    pub(super) text: String,
    pub(super) root: Node,
    /// The earlier runs that it names.
    pub(super) runs: Vec<Results>,
}

#[derive(Debug)]
pub(super) enum Node {
    Not(Box<Node>),
    And(Vec<Node>),
    Or(Vec<Node>),
    Is(Predicate),
}

/// Chains stay flat, however long: only what is nested is deep.
impl Node {
    pub(super) fn and(self, other: Self) -> Self {
        match self {
            Self::And(mut nodes) => {
                nodes.push(other);
                Self::And(nodes)
            }
            first => Self::And(vec![first, other]),
        }
    }

    pub(super) fn or(self, other: Self) -> Self {
        match self {
            Self::Or(mut nodes) => {
                nodes.push(other);
                Self::Or(nodes)
            }
            first => Self::Or(vec![first, other]),
        }
    }
}

#[derive(Debug)]
pub(super) enum Predicate {
    Constant(bool),
    Named {
        of: Of,
        pattern: Pattern,
        at: SourceSpan,
    },
    /// What an earlier run has of the case on the device, or on those of its target.
    Earlier {
        had: Had,
        run: usize,
    },
}

/// What a pattern is matched with.
#[derive(Clone, Copy, Debug, EnumString, VariantNames)]
#[strum(serialize_all = "lowercase")]
pub(super) enum Of {
    Case,
    /// Of the case.
    Unit,
    Group,
    Clause,
    /// Of the case or of the device.
    Tag,
    /// Of the device's target; and a change in it can affect the case.
    #[strum(serialize = "affected")]
    Component,
    Device,
    Target,
}

#[derive(Clone, Copy, Debug, EnumString, VariantNames)]
#[strum(serialize_all = "lowercase")]
pub(super) enum Had {
    Passed,
    /// Any unit.
    Failed,
    /// Any unit.
    Errored,
    /// Any unit.
    Inconclusive,
    #[strum(serialize = "skipped")]
    BeenSkipped,
}

impl Expression {
    /// Whether the unit of the case is to run on the device.
    pub(super) fn is_met(&self, device: &Device, case: &Case, unit: &Unit) -> bool {
        self.meets(&self.root, device, case, unit)
    }

    fn meets(&self, node: &Node, device: &Device, case: &Case, unit: &Unit) -> bool {
        match node {
            Node::Not(inner) => !self.meets(inner, device, case, unit),
            Node::And(nodes) => nodes.iter().all(|n| self.meets(n, device, case, unit)),
            Node::Or(nodes) => nodes.iter().any(|n| self.meets(n, device, case, unit)),
            Node::Is(Predicate::Constant(value)) => *value,
            Node::Is(Predicate::Named {
                of: Of::Component,
                pattern,
                ..
            }) => {
                let mut components = device.target.components.keys();
                components
                    .any(|name| pattern.matches(name) && device.target.affects(name, &case.id))
            }
            Node::Is(Predicate::Named {
                of: Of::Unit,
                pattern,
                ..
            }) => pattern.matches(&unit.letter.to_string()),
            Node::Is(Predicate::Named { of, pattern, .. }) => {
                of.is_met_by_device(pattern, device) || of.is_met_by_case(pattern, case)
            }
            Node::Is(Predicate::Earlier { had, run }) => {
                let device = DeviceInfo::from(device);
                let results = self.runs[*run].of_case(&device, &case.id);
                results.iter().any(|result| had.is_met(result))
            }
        }
    }

    /// A name that nothing has is a mistake: nobody shall believe to have tested it.
    pub(super) fn check(&self, devices: &[Device], cases: &[Case]) -> Result<(), ExpressionError> {
        self.check_node(&self.root, devices, cases)
    }

    fn check_node(
        &self,
        node: &Node,
        devices: &[Device],
        cases: &[Case],
    ) -> Result<(), ExpressionError> {
        match node {
            Node::Not(inner) => self.check_node(inner, devices, cases),
            Node::And(nodes) | Node::Or(nodes) => {
                let mut nodes = nodes.iter();
                nodes.try_for_each(|node| self.check_node(node, devices, cases))
            }
            Node::Is(Predicate::Named { of, pattern, at }) => {
                let is_known = devices.iter().any(|d| of.is_met_by_device(pattern, d))
                    || cases.iter().any(|c| of.is_met_by_case(pattern, c));
                if is_known {
                    return Ok(());
                }
                Err(ExpressionError {
                    problem: format!("{} `{pattern}`", of.nothing()),
                    text: self.text.clone(),
                    at: *at,
                    help: Some(of.help(devices)),
                })
            }
            Node::Is(Predicate::Constant(_) | Predicate::Earlier { .. }) => Ok(()),
        }
    }
}

impl Of {
    fn is_met_by_device(self, pattern: &Pattern, device: &Device) -> bool {
        match self {
            Self::Device => pattern.matches(&device.name),
            Self::Target => pattern.matches(&device.target.name),
            Self::Tag => device.tags.iter().any(|tag| pattern.matches(tag)),
            Self::Component => {
                let mut components = device.target.components.keys();
                components.any(|name| pattern.matches(name))
            }
            Self::Case | Self::Unit | Self::Group | Self::Clause => false,
        }
    }

    fn is_met_by_case(self, pattern: &Pattern, case: &Case) -> bool {
        match self {
            Self::Case => pattern.matches(&case.id.to_string()),
            Self::Unit => {
                let mut letters = case.units.iter().map(|unit| unit.letter.to_string());
                letters.any(|letter| pattern.matches(&letter))
            }
            Self::Group => pattern.matches(&case.id.provision.to_string()),
            Self::Clause => pattern.matches(&case.id.provision.clause()),
            Self::Tag => case.tags.iter().any(|tag| pattern.matches(tag)),
            Self::Device | Self::Target | Self::Component => false,
        }
    }

    fn nothing(self) -> &'static str {
        match self {
            Self::Case => "there is no test case",
            Self::Unit => "no test case has a unit",
            Self::Group => "there is no test group",
            Self::Clause => "there is no test case of clause",
            Self::Tag => "no device or test case has the tag",
            Self::Device => "there is no device",
            Self::Target => "no device is of target",
            Self::Component => "no target has the component",
        }
    }

    fn help(self, devices: &[Device]) -> String {
        match self {
            Self::Component => {
                let components: BTreeSet<&str> = devices
                    .iter()
                    .flat_map(|device| device.target.components.keys())
                    .map(String::as_str)
                    .collect();
                if components.is_empty() {
                    return "none has any; [components] in target.toml says what a change can affect".into();
                }
                let components: Vec<&str> = components.into_iter().collect();
                format!("components in target.toml are {}", components.join(", "))
            }
            _ => "`provebench list devices` and `provebench list cases` show what there is".into(),
        }
    }
}

impl Had {
    fn is_met(self, result: &CaseResult) -> bool {
        let any = |outcome| result.units.iter().any(|unit| unit.outcome == outcome);
        match self {
            Self::Passed => result.verdict == Some(Verdict::Pass),
            Self::Failed => any(Outcome::Fail),
            Self::Errored => any(Outcome::Error),
            Self::Inconclusive => any(Outcome::Inconclusive),
            Self::BeenSkipped => result.why_not_run().is_some(),
        }
    }
}
