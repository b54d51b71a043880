//! Verdicts of cases, groups and the whole, from what is known of test units (TS 103 701, clause 4): a pure function.
//!
//! What the text leaves open is in [`Settings`], with what provebench takes unless told otherwise.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::editions::{Edition, Editions};
use crate::rules::Rules;
use crate::{CaseId, Catalogue, Decision, Ics, ProvisionId, Support, UnitId, Verdict};

/// What verdicts are formed from.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// The edition that is assessed. The ICS has the provisions of v3.1.3 either way.
    pub edition: Edition,
    /// What the supplier claims.
    pub ics: Ics,
    /// What is known of units, from whatever source, in whatever order.
    pub results: Vec<UnitResult>,
    /// The rows of the IXIT that a unit has to be decided for; none for one that is about the product as a whole.
    pub rows: BTreeMap<UnitId, BTreeSet<String>>,
    /// Evidence of third parties that stands in for groups.
    pub evidence: Vec<Evidence>,
    /// What the text leaves open.
    pub settings: Settings,
}

/// What one source knows of a unit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct UnitResult {
    /// The unit.
    pub unit: UnitId,
    /// The row of the IXIT that it is about; the product as a whole, if none.
    pub row: Option<String>,
    /// What was found.
    pub outcome: Outcome,
    /// Who found it.
    pub source: Source,
}

/// What was found of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The unit has nothing to look at in this product: counts neither way.
    NotApplicable,
    /// It holds.
    Pass,
    /// It could not be decided.
    Inconclusive,
    /// It does not hold.
    Fail,
}

/// Who decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// A rule, from documents.
    Rule,
    /// The bench.
    Bench,
    /// A person, by an attestation that is valid.
    Person,
}

/// A certificate or evaluation by a third party that is to stand in for a group (rules `evidence-...`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Evidence {
    /// The group.
    pub group: ProvisionId,
    /// What it is: scheme, number, report.
    pub reference: String,
    /// It was announced, and has not expired.
    pub is_valid: bool,
    /// Its scope fits the objective of the group.
    pub fits_scope: bool,
    /// The activities that it describes meet each test purpose of the group.
    pub meets_purposes: bool,
    /// Its depth fits the level of the group.
    pub fits_depth: bool,
}

/// What the text leaves open. Each is named in `verdicts.toml`: see [`Settings::RULES`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// A unit that fails makes its case FAIL, whatever could not be decided beside it. Else the case is INCONCLUSIVE,
    /// as clause 4.6 can be read, and the FAIL waits for the rest.
    pub fail_before_inconclusive: bool,
    /// Where one entry is enough for a unit to hold, others may fail. Else all have to hold.
    pub one_row_is_enough: bool,
    /// A person may decide what a rule or the bench left open, in units that these decide.
    pub persons_settle: bool,
    /// A mandatory provision that does not apply, without a reason.
    pub not_applicable_without_reason: Gap,
    /// A provision that is said not to apply, and a unit of it that fails all the same: something is there that it
    /// applies to.
    pub not_applicable_contradicted: Gap,
    /// A provision that the ICS does not answer.
    pub unanswered: Gap,
    /// Evidence of third parties may stand in for groups.
    pub external_evidence: bool,
    /// Test cases that are not the standard's count where they fail.
    pub own_cases: bool,
}

/// What a gap in the statement makes of the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gap {
    /// It is reported only.
    Reported,
    /// The whole is INCONCLUSIVE until it is filled.
    Inconclusive,
    /// The statement is not valid.
    Fail,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            fail_before_inconclusive: true,
            one_row_is_enough: true,
            persons_settle: true,
            not_applicable_without_reason: Gap::Inconclusive,
            not_applicable_contradicted: Gap::Inconclusive,
            unanswered: Gap::Inconclusive,
            external_evidence: true,
            own_cases: true,
        }
    }
}

impl Settings {
    /// The rule in `verdicts.toml` that each setting is about.
    pub const RULES: [(&'static str, &'static str); 8] = [
        ("fail_before_inconclusive", "case-inconclusive"),
        ("one_row_is_enough", "feature-all-instances"),
        ("persons_settle", "check-and-assess"),
        ("not_applicable_without_reason", "n-a-without-reason"),
        ("not_applicable_contradicted", "n-a-is-revised"),
        ("unanswered", "statement-columns"),
        ("external_evidence", "evidence-of-scheme"),
        ("own_cases", "scheme-amendments"),
    ];
}

/// All verdicts, each unit of the edition in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Assessment {
    /// The edition that was assessed.
    pub edition: Edition,
    /// Of the whole.
    pub verdict: Verdict,
    /// What is wrong with the ICS.
    pub statement: Vec<StatementFault>,
    /// By provision, in the standard's order.
    pub groups: Vec<GroupVerdict>,
    /// Cases that are not the standard's.
    pub own: Vec<CaseVerdict>,
    /// What was decided by.
    pub settings: Settings,
}

