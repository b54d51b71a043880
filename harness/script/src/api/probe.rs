//! `t.probe`: the debug probe.

use std::ops::Range;

use serde_json::json;
use starlark::environment::MethodsBuilder;
use starlark::eval::Evaluator;
use starlark::starlark_module;
use starlark::values::none::{NoneOr, NoneType};
use starlark::values::structs::AllocStruct;
use starlark::values::{Heap, UnpackValue, Value};

use super::blob::{Blob, Data, checked_length};
use super::device::image;
use super::power::{range, shown};
use super::{namespace, session};
use crate::session::Session;
use crate::show;
use crate::stop::Stop;
use provebench_bench::inventory::{MemoryRegion, MemoryRole};
use provebench_bench::probe::{FlashJob, Protection};
use provebench_bench::{Probe as BenchProbe, ProbeError};
use provebench_network::search::{Hit, Needle};
use provebench_record::explain::explain;

namespace!(
    /// The debug probe.
    Probe,
    "probe",
    probe_methods,
    PROBE_METHODS
);

#[starlark_module]
fn probe_methods(builder: &mut MethodsBuilder) {
    /// Reads memory.
    fn read<'v>(
        #[starlark(this)] _this: Value<'v>,
        address: u64,
        length: usize,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<Blob> {
        let session = session(eval)?;
        session.step("probe.read", memory(address, length), |note| {
            let length = checked_length(length).map_err(script)?;
            let bytes = session.wait(session.setup.bench.probe()?.read(address, length))?;
            note.result = show::bytes(&bytes).into();
            Ok(Blob::new(bytes))
        })
    }

    /// Reads memory; None if the debug port refuses.
    fn try_read<'v>(
        #[starlark(this)] _this: Value<'v>,
        address: u64,
        length: usize,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<Value<'v>> {
        let heap = eval.heap();
        let session = session(eval)?;
        session.step("probe.try_read", memory(address, length), |note| {
            let length = checked_length(length).map_err(script)?;
            let probe = session.setup.bench.probe()?;
            let Some(bytes) = session.wait(probe.try_read(address, length))? else {
                note.result = "refused".into();
                return Ok(Value::new_none());
            };
            note.result = show::bytes(&bytes).into();
            Ok(heap.alloc(Blob::new(bytes)))
        })
    }

    /// Writes RAM or registers.
    fn write<'v>(
        #[starlark(this)] _this: Value<'v>,
        address: u64,
        data: Data<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<NoneType> {
        let session = session(eval)?;
        session.step("probe.write", write(address, data), |_| {
            session.wait(session.setup.bench.probe()?.write(address, data.0))?;
            Ok(NoneType)
        })
    }

    /// Writes flash through the flash algorithm, keeping the rest of the sectors.
    fn write_nvm<'v>(
        #[starlark(this)] _this: Value<'v>,
        address: u64,
        data: Data<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<NoneType> {
        let session = session(eval)?;
        session.step("probe.write_nvm", write(address, data), |_| {
            session.wait(session.setup.bench.probe()?.write_nvm(address, data.0))?;
            Ok(NoneType)
        })
    }

    /// Programs an image of the device's set, verified; nothing if it is there already.
    fn flash<'v>(
        #[starlark(this)] _this: Value<'v>,
        image_name: &str,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<NoneType> {
        let session = session(eval)?;
        session.step("probe.flash", json!({ "image": image_name }), |note| {
            let image = image(&session, image_name)?;
            let firmware = session.setup.device.firmware(Some(&[image]));
            let firmware = firmware.map_err(|error| Stop::Bench(explain(&error)))?;
            let probe = session.setup.bench.probe()?;
            let report = session.wait(probe.flash(&FlashJob::of(firmware), |_| {}))?;
            note.result = json!({ "skipped": report.programmed.is_empty(), "bytes": report.bytes });
            Ok(NoneType)
        })
    }

    /// Searches memory for texts or bytes, in every form they may have been stored in.
    fn find<'v>(
        #[starlark(this)] _this: Value<'v>,
        needles: Value<'v>,
        #[starlark(default = NoneOr::None)] regions: NoneOr<Value<'v>>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<Value<'v>> {
        let heap = eval.heap();
        let session = session(eval)?;
        let regions = regions.into_option();
        let arguments = json!({
            "needles": show::json(needles),
            "regions": regions.map(|regions| match regions.iterate(heap) {
                // One that stands for itself is a tuple, too.
                Ok(all) if !is_region(regions) => all.map(shown).collect(),
                _ => shown(regions),
            }),
        });
        session.step("probe.find", arguments, |note| {
            let needles = all_needles(needles, heap)?;
            let regions = all_regions(&session, regions, heap)?;
            let probe = session.setup.bench.probe()?;
            let hits = session.wait(probe.find(&needles, &regions))?;
            let hits: Vec<_> = hits.iter().map(|hit| found(hit, heap)).collect();
            let hits = heap.alloc(hits);
            note.result = show::json(hits);
            Ok(hits)
        })
    }

    /// Read-out protection: "open", "locked", or "unsupported".
    fn protection<'v>(
        #[starlark(this)] _this: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<&'static str> {
        let session = session(eval)?;
        session.step("probe.protection", json!({}), |note| {
            let probe = session.setup.bench.probe()?;
            let word = match session.wait(probe.protection())? {
                Protection::Open => "open",
                Protection::Locked => "locked",
                Protection::Unsupported => "unsupported",
            };
            note.result = word.into();
            Ok(word)
        })
    }

    /// Erases the whole chip, which unlocks it.
    fn recover<'v>(
        #[starlark(this)] _this: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<NoneType> {
        simple(&*session(eval)?, "probe.recover", BenchProbe::recover)
    }

    /// Resets the chip and lets it run.
    fn reset<'v>(
        #[starlark(this)] _this: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<NoneType> {
        let session = session(eval)?;
        simple(&session, "probe.reset", async |probe| {
            forget_output(&session);
            probe.reset().await
        })
    }

    /// Resets the chip and stops it before its first instruction.
    fn reset_and_halt<'v>(
        #[starlark(this)] _this: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<NoneType> {
        let session = session(eval)?;
        simple(&session, "probe.reset_and_halt", async |probe| {
            forget_output(&session);
            probe.reset_and_halt().await
        })
    }

    /// Stops the core.
    fn halt<'v>(
        #[starlark(this)] _this: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<NoneType> {
        simple(&*session(eval)?, "probe.halt", BenchProbe::halt)
    }

    /// Lets the core run.
    fn run<'v>(
        #[starlark(this)] _this: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<NoneType> {
        simple(&*session(eval)?, "probe.run", BenchProbe::run)
    }

    /// The core's registers, by name.
    fn registers<'v>(
        #[starlark(this)] _this: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<Value<'v>> {
        let heap = eval.heap();
        let session = session(eval)?;
        session.step("probe.registers", json!({}), |note| {
            let registers = session.wait(session.setup.bench.probe()?.registers())?;
            note.result = json!(registers);
            Ok(heap.alloc(registers))
        })
    }
}

