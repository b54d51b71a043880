//! The broker, used by rumqttc as a device would: over TLS, with a client certificate.

use std::time::Duration;

use provebench_network::services::{
    ClientAuth, Identity, MqttAnswer, MqttPacket, Observation, PacketSeen, Record, Sender,
    Service as _, Services,
};
use rstest::rstest;
use rumqttc::{TlsConfiguration, Transport, v5};
use rustls::version::{TLS12, TLS13};
use tokio::time::timeout;

use super::setup::{Known as _, LIMIT, MQTT_NAME, NOTHING, client_tls, seen, start};

/// A device that speaks MQTT 5.
struct Device {
    client: v5::AsyncClient,
    events: v5::EventLoop,
}

impl Device {
    fn new(
        services: &Services,
        identity: Option<&Identity>,
        adjust: impl FnOnce(&mut v5::MqttOptions),
    ) -> Self {
        let port = services.mqtt().control().address().unwrap().port();
        let mut options = v5::MqttOptions::new("sensor-1", MQTT_NAME, port);
        let tls = client_tls(services, &[&TLS13, &TLS12], identity);
        options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(tls)));
        options.set_credentials("user", "secret");
        adjust(&mut options);
        let (client, events) = v5::AsyncClient::new(options, 10);
        Self { client, events }
    }

    /// Goes on until that packet comes, or the connection fails.
    async fn until<T>(
        &mut self,
        wanted: impl Fn(v5::Incoming) -> Option<T>,
    ) -> Result<T, v5::ConnectionError> {
        let search = async {
            loop {
                if let v5::Event::Incoming(packet) = self.events.poll().await?
                    && let Some(found) = wanted(packet)
                {
                    return Ok(found);
                }
            }
        };
        timeout(LIMIT, search).await.expect("no packet came")
    }

    async fn connect(&mut self) -> Result<(), v5::ConnectionError> {
        let is_ack = |packet| matches!(packet, v5::Incoming::ConnAck(_)).then_some(());
        self.until(is_ack).await
    }
}

fn mqtt(sender: Sender, wanted: impl Fn(&MqttPacket) -> bool) -> impl Fn(&Record) -> bool {
    move |record| {
        matches!(&record.observation, Observation::Mqtt(PacketSeen { sender: from, packet })
            if *from == sender && wanted(packet))
    }
}

#[tokio::test]
async fn a_device_is_seen_with_its_certificate_its_words_and_its_will() {
    let services = start().await;
    let identity = services.ca().device("PB-RS1-0001", &[]).unwrap();
    let mut device = Device::new(&services, Some(&identity), |options| {
        let will = v5::mqttbytes::v5::LastWill::new(
            "sensor-1/gone",
            "bye",
            v5::mqttbytes::QoS::AtLeastOnce,
            true,
            None,
        );
        options.set_last_will(will);
    });
    device.connect().await.unwrap();
    let session = seen(&services, |record| {
        matches!(record.observation, Observation::Tls(_))
    })
    .await;
    let Observation::Tls(session) = session.observation else {
        unreachable!()
    };
    assert_eq!(session.version, "TLS 1.3");
    assert_eq!(session.sni.as_deref(), Some(MQTT_NAME));
    let certificate = session.client.unwrap();
    assert_eq!(certificate.subject, "CN=PB-RS1-0001");
    assert_eq!(certificate.trouble, None);
    let connect = |packet: &MqttPacket| {
        matches!(packet, MqttPacket::Connect { version: 5, client_id, user_name, password, will, .. }
            if client_id == "sensor-1"
                && user_name.as_deref() == Some("user")
                && password.as_deref() == Some("secret")
                && will.as_ref().is_some_and(|will| will.topic == "sensor-1/gone" && will.retain))
    };
    let record = seen(&services, mqtt(Sender::Dut, connect)).await;
    assert_eq!(record.service, "mqtt");
    assert!(record.connection.is_some());

    // What the device says reaches the bench's client.
    let bench = services.mqtt().client("bench").await.unwrap();
    bench.subscribe("sensor-1/#").await.unwrap();
    for (qos, level) in [
        (0, v5::mqttbytes::QoS::AtMostOnce),
        (1, v5::mqttbytes::QoS::AtLeastOnce),
        (2, v5::mqttbytes::QoS::ExactlyOnce),
    ] {
        let topic = format!("sensor-1/{qos}");
        let sent = device.client.publish(&topic, level, false, "21.5");
        sent.await.unwrap();
        let received = bench.next_message(LIMIT, |message| message.topic == topic);
        let (received, ()) = tokio::join!(received, async {
            // The device has to be driven for its message to get away.
            let done = mqtt(Sender::Dut, |packet| {
                matches!(packet, MqttPacket::Publish { topic: seen, qos: q, payload, .. }
                    if *seen == topic && *q == qos && payload.data == b"21.5")
            });
            tokio::select! {
                _ = seen(&services, done) => {}
                _ = device.until(|_| None::<()>) => {}
            }
            if qos == 2 {
                let is_done = |packet| matches!(packet, v5::Incoming::PubComp(_)).then_some(());
                device.until(is_done).await.unwrap();
            }
        });
        assert_eq!(received.unwrap().payload.data, b"21.5");
    }

    // What the bench says reaches the device, also later when it is retained.
    bench
        .publish("command/interval", b"60", 1, true)
        .await
        .unwrap();
    let subscribed = device
        .client
        .subscribe("command/#", v5::mqttbytes::QoS::ExactlyOnce);
    subscribed.await.unwrap();
    let command = device
        .until(|packet| match packet {
            v5::Incoming::Publish(publish) => Some(publish),
            _ => None,
        })
        .await
        .unwrap();
    assert_eq!((&command.payload[..], command.retain), (&b"60"[..], true));
    seen(
        &services,
        mqtt(Sender::Dut, |packet| {
            matches!(packet, MqttPacket::Subscribe { filters } if filters[..] == [("command/#".into(), 2)])
        }),
    )
    .await;
    seen(
        &services,
        mqtt(Sender::Broker, |packet| {
            matches!(packet, MqttPacket::Publish { topic, .. } if topic == "command/interval")
        }),
    )
    .await;

    // Cut off, its will is told.
    services.mqtt().control().stop().await.unwrap();
    let will = bench.next_message(LIMIT, |message| message.topic == "sensor-1/gone");
    assert_eq!(will.await.unwrap().payload.data, b"bye");
}

