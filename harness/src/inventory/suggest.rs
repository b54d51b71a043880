//! "Did you mean".

/// Names ordered by likeness, the most like first.
pub(super) fn by_likeness(
    name: &str,
    known: impl IntoIterator<Item = impl Into<String>>,
) -> Vec<String> {
    let mut known: Vec<String> = known.into_iter().map(Into::into).collect();
    known.sort_by(|a, b| {
        likeness(name, b)
            .total_cmp(&likeness(name, a))
            .then_with(|| a.cmp(b))
    });
    known
}

/// Whether one name may well be a slip of the pen for the other.
pub(super) fn like(name: &str, other: &str) -> bool {
    likeness(name, other) > 0.8
}

fn likeness(a: &str, b: &str) -> f64 {
    strsim::jaro_winkler(&a.to_lowercase(), &b.to_lowercase())
}
