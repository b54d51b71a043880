//! The Starlark host: test cases and product drivers, and the API that they see.

mod api;
mod declaration;
mod driver;
mod error;
mod limit;
mod lint;
mod module;
mod need;
mod outcome;
mod show;
mod source;
mod suite;

pub use declaration::{Sample, State};
pub use driver::Driver;
pub use error::{Location, Problem, ScriptError};
pub use limit::{Limit, Stopped};
pub use need::{Need, Offer, UnknownNeed};
pub use outcome::{DriverFailure, UnitResult};
pub use suite::{Case, Suite, Unit};
