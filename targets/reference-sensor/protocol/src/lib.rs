//! What the reference sensor says to the network: messages, and when to try again. Nothing here
//! opens a socket, so all of it is tested on the development machine.
#![no_std]
#![forbid(unsafe_code)]

pub mod backoff;
pub mod http;
pub mod server;
pub mod sntp;
pub mod telemetry;

pub use backoff::Backoff;
