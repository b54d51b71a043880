//! What is said to the broker and by it.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| provebench::bench::services::fuzzing::packets(data));
