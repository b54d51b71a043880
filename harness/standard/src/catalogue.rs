//! What the standards ask: provisions and test cases, from the data that is compiled in.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::{CaseId, ProvisionId};

/// The provisions of EN 303 645 v3.1.3 and the test cases of TS 103 701 v2.1.1 for them.
#[derive(Debug)]
pub struct Catalogue {
    provisions: BTreeMap<ProvisionId, Provision>,
    cases: BTreeMap<CaseId, CaseInfo>,
    conditions: BTreeMap<String, String>,
    features: BTreeMap<String, String>,
}

/// One requirement of EN 303 645.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provision {
    /// Its identifier.
    pub id: ProvisionId,
    /// What it is about, in our words.
    pub title: String,
    /// Whether it binds, and when.
    pub status: Status,
}

/// Status of a provision (EN 303 645, table B.1).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Status {
    /// Mandatory, else recommended.
    pub mandatory: bool,
    /// It applies under this condition: a key of [`Catalogue::condition`].
    pub condition: Option<String>,
    /// It applies if the device has this feature: a key of [`Catalogue::feature`].
    pub feature: Option<String>,
}

/// One test case of TS 103 701.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseInfo {
    /// Its identifier.
    pub id: CaseId,
    /// The IXIT tables that it reads.
    pub ixit: Vec<String>,
    /// Its test units, by letter.
    pub units: BTreeMap<char, UnitInfo>,
}

/// One test unit of a test case.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnitInfo {
    /// What must be shown.
    pub shows: String,
    /// What a bench does.
    pub how: String,
    /// Who decides.
    pub who: Decision,
}

/// Who can decide a test unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// The bench, by machine.
    Bench,
    /// A person, from evidence that the bench gathers.
    Assist,
    /// Only a person.
    Person,
}

impl Catalogue {
    /// The catalogue that is compiled in.
    pub fn shipped() -> &'static Self {
        static SHIPPED: LazyLock<Catalogue> = LazyLock::new(|| {
            Catalogue::parse(
                include_str!("data/ts-103-701-v2.1.1/provisions.toml"),
                include_str!("data/ts-103-701-v2.1.1/cases.toml"),
            )
            .expect("the data is compiled in, and tested")
        });
        &SHIPPED
    }

    fn parse(provisions: &str, cases: &str) -> Result<Self, toml::de::Error> {
        let ProvisionsFile {
            condition,
            feature,
            provision,
        } = toml::from_str(provisions)?;
        let CasesFile { case } = toml::from_str(cases)?;
        Ok(Self {
            provisions: provision
                .into_iter()
                .map(|(id, ProvisionData { status, title })| {
                    (id.clone(), Provision { id, title, status })
                })
                .collect(),
            cases: case
                .into_iter()
                .map(|CaseData { id, ixit, unit }| {
                    (
                        id.clone(),
                        CaseInfo {
                            id,
                            ixit,
                            units: unit,
                        },
                    )
                })
                .collect(),
            conditions: condition,
            features: feature,
        })
    }

    /// A provision, by its identifier.
    pub fn provision(&self, id: &ProvisionId) -> Option<&Provision> {
        self.provisions.get(id)
    }

    /// All provisions, in the standard's order.
    pub fn provisions(&self) -> impl Iterator<Item = &Provision> {
        self.provisions.values()
    }

    /// A test case, by its identifier; `None` also for those that the data does not have yet.
    pub fn case(&self, id: &CaseId) -> Option<&CaseInfo> {
        self.cases.get(id)
    }

    /// All test cases that the data has, in the standard's order.
    pub fn cases(&self) -> impl Iterator<Item = &CaseInfo> {
        self.cases.values()
    }

    /// What a condition says.
    pub fn condition(&self, key: &str) -> Option<&str> {
        self.conditions.get(key).map(String::as_str)
    }

    /// What a feature is.
    pub fn feature(&self, key: &str) -> Option<&str> {
        self.features.get(key).map(String::as_str)
    }
}

impl Status {
    /// It applies to every product.
    pub fn is_unconditional(&self) -> bool {
        self.condition.is_none() && self.feature.is_none()
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.mandatory { "M" } else { "R" })?;
        if let Some(condition) = &self.condition {
            write!(f, " C ({condition})")?;
        }
        if let Some(feature) = &self.feature {
            write!(f, " F ({feature})")?;
        }
        Ok(())
    }
}

