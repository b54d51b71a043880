//! Who is told of a run as it goes.

use super::results::Results;
use crate::event::Stamped;

/// Whoever is told of a run as it goes: a terminal, a test, whoever sends it elsewhere.
pub trait Reporter {
    /// Takes in what happened next, which is in the journal; `results` have it already.
    fn report(&mut self, stamped: &Stamped, results: &Results);
}

impl<F: FnMut(&Stamped, &Results)> Reporter for F {
    fn report(&mut self, stamped: &Stamped, results: &Results) {
        self(stamped, results);
    }
}
