use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use console::style;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::context::{Files, Runs, runtime};
use super::exit::{Exit, Failure};
use super::output::{out, plural, wrapped};
use super::stop;
use crate::doctor::{Finding, Findings, History, Level, Mode, examine, of_machine};
use provebench_bench::inventory::{Device, Inventory};
use provebench_record::text::{one_line, printable};

mod clean;

use clean::clean;

/// For /etc/udev/rules.d.
const UDEV_RULES: &str = include_str!("../../../../../ci/bench/69-provebench.rules");
/// Devices that are examined at a time: some are emulators.
const AT_A_TIME: usize = 16;

/// Look whether this bench can do its part, and say what to do where it can't
///
/// Looks at rights, clock, disk and network interfaces, and asks the equipment of each device that is not in use: does
/// the probe answer, and is it wired to the chip of the target; can the console be opened, and is what it says text; do
/// power switch and buttons answer. That disturbs no device: nothing is reset, switched or programmed. (Opening a serial
/// port resets boards that are reset by its DTR line.)
///
/// Exits with 3 if something is wrong.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Devices to look at; all unless given
    #[arg(value_name = "DEVICE")]
    names: Vec<String>,
    /// Also do what a run does: reset each device, switch it off and on, press its buttons for 0.2 s, and see that it
    /// shows. Leaves it switched on
    #[arg(long)]
    exercise: bool,
    /// Put right what runs that were killed have left behind, and do nothing else
    #[arg(long, conflicts_with_all = ["exercise", "udev_rules", "names"])]
    clean: bool,
    /// Print udev rules that let users open debug probes, serial ports, GPIO chips and hubs, and do nothing else
    #[arg(long, conflicts_with_all = ["exercise", "names"])]
    udev_rules: bool,
    #[command(flatten)]
    runs: Runs,
}

pub(super) fn act(arguments: &Arguments, files: &Files) -> Result<Exit, Failure> {
    if arguments.clean {
        return Ok(clean());
    }
    if arguments.udev_rules {
        out(UDEV_RULES);
        return Ok(Exit::Ok);
    }
    let inventory = files.inventory()?;
    let devices = selected(&inventory, &arguments.names)?;
    let mode = if arguments.exercise {
        Mode::Active
    } else {
        Mode::Passive
    };
    let machine = of_machine(&arguments.runs.folder, &written(&inventory));
    show("this machine", &machine);
    let mut wrong = count(&machine);
    let names: Vec<&str> = devices.iter().map(|device| device.name.as_str()).collect();
    let history = History::read(&arguments.runs.folder, &names);
    let runtime = runtime()?;
    let stop = stop::token(&runtime);
    let all = runtime.block_on(examine_all(&devices, mode, history, stop));
    // A probe or a lookup that never answers holds up nobody.
    runtime.shutdown_background();
    let Some(all) = all else {
        return Ok(Exit::Interrupted);
    };
    for (device, findings) in devices.iter().zip(&all) {
        show(&device.name, findings);
        wrong += count(findings);
    }
    out(&match wrong {
        0 => "nothing wrong\n".to_owned(),
        n => format!("{} wrong\n", plural(n, "thing")),
    });
    Ok(if wrong == 0 { Exit::Ok } else { Exit::Bench })
}

fn selected(inventory: &Inventory, names: &[String]) -> Result<Vec<Device>, Failure> {
    if names.is_empty() {
        return Ok(inventory.devices.clone());
    }
    let mut devices: Vec<Device> = Vec::new();
    for name in names {
        let device = inventory.device(name)?;
        if devices.iter().all(|other| other.name != device.name) {
            devices.push(device.clone());
        }
    }
    Ok(devices)
}

/// Files whose times tell something about the clock.
fn written(inventory: &Inventory) -> Vec<PathBuf> {
    let targets = inventory.devices.iter();
    let targets = targets.map(|device| device.target.dir.join("target.toml"));
    targets.chain([inventory.path.clone()]).collect()
}

/// Examines all devices at a time; `None` when interrupted.
async fn examine_all(
    devices: &[Device],
    mode: Mode,
    history: History,
    stop: CancellationToken,
) -> Option<Vec<Findings>> {
    let bars = Bars::new(devices);
    let turn = Arc::new(Semaphore::new(AT_A_TIME));
    let history = Arc::new(history);
    let mut examinations = JoinSet::new();
    for (n, device) in devices.iter().cloned().enumerate() {
        let (bar, turn) = (bars.of(n), Arc::clone(&turn));
        let (history, stop) = (Arc::clone(&history), stop.clone());
        examinations.spawn(async move {
            let _turn = turn.acquire().await;
            let busy = |what: &str| bar.set_message(what.to_owned());
            let findings = examine(&device, mode, &history, &stop, &busy).await;
            bar.finish_and_clear();
            (n, findings)
        });
    }
    let mut all = vec![Findings::default(); devices.len()];
    while let Some(done) = examinations.join_next().await {
        match done {
            Ok((n, findings)) => all[n] = findings,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
    (!stop.is_cancelled()).then_some(all)
}

/// What each device is busy with, where somebody can see it.
struct Bars(Vec<ProgressBar>);

impl Bars {
    fn new(devices: &[Device]) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(devices.iter().map(|_| ProgressBar::hidden()).collect());
        }
        let all = MultiProgress::new();
        let widest = devices.iter().map(|d| d.name.len()).max().unwrap_or(0);
        let look = ProgressStyle::with_template(
            "{spinner:.cyan} {prefix:.bold} {wide_msg} {elapsed:.dim}",
        )
        .unwrap_or_else(|_| ProgressStyle::default_spinner());
        let bar = |device: &Device| {
            let bar = all.add(ProgressBar::new_spinner().with_style(look.clone()));
            bar.set_prefix(format!("{:widest$}", device.name));
            bar.set_message("waiting for its turn");
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        };
        Self(devices.iter().map(bar).collect())
    }

    fn of(&self, n: usize) -> ProgressBar {
        self.0[n].clone()
    }
}

fn count(findings: &Findings) -> usize {
    let wrong = |finding: &&Finding| finding.level == Level::Wrong;
    findings.0.iter().filter(wrong).count()
}

fn show(whose: &str, findings: &Findings) {
    let mut text = format!("{}\n", style(printable(whose)).bold());
    for finding in &findings.0 {
        let word = match finding.level {
            Level::Good => style("   ok").green(),
            Level::Note => style(" note").yellow(),
            Level::Wrong => style("wrong").red(),
        };
        // A DUT, or equipment, has a say in it.
        let line = format!("{word} {}", one_line(&finding.what, 500));
        text += &wrapped(&line, 0, 6);
        text.push('\n');
        if let Some(remedy) = &finding.remedy {
            let line = format!("help: {}", one_line(remedy, 1000));
            text += &wrapped(&line, 6, 6);
            text.push('\n');
        }
    }
    out(&text);
}
