//! What a debugger finds in the chip: debug port, access ports, core debug registers.

pub(crate) mod fpb;
pub(crate) mod port;
pub(crate) mod registers;
pub(crate) mod rom;
pub(crate) mod swd;
