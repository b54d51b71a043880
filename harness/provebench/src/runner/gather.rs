//! From the devices' threads to journal, results and whoever watches. A verdict is on disk before anybody hears of it, and
//! before its device begins anything else: what has queued meanwhile is written together.

use std::iter;
use std::sync::mpsc::{self, Receiver, Sender, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::queue::Queue;
use crate::redact::Secrets;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use provebench_record::event::{Event, Skip, SkipKind, Stamped, Stamper, Step};
use provebench_record::evidence::{EvidenceError, JsonLines};
use provebench_record::explain::with_causes;
use provebench_record::report::{Reporter, Results};
use provebench_standard::CaseId;

/// Events that wait to be written at most. Devices wait when there are more, and what is only shown is dropped.
const MOST: usize = 1024;

/// Events on their way, kept together, and who waits for that.
#[derive(Debug)]
pub(super) struct Sent {
    events: Vec<(OffsetDateTime, Event)>,
    kept: Option<Sender<()>>,
}

/// Where a device's worker tells what happens.
#[derive(Clone, Debug)]
pub(super) struct Events {
    sender: SyncSender<Sent>,
    secrets: Secrets,
    /// Told when the latest verdict of the device is kept.
    unkept: Arc<Mutex<Option<Receiver<()>>>>,
}

/// What is told has none of the secrets.
pub(super) fn channel(secrets: Secrets) -> (Events, Receiver<Sent>) {
    let (sender, receiver) = mpsc::sync_channel(MOST);
    let events = Events {
        sender,
        secrets,
        unkept: Arc::default(),
    };
    (events, receiver)
}

impl Events {
    /// The same for another device, which waits for its own verdicts only.
    pub(super) fn of_another(&self) -> Self {
        Self {
            sender: self.sender.clone(),
            secrets: self.secrets.clone(),
            unkept: Arc::default(),
        }
    }

    /// A case or a unit does not begin before all verdicts of the device are kept.
    pub(super) fn send(&self, event: Event) {
        self.send_together(vec![event]);
    }

    /// The same for events that follow each other at once: the disk is waited for once for all of them.
    pub(super) fn send_together(&self, mut events: Vec<Event>) {
        for event in &mut events {
            self.secrets.black_out_event(event);
        }
        let unkept = || self.unkept.lock().unwrap_or_else(PoisonError::into_inner);
        if events.iter().any(Event::is_begin) {
            let latest = unkept().take();
            // Also when whoever keeps them is gone, which ends the run.
            let _ = latest.map(|latest| latest.recv());
        }
        let is_shown_only = !events.iter().any(Event::is_journaled);
        let kept = events.iter().any(Event::is_verdict).then(|| {
            let (kept, latest) = mpsc::channel();
            *unkept() = Some(latest);
            kept
        });
        let events = now(events);
        let sent = Sent { events, kept };
        // The receiver outlives all workers.
        let _ = if is_shown_only {
            // In the middle of a unit nobody waits for a terminal.
            self.sender.try_send(sent).is_ok()
        } else {
            self.sender.send(sent).is_ok()
        };
    }

    /// For those who must not wait, whatever the disk and the terminal do.
    pub(super) fn send_at_once(&self, event: Event) {
        let sent = self.sender.try_send(Sent {
            events: now([event]),
            kept: None,
        });
        if let Err(TrySendError::Full(sent)) = sent {
            let sender = self.sender.clone();
            thread::spawn(move || drop(sender.send(sent)));
        }
    }

    /// What nothing that is told has.
    pub(super) fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// For what is kept elsewhere.
    pub(super) fn black_out(&self, step: &mut Step) {
        self.secrets.black_out_step(step);
    }

    pub(super) fn skip(&self, device: &str, case: &CaseId, kind: SkipKind, reason: &str) {
        self.send(skipped(device, case, kind, reason));
    }

    /// The device leaves the queue. Gives how many cases are not run because of that.
    pub(super) fn skip_left(
        &self,
        device: &str,
        queue: &Queue,
        kind: SkipKind,
        reason: &str,
    ) -> usize {
        let left = queue.withdraw(device);
        for item in &left {
            self.skip(device, &item.case, kind, reason);
        }
        left.len()
    }
}

/// With the time at which they are told.
fn now(events: impl IntoIterator<Item = Event>) -> Vec<(OffsetDateTime, Event)> {
    let now = OffsetDateTime::now_utc();
    events.into_iter().map(|event| (now, event)).collect()
}

pub(super) fn skipped(device: &str, case: &CaseId, kind: SkipKind, reason: &str) -> Event {
    Event::CaseSkipped {
        device: device.to_owned(),
        case: case.clone(),
        skip: Skip {
            kind,
            reason: reason.to_owned(),
        },
    }
}

/// What keeps events over the end of the process and of the machine.
pub(super) trait Keep {
    /// Adds events. Verdicts among them, and all before, are on disk when this returns.
    fn keep(&mut self, events: &[&Stamped]) -> Result<(), EvidenceError>;
}

impl Keep for JsonLines {
    fn keep(&mut self, events: &[&Stamped]) -> Result<(), EvidenceError> {
        self.append_all(events.iter().copied())?;
        if events.iter().any(|stamped| stamped.event.is_verdict()) {
            self.sync()?;
        }
        Ok(())
    }
}

/// Takes in what happens.
pub(super) struct Gather<'a, 'r, K> {
    pub(super) journal: K,
    pub(super) stamper: Stamper,
    pub(super) results: Results,
    pub(super) reporters: &'a mut [&'r mut dyn Reporter],
    /// Why the journal could not be kept: the run stops.
    pub(super) lost: Option<EvidenceError>,
    /// Cancelled then.
    pub(super) stop: &'a CancellationToken,
}

