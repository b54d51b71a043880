use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use tokio_util::sync::CancellationToken;

use super::context::{Files, Wait, runtime, time};
use super::exit::{Exit, Failure};
use super::output::{out, tell};
use super::stop;
use crate::runner::Lease;
use provebench_bench::inventory::Device;
use provebench_bench::{BenchError, BenchOptions, Equipment, Extent, Power};

/// Switch a device on or off
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Name of the device
    device: String,
    action: Action,
    /// How long power is off in a cycle, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "0.5", value_parser = time, allow_negative_numbers = true)]
    off: Duration,
    #[command(flatten)]
    wait: Wait,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Action {
    On,
    Off,
    Cycle,
    Status,
}

pub(super) fn act(arguments: &Arguments, files: &Files) -> Result<Exit, Failure> {
    let inventory = files.inventory()?;
    let device = inventory.device(&arguments.device)?;
    let runtime = runtime()?;
    let stop = stop::token(&runtime);
    let is_on = runtime.block_on(switched(arguments, device, &stop))?;
    let Some(is_on) = is_on else {
        return Ok(Exit::Interrupted);
    };
    out(&format!(
        "{}: {}\n",
        device.name,
        if is_on { "on" } else { "off" }
    ));
    Ok(if stop.is_cancelled() {
        Exit::Interrupted
    } else {
        Exit::Ok
    })
}

/// Whether it is on in the end; none if it was to stop before anything was begun.
async fn switched(
    arguments: &Arguments,
    device: &Device,
    stop: &CancellationToken,
) -> Result<Option<bool>, Failure> {
    let mut options = BenchOptions::default();
    // Asking what is there anyway disturbs nobody.
    if arguments.action != Action::Status || device.provider.wiring().is_none() {
        let leased = Lease::acquire(device, "provebench power", arguments.wait.limit());
        let Some(lease) = stop.run_until_cancelled(leased).await else {
            return Ok(None);
        };
        options.claim = Some(Arc::new(lease?));
    }
    let mut parts = Equipment::open(device, &options, Extent::Power).await?;
    if parts.provided.ends_with_lease {
        let name = &device.name;
        tell(&format!(
            "{name} is there only while it is used: it ends with this command\n"
        ));
    }
    let is_on = match parts.power.take() {
        Some(Ok(power)) => switch(arguments, &power, stop).await,
        Some(Err(error)) => Err(error),
        None => Err(BenchError::missing(&device.name, "power switch", "power")),
    };
    parts.close().await;
    Ok(Some(is_on?))
}

/// Whether it is on in the end. What is begun is done; a cycle that is to stop ends at once, with power.
async fn switch(
    arguments: &Arguments,
    power: &Power,
    stop: &CancellationToken,
) -> Result<bool, BenchError> {
    match arguments.action {
        Action::On => power.on().await?,
        Action::Off => power.off().await?,
        Action::Cycle => power.cycle_until(arguments.off, stop.clone()).await?,
        Action::Status => {}
    }
    Ok(power.is_on().await?)
}
