//! The Tasmota driver against a real HTTP server that answers as the real thing does.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::{Query, State},
    routing::get,
};
use rstest::rstest;
use serde_json::json;
use tokio::net::TcpListener;

use crate::switch::*;
use crate::{Actuator, Power, probe::PowerEpoch};

/// A plug with two relays, or one that is broken.
#[derive(Debug, Default)]
struct Plug {
    relays: [bool; 2],
    history: Vec<String>,
    cut: Option<(u64, u64, u64)>,
    writes: u64,
    /// Says this, whatever it is told.
    says: Option<&'static str>,
    /// Has one relay, and no number for it.
    single: bool,
    ignores_commands: bool,
}

type Shared = Arc<Mutex<Plug>>;

impl Plug {
    fn answer(&mut self, query: &HashMap<String, String>) -> String {
        let command = query["cmnd"].clone();
        self.history.push(command.clone());
        if let Some(says) = self.says {
            return says.into();
        }
        let words: Vec<_> = command.split(' ').collect();
        match words.as_slice() {
            [power, rest @ ..] if power.starts_with("Power") => {
                let relay: usize = power[5..].parse().unwrap();
                if let ([state], false) = (rest, self.ignores_commands) {
                    self.relays[relay - 1] = *state == "On";
                }
                let name = if self.single {
                    "POWER".into()
                } else {
                    format!("POWER{relay}")
                };
                let state = if self.relays[relay - 1] { "ON" } else { "OFF" };
                json!({ name: state }).to_string()
            }
            ["CutAtWrite", rest @ ..] => {
                let number = |text: &str| match text.strip_prefix("0x") {
                    Some(hex) => u64::from_str_radix(hex, 16).unwrap(),
                    None => text.parse().unwrap(),
                };
                match rest {
                    [start, length, count] => {
                        self.cut = Some((number(start), number(length), number(count)));
                    }
                    ["0"] => self.cut = None,
                    _ => {}
                }
                let fired = self
                    .cut
                    .is_some_and(|(_, _, count)| count > 0 && self.writes >= count);
                json!({ "CutAtWrite": { "armed": self.cut.is_some() && !fired, "fired": fired, "writes": self.writes } })
                    .to_string()
            }
            _ => json!({ "Command": "Unknown" }).to_string(),
        }
    }
}

/// Serves until the test's runtime ends.
async fn serve(plug: Plug) -> (Shared, String) {
    let plug = Arc::new(Mutex::new(plug));
    let app = Router::new()
        .route(
            "/cm",
            get(
                async |State(plug): State<Shared>, Query(query): Query<HashMap<String, String>>| {
                    plug.lock().unwrap().answer(&query)
                },
            ),
        )
        .with_state(Arc::clone(&plug));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async { axum::serve(listener, app).await });
    (plug, url)
}

fn power(url: &str, cut_at_write: bool) -> Power {
    let switch = Tasmota::new(url, 1, cut_at_write).unwrap();
    Power::new(Arc::new(switch), "test", PowerEpoch::default())
}

#[rstest]
#[tokio::test]
async fn power_is_switched_and_asked_for(#[values(false, true)] single: bool) {
    let (plug, url) = serve(Plug {
        single,
        ..Plug::default()
    })
    .await;
    let power = power(&url, false);
    assert!(!power.is_on().await.unwrap());
    power.on().await.unwrap();
    assert!(power.is_on().await.unwrap());
    power.off().await.unwrap();
    assert_eq!(
        plug.lock().unwrap().history,
        ["Power1", "Power1 On", "Power1", "Power1 Off"]
    );
}

