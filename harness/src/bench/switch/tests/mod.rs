//! Each driver against what speaks the protocol of the real thing.

mod apc;
mod command;
mod lcus;
mod local;
mod mqtt;
mod scpi;
mod shelly;
mod tasmota;
