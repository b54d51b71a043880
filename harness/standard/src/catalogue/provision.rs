//! Provisions of EN 303 645, and when they apply.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

use crate::ProvisionId;

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
    /// It applies under this condition: a key of [`Catalogue::condition`](super::Catalogue::condition).
    pub condition: Option<String>,
    /// It applies if the device has this feature: a key of [`Catalogue::feature`](super::Catalogue::feature).
    pub feature: Option<String>,
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

#[cfg(test)]
mod tests {
    use rstest::rstest;

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
}
