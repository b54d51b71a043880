//! Names asked for, by DNS, mDNS and LLMNR, and the addresses given.

use std::{collections::HashMap, net::IpAddr};

use hickory_proto::{op::Message, rr::RData};

use super::{Direction, DnsQuestion};

/// Ports: DNS, mDNS (RFC 6762), LLMNR (RFC 4795).
pub(super) const PORTS: [u16; 3] = [53, 5353, 5355];
const MOST_QUESTIONS: usize = 2048;
const MOST_NAMES: usize = 4096;
/// Of one message, and of one name or address.
const MOST: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) questions: Vec<DnsQuestion>,
    by_address: HashMap<IpAddr, Vec<String>>,
}

impl Names {
    /// One message; `port` is the well-known one of its two.
    pub(super) fn message(&mut self, by: Direction, port: u16, message: &[u8]) {
        let Ok(message) = Message::from_vec(message) else {
            return;
        };
        let response = message.metadata.message_type == hickory_proto::op::MessageType::Response;
        let addresses: Vec<(String, IpAddr)> = message
            .answers
            .iter()
            .filter_map(|record| match record.data {
                RData::A(address) => Some((plain(&record.name), IpAddr::V4(address.0))),
                RData::AAAA(address) => Some((plain(&record.name), IpAddr::V6(address.0))),
                _ => None,
            })
            .take(MOST)
            .collect();
        for query in message.queries.iter().take(MOST) {
            let (name, kind) = (plain(query.name()), query.query_type().to_string());
            // Who answers was not the one who asked.
            let by = match (response, by) {
                (false, by) => by,
                (true, Direction::ToDut) => Direction::FromDut,
                (true, Direction::FromDut) => Direction::ToDut,
            };
            let Some(question) = self.question(name, kind, by, port) else {
                continue;
            };
            if !response {
                question.count += 1;
                continue;
            }
            question.answer = Some(message.metadata.response_code.to_string());
            for (_, address) in &addresses {
                if question.addresses.len() < MOST && !question.addresses.contains(address) {
                    question.addresses.push(*address);
                }
            }
            // An alias: what was asked for is the name that matters.
            let name = question.name.clone();
            for (_, address) in &addresses {
                self.remember(*address, &name);
            }
        }
        if message.queries.is_empty() {
            // mDNS answers do not repeat the question.
            for (name, address) in &addresses {
                self.remember(*address, name);
            }
        }
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
        let known = self.questions.iter().position(|question| {
            (question.port, question.by) == (port, by)
                && question.name == name
                && question.kind == kind
        });
        let index = match known {
            Some(index) => index,
            None if self.questions.len() >= MOST_QUESTIONS => return None,
            None => {
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
        self.questions.get_mut(index)
    }

    fn remember(&mut self, address: IpAddr, name: &str) {
        if self.by_address.len() >= MOST_NAMES && !self.by_address.contains_key(&address) {
            return;
        }
        let names = self.by_address.entry(address).or_default();
        if names.len() < MOST && !names.iter().any(|known| known == name) {
            names.push(name.into());
        }
    }
}

fn plain(name: &hickory_proto::rr::Name) -> String {
    let text = name.to_ascii().to_ascii_lowercase();
    text.strip_suffix('.').unwrap_or(&text).to_owned()
}
