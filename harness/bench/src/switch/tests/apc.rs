//! The driver of APC's PDUs against an agent that reads and writes BER by hand (RFC 1157, RFC 3416).

use std::{
    net::UdpSocket,
    num::{NonZeroU8, NonZeroU16},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use rstest::rstest;

use crate::{
    inventory::{ApcPduConfig, SnmpVersion},
    switch::{Switch as _, SwitchError, apc::ApcPdu},
};

const PATIENCE: Duration = Duration::from_mins(1);
const IMPATIENCE: Duration = Duration::from_millis(500);

const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const NULL: u8 = 0x05;
const OBJECT: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const GET: u8 = 0xA0;
const RESPONSE: u8 = 0xA2;
const SET: u8 = 0xA3;
const NO_SUCH_INSTANCE: u8 = 0x81;

/// 1.3.6.1.4.1.318.1.1.12.3, in which 318 takes two bytes.
const OUTLETS: [u8; 11] = [0x2B, 6, 1, 4, 1, 0x82, 0x3E, 1, 1, 12, 3];

/// A PDU with two outlets.
#[derive(Debug, Default)]
struct Pdu {
    on: [bool; 2],
    /// Questions that are answered before the relay has moved.
    lag: usize,
    /// Relays do not move.
    stuck: bool,
    /// Datagrams that get lost.
    lost: usize,
    read_only: bool,
    /// Answers this state.
    says: Option<u8>,
    versions: Vec<u8>,
}

/// What is at the front: tag, contents, and what follows. All is shorter than 128 bytes.
fn part(bytes: &[u8]) -> (u8, &[u8], &[u8]) {
    let length = usize::from(bytes[1]);
    assert!(length < 128);
    let (contents, rest) = bytes[2..].split_at(length);
    (bytes[0], contents, rest)
}

fn made(tag: u8, contents: &[u8]) -> Vec<u8> {
    assert!(contents.len() < 128);
    [&[tag, contents.len() as u8], contents].concat()
}

impl Pdu {
    fn answer(&mut self, request: &[u8]) -> Option<Vec<u8>> {
        if let Some(left) = self.lost.checked_sub(1) {
            self.lost = left;
            return None;
        }
        let (tag, message, rest) = part(request);
        assert!(tag == SEQUENCE && rest.is_empty());
        let (tag, version, message) = part(message);
        assert_eq!(tag, INTEGER);
        self.versions.push(version[0]);
        let (tag, community, message) = part(message);
        assert_eq!(tag, OCTETS);
        if community != b"lab" {
            return None;
        }
        let (kind, pdu, _) = part(message);
        let (_, id, pdu) = part(pdu);
        let (_, _status, pdu) = part(pdu);
        let (_, _index, pdu) = part(pdu);
        let (_, bindings, _) = part(pdu);
        let (_, binding, more) = part(bindings);
        assert!(more.is_empty(), "one variable at a time");
        let (tag, name, binding) = part(binding);
        assert_eq!(tag, OBJECT);
        let (tag, value, _) = part(binding);

        let (status, answer) = self.serve(kind, name, (tag, value), version[0]);
        let binding = [made(OBJECT, name), answer].concat();
        let pdu = [
            made(INTEGER, id),
            made(INTEGER, &[status]),
            made(INTEGER, &[u8::from(status != 0)]),
            made(SEQUENCE, &made(SEQUENCE, &binding)),
        ]
        .concat();
        let message = [
            made(INTEGER, version),
            made(OCTETS, community),
            made(RESPONSE, &pdu),
        ]
        .concat();
        Some(made(SEQUENCE, &message))
    }

    fn serve(&mut self, kind: u8, name: &[u8], value: (u8, &[u8]), version: u8) -> (u8, Vec<u8>) {
        let suffix = name.strip_prefix(&OUTLETS).expect("it asks for outlets");
        let [table, 1, 1, 4, outlet @ 1..=2] = *suffix else {
            // v1 has errors, v2c has exceptions.
            return match (version, kind) {
                (0, _) => (2, made(NULL, &[])),
                (_, SET) => (11, made(value.0, value.1)),
                _ => (0, made(NO_SUCH_INSTANCE, &[])),
            };
        };
        let on = &mut self.on[usize::from(outlet) - 1];
        match (kind, table) {
            (SET, 3) if self.read_only => {
                (if version == 0 { 2 } else { 6 }, made(value.0, value.1))
            }
            (SET, 3) => {
                assert_eq!(value.0, INTEGER);
                if !self.stuck {
                    *on = match value.1 {
                        [1] => true,
                        [2] => false,
                        other => panic!("{other:?}"),
                    };
                }
                (0, made(INTEGER, value.1))
            }
            (GET, 5) => {
                let state = match self.lag.checked_sub(1) {
                    Some(left) => {
                        self.lag = left;
                        !*on
                    }
                    None => *on,
                };
                let state = self.says.unwrap_or(if state { 1 } else { 2 });
                (0, made(INTEGER, &[state]))
            }
            other => panic!("{other:?}"),
        }
    }
}

fn serve(pdu: Pdu) -> (Arc<Mutex<Pdu>>, ApcPduConfig) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let config = ApcPduConfig {
        host: "127.0.0.1".into(),
        udp_port: NonZeroU16::new(socket.local_addr().unwrap().port()).unwrap(),
        outlet: NonZeroU8::new(2).unwrap(),
        community: Some("lab".into()),
        version: None,
        v3: None,
    };
    let pdu = Arc::new(Mutex::new(pdu));
    let shared = Arc::clone(&pdu);
    thread::spawn(move || {
        let mut buffer = [0; 1500];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            if let Some(answer) = shared.lock().unwrap().answer(&buffer[..length]) {
                socket.send_to(&answer, from).unwrap();
            }
        }
    });
    (pdu, config)
}

