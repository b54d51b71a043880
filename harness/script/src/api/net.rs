//! `t.net`: the DUT's network.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use serde_json::json;
use starlark::collections::SmallMap;
use starlark::environment::MethodsBuilder;
use starlark::eval::Evaluator;
use starlark::starlark_module;
use starlark::values::float::UnpackFloat;
use starlark::values::list::UnpackList;
use starlark::values::none::{NoneOr, NoneType};
use starlark::values::structs::AllocStruct;
use starlark::values::{Heap, Value};

use super::blob::{Blob, Data};
use super::{namespace, seconds, session};
use crate::session::Session;
use crate::show;
use crate::stop::Stop;
use crate::unseen::{ADDRESSES, CALLS, WITHIN_CALLS};
use provebench_network::scan::ScanConfig;
use provebench_network::search::Needle;
use provebench_network::{DUT_V4, HttpAnswer, Impairment, Over, Peer, Question, Transport};

/// A kept connection that was idle for longer is not used any more: servers end them unannounced (the most hurried after
/// two seconds), and the DUT may have started anew.
const IDLE: Duration = Duration::from_secs(1);

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
        let seed = rand::RngCore::next_u64(&mut *session.random());
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
            let network = session.setup.bench.network()?;
            network.settle();
            let flows = serde_json::json!(network.flows_of_watch());
            let began = session.began();
            let since = network
                .watched_since()
                .map_or(began, |watch| watch.min(began));
            let all = [CALLS, WITHIN_CALLS].concat();
            session.unseen.told(network, &all, since);
            let count = |what: &str| flows[what].as_array().map_or(0, Vec::len);
            note.result = json!({
                "flows": count("flows"), "dns": count("dns"),
                "unserved": count("unserved"), "canaries": count("canaries"),
                "losses": network.losses_since(since),
            });
            Ok(heap.alloc(flows))
        })
    }

    /// Flows that the DUT began, of any IP protocol, to a port if one is given, after `since` on the clock of the flows; waits
    /// up to `timeout` seconds until there are `count`. List of dicts, in order.
    fn outbound<'v>(
        #[starlark(this)] _this: Value<'v>,
        #[starlark(default = NoneOr::None)] port: NoneOr<u32>,
        #[starlark(default = UnpackFloat(0.0))] since: UnpackFloat,
        #[starlark(default = 0)] count: u32,
        #[starlark(default = UnpackFloat(0.0))] timeout: UnpackFloat,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<Value<'v>> {
        let heap = eval.heap();
        let session = session(eval)?;
        let port = port.into_option();
        let arguments =
            json!({ "port": port, "since": since.0, "count": count, "timeout": timeout.0 });
        session.step("net.outbound", arguments, |note| {
            let port = port.map(|port| numbers(&[port])).transpose()?;
            let port = port.and_then(|ports| ports.first().copied());
            let limit = seconds("timeout", timeout.0)?;
            let network = session.setup.bench.network()?;
            let waiting = async {
                let calls = network.await_outbound(port, since.0, count as usize, limit);
                Ok::<_, Stop>(calls.await)
            };
            let mut calls = session.wait(waiting)?;
            if calls.len() < count.max(1) as usize {
                // Whoever waited in vain is told of what came at the last moment.
                network.settle();
                calls = network.outbound(port, since.0);
            }
            let since = network.time(since.0).max(session.began());
            session.unseen.told(network, CALLS, since);
            note.result = calls.len().into();
            Ok(heap.alloc(json!(calls)))
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

    /// Sends an HTTP request to the DUT on a connection of its own: struct(status, headers, body, tls, error). With `keep`,
    /// on that of the request before if that was one of the kind, too.
    fn request<'v>(
        #[starlark(this)] _this: Value<'v>,
        method: &str,
        path: &str,
        #[starlark(default = SmallMap::new())] headers: SmallMap<String, String>,
        #[starlark(default = NoneOr::None)] body: NoneOr<Data<'v>>,
        #[starlark(default = 443)] port: u32,
        #[starlark(default = true)] tls: bool,
        #[starlark(default = NoneOr::None)] name: NoneOr<&str>,
        #[starlark(default = UnpackFloat(10.0))] timeout: UnpackFloat,
        #[starlark(default = false)] keep: bool,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<Value<'v>> {
        let heap = eval.heap();
        let session = session(eval)?;
        let body = body
            .into_option()
            .map_or_else(Vec::new, |data| data.0.to_vec());
        let name = name.into_option();
        let arguments = json!({
            "method": method, "path": path, "headers": headers.iter().collect::<BTreeMap<_, _>>(),
            "body": show::bytes(&body), "port": port, "tls": tls, "name": name, "timeout": timeout.0,
            "keep": keep,
        });
        session.step("net.request", arguments, |note| {
            let request = Question {
                transport: if tls { Transport::Tls } else { Transport::Tcp },
                method: method.to_owned(),
                path: path.to_owned(),
                headers: headers.into_iter().collect(),
                body,
            };
            let peer = peer(&session, port, name, timeout.0)?;
            let begin = Instant::now();
            let network = session.setup.bench.network()?;
            let kept = session.connection().take();
            let kept = kept.filter(|kept| kept.idle() < IDLE);
            let answer = if keep {
                let asking = network.request_keeping(peer, request, kept);
                let (answer, kept) = session.wait(asking)?;
                *session.connection() = kept;
                answer
            } else {
                session.wait(network.request(peer, request))?
            };
            session.unseen.answer(answer.is_cut);
            let over = match &answer.over {
                Over::Own => json!(null),
                Over::Kept => json!("kept"),
                Over::OwnAfter(status) => json!({ "own_after_status": status }),
                Over::OwnAfterNone(trouble) => {
                    session.unseen.lost_connection();
                    json!({ "own_after": trouble })
                }
            };
            note.result = json!({
                "status": answer.status, "body": show::bytes(&answer.body), "tls": answer.tls,
                "error": answer.trouble, "connection": over,
            });
            if let Some(trouble) = &answer.trouble {
                session.broken_since(begin, &format!("{method} {path}: {trouble}"))?;
            }
            Ok(answered(heap, answer))
        })
    }

    /// Sends bytes to a port of the DUT, and reads what comes back: struct(connected, received, closed, error).
    fn exchange<'v>(
        #[starlark(this)] _this: Value<'v>,
        port: u32,
        data: Data<'v>,
        #[starlark(default = "tcp")] transport: &str,
        #[starlark(default = UnpackFloat(2.0))] timeout: UnpackFloat,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<Value<'v>> {
        let heap = eval.heap();
        let session = session(eval)?;
        let arguments = json!({
            "port": port, "data": show::bytes(data.0), "transport": transport, "timeout": timeout.0,
        });
        session.step("net.exchange", arguments, |note| {
            let transport = match transport {
                "tcp" => Transport::Tcp,
                "tls" => Transport::Tls,
                "udp" => Transport::Udp,
                other => {
                    let other = show::text(other);
                    return Err(Stop::Script(format!(
                        "there is no transport {other}; there are tcp, tls, udp"
                    )));
                }
            };
            let peer = peer(&session, port, None, timeout.0)?;
            let network = session.setup.bench.network()?;
            let begin = Instant::now();
            let got = session.wait(network.exchange(peer, transport, data.0.to_vec()))?;
            session.unseen.answer(got.is_cut);
            note.result = json!({
                "connected": got.connected, "received": show::bytes(&got.received),
                "closed": got.closed, "error": got.trouble,
            });
            if got.trouble.is_some() || got.received.is_empty() {
                let trouble = got.trouble.as_deref().unwrap_or("no answer");
                session.broken_since(begin, &format!("port {port}: {trouble}"))?;
            }
            Ok(heap.alloc(AllocStruct([
                ("connected", heap.alloc(got.connected)),
                ("received", heap.alloc(Blob::new(got.received))),
                ("closed", heap.alloc(got.closed)),
                ("error", heap.alloc(NoneOr::from_option(got.trouble))),
            ])))
        })
    }

    /// Addresses that the DUT has, now that it is asked: those that it used, and those that answer a question to all.
    fn addresses<'v>(
        #[starlark(this)] _this: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<Vec<String>> {
        let session = session(eval)?;
        session.step("net.addresses", json!({}), |note| {
            let network = session.setup.bench.network()?;
            let addresses = session.wait(network.addresses())?;
            session.unseen.told(network, ADDRESSES, session.began());
            note.result = json!(addresses);
            Ok(addresses.iter().map(ToString::to_string).collect())
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
            let report = scan(&session, tcp.as_deref(), udp.as_deref(), address)?;
            let content = serde_json::to_vec_pretty(&report).unwrap_or_default();
            note.artefacts.push(session.keep("scan.json", &content)?);
            let untold = report["tcp_untold"].as_array().map_or(0, Vec::len);
            session.unseen.ports(untold);
            note.result = json!({
                "tcp_open": report["tcp_open"].as_array().map(Vec::len),
                "udp_open": report["udp_open"].as_array().map(Vec::len),
            });
            Ok(heap.alloc(report))
        })
    }
}

