//! What a test unit, case or group says about the DUT.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Verdict of a test unit, case, group or of the whole assessment (TS 103 701, clause 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Shown to hold.
    Pass,
    /// Shown not to hold, by the DUT's doing.
    Fail,
    /// Could not be decided.
    Inconclusive,
}

impl Verdict {
    /// One verdict for several: FAIL over INCONCLUSIVE over PASS. `None` if there is nothing to fold,
    /// which is "not applicable", not PASS.
    pub fn fold(verdicts: impl IntoIterator<Item = Self>) -> Option<Self> {
        verdicts.into_iter().max_by_key(|verdict| verdict.weight())
    }

    /// What weighs more decides.
    pub(crate) fn weight(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Inconclusive => 1,
            Self::Fail => 2,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::Inconclusive => "INCONCLUSIVE",
        })
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::Verdict::{self, Fail, Inconclusive, Pass};

    #[rstest]
    #[case(&[], None)]
    #[case(&[Pass], Some(Pass))]
    #[case(&[Pass, Pass], Some(Pass))]
    #[case(&[Pass, Inconclusive, Pass], Some(Inconclusive))]
    #[case(&[Inconclusive, Fail], Some(Fail))]
    #[case(&[Fail, Inconclusive], Some(Fail))]
    #[case(&[Fail, Pass], Some(Fail))]
    #[case(&[Pass, Fail], Some(Fail))]
    fn folds_to_the_worst(#[case] verdicts: &[Verdict], #[case] folded: Option<Verdict>) {
        assert_eq!(Verdict::fold(verdicts.iter().copied()), folded);
    }

    #[test]
    fn is_a_kebab_word_in_files_and_capitals_for_people() {
        assert_eq!(
            serde_json::to_string(&Inconclusive).unwrap(),
            "\"inconclusive\""
        );
        assert_eq!(format!("[{Fail:<6}]"), "[FAIL  ]");
    }
}
