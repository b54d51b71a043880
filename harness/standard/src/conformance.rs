//! What the supplier declares: ICS (what is claimed) and IXIT (how it is done).

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::{Catalogue, IXIT_TABLES, ProvisionId};

/// Implementation conformance statement: what the supplier claims for each provision.
///
/// ```toml
/// "5.1-1" = { support = "yes", detail = "password per device, on the label" }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ics(BTreeMap<ProvisionId, Claim>);

/// The claim for one provision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// Whether the provision is met.
    pub support: Support,
    /// How, or why not.
    #[serde(default)]
    pub detail: String,
}

/// Whether a provision is claimed to be met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum Support {
    /// Met.
    #[serde(rename = "yes")]
    Yes,
    /// Not met.
    #[serde(rename = "no")]
    No,
    /// The condition or feature that the provision depends on is absent.
    #[serde(rename = "n/a")]
    NotApplicable,
}

impl Ics {
    /// Parses `ics.toml`. All faults are told, not only the first.
    pub fn parse(text: &str) -> Result<Self, Vec<Fault>> {
        let entries: BTreeMap<Spanned<String>, Claim> =
            toml::from_str(text).map_err(|err| vec![Fault::malformed(&err)])?;
        let catalogue = Catalogue::shipped();
        let mut claims = BTreeMap::new();
        let mut faults = Vec::new();
        for (key, claim) in entries {
            match key.get_ref().parse::<ProvisionId>() {
                Ok(id) if catalogue.provision(&id).is_some() => {
                    claims.insert(id, claim);
                }
                Ok(_) => faults.push(Fault::unknown(
                    &key,
                    "provision",
                    catalogue
                        .provisions()
                        .map(|provision| provision.id.to_string()),
                )),
                Err(err) => faults.push(Fault::Malformed {
                    message: err.to_string(),
                    span: Some(key.span()),
                }),
            }
        }
        if faults.is_empty() {
            Ok(Self(claims))
        } else {
            Err(faults)
        }
    }

    /// The claim for a provision; `None` if the supplier says nothing about it.
    pub fn get(&self, provision: &ProvisionId) -> Option<&Claim> {
        self.0.get(provision)
    }

    /// All claims, in the standard's order.
    pub fn iter(&self) -> impl Iterator<Item = (&ProvisionId, &Claim)> {
        self.0.iter()
    }
}

impl FromIterator<(ProvisionId, Claim)> for Ics {
    fn from_iter<I: IntoIterator<Item = (ProvisionId, Claim)>>(claims: I) -> Self {
        Self(claims.into_iter().collect())
    }
}

/// Implementation extra information for testing: how the supplier did it, in 29 tables of entries.
///
/// ```toml
/// [[1-AuthMech]]
/// id = "AuthMech-Console"
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ixit(BTreeMap<String, Vec<toml::Table>>);

impl Ixit {
    /// Parses `ixit.toml`. All faults are told, not only the first.
    pub fn parse(text: &str) -> Result<Self, Vec<Fault>> {
        let tables: BTreeMap<Spanned<String>, Vec<toml::Table>> =
            toml::from_str(text).map_err(|err| vec![Fault::malformed(&err)])?;
        let faults: Vec<Fault> = tables
            .keys()
            .filter(|name| !IXIT_TABLES.contains(&name.get_ref().as_str()))
            .map(|name| Fault::unknown(name, "IXIT table", IXIT_TABLES))
            .collect();
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(Self(
            tables
                .into_iter()
                .map(|(name, entries)| (name.into_inner(), entries))
                .collect(),
        ))
    }

    /// The entries of a table; `None` if the supplier filled in none.
    pub fn table(&self, name: &str) -> Option<&[toml::Table]> {
        self.0.get(name).map(Vec::as_slice)
    }

    /// The tables that the supplier filled in.
    pub fn tables(&self) -> impl Iterator<Item = (&str, &[toml::Table])> {
        self.0
            .iter()
            .map(|(name, entries)| (name.as_str(), entries.as_slice()))
    }
}

/// What is wrong in a declaration, and at which bytes of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Not TOML, or not of the shape that it must have.
    Malformed {
        /// What the parser says.
        message: String,
        /// Where, if the parser knows.
        span: Option<Range<usize>>,
    },
    /// A name that the standard does not have.
    Unknown {
        /// What was looked for.
        what: &'static str,
        /// The name.
        name: String,
        /// The names that there are.
        known: Vec<String>,
        /// Where.
        span: Range<usize>,
    },
}

impl Fault {
    fn malformed(err: &toml::de::Error) -> Self {
        Self::Malformed {
            message: err.message().to_owned(),
            span: err.span(),
        }
    }

    fn unknown(
        name: &Spanned<String>,
        what: &'static str,
        known: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        Self::Unknown {
            what,
            name: name.get_ref().clone(),
            known: known.into_iter().map(Into::into).collect(),
            span: name.span(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_come_in_the_order_of_the_standard() {
        let ics = "\"5.11-1\" = { support = \"yes\" }\n\"5.2-1\" = { support = \"no\", detail = \"not yet\" }";
        let ics = Ics::parse(ics).unwrap();
        let claims: Vec<_> = ics
            .iter()
            .map(|(id, claim)| (id.to_string(), claim.support))
            .collect();
        assert_eq!(
            claims,
            [
                ("5.2-1".to_owned(), Support::No),
                ("5.11-1".to_owned(), Support::Yes)
            ]
        );
    }

    #[test]
    fn an_empty_declaration_declares_nothing() {
        assert_eq!(Ics::parse("").unwrap().iter().count(), 0);
        assert_eq!(Ixit::parse("").unwrap().tables().count(), 0);
    }

    #[test]
    fn all_faults_are_told_with_their_places() {
        let text = "\"5.1\" = { support = \"yes\" }\n\"5.99-1\" = { support = \"yes\" }\n";
        let faults = Ics::parse(text).unwrap_err();
        let spans: Vec<_> = faults
            .iter()
            .map(|fault| match fault {
                Fault::Malformed { span, .. } => &text[span.clone().unwrap()],
                Fault::Unknown { span, .. } => &text[span.clone()],
            })
            .collect();
        assert_eq!(spans, ["\"5.1\"", "\"5.99-1\""]);
    }

    #[test]
    fn entries_of_a_table_keep_their_order() {
        let ixit = Ixit::parse("[[7-UpdMech]]\nid = \"b\"\n[[7-UpdMech]]\nid = \"a\"\n").unwrap();
        let ids: Vec<_> = ixit
            .table("7-UpdMech")
            .unwrap()
            .iter()
            .map(|entry| entry["id"].as_str())
            .collect();
        assert_eq!(ids, [Some("b"), Some("a")]);
    }
}
