//! What happened in a run, and every form in which it is told: events, evidence, results, reports.
//!
//! Knows no bench and no script, and starts nothing.

pub mod bounded;
pub mod event;
pub mod evidence;
pub mod explain;
pub mod report;
pub mod text;
