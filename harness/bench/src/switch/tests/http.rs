//! Whoever answers at a plug's address may be anybody.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rstest::rstest;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::{
    inventory::ShellyConfig,
    switch::{Switch, SwitchError, Tasmota, shelly::Shelly},
};

/// Nothing here is to be waited for.
const LIMIT: Duration = Duration::from_mins(5);

/// Answers each request with `head`, then with zeros for as long as they are taken; how many were.
async fn serve(head: String, is_endless: bool) -> (String, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let taken = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&taken);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await;
            let mut sent = stream.write_all(head.as_bytes()).await;
            while is_endless && sent.is_ok() {
                sent = stream.write_all(&[0; 4096]).await;
                count.fetch_add(4096, Ordering::Relaxed);
            }
        }
    });
    (host, taken)
}

fn plug(driver: &str, host: &str) -> Box<dyn Switch> {
    let url = format!("http://{host}");
    match driver {
        "tasmota" => Box::new(Tasmota::new(&url, 1, false).unwrap()),
        _ => Box::new(Shelly::new(&ShellyConfig { url, output: 0 }, LIMIT).unwrap()),
    }
}

#[rstest]
#[case::no_length("")]
#[case::length("Content-Length: 999999999999\r\n")]
#[case::one_chunk("Transfer-Encoding: chunked\r\n\r\nffffffffffffff\r\n")]
#[tokio::test]
async fn an_answer_without_end_is_read_to_a_bound(
    #[case] header: &str,
    #[values("tasmota", "shelly")] driver: &str,
) {
    let end = if header.contains("\r\n\r\n") {
        ""
    } else {
        "\r\n"
    };
    let (host, taken) = serve(format!("HTTP/1.1 200 OK\r\n{header}{end}"), true).await;
    let asked = tokio::time::timeout(LIMIT, plug(driver, &host).is_on()).await;
    let error = asked.expect("in time").unwrap_err();
    assert!(matches!(error, SwitchError::Answer { .. }), "{error:?}");
    // What was read, and what the kernel keeps for both of us.
    let taken = taken.load(Ordering::Relaxed);
    assert!(taken < 32 << 20, "{taken}");
}

#[rstest]
#[tokio::test]
async fn nobody_is_sent_elsewhere(
    #[values("tasmota", "shelly")] driver: &str,
    #[values("301 Moved", "302 Found", "307 Temporary", "308 Permanent")] status: &str,
) {
    let on = r#"{"POWER": "ON", "gen": 2, "output": true}"#;
    let length = on.len();
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{on}");
    let (other, _) = serve(answer, false).await;
    let answer =
        format!("HTTP/1.1 {status}\r\nLocation: http://{other}/\r\nContent-Length: 0\r\n\r\n");
    let (host, _) = serve(answer, false).await;
    let error = plug(driver, &host).is_on().await.unwrap_err();
    assert!(matches!(error, SwitchError::Answer { .. }), "{error:?}");
    assert!(error.to_string().contains(&status[..3]), "{error}");
}
