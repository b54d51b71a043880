//! Consumers of events and evidence: terminal, JUnit, `results.json`.

pub mod junit;
mod results;
mod summary;
mod terminal;
pub mod text;

pub use results::{CaseResult, Counts, DeviceResult, Results};
pub use summary::{plain_table, summary};
pub use terminal::Terminal;
