//! The beginning of TLS connections.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| provebench::bench::network::fuzzing::hello(data));
