//! MQTT packets as they pass by: framing of our own, so that one byte stream serves both versions, and the codec of
//! rumqttc for what is written down.

use std::collections::BTreeMap;

use bytes::BytesMut;
use rumqttc::{mqttbytes::v4, v5::mqttbytes::v5};
use thiserror::Error;

use super::broker::LARGEST_PACKET;
use crate::services::observation::{Excerpt, MqttPacket, Sender, Will, clip};

/// Filters of one subscription, and topic aliases of one connection, that are remembered.
const MOST_NAMES: usize = 64;

/// What is no MQTT, or more than we take.
#[derive(Debug, Error)]
pub(super) enum PacketError {
    #[error("a packet of {0} bytes; at most {LARGEST_PACKET} are taken")]
    TooLarge(usize),
    #[error("malformed remaining length")]
    Length,
    #[error("packet type {0} where CONNECT must come first")]
    NotConnect(u8),
    #[error("protocol level {0}; only 4 (3.1.1) and 5 are spoken")]
    Version(u8),
    #[error("{0}")]
    Codec(String),
}

/// Takes the next whole packet off the buffer, if it is there.
pub(super) fn next_frame(buffer: &mut BytesMut) -> Result<Option<BytesMut>, PacketError> {
    let mut length = 0;
    // MQTT 5.0, 1.5.5: at most four bytes of seven bits, the lowest first.
    for position in 0..4 {
        let Some(byte) = buffer.get(1 + position) else {
            return Ok(None);
        };
        length |= usize::from(byte & 0x7f) << (7 * position);
        if byte & 0x80 == 0 {
            let whole = 2 + position + length;
            if whole > LARGEST_PACKET {
                return Err(PacketError::TooLarge(whole));
            }
            if buffer.len() < whole {
                buffer.reserve(whole - buffer.len());
                return Ok(None);
            }
            return Ok(Some(buffer.split_to(whole)));
        }
    }
    Err(PacketError::Length)
}

/// Reads the packets of one connection, in both directions.
#[derive(Debug, Default)]
pub(super) struct Reader {
    version: u8,
    /// What the DUT calls its topics by, and what the broker does.
    aliases: [BTreeMap<u16, String>; 2],
}

impl Reader {
    /// The protocol level that the DUT spoke in its CONNECT.
    pub(super) fn version(&self) -> u8 {
        self.version
    }

    /// What a whole packet says; none if it is not worth writing down.
    pub(super) fn read(
        &mut self,
        sender: Sender,
        frame: &[u8],
    ) -> Result<Option<MqttPacket>, PacketError> {
        let kind = frame.first().map_or(0, |byte| byte >> 4);
        if self.version == 0 {
            if kind != 1 {
                return Err(PacketError::NotConnect(kind));
            }
            self.version = protocol_level(frame).ok_or(PacketError::Length)?;
        }
        // CONNECT, PUBLISH, SUBSCRIBE, UNSUBSCRIBE are the codec's. It gives no number for CONNACK's code, and takes no
        // empty DISCONNECT.
        match kind {
            1 | 3 | 8 | 10 => {}
            2 => {
                let [flags, code] = *body(frame)
                    .and_then(<[u8]>::first_chunk)
                    .ok_or(PacketError::Length)?;
                let session_present = flags & 1 != 0;
                return Ok(Some(MqttPacket::ConnAck {
                    code,
                    session_present,
                }));
            }
            14 => return Ok(Some(MqttPacket::Disconnect)),
            _ => return Ok(None),
        }
        let mut bytes = BytesMut::from(frame);
        match self.version {
            4 => v4::Packet::read(&mut bytes, LARGEST_PACKET)
                .map(of_v4)
                .map_err(|error| PacketError::Codec(error.to_string())),
            5 => v5::Packet::read(&mut bytes, u32::try_from(LARGEST_PACKET).ok())
                .map(|packet| self.of_v5(sender, packet))
                .map_err(|error| PacketError::Codec(error.to_string())),
            other => Err(PacketError::Version(other)),
        }
    }

    fn of_v5(&mut self, sender: Sender, packet: v5::Packet) -> Option<MqttPacket> {
        Some(match packet {
            v5::Packet::Connect(connect, will, login) => MqttPacket::Connect {
                version: 5,
                client_id: clip(connect.client_id),
                clean: connect.clean_start,
                keep_alive: connect.keep_alive,
                user_name: login.as_ref().map(|login| clip(login.username.as_str())),
                password: login.map(|login| clip(login.password)),
                will: will.map(|will| Will {
                    topic: text(&will.topic),
                    qos: will.qos as u8,
                    retain: will.retain,
                    message: Excerpt::new(&will.message),
                }),
            },
            v5::Packet::Publish(publish) => {
                let alias = publish.properties.and_then(|all| all.topic_alias);
                MqttPacket::Publish {
                    topic: self.topic(sender, text(&publish.topic), alias),
                    qos: publish.qos as u8,
                    retain: publish.retain,
                    duplicate: publish.dup,
                    payload: Excerpt::new(&publish.payload),
                }
            }
            v5::Packet::Subscribe(subscribe) => MqttPacket::Subscribe {
                filters: subscribe
                    .filters
                    .into_iter()
                    .take(MOST_NAMES)
                    .map(|filter| (clip(filter.path), filter.qos as u8))
                    .collect(),
            },
            v5::Packet::Unsubscribe(unsubscribe) => MqttPacket::Unsubscribe {
                filters: names(unsubscribe.filters),
            },
            _ => return None,
        })
    }

