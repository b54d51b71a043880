//! Telemetry: MQTT v5 over TLS to the manufacturer's broker, as long as the user agrees.
//!
//! Measurements wait in flash until the broker has acknowledged them.

use core::num::NonZero;

use embassy_futures::select::{Either, Either3, select, select3};
use embassy_net::Stack;
use embassy_time::{Duration, Instant, Timer, with_timeout};
use protocol::{
    Backoff,
    telemetry::{self, MAX_TOPIC, Sender},
};
use rust_mqtt::{
    Bytes,
    buffer::AllocBuffer,
    client::{
        Client as Mqtt,
        event::Event,
        options::{ConnectOptions, DisconnectOptions, PublicationOptions, TopicReference},
    },
    config::KeepAlive,
    types::{MqttString, TopicName},
};
use sensor::{
    Flaw, MODEL,
    user_data::{Entry, Setting, Unusable},
};
use static_cell::ConstStaticCell;
use tls::Client;

use super::{Buffers, PATIENCE, connect, hang_up, link::Link};
use crate::{device::Device, network, random};

const NAME: &str = "mqtt.sensor.example";
const PORT: u16 = 8883;
const PLAIN_PORT: u16 = 1883;
/// Milliseconds to wait before calling again: at first, and in the long run.
const FIRST_WAIT_MS: u32 = 2_000;
const LONGEST_WAIT_MS: u32 = 300_000;
/// A time server needs that long to answer.
const LOOK_FOR_TIME: Duration = Duration::from_millis(100);
const PING_EVERY: Duration = Duration::from_secs(20);
/// The broker gives the device up after so many seconds of silence.
const KEEP_ALIVE_S: NonZero<u16> = NonZero::new(40).unwrap();
/// The broker has nothing longer to say.
const LONGEST_PACKET: NonZero<u32> = NonZero::new(2048).unwrap();

/// How things stand with the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Nobody calls it.
    Off,
    /// It cannot be reached, or is not to be trusted.
    Down,
    /// It takes telemetry.
    Connected,
}

impl State {
    /// One word for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Down => "down",
            Self::Connected => "connected",
        }
    }
}

/// Why a session ended.
enum End {
    /// The user withdrew.
    Withdrawn,
    /// The connection, or the broker, failed.
    Failed,
}

impl From<Unusable> for End {
    fn from(Unusable: Unusable) -> Self {
        Self::Failed
    }
}

#[embassy_executor::task]
pub(super) async fn run(device: &'static Device, stack: Stack<'static>, client: Client) -> ! {
    static BUFFERS: ConstStaticCell<Buffers> = ConstStaticCell::new(Buffers::NEW);
    let buffers = BUFFERS.take();
    let mut backoff = Backoff::new(FIRST_WAIT_MS, LONGEST_WAIT_MS);
    loop {
        device.broker.set(State::Off);
        while !device.may_tell().await.unwrap_or(false) {
            device.telemetry.wait().await;
        }
        device.broker.set(State::Down);
        stack.wait_config_up().await;
        while network::time_of_day().is_none() {
            Timer::after(LOOK_FOR_TIME).await;
        }
        let mut session = Session { device };
        let end = session.call(stack, buffers, &client).await;
        let was_connected = device.broker.replace(State::Down) == State::Connected;
        if was_connected {
            backoff.reset();
        }
        if matches!(end, End::Withdrawn) {
            backoff.reset();
            continue;
        }
        let wait = if Flaw::ReconnectStorm.in_force() {
            100
        } else {
            backoff.wait_ms(random::u32())
        };
        let mut pause = Timer::after(Duration::from_millis(wait.into()));
        // A measurement does not shorten the wait. Withdrawal does, and whoever agrees again then is not to wait for
        // what was lost before.
        while let Either::Second(()) = select(&mut pause, device.telemetry.wait()).await {
            if !device.may_tell().await.unwrap_or(false) {
                backoff.reset();
                break;
            }
        }
    }
}

struct Session {
    device: &'static Device,
}

type Connection<'c, N> = Mqtt<'c, 'c, N, AllocBuffer, 1, 4, 1, 1, 4, 0, 0>;

impl Session {
    /// One connection, from its beginning to its end.
    async fn call(&mut self, stack: Stack<'static>, buffers: &mut Buffers, tls: &Client) -> End {
        let end = self.call_encrypted(stack, buffers, tls).await;
        if Flaw::MqttPlaintextFallback.in_force()
            && self.device.broker.get() == State::Down
            && let Ok(mut socket) = connect(stack, buffers, NAME, PLAIN_PORT).await
        {
            let end = self.serve(Link::Plain(&mut socket)).await;
            hang_up(&mut socket).await;
            return end;
        }
        end
    }

