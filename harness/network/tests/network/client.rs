//! The bench as a client: what servers answer, and what they do instead of answering.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use provebench_network::{
    DUT_V4, HttpAnswer, Kept, Over, Peer, Question, Transport,
    services::{Identity, TestCa},
};
use rstest::rstest;
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivatePkcs8KeyDer},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UdpSocket},
};
use tokio_rustls::TlsAcceptor;

use provebench_testing::support::{PATIENCE, World, within};

const NAME: &str = "pb250113.sensor.example";

fn peer(port: u16, ca: &TestCa, name: Option<&str>) -> Peer {
    Peer {
        address: SocketAddr::from((DUT_V4, port)),
        name: name.map(str::to_owned),
        authority: ca.certificate_der().to_vec(),
        limit: PATIENCE,
    }
}

fn question(transport: Transport, method: &str) -> Question {
    Question {
        transport,
        method: method.to_owned(),
        path: "/api/info?x=1".to_owned(),
        headers: vec![("Authorization".to_owned(), "Bearer abc".to_owned())],
        body: b"{}".to_vec(),
    }
}

async fn listen(world: &World) -> (TcpListener, u16) {
    let bind = TcpListener::bind((DUT_V4, 0));
    let listener = within(&world.dut, bind).await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    (listener, port)
}

/// Takes one connection, reads until `end` has come, and sends `answer`; what it read.
async fn serve(listener: TcpListener, end: &'static [u8], answer: Vec<u8>) -> String {
    let (mut stream, _) = listener.accept().await.expect("a connection");
    let mut read = Vec::new();
    while !read.ends_with(end) {
        read.push(stream.read_u8().await.expect("more"));
    }
    // A client that has enough may be gone.
    let _ = stream.write_all(&answer).await;
    String::from_utf8(read).expect("text")
}

