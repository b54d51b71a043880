//! Consumers of events and evidence: terminal, JUnit, `results.json`.

mod attempts;
pub mod changes;
mod changes_text;
mod earlier;
mod format;
mod journal;
pub mod junit;
mod reporter;
mod results;
mod sound;
mod summary;
mod terminal;

pub use attempts::AttemptResult;
pub use changes::Changes;
pub use earlier::{EarlierError, find};
pub use format::OtherFormat;
pub use journal::{Journal, JournalError};
pub use reporter::Reporter;
pub use results::{CaseResult, Counts, DeviceResult, Results};
pub use summary::{plain_table, summary};
pub use terminal::Terminal;
