//! What the standards ask: provisions, test groups, cases and units, from the data that is compiled in.

mod group;
mod provision;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

pub use group::{CaseInfo, CaseKind, Decision, FieldRef, Group, InvalidRef, UnitId, UnitInfo};
pub use provision::{Provision, Status};

use crate::compiled::compiled_in;
use crate::{CaseId, ProvisionId};
use group::{Groups, OwnCase};

/// The provisions of EN 303 645 v3.1.3 and the test groups, cases and units of TS 103 701 v2.1.1 for them.
///
/// Groups and what is in them are parsed when they are asked for first.
#[derive(Debug)]
pub struct Catalogue {
    provisions: BTreeMap<ProvisionId, Provision>,
    conditions: BTreeMap<String, String>,
    features: BTreeMap<String, String>,
    clauses: BTreeMap<String, String>,
    groups: LazyLock<Groups>,
}

impl Catalogue {
    /// The catalogue that is compiled in.
    pub fn shipped() -> &'static Self {
        static SHIPPED: LazyLock<Catalogue> = LazyLock::new(|| {
            let ProvisionsFile {
                condition,
                feature,
                clause,
                provision,
            } = compiled_in(include_str!("../data/en-303-645-v3.1.3/provisions.toml"));
            let own = own().provision;
            let provisions = provision.into_iter().chain(own);
            Catalogue {
                provisions: provisions
                    .map(|(id, ProvisionData { status, title })| {
                        (id.clone(), Provision { id, title, status })
                    })
                    .collect(),
                conditions: condition,
                features: feature,
                clauses: clause,
                groups: LazyLock::new(|| Groups::shipped(own_cases())),
            }
        });
        &SHIPPED
    }

    /// A provision, by its identifier.
    pub fn provision(&self, id: &ProvisionId) -> Option<&Provision> {
        self.provisions.get(id)
    }

    /// All provisions, in the standard's order; after them, what is tested under a word of ours.
    pub fn provisions(&self) -> impl Iterator<Item = &Provision> {
        self.provisions.values()
    }

    /// The test group for a provision.
    pub fn group(&self, id: &ProvisionId) -> Option<&Group> {
        self.groups.groups.get(id)
    }

    /// All test groups, in the standard's order.
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.groups.values()
    }

    /// A test case, by its identifier.
    pub fn case(&self, id: &CaseId) -> Option<&CaseInfo> {
        self.groups.cases.get(id)
    }

    /// All test cases, in the standard's order; after them, those of ours.
    pub fn cases(&self) -> impl Iterator<Item = &CaseInfo> {
        self.groups.cases.values()
    }

    /// A test unit.
    pub fn unit(&self, id: &UnitId) -> Option<&UnitInfo> {
        self.case(&id.case)?.units.get(&id.letter)
    }

    /// All test units of TS 103 701, in its order.
    pub fn units(&self) -> impl Iterator<Item = (UnitId, &UnitInfo)> {
        let cases = self.groups().flat_map(|group| &group.cases);
        let cases = cases.filter_map(|id| self.case(id));
        cases.flat_map(|case| {
            case.units.iter().map(|(&letter, unit)| {
                let case = case.id.clone();
                (UnitId { case, letter }, unit)
            })
        })
    }

    /// What a condition says.
    pub fn condition(&self, key: &str) -> Option<&str> {
        self.conditions.get(key).map(String::as_str)
    }

    /// All conditions, with what they say, in the standard's order.
    pub fn conditions(&self) -> Vec<(&str, &str)> {
        in_order(&self.conditions)
    }

    /// What a feature is.
    pub fn feature(&self, key: &str) -> Option<&str> {
        self.features.get(key).map(String::as_str)
    }

    /// All features, with what they are, in the standard's order.
    pub fn features(&self) -> Vec<(&str, &str)> {
        in_order(&self.features)
    }

    /// What the provisions of a clause, such as `5.11`, are about.
    pub fn clause(&self, clause: &str) -> Option<&str> {
        self.clauses.get(clause).map(String::as_str)
    }
}