async fn answer_to(answer: impl Into<Vec<u8>>) -> (HttpAnswer, String) {
    let world = World::start("client").await;
    let ca = TestCa::new().expect("a CA");
    let (listener, port) = listen(&world).await;
    let server = world
        .dut
        .handle()
        .spawn(serve(listener, b"{}", answer.into()));
    let asked = world
        .bench
        .request(peer(port, &ca, None), question(Transport::Tcp, "PUT"))
        .await
        .expect("the bench can ask");
    (asked, server.await.expect("it served"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_sent_as_given_and_the_answer_told() {
    let (answer, read) = answer_to(
        "HTTP/1.1 429 Slow down\r\nRetry-After: 7\r\nX-Odd: \u{fc}\r\nContent-Length: 4\r\n\r\n{\"a\"",
    )
    .await;
    assert_eq!(answer.status, Some(429));
    assert_eq!(answer.body, b"{\"a\"");
    assert_eq!(answer.trouble, None);
    assert!(answer.headers.contains(&("retry-after".into(), "7".into())));
    let read = read.to_ascii_lowercase();
    assert!(read.starts_with("put /api/info?x=1 http/1.1\r\n"), "{read}");
    for header in [
        "authorization: bearer abc",
        "host: 10.77.0.2",
        "content-length: 2",
    ] {
        assert!(
            read.contains(&format!("\r\n{header}\r\n")),
            "{header} in {read}"
        );
    }
}

#[rstest]
#[case::nothing("", None)]
#[case::no_http("SSH-2.0-x\r\n", None)]
#[case::endless_head(format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(1_000_000)), None)]
#[case::cut_short("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", Some(200))]
#[case::too_long(
    format!("HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n{}", "x".repeat(3_000_000)), Some(200)
)]
#[tokio::test(flavor = "multi_thread")]
async fn bad_answers_are_told(#[case] answer: String, #[case] status: Option<u16>) {
    let (answer, _) = answer_to(answer).await;
    assert_eq!(answer.status, status);
    assert!(answer.trouble.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_and_refusal_are_told_apart() {
    let world = World::start("client").await;
    let ca = TestCa::new().expect("a CA");
    let (listener, port) = listen(&world).await;
    let mut silent = peer(port, &ca, None);
    silent.limit = Duration::from_millis(200);
    let ask = |peer| world.bench.request(peer, question(Transport::Tls, "GET"));
    let answer = ask(silent).await.expect("the bench can ask");
    assert_eq!(answer.trouble.as_deref(), Some("no answer for 200ms"));
    drop(listener);
    let answer = ask(peer(port, &ca, None)).await.expect("the bench can ask");
    let trouble = answer.trouble.expect("nobody listens");
    assert!(trouble.contains("refused"), "{trouble}");
}

/// Takes one connection, and ends it after the answer: in order, or by closing it without a word of TLS.
async fn serve_tls(
    listener: TcpListener,
    identity: Identity,
    answer: &'static str,
    is_orderly: bool,
) {
    let chain = identity
        .chain_der()
        .map(|der| CertificateDer::from(der.to_vec()));
    let key = PrivatePkcs8KeyDer::from(identity.key_pkcs8_der().to_vec());
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain.collect(), key.into())
        .expect("a certificate");
    let (stream, _) = listener.accept().await.expect("a connection");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let mut stream = acceptor.accept(stream).await.expect("TLS");
    let mut read = [0; 4096];
    let _ = stream.read(&mut read).await.expect("a request");
    stream
        .write_all(answer.as_bytes())
        .await
        .expect("it takes the answer");
    stream.flush().await.expect("it takes the answer");
    if is_orderly {
        stream.shutdown().await.expect("an end");
    }
}

/// What small servers end their answers with.
#[rstest]
#[case::without_a_length("HTTP/1.0 200 OK\r\nServer: x\r\n\r\nall of it", None)]
#[case::of_the_length_announced("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nall of it", None)]
#[case::shorter(
    "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nall of it",
    Some("breaks off")
)]
#[case::a_chunk_is_missing(
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nall of it\r\n",
    Some("breaks off")
)]
#[case::in_the_head("HTTP/1.0 200 OK\r\nServer: ", Some("closed before message completed"))]
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_may_end_with_its_connection(
    #[case] answer: &'static str,
    #[case] trouble: Option<&str>,
    #[values(true, false)] is_orderly: bool,
) {
    let world = World::start("client").await;
    let ca = TestCa::new().expect("a CA");
    let identity = ca
        .device("PB250113", &[NAME.to_owned()])
        .expect("an identity");
    let (listener, port) = listen(&world).await;
    let server = serve_tls(listener, identity, answer, is_orderly);
    let server = world.dut.handle().spawn(server);
    let got = world
        .bench
        .request(peer(port, &ca, None), question(Transport::Tls, "GET"))
        .await
        .expect("the bench can ask");
    server.await.expect("it served");
    match trouble {
        None => {
            assert_eq!((got.status, got.trouble), (Some(200), None));
            assert_eq!(got.body, b"all of it");
        }
        Some(part) => {
            let told = got.trouble.expect("it is not whole");
            assert!(told.contains(part), "{told}");
        }
    }
}

