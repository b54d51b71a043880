//! One emulated board on a bench. Prints one line of JSON when it's ready, then serves
//! until its standard input ends, it is told to stop, or its parent is gone.

use std::{
    io::{self, Read as _, Write as _},
    os::fd::{AsFd as _, OwnedFd, RawFd},
    path::PathBuf,
    process::ExitCode,
    thread,
};

use clap::{Parser, ValueEnum};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
};
use virtual_board::{BoardConfig, BoardError, Ethernet, Mac, Ports, VirtualBoard};

#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    /// Name of the board
    #[arg(long)]
    name: String,
    /// Where its memories are kept; made when it's not there
    #[arg(long)]
    dir: PathBuf,
    /// Whether the mains are switched on at once
    #[arg(long, value_enum, default_value = "off")]
    power: Power,
    /// Unique identity of the chip, 64 bits in hexadecimal [default: derived from the name]
    #[arg(long, value_parser = parse_chip_id)]
    chip_id: Option<u64>,
    /// TCP port of the debug probe [default: any free one]
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    probe_port: u16,
    /// TCP port of the smart plug [default: any free one]
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    plug_port: u16,
    /// Ethernet cable: an inherited datagram socket of raw frames [default: none]
    #[arg(long, env = "PROVEBENCH_CABLE")]
    ethernet_fd: Option<RawFd>,
    /// MAC address of the Ethernet interface [default: derived from the chip's identity]
    #[arg(long)]
    mac: Option<Mac>,
    /// The emulator
    #[arg(long, default_value_os_t = virtual_board::default_program())]
    qemu: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Power {
    On,
    Off,
}

fn parse_chip_id(text: &str) -> Result<u64, std::num::ParseIntError> {
    u64::from_str_radix(text.trim_start_matches("0x"), 16)
}

/// FNV-1a: the same name gives the same chip, other names other ones.
fn chip_id_of(name: &str) -> u64 {
    name.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    })
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let chip_id = arguments
        .chip_id
        .unwrap_or_else(|| chip_id_of(&arguments.name));
    // Before anything else is opened that could have that number.
    let ethernet = match plugged_in(&arguments, chip_id) {
        Ok(ethernet) => ethernet,
        Err(error) => return failed(&error),
    };
    // One thread: the emulator is bound to the life of the thread that starts it.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(run(arguments, chip_id, ethernet)),
        Err(source) => Err(BoardError::Link {
            link: "runtime",
            source,
        }),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &BoardError) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::from(error.exit_code())
}

#[allow(unsafe_code)]
fn plugged_in(arguments: &Arguments, chip_id: u64) -> Result<Option<Ethernet>, BoardError> {
    let mac = arguments.mac.unwrap_or_else(|| Mac::of_chip(chip_id));
    let cable = arguments.ethernet_fd.map(|fd| {
        // SAFETY: this process has opened nothing yet that it owns: what is open was inherited.
        unsafe { Ethernet::inherited(fd, mac) }
    });
    cable.transpose()
}

async fn run(
    arguments: Arguments,
    chip_id: u64,
    ethernet: Option<Ethernet>,
) -> Result<(), BoardError> {
    let abandoned = watch_parent();
    // From here on, lest one that comes while the board starts ends us without its memories kept.
    let mut signals = Signals::new().map_err(|source| BoardError::Link {
        link: "signal",
        source,
    })?;
    let config = BoardConfig {
        chip_id,
        name: arguments.name,
        dir: arguments.dir,
        qemu: arguments.qemu,
        ethernet,
    };
    let ports = Ports {
        probe: arguments.probe_port,
        plug: arguments.plug_port,
    };
    let mut board = VirtualBoard::start(config, ports, arguments.power == Power::On).await?;

    let ready = board.ready().line();
    let mut stdout = io::stdout();
    // Whoever does not read it does not need it.
    let _ = writeln!(stdout, "{ready}").and_then(|()| stdout.flush());

    tokio::select! {
        error = board.fault() => {
            // What the board keeps is in its files already.
            let _ = board.stop().await;
            Err(error)
        }
        () = signals.any() => board.stop().await,
        _ = abandoned => board.stop().await,
    }
}

/// The signals that tell us to stop.
struct Signals([Signal; 3]);

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Signals([
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
            signal(SignalKind::hangup())?,
        ]))
    }

    async fn any(&mut self) {
        let [terminate, interrupt, hangup] = &mut self.0;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

/// Fires when the standard input has ended or the process that started us is gone. It
/// is watched as a process: the signal that the kernel can send at a parent's death
/// comes when its thread ends already.
fn watch_parent() -> oneshot::Receiver<()> {
    // A kernel without process descriptors: the end of input has to do.
    let parent = rustix::process::getppid().and_then(|pid| {
        rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok()
    });
    let (abandoned, receiver) = oneshot::channel();
    // A thread of its own, since reading a terminal can't be given up.
    thread::spawn(move || {
        wait_until_abandoned(parent.as_ref());
        let _ = abandoned.send(());
    });
    receiver
}

fn wait_until_abandoned(parent: Option<&OwnedFd>) {
    let mut stdin = io::stdin();
    loop {
        let mut fds = vec![PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
        fds.extend(parent.map(|parent| PollFd::new(parent.as_fd(), PollFlags::POLLIN)));
        if let Err(errno) = poll(&mut fds, PollTimeout::NONE)
            && errno != Errno::EINTR
        {
            return;
        }
        if fds.get(1).is_some_and(|parent| parent.any() == Some(true)) {
            return;
        }
        if fds[0].any() == Some(true) && !matches!(stdin.read(&mut [0; 256]), Ok(1..)) {
            return;
        }
    }
}
