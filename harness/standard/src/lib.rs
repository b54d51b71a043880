//! The standard's words: provisions, cases, ICS, IXIT and verdicts. Pure, no I/O.

mod catalogue;
mod conformance;
mod id;
mod row;
mod unit;
mod verdict;

pub use catalogue::{CaseInfo, Catalogue, Decision, Provision, Status, UnitInfo};
pub use conformance::{Claim, Fault, IXIT_TABLES, Ics, Ixit, Support};
pub use id::{CaseId, IdError, ProvisionId};
pub use row::Row;
pub use unit::{InvalidUnitName, UnitName};
pub use verdict::Verdict;
