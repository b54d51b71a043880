//! `t.power`: the DUT's power, and cuts of it at chosen moments.

use std::convert::Infallible;
use std::ops::Range;
use std::time::Duration;

use serde_json::json;
use starlark::environment::MethodsBuilder;
use starlark::eval::Evaluator;
use starlark::starlark_module;
use starlark::values::float::UnpackFloat;
use starlark::values::none::NoneType;
use starlark::values::{UnpackValue, Value};

use super::blob::Data;
use super::dut::recorded;
use super::{namespace, seconds, session};
use crate::session::Session;
use crate::show;
use crate::stop::Stop;
use provebench_bench::Console;

/// Boot loaders that can be stopped wait for a key for a second, or less.
const BETWEEN_KEYS: Duration = Duration::from_millis(50);

namespace!(
    /// The power switch.
    Power,
    "power",
    power_methods,
    POWER_METHODS
);

#[starlark_module]
fn power_methods(builder: &mut MethodsBuilder) {
    /// Switches on, while these keys are sent to the console again and again.
    fn on<'v>(
        #[starlark(this)] _this: Value<'v>,
        #[starlark(require = named)] typing: Option<Data<'v>>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<NoneType> {
        let session = session(eval)?;
        let arguments = match &typing {
            Some(keys) => json!({ "typing": super::console::shown(keys.0) }),
            None => json!({}),
        };
        session.step("power.on", arguments, |_| {
            let bench = &session.setup.bench;
            let power = bench.power()?;
            match &typing {
                None => session.wait(power.on())?,
                Some(keys) => {
                    let console = bench.console()?;
                    session.wait(async {
                        tokio::select! {
                            biased;
                            on = power.on() => on,
                            never = type_on(console, keys.0) => match never {},
                        }
                    })?;
                }
            }
            Ok(NoneType)
        })
    }

    /// Switches off.
    fn off<'v>(
        #[starlark(this)] _this: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<NoneType> {
        let session = session(eval)?;
        session.step("power.off", json!({}), |_| {
            session.wait(session.setup.bench.power()?.off())?;
            Ok(NoneType)
        })
    }

    /// Off for a time in seconds, and on again.
    fn cycle<'v>(
        #[starlark(this)] _this: Value<'v>,
        #[starlark(default = UnpackFloat(0.2))] off: UnpackFloat,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<NoneType> {
        let session = session(eval)?;
        session.step("power.cycle", json!({ "off": off.0 }), |_| {
            let off = seconds("off", off.0)?;
            session.wait(session.setup.bench.power()?.cycle(off))?;
            Ok(NoneType)
        })
    }

    /// Whether the DUT has power.
    fn is_on<'v>(
        #[starlark(this)] _this: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<bool> {
        let session = session(eval)?;
        session.step("power.is_on", json!({}), |note| {
            let on = session.wait(session.setup.bench.power()?.is_on())?;
            note.result = on.into();
            Ok(on)
        })
    }

    /// The current that the DUT draws, in A.
    fn current<'v>(
        #[starlark(this)] _this: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<f64> {
        let session = session(eval)?;
        session.step("power.current", json!({}), |note| {
            let current = session.wait(session.setup.bench.power()?.current())?;
            note.result = current.into();
            Ok(current)
        })
    }

    /// Arms a power cut at the n-th write (from 1) of the DUT to a region; 0 only counts.
    fn cut_at_write<'v>(
        #[starlark(this)] _this: Value<'v>,
        region: Value<'v>,
        n: u64,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<NoneType> {
        let session = session(eval)?;
        let arguments = json!({ "region": shown(region), "n": n });
        session.step("power.cut_at_write", arguments, |_| {
            arm(&session, &range(&session, region)?, n)?;
            Ok(NoneType)
        })
    }

    /// Runs a function and cuts power at the n-th write to a region while it runs.
    fn cut_during<'v>(
        #[starlark(this)] _this: Value<'v>,
        r#fn: Value<'v>,
        region: Value<'v>,
        n: u64,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<bool> {
        let arguments = json!({ "region": shown(region), "n": n });
        recorded("power.cut_during", arguments, eval, |note, eval| {
            let cut = cut_during(r#fn, region, n, eval)?;
            note.result = cut.into();
            Ok(cut)
        })
    }

    /// Writes of the DUT since cut_at_write.
    fn writes<'v>(
        #[starlark(this)] _this: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<u64> {
        let session = session(eval)?;
        session.step("power.writes", json!({}), |note| {
            let writes = session.wait(session.setup.bench.power()?.writes())?;
            note.result = writes.into();
            Ok(writes)
        })
    }

    /// Waits for the cut; False if it did not happen in time.
    fn wait_cut<'v>(
        #[starlark(this)] _this: Value<'v>,
        timeout: UnpackFloat,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<bool> {
        let session = session(eval)?;
        session.step("power.wait_cut", json!({ "timeout": timeout.0 }), |note| {
            let timeout = seconds("timeout", timeout.0)?;
            let fired = session.wait(session.setup.bench.power()?.wait_cut(timeout))?;
            note.result = fired.into();
            Ok(fired)
        })
    }

    /// Calls off cut and count.
    fn disarm<'v>(
        #[starlark(this)] _this: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<NoneType> {
        let session = session(eval)?;
        session.step("power.disarm", json!({}), |_| {
            session.wait(session.setup.bench.power()?.disarm())?;
            Ok(NoneType)
        })
    }
}

