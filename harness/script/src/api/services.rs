//! `t.services` and `t.services.NAME`: what the DUT finds on its network.

use std::fmt;
use std::str::FromStr as _;
use std::sync::Arc;

use allocative::Allocative;
use serde_json::json;
use starlark::any::ProvidesStaticType;
use starlark::environment::{Methods, MethodsBuilder};
use starlark::eval::Evaluator;
use starlark::starlark_module;
use starlark::values::float::UnpackFloat;
use starlark::values::list::UnpackList;
use starlark::values::none::{NoneOr, NoneType};
use starlark::values::structs::AllocStruct;
use starlark::values::{
    Heap, NoSerialize, StarlarkPagable, StarlarkPagablePanic, StarlarkValue, Value, ValueLike as _,
    starlark_value,
};
use starlark::{methods_static, starlark_simple_value};
use strum::VariantNames as _;

use super::blob::{Blob, Data};
use super::{seconds, session};
use crate::session::Session;
use crate::show;
use crate::stop::Stop;
use crate::unseen::SILENCE;
use provebench_network::losses::{Loss, Losses};
use provebench_network::services::{
    CertificateKind, Control, Effect, Record, Service as BenchService, ServiceError, TlsVersions,
};
use provebench_record::text::number;

/// The services around the DUT; each of the target's is an attribute.
#[derive(Debug, Clone, ProvidesStaticType, NoSerialize, StarlarkPagablePanic, Allocative)]
pub(super) struct Services {
    #[allocative(skip)]
    names: Arc<[String]>,
}
starlark_simple_value!(Services);
methods_static!(SERVICES_METHODS = services_methods);

impl Services {
    pub(super) fn new(names: Arc<[String]>) -> Self {
        Self { names }
    }
}

impl fmt::Display for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("services")
    }
}

#[starlark_value(type = "services")]
impl<'v> StarlarkValue<'v> for Services {
    fn get_methods() -> Option<&'static Methods> {
        Some(SERVICES_METHODS.methods())
    }

    fn get_attr(&self, attribute: &str, heap: Heap<'v>) -> Option<Value<'v>> {
        let name = self.names.iter().find(|name| *name == attribute)?;
        Some(heap.alloc(Service { name: name.clone() }))
    }

    fn dir_attr(&self) -> Vec<String> {
        self.names.to_vec()
    }
}

/// One of them, or its ports without TLS, by name. Whether there is one of that name is known when something is done to it.
#[derive(Debug, Clone, ProvidesStaticType, NoSerialize, StarlarkPagable, Allocative)]
pub(super) struct Service {
    pub(super) name: String,
}
starlark_simple_value!(Service);
methods_static!(SERVICE_METHODS = service_methods);

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "service {}", self.name)
    }
}

#[allow(clippy::elidable_lifetime_names)] // the macro takes no other
#[starlark_value(type = "service")]
impl<'v> StarlarkValue<'v> for Service {
    fn get_methods() -> Option<&'static Methods> {
        Some(SERVICE_METHODS.methods())
    }
}

/// The name of a service that is asked something.
fn own(this: Value<'_>) -> anyhow::Result<&str> {
    let service = this.downcast_ref::<Service>();
    let service = service.ok_or_else(|| anyhow::anyhow!("it is no service"))?;
    Ok(&service.name)
}

