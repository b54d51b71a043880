//! The board driven over its cables, as the harness drives it: probe-rs on the probe,
//! HTTP on the plug, a file on the console.

mod console;
mod cut;
mod debug;
mod ethernet;
mod flash;
mod life;
mod plug;
mod protection;
mod stock;
mod support;
