use std::time::Duration;

use clap::{Args, ValueEnum};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::context::{Files, Wait, runtime, time};
use super::exit::{Exit, Failure};
use super::output::{out, tell};
use super::stop;
use crate::runner::Lease;
use provebench_bench::inventory::{Attachment, Device};
use provebench_bench::{Bench, BenchError, BenchLogs, Power};

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
    // Asking disturbs nobody.
    let _lease = if matches!(arguments.action, Action::Status) {
        None
    } else {
        let leased = Lease::acquire(device, "provebench power", arguments.wait.limit());
        match runtime.block_on(stop.run_until_cancelled(leased)) {
            Some(lease) => Some(lease?),
            None => return Ok(Exit::Interrupted),
        }
    };
    let is_on = match &device.attachment {
        Attachment::Real(_) => {
            let power = Power::of(device)?;
            runtime.block_on(switch(arguments, &power, &stop))?
        }
        Attachment::Virtual(_) => virtually(arguments, device, &runtime, &stop)?,
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

/// A virtual board only lives while it is used: this shows that its switch works, no more.
fn virtually(
    arguments: &Arguments,
    device: &Device,
    runtime: &Runtime,
    stop: &CancellationToken,
) -> Result<bool, Failure> {
    tell(&format!(
        "{} is a virtual board: it runs only while this command does\n",
        device.name
    ));
    let outcome = runtime.block_on(async {
        let bench = Bench::open(device, &BenchLogs::nowhere()).await?;
        let result = match bench.power() {
            Ok(power) => switch(arguments, power, stop).await,
            Err(error) => Err(error),
        };
        bench.close().await?;
        result
    })?;
    Ok(outcome)
}
