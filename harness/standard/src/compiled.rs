//! Data that is compiled in.

use serde::de::DeserializeOwned;

/// Reads a file that is compiled in.
pub(crate) fn compiled_in<T: DeserializeOwned>(text: &str) -> T {
    toml::from_str(text).unwrap_or_else(|error| {
        unreachable!("the data is compiled in, and each file is read by a test: {error}")
    })
}
