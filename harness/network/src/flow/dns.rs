//! Names asked for, by DNS, mDNS and LLMNR, and the addresses given.

use std::{collections::HashMap, net::IpAddr};

use hickory_proto::{
    op::{Message, MessageType},
    rr::RData,
};

use super::report::DnsQuestion;
use crate::plan::Direction;

/// Ports: DNS, mDNS (RFC 6762), LLMNR (RFC 4795).
pub(super) const PORTS: [u16; 3] = [53, 5353, 5355];
const MOST_QUESTIONS: usize = 16 * 1024;
const MOST_NAMES: usize = 16 * 1024;
/// Questions of one message.
const MOST_IN_MESSAGE: usize = 64;
/// Of one name or address.
const MOST: usize = 64;
/// Of a message's header: how many answers and other records there are (RFC 1035 4.1.1).
const COUNTS: std::ops::Range<usize> = 6..12;

#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) questions: Vec<DnsQuestion>,
    /// Places of questions: by name, kind, who asked, port.
    places: HashMap<(String, String, Direction, u16), usize>,
    by_address: HashMap<IpAddr, Vec<String>>,
}

/// What was not understood or not kept of a message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Lost {
    /// It can't be read: what it asks is not known.
    pub(super) unread: bool,
    /// Questions and addresses for which there was no room.
    pub(super) unkept: u64,
}

impl Names {
    /// One message; `port` is the well-known one of its two.
    pub(super) fn message(&mut self, by: Direction, port: u16, bytes: &[u8]) -> Lost {
        let mut lost = Lost::default();
        let message = Message::from_vec(bytes).ok().or_else(|| {
            // Whatever is wrong with the rest: what is asked may be plain.
            let mut asked = bytes.to_vec();
            asked.get_mut(COUNTS)?.fill(0);
            Message::from_vec(&asked).ok()
        });
        let Some(message) = message else {
            lost.unread = true;
            return lost;
        };
        let response = message.metadata.message_type == MessageType::Response;
        let addresses: Vec<(String, IpAddr)> = message
            .answers
            .iter()
            .filter_map(|record| match record.data {
                RData::A(address) => Some((plain(&record.name), IpAddr::V4(address.0))),
                RData::AAAA(address) => Some((plain(&record.name), IpAddr::V6(address.0))),
                _ => None,
            })
            .collect();
        lost.unkept += message.queries.len().saturating_sub(MOST_IN_MESSAGE) as u64;
        for query in message.queries.iter().take(MOST_IN_MESSAGE) {
            let (name, kind) = (plain(query.name()), query.query_type().to_string());
            // Who answers was not the one who asked.
            let by = match (response, by) {
                (false, by) => by,
                (true, Direction::ToDut) => Direction::FromDut,
                (true, Direction::FromDut) => Direction::ToDut,
            };
            let Some(question) = self.question(name, kind, by, port) else {
                lost.unkept += 1;
                continue;
            };
            if !response {
                question.count += 1;
                continue;
            }
            question.answer = Some(message.metadata.response_code.to_string());
            for (_, address) in &addresses {
                if question.addresses.contains(address) {
                    continue;
                }
                if question.addresses.len() < MOST {
                    question.addresses.push(*address);
                } else {
                    lost.unkept += 1;
                }
            }
            // An alias: what was asked for is the name that matters.
            let name = question.name.clone();
            for (_, address) in &addresses {
                lost.unkept += u64::from(!self.remember(*address, &name));
            }
        }
        if message.queries.is_empty() {
            // mDNS answers do not repeat the question.
            for (name, address) in &addresses {
                lost.unkept += u64::from(!self.remember(*address, name));
            }
        }
        lost
    }

    /// Names that were given this address.
    pub(super) fn of(&self, address: IpAddr) -> Vec<String> {
        self.by_address.get(&address).cloned().unwrap_or_default()
    }

    fn question(
        &mut self,
        name: String,
        kind: String,
        by: Direction,
        port: u16,
    ) -> Option<&mut DnsQuestion> {
        let key = (name, kind, by, port);
        let place = match self.places.get(&key) {
            Some(place) => *place,
            None if self.questions.len() >= MOST_QUESTIONS => return None,
            None => {
                let (name, kind, ..) = key.clone();
                self.places.insert(key, self.questions.len());
                self.questions.push(DnsQuestion {
                    name,
                    kind,
                    by,
                    port,
                    count: 0,
                    answer: None,
                    addresses: Vec::new(),
                });
                self.questions.len() - 1
            }
        };
        self.questions.get_mut(place)
    }

    /// Whether there was room for it.
    fn remember(&mut self, address: IpAddr, name: &str) -> bool {
        if self.by_address.len() >= MOST_NAMES && !self.by_address.contains_key(&address) {
            return false;
        }
        let names = self.by_address.entry(address).or_default();
        if names.iter().any(|known| known == name) {
            return true;
        }
        if names.len() >= MOST {
            return false;
        }
        names.push(name.into());
        true
    }
}

/// The messages of one direction of a TCP connection: two bytes of length before each (RFC 1035 4.2.2).
#[derive(Debug, Default)]
pub(super) struct Messages(Vec<u8>);

impl Messages {
    /// Takes what comes next of the stream; tells each message that is whole now.
    pub(super) fn take(&mut self, new: &[u8], mut tell: impl FnMut(&[u8])) {
        self.0.extend_from_slice(new);
        let mut rest = &self.0[..];
        while let Some((length, after)) = rest.split_first_chunk::<2>()
            && let Some((message, after)) =
                after.split_at_checked(u16::from_be_bytes(*length).into())
        {
            tell(message);
            rest = after;
        }
        let read = self.0.len() - rest.len();
        self.0.drain(..read);
    }

    /// Bytes held.
    pub(super) fn held(&self) -> usize {
        self.0.capacity()
    }
}

fn plain(name: &hickory_proto::rr::Name) -> String {
    let text = name.to_ascii().to_ascii_lowercase();
    text.strip_suffix('.').unwrap_or(&text).to_owned()
}
