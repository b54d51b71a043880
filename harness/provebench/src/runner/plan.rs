//! What will run on which device, in which order, and why the rest will not.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::filter::{Filter, FilterError, SelectedCase};
use super::progress::CaseProgress;
use provebench_bench::inventory::{Device, Inventory, InventoryError, Target};
use provebench_bench::{Capability, may_have_network};
use provebench_record::event::{CaseInfo, DeviceInfo, Event, Skip, SkipKind};
use provebench_script::{
    AttestationError, Attestations, Case, Comparison, Driver, Offer, PERSONALISE, PROVISION,
    Sample, ScriptError, State, Suite, Unit, UnitRun,
};
use provebench_standard::{CaseId, Catalogue, Ixit, Status, Support};

/// What will run.
#[derive(Debug)]
pub struct Plan<'a> {
    /// For each selected device, in the inventory's order.
    pub devices: Vec<DevicePlan<'a>>,
    /// The selected cases, in the standard's order.
    pub cases: Vec<&'a Case>,
    /// The cases that the filter left out.
    pub unselected: BTreeSet<CaseId>,
    /// Selected devices that nothing is wired to: their labels are compared with those of others, and no more.
    pub labels: Vec<&'a Device>,
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
    pub skip: Vec<(CaseId, NotRun)>,
    /// What the driver has actions for on the device, and what is declared.
    pub compared: Vec<Comparison>,
    /// How far cases came before the run was resumed.
    pub(super) earlier: BTreeMap<CaseId, CaseProgress>,
    /// The run was killed while it had the device: whoever resumes it has to leave that in order, even if nothing else
    /// is left to do.
    pub(super) was_left: bool,
}

/// A case that will run, and as what it wants the device.
#[derive(Clone, Debug)]
pub struct PlannedCase<'a> {
    /// The case.
    pub case: &'a Case,
    /// The sample that the device is personalised as; none if the driver can't, and the case takes any.
    pub sample: Option<Sample>,
    /// What its units lack.
    pub lacks: UnitLacks,
    /// Its units in order, each for every row of the IXIT that it is for.
    pub runs: Vec<UnitRun>,
    /// Units that were not selected: they are not run.
    pub unselected: BTreeSet<char>,
}

impl PlannedCase<'_> {
    /// Selects only these units.
    pub(super) fn leave_out(&mut self, unselected: BTreeSet<char>) {
        self.runs
            .retain(|run| !unselected.contains(&run.name.letter));
        self.unselected = unselected;
    }

    /// The case's identifier, with its units if not all of them were selected: `5.11-1-2:b,d`.
    pub fn name(&self) -> String {
        let id = &self.case.id;
        if self.unselected.is_empty() {
            return id.to_string();
        }
        let units = self.case.units.iter().map(|unit| unit.letter);
        let units = units.filter(|letter| !self.unselected.contains(letter));
        let units: Vec<String> = units.map(String::from).collect();
        format!("{id}:{}", units.join(","))
    }
}

/// Why a case is not run on a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotRun {
    /// It can't be, or there is nothing to show.
    Skipped(Skip),
    /// The supplier's declaration says that a mandatory provision is not met, and how: FAIL.
    NotMet(String),
}

impl NotRun {
    /// The reason.
    pub fn reason(&self) -> &str {
        match self {
            Self::Skipped(skip) => &skip.reason,
            Self::NotMet(reason) => reason,
        }
    }

    pub(super) fn event(&self, device: &str, case: &CaseId) -> Event {
        let (device, case) = (device.to_owned(), case.clone());
        match self.clone() {
            Self::Skipped(skip) => Event::CaseSkipped { device, case, skip },
            Self::NotMet(reason) => Event::DeclaredNotMet {
                device,
                case,
                reason,
            },
        }
    }
}