impl FromStr for Status {
    type Err = String;

    /// `M`, `R F g`, `M C 14 F e`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a status, such as `M` or `R C 12 F g`");
        let mut words = text.split(' ');
        let mandatory = match words.next() {
            Some("M") => true,
            Some("R") => false,
            _ => return Err(wrong()),
        };
        let mut status = Self {
            mandatory,
            condition: None,
            feature: None,
        };
        while let Some(kind) = words.next() {
            let key = words.next().ok_or_else(wrong)?.to_owned();
            match kind {
                "C" => status.condition = Some(key),
                "F" => status.feature = Some(key),
                _ => return Err(wrong()),
            }
        }
        Ok(status)
    }
}

impl TryFrom<String> for Status {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProvisionsFile {
    condition: BTreeMap<String, String>,
    feature: BTreeMap<String, String>,
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
struct CasesFile {
    case: Vec<CaseData>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseData {
    id: CaseId,
    ixit: Vec<String>,
    unit: BTreeMap<char, UnitInfo>,
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::super::IXIT_TABLES;
    use super::*;

    #[rstest]
    #[case("M", true, None, None)]
    #[case("R F g", false, None, Some("g"))]
    #[case("M C 14 F e", true, Some("14"), Some("e"))]
    fn status_is_read(
        #[case] text: &str,
        #[case] mandatory: bool,
        #[case] condition: Option<&str>,
        #[case] feature: Option<&str>,
    ) {
        let status: Status = text.parse().unwrap();
        assert_eq!(status.mandatory, mandatory);
        assert_eq!(
            (status.condition.as_deref(), status.feature.as_deref()),
            (condition, feature)
        );
    }

    #[rstest]
    #[case("")]
    #[case("O")]
    #[case("M C")]
    #[case("M X 1")]
    #[case("M  F g")]
    fn other_text_is_no_status(#[case] text: &str) {
        assert!(text.parse::<Status>().is_err());
    }

    #[test]
    fn status_is_shown_as_in_the_standard() {
        let status = |text: &str| text.parse::<Status>().unwrap().to_string();
        assert_eq!(status("M"), "M");
        assert_eq!(status("M C 14 F e"), "M C (14) F (e)");
    }

    #[test]
    fn every_case_is_of_a_known_provision_and_reads_known_tables() {
        let catalogue = Catalogue::shipped();
        for case in catalogue.cases() {
            assert!(
                catalogue.provision(&case.id.provision).is_some(),
                "{}",
                case.id
            );
            for table in &case.ixit {
                assert!(
                    IXIT_TABLES.contains(&table.as_str()),
                    "{}: {table}",
                    case.id
                );
            }
        }
    }

    #[test]
    fn units_are_lettered_from_a_without_gaps() {
        for case in Catalogue::shipped().cases() {
            let letters: String = case.units.keys().collect();
            assert!(!letters.is_empty(), "{}", case.id);
            assert!(
                "abcdefghijklmnopqrstuvwxyz".starts_with(&letters),
                "{}: {letters}",
                case.id
            );
        }
    }

    #[test]
    fn every_status_depends_on_known_conditions_and_features() {
        let catalogue = Catalogue::shipped();
        for provision in catalogue.provisions() {
            let Status {
                condition, feature, ..
            } = &provision.status;
            assert!(
                condition
                    .iter()
                    .all(|key| catalogue.condition(key).is_some()),
                "{provision:?}"
            );
            assert!(
                feature.iter().all(|key| catalogue.feature(key).is_some()),
                "{provision:?}"
            );
        }
    }

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

    #[rstest]
    #[case("5.11-1-2", "abcd", &["10-SecParam", "21-PersData", "25-DelFunc"])]
    #[case("5.3-9-2", "ab", &["7-UpdMech"])]
    #[case("5.6-4A-2", "ab", &["15-PhyIntf"])]
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
    }

    #[test]
    fn who_decides_is_told() {
        let case = Catalogue::shipped()
            .case(&"5.6-1-2".parse().unwrap())
            .unwrap();
        let who: Vec<Decision> = case.units.values().map(|unit| unit.who).collect();
        assert_eq!(who, [Decision::Bench, Decision::Person, Decision::Bench]);
    }
}
