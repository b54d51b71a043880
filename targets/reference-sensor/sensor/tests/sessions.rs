//! Sessions over the network begin with a login, and end.

use rstest::{fixture, rstest};
use sensor::session::{IDLE, MAX_SESSIONS, Sessions, TOKEN};

const MINUTE: u64 = 60_000;

#[fixture]
fn sessions() -> Sessions {
    Sessions::default()
}

fn random(n: u8) -> [u8; TOKEN] {
    [n; TOKEN]
}

#[rstest]
fn a_token_is_the_random_bytes(mut sessions: Sessions) {
    let token = sessions.open([0xA5; TOKEN], 0);
    assert_eq!(token.as_str(), "a5".repeat(TOKEN));
    assert!(sessions.renew(&token, 0));
}

#[rstest]
#[case("")]
#[case("07")]
#[case("07070707070707070707070707070708")]
#[case("0707070707070707070707070707070707")]
fn nothing_else_is_a_session(mut sessions: Sessions, #[case] token: &str) {
    sessions.open(random(7), 0);
    assert!(!sessions.renew(token, 0));
}

#[rstest]
fn use_keeps_a_session_open_and_silence_ends_it(mut sessions: Sessions) {
    let token = sessions.open(random(1), 5);
    let idle = IDLE * 1000;
    assert!(sessions.renew(&token, 5 + idle - 1));
    assert!(sessions.renew(&token, 5 + 2 * idle - 2));
    assert!(sessions.any(5 + 2 * idle));
    assert!(!sessions.renew(&token, 5 + 3 * idle - 2));
    assert!(!sessions.any(5 + 3 * idle));
}

#[rstest]
fn closing_ends_that_session_only(mut sessions: Sessions) {
    let [one, two] = [1, 2].map(|n| sessions.open(random(n), 0));
    sessions.close(&one);
    assert!(!sessions.renew(&one, 0));
    assert!(sessions.renew(&two, 0));
    sessions.close_all();
    assert!(!sessions.any(0));
}

#[rstest]
fn the_one_that_was_silent_longest_makes_room(mut sessions: Sessions) {
    let tokens: Vec<_> = (0..MAX_SESSIONS as u8)
        .map(|n| sessions.open(random(n), u64::from(n)))
        .collect();
    assert!(sessions.renew(&tokens[0], 100));
    sessions.open(random(99), MINUTE - 1);
    let left: Vec<bool> = tokens
        .iter()
        .map(|token| sessions.renew(token, MINUTE - 1))
        .collect();
    assert_eq!(left, [true, false, true, true]);
}
