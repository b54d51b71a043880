//! Each driver against what speaks the protocol of the real thing.

use super::SwitchError;

mod apc;
mod command;
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