impl<K: Keep> Gather<'_, '_, K> {
    /// Until so many devices are finished.
    pub(super) fn take_all(&mut self, events: &Receiver<Sent>, devices: usize) {
        let mut running = devices;
        while running > 0 {
            let Ok(first) = events.recv() else { return };
            let queued = events.try_iter().take(MOST);
            let batch: Vec<Sent> = iter::once(first).chain(queued).collect();
            let events = batch.iter().flat_map(|sent| &sent.events);
            let finished =
                events.filter(|(_, event)| matches!(event, Event::DeviceFinished { .. }));
            running -= finished.count();
            self.take(batch);
        }
    }

    pub(super) fn take_own(&mut self, events: impl IntoIterator<Item = Event>) {
        let sent = Sent {
            events: now(events),
            kept: None,
        };
        self.take(vec![sent]);
    }

    /// Shows what the journal has already, or never will have.
    pub(super) fn show(&mut self, event: Event) {
        let stamped = self.stamper.unnumbered(OffsetDateTime::now_utc(), event);
        self.tell(&stamped);
    }

    fn tell(&mut self, stamped: &Stamped) {
        for reporter in &mut *self.reporters {
            reporter.report(stamped, &self.results);
        }
    }

    fn take(&mut self, batch: Vec<Sent>) {
        let mut waiting = Vec::new();
        let mut stamped = Vec::new();
        for Sent { events, kept } in batch {
            waiting.extend(kept);
            for (time, event) in events {
                stamped.push(self.stamper.stamp(time, event));
            }
        }
        let journaled = stamped.iter().filter(|s| s.event.is_journaled());
        let journaled: Vec<&Stamped> = journaled.collect();
        // A line that is not whole must stay the last.
        if self.lost.is_none()
            && !journaled.is_empty()
            && let Err(error) = self.journal.keep(&journaled)
        {
            self.show(Event::Interrupted {
                signal: format!("the journal ({})", with_causes(&error)),
            });
            self.lost = Some(error);
            self.stop.cancel();
        }
        // Where it is lost, nobody is held up either: the run stops, and ends in order.
        for kept in waiting {
            let _ = kept.send(());
        }
        for stamped in stamped {
            self.results.apply(&stamped);
            self.tell(&stamped);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::SyncSender;

    use super::*;
    use provebench_record::event::{End, UnitResult};

    /// A disk that takes as long as the test wants: it tells what it is to keep, and waits until it may.
    struct SlowDisk {
        asked: SyncSender<Vec<&'static str>>,
        may: Receiver<Result<(), ()>>,
    }

    impl Keep for SlowDisk {
        fn keep(&mut self, events: &[&Stamped]) -> Result<(), EvidenceError> {
            let words = events.iter().map(|stamped| word(stamped)).collect();
            self.asked.send(words).unwrap();
            let full = || {
                let full = std::io::Error::other("full");
                EvidenceError::new("append to", std::path::Path::new("journal"), full)
            };
            self.may.recv().unwrap().map_err(|()| full())
        }
    }

    fn word(stamped: &Stamped) -> &'static str {
        match &stamped.event {
            Event::UnitStarted { device, .. } if device == "a" => "a begins",
            Event::UnitFinished { device, .. } if device == "a" => "a",
            Event::UnitFinished { device, .. } if device == "b" => "b",
            Event::UnitFinished { .. } => "c",
            Event::CaseFinished { .. } => "case",
            Event::DeviceFinished { .. } => "finished",
            Event::Progress { .. } => "progress",
            Event::Interrupted { .. } => "lost",
            _ => "other",
        }
    }

    fn verdict(device: &str) -> Event {
        Event::UnitFinished {
            device: device.into(),
            case: "5.1-1-2".parse().unwrap(),
            result: UnitResult::without_script('a'.into(), End::Pass, ""),
        }
    }

    fn begin(device: &str) -> Event {
        Event::UnitStarted {
            device: device.into(),
            case: "5.1-1-2".parse().unwrap(),
            unit: 'b'.into(),
        }
    }

    fn finished(device: &str) -> Event {
        Event::DeviceFinished {
            device: device.into(),
            seconds: 0.0,
        }
    }

    /// Runs a gatherer on a slow disk, which `test` plays; gives what was shown.
    fn gathered(
        devices: usize,
        test: impl FnOnce(
            Events,
            &Receiver<Vec<&'static str>>,
            &Sender<Result<(), ()>>,
            &Receiver<&'static str>,
        ),
    ) -> Vec<&'static str> {
        let (events, sent) = channel(Secrets::default());
        let (asked, asks) = mpsc::sync_channel(0);
        let (may, allowed) = mpsc::channel();
        let (shown, shows) = mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(move || {
                let stop = CancellationToken::new();
                let mut watch = |stamped: &Stamped, _: &Results| shown.send(word(stamped)).unwrap();
                let mut gather = Gather {
                    journal: SlowDisk {
                        asked,
                        may: allowed,
                    },
                    stamper: Stamper::new("bench-1", 0),
                    results: Results::new(),
                    reporters: &mut [&mut watch],
                    lost: None,
                    stop: &stop,
                };
                gather.take_all(&sent, devices);
            });
            test(events, &asks, &may, &shows);
            shows.iter().collect()
        })
    }

    #[test]
    fn nobody_hears_of_a_verdict_before_it_is_kept() {
        let shown = gathered(1, |a, asks, may, shows| {
            a.send(verdict("a"));
            assert_eq!(asks.recv().unwrap(), ["a"]);
            // The disk is at it.
            assert!(shows.try_recv().is_err(), "it was shown before it was kept");
            may.send(Ok(())).unwrap();
            assert_eq!(shows.recv().unwrap(), "a");
            a.send(finished("a"));
            assert_eq!(asks.recv().unwrap(), ["finished"]);
            may.send(Ok(())).unwrap();
        });
        assert_eq!(shown, ["finished"]);
    }

    #[test]
    fn what_has_queued_is_kept_together_and_a_device_begins_nothing_before() {
        gathered(3, |a, asks, may, _| {
            let (b, c) = (a.of_another(), a.of_another());
            a.send(verdict("a"));
            assert_eq!(asks.recv().unwrap(), ["a"]);
            // While the disk is at that one:
            b.send(verdict("b"));
            c.send(verdict("c"));
            let (began, begins) = mpsc::channel();
            let on_a = thread::spawn(move || {
                a.send(begin("a"));
                began.send(()).unwrap();
                a.send(finished("a"));
            });
            assert!(begins.try_recv().is_err(), "a goes on without its verdict");
            may.send(Ok(())).unwrap();
            begins.recv().unwrap();
            on_a.join().unwrap();
            b.send(finished("b"));
            c.send(finished("c"));
            let mut kept = asks.recv().unwrap();
            assert_eq!(kept[..2], ["b", "c"], "one write for both");
            while kept.iter().filter(|word| **word == "finished").count() < 3 {
                may.send(Ok(())).unwrap();
                kept.extend(asks.recv().unwrap());
            }
            may.send(Ok(())).unwrap();
        });
    }

    /// A case of one unit costs its device one write.
    #[test]
    fn what_follows_at_once_is_kept_together() {
        let shown = gathered(1, |a, asks, may, _| {
            let case = Event::CaseFinished {
                device: "a".into(),
                case: "5.1-1-2".parse().unwrap(),
                seconds: 0.0,
                evidence: None,
                files: Vec::new(),
                will_retry: false,
            };
            a.send_together(vec![verdict("a"), case]);
            assert_eq!(asks.recv().unwrap(), ["a", "case"]);
            may.send(Ok(())).unwrap();
            a.send(finished("a"));
            asks.recv().unwrap();
            may.send(Ok(())).unwrap();
        });
        assert_eq!(shown, ["a", "case", "finished"]);
    }

    /// The run ends in order, and says why.
    #[test]
    fn a_disk_that_is_full_holds_nobody_up() {
        let shown = gathered(1, |a, asks, may, _| {
            a.send(verdict("a"));
            asks.recv().unwrap();
            may.send(Err(())).unwrap();
            a.send(begin("a"));
            a.send(finished("a"));
        });
        assert_eq!(shown, ["lost", "a", "a begins", "finished"]);
    }

    /// Steps are kept elsewhere: a terminal that stands still holds up no unit.
    #[test]
    fn what_is_only_shown_is_waited_for_by_nobody() {
        let (events, _sent) = channel(Secrets::default());
        for _ in 0..MOST * 2 {
            events.send(Event::Progress {
                device: "a".into(),
                text: "busy".into(),
            });
        }
        events.send_at_once(Event::Interrupted {
            signal: "SIGINT".into(),
        });
    }
}