/// `9` before `10`, `z` before `aa`.
fn in_order(texts: &BTreeMap<String, String>) -> Vec<(&str, &str)> {
    let texts = texts
        .iter()
        .map(|(key, text)| (key.as_str(), text.as_str()));
    let mut texts: Vec<_> = texts.collect();
    texts.sort_by_key(|(key, _)| (key.len(), *key));
    texts
}

fn own() -> OwnFile {
    compiled_in(include_str!("../data/own-cases.toml"))
}

fn own_cases() -> Vec<OwnCase> {
    own().case
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProvisionsFile {
    condition: BTreeMap<String, String>,
    feature: BTreeMap<String, String>,
    clause: BTreeMap<String, String>,
    provision: BTreeMap<ProvisionId, ProvisionData>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProvisionData {
    status: Status,
    title: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OwnFile {
    provision: BTreeMap<ProvisionId, ProvisionData>,
    case: Vec<OwnCase>,
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn provisions_come_in_the_order_of_the_standard() {
        let ids: Vec<String> = Catalogue::shipped()
            .provisions()
            .map(|p| p.id.to_string())
            .collect();
        let at = |id: &str| ids.iter().position(|other| other == id).unwrap();
        assert!(at("5.1-2") < at("5.1-2A") && at("5.1-2A") < at("5.1-3"));
        assert!(
            at("5.2-3") < at("5.3-1") && at("5.3-9") < at("5.3-10") && at("5.13-1B") < at("6-1")
        );
    }

    #[test]
    fn conditions_and_features_come_in_the_order_of_the_standard() {
        let keys = |texts: Vec<(&'static str, &str)>| {
            let keys = texts.into_iter().map(|(key, _)| key);
            keys.collect::<Vec<_>>().join(" ")
        };
        let catalogue = Catalogue::shipped();
        assert_eq!(keys(catalogue.conditions()), "3 12 14 15 16");
        assert_eq!(
            keys(catalogue.features()),
            "a b c d e f g h i j k l m n o p q r s t u v w x y z aa"
        );
    }

    #[rstest]
    #[case("5.11-1-2", "abcd", &["10-SecParam", "21-PersData", "25-DelFunc"])]
    #[case("5.3-9-2", "ab", &["7-UpdMech"])]
    #[case("5.6-4A-2", "ab", &["15-PhyIntf"])]
    #[case("5.0-1-1", "a", &[])]
    fn cases_are_found(#[case] id: &str, #[case] letters: &str, #[case] ixit: &[&str]) {
        let case = Catalogue::shipped().case(&id.parse().unwrap()).unwrap();
        assert_eq!(case.units.keys().collect::<String>(), letters);
        assert_eq!(case.ixit, ixit);
    }

    #[test]
    fn what_is_not_in_the_data_is_not_found() {
        let catalogue = Catalogue::shipped();
        assert!(catalogue.case(&"5.11-1-9".parse().unwrap()).is_none());
        assert!(catalogue.provision(&"5.14-1".parse().unwrap()).is_none());
        assert!(catalogue.group(&"5.14-1".parse().unwrap()).is_none());
        assert!(catalogue.unit(&"5.11-1-2 e".parse().unwrap()).is_none());
    }

    #[test]
    fn who_decides_is_told() {
        let case = Catalogue::shipped()
            .case(&"5.6-1-2".parse().unwrap())
            .unwrap();
        let who: Vec<Decision> = case.units.values().map(|unit| unit.who).collect();
        assert_eq!(who, [Decision::Bench, Decision::Person, Decision::Bench]);
    }

    #[test]
    fn what_is_ours_is_found_by_its_word_and_is_no_group() {
        let catalogue = Catalogue::shipped();
        let telemetry: CaseId = "telemetry-1".parse().unwrap();
        assert_eq!(catalogue.case(&telemetry).unwrap().units.len(), 4);
        assert!(catalogue.provision(&telemetry.provision).is_some());
        assert!(catalogue.group(&telemetry.provision).is_none());
    }
}
