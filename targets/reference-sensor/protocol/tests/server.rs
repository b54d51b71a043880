//! HTTP: which questions are understood, and what answers look like.

use protocol::server::{
    Answer, Escaped, MAX_BODY, MAX_HEAD, Malformed, Question, Status, question,
};
use rstest::rstest;

fn parse(text: &str) -> Result<Option<Question<'_>>, Malformed> {
    question(text.as_bytes())
}

#[test]
fn a_question_is_read_when_it_is_complete() {
    let text = "PUT /api/settings HTTP/1.1\r\nHost: 10.0.0.1\r\ncookie: a=b; session=0a1b; c=\r\n\
        Content-Length: 5\r\n\r\n";
    let whole = format!("{text}{{...}}");
    let expected = Question {
        len: text.len(),
        method: "PUT",
        path: "/api/settings",
        session: Some("0a1b"),
        body: 5,
        last: false,
    };
    assert_eq!(parse(&whole), Ok(Some(expected)));
    for cut in 0..text.len() {
        assert_eq!(parse(&text[..cut]), Ok(None), "cut at {cut}");
    }
}

#[rstest]
#[case("GET / HTTP/1.1\r\n\r\n", false)]
#[case("GET / HTTP/1.1\r\nConnection: Close\r\n\r\n", true)]
#[case("GET / HTTP/1.1\r\nConnection: keep-alive\r\n\r\n", false)]
#[case("GET / HTTP/1.0\r\n\r\n", true)]
fn whether_more_follows(#[case] text: &str, #[case] last: bool) {
    assert_eq!(parse(text).unwrap().unwrap().last, last);
}

#[rstest]
#[case("GET / HTTP/1.1\r\n\r\n")]
#[case("GET / HTTP/1.1\r\nCookie: xsession=1\r\n\r\n")]
#[case("GET / HTTP/1.1\r\nCookie: session\r\n\r\n")]
#[case("GET / HTTP/1.1\r\nX-Cookie: session=1\r\n\r\n")]
fn without_a_session(#[case] text: &str) {
    assert_eq!(parse(text).unwrap().unwrap().session, None);
}

#[rstest]
#[case::no_http("garbage\r\n\r\n", Status::BadRequest)]
#[case::tls("\x16\x03\x01\x02", Status::BadRequest)]
#[case::sign("GET / HTTP/1.1\r\nContent-Length: +1\r\n\r\n", Status::BadRequest)]
#[case::two_lengths(
    "GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
    Status::BadRequest
)]
#[case::chunked(
    "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
    Status::NotImplemented
)]
#[case::huge(
    "PUT / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n",
    Status::TooLarge
)]
fn what_is_not_answered(#[case] text: &str, #[case] status: Status) {
    assert_eq!(parse(text), Err(Malformed(status)));
}

#[rstest]
#[case(MAX_BODY, true)]
#[case(MAX_BODY + 1, false)]
fn bodies_are_bounded(#[case] len: usize, #[case] taken: bool) {
    let text = format!("PUT / HTTP/1.1\r\nContent-Length: {len}\r\n\r\n");
    assert_eq!(parse(&text).is_ok(), taken);
}

#[test]
fn heads_are_bounded() {
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(MAX_HEAD));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(25));
    for text in [&long, &long[..MAX_HEAD], &many] {
        assert_eq!(parse(text), Err(Malformed(Status::HeadTooLarge)));
    }
}

#[test]
fn an_answer_tells_what_is_needed_and_no_more() {
    let answer = Answer {
        status: Status::TooManyRequests,
        kind: "application/json",
        body: Some(12),
        session: Some("0a1b"),
        retry_after: Some(8),
        allow: None,
        last: true,
    };
    let head = answer.head().unwrap();
    let mut lines: Vec<&str> = head
        .strip_suffix("\r\n\r\n")
        .unwrap()
        .split("\r\n")
        .collect();
    assert_eq!(lines.remove(0), "HTTP/1.1 429 Too Many Requests");
    for line in [
        "Content-Type: application/json",
        "Content-Length: 12",
        "Connection: close",
        "Set-Cookie: session=0a1b; Path=/; Secure; HttpOnly; SameSite=Strict",
        "Retry-After: 8",
        "X-Content-Type-Options: nosniff",
    ] {
        assert!(lines.contains(&line), "{line} in {lines:?}");
    }
    assert!(!head.contains("Server:"));
}

#[test]
fn a_body_of_unknown_length_ends_with_the_connection() {
    let answer = Answer {
        status: Status::Ok,
        kind: "application/json",
        body: None,
        session: None,
        retry_after: None,
        allow: None,
        last: false,
    };
    let head = answer.head().unwrap();
    assert!(head.contains("Connection: close\r\n"));
    assert!(!head.contains("Content-Length"));
}

#[rstest]
#[case("Zoë", "Zoë")]
#[case("<b>&\"'", "&lt;b&gt;&amp;&quot;&#39;")]
fn a_text_in_a_page_stays_a_text(#[case] text: &str, #[case] expected: &str) {
    assert_eq!(Escaped(text).to_string(), expected);
}
