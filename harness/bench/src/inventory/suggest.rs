//! "Did you mean".

/// Names ordered by likeness, the most like first.
pub(super) fn by_likeness(
    name: &str,
    known: impl IntoIterator<Item = impl Into<String>>,
) -> Vec<String> {
    let mut known: Vec<(f64, String)> = known
        .into_iter()
        .map(Into::into)
        .map(|known| (likeness(name, &known), known))
        .collect();
    known.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    known.into_iter().map(|(_, name)| name).collect()
}

/// Whether one name may well be a slip of the pen for the other.
pub(super) fn like(name: &str, other: &str) -> bool {
    likeness(name, other) > 0.8
}

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

fn likeness(a: &str, b: &str) -> f64 {
    strsim::jaro_winkler(&a.to_lowercase(), &b.to_lowercase())
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

    #[test]
    fn the_most_like_comes_first_then_the_alphabet() {
        assert_eq!(
            by_likeness("sensr-b", ["zzz", "sensor-a", "sensor-b", "aaa"])[0],
            "sensor-b"
        );
        assert_eq!(by_likeness("q", ["c", "b", "a"]), ["a", "b", "c"]);
    }
}
