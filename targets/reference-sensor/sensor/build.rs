//! Makes the enum of flaws from the list that the driver and the tests of test cases read, too.

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt::Write;
use std::path::PathBuf;
use std::{env, fs};

const LIST: &str = "../flaws.toml";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={LIST}");
    let list: toml::Table = fs::read_to_string(LIST)?.parse()?;
    let flaws = list.get("flaw").and_then(toml::Value::as_array);
    let mut numbers = BTreeSet::new();
    let mut source = "/// A deliberate violation; its number is the word in the personalisation.\n\
         #[derive(Clone, Copy, Debug, PartialEq, Eq)]\n#[repr(u32)]\npub enum Flaw {\n"
        .to_owned();
    for flaw in flaws.ok_or("flaws.toml has no [[flaw]]")? {
        let text = |key| flaw.get(key).and_then(toml::Value::as_str).ok_or(key);
        let (name, what) = (text("name")?, text("what")?);
        let number = flaw.get("number").and_then(toml::Value::as_integer);
        let number = number.and_then(|number| u32::try_from(number).ok());
        let number = number.filter(|number| *number > 0);
        let number = number.ok_or_else(|| format!("{name} has no number, which is 1 or more"))?;
        if !numbers.insert(number) {
            return Err(format!("number {number} of {name} is another flaw's").into());
        }
        writeln!(source, "    /// {what}\n    {} = {number},", camel(name))?;
    }
    source += "}\n";
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("flaws.rs"), source)?;
    Ok(())
}

/// `no-lockout` as `NoLockout`.
fn camel(name: &str) -> String {
    let words = name.split('-').map(|word| {
        let (first, rest) = word.split_at(1);
        first.to_uppercase() + rest
    });
    words.collect()
}
