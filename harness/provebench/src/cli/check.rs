use std::collections::BTreeMap;

use clap::Args;
use miette::Report;

use super::context::Files;
use super::exit::Exit;
use super::output::{out, plural, tell};
use provebench_script::{Attestations, Driver};

/// Check devices, targets, images, drivers and test cases; shows all that is wrong, touches no device
#[derive(Debug, Args)]
pub(super) struct Arguments {}

pub(super) fn act(files: &Files) -> Exit {
    let mut problems: Vec<Report> = Vec::new();
    let mut checked: Vec<String> = Vec::new();

    match files.suite() {
        Ok(suite) => checked.push(plural(suite.cases().len(), "test case")),
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
                if let Err(error) = Driver::of(target) {
                    problems.push(error.into());
                }
                let answers = Attestations::of(target);
                if let Err(error) = answers.and_then(|answers| answers.check_evidence()) {
                    problems.push(error.into());
                }
            }
        }
        Err(failure) => problems.push(failure.report),
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
