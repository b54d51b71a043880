use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use miette::Report;

use super::context::Files;
use super::exit::Exit;
use super::output::{out, plural, tell};
use provebench_bench::inventory::{Inventory, Target};
use provebench_record::text::printable;
use provebench_script::{Attestations, Comparison, Driver, Offer};

/// Check devices, targets, images, drivers and test cases; shows all that is wrong, touches no device
#[derive(Debug, Args)]
pub(super) struct Arguments {}

pub(super) fn act(files: &Files) -> Exit {
    let mut problems: Vec<Report> = Vec::new();
    let mut checked: Vec<String> = Vec::new();
    let mut notes = BTreeSet::new();

    match files.suite() {
        Ok(mut suite) => {
            checked.push(plural(suite.cases().len(), "test case"));
            problems.extend(suite.take_findings().into_iter().map(Report::new));
        }
        Err(error) => problems.push(error.into()),
    }
    match files.inventory() {
        Ok(inventory) => {
            checked.push(plural(inventory.devices.len(), "device"));
            let mut targets = BTreeMap::new();
            for device in &inventory.devices {
                targets.insert(&device.target.name, &device.target);
                if let Err(error) = device.check_images() {
                    problems.push(error.into());
                }
            }
            checked.push(plural(targets.len(), "target"));
            for target in targets.into_values() {
                match Driver::of(target) {
                    Err(error) => problems.push(error.into()),
                    Ok(driver) => compare(&inventory, target, &driver, &mut problems, &mut notes),
                }
                let answers = Attestations::of(target);
                if let Err(error) = answers.and_then(|answers| answers.check_evidence()) {
                    problems.push(error.into());
                }
            }
        }
        Err(failure) => problems.push(failure.report),
    }

    for note in notes {
        out(&format!("note: {}\n", printable(&note)));
    }
    if problems.is_empty() {
        out(&format!("{}: nothing wrong\n", checked.join(", ")));
        return Exit::Ok;
    }
    for problem in &problems {
        tell(&format!("{problem:?}\n"));
    }
    Exit::Usage
}

/// Compares what a product's driver has actions for with what is declared, on each device: rows that nobody declares are
/// wrong, declared ones without actions are told.
fn compare(
    inventory: &Inventory,
    target: &Target,
    driver: &Driver,
    problems: &mut Vec<Report>,
    notes: &mut BTreeSet<String>,
) {
    let mut strange = BTreeSet::new();
    let devices = inventory.devices.iter();
    for device in devices.filter(|d| d.target.name == target.name && !d.is_label_only()) {
        let siblings: Vec<_> = inventory.siblings(device).cloned().collect();
        let functions = driver.functions();
        let offer = Offer::of(device, device.capabilities(), functions, &siblings);
        for comparison in driver.compare(device, &offer) {
            let Comparison {
                function, table, ..
            } = comparison;
            for row in &comparison.without_row {
                strange.insert((function, table, row.clone()));
            }
            notes.extend(
                comparison
                    .remark()
                    .map(|remark| format!("{}: {remark}", device.name)),
            );
        }
    }
    for (function, table, row) in strange {
        problems.push(miette::miette!(
            code = "driver",
            help = "write it down in ixit.toml, with this id; or correct the id in the driver",
            "{}: {function} has actions for {row:?}, and IXIT {table} declares no such row",
            driver.file()
        ));
    }
}
