//! The MQTT driver through a real mosquitto, against what publishes as Tasmota and zigbee2mqtt do.

use std::{
    fs,
    num::NonZeroU8,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use rstest::rstest;
use rumqttc::{AsyncClient, Event, EventLoop, LastWill, MqttOptions, Packet, QoS};
use rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream, UnixStream},
    process::{Child, Command},
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use super::daemon;
use crate::{
    inventory::{TasmotaMqttConfig, Zigbee2mqttConfig},
    switch::{Switch as _, SwitchError, mqtt::MqttPlug},
};

const PATIENCE: Duration = Duration::from_mins(1);
const IMPATIENCE: Duration = Duration::from_millis(500);

/// mosquitto takes no port 0: it listens on a socket, and we in front of it.
struct Broker {
    address: String,
    dir: TempDir,
    _child: Child,
}

impl Broker {
    async fn start() -> Self {
        Self::start_with("allow_anonymous true\n").await
    }

    async fn start_with(access: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let socket = dir.path().join("sock");
        let password_file = dir.path().join("passwords");
        if access.contains("password_file") {
            let made = Command::new("mosquitto_passwd")
                .args(["-b", "-c"])
                .arg(&password_file)
                .args(["lab", "geheim"])
                .status();
            assert!(made.await.expect("ci/setup installs it").success());
        }
        let config = format!(
            "listener 0 {}\nuser root\npersistence false\n{}",
            socket.display(),
            access.replace("PASSWORDS", &password_file.to_string_lossy())
        );
        fs::write(dir.path().join("conf"), config).unwrap();
        let child = daemon("/usr/sbin/mosquitto")
            .arg("-c")
            .arg(dir.path().join("conf"))
            .spawn()
            .expect("ci/setup installs it");
        let listening = async {
            while UnixStream::connect(&socket).await.is_err() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, listening).await.expect("it listens");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let Ok(mut broker) = UnixStream::connect(&socket).await else {
                    return;
                };
                tokio::spawn(async move { copy_bidirectional(&mut client, &mut broker).await });
            }
        });
        Self {
            address,
            dir,
            _child: child,
        }
    }

    /// A door with TLS to the broker, with a certificate for `name`: its port, and a file with the authority.
    async fn with_tls(&self, name: &str) -> (u16, PathBuf) {
        let issued = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let authority = self.dir.path().join(format!("{name}.pem"));
        fs::write(&authority, issued.cert.pem()).unwrap();
        let key = PrivateKeyDer::try_from(issued.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![issued.cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let broker = self.address.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (acceptor, broker) = (acceptor.clone(), broker.clone());
                tokio::spawn(async move {
                    let mut client = acceptor.accept(client).await?;
                    let mut broker = TcpStream::connect(broker).await?;
                    copy_bidirectional(&mut client, &mut broker).await
                });
            }
        });
        (port, authority)
    }

    /// A device, which has subscribed to `topics` when this returns.
    async fn device(
        &self,
        name: &str,
        topics: &[&str],
        will: Option<LastWill>,
    ) -> (AsyncClient, EventLoop) {
        let (host, port) = self.address.split_once(':').unwrap();
        let mut options = MqttOptions::new(name, host, port.parse().unwrap());
        if let Some(will) = will {
            options.set_last_will(will);
        }
        let (client, mut events) = AsyncClient::new(options, 16);
        for topic in topics {
            client.subscribe(*topic, QoS::AtLeastOnce).await.unwrap();
        }
        let mut left = topics.len();
        let subscribed = async {
            while left > 0 {
                if let Event::Incoming(Packet::SubAck(_)) = events.poll().await.unwrap() {
                    left -= 1;
                }
            }
        };
        timeout(PATIENCE, subscribed).await.expect("it subscribes");
        (client, events)
    }

    fn tasmota(&self, relay: u8, limit: Duration) -> MqttPlug {
        let config = TasmotaMqttConfig {
            broker: format!("mqtt://{}", self.address),
            ca: None,
            topic: "plug1".into(),
            relay: NonZeroU8::new(relay).unwrap(),
        };
        MqttPlug::tasmota(&config).unwrap().with_limit(limit)
    }

    fn zigbee(&self, endpoint: Option<&str>, limit: Duration) -> MqttPlug {
        let config = Zigbee2mqttConfig {
            broker: format!("mqtt://{}", self.address),
            ca: None,
            name: "lab/plug 1".into(),
            endpoint: endpoint.map(str::to_owned),
            base_topic: "zigbee2mqtt".into(),
        };
        MqttPlug::zigbee2mqtt(&config).unwrap().with_limit(limit)
    }
}

