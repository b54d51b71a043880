//! Telemetry: what the device tells the manufacturer, if its user agreed. All of it is here.
//!
//! MQTT topic `sensors/SERIAL/telemetry`, one JSON object a message:
//!
//! | name | type | |
//! |---|---|---|
//! | `model` | string | model designation |
//! | `version` | string | version of the firmware |
//! | `uptime` | number | seconds from the device's start to the measurement |
//! | `temperature` | number | degrees Celsius |
//! | `humidity` | number | relative, percent |
//!
//! Nothing in it is about a person.

use core::fmt::{self, Write as _};

use heapless::String;
use sensor::{
    Flaw,
    user_data::{Entry, Event},
};

/// Longest topic.
pub const MAX_TOPIC: usize = 40;
/// Longest message.
pub const MAX_MESSAGE: usize = 384;

/// The topic of the device with this serial number.
pub fn topic(serial: &str) -> Option<String<MAX_TOPIC>> {
    let mut topic = String::new();
    write!(topic, "sensors/{serial}/telemetry").ok()?;
    Some(topic)
}

/// Who sends.
pub struct Sender<'a, V> {
    /// Model designation.
    pub model: &'a str,
    /// Version of the firmware.
    pub version: V,
    /// Owner and room, for the flaw that tells them.
    pub person: [&'a str; 2],
}

/// The message about a measurement; None for an entry that is none, or too long a message.
pub fn message<V: fmt::Display>(
    sender: &Sender<'_, V>,
    entry: &Entry,
) -> Option<String<MAX_MESSAGE>> {
    let Event::Measured {
        centicelsius,
        humidity,
    } = entry.event
    else {
        return None;
    };
    let mut json = String::new();
    write!(
        json,
        r#"{{"model":"{}","version":"{}","uptime":{},"temperature":{}{}.{:02},"humidity":{humidity}"#,
        sender.model,
        sender.version,
        entry.uptime,
        if centicelsius < 0 { "-" } else { "" },
        centicelsius.unsigned_abs() / 100,
        centicelsius.unsigned_abs() % 100,
    )
    .ok()?;
    if Flaw::TelemetryExtraPersonalData.in_force() {
        let [owner, room] = sender.person;
        write!(
            json,
            r#","owner":"{}","room":"{}""#,
            Escaped(owner),
            Escaped(room)
        )
        .ok()?;
    }
    json.push('}').ok()?;
    Some(json)
}

/// A text as the inside of a JSON string (RFC 8259, section 7).
pub struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                c if c < ' ' => write!(f, "\\u{:04x}", c as u32)?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}
