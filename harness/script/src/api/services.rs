//! `t.services`: what the DUT finds on its network.

use serde_json::json;
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
use crate::unseen::SILENCE;
use provebench_network::losses::{Loss, Losses};
use provebench_network::services::Services as BenchServices;
use provebench_network::services::{
    CertificateKind, Control, DhcpAnswer, DnsAnswer, Effect, MqttAnswer, NtpAnswer, Record,
    RouterAnswer, ServiceError, ServiceName, Tls, TlsVersions, UpdateAnswer,
};
use provebench_record::text::number;

namespace!(
    /// The services around the DUT.
    Services,
    "services",
    services_methods,
    SERVICES_METHODS
);

#[starlark_module]
fn services_methods(builder: &mut MethodsBuilder) {
    /// Serves, or serves again.
    fn start<'v>(
        #[starlark(this)] _this: Value<'v>,
        service: &str,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<Value<'v>> {
        switch(eval, "start", service, async |control| {
            control.start().await
        })
    }

    /// Closes the service's ports and cuts its connections: connecting is refused from then on.
    fn stop<'v>(
        #[starlark(this)] _this: Value<'v>,
        service: &str,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<Value<'v>> {
        switch(eval, "stop", service, async |control| control.stop().await)
    }

    /// Accepts, and says nothing.
    fn hang<'v>(
        #[starlark(this)] _this: Value<'v>,
        service: &str,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<Value<'v>> {
        switch(eval, "hang", service, async |control| control.hang().await)
    }

    /// Cuts the connections that are open; new ones are served.
    fn cut<'v>(
        #[starlark(this)] _this: Value<'v>,
        service: &str,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<Value<'v>> {
        switch(eval, "cut", service, async |control| control.cut().await)
    }

    /// Answers this way from now on: "normal", or a wrong way that the service knows.
    fn answer<'v>(
        #[starlark(this)] _this: Value<'v>,
        service: &str,
        how: &str,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<NoneType> {
        let session = session(eval)?;
        let arguments = json!({ "service": service, "how": how });
        session.step("services.answer", arguments, |_| {
            answer(session.setup.bench.services()?, service, how)?;
            Ok(NoneType)
        })
    }

    /// Presents this kind of certificate in new connections.
    fn present<'v>(
        #[starlark(this)] _this: Value<'v>,
        service: &str,
        certificate: &str,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<NoneType> {
        let session = session(eval)?;
        let arguments = json!({ "service": service, "certificate": certificate });
        session.step("services.present", arguments, |_| {
            let kind = CertificateKind::ALL
                .into_iter()
                .find(|kind| kind.as_str() == certificate)
                .ok_or_else(|| {
                    unknown(
                        "certificate",
                        certificate,
                        CertificateKind::ALL.map(CertificateKind::as_str),
                    )
                })?;
            tls(session.setup.bench.services()?, service)?
                .present(kind)
                .map_err(bench)?;
            Ok(NoneType)
        })
    }

    /// Offers these TLS versions in new connections: "1.2", "1.3" or "both".
    fn offer_tls<'v>(
        #[starlark(this)] _this: Value<'v>,
        service: &str,
        versions: &str,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<NoneType> {
        let session = session(eval)?;
        let arguments = json!({ "service": service, "versions": versions });
        session.step("services.offer_tls", arguments, |_| {
            let versions = match versions {
                "1.2" => TlsVersions::Only12,
                "1.3" => TlsVersions::Only13,
                "both" => TlsVersions::Both,
                other => {
                    return Err(unknown(
                        "choice of TLS versions",
                        other,
                        ["1.2", "1.3", "both"],
                    ));
                }
            };
            tls(session.setup.bench.services()?, service)?
                .offer(versions)
                .map_err(bench)?;
            Ok(NoneType)
        })
    }

    /// Leaves the default router, or the name server, out of leases from now on, or has them in again.
    fn offer_lease<'v>(
        #[starlark(this)] _this: Value<'v>,
        #[starlark(default = true)] router: bool,
        #[starlark(default = true)] dns: bool,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<NoneType> {
        let session = session(eval)?;
        let arguments = json!({ "router": router, "dns": dns });
        session.step("services.offer_lease", arguments, |_| {
            let dhcp = session.setup.bench.services()?.dhcp().map_err(bench)?;
            let mut settings = dhcp.initial_settings();
            settings.router = settings.router.filter(|_| router);
            settings.dns.retain(|_| dns);
            dhcp.set(settings);
            Ok(NoneType)
        })
    }

    /// Shifts the time that the time server tells, in seconds from the true one.
    fn set_time_offset<'v>(
        #[starlark(this)] _this: Value<'v>,
        offset: UnpackFloat,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<NoneType> {
        let session = session(eval)?;
        session.step(
            "services.set_time_offset",
            json!({ "offset": offset.0 }),
            |_| {
                if !(offset.0.is_finite() && offset.0.abs() < 1e10) {
                    return Err(Stop::Script(format!(
                        "offset = {} is not a valid duration in seconds",
                        number(offset.0)
                    )));
                }
                session
                    .setup
                    .bench
                    .services()?
                    .ntp()
                    .set_offset(time::Duration::seconds_f64(offset.0));
                Ok(NoneType)
            },
        )
    }

    /// Puts a file on the update server.
    fn publish<'v>(
        #[starlark(this)] _this: Value<'v>,
        path: &str,
        data: Data<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<NoneType> {
        let session = session(eval)?;
        let arguments = json!({ "path": path, "data": show::bytes(data.0) });
        session.step("services.publish", arguments, |_| {
            if !path.starts_with('/') {
                return Err(Stop::Script(format!(
                    "a path on the update server begins with /, and {} does not: nobody could ask for it",
                    show::text(path)
                )));
            }
            let update = session.setup.bench.services()?.update();
            update.set_file(path, data.0.to_vec());
            Ok(NoneType)
        })
    }

    /// Takes a file off the update server; whether it was there.
    fn withdraw<'v>(
        #[starlark(this)] _this: Value<'v>,
        path: &str,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<bool> {
        let session = session(eval)?;
        session.step("services.withdraw", json!({ "path": path }), |note| {
            let was_there = session.setup.bench.services()?.update().remove_file(path);
            note.result = was_there.into();
            Ok(was_there)
        })
    }

    /// The present position in what the services have seen.
    fn mark<'v>(
        #[starlark(this)] _this: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<u64> {
        let session = session(eval)?;
        session.step("services.mark", json!({}), |note| {
            let mark = session.setup.bench.services()?.mark();
            note.result = mark.into();
            Ok(mark)
        })
    }

    /// What the services have seen since: list of dicts, of one service and kind if given.
    fn since<'v>(
        #[starlark(this)] _this: Value<'v>,
        mark: u64,
        #[starlark(default = NoneOr::None)] service: NoneOr<&str>,
        #[starlark(default = NoneOr::None)] kind: NoneOr<&str>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<Value<'v>> {
        let heap = eval.heap();
        let session = session(eval)?;
        let (service, kind) = (service.into_option(), kind.into_option());
        let arguments = json!({ "mark": mark, "service": service, "kind": kind });
        session.step("services.since", arguments, |note| {
            let service = service.map(name).transpose()?;
            let records = session.setup.bench.services()?.since(mark);
            let wanted: Vec<Record> = records
                .into_iter()
                .filter(|record| is_wanted(record, service, kind))
                .collect();
            not_seen(&session, mark, service, &wanted)?;
            note.result = json!({ "records": wanted.len() });
            Ok(heap.alloc(json!(wanted)))
        })
    }

    /// Waits until a service has seen something of a kind: its record as a dict, or None.
    fn wait<'v>(
        #[starlark(this)] _this: Value<'v>,
        mark: u64,
        service: &str,
        kind: &str,
        #[starlark(default = UnpackFloat(10.0))] timeout: UnpackFloat,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<Value<'v>> {
        let heap = eval.heap();
        let session = session(eval)?;
        let arguments =
            json!({ "mark": mark, "service": service, "kind": kind, "timeout": timeout.0 });
        session.step("services.wait", arguments, |note| {
            let service = name(service)?;
            let limit = seconds("timeout", timeout.0)?;
            let services = session.setup.bench.services()?;
            let waiting = async {
                let wanted = |record: &Record| is_wanted(record, Some(service), Some(kind));
                Ok::<_, Stop>(services.wait(mark, limit, wanted).await)
            };
            let Some(record) = session.wait(waiting)? else {
                not_seen(&session, mark, Some(service), &[])?;
                return Ok(Value::new_none());
            };
            let record = json!(record);
            note.result = record.clone();
            Ok(heap.alloc(record))
        })
    }

    /// What a device must trust: the certificate of the run's authority, DER.
    fn ca<'v>(
        #[starlark(this)] _this: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<Blob> {
        let session = session(eval)?;
        session.step("services.ca", json!({}), |note| {
            let der = session
                .setup
                .bench
                .services()?
                .ca()
                .certificate_der()
                .to_vec();
            note.result = show::bytes(&der).into();
            Ok(Blob::new(der))
        })
    }

    /// A new certificate for a device, as a client and as a server of these hosts: struct(certificate = DER, key = the
    /// 32 bytes of its P-256 key).
    fn device_certificate<'v>(
        #[starlark(this)] _this: Value<'v>,
        name: &str,
        #[starlark(default = UnpackList::default())] hosts: UnpackList<String>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<Value<'v>> {
        let heap = eval.heap();
        let session = session(eval)?;
        session.step(
            "services.device_certificate",
            json!({ "name": name, "hosts": hosts.items }),
            |_| {
                let ca = session.setup.bench.services()?.ca();
                let identity = ca
                    .device(name, &hosts.items)
                    .map_err(|error| Stop::Bench(error.to_string()))?;
                let certificate = identity.chain_der().next().map(<[u8]>::to_vec);
                let (Some(certificate), Some(key)) = (certificate, identity.key_scalar()) else {
                    return Err(Stop::Bench(
                        "the certificate has no chain or no P-256 key".into(),
                    ));
                };
                Ok(identity_of(heap, certificate, key))
            },
        )
    }
}