/// What units of a case lack on a device, each with the reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnitLacks {
    /// Those that can't run.
    pub to_run: BTreeMap<char, String>,
    /// Those that can run, and fail, but not pass.
    pub to_pass: BTreeMap<char, String>,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum PlanError {
    /// The filter.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Filter(#[from] FilterError),
    /// None of the selected devices can be run anything on.
    #[error("nothing is wired to {0}: there is nothing to run anything on")]
    #[diagnostic(
        code(plan),
        help(
            "devices with a label only are there for others to be compared with; docs/bench.md says what else they may have in devices.toml"
        )
    )]
    LabelsOnly(String),
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
            driver: Arc::new(Driver::of(target)?),
            attestations: Arc::new(Attestations::of(target)?),
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
        let (labels, wired): (Vec<_>, Vec<_>) = selected
            .devices
            .into_iter()
            .partition(|(device, _)| device.is_label_only());
        let labels: Vec<&Device> = labels.into_iter().map(|(device, _)| device).collect();
        if wired.is_empty() {
            let names: Vec<&str> = labels.iter().map(|device| device.name.as_str()).collect();
            return Err(PlanError::LabelsOnly(names.join(", ")));
        }
        for (device, cases) in wired {
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
            labels,
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
                info.has_siblings = !plan.siblings.is_empty();
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

    /// What is not selected of cases that are, on each device, as told to those who watch.
    pub fn unselected_units(&self) -> BTreeMap<String, BTreeMap<CaseId, BTreeSet<char>>> {
        let devices = self.devices.iter().map(|plan| {
            let run = plan.run.iter().filter(|p| !p.unselected.is_empty());
            let cases = run.map(|p| (p.case.id.clone(), p.unselected.clone()));
            (plan.device.name.clone(), cases.collect::<BTreeMap<_, _>>())
        });
        devices.filter(|(_, cases)| !cases.is_empty()).collect()
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
        cases: &[SelectedCase<'a>],
    ) -> Self {
        let mut capabilities = device.capabilities();
        if !device.provider.cable().is_some_and(may_have_network) {
            capabilities.remove(&Capability::Net);
            capabilities.remove(&Capability::Services);
        }
        let functions = product.driver.functions();
        let offer = Offer::of(device, capabilities, functions, &siblings);
        let mut run = Vec::new();
        let mut skip = Vec::new();
        for selected in cases {
            match lacks(device, &offer, selected) {
                Ok(lacks) => run.push((selected.clone(), lacks)),
                Err(reason) => skip.push((selected.case.id.clone(), reason)),
            }
        }
        let run = in_order(run, can_personalise(&offer), &device.target.ixit);
        let compared = if run.is_empty() {
            Vec::new()
        } else {
            product.driver.compare(device, &offer)
        };
        Self {
            device,
            driver: product.driver,
            attestations: product.attestations,
            siblings,
            run,
            skip,
            compared,
            earlier: BTreeMap::new(),
            was_left: false,
        }
    }

    /// What is declared and the driver has no actions for, where a planned case tries it.
    pub fn undriven(&self) -> Vec<String> {
        let compared = self.compared.iter();
        let tried = compared.filter(|comparison| {
            let mut cases = self.run.iter();
            cases.any(|planned| planned.case.reads.contains(comparison.table))
        });
        tried.filter_map(Comparison::remark).collect()
    }

    /// What nobody but whoever runs it sees to, on a device that no probe programs.
    pub fn notes(&self) -> Vec<&'static str> {
        let has = |function| self.driver.functions().contains(function);
        let capabilities = self.device.capabilities();
        let mut notes = Vec::new();
        if self.run.is_empty() || capabilities.contains(&Capability::Probe) {
            return notes;
        }
        if !has(PROVISION) {
            notes.push("the firmware is what is on the device: no probe, and the driver has no function provision. See to it that it is the declared one");
        }
        if !has(PERSONALISE) {
            notes.push("the sample is what the device is: the driver has no function personalise");
            if !has(PROVISION) && capabilities.contains(&Capability::Services) {
                notes.push("nothing brings the run's certificate authority, which is new in each run, into the product: the driver has no function personalise that could");
            }
        }
        notes
    }

    pub(super) fn planned(&self, case: &CaseId) -> Option<&PlannedCase<'a>> {
        self.run.iter().find(|planned| planned.case.id == *case)
    }

    pub(super) fn begun(&self, case: &CaseId) -> CaseProgress {
        self.earlier.get(case).cloned().unwrap_or_default()
    }
}