    /// MQTT 5.0, 3.3.2.3.4: an empty topic stands for what the alias was before.
    fn topic(&mut self, sender: Sender, topic: String, alias: Option<u16>) -> String {
        let Some(alias) = alias else { return topic };
        let aliases = &mut self.aliases[usize::from(sender == Sender::Broker)];
        if topic.is_empty() {
            return aliases.get(&alias).cloned().unwrap_or_default();
        }
        if aliases.len() < MOST_NAMES || aliases.contains_key(&alias) {
            aliases.insert(alias, topic.clone());
        }
        topic
    }
}

fn of_v4(packet: v4::Packet) -> Option<MqttPacket> {
    Some(match packet {
        v4::Packet::Connect(connect) => {
            let (user_name, password) = match connect.login {
                Some(login) => (Some(clip(login.username)), Some(clip(login.password))),
                None => (None, None),
            };
            MqttPacket::Connect {
                version: 4,
                client_id: clip(connect.client_id),
                clean: connect.clean_session,
                keep_alive: connect.keep_alive,
                user_name,
                password,
                will: connect.last_will.map(|will| Will {
                    topic: clip(will.topic),
                    qos: will.qos as u8,
                    retain: will.retain,
                    message: Excerpt::new(&will.message),
                }),
            }
        }
        v4::Packet::Publish(publish) => MqttPacket::Publish {
            topic: clip(publish.topic),
            qos: publish.qos as u8,
            retain: publish.retain,
            duplicate: publish.dup,
            payload: Excerpt::new(&publish.payload),
        },
        v4::Packet::Subscribe(subscribe) => MqttPacket::Subscribe {
            filters: subscribe
                .filters
                .into_iter()
                .take(MOST_NAMES)
                .map(|filter| (clip(filter.path), filter.qos as u8))
                .collect(),
        },
        v4::Packet::Unsubscribe(unsubscribe) => MqttPacket::Unsubscribe {
            filters: names(unsubscribe.topics),
        },
        _ => return None,
    })
}

/// The byte after the protocol's name.
fn protocol_level(frame: &[u8]) -> Option<u8> {
    let body = body(frame)?;
    let length = usize::from(u16::from_be_bytes(*body.first_chunk()?));
    body.get(2 + length).copied()
}

/// What follows the packet's length.
fn body(frame: &[u8]) -> Option<&[u8]> {
    let length = frame.get(1..)?;
    let last = length.iter().position(|byte| byte & 0x80 == 0)?;
    length.get(last + 1..)
}

fn text(bytes: &[u8]) -> String {
    clip(String::from_utf8_lossy(bytes))
}

fn names(filters: Vec<String>) -> Vec<String> {
    filters.into_iter().take(MOST_NAMES).map(clip).collect()
}

#[cfg(test)]
mod tests {
    use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::nothing(&[], Ok(None))]
    #[case::half_a_header(&[0x10], Ok(None))]
    #[case::half_a_length(&[0x10, 0x80], Ok(None))]
    #[case::half_a_body(&[0x10, 2, 0], Ok(None))]
    #[case::whole(&[0xc0, 0, 0xc0], Ok(Some(2)))]
    #[case::padded_length(&[0x30, 0x80, 0x00, 0x30], Ok(Some(3)))]
    #[case::five_length_bytes(&[0x10, 0x80, 0x80, 0x80, 0x80, 1], Err(()))]
    #[case::too_large(&[0x30, 0xff, 0xff, 0xff, 0x7f], Err(()))]
    fn frames(#[case] bytes: &[u8], #[case] expected: Result<Option<usize>, ()>) {
        let mut buffer = BytesMut::from(bytes);
        let found = next_frame(&mut buffer).map_err(|_| ());
        assert_eq!(found.map(|frame| frame.map(|frame| frame.len())), expected);
    }

    #[test]
    fn random_packets_never_panic() {
        let mut random = StdRng::seed_from_u64(0x6d71_7474);
        for _ in 0..200_000 {
            let level = if random.random() { 4 } else { 5 };
            let mut reader = Reader {
                version: level,
                ..Reader::default()
            };
            let mut body: Vec<u8> = (0..random.random_range(0..40))
                .map(|_| random.random())
                .collect();
            // Small numbers are lengths and properties that make sense more often.
            for byte in &mut body {
                if random.random() {
                    *byte &= 0x0f;
                }
            }
            let mut frame = vec![random.random(), body.len() as u8];
            if random.random() {
                frame[0] = 0x10;
                body.splice(..0, [0, 4, b'M', b'Q', b'T', b'T', level]);
                frame[1] = body.len() as u8;
            }
            frame.extend(body);
            let _ = reader.read(Sender::Dut, &frame);
            let _ = Reader::default().read(Sender::Dut, &frame);
        }
    }

    #[test]
    fn topic_aliases_are_resolved_and_bounded() {
        let mut reader = Reader {
            version: 5,
            ..Reader::default()
        };
        for alias in 1..=1000 {
            reader.topic(Sender::Dut, format!("t/{alias}"), Some(alias));
        }
        assert_eq!(reader.aliases[0].len(), MOST_NAMES);
        assert_eq!(reader.topic(Sender::Dut, String::new(), Some(7)), "t/7");
        assert_eq!(reader.topic(Sender::Broker, String::new(), Some(7)), "");
    }
}
