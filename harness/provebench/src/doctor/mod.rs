//! Whether a bench can do its part, found out before a run does: what was looked at, what is wrong, and what to do.
//!
//! Looking disturbs no DUT: nothing is switched, reset, halted or programmed. [`Mode::Active`] does what a run will do.

mod act;
mod clock;
mod device;
mod findings;
mod history;
mod leftovers;
mod listen;
mod machine;
mod rights;

pub use device::{Mode, examine};
pub use findings::{Finding, Findings, Level};
pub use history::History;
pub use leftovers::{Tidied, tidy};
pub use machine::of_machine;
