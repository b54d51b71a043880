//! What can go wrong with a console.

use std::{io, path::PathBuf, time::Duration};

use miette::Diagnostic;
use thiserror::Error;

use crate::inventory::ConsolePort;

/// A failure of the console. Only [`Timeout`](Self::Timeout) is the DUT's doing; all else is the bench's.
#[derive(Debug, Error, Diagnostic)]
#[non_exhaustive]
pub enum ConsoleError {
    /// The port could not be opened.
    #[error("console {port} can't be opened")]
    #[diagnostic(help(
        "is the cable plugged in, or the terminal server on; is console.port in devices.toml right, may you access it (group dialout), and has no other program opened it?"
    ))]
    Open {
        /// The port.
        port: ConsolePort,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The DUT did not print what was expected of it.
    #[error(
        "`{pattern}` did not appear on the console within {waited:?}; the last it printed: \"{tail}\"{remark}"
    )]
    #[diagnostic(help("console.log has all that was printed"))]
    Timeout {
        /// What was waited for.
        pattern: String,
        /// For how long.
        waited: Duration,
        /// The end of what was printed since the last match, escaped as in the log.
        tail: String,
        /// What else is to be known, as the rest of the sentence.
        remark: String,
    },
    /// The port went away and came back: what the DUT said in between is lost.
    #[error(
        "console {port} was away for {away:.1?} meanwhile, and what the device said then is lost"
    )]
    #[diagnostic(help(
        "is the cable loose, or the terminal server restarted? console.log says when"
    ))]
    WasAway {
        /// The port.
        port: ConsolePort,
        /// For how long.
        away: Duration,
    },
    /// The port went away and did not come back in time.
    #[error("console {port} has vanished")]
    #[diagnostic(help(
        "is the cable loose? A console inside the DUT goes away with its power: wait for it after power-on"
    ))]
    Vanished {
        /// The port.
        port: ConsolePort,
    },
    /// The port takes no more data.
    #[error("console {port} does not take data: {sent} of {length} bytes sent in {waited:.0?}")]
    #[diagnostic(help("is flow control holding it up?"))]
    SendTimeout {
        /// The port.
        port: ConsolePort,
        /// Bytes that went out.
        sent: usize,
        /// Bytes to send.
        length: usize,
        /// For how long it was tried.
        waited: Duration,
    },
    /// More was printed than is kept in memory.
    #[error("{lost} bytes of console output are no longer in memory")]
    #[diagnostic(help(
        "console.log has all of it; look at the output before the DUT has printed more than {kept} bytes"
    ))]
    Overrun {
        /// Bytes asked for that are gone.
        lost: u64,
        /// Bytes that are kept.
        kept: usize,
    },
    /// The log could not be written.
    #[error("console log {} can't be written", path.display())]
    #[diagnostic(help("is the disk full?"))]
    Log {
        /// The log.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The console has been closed.
    #[error("the console is closed")]
    #[diagnostic(help("open the bench again"))]
    Closed,
}
