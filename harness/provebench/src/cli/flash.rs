use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::context::{Files, Wait, runtime};
use super::exit::{Exit, Failure};
use super::output::out;
use super::stop;
use crate::runner::Lease;
use provebench_bench::inventory::{Device, Image};
use provebench_bench::probe::{FlashJob, FlashProgress, FlashReport, Protection};
use provebench_bench::{BenchError, BenchOptions, Equipment, Extent, Probe};

/// Program a device; what is in it already is left alone
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Name of the device
    device: String,
    /// An image of the device's image set; all that belong into the device unless given
    image: Option<String>,
    /// Erase the whole chip first, which also unlocks a locked debug port
    #[arg(long)]
    erase: bool,
    #[command(flatten)]
    wait: Wait,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
enum FlashError {
    #[error("the debug port of `{device}` is locked")]
    #[diagnostic(help(
        "--erase unlocks it, and erases the whole chip: firmware, settings, identity"
    ))]
    Locked { device: String },
    #[error("the image set of `{device}` has nothing to program")]
    #[diagnostic(help("mark images with flash = true in target.toml, or name one here"))]
    Nothing { device: String },
    #[error("programming `{device}` was interrupted")]
    #[diagnostic(help("there may be a part of the images in it: program it again"))]
    Interrupted { device: String },
    #[error("image `{image}` has no address")]
    #[diagnostic(help(
        "it is not meant to be programmed; give it an address in target.toml if it is"
    ))]
    NoAddress { image: String },
}

pub(super) fn act(arguments: &Arguments, files: &Files) -> Result<Exit, Failure> {
    let inventory = files.inventory()?;
    let device = inventory.device(&arguments.device)?;
    let jobs = jobs(device, arguments.image.as_deref())?;
    let runtime = runtime()?;
    let stop = stop::token(&runtime);
    runtime.block_on(async {
        let leased = Lease::acquire(device, "provebench flash", arguments.wait.limit());
        let Some(lease) = stop.run_until_cancelled(leased).await else {
            return Ok(Exit::Interrupted);
        };
        let options = BenchOptions {
            claim: Some(Arc::new(lease?)),
            ..BenchOptions::default()
        };
        // A console that is missing is no reason not to.
        let mut parts = Equipment::open(device, &options, Extent::Untouched).await?;
        let result = match powered_probe(&mut parts, device).await {
            Ok(probe) => {
                let flash = flash(&probe, device, &jobs, arguments.erase);
                let done = stop.run_until_cancelled(flash).await;
                done.unwrap_or_else(|| Err(interrupted(device)))
            }
            Err(error) => Err(error.into()),
        };
        parts.close().await;
        let report = result?;
        out(&describe(&device.name, &report));
        Ok(Exit::Ok)
    })
}

fn interrupted(device: &Device) -> Failure {
    let device = device.name.clone();
    Failure {
        exit: Exit::Interrupted,
        report: FlashError::Interrupted { device }.into(),
    }
}

async fn powered_probe(parts: &mut Equipment, device: &Device) -> Result<Probe, BenchError> {
    let missing = || BenchError::missing(&device.name, "debug probe", "probe");
    let probe = parts.probe.take().ok_or_else(missing)??;
    // It is closed with the other parts.
    parts.probe = Some(Ok(probe.clone()));
    if let Some(power) = parts.power.take() {
        power?.on().await?;
    }
    Ok(probe)
}

fn jobs(device: &Device, image: Option<&str>) -> Result<Vec<FlashJob>, Failure> {
    let images: Vec<&Image> = match image {
        Some(name) => vec![device.image(name)?],
        None => device.flashed(),
    };
    if images.is_empty() {
        let device = device.name.clone();
        return Err(Failure::usage(FlashError::Nothing { device }));
    }
    if let Some(image) = images.iter().find(|image| !image.has_place()) {
        let image = image.name.clone();
        return Err(Failure::usage(FlashError::NoAddress { image }));
    }
    Ok(FlashJob::of(device.firmware(Some(&images))?))
}

async fn flash(
    probe: &Probe,
    device: &Device,
    jobs: &[FlashJob],
    erase: bool,
) -> Result<FlashReport, Failure> {
    if erase {
        let bar = ProgressBar::new_spinner().with_message(format!("{}: erasing", device.name));
        bar.enable_steady_tick(Duration::from_millis(120));
        let erased = probe.recover().await.map_err(BenchError::from);
        bar.finish_and_clear();
        erased?;
    } else if probe.protection().await.map_err(BenchError::from)? == Protection::Locked {
        let device = device.name.clone();
        return Err(Failure::bench(FlashError::Locked { device }));
    }
    let bar = ProgressBar::new(0).with_prefix(device.name.clone());
    let look =
        "{prefix:.bold} {msg:10} {wide_bar:.cyan/dim} {bytes:>10}/{total_bytes:10} {elapsed:.dim}";
    bar.set_style(
        ProgressStyle::with_template(look).unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let report = probe
        .flash(jobs, |FlashProgress { phase, done, total }| {
            bar.set_message(phase.to_string());
            bar.set_length(total.unwrap_or(done));
            bar.set_position(done);
        })
        .await;
    bar.finish_and_clear();
    let report = report.map_err(BenchError::from)?;
    if !report.programmed.is_empty() {
        probe.reset().await.map_err(BenchError::from)?;
    }
    Ok(report)
}

fn describe(device: &str, report: &FlashReport) -> String {
    let mut text = String::new();
    if !report.programmed.is_empty() {
        let kib = report.bytes.div_ceil(1024);
        let seconds = report.duration.as_secs_f64();
        let _ = writeln!(
            text,
            "{device}: programmed and verified {}: {kib} KiB in {seconds:.1} s",
            report.programmed.join(", "),
        );
    }
    if !report.skipped.is_empty() {
        let _ = writeln!(
            text,
            "{device}: already there: {}",
            report.skipped.join(", ")
        );
    }
    text
}
