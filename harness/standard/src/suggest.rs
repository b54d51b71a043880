//! "Did you mean".

/// Names ordered by likeness, the most like first.
pub fn by_likeness(name: &str, known: impl IntoIterator<Item = impl Into<String>>) -> Vec<String> {
    let mut known: Vec<(f64, String)> = known
        .into_iter()
        .map(Into::into)
        .map(|known| (likeness(name, &known), known))
        .collect();
    known.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    known.into_iter().map(|(_, name)| name).collect()
}

/// Whether one name may well be a slip of the pen for the other.
pub fn like(name: &str, other: &str) -> bool {
    likeness(name, other) > 0.8
}

fn likeness(a: &str, b: &str) -> f64 {
    strsim::jaro_winkler(&a.to_lowercase(), &b.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_like_comes_first_then_the_alphabet() {
        assert_eq!(
            by_likeness("sensr-b", ["zzz", "sensor-a", "sensor-b", "aaa"])[0],
            "sensor-b"
        );
        assert_eq!(by_likeness("q", ["c", "b", "a"]), ["a", "b", "c"]);
    }
}
