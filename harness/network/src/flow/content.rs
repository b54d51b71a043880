//! What a TCP stream carries in the clear, told by its beginning, whatever the port.

use super::{
    report::{HttpRequest, MqttSeen},
    tls::readable,
};

const METHODS: [&[u8]; 9] = [
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"PUT ",
    b"DELETE ",
    b"OPTIONS ",
    b"PATCH ",
    b"CONNECT ",
    b"TRACE ",
];
const MOST_HEADERS: usize = 64;
pub(super) const MOST_TOPICS: usize = 32;

/// Whether this is the beginning of an HTTP request; `None` while it is too short to tell.
pub(super) fn is_http(start: &[u8]) -> Option<bool> {
    if METHODS.iter().any(|method| start.starts_with(method)) {
        return Some(true);
    }
    let too_short = METHODS.iter().any(|method| method.starts_with(start));
    (!too_short).then_some(false)
}

/// The head of a request; `None` as long as it is not whole.
pub(super) fn http_request(start: &[u8]) -> Option<HttpRequest> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    // What came after an error is not known, but what came before is there.
    let whole = !matches!(request.parse(start), Ok(httparse::Status::Partial));
    let (method, path) = (request.method?, request.path?);
    if !whole {
        return None;
    }
    let header = |name: &str| {
        request
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case(name))
    };
    Some(HttpRequest {
        method: readable(method.as_bytes()),
        path: readable(path.as_bytes()),
        host: header("host").map(|host| readable(host.value)),
        credentials: header("authorization").or(header("cookie")).is_some(),
    })
}

/// Whether this is the beginning of an MQTT connection; `None` while it is too short to tell.
pub(super) fn is_mqtt(start: &[u8]) -> Option<bool> {
    const CONNECT: u8 = 0x10;
    match start {
        [] | [CONNECT] => None,
        [CONNECT, rest @ ..] => {
            let Some((_, body)) = remaining_length(rest) else {
                return (rest.len() >= 4).then_some(false);
            };
            let names: [&[u8]; 2] = [b"\0\x04MQTT", b"\0\x06MQIsdp"];
            if names.iter().any(|name| body.starts_with(name)) {
                return Some(true);
            }
            let too_short = names.iter().any(|name| name.starts_with(body));
            (!too_short).then_some(false)
        }
        _ => Some(false),
    }
}

/// Looks at a client's packets: CONNECT (MQTT 5.0, 3.1) and the topics of PUBLISH (3.3).
pub(super) fn mqtt(start: &[u8]) -> Option<MqttSeen> {
    let mut packets = start;
    let mut seen = None;
    while let Some((kind, body, after)) = mqtt_packet(packets) {
        packets = after;
        match (kind >> 4, &mut seen) {
            (1, None) => seen = mqtt_connect(body),
            (3, Some(MqttSeen { topics, .. })) => {
                if let Some((topic, _)) = prefixed(body) {
                    let topic = readable(topic);
                    if topics.len() < MOST_TOPICS && !topics.contains(&topic) {
                        topics.push(topic);
                    }
                }
            }
            _ => {}
        }
    }
    seen
}

fn mqtt_packet(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (kind, rest) = bytes.split_first()?;
    let (length, rest) = remaining_length(rest)?;
    let (body, after) = rest.split_at_checked(length)?;
    Some((*kind, body, after))
}

fn mqtt_connect(body: &[u8]) -> Option<MqttSeen> {
    let (_, rest) = prefixed(body)?;
    let [level, flags, _, _, rest @ ..] = rest else {
        return None;
    };
    let rest = match level {
        5 => {
            let (properties, rest) = remaining_length(rest)?;
            rest.get(properties..)?
        }
        _ => rest,
    };
    let (client_id, _) = prefixed(rest)?;
    Some(MqttSeen {
        // The bridges' bit is no part of it.
        level: level & 0x7F,
        client_id: readable(client_id),
        username: flags & 0x80 != 0,
        password: flags & 0x40 != 0,
        topics: Vec::new(),
    })
}

/// MQTT 5.0, 1.5.5: up to four bytes, seven bits each, the lowest first.
fn remaining_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0;
    for (index, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[index + 1..]));
        }
    }
    None
}

/// Two bytes of length, then so many.
fn prefixed(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(u16::from_be_bytes(*length).into())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const CONNECT_5: &[u8] = b"\x10\x13\0\x04MQTT\x05\xC2\0\x3c\x03\x21\0\x14\0\x03abc";
    const PUBLISH: &[u8] = b"\x30\x08\0\x03a/bxyz";

    #[test]
    fn reads_connect_and_topics() {
        let seen = mqtt(&[CONNECT_5, PUBLISH, PUBLISH].concat()).unwrap();
        assert_eq!((seen.level, seen.client_id.as_str()), (5, "abc"));
        assert!(seen.username && seen.password);
        assert_eq!(seen.topics, ["a/b"]);
    }

    #[rstest]
    #[case(CONNECT_5, Some(true))]
    #[case(&CONNECT_5[..5], None)]
    #[case(b"\x10\xff\xff\xff\xff\xff", Some(false))]
    #[case(b"SSH-2.0", Some(false))]
    fn tells_mqtt(#[case] start: &[u8], #[case] expected: Option<bool>) {
        assert_eq!(is_mqtt(start), expected);
    }

    #[rstest]
    #[case(b"GE", None)]
    #[case(b"GET / HTTP/1.1\r\n", Some(true))]
    #[case(b"\x16\x03\x01", Some(false))]
    fn tells_http(#[case] start: &[u8], #[case] expected: Option<bool>) {
        assert_eq!(is_http(start), expected);
    }

    #[test]
    fn reads_the_head_of_a_request_only_when_it_is_whole() {
        let head = b"GET /a?b HTTP/1.1\r\nHost: x.example\r\nAuthorization: Basic eA==\r\n\r\nbody";
        assert_eq!(http_request(&head[..40]), None);
        let request = http_request(head).unwrap();
        assert_eq!(
            request,
            HttpRequest {
                method: "GET".into(),
                path: "/a?b".into(),
                host: Some("x.example".into()),
                credentials: true
            }
        );
    }
}
