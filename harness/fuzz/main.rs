//! The program that ci/fuzz builds: libFuzzer, with the parser that `PARSER` names.
#![no_main]

use std::{env, process::exit, sync::OnceLock};

use provebench::fuzzing::{PARSERS, Parser};

static CHOSEN: OnceLock<Parser> = OnceLock::new();

fn choose() -> Parser {
    let name = env::var("PARSER").unwrap_or_default();
    if let Some((_, parser)) = PARSERS.iter().find(|(known, _)| *known == name) {
        return *parser;
    }
    for (name, _) in PARSERS {
        println!("{name}");
    }
    exit(if name.is_empty() { 0 } else { 2 });
}

libfuzzer_sys::fuzz_target!(
    init: assert!(CHOSEN.set(choose()).is_ok()),
    |data: &[u8]| CHOSEN.get().expect("chosen")(data)
);