/// What was printed before a reset answers no question that is asked after it. What is under way at that moment may: not
/// to miss the first words after the reset is worth more.
fn forget_output(session: &Session) {
    if let Ok(console) = session.setup.bench.console() {
        console.skip();
    }
}

/// A call without arguments or result.
fn simple(
    session: &Session,
    name: &str,
    call: impl AsyncFnOnce(&BenchProbe) -> Result<(), ProbeError>,
) -> anyhow::Result<NoneType> {
    session.step(name, json!({}), |_| {
        session.wait(call(session.setup.bench.probe()?))?;
        Ok(NoneType)
    })
}

fn memory(address: u64, length: usize) -> serde_json::Value {
    json!({ "address": format!("{address:#010x}"), "length": length })
}

fn write(address: u64, data: Data<'_>) -> serde_json::Value {
    json!({ "address": format!("{address:#010x}"), "data": show::bytes(data.0) })
}

#[allow(clippy::needless_pass_by_value, reason = "fits map_err")]
fn script(error: anyhow::Error) -> Stop {
    Stop::Script(format!("{error:#}"))
}

fn all_needles<'v>(needles: Value<'v>, heap: Heap<'v>) -> Result<Vec<Needle>, Stop> {
    let needle = |value: Value<'v>| {
        let data = Data::unpack_value(value).ok().flatten();
        let Some(Data(bytes)) = data.filter(|data| !data.0.is_empty()) else {
            let message = format!("{} is nothing to search for", show::value(value));
            return Err(Stop::Script(message));
        };
        Ok(Needle {
            name: value
                .unpack_str()
                .map_or_else(|| hex::encode(bytes), str::to_owned),
            bytes: bytes.to_vec(),
        })
    };
    if needles.unpack_str().is_some() || Data::from_blob(needles).is_some() {
        return Ok(vec![needle(needles)?]);
    }
    let all: Vec<_> = match needles.iterate(heap) {
        Ok(all) => all.map(needle).collect::<Result<_, _>>()?,
        Err(_) => vec![needle(needles)?],
    };
    if all.is_empty() {
        // Nothing found of nothing would look like a proof.
        return Err(Stop::Script(
            "find() was given nothing to search for".into(),
        ));
    }
    Ok(all)
}

fn all_regions<'v>(
    session: &Session,
    regions: Option<Value<'v>>,
    heap: Heap<'v>,
) -> Result<Vec<MemoryRegion>, Stop> {
    let memory = &session.setup.device.target.memory;
    let Some(regions) = regions else {
        let searched = |region: &&MemoryRegion| match region.role {
            MemoryRole::Code | MemoryRole::Nvm | MemoryRole::UserData => true,
            // Written by the bench itself: the label's password is there by right.
            MemoryRole::Personalisation => false,
        };
        return Ok(memory.iter().filter(searched).cloned().collect());
    };
    let region = |value: Value<'v>| {
        let Range { start, end } = range(session, value)?;
        let known = memory.iter().find(|r| value.unpack_str() == Some(&r.name));
        Ok(known.cloned().unwrap_or_else(|| MemoryRegion {
            name: format!("{start:#010x}"),
            role: MemoryRole::Nvm,
            range: start..end,
        }))
    };
    match regions.iterate(heap) {
        Ok(all) if !is_region(regions) => all.map(region).collect(),
        _ => Ok(vec![region(regions)?]),
    }
}

/// Whether it is (start, length).
fn is_region(value: Value<'_>) -> bool {
    matches!(<(u64, u64)>::unpack_value(value), Ok(Some(_)))
}

fn found<'v>(hit: &Hit, heap: Heap<'v>) -> Value<'v> {
    heap.alloc(AllocStruct([
        ("needle", heap.alloc(&hit.needle)),
        ("encoding", heap.alloc(hit.encoding.name())),
        ("address", heap.alloc(hit.address)),
        ("region", heap.alloc(&hit.region)),
    ]))
}
