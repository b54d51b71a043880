//! The bench network against a DUT that is this kernel's own network stack in a second namespace.
//!
//! Needs what the bench network needs; where it can't be had these tests fail with the remedy.

mod addresses;
mod client;
mod cross_check;
mod isolation;
mod networks;
mod port;
mod revocation;
mod router;
mod scan;
mod throughput;

/// Before there are threads: an unprivileged user gets the capabilities in a user namespace.
#[ctor::ctor]
fn enter_user_namespace() {
    // Where that is not possible either, each test says so.
    let _ = provebench_network::enter_user_namespace();
}
