//! Consumers of events and evidence: terminal, JUnit, `results.json`.

mod attempts;
pub mod changes;
mod changes_text;
mod compare;
mod earlier;
mod format;
mod journal;
pub mod junit;
mod reporter;
mod results;
mod sound;
mod summary;
mod terminal;
mod unreadable;

pub use attempts::{AttemptResult, CaseResult};
pub use changes::Changes;
pub use earlier::find;
pub use format::OtherFormat;
pub use journal::Journal;
pub use reporter::Reporter;
pub use results::{Counts, DeviceResult, Results};
pub use summary::{plain_table, summary};
pub use terminal::Terminal;
pub use unreadable::{EarlierError, JournalError};