#[rstest]
#[case::ours(false, Some(NAME), None)]
#[case::ours_under_any_name(false, None, None)]
#[case::ours_under_a_wrong_name(false, Some("other.sensor.example"), Some("not valid for name"))]
#[case::a_strangers(true, Some(NAME), Some("BadSignature"))]
#[case::a_strangers_under_any_name(true, None, Some("BadSignature"))]
#[tokio::test(flavor = "multi_thread")]
async fn any_certificate_will_do_and_is_judged(
    #[case] stranger: bool,
    #[case] name: Option<&str>,
    #[case] trouble: Option<&str>,
) {
    let world = World::start("client").await;
    let ca = TestCa::new().expect("a CA");
    let other = TestCa::new().expect("a CA");
    let signer = if stranger { &other } else { &ca };
    let identity = signer
        .device("PB250113", &[NAME.to_owned()])
        .expect("an identity");
    let certificate = identity.chain_der().next().expect("one").to_vec();
    let (listener, port) = listen(&world).await;
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let server = serve_tls(listener, identity, answer, true);
    let server = world.dut.handle().spawn(server);
    let answer = world
        .bench
        .request(peer(port, &ca, name), question(Transport::Tls, "GET"))
        .await
        .expect("the bench can ask");
    server.await.expect("it served");
    assert_eq!((answer.status, answer.trouble), (Some(200), None));
    let tls = answer.tls.expect("TLS");
    assert_eq!(tls.version, "TLS 1.3");
    assert_eq!(tls.certificate, certificate);
    match trouble {
        None => assert_eq!(tls.trouble, None),
        Some(part) => {
            let told = tls.trouble.expect("it is not in order");
            assert!(told.contains(part), "{told}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_go_as_they_are_and_what_comes_back_is_told() {
    let world = World::start("client").await;
    let ca = TestCa::new().expect("a CA");
    let (listener, port) = listen(&world).await;
    let answer = vec![0xff; 100_000];
    let server = world.dut.handle().spawn(serve(listener, b"\x00!", answer));
    let exchanged =
        world
            .bench
            .exchange(peer(port, &ca, None), Transport::Tcp, b"\xfe\x00!".to_vec());
    // What is read is no text: that is the server's trouble, not ours.
    let got = exchanged.await.expect("the bench can ask");
    assert!(got.connected && got.closed);
    assert_eq!(got.received, vec![0xff; 100_000]);
    drop(server);

    let (listener, port) = listen(&world).await;
    drop(listener);
    let refused = world
        .bench
        .exchange(peer(port, &ca, None), Transport::Tls, b"x".to_vec())
        .await
        .expect("the bench can ask");
    assert!(!refused.connected);
    assert!(refused.trouble.expect("why").contains("refused"));
}

#[tokio::test(flavor = "multi_thread")]
async fn datagrams_are_answered_refused_or_neither() {
    let world = World::start("client").await;
    let ca = TestCa::new().expect("a CA");
    let socket = within(&world.dut, UdpSocket::bind((DUT_V4, 0)))
        .await
        .expect("a free port");
    let port = socket.local_addr().expect("an address").port();
    let echo = world.dut.handle().spawn(async move {
        let mut data = [0; 64];
        let (length, from) = socket.recv_from(&mut data).await.expect("a datagram");
        socket.send_to(&data[..length], from).await.expect("sent");
        socket
    });
    let ask = async |limit| {
        let mut peer = peer(port, &ca, None);
        peer.limit = limit;
        let asked = world
            .bench
            .exchange(peer, Transport::Udp, b"\x00who".to_vec());
        asked.await.expect("the bench can ask")
    };
    assert_eq!(ask(PATIENCE).await.received, b"\x00who");
    let socket = echo.await.expect("it echoed");
    let got = ask(Duration::from_millis(200)).await;
    assert!(got.received.is_empty() && !got.closed, "silence");
    drop(socket);
    assert!(ask(PATIENCE).await.closed, "nobody there");
}

#[rstest]
#[case::method("GE T", "/")]
#[case::path("GET", "no path at all")]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_is_the_benchs_error(#[case] method: &str, #[case] path: &str) {
    let world = World::start("client").await;
    let ca = TestCa::new().expect("a CA");
    let question = Question {
        method: method.to_owned(),
        path: path.to_owned(),
        ..question(Transport::Tcp, "GET")
    };
    let error = world.bench.request(peer(1, &ca, None), question).await;
    assert!(error.is_err());
}

/// For each connection, of which `/` divides them, what is answered to one request after the other: `ok`, `last` if the
/// connection is said to end with it, `no`; `breaks` is its end without an answer, `ends` its end before
/// another request. Requests end with `{}`. Gives how many came on
/// each connection.
async fn serve_in_turn(listener: TcpListener, script: &'static str) -> Vec<usize> {
    let mut asked = Vec::new();
    for words in script.split('/') {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut requests = 0;
        let mut words = words.split_whitespace();
        loop {
            let word = words.next();
            if word == Some("ends") {
                break;
            }
            let mut read = Vec::new();
            while !read.ends_with(b"{}") {
                let Ok(byte) = stream.read_u8().await else {
                    break;
                };
                read.push(byte);
            }
            if read.is_empty() {
                break;
            }
            requests += 1;
            let (status, header) = match word {
                Some("ok") => ("200 OK", ""),
                Some("last") => ("200 OK", "Connection: close\r\n"),
                Some("no") => ("400 Bad Request", ""),
                _ => break,
            };
            let answer = format!("HTTP/1.1 {status}\r\n{header}Content-Length: 2\r\n\r\nok");
            let sent = stream.write_all(answer.as_bytes()).await;
            sent.expect("it takes the answer");
        }
        asked.push(requests);
    }
    asked
}

/// Asks twice, and keeps the connection; the second answer, and how many requests came on each connection.
async fn ask_twice(
    script: &'static str,
    method: &str,
    sessions: [&str; 2],
) -> (HttpAnswer, Vec<usize>) {
    let world = World::start("client").await;
    let ca = TestCa::new().expect("a CA");
    let (listener, port) = listen(&world).await;
    let server = world.dut.handle().spawn(serve_in_turn(listener, script));
    let mut kept: Option<Kept> = None;
    let mut latest = HttpAnswer::default();
    for session in sessions {
        let mut question = question(Transport::Tcp, method);
        question.headers = vec![("Cookie".to_owned(), session.to_owned())];
        let peer = peer(port, &ca, None);
        let asking = world.bench.request_keeping(peer, question, kept.take());
        (latest, kept) = Box::pin(asking).await.expect("the bench can ask");
    }
    drop(kept);
    (latest, server.await.expect("it served"))
}

#[rstest]
#[case::goes_on("PUT", ["a", "a"], "ok ok", Over::Kept, &[2])]
#[case::of_another_session("PUT", ["a", "b"], "ok / ok", Over::Own, &[1, 1])]
#[case::what_must_not_be_sent_twice("POST", ["a", "a"], "ok / ok", Over::Own, &[1, 1])]
#[case::the_device_says_it_is_the_last("PUT", ["a", "a"], "last / ok", Over::Own, &[1, 1])]
#[case::after_a_refusal("PUT", ["a", "a"], "no / ok", Over::Own, &[1, 1])]
#[case::a_refusal_may_be_about_the_one_before(
    "PUT", ["a", "a"], "ok no / ok", Over::OwnAfter(400), &[2, 1]
)]
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_kept_where_that_says_the_same(
    #[case] method: &str,
    #[case] sessions: [&str; 2],
    #[case] script: &'static str,
    #[case] over: Over,
    #[case] requests: &[usize],
) {
    let (answer, asked) = ask_twice(script, method, sessions).await;
    assert_eq!(asked, requests);
    assert_eq!(answer.over, over);
    assert_eq!((answer.status, answer.trouble), (Some(200), None));
}

