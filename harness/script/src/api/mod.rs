//! What scripts see: one file per namespace.
//!
//! The objects hold no state of their own: what they do is done by the [`Session`] that the
//! evaluator carries, so that every call is recorded there.

// No unsafe code is written here: starlark's derive of `ProvidesStaticType` expands to `unsafe impl`.
#![allow(unsafe_code)]
// It also wants results from all functions, and takes parameters as scripts give them.
#![allow(clippy::unnecessary_wraps, clippy::too_many_arguments)]

pub(crate) mod blob;
mod console;
mod context;
mod device;
mod dut;
pub(crate) mod facts;
pub(crate) mod names;
mod net;
pub(crate) mod password_rule;
mod power;
mod probe;
mod random;
mod row;
mod services;
mod verdict;

use std::ops::Deref;
use std::sync::{Arc, Weak};
use std::time::Duration;

use starlark::any::ProvidesStaticType;
use starlark::eval::Evaluator;

pub(crate) use context::{DriverContext, TestContext};
pub(crate) use dut::BY_ROW;
pub(crate) use row::IxitRow;

use super::confined::{self, Confined};
use super::error::Location;
use super::session::Session;
use super::stop::Stop;
use provebench_record::text::number;

/// The session, as the evaluator carries it.
#[derive(Debug, ProvidesStaticType)]
pub(crate) struct Host {
    pub(crate) session: Weak<Session>,
    pub(crate) confined: &'static Confined,
}

/// The session, for one call into it.
pub(crate) struct Lent {
    session: Arc<Session>,
    // Dropped after it.
    _lent: confined::Lent,
}

impl Deref for Lent {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}

impl Host {
    /// Does not return when the script was left to itself.
    pub(crate) fn lend(&self) -> Option<Lent> {
        let lent = self.confined.lend();
        Some(Lent {
            session: self.session.upgrade()?,
            _lent: lent,
        })
    }
}

/// The session that a script runs in. To be given back before the script goes on.
fn session(eval: &Evaluator<'_, '_, '_>) -> anyhow::Result<Lent> {
    let host = eval.extra.and_then(|extra| extra.downcast_ref::<Host>());
    let lent = host
        .and_then(Host::lend)
        .ok_or_else(|| anyhow::anyhow!("the device can be reached while a test unit runs only"))?;
    lent.see(eval.call_stack_top_location().as_ref().map(Location::of));
    Ok(lent)
}

/// Defines a namespace: an object without state whose functions are those of `$methods`.
macro_rules! namespace {
    ($(#[$doc:meta])* $name:ident, $word:literal, $methods:ident, $static:ident) => {
        $(#[$doc])*
        #[derive(
            Debug,
            Clone,
            Copy,
            starlark::any::ProvidesStaticType,
            starlark::values::NoSerialize,
            starlark::StarlarkPagable,
            allocative::Allocative,
        )]
        pub(super) struct $name;
        starlark::starlark_simple_value!($name);
        starlark::methods_static!($static = $methods);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str($word)
            }
        }

        #[starlark::values::starlark_value(type = $word)]
        impl<'v> starlark::values::StarlarkValue<'v> for $name {
            fn get_methods() -> Option<&'static starlark::environment::Methods> {
                Some($static.methods())
            }
        }
    };
}
use namespace;

/// Seconds as scripts give them.
fn seconds(what: &str, seconds: f64) -> Result<Duration, Stop> {
    Duration::try_from_secs_f64(seconds).map_err(|_| {
        Stop::Script(format!(
            "{what} = {} is not a valid duration in seconds",
            number(seconds)
        ))
    })
}