/// What is wrong with the ICS.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct StatementFault {
    /// The provision.
    pub provision: ProvisionId,
    /// What is wrong.
    pub kind: StatementFaultKind,
    /// What it makes of the whole.
    pub weight: Gap,
}

/// What can be wrong with an answer of the ICS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StatementFaultKind {
    /// Mandatory, and said not to be met (rule `yes-for-mandatory`).
    MandatoryNotMet,
    /// For every product, and said not to apply (rule `n-a-needs-condition`).
    AlwaysApplies,
    /// Said not to apply, without a reason (rule `n-a-without-reason`).
    NotApplicableWithoutReason,
    /// Said not to apply, and a unit of it fails (rule `n-a-is-revised`).
    NotApplicableContradicted,
    /// No answer (rule `statement-columns`).
    Unanswered,
}

/// What becomes of a provision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GroupVerdict {
    /// The provision, and its test group.
    pub id: ProvisionId,
    /// Mandatory in this edition, else recommended.
    pub mandatory: bool,
    /// What the supplier claims; `None` if nothing.
    pub claim: Option<Support>,
    /// A reason is given with the claim.
    pub has_reason: bool,
    /// The verdict, for a provision that is claimed; others have none.
    pub verdict: Option<Verdict>,
    /// References of the evidence that stands in for the cases.
    pub evidence: Vec<String>,
    /// Its cases; of a provision that is not claimed for information only.
    pub cases: Vec<CaseVerdict>,
}

/// What becomes of a case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CaseVerdict {
    /// The case.
    pub id: CaseId,
    /// `None` if nothing in it applies.
    pub verdict: Option<Verdict>,
    /// All of its units.
    pub units: Vec<UnitVerdict>,
}

/// What becomes of a unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnitVerdict {
    /// The unit.
    pub id: UnitId,
    /// Who decides it; `None` in cases that are not the standard's.
    pub who: Option<Decision>,
    /// `None` if it does not apply.
    pub verdict: Option<Verdict>,
    /// By row; first the product as a whole, where something is known of that.
    pub rows: Vec<RowVerdict>,
}

/// What becomes of a unit for a row of the IXIT.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RowVerdict {
    /// The row; the product as a whole, if none.
    pub row: Option<String>,
    /// `None` if it does not apply.
    pub verdict: Option<Verdict>,
    /// Who found something; empty if nobody looked.
    pub sources: BTreeSet<Source>,
}

impl Evidence {
    /// Whether it stands in for the group.
    pub fn is_accepted(&self) -> bool {
        self.is_valid && self.fits_scope && self.meets_purposes && self.fits_depth
    }
}

impl Outcome {
    /// Its verdict; `None` for what does not apply.
    pub fn verdict(self) -> Option<Verdict> {
        match self {
            Self::NotApplicable => None,
            Self::Pass => Some(Verdict::Pass),
            Self::Inconclusive => Some(Verdict::Inconclusive),
            Self::Fail => Some(Verdict::Fail),
        }
    }
}

impl Known {
    /// Forms all verdicts.
    pub fn assess(&self) -> Assessment {
        let catalogue = Catalogue::shipped();
        let by_unit = self.by_unit();
        let mut statement = Vec::new();
        let mut groups = Vec::new();
        for group in catalogue.groups() {
            let Some(status) = status(self.edition, &group.id) else {
                continue;
            };
            statement.extend(self.fault(&group.id, status));
            let cases = group.cases.iter().filter_map(|id| catalogue.case(id));
            let cases = cases.map(|case| {
                let units = case.units.iter().map(|(&letter, unit)| {
                    let case = case.id.clone();
                    self.unit(UnitId { case, letter }, Some(unit.who), &by_unit)
                });
                self.case(case.id.clone(), units.collect())
            });
            let group = self.group(&group.id, status, cases.collect());
            statement.extend(self.contradiction(&group));
            groups.push(group);
        }
        let own = self.own(&by_unit);
        let verdict = self.whole(&statement, &groups, &own);
        Assessment {
            edition: self.edition,
            verdict,
            statement,
            groups,
            own,
            settings: self.settings.clone(),
        }
    }

    fn by_unit(&self) -> BTreeMap<&UnitId, Vec<&UnitResult>> {
        let mut by_unit: BTreeMap<&UnitId, Vec<&UnitResult>> = BTreeMap::new();
        for result in &self.results {
            by_unit.entry(&result.unit).or_default().push(result);
        }
        by_unit
    }

