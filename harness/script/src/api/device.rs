//! What `t` and `d` know and do besides probe, console and power.

use std::time::Instant;

use serde_json::json;
use starlark::environment::MethodsBuilder;
use starlark::eval::Evaluator;
use starlark::starlark_module;
use starlark::values::float::UnpackFloat;
use starlark::values::none::NoneType;
use starlark::values::structs::AllocStruct;
use starlark::values::tuple::UnpackTuple;
use starlark::values::{Heap, Value, ValueLike};

use super::blob::{Blob, Data};
use super::context::{DriverContext, TestContext};
use super::facts::Facts;
use super::{IxitRow, console, net, power, probe, services, session};
use crate::session::Session;
use crate::show;
use crate::stop::Stop;
use provebench_bench::Capability;
use provebench_bench::inventory::Image;
use provebench_network::search::forms;
use provebench_record::explain::explain;
use provebench_standard::{IXIT_TABLES, ProvisionId, Support};

/// Attributes and functions of `t` and `d`.
#[starlark_module]
pub(super) fn common_methods(builder: &mut MethodsBuilder) {
    /// The serial console.
    #[starlark(attribute)]
    fn console<'v>(this: Value<'v>) -> anyhow::Result<console::Console> {
        let _ = this;
        Ok(console::Console)
    }

    /// The debug probe.
    #[starlark(attribute)]
    fn probe<'v>(this: Value<'v>) -> anyhow::Result<probe::Probe> {
        let _ = this;
        Ok(probe::Probe)
    }

    /// The power switch.
    #[starlark(attribute)]
    fn power<'v>(this: Value<'v>) -> anyhow::Result<power::Power> {
        let _ = this;
        Ok(power::Power)
    }

    /// The DUT's network.
    #[starlark(attribute)]
    fn net<'v>(this: Value<'v>) -> anyhow::Result<net::Net> {
        let _ = this;
        Ok(net::Net)
    }

    /// The services around the DUT.
    #[starlark(attribute)]
    fn services<'v>(this: Value<'v>) -> anyhow::Result<services::Services> {
        Ok(services::Services::new(facts(this)?.services()))
    }

    /// The DUT: name, tags, label, options.
    #[starlark(attribute)]
    fn device<'v>(this: Value<'v>, heap: Heap<'v>) -> anyhow::Result<Value<'v>> {
        Ok(facts(this)?.device(heap))
    }

    /// The other devices of the target.
    #[starlark(attribute)]
    fn siblings<'v>(this: Value<'v>, heap: Heap<'v>) -> anyhow::Result<Value<'v>> {
        Ok(facts(this)?.siblings(heap))
    }

    /// The product: name, product, options, timing, memory.
    #[starlark(attribute)]
    fn target<'v>(this: Value<'v>, heap: Heap<'v>) -> anyhow::Result<Value<'v>> {
        Ok(facts(this)?.target(heap))
    }

    /// Names of the images of the device's set.
    #[starlark(attribute)]
    fn images<'v>(this: Value<'v>, heap: Heap<'v>) -> anyhow::Result<Value<'v>> {
        Ok(facts(this)?.images(heap))
    }

    /// The bytes of an image's file.
    fn image<'v>(
        #[starlark(this)] _this: Value<'v>,
        name: &str,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<Blob> {
        let session = session(eval)?;
        session.step("image", json!({ "name": name }), |note| {
            let bytes = image(&session, name)?.read();
            let bytes = bytes.map_err(|error| Stop::Bench(explain(&error)))?;
            note.result = show::bytes(&bytes).into();
            Ok(Blob::new(bytes))
        })
    }

    /// Every form that a text or bytes may have been stored in: list of struct(name, data).
    fn encodings<'v>(
        #[starlark(this)] _this: Value<'v>,
        data: Data<'v>,
        heap: Heap<'v>,
    ) -> anyhow::Result<Value<'v>> {
        let encoded = forms(data.0).into_iter();
        let encoded: Vec<_> = encoded
            .map(|(encoding, bytes)| {
                heap.alloc(AllocStruct([
                    ("name", heap.alloc(encoding.name())),
                    ("data", heap.alloc(Blob::new(bytes))),
                ]))
            })
            .collect();
        Ok(heap.alloc(encoded))
    }

    /// Holds a button for a time in seconds.
    fn press<'v>(
        #[starlark(this)] _this: Value<'v>,
        name: &str,
        seconds: UnpackFloat,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<NoneType> {
        let session = session(eval)?;
        let arguments = json!({ "name": name, "seconds": seconds.0 });
        session.step("press", arguments, |_| {
            let hold = super::seconds("seconds", seconds.0)?;
            session.wait(session.setup.bench.actuator(name)?.press(hold))?;
            Ok(NoneType)
        })
    }

    /// Ends the unit: the DUT does what it must not.
    fn fail<'v>(
        #[starlark(this)] _this: Value<'v>,
        #[starlark(require = pos)] message: &str,
        #[starlark(args)] args: UnpackTuple<Value<'v>>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<NoneType> {
        let message = show::format(message, &args.items);
        session(eval)?.step("fail", json!({ "message": message }), |_| {
            Err(Stop::Fail(message.clone()))
        })
    }

    /// Writes a line into the evidence.
    fn log<'v>(
        #[starlark(this)] _this: Value<'v>,
        #[starlark(require = pos)] message: &str,
        #[starlark(args)] args: UnpackTuple<Value<'v>>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<NoneType> {
        let message = show::format(message, &args.items);
        session(eval)?.step("log", json!({ "message": message }), |_| Ok(NoneType))
    }

    /// Keeps a file in the evidence.
    fn save<'v>(
        #[starlark(this)] _this: Value<'v>,
        name: &str,
        data: Data<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<NoneType> {
        let session = session(eval)?;
        let arguments = json!({ "name": name, "data": show::bytes(data.0) });
        session.step("save", arguments, |note| {
            note.artefacts.push(session.keep(name, data.0)?);
            Ok(NoneType)
        })
    }

    /// Waits, for a reason.
    fn wait<'v>(
        #[starlark(this)] _this: Value<'v>,
        seconds: UnpackFloat,
        why: &str,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<NoneType> {
        let session = session(eval)?;
        let arguments = json!({ "seconds": seconds.0, "why": why });
        session.step("wait", arguments, |_| {
            let time = super::seconds("seconds", seconds.0)?;
            session.wait(async {
                tokio::time::sleep(time).await;
                Ok::<_, Stop>(NoneType)
            })
        })
    }

    /// Seconds on a clock that only runs forward.
    fn now<'v>(
        #[starlark(this)] _this: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<f64> {
        let origin = session(eval)?.setup.origin;
        Ok(Instant::now()
            .saturating_duration_since(origin)
            .as_secs_f64())
    }

    /// Seconds left for the test case.
    fn deadline<'v>(
        #[starlark(this)] _this: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<f64> {
        Ok(session(eval)?.limit().left().as_secs_f64())
    }

    /// The supplier's claim for a provision: support, detail.
    fn ics<'v>(
        #[starlark(this)] _this: Value<'v>,
        provision: &str,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<Value<'v>> {
        let heap = eval.heap();
        let session = session(eval)?;
        session.step("ics", json!({ "provision": provision }), |note| {
            let id: ProvisionId = provision
                .parse()
                .map_err(|error| Stop::Script(format!("{error}")))?;
            let claim = session.setup.device.target.ics.get(&id);
            let support = match claim.map(|claim| claim.support) {
                Some(Support::Yes) => heap.alloc("yes"),
                Some(Support::No) => heap.alloc("no"),
                Some(Support::NotApplicable) => heap.alloc("n/a"),
                None => Value::new_none(),
            };
            let detail = claim.map_or("", |claim| &claim.detail);
            note.result = show::json(support);
            Ok(heap.alloc(AllocStruct([
                ("support", support),
                ("detail", heap.alloc(detail)),
            ])))
        })
    }

    /// The rows of an IXIT table.
    fn ixit<'v>(
        #[starlark(this)] _this: Value<'v>,
        table: &str,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<Value<'v>> {
        let heap = eval.heap();
        let session = session(eval)?;
        session.step("ixit", json!({ "table": table }), |note| {
            if !IXIT_TABLES.contains(&table) {
                let known = IXIT_TABLES.join(", ");
                let message = format!(
                    "there is no IXIT table {}; there are {known}",
                    show::text(table)
                );
                return Err(Stop::Script(message));
            }
            let rows = session.setup.device.target.ixit.rows(table);
            let rows: Vec<_> = rows.into_iter().map(IxitRow::new).collect();
            let rows = heap.alloc(rows);
            note.result = show::json(rows);
            Ok(rows)
        })
    }

    /// Whether a need is met.
    fn has<'v>(
        #[starlark(this)] this: Value<'v>,
        need: &str,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<bool> {
        if let Some(offer) = facts(this)?.dry_offer() {
            return Ok(offer.contains(&need.parse()?));
        }
        let session = session(eval)?;
        session.step("has", json!({ "need": need }), |note| {
            let need: Capability = need
                .parse()
                .map_err(|error| Stop::Script(format!("{error}")))?;
            let met = session.offer.lacks(&need).is_none();
            note.result = met.into();
            Ok(met)
        })
    }
}

fn facts(this: Value<'_>) -> anyhow::Result<&Facts> {
    if let Some(t) = this.downcast_ref::<TestContext>() {
        return Ok(t.facts());
    }
    this.downcast_ref::<DriverContext>()
        .map(DriverContext::facts)
        .ok_or_else(|| anyhow::anyhow!("{} is neither t nor d", this.get_type()))
}

/// An image of the device's set.
pub(super) fn image<'s>(session: &'s Session, name: &str) -> Result<&'s Image, Stop> {
    let set = session.setup.device.image_set();
    set.get(name).ok_or_else(|| {
        let known: Vec<_> = set.keys().map(String::as_str).collect();
        Stop::Script(format!(
            "image set {} has no image {}; it has {}",
            session.setup.device.images,
            show::text(name),
            known.join(", ")
        ))
    })
}
