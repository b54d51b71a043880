//! A board on a bench, emulated.
fn main() {}
