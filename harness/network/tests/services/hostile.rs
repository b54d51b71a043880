//! Hostile input neither ends a service nor makes it grow.

use std::time::Duration;

use provebench_network::services::{Observation, Record, Service as _, Services};
use rand::{Rng as _, RngCore as _, SeedableRng as _, rngs::StdRng};
use rstest::rstest;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UdpSocket},
    time::timeout,
};

use super::setup::{FREE, Known as _, LIMIT, seen, start};

/// Connections that a service holds at once.
const MOST: usize = 128;

#[rstest]
#[case("dhcp")]
#[case("dns")]
#[case("ntp")]
#[tokio::test]
async fn random_datagrams(#[case] name: &'static str) {
    let services = start().await;
    let address = services.control(name).unwrap().address().unwrap();
    let socket = UdpSocket::bind(FREE).await.unwrap();
    socket.connect(address).await.unwrap();
    let mut random = StdRng::seed_from_u64(4);
    for _ in 0..2_000 {
        let mut datagram = vec![0; random.random_range(0..600)];
        random.fill_bytes(&mut datagram);
        // Half of the datagrams look right at their beginning.
        if random.random() && datagram.len() > 240 {
            match name {
                "dhcp" => {
                    datagram[..4].copy_from_slice(&[1, 1, 6, 0]);
                    datagram[236..240].copy_from_slice(&[99, 130, 83, 99]);
                }
                "dns" => {
                    datagram[2..12].copy_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
                }
                _ => datagram[0] = 0x23,
            }
        }
        // What does not fit into the socket's buffer is lost, as in any flood; the service gets its turn to read.
        let _ = socket.send(&datagram).await;
        tokio::task::yield_now().await;
    }
    let largest = vec![0xff; 60_000];
    socket.send(&largest).await.unwrap();
    still_answers(&services, name).await;
}

/// A right question gets an answer.
async fn still_answers(services: &Services, name: &'static str) {
    let question = match name {
        "ntp" => {
            let mut packet = vec![0; 48];
            packet[0] = 0x23;
            packet
        }
        "dns" => {
            b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x00\x00\x01\x00\x01".to_vec()
        }
        _ => {
            let mut packet = vec![0; 240];
            packet[..4].copy_from_slice(&[1, 1, 6, 0]);
            packet[28..34].copy_from_slice(&[2, 0, 0, 0, 0, 9]);
            packet[236..240].copy_from_slice(&[99, 130, 83, 99]);
            packet.extend([53, 1, 8, 255]); // INFORM
            packet
        }
    };
    let address = services.control(name).unwrap().address().unwrap();
    let answered = async {
        let socket = UdpSocket::bind(FREE).await.unwrap();
        socket.connect(address).await.unwrap();
        let mut buffer = [0; 2048];
        // It may have a flood before it.
        loop {
            socket.send(&question).await.unwrap();
            let answer = socket.recv(&mut buffer);
            if timeout(Duration::from_secs(1), answer).await.is_ok() {
                return;
            }
        }
    };
    timeout(LIMIT, answered).await.unwrap();
}

#[rstest]
#[case("dns")]
#[case("mqtt")]
#[case("mqtt-plain")]
#[case("update")]
#[case("update-plain")]
#[case("crl")]
#[tokio::test]
async fn random_streams(#[case] name: &'static str) {
    let services = start().await;
    let control = services.control(name).unwrap();
    control.start().await.unwrap();
    let address = control.address().unwrap();
    let mut random = StdRng::seed_from_u64(5);
    for _ in 0..100 {
        let mut noise = vec![0; random.random_range(1..20_000)];
        random.fill_bytes(&mut noise);
        let mut stream = TcpStream::connect(address).await.unwrap();
        // It may be cut at any byte.
        let _ = stream.write_all(&noise).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let mut limited = stream.take(1_000_000);
        let end = limited.read_to_end(&mut answer);
        let _ = timeout(LIMIT, end).await.expect("it does not end");
    }
    services.health().await.unwrap();
    // The last one may still be on its way out.
    assert!(control.stop().await.unwrap().cut <= 1);
}

#[tokio::test]
async fn packets_that_are_too_large_are_cut_off_before_they_are_stored() {
    let services = start().await;
    let plain = services.mqtt().plain().unwrap();
    plain.start().await.unwrap();
    let mut stream = TcpStream::connect(plain.address().unwrap()).await.unwrap();
    // A CONNECT of 256 MB.
    stream
        .write_all(&[0x10, 0xff, 0xff, 0xff, 0x7f])
        .await
        .unwrap();
    let is_it = |record: &Record| matches!(&record.observation, Observation::Malformed { reason, .. } if reason.contains("at most"));
    seen(&services, is_it).await;
    let end = timeout(LIMIT, stream.read(&mut [0; 8])).await.unwrap();
    assert!(matches!(end, Ok(0) | Err(_)));
}

#[tokio::test]
async fn large_heads_and_bodies_are_refused() {
    let services = start().await;
    let plain = services.update().plain().unwrap();
    plain.start().await.unwrap();
    let cases = [
        (format!("GET /{} HTTP/1.1\r\n", "a".repeat(40_000)), "4"),
        (
            format!(
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n{}",
                "a".repeat(1_000_000)
            ),
            "413",
        ),
    ];
    for (request, status) in cases {
        let stream = TcpStream::connect(plain.address().unwrap()).await.unwrap();
        let (mut reader, mut writer) = stream.into_split();
        let sending = tokio::spawn(async move {
            let _ = writer.write_all(request.as_bytes()).await;
            writer
        });
        let mut answer = [0; 12];
        let read = timeout(LIMIT, reader.read_exact(&mut answer))
            .await
            .unwrap();
        // Cut before its answer could be read: refused, too.
        if read.is_ok() {
            let answer = String::from_utf8_lossy(&answer);
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status}")),
                "{answer}"
            );
        }
        drop(reader);
        sending.abort();
    }
}

#[rstest]
#[case("mqtt")]
#[case("update-plain")]
#[tokio::test]
async fn idle_connections_do_not_keep_others_out(#[case] name: &'static str) {
    let services = start().await;
    let control = services.control(name).unwrap();
    control.start().await.unwrap();
    let address = control.address().unwrap();
    let mut idle = Vec::new();
    for _ in 0..MOST + 20 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // How a request begins, or a TLS record.
        let first = match name {
            "mqtt" => [22],
            _ => [b'G'],
        };
        stream.write_all(&first).await.unwrap();
        idle.push(stream);
    }
    seen(&services, |record| {
        matches!(record.observation, Observation::TooMany { limit: MOST })
    })
    .await;
    // The last is served.
    let last = idle.last_mut().unwrap();
    if name == "update-plain" {
        last.write_all(b"ET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .unwrap();
        let mut answer = [0; 12];
        let read = timeout(LIMIT, last.read_exact(&mut answer)).await.unwrap();
        read.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 404");
    }
    let held = control.stop().await.unwrap().cut;
    assert!(held <= MOST, "{held}");
}