#[starlark_module]
fn service_methods(builder: &mut MethodsBuilder) {
    /// Its name.
    #[starlark(attribute)]
    fn name(this: Value<'_>) -> anyhow::Result<String> {
        Ok(own(this)?.to_owned())
    }

    /// The same service without TLS, which is closed until it is started.
    #[starlark(attribute)]
    fn plain(this: Value<'_>) -> anyhow::Result<Service> {
        let name = format!("{}-plain", own(this)?);
        Ok(Service { name })
    }

    /// Serves, or serves again.
    fn start<'v>(
        #[starlark(this)] this: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<Value<'v>> {
        switch(eval, "start", own(this)?, async |control| {
            control.start().await
        })
    }

    /// Closes the service's ports and cuts its connections: connecting is refused from then on.
    fn stop<'v>(
        #[starlark(this)] this: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<Value<'v>> {
        switch(eval, "stop", own(this)?, async |control| {
            control.stop().await
        })
    }

    /// Accepts, and says nothing.
    fn hang<'v>(
        #[starlark(this)] this: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<Value<'v>> {
        switch(eval, "hang", own(this)?, async |control| {
            control.hang().await
        })
    }

    /// Cuts the connections that are open; new ones are served.
    fn cut<'v>(
        #[starlark(this)] this: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<Value<'v>> {
        switch(eval, "cut", own(this)?, async |control| control.cut().await)
    }

    /// Answers this way from now on: "normal", or a wrong way that the service knows.
    fn answer<'v>(
        #[starlark(this)] this: Value<'v>,
        how: &str,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<NoneType> {
        answer(eval, own(this)?, how)
    }

    /// Presents this kind of certificate in new connections.
    fn present<'v>(
        #[starlark(this)] this: Value<'v>,
        certificate: &str,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<NoneType> {
        present(eval, own(this)?, certificate)
    }

    /// Offers these TLS versions in new connections: "1.2", "1.3" or "both".
    fn offer_tls<'v>(
        #[starlark(this)] this: Value<'v>,
        versions: &str,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<NoneType> {
        offer_tls(eval, own(this)?, versions)
    }

    /// What it has seen since: list of dicts, of one kind if given.
    fn since<'v>(
        #[starlark(this)] this: Value<'v>,
        mark: u64,
        #[starlark(default = NoneOr::None)] kind: NoneOr<&str>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<Value<'v>> {
        since(eval, mark, Some(own(this)?), kind.into_option())
    }

    /// Waits until it has seen something of a kind: its record as a dict, or None.
    fn wait<'v>(
        #[starlark(this)] this: Value<'v>,
        mark: u64,
        kind: &str,
        #[starlark(default = UnpackFloat(10.0))] timeout: UnpackFloat,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<Value<'v>> {
        wait(eval, mark, own(this)?, kind, timeout.0)
    }

    /// Has this file at this path from the next request on.
    fn publish<'v>(
        #[starlark(this)] this: Value<'v>,
        path: &str,
        data: Data<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<NoneType> {
        publish(eval, own(this)?, path, data)
    }

    /// Has a file no more; whether it was there.
    fn withdraw<'v>(
        #[starlark(this)] this: Value<'v>,
        path: &str,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<bool> {
        withdraw(eval, own(this)?, path)
    }
}

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
        answer(eval, service, how)
    }

    /// Presents this kind of certificate in new connections.
    fn present<'v>(
        #[starlark(this)] _this: Value<'v>,
        service: &str,
        certificate: &str,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<NoneType> {
        present(eval, service, certificate)
    }

    /// Offers these TLS versions in new connections: "1.2", "1.3" or "both".
    fn offer_tls<'v>(
        #[starlark(this)] _this: Value<'v>,
        service: &str,
        versions: &str,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<NoneType> {
        offer_tls(eval, service, versions)
    }

    /// Leaves the default router, or the name server, out of leases from now on, or has them in again.
    fn offer_lease<'v>(
        #[starlark(this)] _this: Value<'v>,
        #[starlark(default = true)] router: bool,
        #[starlark(default = true)] dns: bool,
        #[starlark(default = "dhcp")] service: &str,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<NoneType> {
        let session = session(eval)?;
        let arguments = json!({ "service": service, "router": router, "dns": dns });
        session.step("services.offer_lease", arguments, |_| {
            let dhcp = of(&session, service)?;
            dhcp.offer_lease(router, dns).map_err(fault)?;
            Ok(NoneType)
        })
    }

    /// Shifts the time that the time server tells, in seconds from the true one.
    fn set_time_offset<'v>(
        #[starlark(this)] _this: Value<'v>,
        offset: UnpackFloat,
        #[starlark(default = "ntp")] service: &str,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<NoneType> {
        let session = session(eval)?;
        let arguments = json!({ "service": service, "offset": offset.0 });
        session.step("services.set_time_offset", arguments, |_| {
            if !(offset.0.is_finite() && offset.0.abs() < 1e10) {
                return Err(Stop::Script(format!(
                    "offset = {} is not a valid duration in seconds",
                    number(offset.0)
                )));
            }
            let offset = time::Duration::seconds_f64(offset.0);
            let ntp = of(&session, service)?;
            ntp.set_time_offset(offset).map_err(fault)?;
            Ok(NoneType)
        })
    }

    /// Puts a file on a web server.
    fn publish<'v>(
        #[starlark(this)] _this: Value<'v>,
        path: &str,
        data: Data<'v>,
        #[starlark(default = "update")] service: &str,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<NoneType> {
        publish(eval, service, path, data)
    }

    /// Takes a file off a web server; whether it was there.
    fn withdraw<'v>(
        #[starlark(this)] _this: Value<'v>,
        path: &str,
        #[starlark(default = "update")] service: &str,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<bool> {
        withdraw(eval, service, path)
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
        since(eval, mark, service.into_option(), kind.into_option())
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
        wait(eval, mark, service, kind, timeout.0)
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

/// A service that is there.
fn of<'s>(session: &'s Session, name: &str) -> Result<&'s dyn BenchService, Stop> {
    let services = session.setup.bench.services()?;
    services.service(name).map_err(fault)
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
        let control = services.control(service).map_err(fault)?;
        let effect = json!(session.wait(async { act(control).await.map_err(fault) })?);
        note.result = effect.clone();
        Ok(heap.alloc(effect))
    })
}