/// What the units of a case lack, or why none of them can be run.
fn lacks(device: &Device, offer: &Offer, selected: &SelectedCase<'_>) -> Result<UnitLacks, NotRun> {
    let SelectedCase { case, unselected } = selected;
    let units = || {
        let units = case.units.iter();
        units.filter(|unit| !unselected.contains(&unit.letter))
    };
    let provision = &case.id.provision;
    if let Some(claim) = device.target.ics.get(provision) {
        let status = Catalogue::shipped().provision(provision).map(|p| &p.status);
        let is_mandatory = status.is_some_and(|status| status.mandatory);
        let is_unconditional = status.is_some_and(Status::is_unconditional);
        let said = match claim.support {
            Support::Yes => None,
            Support::No if is_mandatory => Some((true, "mandatory, and not met")),
            Support::No => Some((false, "recommended, and not met")),
            // There is no product that it does not apply to.
            Support::NotApplicable if is_mandatory && is_unconditional => {
                Some((true, "mandatory for every product, and not applicable"))
            }
            Support::NotApplicable => Some((false, "not applicable")),
        };
        if let Some((is_fail, said)) = said {
            let detail = match claim.detail.as_str() {
                "" => String::new(),
                detail => format!(": {detail}"),
            };
            let reason = format!("{provision} is {said} according to the ICS{detail}");
            return Err(if is_fail {
                NotRun::NotMet(reason)
            } else {
                let kind = SkipKind::NotApplicable;
                NotRun::Skipped(Skip { kind, reason })
            });
        }
    }
    let missing = |reason| {
        let kind = SkipKind::Missing;
        NotRun::Skipped(Skip { kind, reason })
    };
    let implied = implied_needs(case);
    if let Some(reason) = offer.lacks_of(case.needs.iter().chain(&implied)) {
        return Err(missing(reason));
    }
    let of_units = |needs: fn(&Unit) -> &Vec<Capability>| -> BTreeMap<char, String> {
        let lacks = units().map(|unit| (unit.letter, offer.lacks_of(needs(unit))));
        lacks.filter_map(|(l, lacks)| Some((l, lacks?))).collect()
    };
    let to_run = of_units(|unit| &unit.needs);
    if to_run.len() == units().count() {
        return Err(missing(of_all(&to_run)));
    }
    let mut to_pass = of_units(|unit| &unit.pass_needs);
    to_pass.retain(|letter, _| !to_run.contains_key(letter));
    Ok(UnitLacks { to_run, to_pass })
}

/// The reasons of all units in one text, each reason once.
fn of_all(reasons: &BTreeMap<char, String>) -> String {
    let mut told: Vec<(&str, Vec<String>)> = Vec::new();
    for (letter, reason) in reasons {
        match told.iter_mut().find(|(known, _)| known == reason) {
            Some((_, letters)) => letters.push(letter.to_string()),
            None => told.push((reason, vec![letter.to_string()])),
        }
    }
    if let [(reason, _)] = &told[..] {
        return (*reason).to_owned();
    }
    let told = told.iter();
    let told: Vec<String> = told
        .map(|(reason, letters)| format!("{}: {reason}", letters.join(", ")))
        .collect();
    told.join("; ")
}

/// What it takes to bring about the state and the sample that a case asks for, and to bring the firmware back.
fn implied_needs(case: &Case) -> Vec<Capability> {
    let mut needs = Vec::new();
    match case.state {
        State::FactoryDefault => needs.push(Capability::Dut("to_factory_default".into())),
        State::Initialized => needs.push(Capability::Dut("to_initialized".into())),
        State::Any => {}
    }
    let mut of_units = case
        .units
        .iter()
        .flat_map(|u| u.needs.iter().chain(&u.pass_needs));
    if case.alters_firmware && !of_units.any(|need| *need == Capability::Reimage) {
        needs.push(Capability::Reimage);
    }
    if case.sample != Sample::Any {
        needs.push(Capability::Sample(case.sample.as_str().into()));
    }
    needs.retain(|need| !case.needs.contains(need));
    needs
}

fn can_personalise(offer: &Offer) -> bool {
    let functions = [PERSONALISE, PROVISION];
    functions
        .iter()
        .any(|name| offer.has(&Capability::Dut((*name).into())))
}

/// All cases on one sample, then all on the other: turning a production sample back costs a mass
/// erase. Cases that take any join those that are there anyway. On each sample, those that alter
/// the firmware come last, so that the last need not be repaired for nothing; the rest goes by
/// state, then as in the standard.
fn in_order<'a>(
    cases: Vec<(SelectedCase<'a>, UnitLacks)>,
    can_personalise: bool,
    ixit: &Ixit,
) -> Vec<PlannedCase<'a>> {
    let is_wanted = |sample| {
        cases
            .iter()
            .any(|(selected, _)| selected.case.sample == sample)
    };
    let default = match (can_personalise, is_wanted(Sample::Engineering)) {
        (false, _) => None,
        (true, false) if is_wanted(Sample::Production) => Some(Sample::Production),
        (true, _) => Some(Sample::Engineering),
    };
    let mut planned: Vec<PlannedCase<'a>> = cases
        .into_iter()
        .map(|(SelectedCase { case, unselected }, lacks)| {
            let mut planned = PlannedCase {
                case,
                sample: match case.sample {
                    Sample::Any => default,
                    sample => can_personalise.then_some(sample),
                },
                lacks,
                runs: case.runs(ixit),
                unselected: BTreeSet::new(),
            };
            planned.leave_out(unselected);
            planned
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