/// Sends keys until it is dropped.
async fn type_on(console: &Console, keys: &[u8]) -> Infallible {
    loop {
        // A port that is the DUT's own comes with its power; whoever listens is told of one that is away.
        let _ = console.send(keys).await;
        tokio::time::sleep(BETWEEN_KEYS).await;
    }
}

fn cut_during<'v>(
    function: Value<'v>,
    region: Value<'v>,
    n: u64,
    eval: &mut Evaluator<'v, '_, '_>,
) -> starlark::Result<bool> {
    let native = |stop: Stop| starlark::Error::new_native(stop);
    if n == 0 {
        let message = "n counts writes from 1; cut_at_write(region, 0) only counts".to_owned();
        return Err(native(Stop::Script(message)));
    }
    let lent = session(eval)?;
    arm(&lent, &range(&lent, region).map_err(native)?, n).map_err(native)?;
    let was_cutting = lent.set_cutting(true);
    drop(lent);
    let ended = eval.eval_function(function, &[], &[]);
    let session = session(eval)?;
    session.set_cutting(was_cutting);
    if let Err(error) = &ended
        && let Some(stop @ Stop::Stopped(_)) = Stop::of(error)
    {
        // Too late to ask the switch anything; the bench is left in order when it's closed.
        return Err(native(stop.clone()));
    }
    let power = session.setup.bench.power().map_err(|e| native(e.into()))?;
    // Whatever the function met: after a cut, that is the cut's doing.
    if session
        .wait(power.wait_cut(Duration::ZERO))
        .map_err(native)?
    {
        return Ok(true);
    }
    session.wait(power.disarm()).map_err(native)?;
    ended.map(|_| false)
}

fn arm(session: &Session, region: &Range<u64>, n: u64) -> Result<(), Stop> {
    let power = session.setup.bench.power()?;
    match n {
        0 => session.wait(power.count_writes(region.clone())),
        n => session.wait(power.cut_at_write(region.clone(), n)),
    }
}

/// A region for the record of steps: its name, or (address, length).
pub(super) fn shown(region: Value<'_>) -> serde_json::Value {
    match <(u64, u64)>::unpack_value(region) {
        Ok(Some((start, length))) => json!([format!("{start:#010x}"), length]),
        _ => show::json(region),
    }
}

/// A region: the name of one in target.toml, or (start, length).
pub(super) fn range(session: &Session, region: Value<'_>) -> Result<Range<u64>, Stop> {
    let target = &session.setup.device.target;
    if let Some(name) = region.unpack_str() {
        let known = target.region(name).map(|region| region.range.clone());
        return known.ok_or_else(|| {
            let names: Vec<_> = target.memory.iter().map(|r| r.name.as_str()).collect();
            Stop::Script(format!(
                "target.toml has no memory region {}; it has {}",
                show::text(name),
                names.join(", ")
            ))
        });
    }
    <(u64, u64)>::unpack_value(region)
        .ok()
        .flatten()
        .and_then(|(start, length)| Some(start..start.checked_add(length)?))
        .ok_or_else(|| {
            Stop::Script(format!(
                "{} is not a memory region: give a name of target.toml or (start, length)",
                show::value(region)
            ))
        })
}