fn answer(eval: &mut Evaluator<'_, '_, '_>, service: &str, how: &str) -> anyhow::Result<NoneType> {
    let session = session(eval)?;
    let arguments = json!({ "service": service, "how": how });
    session.step("services.answer", arguments, |_| {
        of(&session, service)?.answer_by_name(how).map_err(fault)?;
        Ok(NoneType)
    })
}

fn present(
    eval: &mut Evaluator<'_, '_, '_>,
    service: &str,
    certificate: &str,
) -> anyhow::Result<NoneType> {
    let session = session(eval)?;
    let arguments = json!({ "service": service, "certificate": certificate });
    session.step("services.present", arguments, |_| {
        let kind = CertificateKind::from_str(certificate)
            .map_err(|_| unknown("certificate", certificate, CertificateKind::VARIANTS))?;
        let tls = of(&session, service)?.tls().map_err(fault)?;
        tls.present(kind).map_err(fault)?;
        Ok(NoneType)
    })
}

fn offer_tls(
    eval: &mut Evaluator<'_, '_, '_>,
    service: &str,
    versions: &str,
) -> anyhow::Result<NoneType> {
    let session = session(eval)?;
    let arguments = json!({ "service": service, "versions": versions });
    session.step("services.offer_tls", arguments, |_| {
        let offered = TlsVersions::from_str(versions)
            .map_err(|_| unknown("choice of TLS versions", versions, TlsVersions::VARIANTS))?;
        let tls = of(&session, service)?.tls().map_err(fault)?;
        tls.offer(offered).map_err(fault)?;
        Ok(NoneType)
    })
}

fn publish(
    eval: &mut Evaluator<'_, '_, '_>,
    service: &str,
    path: &str,
    data: Data<'_>,
) -> anyhow::Result<NoneType> {
    let session = session(eval)?;
    let arguments = json!({ "service": service, "path": path, "data": show::bytes(data.0) });
    session.step("services.publish", arguments, |_| {
        if !path.starts_with('/') {
            return Err(Stop::Script(format!(
                "a path on a web server begins with /, and {} does not: nobody could ask for it",
                show::text(path)
            )));
        }
        let content = data.0.to_vec().into();
        of(&session, service)?
            .publish(path, content)
            .map_err(fault)?;
        Ok(NoneType)
    })
}

fn withdraw(eval: &mut Evaluator<'_, '_, '_>, service: &str, path: &str) -> anyhow::Result<bool> {
    let session = session(eval)?;
    let arguments = json!({ "service": service, "path": path });
    session.step("services.withdraw", arguments, |note| {
        let was_there = of(&session, service)?.withdraw(path).map_err(fault)?;
        note.result = was_there.into();
        Ok(was_there)
    })
}

fn since<'v>(
    eval: &mut Evaluator<'v, '_, '_>,
    mark: u64,
    service: Option<&str>,
    kind: Option<&str>,
) -> anyhow::Result<Value<'v>> {
    let heap = eval.heap();
    let session = session(eval)?;
    let arguments = json!({ "mark": mark, "service": service, "kind": kind });
    session.step("services.since", arguments, |note| {
        let services = session.setup.bench.services()?;
        // There has to be one of that name.
        let known = service.map(|service| services.control(service));
        known.transpose().map_err(fault)?;
        let wanted: Vec<Record> = services
            .since(mark)
            .into_iter()
            .filter(|record| is_wanted(record, service, kind))
            .collect();
        not_seen(&session, mark, service, &wanted)?;
        note.result = json!({ "records": wanted.len() });
        Ok(heap.alloc(json!(wanted)))
    })
}

fn wait<'v>(
    eval: &mut Evaluator<'v, '_, '_>,
    mark: u64,
    service: &str,
    kind: &str,
    timeout: f64,
) -> anyhow::Result<Value<'v>> {
    let heap = eval.heap();
    let session = session(eval)?;
    let arguments = json!({ "mark": mark, "service": service, "kind": kind, "timeout": timeout });
    session.step("services.wait", arguments, |note| {
        let services = session.setup.bench.services()?;
        services.control(service).map_err(fault)?;
        let limit = seconds("timeout", timeout)?;
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

/// Notes what is not known of a service since the mark. That nothing is told is no proof if the DUT's frames were missed.
fn not_seen(
    session: &Session,
    mark: u64,
    service: Option<&str>,
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

fn is_wanted(record: &Record, service: Option<&str>, kind: Option<&str>) -> bool {
    service.is_none_or(|service| record.service == *service)
        && kind.is_none_or(|kind| record.observation.kind() == kind)
}

fn unknown(what: &str, word: &str, known: &[&str]) -> Stop {
    Stop::Script(format!(
        "there is no {what} {}; there are {}",
        show::text(word),
        known.join(", ")
    ))
}

/// What a service does not do is the script's fault, what it could not do is the bench's.
fn fault(error: ServiceError) -> Stop {
    if error.is_misuse() {
        return Stop::Script(error.to_string());
    }
    provebench_bench::BenchError::from(error).into()
}
