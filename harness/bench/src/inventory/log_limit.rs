use schemars::JsonSchema;
use serde::Deserialize;

/// How large the logs of one attempt at a test case may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "Size")]
#[schemars(with = "Size")]
pub struct LogLimit(u64);

/// A number of bytes, or text such as `64 MiB` (with `KiB`, `MiB` or `GiB`); from `64 KiB` to `1024 GiB`.
#[derive(Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "it is a number of bytes, or text such as \"64 MiB\""
)]
enum Size {
    Bytes(u64),
    Text(String),
}

impl LogLimit {
    const LEAST: u64 = 64 << 10;
    const MOST: u64 = 1 << 40;

    /// Of each log of an attempt, in bytes.
    pub fn of_case(self) -> u64 {
        self.0
    }

    /// Of the log of a device's console in the whole run, in bytes.
    pub fn of_device(self) -> u64 {
        self.0 * 16
    }
}

impl Default for LogLimit {
    fn default() -> Self {
        Self(64 << 20)
    }
}

impl TryFrom<Size> for LogLimit {
    type Error = &'static str;

    fn try_from(size: Size) -> Result<Self, Self::Error> {
        let bytes = match size {
            Size::Bytes(bytes) => Some(bytes),
            Size::Text(text) => bytes(&text),
        };
        match bytes {
            Some(bytes @ Self::LEAST..=Self::MOST) => Ok(Self(bytes)),
            _ => Err(
                "it is a number of bytes, or text such as \"64 MiB\" (with KiB, MiB or GiB), from 64 KiB to 1024 GiB",
            ),
        }
    }
}

fn bytes(text: &str) -> Option<u64> {
    let units = [("KiB", 10), ("MiB", 20), ("GiB", 30)];
    let (number, shift) = units
        .iter()
        .find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift)))?;
    number
        .trim_end()
        .parse::<u64>()
        .ok()?
        .checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::bytes("65536", Some(65_536))]
    #[case::unit("\"64 MiB\"", Some(64 << 20))]
    #[case::no_space("\"1GiB\"", Some(1 << 30))]
    #[case::small("\"63 KiB\"", None)]
    #[case::large("\"1025 GiB\"", None)]
    #[case::overflow("\"18446744073709551615 GiB\"", None)]
    #[case::no_unit("\"64\"", None)]
    #[case::negative("-1", None)]
    #[case::no_number("true", None)]
    fn limits_have_units(#[case] value: &str, #[case] bytes: Option<u64>) {
        #[derive(Debug, Deserialize)]
        struct File {
            limit: LogLimit,
        }
        let file = toml::from_str::<File>(&format!("limit = {value}"));
        match file {
            Ok(file) => assert_eq!(Some(file.limit.of_case()), bytes),
            Err(error) => {
                assert_eq!(bytes, None, "{error}");
                assert!(error.to_string().contains("such as \"64 MiB\""), "{error}");
            }
        }
    }
}
