//! Frames on the DUT's cable, in the index of flows.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| provebench::bench::network::fuzzing::frames(data));
