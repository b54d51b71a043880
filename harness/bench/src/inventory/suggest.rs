//! "Did you mean", in messages of serde.

pub(super) use provebench_standard::suggest::{by_likeness, like};

/// The word that was probably meant, from serde's message about one that it does not know:
/// "unknown field `nmae`, expected one of `name`, `target`".
pub(super) fn meant(message: &str) -> Option<String> {
    let message = message.strip_prefix("unknown ")?;
    let (_, quoted) = message.split_once('`')?;
    let (word, expected) = quoted.split_once('`')?;
    let known = expected.split('`').skip(1).step_by(2);
    let best = by_likeness(word, known).into_iter().next()?;
    like(word, &best).then_some(best)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("unknown field `nmae`, expected one of `name`, `target`", Some("name"))]
    #[case("unknown variant `tasmotta`, expected `tasmota`", Some("tasmota"))]
    #[case("unknown field `colour`, expected `name` or `target`", None)]
    #[case("unknown field `x`, there are no fields", None)]
    #[case("missing field `name`", None)]
    #[case("invalid type: integer `3`, expected a string", None)]
    fn finds_what_was_meant(#[case] message: &str, #[case] word: Option<&str>) {
        assert_eq!(meant(message).as_deref(), word);
    }
}
