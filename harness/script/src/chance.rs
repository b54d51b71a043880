//! What is no coincidence about a password, if it was drawn as the IXIT says.
//!
//! A password that is drawn at random has something in common with nearly everything: of twelve letters, a few are in the
//! serial number, too, and those of two devices begin alike now and then. The shorter a password is, and the fewer letters
//! it is made of, the more often that happens. A test that fails a product for it would fail good ones; a test that
//! passes it would pass a product whose passwords are made of the serial number. So each comparison asks how often chance
//! alone would have the same result: what would come about in less than one of [`ONCE_IN`] good products counts against
//! the product, all else does not. Comparing with many texts, at many places, gives chance as many tries, and each of
//! them is counted. Where not even a password that is wholly found somewhere would be that seldom, nothing can be told
//! from one device, and the test says so instead of passing.
//!
//! Numbers are exact: an alphabet of 60 letters allows for 10^21 passwords of twelve, and limits are where they are.

use num_bigint::BigUint;

/// One good product of so many may be failed by chance.
const ONCE_IN: u32 = 1_000_000;
/// Longer parts than this are no coincidence, or no part is.
const LONGEST: usize = 256;
/// Milliseconds.
const DAY: u32 = 24 * 3600 * 1000;

/// How passwords are drawn: a prefix that all have, and letters of an alphabet, each as likely as any other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    /// Characters of the shortest password and of the longest, with the prefix.
    pub(crate) shortest: usize,
    pub(crate) longest: usize,
    pub(crate) alphabet: String,
    pub(crate) prefix: String,
}

impl Rule {
    /// How many passwords it allows; of the shortest ones, which are tried first.
    pub(crate) fn size(&self) -> BigUint {
        let drawn = self.shortest.saturating_sub(self.prefix.chars().count());
        power(self.alphabet.chars().count(), drawn)
    }

    /// Days in which half of the passwords are tried, with a guess in so many milliseconds, by so many at once.
    pub(crate) fn days_to_search(&self, milliseconds: &BigUint, at_once: u32) -> BigUint {
        self.size() / 2_u32 * milliseconds / DAY / at_once.max(1)
    }

    /// Whether this very password may be found at one of so many places by chance.
    pub(crate) fn is_coincidence(&self, password: &str, places: u64) -> bool {
        let all = power(self.letters().of, letters(password).chars().count());
        BigUint::from(ONCE_IN) * places > all
    }

    /// The part that a password and a text share, whatever the case and whatever stands between letters, if that is no
    /// coincidence: not when so many texts are compared, nor when each of so many devices shares such a part with a text
    /// of its own.
    pub(crate) fn shared(
        &self,
        password: &str,
        text: &str,
        comparisons: u64,
        devices: u32,
    ) -> Option<String> {
        let length = self.telling_length(password, text, comparisons, devices)?;
        let (password, text) = (folded(password), folded(text));
        let letters: Vec<char> = password.chars().collect();
        let mut parts = letters.windows(length).map(String::from_iter);
        parts.find(|part| text.contains(part))
    }

    /// From which length on a shared part is no coincidence; none if not even the whole password would be.
    pub(crate) fn telling_length(
        &self,
        password: &str,
        text: &str,
        comparisons: u64,
        devices: u32,
    ) -> Option<usize> {
        let Letters { of, alike } = self.letters();
        let whole = folded(password).chars().count();
        let other = folded(text).chars().count();
        (1..=whole.min(other).min(LONGEST)).find(|length| {
            let places = BigUint::from(whole - length + 1) * (other - length + 1);
            let favourable = (places * power(alike, *length)).pow(devices);
            let all = power(of, *length).pow(devices);
            BigUint::from(ONCE_IN) * comparisons * favourable <= all
        })
    }

    /// How many different letters and digits such a password has at least, but by chance.
    pub(crate) fn fewest_different(&self, password: &str) -> usize {
        let number = letters(password).chars().count();
        let of = self.letters().of;
        let all = power(of, number);
        let mut least = 1;
        let mut choices = BigUint::from(1_u32);
        for few in 1..=number.min(of) {
            // Passwords of no more than these few letters: at most so many choices of them, each with few^number.
            choices = choices * (of - few + 1) / few;
            if BigUint::from(ONCE_IN) * &choices * power(few, number) > all {
                break;
            }
            least = few + 1;
        }
        least
    }

