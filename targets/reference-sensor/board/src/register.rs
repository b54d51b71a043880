//! Access to hardware registers.

/// Reads a register of this board.
pub fn read(address: usize) -> u32 {
    // SAFETY: callers name addresses of this board's map, which are aligned words without an owner
    // among Rust's objects.
    unsafe { core::ptr::read_volatile(address as *const u32) }
}

/// Writes a register of this board.
pub fn write(address: usize, value: u32) {
    // SAFETY: as above; no register written through this reconfigures memory that Rust uses.
    unsafe { core::ptr::write_volatile(address as *mut u32, value) }
}