    /// What is wrong with the answer of the ICS.
    fn fault(&self, provision: &ProvisionId, status: StatusIn) -> Option<StatementFault> {
        use StatementFaultKind::{
            AlwaysApplies, MandatoryNotMet, NotApplicableWithoutReason, Unanswered,
        };
        let claim = self.ics.get(provision);
        let has_reason = claim.is_some_and(|claim| !claim.detail.trim().is_empty());
        let (kind, weight) = match claim.map(|claim| claim.support) {
            None => (Unanswered, self.settings.unanswered),
            Some(Support::No) if status.mandatory => (MandatoryNotMet, Gap::Fail),
            Some(Support::NotApplicable) if !status.conditional => (AlwaysApplies, Gap::Fail),
            Some(Support::NotApplicable) if status.mandatory && !has_reason => (
                NotApplicableWithoutReason,
                self.settings.not_applicable_without_reason,
            ),
            Some(_) => return None,
        };
        Some(StatementFault {
            provision: provision.clone(),
            kind,
            weight,
        })
    }

    /// What was found against an answer that a provision does not apply.
    fn contradiction(&self, group: &GroupVerdict) -> Option<StatementFault> {
        let fails = group.cases.iter().any(|case| {
            let mut units = case.units.iter();
            units.any(|unit| unit.verdict == Some(Verdict::Fail))
        });
        let is_contradicted = group.claim == Some(Support::NotApplicable) && fails;
        is_contradicted.then(|| StatementFault {
            provision: group.id.clone(),
            kind: StatementFaultKind::NotApplicableContradicted,
            weight: self.settings.not_applicable_contradicted,
        })
    }

    fn unit(
        &self,
        id: UnitId,
        who: Option<Decision>,
        by_unit: &BTreeMap<&UnitId, Vec<&UnitResult>>,
    ) -> UnitVerdict {
        let results = by_unit.get(&id).map_or(&[][..], Vec::as_slice);
        let mut rows: BTreeSet<Option<&str>> = results.iter().map(|r| r.row.as_deref()).collect();
        if let Some(declared) = self.rows.get(&id) {
            rows.extend(declared.iter().map(|row| Some(row.as_str())));
        }
        if rows.is_empty() {
            // Nobody looked.
            rows.insert(None);
        }
        let rows: Vec<RowVerdict> = rows.into_iter().map(|row| self.row(row, results)).collect();
        let (whole, each): (Vec<&RowVerdict>, Vec<&RowVerdict>) =
            rows.iter().partition(|row| row.row.is_none());
        let each = each.into_iter().filter_map(|row| row.verdict);
        let is_one_enough =
            self.settings.one_row_is_enough && Rules::shipped().is_one_row_enough(&id);
        let each = if is_one_enough {
            best(each)
        } else {
            Verdict::fold(each)
        };
        let whole = whole.into_iter().filter_map(|row| row.verdict);
        let verdict = Verdict::fold(whole.chain(each));
        UnitVerdict {
            id,
            who,
            verdict,
            rows,
        }
    }

    fn row(&self, row: Option<&str>, results: &[&UnitResult]) -> RowVerdict {
        let of_row = results.iter().filter(|result| result.row.as_deref() == row);
        let of_row: Vec<&UnitResult> = of_row.copied().collect();
        let sources = of_row.iter().map(|result| result.source).collect();
        let found = |is: fn(&UnitResult) -> bool| {
            let found = of_row.iter().filter(|result| is(result));
            Verdict::fold(found.filter_map(|result| result.outcome.verdict()))
        };
        let all = found(|_| true);
        let by_persons = found(|result| result.source == Source::Person);
        let verdict = match (all, by_persons) {
            // A person decides what was left open; what failed stays.
            (Some(Verdict::Inconclusive), Some(settled)) if self.settings.persons_settle => {
                Some(settled)
            }
            (all, _) => all,
        };
        let verdict = if of_row.is_empty() {
            Some(Verdict::Inconclusive)
        } else {
            verdict
        };
        RowVerdict {
            row: row.map(str::to_owned),
            verdict,
            sources,
        }
    }

    fn case(&self, id: CaseId, units: Vec<UnitVerdict>) -> CaseVerdict {
        let verdicts = || units.iter().filter_map(|unit| unit.verdict);
        let is_open = verdicts().any(|verdict| verdict == Verdict::Inconclusive);
        let verdict = if is_open && !self.settings.fail_before_inconclusive {
            Some(Verdict::Inconclusive)
        } else {
            Verdict::fold(verdicts())
        };
        CaseVerdict { id, verdict, units }
    }