    async fn call_encrypted(
        &mut self,
        stack: Stack<'static>,
        buffers: &mut Buffers,
        tls: &Client,
    ) -> End {
        let Ok(mut socket) = connect(stack, buffers, NAME, PORT).await else {
            return End::Failed;
        };
        let handshake = with_timeout(PATIENCE, tls.connect(NAME, &mut socket)).await;
        let end = match handshake {
            Ok(Ok(stream)) => self.serve(Link::Encrypted(stream)).await,
            _ => End::Failed,
        };
        hang_up(&mut socket).await;
        end
    }

    async fn serve(&mut self, link: Link<'_, '_>) -> End {
        match self.deliver(link).await {
            Ok(()) => End::Withdrawn,
            Err(end) => end,
        }
    }

    /// Delivers what there is, until the user withdraws.
    async fn deliver(&mut self, link: Link<'_, '_>) -> Result<(), End> {
        let serial = self.device.serial().ok_or(End::Failed)?;
        let topic = telemetry::topic(serial).ok_or(End::Failed)?;
        let mut buffer = AllocBuffer;
        let mut mqtt: Connection<'_, Link<'_, '_>> = Mqtt::new(&mut buffer);
        let options = ConnectOptions::new()
            .clean_start()
            .keep_alive(KeepAlive::Seconds(KEEP_ALIVE_S))
            .maximum_packet_size(LONGEST_PACKET);
        let name = MqttString::try_from(serial).map_err(|_| End::Failed)?;
        match with_timeout(PATIENCE, mqtt.connect(link, &options, Some(name))).await {
            Ok(Ok(_)) => self.device.broker.set(State::Connected),
            _ => return Err(End::Failed),
        }
        let mut ping_at = Instant::now() + PING_EVERY;
        let mut answered = true;
        loop {
            if !self.device.may_tell().await? {
                let _ = with_timeout(PATIENCE, mqtt.disconnect(&DisconnectOptions::new())).await;
                return Ok(());
            }
            let oldest = self.device.data.lock().await.oldest_telemetry().await?;
            if let Some(entry) = oldest {
                self.publish(&mut mqtt, &topic, &entry).await?;
                let mut data = self.device.data.lock().await;
                data.telemetry_delivered(&entry).await?;
                continue;
            }
            let turn = select3(
                mqtt.poll_header(),
                self.device.telemetry.wait(),
                Timer::at(ping_at),
            );
            match turn.await {
                Either3::First(header) => {
                    let header = header.map_err(|_| End::Failed)?;
                    let body = with_timeout(PATIENCE, mqtt.poll_body(header)).await;
                    body.map_err(|_| End::Failed)?.map_err(|_| End::Failed)?;
                    answered = true;
                }
                Either3::Second(()) => (),
                Either3::Third(()) if answered => {
                    let ping = with_timeout(PATIENCE, mqtt.ping()).await;
                    ping.map_err(|_| End::Failed)?.map_err(|_| End::Failed)?;
                    answered = false;
                    ping_at = Instant::now() + PING_EVERY;
                }
                Either3::Third(()) => return Err(End::Failed),
            }
        }
    }

    /// Publishes a measurement; returns when the broker has it.
    async fn publish(
        &mut self,
        mqtt: &mut Connection<'_, Link<'_, '_>>,
        topic: &heapless::String<MAX_TOPIC>,
        entry: &Entry,
    ) -> Result<(), End> {
        let [owner, room] = if Flaw::TelemetryExtraPersonalData.in_force() {
            let mut data = self.device.data.lock().await;
            [
                data.get(Setting::Owner).await?,
                data.get(Setting::Room).await?,
            ]
        } else {
            [None, None]
        };
        let sender = Sender {
            model: MODEL,
            version: self.device.version,
            person: [
                owner.as_deref().unwrap_or_default(),
                room.as_deref().unwrap_or_default(),
            ],
        };
        let Some(message) = telemetry::message(&sender, entry) else {
            return Ok(());
        };
        let topic = MqttString::try_from(topic.as_str()).map_err(|_| End::Failed)?;
        let topic = TopicName::new(topic).ok_or(End::Failed)?;
        let options = PublicationOptions::new(TopicReference::Name(topic)).at_least_once();
        with_timeout(PATIENCE, async {
            mqtt.publish(&options, Bytes::from(message.as_bytes()))
                .await
                .map_err(|_| End::Failed)?;
            loop {
                match mqtt.poll().await.map_err(|_| End::Failed)? {
                    Event::PublishAcknowledged(_) => return Ok(()),
                    Event::PublishRejected(_) => return Err(End::Failed),
                    _ => (),
                }
            }
        })
        .await
        .unwrap_or(Err(End::Failed))
    }
}