#[tokio::test]
async fn mqtt_3_1_1_without_tls_is_spoken_once_it_is_opened() {
    let services = start().await;
    let plain = services.mqtt().plain().unwrap();
    plain.start().await.unwrap();
    let port = plain.address().unwrap().port();
    let options = rumqttc::MqttOptions::new("old", "127.0.0.1", port);
    let (client, mut events) = rumqttc::AsyncClient::new(options, 10);
    let sent = client.publish("old/topic", rumqttc::QoS::AtLeastOnce, true, "x");
    sent.await.unwrap();
    let acknowledged = async {
        while !matches!(
            events.poll().await.unwrap(),
            rumqttc::Event::Incoming(rumqttc::Incoming::PubAck(_))
        ) {}
    };
    timeout(LIMIT, acknowledged).await.unwrap();
    let record = seen(
        &services,
        mqtt(Sender::Dut, |packet| {
            matches!(packet, MqttPacket::Publish { topic, retain: true, qos: 1, .. } if topic == "old/topic")
        }),
    )
    .await;
    assert_eq!(record.service, "mqtt-plain");
    seen(
        &services,
        mqtt(Sender::Dut, |packet| {
            matches!(packet, MqttPacket::Connect { version: 4, .. })
        }),
    )
    .await;
}

#[rstest]
#[case::refused(MqttAnswer::Refuse { v3: 5, v5: 0x87 })]
#[case::garbage(MqttAnswer::Garbage)]
#[case::dropped(MqttAnswer::Drop)]
#[tokio::test]
async fn connecting_fails_as_told(#[case] answer: MqttAnswer) {
    let services = start().await;
    services.mqtt().answer(answer);
    let error = Device::new(&services, None, |_| {})
        .connect()
        .await
        .unwrap_err();
    let is_refusal = matches!(
        error,
        v5::ConnectionError::ConnectionRefused(v5::mqttbytes::v5::ConnectReturnCode::NotAuthorized)
    );
    assert_eq!(
        is_refusal,
        matches!(answer, MqttAnswer::Refuse { .. }),
        "{error:?}"
    );
    services.mqtt().answer(MqttAnswer::Normal);
    Device::new(&services, None, |_| {})
        .connect()
        .await
        .unwrap();
}

#[tokio::test]
async fn a_client_certificate_can_be_required() {
    let services = start().await;
    let mqtt = services.mqtt();
    mqtt.tls()
        .unwrap()
        .ask_client(ClientAuth::Required)
        .unwrap();
    Device::new(&services, None, |_| {})
        .connect()
        .await
        .unwrap_err();
    let foreign = provebench_network::services::TestCa::new().unwrap();
    let stranger = foreign.device("stranger", &[]).unwrap();
    Device::new(&services, Some(&stranger), |_| {})
        .connect()
        .await
        .unwrap_err();
    let own = services.ca().device("own", &[]).unwrap();
    Device::new(&services, Some(&own), |_| {})
        .connect()
        .await
        .unwrap();
    // Asked only, the stranger gets in, and is known as one.
    mqtt.tls()
        .unwrap()
        .ask_client(ClientAuth::Requested)
        .unwrap();
    let mark = services.mark();
    Device::new(&services, Some(&stranger), |_| {})
        .connect()
        .await
        .unwrap();
    let sessions = services.since(mark);
    let trouble = sessions
        .iter()
        .find_map(|record| match &record.observation {
            Observation::Tls(session) => session.client.as_ref()?.trouble.clone(),
            _ => None,
        });
    assert!(trouble.is_some(), "{sessions:#?}");
}

#[tokio::test]
async fn a_hanging_broker_keeps_the_session_and_goes_on() {
    let services = start().await;
    let mut device = Device::new(&services, None, |_| {});
    device.connect().await.unwrap();
    services.mqtt().control().hang().await.unwrap();
    let sent = device
        .client
        .publish("t", v5::mqttbytes::QoS::AtLeastOnce, false, "x");
    sent.await.unwrap();
    let is_ack = |packet| matches!(packet, v5::Incoming::PubAck(_)).then_some(());
    let silence: Result<_, _> = timeout(NOTHING, device.until(is_ack)).await;
    assert!(silence.is_err());
    services.mqtt().control().start().await.unwrap();
    device.until(is_ack).await.unwrap();
}

#[tokio::test]
async fn the_benchs_client_hears_no_more_than_it_asked_for() {
    let services = start().await;
    let bench = services.mqtt().client("bench").await.unwrap();
    bench.subscribe("a/+").await.unwrap();
    bench.publish("b/1", b"no", 0, false).await.unwrap();
    bench.publish("a/1", b"yes", 0, false).await.unwrap();
    let message = bench.next_message(LIMIT, |_| true).await.unwrap();
    assert_eq!(message.topic, "a/1");
    let nothing = bench.next_message(Duration::from_millis(1), |_| true).await;
    assert_eq!(nothing, None);
    bench.publish("a/1", b"", 3, false).await.unwrap_err();
}
