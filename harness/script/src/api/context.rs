//! `t`, what a test unit is given, and `d`, what a driver's function is given.

use std::fmt;
use std::sync::Arc;

use allocative::Allocative;
use starlark::any::ProvidesStaticType;
use starlark::environment::{Methods, MethodsBuilder};
use starlark::values::none::{NoneOr, NoneType};
use starlark::values::{NoSerialize, StarlarkPagablePanic, StarlarkValue, starlark_value};
use starlark::{starlark_module, starlark_simple_value};

use super::device::common_methods;
use super::dut::Dut;
use super::facts::Facts;
use super::random::random_methods;
use super::verdict::test_methods;

macro_rules! context {
    ($(#[$doc:meta])* $name:ident, $word:literal, $methods:ident, $build:ident) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Default, ProvidesStaticType, NoSerialize, StarlarkPagablePanic, Allocative,
        )]
        pub(crate) struct $name {
            #[allocative(skip)]
            facts: Arc<Facts>,
        }
        starlark_simple_value!($name);
        starlark::methods_static!($methods = $build);

        impl $name {
            pub(crate) fn new(facts: Arc<Facts>) -> Self {
                Self { facts }
            }

            pub(super) fn facts(&self) -> &Facts {
                &self.facts
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($word)
            }
        }

        #[starlark_value(type = $word)]
        impl<'v> StarlarkValue<'v> for $name {
            fn get_methods() -> Option<&'static Methods> {
                Some($methods.methods())
            }
        }
    };
}

context!(
    /// The `t` of a test unit.
    TestContext,
    "t",
    TEST_METHODS,
    test_context
);
context!(
    /// The `d` of a driver.
    DriverContext,
    "d",
    DRIVER_METHODS,
    driver_only
);

fn test_context(builder: &mut MethodsBuilder) {
    driver_context(builder);
    test_methods(builder);
    dut_methods(builder);
}

/// `t` has none of these: a test case says itself which password it offers.
fn driver_only(builder: &mut MethodsBuilder) {
    driver_context(builder);
    memory_methods(builder);
}

fn driver_context(builder: &mut MethodsBuilder) {
    common_methods(builder);
    random_methods(builder);
}

#[starlark_module]
fn dut_methods(builder: &mut MethodsBuilder) {
    /// The DUT as its driver drives it.
    #[starlark(attribute)]
    fn dut<'v>(this: &TestContext) -> anyhow::Result<Dut> {
        let _ = this;
        Ok(Dut)
    }
}

#[starlark_module]
fn memory_methods(builder: &mut MethodsBuilder) {
    /// The password in force: the one that was set last, else that on the label; None without either.
    #[starlark(attribute)]
    fn password<'v>(this: &DriverContext) -> anyhow::Result<NoneOr<String>> {
        Ok(NoneOr::from_option(this.facts().password()))
    }

    /// Says which password is in force; None for that on the label.
    fn set_password<'v>(
        this: &DriverContext,
        #[starlark(require = pos)] password: NoneOr<String>,
    ) -> anyhow::Result<NoneType> {
        this.facts().memory().say(password.into_option());
        Ok(NoneType)
    }
}