#[derive(Debug, Default)]
struct Device {
    relays: [bool; 2],
    /// Has one relay, and no number for it.
    single: bool,
    /// Says that it obeys, and does not.
    lies: bool,
    /// Says this, whatever the state.
    says: Option<&'static str>,
    /// zigbee2mqtt can't reach it.
    unreachable: bool,
}

type Shared = Arc<Mutex<Device>>;

/// What a Tasmota device publishes: <https://tasmota.github.io/docs/MQTT/>.
async fn tasmota(broker: &Broker, device: Device) -> Shared {
    let will = LastWill::new("tele/plug1/LWT", "Offline", QoS::AtLeastOnce, true);
    let (client, mut events) = broker.device("plug1", &["cmnd/plug1/+"], Some(will)).await;
    let shared = Arc::new(Mutex::new(device));
    let device = Arc::clone(&shared);
    client
        .publish("tele/plug1/LWT", QoS::AtLeastOnce, true, "Online")
        .await
        .unwrap();
    tokio::spawn(async move {
        while let Ok(event) = events.poll().await {
            let Event::Incoming(Packet::Publish(message)) = event else {
                continue;
            };
            let relay: usize = message
                .topic
                .rsplit("POWER")
                .next()
                .unwrap()
                .parse()
                .unwrap();
            let (name, taken, state) = {
                let mut device = device.lock().unwrap();
                let on = match &*message.payload {
                    b"" => device.relays[relay - 1],
                    b"ON" => true,
                    b"OFF" => false,
                    other => panic!("{other:?}"),
                };
                if !device.lies {
                    device.relays[relay - 1] = on;
                }
                let name = if device.single {
                    "POWER".to_owned()
                } else {
                    format!("POWER{relay}")
                };
                let text = if on { "ON" } else { "OFF" };
                (name, text, device.says.unwrap_or(text))
            };
            let result = json!({ name.as_str(): taken }).to_string();
            for (topic, text) in [("RESULT", result), (&*name, state.into())] {
                let topic = format!("stat/plug1/{topic}");
                client
                    .publish(topic, QoS::AtMostOnce, false, text)
                    .await
                    .unwrap();
            }
        }
    });
    shared
}

/// What zigbee2mqtt publishes: <https://www.zigbee2mqtt.io/guide/usage/mqtt_topics_and_messages.html>. The state that
/// follows a command is what it believes (`optimistic`), the one that follows a question is the device's.
async fn zigbee2mqtt(broker: &Broker, device: Device) -> Shared {
    let topics = ["zigbee2mqtt/lab/plug 1/set", "zigbee2mqtt/lab/plug 1/get"];
    let (client, mut events) = broker.device("zigbee2mqtt", &topics, None).await;
    let shared = Arc::new(Mutex::new(device));
    let device = Arc::clone(&shared);
    tokio::spawn(async move {
        while let Ok(event) = events.poll().await {
            let Event::Incoming(Packet::Publish(message)) = event else {
                continue;
            };
            let is_set = message.topic.ends_with("/set");
            let asked: Value = serde_json::from_slice(&message.payload).unwrap();
            let (key, value) = asked.as_object().unwrap().iter().next().unwrap();
            let output = usize::from(key == "state_l2");
            let mut told = Vec::new();
            {
                let mut device = device.lock().unwrap();
                let name = "lab/plug 1";
                if device.unreachable {
                    let (verb, topic) = (if is_set { "set" } else { "get" }, "bridge/logging");
                    let said =
                        format!("Publish '{verb}' '{key}' to '{name}' failed: 'Error: timeout'");
                    let log = json!({ "level": "error", "message": said, "namespace": "z2m" });
                    told.push((topic.to_owned(), log));
                } else {
                    let on = if is_set {
                        value == "ON"
                    } else {
                        device.relays[output]
                    };
                    if !device.lies {
                        device.relays[output] = on;
                    }
                    let state = device.says.unwrap_or(if on { "ON" } else { "OFF" });
                    told.push((name.to_owned(), json!({ "linkquality": 90 })));
                    told.push((name.to_owned(), json!({ key.as_str(): state, "power": 3 })));
                }
            }
            for (topic, message) in told {
                let topic = format!("zigbee2mqtt/{topic}");
                client
                    .publish(topic, QoS::AtMostOnce, false, message.to_string())
                    .await
                    .unwrap();
            }
        }
    });
    shared
}

