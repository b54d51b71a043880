//! The program that ci/fuzz builds: libFuzzer's functions, with the parser that `PARSER` names, for `SECONDS_OF_PROCESSOR`.
#![no_main]
#![allow(unsafe_code, reason = "libFuzzer is written in C++")]

use std::{
    env,
    ffi::{c_char, c_int},
    mem, panic,
    process::{abort, exit},
    slice,
    sync::OnceLock,
    time::Duration,
};

use nix::sys::{
    signal::{SigEvent, SigevNotify, Signal},
    timer::{Expiration, Timer, TimerSetTimeFlags},
};
use nix::time::ClockId;
use provebench_fuzz::{PARSERS, Parser};

static CHOSEN: OnceLock<Parser> = OnceLock::new();

fn choose() -> Parser {
    let name = env::var("PARSER").unwrap_or_default();
    if let Some((_, parser)) = PARSERS.iter().find(|(known, _)| *known == name) {
        return *parser;
    }
    for (name, _) in PARSERS {
        println!("{name}");
    }
    exit(if name.is_empty() { 0 } else { 2 });
}

/// libFuzzer's own limit is on the clock at the wall, which says little of how much was tried on a machine that does other things
/// as well. On SIGUSR1 it tells its figures and ends well.
fn end_after(seconds: u64) {
    let event = SigEvent::new(SigevNotify::SigevSignal {
        signal: Signal::SIGUSR1,
        si_value: 0,
    });
    let mut timer = Timer::new(ClockId::CLOCK_PROCESS_CPUTIME_ID, event).expect("a timer");
    let end = Expiration::OneShot(Duration::from_secs(seconds).into());
    let set = timer.set(end, TimerSetTimeFlags::empty());
    set.expect("the timer can be set");
    mem::forget(timer);
}

#[unsafe(export_name = "LLVMFuzzerInitialize")]
extern "C" fn initialize(_: *const c_int, _: *const *const *const c_char) -> c_int {
    // A panic is a fault, also where somebody catches it.
    let say = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        say(panic);
        abort();
    }));
    assert!(CHOSEN.set(choose()).is_ok());
    if let Ok(seconds) = env::var("SECONDS_OF_PROCESSOR") {
        end_after(seconds.parse().expect("a number of seconds"));
    }
    0
}

#[unsafe(export_name = "LLVMFuzzerTestOneInput")]
extern "C" fn test(data: *const u8, len: usize) -> c_int {
    // SAFETY: libFuzzer's promise: so many bytes, which stay until this returns.
    let data = unsafe { slice::from_raw_parts(data, len) };
    CHOSEN.get().expect("chosen")(data);
    0
}
