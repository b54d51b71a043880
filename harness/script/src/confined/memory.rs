//! Looks at every allocation before it is made, and at the stack with it: on the threads that scripts run on, what would
//! be too much stops the thread instead. Elsewhere this is the system's allocator.
//!
//! The interpreter has no limit of its own that holds within one operation: `[0] * 1000000000` takes its memory first, and
//! what shows a list in a list in a list calls itself for each. A failed allocation and an overflown stack end the
//! process, with all other devices' results.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::thread;
use std::time::Duration;

use super::Confined;

/// Stack that may be in use at an allocation. What calls itself for each level of a value writes to memory that doubles as
/// it grows: from one allocation to the next, the depth doubles at most. The stack becomes four times as deep then: what
/// makes JSON calls itself once more at each level for all levels above.
const STACK_USED: usize = 512 << 20;
/// As a share of the stack.
const STACK_SHARE: usize = 8;

#[global_allocator]
static ALLOCATOR: Looking = Looking;

struct Looking;

thread_local! {
    // Neither needs to be dropped: the allocator may be called when a thread is nearly gone.
    static CONFINED: Cell<Option<&'static Confined>> = const { Cell::new(None) };
    static TAKEN: Cell<usize> = const { Cell::new(0) };
}

/// The calling thread's bounds from now on, until what it returns is dropped.
pub(super) fn confine(confined: &'static Confined) -> Inside {
    TAKEN.set(0);
    confined.begin_stack(here());
    CONFINED.set(Some(confined));
    Inside
}

pub(super) struct Inside;

impl Drop for Inside {
    fn drop(&mut self) {
        CONFINED.set(None);
    }
}

/// The calling thread's bounds, if it has some.
pub(super) fn confined() -> Option<&'static Confined> {
    CONFINED.get()
}

fn here() -> usize {
    let here = 0_u8;
    (&raw const here).addr()
}

/// Whether `size` more bytes may be taken; does not return if not.
#[inline]
fn look(size: usize) {
    if let Some(confined) = CONFINED.get() {
        look_closely(confined, size);
    }
}

fn look_closely(confined: &Confined, size: usize) {
    let taken = TAKEN.get().saturating_add(size);
    TAKEN.set(taken);
    // Whoever is within the bench may hold what others wait for.
    if confined.is_lent() {
        return;
    }
    if confined.is_abandoned() {
        halt();
    }
    let (begin, whole) = confined.stack();
    if begin.saturating_sub(here()) > STACK_USED.min(whole / STACK_SHARE) {
        confined.refuse_stack();
        halt();
    }
    if taken > confined.memory() {
        confined.refuse_memory(taken);
        halt();
    }
}

fn give_back(size: usize) {
    if CONFINED.get().is_some() {
        TAKEN.set(TAKEN.get().saturating_sub(size));
    }
}

/// The system had none.
#[cold]
fn missed() {
    if let Some(confined) = CONFINED.get()
        && !confined.is_lent()
    {
        confined.refuse_memory(TAKEN.get());
        halt();
    }
}

/// For ever: who waits for the thread sees that it was refused something.
pub(super) fn halt() -> ! {
    loop {
        thread::sleep(Duration::from_hours(1));
    }
}

// SAFETY: all memory is the system allocator's. What is done besides allocates nothing, and does not unwind.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Looking {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        look(layout.size());
        // SAFETY: as for the caller.
        let memory = unsafe { System.alloc(layout) };
        if memory.is_null() {
            missed();
        }
        memory
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        look(layout.size());
        // SAFETY: as for the caller.
        let memory = unsafe { System.alloc_zeroed(layout) };
        if memory.is_null() {
            missed();
        }
        memory
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        give_back(layout.size());
        // SAFETY: as for the caller.
        unsafe { System.dealloc(memory, layout) };
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        look(size);
        // SAFETY: as for the caller.
        let moved = unsafe { System.realloc(memory, layout, size) };
        if moved.is_null() {
            missed();
        }
        give_back(layout.size());
        moved
    }
}