#[rstest]
#[case::numbered(false, 2)]
#[case::single(true, 1)]
#[tokio::test]
async fn a_tasmota_relay_is_switched_and_read_back(#[case] single: bool, #[case] relay: u8) {
    let broker = Broker::start().await;
    let device = tasmota(
        &broker,
        Device {
            single,
            ..Device::default()
        },
    )
    .await;
    let plug = broker.tasmota(relay, PATIENCE);
    for on in [true, false] {
        plug.set(on).await.unwrap();
        assert_eq!(plug.is_on().await.unwrap(), on);
        assert_eq!(device.lock().unwrap().relays[usize::from(relay) - 1], on);
    }
}

#[rstest]
#[case::single(None, 0)]
#[case::second(Some("l2"), 1)]
#[tokio::test]
async fn a_zigbee_plug_is_switched_and_read_back(
    #[case] endpoint: Option<&str>,
    #[case] output: usize,
) {
    let broker = Broker::start().await;
    let device = zigbee2mqtt(&broker, Device::default()).await;
    let plug = broker.zigbee(endpoint, PATIENCE);
    for on in [true, false] {
        plug.set(on).await.unwrap();
        assert_eq!(plug.is_on().await.unwrap(), on);
        assert_eq!(device.lock().unwrap().relays[output], on);
    }
}

#[rstest]
#[tokio::test]
async fn a_plug_that_says_it_switched_but_did_not_is_an_error(#[values(false, true)] zigbee: bool) {
    let broker = Broker::start().await;
    let liar = Device {
        lies: true,
        ..Device::default()
    };
    let plug = if zigbee {
        zigbee2mqtt(&broker, liar).await;
        broker.zigbee(None, PATIENCE)
    } else {
        tasmota(&broker, liar).await;
        broker.tasmota(1, PATIENCE)
    };
    let error = plug.set(true).await.unwrap_err();
    super::stayed_off(&error);
}

#[rstest]
#[tokio::test]
async fn nonsense_is_shown_as_what_it_is(#[values(false, true)] zigbee: bool) {
    let broker = Broker::start().await;
    let device = Device {
        says: Some("PERHAPS"),
        ..Device::default()
    };
    let plug = if zigbee {
        zigbee2mqtt(&broker, device).await;
        broker.zigbee(None, PATIENCE)
    } else {
        tasmota(&broker, device).await;
        broker.tasmota(1, PATIENCE)
    };
    let error = plug.is_on().await.unwrap_err();
    assert!(matches!(error, SwitchError::Answer { .. }), "{error:?}");
    assert!(error.to_string().contains("PERHAPS"), "{error}");
}

/// What is said of a failure, with the reasons for it.
fn said(error: SwitchError) -> String {
    assert!(
        matches!(
            error,
            SwitchError::Unreachable { .. } | SwitchError::Refused { .. }
        ),
        "{error:?}"
    );
    format!("{:?}", miette::Report::new(error))
}

#[tokio::test]
async fn a_plug_that_the_broker_lost_is_told_at_once() {
    let broker = Broker::start().await;
    let (client, mut events) = broker.device("plug1", &["cmnd/plug1/+"], None).await;
    client
        .publish("tele/plug1/LWT", QoS::AtLeastOnce, true, "Offline")
        .await
        .unwrap();
    // What a plug said when it was there is kept by some, and tells nothing.
    client
        .publish("stat/plug1/POWER1", QoS::AtLeastOnce, true, "ON")
        .await
        .unwrap();
    let mut left = 2;
    while left > 0 {
        if let Event::Incoming(Packet::PubAck(_)) = events.poll().await.unwrap() {
            left -= 1;
        }
    }
    let shown = said(broker.tasmota(1, PATIENCE).is_on().await.unwrap_err());
    assert!(
        shown.contains("plug1") && shown.contains("Offline"),
        "{shown}"
    );
}

#[tokio::test]
async fn what_zigbee2mqtt_says_of_a_failure_is_shown() {
    let broker = Broker::start().await;
    zigbee2mqtt(
        &broker,
        Device {
            unreachable: true,
            ..Device::default()
        },
    )
    .await;
    let plug = broker.zigbee(None, PATIENCE);
    let shown = said(plug.set(true).await.unwrap_err());
    assert!(shown.contains("failed: 'Error: timeout'"), "{shown}");
}

#[tokio::test]
async fn zigbee2mqtt_that_does_not_run_is_told_at_once() {
    let broker = Broker::start().await;
    let (client, mut events) = broker.device("other", &[], None).await;
    let offline = r#"{"state":"offline"}"#;
    client
        .publish("zigbee2mqtt/bridge/state", QoS::AtLeastOnce, true, offline)
        .await
        .unwrap();
    while !matches!(
        events.poll().await.unwrap(),
        Event::Incoming(Packet::PubAck(_))
    ) {}
    let shown = said(broker.zigbee(None, PATIENCE).set(true).await.unwrap_err());
    assert!(shown.contains("zigbee2mqtt is not running"), "{shown}");
}

