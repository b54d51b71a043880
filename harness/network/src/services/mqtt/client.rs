//! The bench's own MQTT client: sees what the broker has, and sends to the DUT through it.

use std::{
    collections::VecDeque,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rumqttc::{
    Outgoing, Transport,
    v5::{
        AsyncClient, Event, EventLoop, Incoming, MqttOptions,
        mqttbytes::{QoS, v5::SubscribeReasonCode},
    },
};
use serde::Serialize;
use tokio::{
    runtime::Handle,
    sync::{Mutex as AsyncMutex, mpsc, watch},
    task::JoinHandle,
    time::timeout,
};

use super::broker::LARGEST_PACKET;
use crate::{
    host,
    services::{
        error::ServiceError,
        observation::{Excerpt, clip},
    },
};

/// The broker is a Unix socket away.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);
/// Messages that are kept until they are asked for.
const KEPT: usize = 1000;
/// Requests on their way to the broker.
const REQUESTS: usize = 16;

/// A message that the broker delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    /// Its topic.
    pub topic: String,
    /// 0 to 2.
    pub qos: u8,
    /// It was kept from before the subscription.
    pub retained: bool,
    /// What it says.
    pub payload: Excerpt,
}

/// A connection to the broker. Dropped, it ends.
pub struct MqttClient {
    client: AsyncClient,
    shared: Arc<Shared>,
    acknowledged: AsyncMutex<mpsc::Receiver<Result<(), String>>>,
    task: JoinHandle<()>,
}

struct Shared {
    messages: Mutex<VecDeque<Message>>,
    arrived: watch::Sender<()>,
    /// The next publish is done when it is sent: nobody acknowledges it.
    unacknowledged: AtomicBool,
}

impl MqttClient {
    pub(super) async fn connect(
        handle: &Handle,
        socket: &Path,
        name: &str,
    ) -> Result<Self, ServiceError> {
        let mut options = MqttOptions::new(name, socket.to_string_lossy(), 0);
        options.set_transport(Transport::Unix);
        options.set_clean_start(true);
        options.set_max_packet_size(u32::try_from(LARGEST_PACKET).ok());
        let (client, events) = AsyncClient::new(options, REQUESTS);
        let shared = Arc::new(Shared {
            messages: Mutex::default(),
            arrived: watch::Sender::new(()),
            unacknowledged: AtomicBool::new(false),
        });
        let (sender, acknowledged) = mpsc::channel(REQUESTS);
        let task = handle.spawn(shared.clone().run(events, sender));
        let client = Self {
            client,
            shared,
            acknowledged: AsyncMutex::new(acknowledged),
            task,
        };
        let mut acknowledged = client.acknowledged.lock().await;
        acknowledge("connect", &mut acknowledged).await?;
        drop(acknowledged);
        Ok(client)
    }

    /// Hears what the filter matches from now on; returns when the broker agreed.
    ///
    /// # Errors
    /// [`ServiceError::Client`].
    pub async fn subscribe(&self, filter: &str) -> Result<(), ServiceError> {
        let mut acknowledged = self.acknowledged.lock().await;
        let asked = self.client.subscribe(filter, QoS::ExactlyOnce).await;
        asked.map_err(|error| failed("subscribe", error.to_string()))?;
        acknowledge("subscribe", &mut acknowledged).await
    }

    /// Sends a message; returns when the broker has it. `qos` is 0 to 2.
    ///
    /// # Errors
    /// [`ServiceError::Client`].
    pub async fn publish(
        &self,
        topic: &str,
        payload: &[u8],
        qos: u8,
        retain: bool,
    ) -> Result<(), ServiceError> {
        let level = match qos {
            0 => QoS::AtMostOnce,
            1 => QoS::AtLeastOnce,
            2 => QoS::ExactlyOnce,
            _ => {
                return Err(failed(
                    "publish",
                    format!("quality of service {qos} is not 0, 1 or 2"),
                ));
            }
        };
        if payload.len() + topic.len() + 64 > LARGEST_PACKET {
            let reason = format!("a message is at most {LARGEST_PACKET} bytes long");
            return Err(failed("publish", reason));
        }
        let mut acknowledged = self.acknowledged.lock().await;
        self.shared
            .unacknowledged
            .store(qos == 0, Ordering::Relaxed);
        let asked = self.client.publish(topic, level, retain, payload.to_vec());
        asked
            .await
            .map_err(|error| failed("publish", error.to_string()))?;
        acknowledge("publish", &mut acknowledged).await
    }

    /// Takes the oldest message that is wanted, as soon as there is one; others are kept.
    pub async fn next_message(
        &self,
        limit: Duration,
        wanted: impl Fn(&Message) -> bool + Send,
    ) -> Option<Message> {
        let mut arrived = self.shared.arrived.subscribe();
        let search = async {
            loop {
                arrived.borrow_and_update();
                if let Some(message) = self.shared.take(&wanted) {
                    return Some(message);
                }
                arrived.changed().await.ok()?;
            }
        };
        host::within(limit, search).await.ok().flatten()
    }
}

impl Drop for MqttClient {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    async fn run(
        self: Arc<Self>,
        mut events: EventLoop,
        acknowledged: mpsc::Sender<Result<(), String>>,
    ) {
        loop {
            let answer = match events.poll().await {
                Ok(Event::Incoming(Incoming::Publish(publish))) => {
                    self.keep(Message {
                        topic: clip(String::from_utf8_lossy(&publish.topic)),
                        qos: publish.qos as u8,
                        retained: publish.retain,
                        payload: Excerpt::new(&publish.payload),
                    });
                    None
                }
                Ok(Event::Incoming(Incoming::SubAck(ack))) => {
                    let refused = ack
                        .return_codes
                        .iter()
                        .find(|code| !matches!(code, SubscribeReasonCode::Success(_)));
                    Some(refused.map_or(Ok(()), |code| Err(format!("{code:?}"))))
                }
                Ok(Event::Incoming(
                    Incoming::ConnAck(_) | Incoming::PubAck(_) | Incoming::PubComp(_),
                )) => Some(Ok(())),
                Ok(Event::Outgoing(Outgoing::Publish(_)))
                    if self.unacknowledged.swap(false, Ordering::Relaxed) =>
                {
                    Some(Ok(()))
                }
                Ok(_) => None,
                Err(error) => {
                    let _ = acknowledged.send(Err(error.to_string())).await;
                    return;
                }
            };
            if let Some(answer) = answer
                && acknowledged.send(answer).await.is_err()
            {
                return;
            }
        }
    }

    fn keep(&self, message: Message) {
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        if messages.len() == KEPT {
            messages.pop_front();
        }
        messages.push_back(message);
        drop(messages);
        self.arrived.send_replace(());
    }

    fn take(&self, wanted: &impl Fn(&Message) -> bool) -> Option<Message> {
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        let at = messages.iter().position(wanted)?;
        messages.remove(at)
    }
}

async fn acknowledge(
    what: &'static str,
    acknowledged: &mut mpsc::Receiver<Result<(), String>>,
) -> Result<(), ServiceError> {
    match timeout(ANSWER_LIMIT, acknowledged.recv()).await {
        Ok(Some(Ok(()))) => Ok(()),
        Ok(Some(Err(reason))) => Err(failed(what, reason)),
        Ok(None) => Err(failed(what, "the connection is over".into())),
        Err(_) => Err(failed(what, format!("no answer within {ANSWER_LIMIT:?}"))),
    }
}

fn failed(what: &'static str, reason: String) -> ServiceError {
    ServiceError::Client { what, reason }
}