#[tokio::test]
async fn a_cycle_ends_with_power_on_though_nobody_waits_for_it() {
    let (plug, url) = serve(Plug {
        relays: [true, false],
        ..Plug::default()
    })
    .await;
    let power = power(&url, false);
    let off = Duration::from_millis(50);
    let cycle = tokio::time::timeout(Duration::from_millis(5), power.cycle(off)).await;
    assert!(cycle.is_err(), "given up while off");
    let deadline = Instant::now() + Duration::from_mins(1);
    while !plug.lock().unwrap().relays[0] || plug.lock().unwrap().history.len() < 2 {
        assert!(Instant::now() < deadline, "left without power");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(plug.lock().unwrap().history, ["Power1 Off", "Power1 On"]);
}

#[tokio::test]
async fn power_changes_end_debug_sessions() {
    let (_, url) = serve(Plug::default()).await;
    let epoch = PowerEpoch::default();
    let power = Power::new(
        Arc::new(Tasmota::new(&url, 1, false).unwrap()),
        "test",
        epoch.clone(),
    );
    power.cycle(Duration::ZERO).await.unwrap();
    assert_ne!(epoch.now(), PowerEpoch::default().now());
}

#[tokio::test]
async fn a_button_is_let_go_after_the_time_asked_for() {
    let (plug, url) = serve(Plug::default()).await;
    let button = Actuator::new(Arc::new(Tasmota::new(&url, 2, false).unwrap()), "reset");
    let started = Instant::now();
    button.press(Duration::from_millis(30)).await.unwrap();
    assert!(started.elapsed() >= Duration::from_millis(30));
    assert_eq!(plug.lock().unwrap().history, ["Power2 On", "Power2 Off"]);
}

#[tokio::test]
async fn a_cut_is_armed_counted_awaited_and_called_off() {
    let (plug, url) = serve(Plug::default()).await;
    let power = power(&url, true);
    assert!(power.can_cut_at_write());
    power
        .cut_at_write(0x2100_0000..0x2100_1000, 17)
        .await
        .unwrap();
    assert_eq!(plug.lock().unwrap().cut, Some((0x2100_0000, 0x1000, 17)));
    assert!(!power.wait_cut(Duration::from_millis(50)).await.unwrap());
    plug.lock().unwrap().writes = 17;
    assert!(power.wait_cut(Duration::from_mins(1)).await.unwrap());
    assert_eq!(power.writes().await.unwrap(), 17);
    power.disarm().await.unwrap();
    assert_eq!(plug.lock().unwrap().cut, None);
}

#[tokio::test]
async fn a_common_plug_is_not_asked_to_cut() {
    let (plug, url) = serve(Plug::default()).await;
    let power = power(&url, false);
    let error = power.cut_at_write(0..4, 1).await.unwrap_err();
    assert!(matches!(error, SwitchError::NoWriteCut { .. }));
    assert!(plug.lock().unwrap().history.is_empty());
}

#[tokio::test]
async fn a_plug_that_does_not_do_as_told_is_an_error() {
    let (_, url) = serve(Plug {
        ignores_commands: true,
        ..Plug::default()
    })
    .await;
    let error = power(&url, false).on().await.unwrap_err();
    super::stayed_off(&error);
}

#[rstest]
#[case::no_such_relay(r#"{"Command":"Unknown"}"#)]
#[case::another_device("<html>Router login</html>")]
#[case::nothing("")]
#[tokio::test]
async fn nonsense_is_shown_as_what_it_is(#[case] says: &'static str) {
    let (_, url) = serve(Plug {
        says: Some(says),
        ..Plug::default()
    })
    .await;
    let error = power(&url, false).on().await.unwrap_err();
    assert!(matches!(error, SwitchError::Answer { .. }), "{error:?}");
    assert!(error.to_string().contains("Power1 On"), "{error}");
}

#[tokio::test]
async fn no_answer_is_an_error_that_keeps_the_password() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = power(&format!("http://admin:geheim@{address}"), false)
        .on()
        .await
        .unwrap_err();
    assert!(
        matches!(error, SwitchError::Unreachable { .. }),
        "{error:?}"
    );
    let shown = format!("{:?}", miette::Report::new(error));
    assert!(
        shown.contains(&address.to_string()) && !shown.contains("geheim"),
        "{shown}"
    );
}

#[rstest]
#[case::no_scheme("10.0.0.5")]
#[case::no_host("http://")]
#[case::other_scheme("ftp://10.0.0.5")]
fn an_address_that_is_none_is_refused_at_once(#[case] url: &str) {
    let error = Tasmota::new(url, 1, false).unwrap_err();
    assert!(matches!(error, SwitchError::Url { .. }), "{error:?}");
}
