//! Whether the clock of this machine can be right.
//!
//! Evidence carries its times, the certificates of a run begin with it, and the DUT gets it by NTP.
#![allow(unsafe_code)] // no crate at hand asks the kernel for the state of its clock

use std::{
    mem,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use nix::libc;

use super::Findings;

/// Clocks of two machines that share files differ.
const TOLERANCE: Duration = Duration::from_mins(5);

pub(super) fn look(findings: &mut Findings, files: &[PathBuf]) {
    let now = SystemTime::now();
    let program = std::env::current_exe().ok();
    let newest = newest(files.iter().chain(&program).map(PathBuf::as_path));
    if let Some((file, written)) = newest
        && written > now + TOLERANCE
    {
        let ahead = written.duration_since(now).unwrap_or_default().as_secs();
        findings.wrong(
            format!(
                "the clock is slow: {} was written {} after what it says now",
                file.display(),
                for_people(ahead)
            ),
            "set it (`timedatectl set-ntp true`, or `date`): evidence carries its times, and certificates of a run begin \
             with it",
        );
    } else if is_synchronised() {
        findings.good("the clock is kept right from outside");
    } else {
        findings.note(
            "nobody keeps the clock right, as far as the kernel knows",
            "run a time service (systemd-timesyncd, chrony): evidence carries its times. In a container that is the host's \
             business, and may not show",
        );
    }
}

fn newest<'f>(files: impl Iterator<Item = &'f Path>) -> Option<(&'f Path, SystemTime)> {
    files
        .filter_map(|file| Some((file, file.metadata().ok()?.modified().ok()?)))
        .max_by_key(|(_, written)| *written)
}

/// Whether something disciplines the kernel's clock: adjtimex(2).
fn is_synchronised() -> bool {
    // SAFETY: all-zero is a valid `timex`; with `modes` 0 nothing is changed.
    let mut clock: libc::timex = unsafe { mem::zeroed() };
    // SAFETY: `clock` is a `timex` for the kernel to fill.
    let state = unsafe { libc::adjtimex(&raw mut clock) };
    (0..libc::TIME_ERROR).contains(&state) && clock.status & libc::STA_UNSYNC == 0
}

fn for_people(seconds: u64) -> String {
    const DAY: u64 = 24 * 60 * 60;
    match seconds {
        ..7200 => format!("{} min", seconds / 60),
        7200..=DAY => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / DAY),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::doctor::Level;

    #[rstest]
    #[case::slow(Duration::from_hours(49), Some("was written 2 days after"))]
    #[case::of_another_machine(Duration::from_mins(2), None)]
    fn a_file_of_the_future_shows_that_the_clock_is_slow(
        #[case] ahead: Duration,
        #[case] says: Option<&str>,
    ) {
        let file = tempfile::NamedTempFile::new().unwrap();
        let future = SystemTime::now() + ahead;
        file.as_file().set_modified(future).unwrap();
        let mut findings = Findings::default();
        look(&mut findings, &["/nowhere".into(), file.path().into()]);
        let [finding] = &findings.0[..] else {
            panic!("{findings:?}")
        };
        assert_eq!(finding.level == Level::Wrong, says.is_some(), "{finding:?}");
        assert!(finding.what.contains(says.unwrap_or("")), "{finding:?}");
    }
}
