mod listing;
mod standard;

use std::collections::BTreeMap;

use clap::{Args, Subcommand, ValueEnum};

use super::context::Files;
use super::exit::{Exit, Failure};
use super::output::out;
use crate::runner::Lease;
use crate::runner::lease::Holder;
use crate::scan::{Found, propose};
use listing::{Cell, Format, Listing};
use provebench_bench::Capability;
use provebench_bench::inventory::{Device, Target};
use provebench_record::text::printable;
use provebench_standard::Support;
use provebench_standard::editions::Edition;

/// Show devices, targets, or what the standard has: provisions, test groups, cases and units
#[derive(Debug, Args)]
pub(super) struct Arguments {
    what: What,
    /// The edition of EN 303 645 to look through, for provisions, groups, cases and units: v2.1.1 leaves out what that
    /// edition does not have, and says what its provisions became
    #[arg(long, value_name = "EDITION", value_parser = edition)]
    edition: Option<Edition>,
    /// How to print it
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    /// Devices of this bench
    Devices,
    /// Targets of the devices
    Targets,
    /// Provisions of EN 303 645
    Provisions,
    /// Test groups of TS 103 701
    Groups,
    /// Test cases of TS 103 701, and one's own: which have a script, and for which units
    Cases,
    /// Test units of TS 103 701: who decides them, and from what
    Units,
}

fn edition(text: &str) -> Result<Edition, String> {
    let wrong = |_| format!("known are {} and {}", Edition::V3, Edition::V2);
    text.parse().map_err(wrong)
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
        None => out(&devices(files)?.in_format(Format::Table)),
        Some(DevicesCommand::Scan) => out(&propose(&Found::here(), &files.target_names())),
    }
    Ok(Exit::Ok)
}

pub(super) fn act(arguments: &Arguments, files: &Files) -> Result<Exit, Failure> {
    let edition = arguments.edition;
    if edition.is_some() && matches!(arguments.what, What::Devices | What::Targets) {
        return Err(Failure::usage(NoEdition));
    }
    let edition = edition.unwrap_or_default();
    let listing = match arguments.what {
        What::Devices => devices(files)?,
        What::Targets => targets(files)?,
        What::Provisions => standard::provisions(edition),
        What::Groups => standard::groups(edition),
        What::Cases => standard::cases(edition, &files.suite()?),
        What::Units => standard::units(edition, &files.suite()?),
    };
    out(&listing.in_format(arguments.format));
    Ok(Exit::Ok)
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("devices and targets have no edition")]
#[diagnostic(help("--edition is for provisions, groups, cases and units"))]
struct NoEdition;

fn devices(files: &Files) -> Result<Listing, Failure> {
    let mut listing = Listing::new(["Device", "Target", "Images", "Tags", "Bench", "In use by"]);
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
        listing.add([
            Cell::text(&device.name),
            Cell::text(&device.target.name),
            Cell::text(&device.images),
            Cell::list(&device.tags),
            Cell::text(&format!("{kind}{}", capabilities.join(" "))),
            Cell::text(&usage(device)?),
        ]);
    }
    Ok(listing)
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

fn targets(files: &Files) -> Result<Listing, Failure> {
    let mut listing = Listing::new(["Target", "Model", "Chip", "Image sets", "Devices", "ICS"]);
    let mut targets: BTreeMap<String, (std::sync::Arc<Target>, usize)> = BTreeMap::new();
    for device in files.inventory()?.devices {
        let entry = targets
            .entry(device.target.name.clone())
            .or_insert_with(|| (device.target, 0));
        entry.1 += 1;
    }
    for (name, (target, devices)) in targets {
        let claimed = |support| {
            let claims = target.ics.iter();
            claims.filter(|(_, claim)| claim.support == support).count()
        };
        listing.add([
            Cell::text(&name),
            Cell::text(&target.model),
            Cell::text(target.chip.as_deref().unwrap_or_default()),
            Cell::list(target.images.keys()),
            Cell::text(&devices),
            Cell::text(&format!(
                "{} yes, {} no, {} n/a",
                claimed(Support::Yes),
                claimed(Support::No),
                claimed(Support::NotApplicable)
            )),
        ]);
    }
    Ok(listing)
}
