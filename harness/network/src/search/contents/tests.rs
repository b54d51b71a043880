//! A needle in what carries it, cut anywhere.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use proptest::prelude::*;
use rstest::rstest;

use super::super::{Encoding, Needle, Searcher, StreamSearch};
use super::*;

const CANARY: &str = "Quince-4711-canary";

/// As a part of something.
fn content() -> Vec<u8> {
    let filler = "the quick brown fox jumps over the lazy dog; ".repeat(20);
    format!("{{\"text\": \"{filler}\", \"owner\": \"{CANARY}\", \"more\": \"{filler}\"}}")
        .into_bytes()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// With the name of a file and a comment.
fn gzip_of_a_file(bytes: &[u8]) -> Vec<u8> {
    let builder = flate2::GzBuilder::new()
        .filename("owner.json")
        .extra("more")
        .comment("of the owner");
    let mut encoder = builder.write(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn chunked(bytes: &[u8], size: usize) -> Vec<u8> {
    let chunks = bytes.chunks(size).flat_map(|chunk| {
        let head = format!("{:x};name=value\r\n", chunk.len()).into_bytes();
        [&head, chunk, b"\r\n"].concat()
    });
    chunks.chain(*b"0\r\nX-Sum: 1\r\n\r\n").collect()
}

fn request(headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("POST /owner HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
    [head.as_bytes(), body].concat()
}

fn with_length(headers: &str, body: &[u8]) -> Vec<u8> {
    request(
        &format!("Content-Length: {}\r\n{headers}", body.len()),
        body,
    )
}

fn answer(headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\n{headers}\r\n");
    [head.as_bytes(), body].concat()
}

const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";

/// A frame of RFC 6455, masked if there is a mask.
fn frame(first: u8, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    let bit = if mask.is_some() { 0x80 } else { 0 };
    match payload.len() {
        length @ ..126 => frame.push(bit | length as u8),
        length => {
            frame.push(bit | 0x7e);
            frame.extend((length as u16).to_be_bytes());
        }
    }
    frame.extend(
        mask.unwrap_or_default()
            .iter()
            .take(if mask.is_some() { 4 } else { 0 }),
    );
    let mask = mask.unwrap_or_default();
    frame.extend(
        payload
            .iter()
            .enumerate()
            .map(|(n, byte)| byte ^ mask[n % 4]),
    );
    frame
}

const MASK: Option<[u8; 4]> = Some([0x37, 0xfa, 0x21, 0x3d]);

fn upgraded(frames: &[Vec<u8>]) -> Vec<u8> {
    let head = "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    [head.as_bytes(), &frames.concat()].concat()
}

/// A message of RFC 7692: without the end of its last block.
fn compressed_message(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.flush().unwrap();
    let mut message = encoder.get_ref().clone();
    let end = message.split_off(message.len() - 4);
    assert_eq!(end, [0, 0, 0xff, 0xff]);
    message
}

fn mid() -> usize {
    let content = content();
    memmem::find(&content, CANARY.as_bytes()).unwrap() + CANARY.len() / 2
}

/// In which encodings it is found when it comes in pieces, and how often something could not be undone.
fn found(stream: &[u8], piece: usize) -> (Vec<Encoding>, u64) {
    let searcher = Searcher::new(&[Needle {
        name: "canary".into(),
        bytes: CANARY.into(),
    }]);
    let mut search = StreamSearch::default();
    let mut found = Vec::new();
    for piece in stream.chunks(piece) {
        search.feed(searcher.as_ref(), piece, |_, encoding, _| {
            found.push(encoding);
        });
    }
    (found, search.undone())
}

fn each_way() -> Vec<(&'static str, Vec<u8>)> {
    let content = content();
    let (front, back) = content.split_at(mid());
    let message = compressed_message(&content);
    let (half, other) = message.split_at(message.len() / 2);
    let mime = |lead: usize| {
        let text = [&b"ab"[..lead], &content].concat();
        let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, text);
        let lines: Vec<&str> = text
            .as_bytes()
            .chunks(76)
            .map(|line| str::from_utf8(line).unwrap())
            .collect();
        lines.join("\r\n").into_bytes()
    };
    vec![
        ("chunks", request(CHUNKED, &chunked(&content, mid()))),
        ("small chunks", request(CHUNKED, &chunked(&content, 3))),
        ("chunks of an answer", answer(CHUNKED, &chunked(&content, 7))),
        ("gzip", with_length("Content-Encoding: gzip\r\n", &gzip(&content))),
        ("gzip of a file", with_length("Content-encoding: X-GZip\r\n", &gzip_of_a_file(&content))),
        ("gzip that nobody declares", with_length("", &gzip(&content))),
        ("deflate", with_length("Content-Encoding: deflate\r\n", &zlib(&content))),
        ("deflate without header", with_length("Content-Encoding: deflate\r\n", &deflate(&content))),
        ("to the end", answer("Content-Encoding: gzip\r\n", &gzip(&content))),
        (
            "gzip in chunks",
            answer("Transfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n", &chunked(&gzip(&content), 5)),
        ),
        (
            "gzip as a transfer coding",
            answer("Transfer-Encoding: gzip, chunked\r\n", &chunked(&gzip(&content), 100)),
        ),
        (
            "the second request",
            [with_length("", b"{}"), request("", b""), request(CHUNKED, &chunked(&content, 9))].concat(),
        ),
        (
            "after an answer to HEAD",
            [answer("Content-Length: 900\r\n", b""), answer(CHUNKED, b""), answer(CHUNKED, &chunked(&content, 9))].concat(),
        ),
        (
            "after an answer without a body",
            [b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", &answer(CHUNKED, &chunked(&content, 9))[..]].concat(),
        ),
        ("a masked frame", upgraded(&[frame(0x81, MASK, &content)])),
        (
            "two masked frames, and one in between",
            upgraded(&[frame(0x01, MASK, front), frame(0x89, MASK, b"ping"), frame(0x80, Some([9, 8, 7, 6]), back)]),
        ),
        ("a masked ping", upgraded(&[frame(0x81, MASK, b"x"), frame(0x89, MASK, CANARY.as_bytes())])),
        (
            "frames of the server",
            [b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\n\r\n", &frame(0x02, None, front)[..], &frame(0x80, None, back)].concat(),
        ),
        ("a compressed message", upgraded(&[frame(0xc1, MASK, &compressed_message(b"before")), frame(0xc1, MASK, &message)])),
        ("a compressed message in two frames", upgraded(&[frame(0x41, MASK, half), frame(0x80, MASK, other)])),
        ("gzip in a frame", upgraded(&[frame(0x82, MASK, &gzip(&content))])),
        ("gzip in anything", [b"\x10\x20\0\x04MQTT\x30\x80", &gzip(&content)[..]].concat()),
        ("lines of base64", with_length("", &mime(0))),
        ("lines of base64 that begin earlier", with_length("", &mime(1))),
        ("lines of base64 in chunks", request(CHUNKED, &chunked(&mime(2), 11))),
        ("lines of base64 in JSON", with_length("", &String::from_utf8(mime(0)).unwrap().replace("\r\n", "\\r\\n").into_bytes())),
        ("lines of base64 in gzip", with_length("Content-Encoding: gzip\r\n", &gzip(&mime(1)))),
        (
            "escapes in chunks",
            request(CHUNKED, &chunked(CANARY.replace('-', "%2D").as_bytes(), 4)),
        ),
    ]
}

#[rstest]
fn finds_what_is_packed(#[values(1, 2, 7, 1460, 100_000)] piece: usize) {
    for (way, stream) in each_way() {
        let (found, undone) = found(&stream, piece);
        assert!(!found.is_empty(), "{way} in pieces of {piece}");
        assert!(!found.contains(&Encoding::Raw), "{way} is no proof");
        assert_eq!(undone, 0, "{way} in pieces of {piece}");
    }
}

#[rstest]
#[case::plain(with_length("", &content()), &[Encoding::Raw])]
#[case::in_a_chunk(request(CHUNKED, &chunked(&content(), 4096)), &[Encoding::Raw])]
#[case::not_there(request(CHUNKED, &chunked(b"nothing", 3)), &[])]
#[case::two_messages(upgraded(&[frame(0x81, MASK, b"Quince-"), frame(0x8a, MASK, b"4711-canary")]), &[])]
fn tells_it_once(#[case] stream: Vec<u8>, #[case] expected: &[Encoding]) {
    assert_eq!(found(&stream, 100_000), (expected.to_vec(), 0));
}

#[rstest]
#[case::brotli(with_length("Content-Encoding: br\r\n", b"\x0b\x02\x80hi\x03"))]
#[case::twice(with_length("Content-Encoding: gzip, gzip\r\n", &gzip(&gzip(b"x"))))]
#[case::not_gzip(with_length("Content-Encoding: gzip\r\n", b"{\"plain\": 1}"))]
#[case::not_deflate(with_length("Content-Encoding: deflate\r\n", &[0xff; 60]))]
#[case::chunks_that_are_none(request(CHUNKED, b"nothing of the kind\r\n"))]
#[case::http_2(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec())]
#[case::another_protocol(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n..".to_vec())]
#[case::no_frames(upgraded(&[frame(0x81, MASK, b"x"), vec![0xb3; 20]]))]
#[case::too_much(with_length("Content-Encoding: gzip\r\n", &gzip(&vec![0; MOST_UNPACKED + 1])))]
fn counts_what_cannot_be_undone(#[case] stream: Vec<u8>, #[values(3, 1460)] piece: usize) {
    assert_eq!(found(&stream, piece), (vec![], 1));
}

#[test]
fn heads_end_some_day() {
    let head = [
        &b"GET / HTTP/1.1\r\n"[..],
        &b"X: y\r\n".repeat(LONGEST_HEAD / 6 + 1),
    ];
    assert_eq!(found(&head.concat(), 1460), (vec![], 1));
}

#[test]
fn a_server_that_does_not_want_a_websocket_is_asked_for_something_else() {
    let stream = [upgraded(&[]), request(CHUNKED, &chunked(&content(), 8))].concat();
    assert_eq!(found(&stream, 5), (vec![Encoding::Packed], 0));
}

#[test]
fn memory_is_bounded() {
    let mut contents = Contents::default();
    let bomb = with_length(
        "Content-Encoding: gzip\r\n",
        &gzip(&vec![0; 2 * MOST_UNPACKED]),
    );
    let mut unpacked = 0;
    for piece in bomb.chunks(1460) {
        contents.feed(piece, &mut |_, bytes| {
            assert!(bytes.len() <= 8192);
            unpacked += bytes.len();
        });
    }
    assert!(
        (MOST_UNPACKED..MOST_UNPACKED + 8192).contains(&unpacked),
        "{unpacked}"
    );
    assert_eq!((contents.held(), contents.undone()), (0, 1));
}

proptest! {
    /// Whatever is sent, and whatever is missing.
    #[test]
    fn nothing_is_too_strange(
        which in 0..28usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        pieces in prop::collection::vec((1..3000usize, any::<bool>()), 1..20),
    ) {
        let ways = each_way();
        let (_, mut stream) = ways[which % ways.len()].clone();
        for (at, byte) in changes {
            let at = at.index(stream.len());
            stream[at] = byte;
        }
        let mut contents = Contents::default();
        let mut rest = &stream[..];
        for (length, skips) in pieces.into_iter().cycle() {
            let (piece, after) = rest.split_at(length.min(rest.len()));
            if skips {
                contents.skip();
            }
            contents.feed(piece, &mut |_, _| {});
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert!(contents.held() < 3 * LONGEST_HEAD + INFLATER);
    }
}
