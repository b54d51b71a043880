use std::time::Duration;

use clap::{Args, ValueEnum};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::context::{Files, Wait, interruption, runtime};
use super::exit::{Exit, Failure};
use super::output::out;
use crate::bench::{Bench, BenchError, BenchLogs, Power};
use crate::inventory::{Attachment, Device};
use crate::runner::Lease;

/// Switch a device on or off
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Name of the device
    device: String,
    action: Action,
    /// How long power is off in a cycle, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 0.5)]
    off: f64,
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
    // Asking disturbs nobody.
    let _lease = match arguments.action {
        Action::Status => None,
        _ => Some(runtime.block_on(Lease::acquire(
            device,
            "provebench power",
            arguments.wait.limit(),
        ))?),
    };
    let (is_on, is_stopped) = match &device.attachment {
        Attachment::Real(_) => {
            let power = Power::of(device)?;
            runtime.block_on(switch(arguments, &power))?
        }
        Attachment::Virtual(_) => virtually(arguments, device, &runtime)?,
    };
    out(&format!(
        "{}: {}\n",
        device.name,
        if is_on { "on" } else { "off" }
    ));
    Ok(if is_stopped {
        Exit::Interrupted
    } else {
        Exit::Ok
    })
}

/// Whether it is on in the end, and whether there was a signal to stop.
async fn switch(arguments: &Arguments, power: &Power) -> Result<(bool, bool), BenchError> {
    let off = Duration::try_from_secs_f64(arguments.off).unwrap_or_default();
    let stop = CancellationToken::new();
    match arguments.action {
        Action::On => power.on().await?,
        Action::Off => power.off().await?,
        Action::Cycle => {
            tokio::spawn(interruption(stop.clone()));
            power.cycle_until(off, stop.clone()).await?;
        }
        Action::Status => {}
    }
    Ok((power.is_on().await?, stop.is_cancelled()))
}

/// A virtual board only lives while it is used: this shows that its switch works, no more.
fn virtually(
    arguments: &Arguments,
    device: &Device,
    runtime: &Runtime,
) -> Result<(bool, bool), Failure> {
    eprintln!(
        "{} is a virtual board: it runs only while this command does",
        device.name
    );
    let outcome = runtime.block_on(async {
        let bench = Bench::open(device, &BenchLogs::nowhere()).await?;
        let result = match bench.power() {
            Ok(power) => switch(arguments, power).await,
            Err(error) => Err(error),
        };
        bench.close().await?;
        result
    })?;
    Ok(outcome)
}