fn outlet(config: &ApcPduConfig) -> ApcPdu {
    ApcPdu::new(config).with_limit(PATIENCE)
}

#[rstest]
#[tokio::test]
async fn an_outlet_is_switched_and_read_back(
    #[values(SnmpVersion::V1, SnmpVersion::V2c)] version: SnmpVersion,
    #[values(0, 3)] lag: usize,
) {
    let (pdu, config) = serve(Pdu {
        lag,
        ..Pdu::default()
    });
    let outlet = outlet(&ApcPduConfig {
        version: Some(version),
        ..config
    });
    for on in [true, false] {
        outlet.set(on).await.unwrap();
        assert_eq!(outlet.is_on().await.unwrap(), on);
        assert_eq!(pdu.lock().unwrap().on, [false, on]);
    }
    let number = u8::from(version == SnmpVersion::V2c);
    let versions = pdu.lock().unwrap().versions.clone();
    assert!(versions.iter().all(|version| *version == number));
}

#[tokio::test]
async fn a_lost_datagram_is_sent_again() {
    let (pdu, config) = serve(Pdu {
        lost: 1,
        ..Pdu::default()
    });
    outlet(&config).set(true).await.unwrap();
    assert!(pdu.lock().unwrap().on[1]);
}

#[tokio::test]
async fn an_outlet_that_does_not_switch_is_an_error() {
    let (_, config) = serve(Pdu {
        stuck: true,
        ..Pdu::default()
    });
    // It is looked at until the time is up.
    let outlet = ApcPdu::new(&config).with_limit(IMPATIENCE * 4);
    let error = outlet.set(true).await.unwrap_err();
    super::stayed_off(&error);
}

#[rstest]
#[case::v1(SnmpVersion::V1, "noSuchName (2)")]
#[case::v2c(SnmpVersion::V2c, "noAccess (6)")]
#[tokio::test]
async fn a_community_that_may_not_write_is_told(#[case] version: SnmpVersion, #[case] said: &str) {
    let (_, config) = serve(Pdu {
        read_only: true,
        ..Pdu::default()
    });
    let config = ApcPduConfig {
        version: Some(version),
        ..config
    };
    let error = outlet(&config).set(true).await.unwrap_err();
    assert!(matches!(error, SwitchError::Refused { .. }), "{error:?}");
    assert!(error.to_string().contains(said), "{error}");
}

#[rstest]
#[case::no_such_outlet_v1(9, SnmpVersion::V1, None, "noSuchName")]
#[case::no_such_outlet_v2c(9, SnmpVersion::V2c, None, "INSTANCE")]
#[case::no_such_state(1, SnmpVersion::V1, Some(7), "7")]
#[tokio::test]
async fn nonsense_is_shown_as_what_it_is(
    #[case] number: u8,
    #[case] version: SnmpVersion,
    #[case] says: Option<u8>,
    #[case] shown: &str,
) {
    let (_, mut config) = serve(Pdu {
        says,
        ..Pdu::default()
    });
    config.outlet = NonZeroU8::new(number).unwrap();
    config.version = Some(version);
    let error = outlet(&config).is_on().await.unwrap_err();
    assert!(matches!(error, SwitchError::Answer { .. }), "{error:?}");
    assert!(error.to_string().contains(shown), "{error}");
}

#[tokio::test]
async fn a_wrong_community_and_no_pdu_are_errors_that_say_what_to_look_at() {
    let (_, config) = serve(Pdu::default());
    let wrong = ApcPduConfig {
        community: Some("geheim".into()),
        ..config
    };
    let silence = ApcPdu::new(&wrong).with_limit(IMPATIENCE);
    let silence = silence.set(true).await.unwrap_err();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    drop(socket);
    let nobody = ApcPduConfig {
        udp_port: NonZeroU16::new(port).unwrap(),
        ..wrong
    };
    let refusal = outlet(&nobody).set(true).await.unwrap_err();
    for error in [silence, refusal] {
        assert!(
            matches!(error, SwitchError::Unreachable { .. }),
            "{error:?}"
        );
        let shown = format!("{:?}", miette::Report::new(error));
        assert!(
            shown.contains("community") && !shown.contains("geheim"),
            "{shown}"
        );
    }
}
