//! Between the DUT and the broker: passes packets on whole and unchanged, and writes down what they say.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::BytesMut;
use futures_util::future::BoxFuture;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy, sink, split},
    net::{TcpStream, UnixStream},
    time::timeout,
};

use super::{
    broker::LazyBroker,
    packet::{PacketError, Reader, next_frame},
};
use crate::services::{
    handler::ConnectionHandler,
    observation::{Observation, PacketSeen, Sender},
    record::ServiceLog,
    tls::Tls,
};

/// How long a client may take to say CONNECT.
const CONNECT_LIMIT: Duration = Duration::from_secs(20);
/// How long a peer that does not read may hold up a packet.
const WRITE_LIMIT: Duration = Duration::from_mins(1);
/// Read at a time.
const CHUNK: usize = 16 * 1024;
/// An answer that is no MQTT packet: type 0 is reserved, and the length has too many bytes.
const GARBAGE: [u8; 8] = [0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];

/// How it answers a CONNECT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MqttAnswer {
    /// As the broker does: everyone is welcome.
    Normal,
    /// CONNACK with these codes: of MQTT 3.1.1 table 3.1 (1 to 5), of MQTT 5.0 table 3-1 (0x80 and above).
    Refuse {
        /// For 3.1.1.
        v3: u8,
        /// For 5.0.
        v5: u8,
    },
    /// Bytes that are no MQTT packet.
    Garbage,
    /// Closes the connection without a word.
    Drop,
}

/// One of the broker's doors: with TLS or without.
pub(super) struct Door {
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) broker: Arc<LazyBroker>,
    pub(super) answer: Arc<Mutex<MqttAnswer>>,
}

impl ConnectionHandler for Door {
    fn handle(self: Arc<Self>, stream: TcpStream, log: ServiceLog) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            match &self.tls {
                None => self.serve(stream, &log).await,
                Some(tls) => {
                    if let Some(stream) = tls.accept(stream, &log).await {
                        self.serve(stream, &log).await;
                    }
                }
            }
        })
    }
}

impl Door {
    async fn serve(&self, stream: impl AsyncRead + AsyncWrite + Unpin, log: &ServiceLog) {
        let (mut from_dut, mut to_dut) = split(stream);
        let mut buffer = BytesMut::new();
        let mut reader = Reader::default();
        let connect = timeout(CONNECT_LIMIT, whole_frame(&mut from_dut, &mut buffer)).await;
        let connect = match connect {
            Ok(Ok(Some(frame))) => frame,
            Ok(Ok(None)) => return,
            Ok(Err(error)) => {
                log.record(Observation::malformed(error.to_string(), &buffer));
                return;
            }
            Err(_) => {
                let reason = format!("no CONNECT within {CONNECT_LIMIT:?}");
                log.record(Observation::malformed(reason, &buffer));
                return;
            }
        };
        if !note(&mut reader, Sender::Dut, &connect, log) {
            return;
        }
        let answer = *self.answer.lock().unwrap_or_else(PoisonError::into_inner);
        let wrong = match answer {
            MqttAnswer::Normal => None,
            MqttAnswer::Refuse { v3, v5 } => Some(match reader.version() {
                5 => vec![0x20, 3, 0, v5, 0],
                _ => vec![0x20, 2, 0, v3],
            }),
            MqttAnswer::Garbage => Some(GARBAGE.to_vec()),
            MqttAnswer::Drop => Some(Vec::new()),
        };
        if let Some(wrong) = wrong {
            if matches!(answer, MqttAnswer::Refuse { .. }) {
                note(&mut reader, Sender::Broker, &wrong, log);
            }
            let said = async {
                to_dut.write_all(&wrong).await?;
                to_dut.shutdown().await?;
                // Until the DUT closes too: else what it still sends would make a reset overtake our answer.
                copy(&mut from_dut, &mut sink()).await
            };
            let _ = timeout(CONNECT_LIMIT, said).await;
            return;
        }
        let broker = match self.broker.get().await {
            Ok(broker) => UnixStream::connect(broker.socket()).await,
            Err(error) => Err(io::Error::other(error)),
        };
        let broker = match broker {
            Ok(broker) => broker,
            Err(error) => {
                let reason = format!("the broker can't be reached: {error}");
                log.record(Observation::BenchFault { reason });
                return;
            }
        };
        let (mut from_broker, mut to_broker) = split(broker);
        if to_broker.write_all(&connect).await.is_err() {
            return;
        }
        let reader = Mutex::new(reader);
        let mut answers = BytesMut::new();
        // When one side is gone, so is the other.
        tokio::select! {
            () = pass(Sender::Dut, &mut from_dut, &mut to_broker, &mut buffer, &reader, log) => {}
            () = pass(Sender::Broker, &mut from_broker, &mut to_dut, &mut answers, &reader, log) => {
                let _ = timeout(WRITE_LIMIT, to_dut.shutdown()).await;
            }
        }
    }
}

/// Passes packets on until one side is gone or says what is no MQTT.
async fn pass(
    sender: Sender,
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    buffer: &mut BytesMut,
    reader: &Mutex<Reader>,
    log: &ServiceLog,
) {
    loop {
        match whole_frame(from, buffer).await {
            Ok(Some(frame)) => {
                let is_sound = note(
                    &mut reader.lock().unwrap_or_else(PoisonError::into_inner),
                    sender,
                    &frame,
                    log,
                );
                if !is_sound {
                    return;
                }
                let sent = timeout(WRITE_LIMIT, async {
                    to.write_all(&frame).await?;
                    to.flush().await
                });
                if !matches!(sent.await, Ok(Ok(()))) {
                    return;
                }
            }
            Ok(None) => return,
            Err(error) => {
                log.record(Observation::malformed(error.to_string(), buffer));
                return;
            }
        }
    }
}

/// The next packet; none at the end.
async fn whole_frame(
    from: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
) -> Result<Option<BytesMut>, PacketError> {
    loop {
        if let Some(frame) = next_frame(buffer)? {
            return Ok(Some(frame));
        }
        buffer.reserve(CHUNK);
        match from.read_buf(buffer).await {
            Ok(0) | Err(_) => return Ok(None),
            Ok(_) => {}
        }
    }
}

/// Writes down what a packet says. False if it is not one.
fn note(reader: &mut Reader, sender: Sender, frame: &[u8], log: &ServiceLog) -> bool {
    match reader.read(sender, frame) {
        Ok(Some(packet)) => {
            log.record(Observation::Mqtt(PacketSeen { sender, packet }));
            true
        }
        Ok(None) => true,
        Err(error) => {
            log.record(Observation::malformed(error.to_string(), frame));
            false
        }
    }
}
