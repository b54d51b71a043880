//! The handle and its thread, with probes that are absent, mute or broken. What a probe does when it works is tested
//! on a virtual board.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    thread,
};

use rstest::rstest;

use super::*;
use crate::inventory::Protocol;

/// Long enough on any machine; waited for only when a test fails.
const PATIENCE: Duration = Duration::from_mins(1);

fn setup(selector: &str) -> ProbeSetup {
    ProbeSetup {
        probe: ProbeConfig {
            selector: selector.into(),
            protocol: Protocol::Swd,
            speed_khz: None,
        },
        chip: "nRF52840_xxAA".into(),
        chip_description: None,
        identity: Vec::new(),
        debug_port: None,
        drives_reset: false,
    }
}

/// A probe that speaks the Black Magic remote protocol as badly as `serve` does.
fn remote(serve: impl Fn(TcpStream) + Send + 'static) -> ProbeSetup {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            serve(stream);
        }
    });
    setup(&format!("1d50:6018:{address}"))
}

#[rstest]
#[case("")]
#[case("1366")]
#[case("wxyz:1015")]
fn a_bad_selector_is_refused_before_anything_is_opened(#[case] selector: &str) {
    let error = Probe::new(setup(selector)).unwrap_err();
    assert!(matches!(error, ProbeError::Selector { .. }), "{error:?}");
}

#[tokio::test]
async fn no_such_probe_is_one_clear_error() {
    let probe = Probe::new(setup("1366:1015:no-such-probe")).unwrap();
    let error = probe.read(0, 4).await.unwrap_err();
    assert!(matches!(error, ProbeError::Open { .. }), "{error:?}");
    assert!(error.to_string().contains("1366:1015:no-such-probe"));
}

#[rstest]
#[case::chip(ProbeSetup { chip: "no-such-chip".into(), ..setup("1366:1015") }, "no-such-chip")]
#[case::description(ProbeSetup { chip_description: Some("/no/such.yaml".into()), ..setup("1366:1015") }, "/no/such.yaml")]
#[tokio::test]
async fn an_unknown_chip_is_named(#[case] setup: ProbeSetup, #[case] name: &str) {
    let probe = Probe::new(setup).unwrap();
    let error = probe.reset().await.unwrap_err();
    assert!(
        matches!(
            error,
            ProbeError::Chip { .. } | ProbeError::ChipDescription { .. }
        ),
        "{error:?}"
    );
    assert!(error.to_string().contains(name), "{error}");
}

#[tokio::test]
async fn a_probe_that_hangs_up_is_an_error() {
    let probe = Probe::new(remote(drop)).unwrap();
    let error = probe.halt().await.unwrap_err();
    assert!(matches!(error, ProbeError::Open { .. }), "{error:?}");
}

/// probe-rs asserts things of the answers that a broken probe does not keep to.
#[tokio::test]
async fn a_probe_that_talks_nonsense_does_not_take_the_harness_along() {
    let probe = Probe::new(remote(|mut stream| {
        let mut request = [0; 256];
        while stream.read(&mut request).is_ok_and(|length| length > 0) {
            if stream.write_all(b"&Kffffffffffffffff#").is_err() {
                break;
            }
        }
    }))
    .unwrap();
    for _ in 0..2 {
        let answer = tokio::time::timeout(PATIENCE, probe.read(0x2000_0000, 64)).await;
        answer.expect("an end").unwrap_err();
    }
}

#[tokio::test]
async fn a_mute_probe_holds_up_nobody() {
    let (sender, accepted) = mpsc::channel();
    let probe = Probe::new(remote(move |stream| {
        // Kept open, never answered.
        let _ = sender.send(stream);
    }))
    .unwrap();
    let error = probe.health(Duration::from_millis(50)).await.unwrap_err();
    assert!(matches!(error, ProbeError::Timeout { .. }), "{error:?}");
    // Its thread is still held: the next one is told at once instead of waiting again.
    let error = tokio::time::timeout(PATIENCE, probe.read(0, 4))
        .await
        .unwrap()
        .unwrap_err();
    assert!(matches!(error, ProbeError::Stuck { .. }), "{error:?}");
    // The line breaks, the thread is free again.
    let stream = accepted.recv_timeout(PATIENCE).unwrap();
    drop(stream);
    let after = async {
        while let Err(ProbeError::Stuck { .. }) = probe.health(Duration::from_millis(50)).await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, after).await.unwrap();
}

#[tokio::test]
async fn a_caller_who_stops_waiting_is_not_held_up() {
    let (sender, _accepted) = mpsc::channel();
    let probe = Probe::new(remote(move |stream| {
        let _ = sender.send(stream);
    }))
    .unwrap();
    let given_up = tokio::time::timeout(Duration::from_millis(20), probe.halt()).await;
    assert!(given_up.is_err());
}

#[test]
fn a_panic_of_the_driver_is_an_error_and_the_thread_lives_on() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let probe = Probe::new(setup("1366:1015")).unwrap();
    let panicking = probe.call::<()>("test".into(), PATIENCE, |_, _| panic!("no ACK"));
    let error = runtime.block_on(panicking).unwrap_err();
    let ProbeError::Driver { message, .. } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(message, "no ACK");
    let after = runtime.block_on(probe.call("test".into(), PATIENCE, |_, _| Ok(7)));
    assert_eq!(after.unwrap(), 7);
}
