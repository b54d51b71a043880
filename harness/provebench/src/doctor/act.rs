//! What can only be found out by doing it: reset, power, buttons.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{
    device::Examination,
    listen::{Heard, listen},
};
use provebench_bench::{
    Actuator, BenchError, Console, ConsoleError, Power, Probe, ProbeError, SwitchError,
    probe::ChipIdentity,
};

/// How long a board may live on what its capacitors hold.
const DISCHARGE: Duration = Duration::from_secs(3);
/// Longer than a debug port takes to say that it is there.
const ANSWER: Duration = Duration::from_secs(10);
/// Between looks at a debug port.
const LOOK: Duration = Duration::from_millis(50);
/// A button is held for so long: as by a finger, and no product is reset to factory settings by that.
const PRESS: Duration = Duration::from_millis(200);
/// What a board says about a button, it says within this time.
const REACTION: Duration = Duration::from_secs(2);
/// A console that says nothing for so long says nothing by itself.
const QUIET: Duration = Duration::from_secs(2);

/// Resets the board, and switches it off and on.
pub(super) async fn on(
    examination: &mut Examination<'_>,
    probe: Option<&Probe>,
    console: Option<&Console>,
    power: Option<&Power>,
    chip: Option<&ChipIdentity>,
) {
    // Not one that is another than it should be, or does not answer.
    if let (Some(probe), Some(_)) = (probe, chip) {
        reset(examination, probe, console, power.is_none()).await;
    }
    if let Some(power) = power.filter(|_| !examination.stop.is_cancelled()) {
        switch(
            examination,
            probe.filter(|_| chip.is_some()),
            console,
            power,
        )
        .await;
    }
}

async fn reset(
    examination: &mut Examination<'_>,
    probe: &Probe,
    console: Option<&Console>,
    is_last_chance: bool,
) {
    (examination.busy)("resetting it");
    let mark = console.map_or(0, Console::mark);
    if let Err(error) = probe.reset().await {
        return examination.findings.error(&error);
    }
    examination.findings.good("the debug probe resets the chip");
    // With a power switch there is a better occasion to listen.
    if let Some(console) = console.filter(|_| is_last_chance) {
        let wait = examination.boot();
        examination
            .console(console, mark, wait, true, Some(probe))
            .await;
    }
}

/// Off: nothing answers any more. On: it is there again.
async fn switch(
    examination: &mut Examination<'_>,
    probe: Option<&Probe>,
    console: Option<&Console>,
    power: &Power,
) {
    (examination.busy)("switching it off");
    let cut = power.off().await;
    let alive = match &cut {
        Ok(()) => {
            let looking = still_alive(examination, probe, console);
            examination.stop.run_until_cancelled(looking).await
        }
        Err(_) => None,
    };
    (examination.busy)("switching it on");
    let mark = console.map_or(0, Console::mark);
    // Also after a failure: it may have been switched off all the same.
    let back = power.on().await;
    if let Err(error) = cut.and(back) {
        return examination.findings.error(&error);
    }
    match alive {
        None => return,
        Some(Ok(Some(how))) => {
            return examination.findings.wrong(
                format!("the board still {how} with its power off"),
                "is the switch in the board's supply, and its output the one in devices.toml? A hub may say off and leave \
                 VBUS on; debug probe, console or Ethernet may feed the board",
            );
        }
        Some(Ok(None)) => {}
        Some(Err(error)) => return examination.findings.error(&error),
    }
    if probe.is_none() && console.is_none() {
        return examination.findings.note(
            "the power switch says that it switches, and nothing else shows it",
            "see that the board's light goes out with `provebench power NAME off`",
        );
    }
    let mut said = false;
    if let Some(console) = console {
        let wait = examination.boot();
        said = examination.console(console, mark, wait, true, probe).await;
        if !said && probe.is_none() {
            return;
        }
    }
    if let Some(probe) = probe
        && let Err(error) = comes_back(probe).await
    {
        return examination.findings.error(&error);
    }
    let signs: Vec<&str> = [
        probe.map(|_| "its debug port"),
        // One that says nothing with power either shows nothing.
        said.then_some("its console"),
    ]
    .into_iter()
    .flatten()
    .collect();
    examination.findings.good(format!(
        "the power switch switches: {} went silent, and it came back",
        signs.join(" and ")
    ));
}