fn identity_of(heap: Heap<'_>, certificate: Vec<u8>, key: [u8; 32]) -> Value<'_> {
    heap.alloc(AllocStruct([
        ("certificate", Blob::new(certificate)),
        ("key", Blob::new(key.to_vec())),
    ]))
}

/// Does something with a service's switches; what it did, as a dict.
fn switch<'v>(
    eval: &mut Evaluator<'v, '_, '_>,
    action: &str,
    service: &str,
    act: impl AsyncFnOnce(&Control) -> Result<Effect, ServiceError>,
) -> anyhow::Result<Value<'v>> {
    let heap = eval.heap();
    let session = session(eval)?;
    let step = format!("services.{action}");
    session.step(&step, json!({ "service": service }), |note| {
        let services = session.setup.bench.services()?;
        let control = services.control(name(service)?).map_err(bench)?;
        let effect = json!(session.wait(async { act(control).await.map_err(bench) })?);
        note.result = effect.clone();
        Ok(heap.alloc(effect))
    })
}

/// Notes what is not known of a service since the mark. That nothing is told is no proof if the DUT's frames were missed.
fn not_seen(
    session: &Session,
    mark: u64,
    service: Option<ServiceName>,
    told: &[Record],
) -> Result<(), Stop> {
    let bench = &session.setup.bench;
    let mut losses = Losses::default();
    let dropped = bench.services()?.dropped_since(mark, service);
    losses.add(Loss::RecordsDropped, dropped);
    let cut = told.iter().filter(|record| record.observation.is_cut());
    losses.add(Loss::ContentsCut, cut.count() as u64);
    session.unseen.lost(&losses);
    if let (true, Ok(network)) = (told.is_empty(), bench.network()) {
        // What is being looked at just now counts as well.
        network.settle();
        session.unseen.told(network, SILENCE, session.began());
    }
    Ok(())
}

