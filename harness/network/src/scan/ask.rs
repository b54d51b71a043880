//! Asking many ports at once, as fast as they answer: the same for each protocol.

use std::{
    io::{self, ErrorKind},
    os::fd::BorrowedFd,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    libc,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

use super::{pace::Pace, report::GivenUp};

/// Probes that are sent before answers are looked at.
pub(super) const BURST: usize = 64;
/// For whoever had no room to send.
const FULL: Duration = Duration::from_millis(1);

/// What did not work, and why.
pub(super) type Failure = (&'static str, io::Error);

/// How the ports of one protocol are asked.
pub(super) trait Asker {
    /// Asks the ports at these places; how many of them, from the first on. None is an error.
    fn ask(&mut self, places: &[usize]) -> io::Result<usize>;

    /// Takes all answers that are there.
    fn hear(&mut self, pace: &mut Pace) -> io::Result<()>;

    /// Waits until there is an answer, no longer than `limit`.
    fn wait(&self, limit: Duration) -> io::Result<()>;

    /// Whether to ask on.
    fn goes_on(&self, _pace: &Pace) -> bool {
        true
    }
}

/// Asks all until each has answered, or has been silent as often as the pace has it.
pub(super) fn all(
    asker: &mut impl Asker,
    pace: &mut Pace,
    given_up: &GivenUp,
) -> Result<(), Failure> {
    let failed = |action| move |error| (action, error);
    let mut places = Vec::with_capacity(BURST);
    while !pace.is_done() && !given_up.is_set() && asker.goes_on(pace) {
        places.clear();
        while places.len() < BURST
            && let Some(place) = pace.next(Instant::now())
        {
            places.push(place);
        }
        let is_stuck = ask(asker, pace, &places).map_err(failed("sending"))?;
        asker.hear(pace).map_err(failed("receiving"))?;
        let now = Instant::now();
        pace.expire(now);
        let limit = match pace.deadline() {
            _ if is_stuck => FULL,
            Some(deadline) => deadline.saturating_duration_since(now),
            None => Duration::ZERO,
        };
        if is_stuck || !pace.may_send() {
            asker.wait(limit).map_err(failed("waiting"))?;
        }
    }
    Ok(())
}

/// Whether there was no room for some of them, which are asked later.
fn ask(asker: &mut impl Asker, pace: &mut Pace, places: &[usize]) -> io::Result<bool> {
    let mut left = places;
    while !left.is_empty() {
        match asker.ask(left) {
            Ok(count) => {
                pace.has_sent();
                left = &left[count..];
            }
            Err(error) if is_full(&error) => {
                let now = Instant::now();
                // The last goes back first, so that they stay in order. If there was no room for long, they are lost.
                let mut went_back = left.iter().rev().map(|place| pace.not_sent(*place, now));
                return Ok(went_back.by_ref().fold(false, |any, it| any | it));
            }
            // As if it was lost.
            Err(error) if is_from_network(&error) => left = &left[1..],
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

pub(super) fn is_full(error: &io::Error) -> bool {
    error.kind() == ErrorKind::WouldBlock || error.raw_os_error() == Some(libc::ENOBUFS)
}

/// Errors that are somebody's answer to what was sent before, or that no packet could be delivered.
pub(super) fn is_from_network(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Interrupted | ErrorKind::HostUnreachable | ErrorKind::ConnectionRefused
    )
}

/// Waits until there is something to read, no longer than `limit`; where.
pub(super) fn wait(sockets: &[BorrowedFd<'_>], limit: Duration) -> io::Result<Vec<usize>> {
    let fds = sockets.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN));
    let mut fds: Vec<PollFd<'_>> = fds.collect();
    // Poll counts in milliseconds; never too early, else this would spin.
    let limit = limit.saturating_add(Duration::from_micros(999)).as_millis();
    let limit = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
    match poll(&mut fds, limit) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(errno) => return Err(errno.into()),
    }
    let is_ready = |(place, fd): (usize, &PollFd<'_>)| (fd.any() == Some(true)).then_some(place);
    Ok(fds.iter().enumerate().filter_map(is_ready).collect())
}