/// Waits for the debug port: a supply takes its time to rise, and a probe that it feeds to be found.
async fn comes_back(probe: &Probe) -> Result<(), ProbeError> {
    let deadline = Instant::now() + ANSWER;
    loop {
        match probe.health(ANSWER).await {
            Err(_) if Instant::now() < deadline => sleep(LOOK).await,
            answer => return answer,
        }
    }
}

/// How the board shows that it still has power, if it does.
async fn still_alive(
    examination: &Examination<'_>,
    probe: Option<&Probe>,
    console: Option<&Console>,
) -> Result<Option<&'static str>, BenchError> {
    let deadline = Instant::now() + DISCHARGE;
    if let Some(probe) = probe {
        (examination.busy)("looking whether its debug port is dead");
        while probe.health(ANSWER).await.is_ok() {
            if Instant::now() > deadline {
                return Ok(Some("answers its debug probe"));
            }
            sleep(LOOK).await;
        }
    }
    let Some(console) = console else {
        return Ok(None);
    };
    (examination.busy)("looking whether its console is dead");
    if probe.is_none() {
        // Its silence is all that shows it.
        sleep(DISCHARGE).await;
    }
    // One inside the board goes with its power.
    if console.health().is_err() {
        return Ok(None);
    }
    let mark = console.mark();
    console.skip();
    match listen(console, mark, Duration::from_secs(1)).await? {
        Heard::Text(_) => Ok(Some("prints")),
        Heard::Nothing | Heard::Garbled { .. } => Ok(None),
    }
}

/// Presses a button shortly.
pub(super) async fn press(
    examination: &mut Examination<'_>,
    name: &str,
    button: &Actuator,
    console: Option<&Console>,
) {
    let is_quiet = match console {
        Some(console) => grows_quiet(examination, console).await,
        None => Ok(true),
    };
    let is_quiet = match is_quiet {
        Ok(is_quiet) => is_quiet,
        Err(error) => return examination.findings.error(&error),
    };
    (examination.busy)(&format!("pressing button {name}"));
    let mark = console.map_or(0, Console::mark);
    if let Some(console) = console {
        console.skip();
    }
    if let Err(error) = hold_and_release(button).await {
        return examination.findings.error(&error);
    }
    let heard = match console {
        Some(console) => listen(console, mark, REACTION).await,
        None => Ok(Heard::Nothing),
    };
    match heard {
        Ok(Heard::Text(_)) if !is_quiet => examination.findings.note(
            format!("button {name} was pressed and let go; the console speaks all the time, so that nothing shows that the board noticed"),
            "see whether it is wired to the button",
        ),
        Ok(Heard::Text(line)) => examination.findings.good(format!(
            "button {name} was pressed and let go, and the console says \"{line}\""
        )),
        Ok(Heard::Nothing | Heard::Garbled { .. }) => examination.findings.note(
            format!("button {name} was pressed and let go; nothing shows that the board noticed"),
            "some take no notice of a short press: see whether it is wired to the button",
        ),
        Err(error) => examination.findings.error(&error),
    }
}

/// Waits until a board that starts has said what it says. False if it does not stop.
async fn grows_quiet(
    examination: &Examination<'_>,
    console: &Console,
) -> Result<bool, ConsoleError> {
    (examination.busy)("waiting until its console is silent");
    let deadline = Instant::now() + QUIET + examination.device.target.timing.boot;
    while Instant::now() < deadline {
        let mark = console.mark();
        console.skip();
        if listen(console, mark, QUIET).await? == Heard::Nothing {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn hold_and_release(button: &Actuator) -> Result<(), SwitchError> {
    let pressed = async {
        button.hold().await?;
        sleep(PRESS).await;
        is_as_told(button, true).await
    };
    let pressed = pressed.await;
    // Also after a failure: it may have been pressed all the same.
    button.release().await.and(pressed)?;
    is_as_told(button, false).await
}

async fn is_as_told(button: &Actuator, held: bool) -> Result<(), SwitchError> {
    match button.is_held().await {
        Ok(state) if state != held => Err(SwitchError::not_obeyed(
            format!("what holds button {}", button.name()),
            held,
            state,
        )),
        // Drivers that can't ask say so.
        Ok(_) | Err(SwitchError::Unknown { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}
