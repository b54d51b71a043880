//! The bench's computer: what all devices share.

use std::path::{Path, PathBuf};

use nix::sys::statvfs::statvfs;

use super::{Findings, clock};
use provebench_network::services::broker_leftovers;
use provebench_network::{Leftover, NetworkError, is_allowed};

const MIB: u64 = 1024 * 1024;
/// A run of the shipped test cases on one board leaves some 30 MiB, most of them captures.
const TOO_LITTLE: u64 = 200 * MIB;
const LITTLE: u64 = 2048 * MIB;

/// Looks at what all devices share: rights, clock, space for runs, and what killed runs have left behind.
///
/// `files` are some that this machine has written or got; their times show a clock that is slow.
pub fn of_machine(runs: &Path, files: &[PathBuf]) -> Findings {
    let mut findings = Findings::default();
    namespaces(&mut findings);
    clock::look(&mut findings, files);
    space(&mut findings, runs);
    leftovers(&mut findings);
    findings
}

fn namespaces(findings: &mut Findings) {
    if is_allowed() {
        findings.good("this process may make network namespaces");
    } else {
        findings.error(&NetworkError::Forbidden {
            source: std::io::ErrorKind::PermissionDenied.into(),
        });
    }
}

fn space(findings: &mut Findings, runs: &Path) {
    // Runs that have not been made yet will be where their folder will be.
    let absolute = std::path::absolute(runs).unwrap_or_else(|_| runs.to_owned());
    let there = absolute.ancestors().find(|folder| folder.is_dir());
    let Some(folder) = there else { return };
    let free = match statvfs(folder) {
        Ok(system) => system
            .blocks_available()
            .saturating_mul(system.fragment_size()),
        Err(errno) => {
            let what = format!(
                "the space for runs in {} can't be told: {errno}",
                folder.display()
            );
            return findings.note(what, "is it there?");
        }
    };
    judge_space(findings, folder, free);
}

fn judge_space(findings: &mut Findings, folder: &Path, free: u64) {
    let what = format!(
        "{} MiB are free for runs in {}",
        free / MIB,
        folder.display()
    );
    let remedy = "delete old runs, or keep them elsewhere with --runs: evidence of a run may take some hundred MiB";
    match free {
        ..TOO_LITTLE => findings.wrong(format!("only {what}"), remedy),
        TOO_LITTLE..LITTLE => findings.note(format!("only {what}"), remedy),
        _ => findings.good(what),
    }
}

fn leftovers(findings: &mut Findings) {
    let clean = "`provebench doctor --clean` puts that right, and so does the next run";
    let mut none = true;
    match Leftover::find() {
        Ok(found) => {
            for leftover in found {
                none = false;
                findings.wrong(
                    format!("left behind by a run that was killed: {leftover}"),
                    clean,
                );
            }
        }
        Err(error) => {
            none = false;
            findings.error(&error);
        }
    }
    for folder in broker_leftovers() {
        none = false;
        let folder = folder.display();
        findings.wrong(
            format!("left behind by a run that was killed: {folder}"),
            clean,
        );
    }
    if none {
        findings.good("nothing is left behind by runs that were killed");
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::doctor::Level;

    #[rstest]
    #[case::full(0, Level::Wrong, "only 0 MiB")]
    #[case::not_for_one_run(199 * MIB, Level::Wrong, "only 199 MiB")]
    #[case::not_for_many(200 * MIB, Level::Note, "only 200 MiB")]
    #[case::enough(2048 * MIB, Level::Good, "2048 MiB")]
    fn space_for_runs_is_judged(#[case] free: u64, #[case] level: Level, #[case] says: &str) {
        let mut findings = Findings::default();
        judge_space(&mut findings, Path::new("/runs"), free);
        assert_eq!(findings.0[0].level, level);
        assert!(findings.0[0].what.starts_with(says), "{findings:?}");
    }

    #[test]
    fn runs_that_are_not_there_yet_will_be_where_their_folder_will_be() {
        let dir = tempfile::tempdir().unwrap();
        let mut findings = Findings::default();
        space(&mut findings, &dir.path().join("not/yet"));
        let what = &findings.0[0].what;
        assert!(what.contains(dir.path().to_str().unwrap()), "{what}");
    }
}
