//! Time for embassy: one timer that runs on, one that rings for the next alarm. No ticks.

use core::{
    cell::{Cell, RefCell},
    task::Waker,
};

use board::register::{read, write};
use critical_section::{CriticalSection, Mutex};
use embassy_time_driver::Driver;
use embassy_time_queue_utils::Queue;

const CLOCK: usize = 0x4000_0000;
const ALARM: usize = 0x4000_1000;
const CTRL: usize = 0x0;
const VALUE: usize = 0x4;
const RELOAD: usize = 0x8;
const INTERRUPT: usize = 0xC;
const ENABLE_WITH_INTERRUPT: u32 = 0b1001;

/// Interrupt number of the clock's wrap.
pub(crate) const CLOCK_IRQ: u16 = 8;
/// Interrupt number of the alarm.
pub(crate) const ALARM_IRQ: u16 = 9;

const TICKS_PER_US: u32 = 25;
/// Ticks after which the clock starts over: 100 s.
const PERIOD: u32 = 100_000_000 * TICKS_PER_US;

struct Clock {
    wraps: Mutex<Cell<u64>>,
    queue: Mutex<RefCell<Queue>>,
}

embassy_time_driver::time_driver_impl!(static TIME: Clock = Clock {
    wraps: Mutex::new(Cell::new(0)),
    queue: Mutex::new(RefCell::new(Queue::new())),
});

/// Starts the clock.
pub(crate) fn start() {
    write(CLOCK + RELOAD, PERIOD - 1);
    write(CLOCK + VALUE, PERIOD - 1);
    write(CLOCK + CTRL, ENABLE_WITH_INTERRUPT);
}

/// The clock starts over.
pub(crate) fn on_clock() {
    critical_section::with(|cs| {
        write(CLOCK + INTERRUPT, 1);
        let wraps = TIME.wraps.borrow(cs);
        wraps.set(wraps.get() + 1);
    });
}

/// The alarm rings.
pub(crate) fn on_alarm() {
    critical_section::with(|cs| {
        write(ALARM + CTRL, 0);
        write(ALARM + INTERRUPT, 1);
        TIME.set_alarm(cs, &mut TIME.queue.borrow_ref_mut(cs));
    });
}

impl Clock {
    fn set_alarm(&self, cs: CriticalSection<'_>, queue: &mut Queue) {
        loop {
            let now = self.now_in(cs);
            let next = queue.next_expiration(now);
            write(ALARM + CTRL, 0);
            write(ALARM + INTERRUPT, 1);
            if next == u64::MAX {
                return;
            }
            let now = self.now_in(cs);
            if next <= now {
                continue;
            }
            // Longer waits than the timer can count are waited for in pieces.
            let ticks = (next - now).min(u64::from(PERIOD / TICKS_PER_US)) as u32 * TICKS_PER_US;
            write(ALARM + RELOAD, ticks);
            write(ALARM + VALUE, ticks);
            write(ALARM + CTRL, ENABLE_WITH_INTERRUPT);
            return;
        }
    }

    fn now_in(&self, cs: CriticalSection<'_>) -> u64 {
        let mut wraps = self.wraps.borrow(cs).get();
        let mut left = read(CLOCK + VALUE);
        if read(CLOCK + INTERRUPT) & 1 != 0 {
            // It started over just now, and the interrupt waits for us: read again, after the wrap.
            left = read(CLOCK + VALUE);
            wraps += 1;
        }
        wraps * u64::from(PERIOD / TICKS_PER_US) + u64::from((PERIOD - 1 - left) / TICKS_PER_US)
    }
}

impl Driver for Clock {
    fn now(&self) -> u64 {
        critical_section::with(|cs| self.now_in(cs))
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        critical_section::with(|cs| {
            let mut queue = self.queue.borrow_ref_mut(cs);
            if queue.schedule_wake(at, waker) {
                self.set_alarm(cs, &mut queue);
            }
        });
    }
}
