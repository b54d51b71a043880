//! What a driver has actions for, compared with what the IXIT declares; without the device.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use starlark::environment::Module;
use starlark::eval::Evaluator;
use starlark::values::dict::DictRef;

use super::api::facts::Facts;
use super::api::{BY_ROW, DriverContext, Host};
use super::confined;
use super::driver::Driver;
use super::error::message_of;
use super::offer::Offer;
use super::session::Session;
use provebench_bench::inventory::Device;
use provebench_standard::Row;

/// What a driver and the IXIT have for each other, on a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// The driver's function.
    pub function: &'static str,
    /// The table that it is for.
    pub table: &'static str,
    /// Declared rows that the driver has no actions for: what is tried for each row is INCONCLUSIVE for these.
    pub without_actions: Vec<String>,
    /// Rows that the driver has actions for, and nobody declares.
    pub without_row: Vec<String>,
    /// Why it is only known when the function is called on a device.
    pub unknown: Option<String>,
}

impl Comparison {
    /// What whoever plans a run is to know; none if driver and IXIT have the same rows.
    pub fn remark(&self) -> Option<String> {
        let Self {
            function, table, ..
        } = self;
        if let Some(why) = &self.unknown {
            return Some(format!(
                "which rows of IXIT {table} the driver has actions for is known when {function} is called on a device only: {why}"
            ));
        }
        let told = |rows: &[String]| rows.join(", ");
        let idle = (!self.without_actions.is_empty()).then(|| {
            format!(
                "IXIT {table} declares {}, for which {function} of the driver has no actions on this bench: INCONCLUSIVE",
                told(&self.without_actions)
            )
        });
        let strange = (!self.without_row.is_empty()).then(|| {
            format!(
                "{function} of the driver has actions for {}, which IXIT {table} does not declare: not tried",
                told(&self.without_row)
            )
        });
        let remarks: Vec<String> = idle.into_iter().chain(strange).collect();
        (!remarks.is_empty()).then(|| remarks.join("; "))
    }
}

/// How long a driver may take to say what it can do. Generous: it only ends what would hang.
const LONGEST: Duration = Duration::from_mins(1);
/// Bytes that it may take for that, and thousands of steps.
const MEMORY: usize = 256 << 20;
const CHECKS: u64 = 500;

impl Driver {
    /// Compares what the driver has actions for on a device, which is not touched, with what is declared.
    pub fn compare(&self, device: &Device, offer: &Offer) -> Vec<Comparison> {
        let known = BY_ROW.iter();
        let known = known.filter(|(function, _)| self.functions.contains(*function));
        known
            .map(|(function, table)| {
                let mut comparison = Comparison {
                    function,
                    table,
                    without_actions: Vec::new(),
                    without_row: Vec::new(),
                    unknown: None,
                };
                match self.rows(function, device, offer) {
                    Err(why) => comparison.unknown = Some(why),
                    Ok(actions) => {
                        let rows = device.target.ixit.rows(table);
                        let declared: BTreeSet<&str> = rows.iter().map(|r| r.id.as_str()).collect();
                        let idle = rows
                            .iter()
                            .filter(|row| is_driven(row) && !actions.contains(&row.id));
                        comparison.without_actions = idle.map(|row| row.id.clone()).collect();
                        let strange = actions.iter().filter(|id| !declared.contains(id.as_str()));
                        comparison.without_row = strange.cloned().collect();
                    }
                }
                comparison
            })
            .collect()
    }

    /// The rows that a function has actions for.
    fn rows(
        &self,
        function: &str,
        device: &Device,
        offer: &Offer,
    ) -> Result<BTreeSet<String>, String> {
        let facts = Arc::new(Facts::dry(device, offer.all().clone()));
        let script = self.script.clone();
        let function = function.to_owned();
        let began = Instant::now();
        let work = move |confined| {
            let host = Host {
                session: Weak::new(),
                confined,
            };
            let checks = Cell::new(0);
            let called = Module::with_temp_heap(|module| {
                let function = script.0.get(&function)?;
                let function = module.heap().access_owned_frozen_value(&function);
                let mut eval = Evaluator::new(&module);
                eval.extra = Some(&host);
                eval.set_check_cancelled(Box::new(|| {
                    checks.set(checks.get() + 1);
                    checks.get() == CHECKS
                }));
                eval.set_max_heap_size(MEMORY)?;
                let d = module.heap().alloc(DriverContext::new(facts));
                let given = eval.eval_function(function, &[d], &[])?;
                let rows = DictRef::from_value(given).map(|rows| {
                    let ids = rows.keys();
                    ids.filter_map(|id| id.unpack_str().map(str::to_owned))
                        .collect()
                });
                Ok::<_, starlark::Error>(rows)
            });
            match called {
                Ok(Some(rows)) => Ok(rows),
                Ok(None) => Err("it gives no dict".to_owned()),
                Err(error) => Err(message_of(&error)),
            }
        };
        let is_over = || began.elapsed() > LONGEST;
        confined::run(MEMORY, confined::GRACE, is_over, work)
            .unwrap_or_else(|lost| Err(lost.to_string()))
    }
}

impl Session {
    /// What the driver has actions for on the device, and what is declared.
    pub fn compare(&self) -> Vec<Comparison> {
        self.setup.driver.compare(&self.setup.device, &self.offer)
    }
}

/// Whether a row is about something that a driver does: not what is deleted at a service, offered elsewhere than over the
/// network, or no secret's to open.
fn is_driven(row: &Row) -> bool {
    let is =
        |field: &str, value: bool| row.get(field).and_then(toml::Value::as_bool) == Some(value);
    match row.table.as_str() {
        "1-AuthMech" => !is("password", false),
        "13-SoftServ" => !is("over_network", false),
        "25-DelFunc" => {
            row.get("target")
                .and_then(toml::Value::as_str)
                .unwrap_or("device")
                == "device"
        }
        _ => true,
    }
}
