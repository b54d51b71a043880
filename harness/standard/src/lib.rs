//! The standard's words: provisions, test groups and cases, ICS, IXIT and verdicts. Pure, no I/O.

pub mod assessment;
mod catalogue;
mod compiled;
mod conformance;
pub mod cryptography;
pub mod declared;
pub mod editions;
pub mod explain;
mod guidance;
mod id;
pub mod model;
mod pro_forma;
mod row;
pub mod rules;
pub mod schemes;
pub mod suggest;
mod tables;
mod unit;
mod verdict;

pub use catalogue::{
    CaseInfo, CaseKind, Catalogue, Decision, FieldRef, Group, InvalidRef, Provision, Status,
    UnitId, UnitInfo,
};
pub use conformance::{Claim, Fault, Ics, Ixit, Support};
pub use guidance::{Guidance, Known, Source};
pub use id::{CaseId, IdError, ProvisionId};
pub use pro_forma::{Basis, Entry, FieldKind, IxitField, IxitRule, IxitTable, ProForma};
pub use row::Row;
pub use tables::IXIT_TABLES;
pub use unit::{InvalidUnitName, UnitName};
pub use verdict::Verdict;
