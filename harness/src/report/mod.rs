//! Consumers of events and evidence: terminal, JUnit, `results.json`.

pub mod junit;
mod results;
pub mod text;

pub use results::{CaseResult, Counts, DeviceResult, Results};
