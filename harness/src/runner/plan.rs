//! What will run on which device, in which order, and why the rest will not.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::filter::{Filter, FilterError};
use super::resume::Begun;
use crate::bench::network;
use crate::event::{CaseInfo, DeviceInfo, Skip, SkipKind};
use crate::inventory::{Attachment, Device, Inventory, InventoryError, Target};
use crate::script::{
    AttestationError, Attestations, Case, Driver, Need, Offer, Sample, ScriptError, State, Suite,
};
use crate::standard::{CaseId, Catalogue, Status, Support};

/// What will run.
#[derive(Debug)]
pub struct Plan<'a> {
    /// For each selected device, in the inventory's order.
    pub devices: Vec<DevicePlan<'a>>,
    /// The selected cases, in the standard's order.
    pub cases: Vec<&'a Case>,
    /// The cases that the filter left out.
    pub unselected: BTreeSet<CaseId>,
}

/// What will run on one device.
#[derive(Debug)]
pub struct DevicePlan<'a> {
    /// The device.
    pub device: &'a Device,
    /// The product's driver.
    pub driver: Arc<Driver>,
    /// What assessors have answered about the product.
    pub attestations: Arc<Attestations>,
    /// Other devices of the target.
    pub siblings: Vec<Device>,
    /// In the order in which they run.
    pub run: Vec<PlannedCase<'a>>,
    /// In the standard's order.
    pub skip: Vec<(CaseId, Skip)>,
    /// How far cases came before the run was resumed.
    pub(super) earlier: BTreeMap<CaseId, Begun>,
    /// The run was killed while it had the device: whoever resumes it has to leave that in order, even if nothing else
    /// is left to do.
    pub(super) was_left: bool,
}

/// A case that will run, and as what it wants the device.
#[derive(Clone, Copy, Debug)]
pub struct PlannedCase<'a> {
    /// The case.
    pub case: &'a Case,
    /// The sample that the device is personalised as; none if the driver can't, and the case takes any.
    pub sample: Option<Sample>,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum PlanError {
    /// The filter.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Filter(#[from] FilterError),
    /// A driver.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Driver(#[from] ScriptError),
    /// Assessors' answers.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Attestations(#[from] AttestationError),
}

/// What is read once per target, beside what the inventory holds of it.
#[derive(Clone)]
struct Product {
    driver: Arc<Driver>,
    attestations: Arc<Attestations>,
}

impl Product {
    fn load(target: &Target) -> Result<Self, PlanError> {
        Ok(Self {
            driver: Arc::new(Driver::load(&target.driver)?),
            attestations: Arc::new(Attestations::load(&target.attestations())?),
        })
    }
}

impl<'a> Plan<'a> {
    /// Makes the plan. Touches no device.
    pub fn new(
        inventory: &'a Inventory,
        suite: &'a Suite,
        filter: Filter<'_>,
    ) -> Result<Self, PlanError> {
        let selected = filter.select(&inventory.devices, suite.cases())?;
        let mut products: HashMap<&str, Product> = HashMap::new();
        let mut devices = Vec::new();
        for (device, cases) in selected.devices {
            let product = match products.entry(&device.target.name) {
                Entry::Occupied(known) => known.get().clone(),
                Entry::Vacant(new) => new.insert(Product::load(&device.target)?).clone(),
            };
            let siblings = inventory.siblings(device).cloned().collect();
            devices.push(DevicePlan::new(device, product, siblings, &cases));
        }
        Ok(Self {
            devices,
            unselected: unselected(suite, &selected.cases),
            cases: selected.cases,
        })
    }

    /// The devices, as told to those who watch.
    pub fn device_infos(&self) -> Vec<DeviceInfo> {
        let devices = self.devices.iter();
        devices
            .map(|plan| {
                let mut info = DeviceInfo::from(plan.device);
                // What can't be read is told by the cases that need it.
                if !plan.run.is_empty() {
                    info.digests = digests(plan.device).unwrap_or_default();
                }
                info
            })
            .collect()
    }

    /// What is selected on each device, as told to those who watch.
    pub fn planned(&self) -> BTreeMap<String, BTreeSet<CaseId>> {
        let devices = self.devices.iter().map(|plan| {
            let run = plan.run.iter().map(|planned| &planned.case.id);
            let skip = plan.skip.iter().map(|(id, _)| id);
            let cases = run.chain(skip).cloned().collect();
            (plan.device.name.clone(), cases)
        });
        devices.collect()
    }

    /// The cases, as told to those who watch.
    pub fn case_infos(&self) -> BTreeMap<CaseId, CaseInfo> {
        self.cases
            .iter()
            .map(|case| {
                let units = case.units.iter();
                let info = CaseInfo {
                    title: title(&case.doc).to_owned(),
                    file: case.file.clone(),
                    units: units.map(|u| (u.letter, u.doc.clone())).collect(),
                };
                (case.id.clone(), info)
            })
            .collect()
    }
}

/// SHA-256 of each image of the device's set.
pub(super) fn digests(device: &Device) -> Result<BTreeMap<String, String>, InventoryError> {
    let images = device.image_set().values();
    images
        .map(|image| {
            let digest = Sha256::digest(image.read()?);
            Ok((image.name.clone(), hex::encode(digest)))
        })
        .collect()
}

