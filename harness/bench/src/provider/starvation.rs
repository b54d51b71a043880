//! What a virtual board got of this machine's processors: an emulator that waits for one does not do what a DUT would
//! have done meanwhile, though the harness runs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Who waits less has missed nothing.
const LONG: Duration = Duration::from_secs(1);

/// What each thread of a program and of all that it started got since it began, by its number.
#[derive(Debug, Clone, Default)]
pub(super) struct Shares(BTreeMap<String, Share>);

#[derive(Debug, Clone, Copy, Default)]
struct Share {
    ran: Duration,
    /// Was ready to run, and had no processor.
    waited: Duration,
}

impl Shares {
    /// Of the program with this number. What the kernel does not tell is left out.
    pub(super) fn of(program: u32) -> Self {
        let mut shares = BTreeMap::new();
        let mut programs = vec![program.to_string()];
        let mut known = BTreeSet::new();
        while let Some(program) = programs.pop() {
            if !known.insert(program.clone()) {
                continue;
            }
            let threads = fs::read_dir(format!("/proc/{program}/task"));
            for thread in threads.into_iter().flatten().flatten() {
                let text = |file| read(&thread.path(), file);
                if let Some(share) = text("schedstat").as_deref().and_then(Share::parse) {
                    let number = thread.file_name().to_string_lossy().into_owned();
                    shares.insert(number, share);
                }
                let children = text("children").unwrap_or_default();
                programs.extend(children.split_whitespace().map(str::to_owned));
            }
        }
        Self(shares)
    }

    /// Since then, how long a thread waited for a processor, and how long it ran, of one that got less than half of what
    /// it asked for, and too little for whatever waits for it.
    pub(super) fn starved_since(&self, before: &Self) -> Option<(Duration, Duration)> {
        let since = self.0.iter().map(|(thread, now)| {
            let then = before.0.get(thread).copied().unwrap_or_default();
            let waited = now.waited.saturating_sub(then.waited);
            (waited, now.ran.saturating_sub(then.ran))
        });
        let starved = since.filter(|(waited, ran)| *waited >= LONG && waited >= ran);
        starved.max()
    }
}

impl Share {
    /// `/proc/PID/task/TID/schedstat`: times in nanoseconds, and how often it ran.
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace().map(str::parse);
        let mut next = || Some(Duration::from_nanos(words.next()?.ok()?));
        Some(Self {
            ran: next()?,
            waited: next()?,
        })
    }
}

fn read(dir: &Path, file: &str) -> Option<String> {
    fs::read_to_string(dir.join(file)).ok()
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};
    use std::time::Instant;

    use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
    use nix::unistd::Pid;

    use super::*;

    struct Program(Child);

    impl Drop for Program {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    /// A shell that waits for what it started, on one processor together.
    fn program(script: &str) -> Program {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).stdin(Stdio::piped());
        let child = shell.spawn().unwrap();
        let pid = Pid::from_raw(child.id().cast_signed());
        let allowed = sched_getaffinity(pid).unwrap();
        let first = (0..CpuSet::count()).find(|n| allowed.is_set(*n).unwrap());
        let mut one = CpuSet::new();
        one.set(first.unwrap()).unwrap();
        sched_setaffinity(pid, &one).unwrap();
        Program(child)
    }

    /// Three that want all of one processor get a third each.
    #[test]
    fn a_program_whose_children_share_a_processor_is_starved() {
        let spin =
            "read go; for n in 1 2 3; do timeout 300 sh -c 'while :; do :; done' & done; wait";
        let mut program = program(spin);
        let id = program.0.id();
        let before = Shares::of(id);
        assert!(before.starved_since(&before).is_none());
        drop(program.0.stdin.take());
        let end = Instant::now() + Duration::from_mins(4);
        let (waited, ran) = loop {
            if let Some(starved) = Shares::of(id).starved_since(&before) {
                break starved;
            }
            assert!(Instant::now() < end, "{:?}", Shares::of(id));
            std::thread::sleep(Duration::from_millis(20));
        };
        assert!(waited >= LONG && waited >= ran, "{waited:?} {ran:?}");
        // They end with their shell's group at the latest.
        let children = Shares::of(id).0;
        for thread in children.keys().filter(|thread| **thread != id.to_string()) {
            let pid = Pid::from_raw(thread.parse().unwrap());
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
        }
    }

    #[test]
    fn whoever_wants_nothing_lacks_nothing() {
        let program = program("read go");
        let id = program.0.id();
        let before = Shares::default();
        // Whatever it waited for was short, unless it ran as long.
        let share = |ran, waited| Share {
            ran: Duration::from_millis(ran),
            waited: Duration::from_millis(waited),
        };
        let of = |shares: &[Share]| {
            let threads = shares.iter().enumerate();
            Shares(threads.map(|(n, share)| (n.to_string(), *share)).collect())
        };
        assert!(Shares::of(id).0.contains_key(&id.to_string()));
        assert!(
            of(&[share(0, 900), share(2000, 1500)])
                .starved_since(&before)
                .is_none()
        );
        let starved = of(&[share(500, 1500), share(0, 1200)]);
        let both = (Duration::from_millis(1500), Duration::from_millis(500));
        assert_eq!(starved.starved_since(&before), Some(both));
        assert!(starved.starved_since(&starved).is_none());
    }

    #[test]
    fn a_program_that_is_gone_tells_nothing() {
        assert!(Shares::of(u32::MAX).0.is_empty());
    }
}
