//! The whole bench, and the program itself, on an interface of this machine that a DUT is plugged into.
//!
//! Needs what the bench network needs; where it can't be had these tests fail with the remedy.

mod devices;
mod doctor;
mod documented_product;
mod killed;
mod services;
mod unseen;

/// Before there are threads: an unprivileged user gets the capabilities in a user namespace.
#[ctor::ctor]
fn enter_user_namespace() {
    // Where that is not possible either, each test says so.
    let _ = provebench_network::enter_user_namespace();
}
