//! HTTP: what is asked, and which answers are understood.

use protocol::http::{Head, MAX_HEAD, Malformed, get, head};
use rstest::rstest;

#[rstest]
#[case(None, "")]
#[case(Some((4096, 1024)), "Range: bytes=4096-5119\r\n")]
fn asks_for_files_and_parts(#[case] range: Option<(u32, u32)>, #[case] header: &str) {
    let request = get("update.sensor.example", &["PB-RS1", "manifest"], range).unwrap();
    assert_eq!(
        request.as_str(),
        format!("GET /PB-RS1/manifest HTTP/1.1\r\nHost: update.sensor.example\r\n{header}\r\n")
    );
}

#[rstest]
#[case(Some((0, 0)))]
#[case(Some((u32::MAX, 2)))]
fn asks_for_nothing_impossible(#[case] range: Option<(u32, u32)>) {
    assert_eq!(get("host", &["file"], range), None);
}

#[test]
fn a_part_says_where_it_belongs() {
    let answer = b"HTTP/1.1 206 Partial Content\r\ncontent-length: 5\r\n\
        Content-Range: bytes 10-14/99\r\n\r\nhello";
    let expected = Head {
        len: answer.len() - 5,
        status: 206,
        body: 5,
        part: Some((10, 99)),
    };
    assert_eq!(head(answer), Ok(Some(expected)));
    for cut in 0..answer.len() - 5 {
        assert_eq!(head(&answer[..cut]), Ok(None), "cut at {cut}");
    }
}

#[rstest]
#[case("garbage\r\n\r\n")]
#[case("HTTP/1.1 200 OK\r\n\r\n")]
#[case("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n")]
#[case("HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n")]
#[case("HTTP/1.1 200 OK\r\nContent-Length: 4294967296\r\n\r\n")]
#[case("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n")]
#[case("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n")]
#[case("HTTP/1.1 206 OK\r\nContent-Length: 1\r\nContent-Range: bytes x-1/2\r\n\r\n")]
fn other_answers_are_refused(#[case] answer: &str) {
    assert_eq!(head(answer.as_bytes()), Err(Malformed));
}

#[test]
fn a_head_without_end_is_refused() {
    let mut answer = b"HTTP/1.1 200 OK\r\nX: ".to_vec();
    answer.resize(MAX_HEAD, b'x');
    assert_eq!(head(&answer), Err(Malformed));
}
