//! Why equipment was not provided, or is no more.

use std::{io, path::PathBuf};

use miette::Diagnostic;
use thiserror::Error;

use crate::Capability;

/// The equipment of a device could not be had from its provider. `what` and `name` say whose: "virtual board `one`".
#[derive(Debug, Error, Diagnostic)]
#[non_exhaustive]
pub enum ProviderError {
    /// There is no such program.
    #[error("the program for {what} `{name}` is not at {}", program.display())]
    #[diagnostic(help("{remedy}"))]
    NoProgram {
        /// What kind of provider.
        what: &'static str,
        /// The device.
        name: String,
        /// Where it was looked for.
        program: PathBuf,
        /// What to do about it.
        remedy: &'static str,
    },
    /// Its folder can't be made.
    #[error("the folder {} for the memory of {what} `{name}` can't be made", dir.display())]
    #[diagnostic(help(
        "name one that can be written to in devices.toml: virtual = {{ dir = \"...\" }}"
    ))]
    Folder {
        /// What kind of provider.
        what: &'static str,
        /// The device.
        name: String,
        /// The folder.
        dir: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It could not be started.
    #[error("{} can't be started", program.display())]
    #[diagnostic(help("is it a program that you may run?"))]
    Start {
        /// The program.
        program: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It ended when it should have been ready.
    #[error("{what} `{name}` did not start ({status}): {messages}")]
    #[diagnostic(help("{remedy}"))]
    Refused {
        /// What kind of provider.
        what: &'static str,
        /// The device.
        name: String,
        /// How it ended.
        status: String,
        /// What it said.
        messages: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// It says nothing, or something else than expected.
    #[error("{what} `{name}` is not ready: {reason}; on standard error: {messages}")]
    #[diagnostic(help("{remedy}"))]
    NotReady {
        /// What kind of provider.
        what: &'static str,
        /// The device.
        name: String,
        /// What was seen.
        reason: String,
        /// What it said.
        messages: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// Its wiring lacks something that devices.toml says it provides.
    #[error("{what} `{name}` provides no {capability}, though devices.toml says so")]
    #[diagnostic(help(
        "correct `provides` of the device in devices.toml, or what the program prints"
    ))]
    Lacking {
        /// What kind of provider.
        what: &'static str,
        /// The device.
        name: String,
        /// What is not in the wiring.
        capability: Capability,
    },
    /// It did not run for a while: what the DUT was asked then, nobody answered.
    #[error("{what} `{name}` was stopped for a while")]
    #[diagnostic(help("something has sent it SIGSTOP, as a debugger does"))]
    StoodStill {
        /// What kind of provider.
        what: &'static str,
        /// The device.
        name: String,
    },
    /// It ended while in use.
    #[error("{what} `{name}` has died ({status}): {messages}")]
    #[diagnostic(help(
        "something ended the program, or it failed: it has to run until its standard input ends; start the run again"
    ))]
    Died {
        /// What kind of provider.
        what: &'static str,
        /// The device.
        name: String,
        /// How it ended.
        status: String,
        /// What it said.
        messages: String,
    },
}