/// Whether the device was about to end it, or broke down, is not known.
#[tokio::test(flavor = "multi_thread")]
async fn a_kept_connection_that_is_lost_in_a_request_is_told() {
    let (answer, asked) = ask_twice("ok breaks / ok", "PUT", ["a", "a"]).await;
    assert_eq!(asked, [2, 1]);
    assert!(
        matches!(answer.over, Over::OwnAfterNone(_)),
        "{:?}",
        answer.over
    );
    assert_eq!(answer.status, Some(200));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_connection_that_has_ended_is_not_used() {
    let world = World::start("client").await;
    let ca = TestCa::new().expect("a CA");
    let (listener, port) = listen(&world).await;
    let server = serve_in_turn(listener, "ok ends / ok");
    let server = world.dut.handle().spawn(server);
    let ask = |kept| {
        let question = question(Transport::Tcp, "PUT");
        let peer = peer(port, &ca, None);
        world.bench.request_keeping(peer, question, kept)
    };
    let (_, kept) = ask(None).await.expect("the bench can ask");
    let kept = kept.expect("the device did not say that it ends it");
    while !kept.has_ended() {
        tokio::task::yield_now().await;
    }
    let (answer, left) = ask(Some(kept)).await.expect("the bench can ask");
    assert_eq!((answer.over, answer.status), (Over::Own, Some(200)));
    drop(left);
    assert_eq!(server.await.expect("it served"), [1, 1]);
}