fn is_wanted(record: &Record, service: Option<ServiceName>, kind: Option<&str>) -> bool {
    service.is_none_or(|service| record.service == service)
        && kind.is_none_or(|kind| record.observation.kind() == kind)
}

fn name(word: &str) -> Result<ServiceName, Stop> {
    ServiceName::ALL
        .into_iter()
        .find(|service| service.as_str() == word)
        .ok_or_else(|| unknown("service", word, ServiceName::ALL.map(ServiceName::as_str)))
}

fn tls<'a>(services: &'a BenchServices, service: &str) -> Result<&'a Tls, Stop> {
    match name(service)? {
        ServiceName::Mqtt => Ok(services.mqtt().tls()),
        ServiceName::Update => Ok(services.update().tls()),
        other => Err(Stop::Script(format!(
            "service {other} has no TLS: mqtt and update have"
        ))),
    }
}

fn answer(services: &BenchServices, service: &str, how: &str) -> Result<(), Stop> {
    match (name(service)?, how) {
        (ServiceName::Dhcp, "normal") => services.dhcp().map_err(bench)?.answer(DhcpAnswer::Normal),
        (ServiceName::Dhcp, "nak") => services.dhcp().map_err(bench)?.answer(DhcpAnswer::Nak),
        (ServiceName::Dhcp, "garbage") => {
            services.dhcp().map_err(bench)?.answer(DhcpAnswer::Garbage);
        }
        (ServiceName::Router, how @ ("normal" | "withdrawn" | "garbage")) => {
            let answer = match how {
                "normal" => RouterAnswer::Normal,
                "withdrawn" => RouterAnswer::Withdrawn,
                _ => RouterAnswer::Garbage,
            };
            services.router().map_err(bench)?.answer(answer);
        }
        (ServiceName::Dns, "normal") => services.dns().answer(DnsAnswer::Normal),
        (ServiceName::Dns, "servfail") => services.dns().answer(DnsAnswer::ServFail),
        (ServiceName::Dns, "refused") => services.dns().answer(DnsAnswer::Refused),
        (ServiceName::Dns, "nxdomain") => services.dns().answer(DnsAnswer::NxDomain),
        (ServiceName::Dns, "garbage") => services.dns().answer(DnsAnswer::Garbage),
        (ServiceName::Ntp, "normal") => services.ntp().answer(NtpAnswer::Normal),
        (ServiceName::Ntp, "unsynchronized") => services.ntp().answer(NtpAnswer::Unsynchronized),
        (ServiceName::Ntp, "zero") => services.ntp().answer(NtpAnswer::ZeroTime),
        (ServiceName::Ntp, "garbage") => services.ntp().answer(NtpAnswer::Garbage),
        (ServiceName::Mqtt, "normal") => services.mqtt().answer(MqttAnswer::Normal),
        (ServiceName::Mqtt, "garbage") => services.mqtt().answer(MqttAnswer::Garbage),
        (ServiceName::Mqtt, "drop") => services.mqtt().answer(MqttAnswer::Drop),
        (ServiceName::Update, "normal") => services.update().answer(UpdateAnswer::Normal),
        (ServiceName::Update, "error") => services.update().answer(UpdateAnswer::Status(500)),
        (ServiceName::Update, "garbage") => services.update().answer(UpdateAnswer::Garbage),
        (service, how) => {
            let known = match service {
                ServiceName::Dhcp => "normal, nak, garbage",
                ServiceName::Router => "normal, withdrawn, garbage",
                ServiceName::Dns => "normal, servfail, refused, nxdomain, garbage",
                ServiceName::Ntp => "normal, unsynchronized, zero, garbage",
                ServiceName::Mqtt => "normal, garbage, drop",
                ServiceName::Update => "normal, error, garbage",
                _ => "nothing that can be chosen",
            };
            let how = show::text(how);
            return Err(Stop::Script(format!(
                "service {service} can't answer {how}; it can answer: {known}"
            )));
        }
    }
    Ok(())
}

fn unknown<'a>(what: &str, word: &str, known: impl IntoIterator<Item = &'a str>) -> Stop {
    let known: Vec<&str> = known.into_iter().collect();
    Stop::Script(format!(
        "there is no {what} {}; there are {}",
        show::text(word),
        known.join(", ")
    ))
}

fn bench(error: ServiceError) -> Stop {
    provebench_bench::BenchError::from(error).into()
}