/// A port of the DUT; its certificate is to be the run's authority's.
fn peer(session: &Session, port: u32, name: Option<&str>, timeout: f64) -> Result<Peer, Stop> {
    let port = numbers(&[port])?;
    let port = port.first().copied().unwrap_or_default();
    Ok(Peer {
        address: (DUT_V4, port).into(),
        name: name.map(str::to_owned),
        authority: session
            .setup
            .bench
            .services()?
            .ca()
            .certificate_der()
            .to_vec(),
        limit: seconds("timeout", timeout)?,
    })
}

fn answered(heap: Heap<'_>, answer: HttpAnswer) -> Value<'_> {
    let headers: BTreeMap<String, String> = answer.headers.into_iter().collect();
    let tls = answer.tls.map(|tls| {
        AllocStruct([
            ("version", heap.alloc(tls.version)),
            ("cipher", heap.alloc(tls.cipher)),
            ("certificate", heap.alloc(Blob::new(tls.certificate))),
            ("trouble", heap.alloc(NoneOr::from_option(tls.trouble))),
        ])
    });
    heap.alloc(AllocStruct([
        (
            "status",
            heap.alloc(NoneOr::from_option(answer.status.map(u32::from))),
        ),
        ("headers", heap.alloc(json!(headers))),
        ("body", heap.alloc(Blob::new(answer.body))),
        ("tls", heap.alloc(NoneOr::from_option(tls))),
        ("error", heap.alloc(NoneOr::from_option(answer.trouble))),
    ]))
}

fn scan(
    session: &Session,
    tcp: Option<&[u32]>,
    udp: Option<&[u32]>,
    address: Option<&str>,
) -> Result<serde_json::Value, Stop> {
    let target = match address {
        None => IpAddr::V4(DUT_V4),
        Some(text) => text
            .parse()
            .map_err(|_| Stop::Script(format!("{} is not an IP address", show::text(text))))?,
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
            u16::try_from(port)
                .map_err(|_| Stop::Script(format!("{port} is not a port: 1 to 65535")))
        })
        .collect()
}
