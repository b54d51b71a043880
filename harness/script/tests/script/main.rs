//! Scripts against a real bench: a pseudo terminal whose other end plays the DUT, and a plug that speaks HTTP.

mod bench;
mod blame;
mod bombs;
mod dut;
mod load;
mod power;
mod products;
mod records;
mod rows;
mod shipped;
mod stopped;
mod verdicts;
