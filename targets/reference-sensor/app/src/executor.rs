//! Runs the tasks; the core sleeps while none has anything to do.

use core::sync::atomic::{AtomicBool, Ordering};

use embassy_executor::{Spawner, raw};
use static_cell::StaticCell;

static PENDING: AtomicBool = AtomicBool::new(false);

/// Called when a task becomes ready, also from interrupts.
#[unsafe(export_name = "__pender")]
fn pend(_: *mut ()) {
    PENDING.store(true, Ordering::SeqCst);
}

/// Runs what `spawn` spawns, for ever.
///
/// Not the executor that embassy ships for this core: that one sleeps with WFE, which emulators
/// implement as no sleep at all. WFI with interrupts masked sleeps everywhere, and misses none.
pub(crate) fn run(spawn: impl FnOnce(Spawner)) -> ! {
    static EXECUTOR: StaticCell<raw::Executor> = StaticCell::new();
    let executor = EXECUTOR.init(raw::Executor::new(core::ptr::null_mut()));
    spawn(executor.spawner());
    loop {
        // SAFETY: called from here only, so never while it is already polling.
        unsafe { executor.poll() };
        cortex_m::interrupt::disable();
        if !PENDING.swap(false, Ordering::SeqCst) {
            cortex_m::asm::dsb();
            cortex_m::asm::wfi();
        }
        // SAFETY: they were enabled before; no critical section is open here.
        unsafe { cortex_m::interrupt::enable() };
    }
}