    fn group(&self, id: &ProvisionId, status: StatusIn, cases: Vec<CaseVerdict>) -> GroupVerdict {
        let claim = self.ics.get(id);
        let mut evidence: Vec<String> = Vec::new();
        if self.settings.external_evidence {
            let accepted = self.evidence.iter();
            let accepted = accepted.filter(|e| e.group == *id && e.is_accepted());
            evidence.extend(accepted.map(|evidence| evidence.reference.clone()));
            evidence.sort();
        }
        let is_claimed = claim.is_some_and(|claim| claim.support == Support::Yes);
        let verdict = is_claimed.then(|| {
            let folded = Verdict::fold(cases.iter().filter_map(|case| case.verdict));
            match folded {
                Some(Verdict::Fail) => Verdict::Fail,
                _ if !evidence.is_empty() => Verdict::Pass,
                // It is claimed, and yet nothing in it applies: one of the two is wrong.
                None => Verdict::Inconclusive,
                Some(verdict) => verdict,
            }
        });
        GroupVerdict {
            id: id.clone(),
            mandatory: status.mandatory,
            claim: claim.map(|claim| claim.support),
            has_reason: claim.is_some_and(|claim| !claim.detail.trim().is_empty()),
            verdict,
            evidence,
            cases,
        }
    }

    /// Cases with results that the standard does not have. What only their results name are their units.
    fn own(&self, by_unit: &BTreeMap<&UnitId, Vec<&UnitResult>>) -> Vec<CaseVerdict> {
        let catalogue = Catalogue::shipped();
        let mut cases: BTreeMap<&CaseId, Vec<UnitVerdict>> = BTreeMap::new();
        for &id in by_unit.keys() {
            if catalogue.unit(id).is_none() || catalogue.group(&id.case.provision).is_none() {
                let unit = self.unit(id.clone(), None, by_unit);
                cases.entry(&id.case).or_default().push(unit);
            }
        }
        let cases = cases.into_iter();
        cases
            .map(|(id, units)| self.case(id.clone(), units))
            .collect()
    }

    fn whole(
        &self,
        statement: &[StatementFault],
        groups: &[GroupVerdict],
        own: &[CaseVerdict],
    ) -> Verdict {
        let faults = statement.iter().filter_map(|fault| match fault.weight {
            Gap::Reported => None,
            Gap::Inconclusive => Some(Verdict::Inconclusive),
            Gap::Fail => Some(Verdict::Fail),
        });
        let groups = groups.iter().filter_map(|group| group.verdict);
        let own = own.iter().filter_map(|case| case.verdict);
        let own = own.filter(|&verdict| self.settings.own_cases && verdict == Verdict::Fail);
        let folded = Verdict::fold(faults.chain(groups).chain(own));
        // Where nothing is claimed, nothing was shown.
        folded.unwrap_or(Verdict::Inconclusive)
    }
}

impl Assessment {
    /// All units of the edition, in order.
    pub fn units(&self) -> impl Iterator<Item = (&GroupVerdict, &UnitVerdict)> {
        self.groups.iter().flat_map(|group| {
            let units = group.cases.iter().flat_map(|case| &case.units);
            units.map(move |unit| (group, unit))
        })
    }

    /// Recommendations that are not met, for a reason that is given: no fault, but to be reported.
    pub fn justified(&self) -> impl Iterator<Item = &GroupVerdict> {
        let groups = self.groups.iter();
        groups.filter(|g| !g.mandatory && g.claim == Some(Support::No) && g.has_reason)
    }
}

impl GroupVerdict {
    /// A recommendation that is not met or does not apply, without a reason: what 5.0-1 is about.
    pub fn lacks_reason(&self) -> bool {
        !self.mandatory
            && !self.has_reason
            && matches!(self.claim, Some(Support::No | Support::NotApplicable))
    }
}

/// The best of several: where one is enough.
fn best(verdicts: impl IntoIterator<Item = Verdict>) -> Option<Verdict> {
    verdicts.into_iter().min_by_key(|verdict| verdict.weight())
}

/// What an edition says of a provision of v3.1.3.
#[derive(Clone, Copy, Debug)]
struct StatusIn {
    mandatory: bool,
    conditional: bool,
}

/// `None` if the edition does not have it.
fn status(edition: Edition, provision: &ProvisionId) -> Option<StatusIn> {
    match edition {
        Edition::V3 => {
            let status = &Catalogue::shipped().provision(provision)?.status;
            Some(StatusIn {
                mandatory: status.mandatory,
                conditional: !status.is_unconditional(),
            })
        }
        Edition::V2 => {
            let before: Vec<_> = Editions::shipped().before(provision).collect();
            // Where several became one, the strictest counts.
            let status = StatusIn {
                mandatory: before.iter().any(|(old, _)| old.status.mandatory),
                conditional: before
                    .iter()
                    .all(|(old, _)| !old.status.conditions.is_empty()),
            };
            (!before.is_empty()).then_some(status)
        }
    }
}

#[cfg(test)]
mod tests;