    fn letters(&self) -> Letters {
        let drawn = folded(&self.alphabet);
        let alike = drawn
            .chars()
            .map(|one| drawn.chars().filter(|other| *other == one).count());
        Letters {
            of: letters(&self.alphabet).chars().count(),
            alike: alike.max().unwrap_or(1),
        }
    }
}

/// How each letter or digit is drawn.
struct Letters {
    /// Of so many.
    of: usize,
    /// So many of these, at most, are one when case is ignored.
    alike: usize,
}

/// Letters and digits alone: what stands between them may be the same in all passwords.
fn letters(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).collect()
}

/// The same, whatever their case.
fn folded(text: &str) -> String {
    letters(text).to_lowercase()
}

fn power(base: usize, exponent: usize) -> BigUint {
    BigUint::from(base).pow(u32::try_from(exponent).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";

    fn rule(length: usize, alphabet: &str) -> Rule {
        Rule {
            shortest: length,
            longest: length,
            alphabet: alphabet.to_owned(),
            prefix: String::new(),
        }
    }

    #[rstest]
    #[case::digits(4, "0123456789", "", 10_000)]
    #[case::behind_a_prefix(6, "01", "x-", 16)]
    #[case::prefix_only(2, "01", "x-y", 1)]
    fn a_rule_has_a_size(
        #[case] length: usize,
        #[case] alphabet: &str,
        #[case] prefix: &str,
        #[case] size: u32,
    ) {
        let mut rule = rule(length, alphabet);
        prefix.clone_into(&mut rule.prefix);
        assert_eq!(rule.size(), BigUint::from(size));
    }

    /// 10^6 passwords, half of them in a second each: 500,000 s are 5 days and some hours.
    #[rstest]
    #[case(1000, 1, 5)]
    #[case(1000, 5, 1)]
    #[case(100, 1, 0)]
    fn a_search_takes_days(#[case] milliseconds: u32, #[case] at_once: u32, #[case] days: u32) {
        let rule = rule(6, "0123456789");
        let took = rule.days_to_search(&BigUint::from(milliseconds), at_once);
        assert_eq!(took, BigUint::from(days));
    }

    /// A six-digit password is that of another device once in a million pairs: with one to compare, that is the limit.
    #[rstest]
    #[case("123456", 1, false)]
    #[case("123456", 2, true)]
    #[case("12345", 1, true)]
    #[case("12-34-56", 1, false)]
    fn few_passwords_are_alike_by_chance(
        #[case] password: &str,
        #[case] places: u64,
        #[case] expected: bool,
    ) {
        let rule = rule(6, "0123456789");
        assert_eq!(rule.is_coincidence(password, places), expected);
    }

    #[rstest]
    #[case::a_few_letters("qmwnebrvtc", "serial qmw", None)]
    #[case::most_of_it("qmwnebrvtc", "SN QMW-NEBR 17", Some("qmwneb"))]
    #[case::nothing("qmwnebrvtc", "zzzzzzzzzz", None)]
    #[case::short("qmw", "qmw", None)]
    fn a_long_part_is_no_coincidence(
        #[case] password: &str,
        #[case] text: &str,
        #[case] expected: Option<&str>,
    ) {
        let shared = rule(10, LOWER).shared(password, text, 1, 1);
        assert_eq!(shared.as_deref(), expected);
    }

    /// More comparisons give chance more tries; what all of several devices share is no coincidence when shorter.
    #[test]
    fn what_is_told_depends_on_tries_and_devices() {
        let rule = rule(10, LOWER);
        let length = |comparisons, devices| {
            rule.telling_length("qmwnebrvtc", "abcdefghij", comparisons, devices)
        };
        assert!(length(1, 1) < length(100_000, 1));
        assert!(length(1, 3) < length(1, 1));
        assert_eq!(length(u64::MAX, 1), None);
    }

    #[rstest]
    #[case("qmwnebrvtcyu", 3..=6)]
    #[case("q", 1..=1)]
    #[case("", 1..=1)]
    fn few_different_letters_are_no_coincidence(
        #[case] password: &str,
        #[case] expected: std::ops::RangeInclusive<usize>,
    ) {
        let least = rule(12, LOWER).fewest_different(password);
        assert!(expected.contains(&least), "{least}");
    }
}
