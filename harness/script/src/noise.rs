//! How much of some bytes is compressed or encrypted: in there, nothing can be found.

/// Bytes that are judged together.
const BLOCK: usize = 4096;
/// The least that can be judged: each value is to be expected four times.
const SHORTEST: usize = 1024;
/// Chi-squared of how often the 256 values occur. It is about 255 for encrypted bytes, up to 400 for compressed ones, and
/// thousands for code and text.
const LIMIT: usize = 500;

/// Percent of the bytes that are compressed or encrypted, fill left out; `None` where there is too little to judge.
pub(super) fn percent(bytes: &[u8]) -> Option<usize> {
    let (mut noise, mut judged) = (0_usize, 0_usize);
    for block in bytes.chunks(BLOCK).filter(|block| block.len() >= SHORTEST) {
        let mut counts = [0_usize; 256];
        for byte in block {
            counts[usize::from(*byte)] += 1;
        }
        // Erased flash, gaps between sections.
        if counts.iter().any(|count| count * 10 > block.len() * 9) {
            continue;
        }
        judged += block.len();
        let squares: usize = counts.iter().map(|count| count * count).sum();
        // Sum of (count - expected)^2 / expected.
        if 256 * squares / block.len() - block.len() < LIMIT {
            noise += block.len();
        }
    }
    (100 * noise).checked_div(judged)
}

#[cfg(test)]
mod tests {
    use rand::{RngCore as _, SeedableRng as _, rngs::StdRng};
    use rstest::rstest;

    use super::percent;

    fn random(length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        StdRng::seed_from_u64(1).fill_bytes(&mut bytes);
        bytes
    }

    /// Bytes that occur as unevenly as those of code.
    fn code(length: usize) -> Vec<u8> {
        let uneven = |byte: u8| if byte < 128 { byte & 0x4f } else { byte };
        random(length).into_iter().map(uneven).collect()
    }

    #[rstest]
    #[case::encrypted(random(100_000), Some(100))]
    #[case::code(code(100_000), Some(0))]
    #[case::half([code(40_960), random(40_960)].concat(), Some(50))]
    #[case::fill_does_not_count([random(8_192), vec![0xff; 1_000_000]].concat(), Some(100))]
    #[case::only_fill(vec![0; 100_000], None)]
    #[case::too_short(random(1_000), None)]
    #[case::nothing(Vec::new(), None)]
    fn encrypted_bytes_are_told_from_others(
        #[case] bytes: Vec<u8>,
        #[case] expected: Option<usize>,
    ) {
        assert_eq!(percent(&bytes), expected);
    }
}
