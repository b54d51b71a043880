//! The parsers of what a DUT sends over its cable, for harness/fuzz.

use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::future::join;
use http_body_util::Full;
use hyper::Request;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, duplex},
    runtime::{Builder, Runtime},
};

use crate::{
    capture::Clock,
    client::{HttpAnswer, converse},
    flow::{Index, TlsSeen, tls},
    plan::{Addressing, Direction},
    search::{Needle, Searcher, StreamSearch},
};

/// Made once: it takes longer than most inputs.
static CANARY: LazyLock<Option<Searcher>> = LazyLock::new(|| {
    Searcher::new(&[Needle {
        name: "canary".into(),
        bytes: b"canary".to_vec(),
    }])
});

/// Waits for what an input causes.
pub(crate) fn wait_for<T>(work: impl Future<Output = T>) -> T {
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
        let runtime = Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime")
    });
    RUNTIME.block_on(work)
}

/// Indexes frames: each a byte with the direction in its lowest bit, a length (u16, big endian), and so many bytes.
pub fn frames(mut data: &[u8]) {
    let origin = Instant::now();
    let mut index = Index::searched_by(Clock::new(origin), Addressing::default(), CANARY.clone());
    let mut at = origin;
    while let Some(([by, high, low], rest)) = data.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        let (frame, rest) = rest.split_at(length);
        let by = if by & 1 == 0 {
            Direction::FromDut
        } else {
            Direction::ToDut
        };
        at += Duration::from_millis(1);
        index.frame(at, by, frame);
        data = rest;
    }
    let flows = index.flows();
    assert!(
        serde_json::to_vec(&flows).is_ok(),
        "flows.json can be written"
    );
}

/// Searches one direction of a connection, in pieces of as many bytes as the first one says.
pub fn contents(data: &[u8]) {
    let Some((length, stream)) = data.split_first() else {
        return;
    };
    let mut search = StreamSearch::default();
    for piece in stream.chunks(usize::from(*length).max(1)) {
        search.feed(CANARY.as_ref(), piece, |_, _, _| {});
        assert!(search.held() < 1 << 20, "what is held is bounded");
    }
}

/// Looks at the beginning of a TLS connection, as either side's.
pub fn hello(data: &[u8]) {
    for from_client in [true, false] {
        let mut seen = TlsSeen::default();
        tls::look(data, from_client, &mut seen);
    }
    tls::certificate(data);
}

/// What the DUT answers to a request of the bench.
pub fn http_answer(data: &[u8]) {
    wait_for(async {
        let (bench, mut dut) = duplex(data.len() + 1024);
        let request = Request::new(Full::new(Bytes::new()));
        let mut answer = HttpAnswer::default();
        // What comes before there is a request is no answer, and not looked at.
        let answering = async {
            let _ = dut.read(&mut [0; 1024]).await;
            let _ = dut.write_all(data).await;
            let _ = dut.shutdown().await;
        };
        let (ended, ()) = join(converse(bench, request, &mut answer), answering).await;
        if data == b"HTTP/1.1 204 Nothing\r\n\r\n" {
            assert_eq!(
                (ended, answer.status),
                (Ok(()), Some(204)),
                "it is an answer"
            );
        }
    });
}
