//! `t.net`: the DUT's network.

use std::net::IpAddr;

use serde_json::json;
use starlark::environment::MethodsBuilder;
use starlark::eval::Evaluator;
use starlark::starlark_module;
use starlark::values::Value;
use starlark::values::float::UnpackFloat;
use starlark::values::list::UnpackList;
use starlark::values::none::{NoneOr, NoneType};

use super::{namespace, seconds, session};
use crate::bench::network::scan::ScanConfig;
use crate::bench::network::{DUT_V4, Impairment};
use crate::bench::probe::Needle;
use crate::script::session::Session;
use crate::script::show;
use crate::script::stop::Stop;

namespace!(
    /// The DUT's network.
    Net,
    "net",
    net_methods,
    NET_METHODS
);

#[starlark_module]
fn net_methods(builder: &mut MethodsBuilder) {
    /// Plugs the cable in, or pulls it.
    fn link<'v>(
        #[starlark(this)] _this: Value<'v>,
        up: bool,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<NoneType> {
        let session = session(eval)?;
        session.step("net.link", json!({ "up": up }), |_| {
            session.wait(session.setup.bench.set_link(up))?;
            Ok(NoneType)
        })
    }

    /// Whether the cable is plugged in.
    fn is_up<'v>(
        #[starlark(this)] _this: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<bool> {
        let session = session(eval)?;
        session.step("net.is_up", json!({}), |note| {
            let up = session.setup.bench.network()?.is_link_up();
            note.result = up.into();
            Ok(up)
        })
    }

    /// Treats frames badly from now on; without arguments, well again. Probabilities from 0 to 1, times in seconds.
    fn impair<'v>(
        #[starlark(this)] _this: Value<'v>,
        #[starlark(default = UnpackFloat(0.0))] loss: UnpackFloat,
        #[starlark(default = UnpackFloat(0.0))] duplication: UnpackFloat,
        #[starlark(default = UnpackFloat(0.0))] corruption: UnpackFloat,
        #[starlark(default = UnpackFloat(0.0))] delay: UnpackFloat,
        #[starlark(default = UnpackFloat(0.0))] jitter: UnpackFloat,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<NoneType> {
        let session = session(eval)?;
        let seed = rand::RngCore::next_u64(&mut *session.random.borrow_mut());
        let arguments = json!({
            "loss": loss.0, "duplication": duplication.0, "corruption": corruption.0,
            "delay": delay.0, "jitter": jitter.0, "seed": seed,
        });
        session.step("net.impair", arguments, |_| {
            let impairment = Impairment {
                loss: loss.0,
                duplication: duplication.0,
                corruption: corruption.0,
                delay: seconds("delay", delay.0)?,
                jitter: seconds("jitter", jitter.0)?,
                direction: None,
                seed,
            };
            let network = session.setup.bench.network()?;
            network
                .impair(impairment)
                .map_err(|error| Stop::Script(error.to_string()))?;
            Ok(NoneType)
        })
    }

    /// What was seen on the wire so far: dict with flows, dns, unserved, canaries, ...
    fn flows<'v>(
        #[starlark(this)] _this: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<Value<'v>> {
        let heap = eval.heap();
        let session = session(eval)?;
        session.step("net.flows", json!({}), |note| {
            let flows = serde_json::json!(session.setup.bench.network()?.flows());
            let count = |what: &str| flows[what].as_array().map_or(0, Vec::len);
            note.result = json!({
                "flows": count("flows"), "dns": count("dns"),
                "unserved": count("unserved"), "canaries": count("canaries"),
            });
            Ok(heap.alloc(flows))
        })
    }

    /// Looks for these texts in every frame from now on, instead of those given before.
    fn watch_for<'v>(
        #[starlark(this)] _this: Value<'v>,
        canaries: UnpackList<String>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<NoneType> {
        let session = session(eval)?;
        let count = canaries.items.len();
        session.step("net.watch_for", json!({ "canaries": count }), |_| {
            let needles: Vec<Needle> = canaries
                .items
                .iter()
                .map(|text| Needle {
                    name: text.clone(),
                    bytes: text.clone().into_bytes(),
                })
                .collect();
            session.setup.bench.network()?.watch_for(&needles);
            Ok(NoneType)
        })
    }

    /// Looks for open ports of the DUT: dict with tcp_open, tcp_closed, udp_open, ... All TCP ports and the usual UDP
    /// ports unless given.
    fn scan<'v>(
        #[starlark(this)] _this: Value<'v>,
        #[starlark(default = NoneOr::None)] tcp: NoneOr<UnpackList<u32>>,
        #[starlark(default = NoneOr::None)] udp: NoneOr<UnpackList<u32>>,
        #[starlark(default = NoneOr::None)] address: NoneOr<&str>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<Value<'v>> {
        let heap = eval.heap();
        let session = session(eval)?;
        let tcp = tcp.into_option().map(|ports| ports.items);
        let udp = udp.into_option().map(|ports| ports.items);
        let address = address.into_option();
        let arguments = json!({
            "tcp": tcp.as_ref().map(Vec::len), "udp": udp.as_ref().map(Vec::len), "address": address,
        });
        session.step("net.scan", arguments, |note| {
            let report = scan(session, tcp.as_deref(), udp.as_deref(), address)?;
            let content = serde_json::to_vec_pretty(&report).unwrap_or_default();
            note.artefacts.push(session.keep("scan.json", &content)?);
            note.result = json!({
                "tcp_open": report["tcp_open"].as_array().map(Vec::len),
                "udp_open": report["udp_open"].as_array().map(Vec::len),
            });
            Ok(heap.alloc(report))
        })
    }
}

fn scan(
    session: &Session<'_>,
    tcp: Option<&[u32]>,
    udp: Option<&[u32]>,
    address: Option<&str>,
) -> Result<serde_json::Value, Stop> {
    let target = match address {
        None => IpAddr::V4(DUT_V4),
        Some(text) => text
            .parse()
            .map_err(|_| Stop::Script(format!("{} is no IP address", show::text(text))))?,
    };
    let mut config = ScanConfig::new(target);
    if let Some(ports) = tcp {
        config.tcp = numbers(ports)?;
    }
    if let Some(ports) = udp {
        config.udp = numbers(ports)?;
    }
    let network = session.setup.bench.network()?;
    Ok(json!(session.wait(network.scan(config))?))
}

fn numbers(ports: &[u32]) -> Result<Vec<u16>, Stop> {
    ports
        .iter()
        .map(|&port| {
            u16::try_from(port).map_err(|_| Stop::Script(format!("{port} is no port: 1 to 65535")))
        })
        .collect()
}
