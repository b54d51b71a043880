//! What can go wrong with a board, and what to do about it.

use std::{io, path::PathBuf};

/// A fault of the bench, never of the firmware.
#[derive(Debug, thiserror::Error)]
pub enum BoardError {
    /// The directory can't be made or used.
    #[error("can't use {path} as the board's directory: {source}; pass a writable one with --dir")]
    Dir {
        /// The directory as it was given.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Another board runs on this directory.
    #[error("{path} is in use by another board ({owner}); stop that one, or pass another --dir")]
    DirInUse {
        /// The directory as it was given.
        path: PathBuf,
        /// What the other board wrote into its lock file.
        owner: String,
    },
    /// One of the memory images can't be read or written.
    #[error("can't {action} {path}: {source}")]
    Storage {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A memory image has not the size of the memory.
    #[error(
        "{path} has {found} bytes, the board's memory has {expected}; delete the file to get a blank one"
    )]
    ImageSize {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        found: u64,
        /// The size of the memory in bytes.
        expected: u64,
    },
    /// A TCP port that was asked for can't be opened.
    #[error(
        "can't listen on 127.0.0.1:{port} for the {what}: {source}; free that port, or leave the option out to get any free one"
    )]
    Port {
        /// `debug probe` or `smart plug`.
        what: &'static str,
        /// The port as it was given.
        port: u16,
        /// The system's answer.
        source: io::Error,
    },
    /// What was given as Ethernet cable is none.
    #[error(
        "file descriptor {fd} is no Ethernet cable: {source}; pass the number of an open datagram socket with --ethernet-fd"
    )]
    Ethernet {
        /// The descriptor as it was given.
        fd: i32,
        /// The system's answer.
        source: io::Error,
    },
    /// The console's pseudo-terminal can't be made.
    #[error("can't make the console at {path}: {source}")]
    Console {
        /// The stable link to the terminal.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The emulator is not there.
    #[error(
        "can't start the emulator {program}: {source}; install QEMU's system emulator for ARM (package qemu-system-arm), or pass --qemu FILE"
    )]
    QemuMissing {
        /// The program as it was given.
        program: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The emulator ended when nobody asked it to.
    #[error("the emulator ended by itself ({status}): {said}")]
    QemuDied {
        /// How it ended.
        status: String,
        /// The end of what it wrote to its standard error.
        said: String,
    },
    /// One of the emulator's control sockets failed.
    #[error("lost the emulator's {link} socket: {source}")]
    Link {
        /// `gdb`, `qtest`, `qmp`.
        link: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// The emulator said something that it should not.
    #[error("the emulator's {link} socket answered {answer:?} to {request:?}")]
    Answer {
        /// `gdb`, `qtest`, `qmp`.
        link: &'static str,
        /// The request, shortened.
        request: String,
        /// The answer, shortened.
        answer: String,
    },
}

impl BoardError {
    /// Whether the emulator gave up since the firmware's core locked up.
    pub(crate) fn is_lockup(&self) -> bool {
        matches!(self, BoardError::QemuDied { said, .. } if said.contains("Lockup"))
    }

    /// Exit code of the program: 2 for what the caller can change, 3 for all else.
    pub fn exit_code(&self) -> u8 {
        match self {
            BoardError::Dir { .. }
            | BoardError::DirInUse { .. }
            | BoardError::ImageSize { .. }
            | BoardError::Port { .. }
            | BoardError::Ethernet { .. } => 2,
            _ => 3,
        }
    }
}

/// For messages: at most 80 characters of what went over a socket.
pub(crate) fn shorten(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_end();
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
