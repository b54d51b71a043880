//! What a bad network does to frames: loss, delay, duplication, corruption. Seeded, so that it can be done again.

use std::time::Duration;

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde::{Deserialize, Serialize};

use crate::{error::NetworkError, plan::Direction};

/// How frames are to be treated. The default lets everything pass as it is.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Impairment {
    /// Probability that a frame is lost, 0 to 1.
    pub loss: f64,
    /// Probability that a frame is delivered twice, 0 to 1.
    pub duplication: f64,
    /// Probability that one bit of a frame is turned over, 0 to 1.
    pub corruption: f64,
    /// How long every frame is held back.
    pub delay: Duration,
    /// Up to how much longer, at random: frames overtake each other.
    pub jitter: Duration,
    /// Only frames of this direction; `None` is both.
    pub direction: Option<Direction>,
    /// Of all random choices. Which frame of a direction suffers what depends on this and on its number only.
    pub seed: u64,
}

impl Impairment {
    pub(super) fn check(&self) -> Result<(), NetworkError> {
        let probabilities = [
            ("loss", self.loss),
            ("duplication", self.duplication),
            ("corruption", self.corruption),
        ];
        for (what, value) in probabilities {
            // NaN is in no range.
            if !(0.0..=1.0).contains(&value) {
                return Err(NetworkError::Probability { what, value });
            }
        }
        Ok(())
    }
}

/// What happens to one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Lost,
    Delivered {
        delay: Duration,
        copies: usize,
        /// The number of the bit that is turned over.
        flipped: Option<usize>,
    },
}

/// The treatment of one direction.
#[derive(Debug)]
pub(super) struct Treatment {
    impairment: Impairment,
    random: StdRng,
    applies: bool,
}

impl Treatment {
    pub(super) fn new(impairment: Impairment, direction: Direction) -> Self {
        // Directions are independent: how their frames interleave changes nothing.
        let stream = match direction {
            Direction::FromDut => 0,
            Direction::ToDut => 0x9E37_79B9_7F4A_7C15,
        };
        Self {
            applies: impairment != Impairment::default()
                && impairment.direction.is_none_or(|only| only == direction),
            random: StdRng::seed_from_u64(impairment.seed ^ stream),
            impairment,
        }
    }

    /// Of the next frame, which has `length` bytes.
    pub(super) fn next(&mut self, length: usize) -> Fate {
        if !self.applies {
            return Fate::Delivered {
                delay: Duration::ZERO,
                copies: 1,
                flipped: None,
            };
        }
        // Always as many choices, so that one does not shift the others'.
        let lost = self.random.random_bool(self.impairment.loss);
        let twice = self.random.random_bool(self.impairment.duplication);
        let corrupted = self.random.random_bool(self.impairment.corruption);
        let bit: u64 = self.random.random();
        let jitter = self.impairment.jitter.mul_f64(self.random.random());
        if lost {
            return Fate::Lost;
        }
        let bits = length * 8;
        Fate::Delivered {
            delay: self.impairment.delay.saturating_add(jitter),
            copies: if twice { 2 } else { 1 },
            flipped: (corrupted && bits > 0).then(|| (bit % bits as u64) as usize),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn fates(impairment: Impairment, direction: Direction) -> Vec<Fate> {
        let mut treatment = Treatment::new(impairment, direction);
        (0..1000).map(|_| treatment.next(100)).collect()
    }

    #[test]
    fn the_same_seed_does_the_same_and_another_does_not() {
        let impairment = Impairment {
            loss: 0.3,
            duplication: 0.1,
            corruption: 0.2,
            jitter: Duration::from_millis(5),
            seed: 42,
            ..Impairment::default()
        };
        let other = Impairment {
            seed: 43,
            ..impairment
        };
        let first = fates(impairment, Direction::ToDut);
        assert_eq!(first, fates(impairment, Direction::ToDut));
        assert_ne!(first, fates(other, Direction::ToDut));
        assert_ne!(first, fates(impairment, Direction::FromDut));
        let lost = first.iter().filter(|fate| **fate == Fate::Lost).count();
        assert!((200..400).contains(&lost), "{lost} of 1000");
    }

    #[rstest]
    #[case(1.5)]
    #[case(-0.1)]
    #[case(f64::NAN)]
    fn refuses_what_is_no_probability(#[case] loss: f64) {
        let impairment = Impairment {
            loss,
            ..Impairment::default()
        };
        assert!(impairment.check().is_err());
    }

    #[test]
    fn one_direction_leaves_the_other_alone() {
        let impairment = Impairment {
            loss: 1.0,
            direction: Some(Direction::ToDut),
            ..Impairment::default()
        };
        assert!(fates(impairment, Direction::ToDut).contains(&Fate::Lost));
        assert!(!fates(impairment, Direction::FromDut).contains(&Fate::Lost));
    }
}
