//! What the supplier declares, typed and checked: ICS and IXIT, with the place of everything in its file.
//!
//! Whatever is wrong is told at once, and what is right is read all the same. A rule between fields is checked on
//! values only, never on prose: where a value is missing, the rule is told to be unchecked, and what would let it be
//! checked.

mod facts;
mod finding;
mod ics;
mod ixit;
mod node;
mod rules;
mod schema;
mod source;

pub use facts::{FactInfo, FactKind, facts, facts_of};
pub use finding::{Finding, Kind};
pub use ics::{Answer, Party, Statement};
pub use ixit::{Declared, DeclaredRow, Field, OWN, Value};
pub use rules::check;
pub use schema::{ics_schema, ixit_schema};
pub use source::{Place, Source, Sources};
