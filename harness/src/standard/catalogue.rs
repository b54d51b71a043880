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
