//! `t`, what a test unit is given, and `d`, what a driver's function is given.

use std::fmt;
use std::sync::Arc;

use allocative::Allocative;
use serde_json::json;
use starlark::any::ProvidesStaticType;
use starlark::environment::{Methods, MethodsBuilder};
use starlark::eval::Evaluator;
use starlark::values::dict::DictRef;
use starlark::values::none::{NoneOr, NoneType};
use starlark::values::{
    NoSerialize, StarlarkPagablePanic, StarlarkValue, Value, ValueLike, starlark_value,
};
use starlark::{starlark_module, starlark_simple_value};

use super::device::common_methods;
use super::dut::Dut;
use super::facts::{Facts, label_field};
use super::random::random_methods;
use super::row::IxitRow;
use super::session;
use super::verdict::test_methods;
use crate::show;
use crate::stop::Stop;
use provebench_standard::Row;

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
    secret_methods(builder);
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
fn secret_methods(builder: &mut MethodsBuilder) {
    /// The secret of a row, as the device was delivered with it or is set up with it; of another device, if one is given.
    fn secret<'v>(
        this: &TestContext,
        row: Value<'v>,
        #[starlark(default = NoneOr::None)] device: NoneOr<Value<'v>>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<String> {
        let heap = eval.heap();
        let session = session(eval)?;
        session.step("secret", json!({ "row": show::json(row) }), |_| {
            let row = row.downcast_ref::<IxitRow>().ok_or_else(|| {
                Stop::Script(format!("{} is no row of the IXIT", show::value(row)))
            })?;
            let Row { table, id, .. } = row.row();
            let field = label_field(row.row()).ok_or_else(|| {
                Stop::Inconclusive(format!(
                    "IXIT {table}: {id} does not say with `label` which field of the device's label has its value"
                ))
            })?;
            let facts = this.facts();
            let (secret, whose) = match device.into_option() {
                None => (facts.on_label(&field).map(str::to_owned), facts.name().to_owned()),
                Some(device) => {
                    let attribute = |name| device.get_attr(name, heap).ok().flatten();
                    let label = attribute("label").and_then(DictRef::from_value);
                    let secret = label.and_then(|label| label.get_str(&field));
                    let secret = secret.and_then(|text| text.unpack_str().map(str::to_owned));
                    (secret, attribute("name").map_or_else(String::new, show::argument))
                }
            };
            secret.ok_or_else(|| {
                Stop::Inconclusive(format!(
                    "devices.toml has no `{field}` in the label of {whose}, where the secret of IXIT {table}, {id}, is to be"
                ))
            })
        })
    }
}

#[starlark_module]
fn memory_methods(builder: &mut MethodsBuilder) {
    /// The secret in force of a row of IXIT 1-AuthMech, by its id: the one that was set last, else that on the label.
    fn secret<'v>(
        this: &DriverContext,
        #[starlark(require = pos)] id: &str,
    ) -> anyhow::Result<String> {
        let facts = this.facts();
        let field = secret_field(facts, id)?;
        let secret = facts.in_force(field).ok_or_else(|| {
            Stop::Script(format!(
                "devices.toml has no `{field}` in the label of {}",
                facts.name()
            ))
        })?;
        Ok(secret)
    }

    /// Says which secret of a row is in force; None for that on the label.
    fn set_secret<'v>(
        this: &DriverContext,
        #[starlark(require = pos)] id: &str,
        #[starlark(require = pos)] secret: NoneOr<String>,
    ) -> anyhow::Result<NoneType> {
        let facts = this.facts();
        let field = secret_field(facts, id)?;
        facts.memory().say(field, secret.into_option());
        Ok(NoneType)
    }
}

/// The field of the label that has the secret of a row of IXIT 1-AuthMech.
fn secret_field<'f>(facts: &'f Facts, id: &str) -> Result<&'f str, Stop> {
    let field = facts.secret_field("1-AuthMech", id);
    field.ok_or_else(|| Stop::Script(format!("IXIT 1-AuthMech has no row {}", show::text(id))))
}
