//! The Starlark host: test cases and product drivers, and the API that they see.

mod api;
mod attestation;
mod confined;
mod declaration;
mod driver;
mod error;
mod limit;
mod lint;
mod memory;
mod module;
mod noise;
mod offer;
mod outcome;
mod plain;
mod private_keys;
mod rows;
mod run;
mod session;
mod show;
mod source;
mod stop;
mod suite;
mod unseen;

pub use attestation::{Attestation, AttestationError, Attestations};
pub use declaration::{Sample, State};
pub use driver::Driver;
pub use error::{Location, Problem, ScriptError};
pub use limit::{Limit, Stopped};
pub use memory::Memory;
pub use offer::{Offer, PERSONALISE, PROVISION};
pub use outcome::{DriverFailure, UnitEnd};
pub use rows::UnitRun;
pub use session::{Given, Session, Setup, Sink};
pub use suite::{Case, Suite, Unit};
