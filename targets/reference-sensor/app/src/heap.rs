//! Memory for TLS and MQTT, whose messages have no fixed size. Everything else does without.

use core::mem::MaybeUninit;

use embedded_alloc::LlffHeap;
use static_cell::ConstStaticCell;

/// A connection takes some 40 KiB; there are no more than four.
const SIZE: usize = 256 * 1024;

#[global_allocator]
static HEAP: LlffHeap = LlffHeap::empty();

/// Makes memory available; to be called once, before anyone asks for some.
pub(crate) fn start() {
    static MEMORY: ConstStaticCell<[MaybeUninit<u8>; SIZE]> =
        ConstStaticCell::new([MaybeUninit::uninit(); SIZE]);
    let memory = MEMORY.take();
    // SAFETY: the memory is taken from its cell, so it is nobody else's, and never given back.
    unsafe { HEAP.init(memory.as_mut_ptr() as usize, SIZE) }
}
