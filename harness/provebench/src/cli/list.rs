use std::collections::BTreeMap;

use clap::{Args, Subcommand, ValueEnum};

use super::context::Files;
use super::exit::{Exit, Failure};
use super::output::{out, table};
use crate::runner::lease::Holder;
use crate::runner::{Lease, title};
use crate::scan::{Found, propose};
use provebench_bench::Capability;
use provebench_bench::inventory::{Device, Target};
use provebench_record::text::printable;
use provebench_script::Unit;
use provebench_standard::Support;

/// Show devices, test cases or targets
#[derive(Debug, Args)]
pub(super) struct Arguments {
    what: What,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    /// Devices of this bench
    Devices,
    /// Test cases that can be run
    Cases,
    /// Targets of the devices
    Targets,
}

/// Show the devices of this bench, who has them and who waits for them; the same as `list devices`
#[derive(Debug, Args)]
pub(super) struct Devices {
    #[command(subcommand)]
    what: Option<DevicesCommand>,
}

#[derive(Clone, Copy, Debug, Subcommand)]
enum DevicesCommand {
    /// Print a devices.toml that uses what is plugged into this machine, to be filled in: debug probes, serial ports,
    /// free network interfaces; GPIO chips and USB hubs as comments
    Scan,
}

pub(super) fn act_on_devices(arguments: &Devices, files: &Files) -> Result<Exit, Failure> {
    match arguments.what {
        None => out(&format!("{}\n", devices(files)?)),
        Some(DevicesCommand::Scan) => out(&propose(&Found::here(), &files.target_names())),
    }
    Ok(Exit::Ok)
}

pub(super) fn act(arguments: &Arguments, files: &Files) -> Result<Exit, Failure> {
    let table = match arguments.what {
        What::Devices => devices(files)?,
        What::Cases => cases(files)?,
        What::Targets => targets(files)?,
    };
    out(&format!("{table}\n"));
    Ok(Exit::Ok)
}

fn devices(files: &Files) -> Result<comfy_table::Table, Failure> {
    let mut table = table(["Device", "Target", "Images", "Tags", "Bench", "In use by"]);
    for device in &files.inventory()?.devices {
        let kind = match device.provider.kind() {
            Some(kind) => format!("{kind}: "),
            None if device.is_label_only() => "label only".into(),
            None => String::new(),
        };
        let capabilities = device.capabilities();
        let mut capabilities: Vec<String> =
            capabilities.iter().map(Capability::to_string).collect();
        capabilities.sort();
        table.add_row([
            device.name.clone(),
            device.target.name.clone(),
            device.images.clone(),
            device.tags.join(" "),
            format!("{kind}{}", capabilities.join(" ")),
            usage(device)?,
        ]);
    }
    Ok(table)
}

/// Who has a device, and who waits for it.
fn usage(device: &Device) -> Result<String, Failure> {
    let usage = Lease::usage(device)?;
    let told = |holder: &Holder| {
        format!(
            "{}, {}, since {} (process {})",
            holder.user, holder.purpose, holder.since, holder.pid
        )
    };
    let mut lines: Vec<String> = usage.holders.iter().map(told).collect();
    let waiting = usage.waiting.iter();
    lines.extend(waiting.map(|holder| format!("waits: {}", told(holder))));
    Ok(printable(&lines.join("\n")))
}

fn cases(files: &Files) -> Result<comfy_table::Table, Failure> {
    let mut table = table(["Case", "Shows", "Units", "State", "Sample", "Tags"]);
    for case in files.suite()?.cases() {
        let units: Vec<String> = case.units.iter().map(unit).collect();
        table.add_row([
            case.id.to_string(),
            title(&case.doc).to_owned(),
            units.join(" "),
            case.state.to_string(),
            case.sample.to_string(),
            case.tags.join(" "),
        ]);
    }
    Ok(table)
}

/// A unit's letter, and the IXIT tables whose rows it runs for.
fn unit(unit: &Unit) -> String {
    match &unit.for_each[..] {
        [] => unit.letter.to_string(),
        tables => format!("{} [{}]", unit.letter, tables.join(", ")),
    }
}

fn targets(files: &Files) -> Result<comfy_table::Table, Failure> {
    let mut table = table(["Target", "Model", "Chip", "Image sets", "Devices", "ICS"]);
    let mut targets: BTreeMap<String, (std::sync::Arc<Target>, usize)> = BTreeMap::new();
    for device in files.inventory()?.devices {
        let entry = targets
            .entry(device.target.name.clone())
            .or_insert_with(|| (device.target, 0));
        entry.1 += 1;
    }
    for (name, (target, devices)) in targets {
        let sets: Vec<String> = target.images.keys().cloned().collect();
        let claimed = |support| {
            let claims = target.ics.iter();
            claims.filter(|(_, claim)| claim.support == support).count()
        };
        table.add_row([
            name,
            target.model.clone(),
            target.chip.clone().unwrap_or_default(),
            sets.join(" "),
            devices.to_string(),
            format!(
                "{} yes, {} no, {} n/a",
                claimed(Support::Yes),
                claimed(Support::No),
                claimed(Support::NotApplicable)
            ),
        ]);
    }
    Ok(table)
}