fn unselected(suite: &Suite, selected: &[&Case]) -> BTreeSet<CaseId> {
    let selected: BTreeSet<&CaseId> = selected.iter().map(|case| &case.id).collect();
    let all = suite.cases().iter().map(|case| &case.id);
    all.filter(|id| !selected.contains(id)).cloned().collect()
}

/// The first line of a docstring.
pub fn title(doc: &str) -> &str {
    doc.trim().lines().next().unwrap_or_default()
}

impl<'a> DevicePlan<'a> {
    fn new(
        device: &'a Device,
        product: Product,
        siblings: Vec<Device>,
        cases: &[&'a Case],
    ) -> Self {
        let mut capabilities = device.capabilities();
        let is_allowed = match device.attachment {
            Attachment::Virtual(_) => network::is_allowed(),
            Attachment::Real(_) => network::is_allowed() && network::may_take_interfaces(),
        };
        if !is_allowed {
            capabilities.retain(|word| word != "net" && word != "services");
        }
        let offer = Offer {
            capabilities,
            functions: product.driver.functions().clone(),
            images: device.image_set().keys().cloned().collect(),
            siblings: !siblings.is_empty(),
        };
        let mut run = Vec::new();
        let mut skip = Vec::new();
        for case in cases {
            match why_not(device, &offer, case) {
                None => run.push(*case),
                Some(reason) => skip.push((case.id.clone(), reason)),
            }
        }
        let run = in_order(&run, can_personalise(&offer));
        Self {
            device,
            driver: product.driver,
            attestations: product.attestations,
            siblings,
            run,
            skip,
            earlier: BTreeMap::new(),
            was_left: false,
        }
    }

    pub(super) fn planned(&self, case: &CaseId) -> Option<&PlannedCase<'a>> {
        self.run.iter().find(|planned| planned.case.id == *case)
    }

    pub(super) fn begun(&self, case: &CaseId) -> Begun {
        self.earlier.get(case).copied().unwrap_or_default()
    }
}

fn why_not(device: &Device, offer: &Offer, case: &Case) -> Option<Skip> {
    let provision = &case.id.provision;
    if let Some(claim) = device.target.ics.get(provision) {
        let status = Catalogue::shipped().provision(provision).map(|p| &p.status);
        let is_mandatory = status.is_some_and(|status| status.mandatory);
        let is_unconditional = status.is_some_and(Status::is_unconditional);
        let said = match claim.support {
            Support::Yes => None,
            Support::No if is_mandatory => Some((SkipKind::NotMet, "mandatory, and not met")),
            Support::No => Some((SkipKind::NotApplicable, "recommended, and not met")),
            // There is no product that it does not apply to.
            Support::NotApplicable if is_mandatory && is_unconditional => Some((
                SkipKind::NotMet,
                "mandatory for every product, and not applicable",
            )),
            Support::NotApplicable => Some((SkipKind::NotApplicable, "not applicable")),
        };
        if let Some((kind, said)) = said {
            let detail = match claim.detail.as_str() {
                "" => String::new(),
                detail => format!(": {detail}"),
            };
            return Some(Skip {
                kind,
                reason: format!("{provision} is {said} according to the ICS{detail}"),
            });
        }
    }
    let implied = implied_needs(case);
    let lacks = offer.lacks_of(case.needs.iter().chain(&implied));
    lacks.map(|reason| Skip {
        kind: SkipKind::Missing,
        reason,
    })
}

/// What it takes to bring about the state and the sample that a case asks for.
fn implied_needs(case: &Case) -> Vec<Need> {
    let mut needs = Vec::new();
    match case.state {
        State::FactoryDefault => needs.push(Need::Dut("to_factory_default".into())),
        State::Initialized => needs.push(Need::Dut("to_initialized".into())),
        State::Any => {}
    }
    if case.sample != Sample::Any || case.alters_firmware {
        needs.push(Need::Probe);
    }
    if case.sample != Sample::Any {
        needs.push(Need::Dut("personalise".into()));
    }
    needs.retain(|need| !case.needs.contains(need));
    needs
}

fn can_personalise(offer: &Offer) -> bool {
    let functions = [Need::Probe, Need::Dut("personalise".into())];
    functions.iter().all(|need| offer.lacks(need).is_none())
}

/// All cases on one sample, then all on the other: turning a production sample back costs a mass
/// erase. Cases that take any join those that are there anyway. On each sample, those that alter
/// the firmware come last, so that the last need not be repaired for nothing; the rest goes by
/// state, then as in the standard.
fn in_order<'a>(cases: &[&'a Case], can_personalise: bool) -> Vec<PlannedCase<'a>> {
    let is_wanted = |sample| cases.iter().any(|case| case.sample == sample);
    let default = match (can_personalise, is_wanted(Sample::Engineering)) {
        (false, _) => None,
        (true, false) if is_wanted(Sample::Production) => Some(Sample::Production),
        (true, _) => Some(Sample::Engineering),
    };
    let mut planned: Vec<PlannedCase<'_>> = cases
        .iter()
        .map(|case| PlannedCase {
            case,
            sample: match case.sample {
                Sample::Any => default,
                sample => Some(sample),
            },
        })
        .collect();
    planned.sort_by_key(|p| {
        (
            p.sample == Some(Sample::Production),
            p.case.alters_firmware,
            match p.case.state {
                State::FactoryDefault => 0,
                State::Any => 1,
                State::Initialized => 2,
            },
            p.case.id.clone(),
        )
    });
    planned
}
