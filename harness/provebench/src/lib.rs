//! Hardware-in-the-loop test harness for ETSI EN 303 645, assessed as ETSI TS 103 701 says.
//!
//! Dependencies point one way: `cli -> run -> doctor -> runner`, and below them the crates `script -> bench -> network ->
//! record -> standard`.

pub mod cli;
pub mod doctor;
pub mod redact;
pub mod run;
pub mod runner;
pub mod scan;

pub use run::run;
