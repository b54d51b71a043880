//! Hardware-in-the-loop test harness for ETSI EN 303 645, assessed as ETSI TS 103 701 says.
//!
//! Dependencies point one way: `cli -> doctor -> runner -> {script, bench} -> inventory -> standard`,
//! and `report -> {event, evidence, standard}`.

pub mod bench;
mod bounded;
pub mod cli;
mod confine;
pub mod doctor;
pub mod event;
pub mod evidence;
mod explain;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod inventory;
pub mod redact;
pub mod report;
pub mod runner;
pub mod scan;
pub mod script;
pub mod standard;
pub mod text;
