//! Each driver against what speaks the protocol of the real thing.

use std::process::Stdio;

use tokio::process::Command;

use super::SwitchError;

mod apc;
mod command;
mod http;
mod lcus;
mod local;
mod mqtt;
mod scpi;
mod shelly;
mod snmpd;
mod tasmota;

/// The error of a switch that was switched on, and is still off.
fn stayed_off(error: &SwitchError) {
    assert!(
        matches!(
            error,
            SwitchError::NotObeyed {
                wanted: "on",
                state: "off",
                ..
            }
        ),
        "{error:?}"
    );
}

/// Ends with its test, however that ends, and says nothing.
fn daemon(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "--", program])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    command
}
