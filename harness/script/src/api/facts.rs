//! What is known of device and target before anything runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value as Json, json};
use starlark::values::structs::AllocStruct;
use starlark::values::{Heap, Value};

use crate::memory::Memory;
use provebench_bench::Capability;
use provebench_bench::inventory::{Device, MemoryRole, Target};
use provebench_standard::Row;

/// The constant attributes of `t` and `d`.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    device: DeviceFacts,
    siblings: Vec<DeviceFacts>,
    images: Vec<String>,
    services: Arc<[String]>,
    target: TargetFacts,
    /// Which field of the label has the secret of a row, by table and id.
    secrets: BTreeMap<(String, String), String>,
    /// What bench, driver and device offer, for a driver that is asked without a device.
    dry: Option<BTreeSet<Capability>>,
    /// Not constant: what is known from one call of the driver to the next.
    memory: Arc<Memory>,
}

#[derive(Debug, Default)]
struct DeviceFacts {
    name: String,
    tags: Vec<String>,
    label: BTreeMap<String, String>,
    options: BTreeMap<String, String>,
}

#[derive(Debug, Default)]
struct TargetFacts {
    name: String,
    product: Json,
    options: Json,
    timing: Json,
    memory: Vec<(String, String, u64, u64)>,
}

impl Facts {
    pub(crate) fn of(device: &Device, siblings: &[Device], memory: Arc<Memory>) -> Self {
        Self {
            device: DeviceFacts::of(device),
            siblings: siblings.iter().map(DeviceFacts::of).collect(),
            images: device.image_set().keys().cloned().collect(),
            services: device
                .target
                .services()
                .map(|(name, _)| name.into())
                .collect(),
            target: TargetFacts::of(&device.target),
            secrets: SECRETS
                .iter()
                .flat_map(|table| device.target.ixit.rows(table))
                .filter_map(|row| {
                    let field = label_field(&row)?;
                    Some(((row.table, row.id), field))
                })
                .collect(),
            dry: None,
            memory,
        }
    }

    /// For a driver that is asked what it can do on a device, which is not touched.
    pub(crate) fn dry(device: &Device, offer: BTreeSet<Capability>) -> Self {
        Self {
            dry: Some(offer),
            ..Self::of(device, &[], Arc::default())
        }
    }

    /// What is on offer, where there is no session to ask.
    pub(super) fn dry_offer(&self) -> Option<&BTreeSet<Capability>> {
        self.dry.as_ref()
    }

    /// The field of the label that has the secret of a row.
    pub(super) fn secret_field(&self, table: &str, id: &str) -> Option<&str> {
        let key = (table.to_owned(), id.to_owned());
        self.secrets.get(&key).map(String::as_str)
    }

    /// A field of the device's label.
    pub(super) fn on_label(&self, field: &str) -> Option<&str> {
        self.device.label.get(field).map(String::as_str)
    }

    /// The device's name.
    pub(super) fn name(&self) -> &str {
        &self.device.name
    }

    /// The secret in force: the one that was set last, else that on the label.
    pub(super) fn in_force(&self, field: &str) -> Option<String> {
        let on_label = || self.on_label(field).map(str::to_owned);
        self.memory.secret(field).or_else(on_label)
    }

    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }

    pub(super) fn device<'v>(&self, heap: Heap<'v>) -> Value<'v> {
        self.device.alloc(heap)
    }

    pub(super) fn siblings<'v>(&self, heap: Heap<'v>) -> Value<'v> {
        let all: Vec<_> = self.siblings.iter().map(|s| s.alloc(heap)).collect();
        heap.alloc(all)
    }

    pub(super) fn images<'v>(&self, heap: Heap<'v>) -> Value<'v> {
        heap.alloc(self.images.clone())
    }

    /// Names of the services around the DUT.
    pub(super) fn services(&self) -> Arc<[String]> {
        self.services.clone()
    }

    pub(super) fn target<'v>(&self, heap: Heap<'v>) -> Value<'v> {
        let memory: Vec<_> = self
            .target
            .memory
            .iter()
            .map(|(name, role, start, size)| {
                heap.alloc(AllocStruct([
                    ("name", heap.alloc(name)),
                    ("role", heap.alloc(role)),
                    ("start", heap.alloc(*start)),
                    ("size", heap.alloc(*size)),
                ]))
            })
            .collect();
        heap.alloc(AllocStruct([
            ("name", heap.alloc(&self.target.name)),
            ("product", heap.alloc(&self.target.product)),
            ("options", heap.alloc(&self.target.options)),
            ("timing", heap.alloc(&self.target.timing)),
            ("memory", heap.alloc(memory)),
        ]))
    }
}

impl DeviceFacts {
    fn of(device: &Device) -> Self {
        Self {
            name: device.name.clone(),
            tags: device.tags.clone(),
            label: device.label.clone(),
            options: device.options.clone(),
        }
    }

    fn alloc<'v>(&self, heap: Heap<'v>) -> Value<'v> {
        heap.alloc(AllocStruct([
            ("name", heap.alloc(&self.name)),
            ("tags", heap.alloc(self.tags.clone())),
            ("label", heap.alloc(self.label.clone())),
            ("options", heap.alloc(self.options.clone())),
        ]))
    }
}

impl TargetFacts {
    fn of(target: &Target) -> Self {
        let mut product = json!(target.product);
        product["model"] = json!(target.model);
        let timing = &target.timing;
        Self {
            name: target.name.clone(),
            product,
            options: json!(target.options),
            timing: json!({
                "boot": timing.boot.as_secs_f64(),
                "reset": timing.reset.as_secs_f64(),
                "update": timing.update.as_secs_f64(),
            }),
            memory: target
                .memory
                .iter()
                .map(|region| {
                    let size = region.range.end - region.range.start;
                    let role = role(region.role).to_owned();
                    (region.name.clone(), role, region.range.start, size)
                })
                .collect(),
        }
    }
}

/// Tables whose rows have secrets.
const SECRETS: [&str; 2] = ["1-AuthMech", "10-SecParam"];

/// The field of a device's label that has the secret of a row: `label` says it; what somebody logs in with is the
/// `password` unless it does.
pub(super) fn label_field(row: &Row) -> Option<String> {
    let said = row.get("label").and_then(|field| field.as_str());
    said.or((row.table == "1-AuthMech").then_some("password"))
        .map(str::to_owned)
}

/// The role's word in `target.toml`.
fn role(role: MemoryRole) -> &'static str {
    match role {
        MemoryRole::Code => "code",
        MemoryRole::Nvm => "nvm",
        MemoryRole::UserData => "user-data",
        MemoryRole::Personalisation => "personalisation",
    }
}
