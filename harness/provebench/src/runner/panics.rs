//! A panic while a case runs is a bug of the bench: an ERROR of that case, not the end of the run.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;
use std::thread;

/// How the names of the workers' threads begin.
pub(super) const THREADS: &str = "device ";

thread_local! {
    static LATEST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Keeps what a panicking worker says for the results, instead of writing it over the live display.
pub(super) fn keep_for_results() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let is_worker = thread::current()
                .name()
                .is_some_and(|name| name.starts_with(THREADS));
            if is_worker {
                LATEST.set(Some(info.to_string().replace('\n', " ")));
            } else {
                usual(info);
            }
        }));
    });
}

/// Runs `act`; a panic becomes a message.
pub(super) fn caught<T>(act: impl FnOnce() -> T) -> Result<T, String> {
    panic::catch_unwind(AssertUnwindSafe(act)).map_err(|payload| {
        let what = LATEST.take().unwrap_or_else(|| describe(&*payload));
        // tokio can't say it otherwise.
        if what.contains("spawn worker thread") || what.contains("spawn thread") {
            return format!(
                "no thread can be started ({what}); look at the limits on memory (ulimit -v) and processes (ulimit -u)"
            );
        }
        format!("bug in provebench: {what}; please report it with this run's evidence")
    })
}

fn describe(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("panic")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn a_panic_is_a_message_with_its_place() {
        keep_for_results();
        let worker = thread::Builder::new().name(format!("{THREADS}x"));
        let thread = worker.spawn(|| caught(|| -> u32 { panic!("on\npurpose") }));
        let message = thread.unwrap().join().unwrap().unwrap_err();
        assert!(
            message.contains("panics.rs") && message.contains("on purpose"),
            "{message}"
        );
    }

    /// As tokio and std say it.
    #[rstest]
    #[case("OS can't spawn worker thread: Resource temporarily unavailable (os error 11)")]
    #[case(
        "failed to spawn thread: Os { code: 11, kind: WouldBlock, message: \"Resource temporarily unavailable\" }"
    )]
    fn a_thread_that_is_not_to_be_had_is_no_bug_of_ours(#[case] what: &str) {
        let message = caught(|| -> u32 { panic!("{what}") }).unwrap_err();
        assert!(message.contains("ulimit -v"), "{message}");
        assert!(!message.contains("bug in provebench"), "{message}");
    }

    #[test]
    fn what_does_not_panic_is_left_alone() {
        assert_eq!(caught(|| 7), Ok(7));
    }
}