#[tokio::test]
async fn a_plug_that_says_nothing_is_not_awaited_for_ever() {
    let broker = Broker::start().await;
    let shown = said(broker.tasmota(1, IMPATIENCE).set(true).await.unwrap_err());
    assert!(
        shown.contains("relay 1 of `plug1`") && shown.contains("mosquitto_sub"),
        "{shown}"
    );
}

#[tokio::test]
async fn a_broker_that_is_not_there_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let plug = |limit| {
        let config = TasmotaMqttConfig {
            broker: format!("mqtt://lab:geheim@{address}"),
            ca: None,
            topic: "plug1".into(),
            relay: NonZeroU8::MIN,
        };
        MqttPlug::tasmota(&config).unwrap().with_limit(limit)
    };
    // It takes connections, and says nothing.
    let silence = plug(IMPATIENCE).set(true).await.unwrap_err();
    drop(listener);
    let refusal = plug(PATIENCE).set(true).await.unwrap_err();
    for error in [silence, refusal] {
        let shown = said(error);
        assert!(shown.contains("MQTT broker"), "{shown}");
        assert!(!shown.contains("geheim"), "{shown}");
    }
}

#[tokio::test]
async fn a_broker_with_tls_is_who_its_certificate_says() {
    let broker = Broker::start().await;
    let device = tasmota(&broker, Device::default()).await;
    let (port, authority) = broker.with_tls("localhost").await;
    let (other_port, other_authority) = broker.with_tls("broker.example").await;
    let plug = |port: u16, authority: &PathBuf| {
        let config = TasmotaMqttConfig {
            broker: format!("mqtts://localhost:{port}"),
            ca: Some(authority.clone()),
            topic: "plug1".into(),
            relay: NonZeroU8::MIN,
        };
        MqttPlug::tasmota(&config).unwrap().with_limit(PATIENCE)
    };
    plug(port, &authority).set(true).await.unwrap();
    assert!(device.lock().unwrap().relays[0]);
    let cases = [
        (port, &other_authority, "invalid peer certificate"),
        (other_port, &other_authority, "not valid for name"),
    ];
    for (port, authority, reason) in cases {
        let error = plug(port, authority).set(false).await.unwrap_err();
        let shown = said(error);
        assert!(
            shown.contains(reason) && shown.contains("authority in `ca`"),
            "{shown}"
        );
    }
    assert!(device.lock().unwrap().relays[0], "nothing came to it");
}

#[rstest]
#[case::none("nothing.pem", None, "No such file")]
#[case::no_certificate("empty.pem", Some("# to be filled in"), "no certificate")]
#[tokio::test]
async fn an_authority_that_is_not_there_is_told(
    #[case] name: &str,
    #[case] text: Option<&str>,
    #[case] reason: &str,
) {
    let dir = TempDir::new().unwrap();
    let authority = dir.path().join(name);
    if let Some(text) = text {
        fs::write(&authority, text).unwrap();
    }
    let config = TasmotaMqttConfig {
        broker: "mqtts://localhost".into(),
        ca: Some(authority),
        topic: "plug1".into(),
        relay: NonZeroU8::MIN,
    };
    let error = MqttPlug::tasmota(&config).unwrap_err().to_string();
    assert!(error.contains(name) && error.contains(reason), "{error}");
}

#[tokio::test]
async fn a_missing_or_wrong_password_is_told() {
    let broker = Broker::start_with("allow_anonymous false\npassword_file PASSWORDS\n").await;
    assert!(broker.dir.path().join("passwords").exists());
    let cases = [
        ("", true, PATIENCE),
        ("lab:falsch@", true, PATIENCE),
        // There is no such plug: whatever is met, it is no refusal.
        ("lab:geheim@", false, IMPATIENCE),
    ];
    for (user, refused, limit) in cases {
        let config = TasmotaMqttConfig {
            broker: format!("mqtt://{user}{}", broker.address),
            ca: None,
            topic: "plug1".into(),
            relay: NonZeroU8::MIN,
        };
        let plug = MqttPlug::tasmota(&config).unwrap().with_limit(limit);
        let error = plug.is_on().await.unwrap_err();
        assert_eq!(
            matches!(error, SwitchError::Refused { .. }),
            refused,
            "{user}: {error:?}"
        );
        assert!(!said(error).contains("falsch"));
    }
}
