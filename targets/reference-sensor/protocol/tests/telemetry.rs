//! Telemetry is what its schema says, and no more.

use image::Version;
use protocol::telemetry::{Escaped, Sender, message, topic};
use rstest::rstest;
use sensor::user_data::{Entry, Event};

fn sender() -> Sender<'static, Version> {
    Sender {
        model: "PB-RS1",
        version: Version::new(1, 2, 3),
        person: ["Alex", "Kitchen"],
    }
}

#[rstest]
#[case(2105, "21.05")]
#[case(-5, "-0.05")]
#[case(-1234, "-12.34")]
#[case(i16::MIN, "-327.68")]
fn a_measurement_is_all_that_is_told(#[case] centicelsius: i16, #[case] temperature: &str) {
    let entry = Entry {
        uptime: 77,
        event: Event::Measured {
            centicelsius,
            humidity: 45,
        },
    };
    let expected = format!(
        r#"{{"model":"PB-RS1","version":"1.2.3","uptime":77,"temperature":{temperature},"humidity":45}}"#
    );
    assert_eq!(message(&sender(), &entry).unwrap().as_str(), expected);
}

#[test]
fn notes_are_not_told() {
    let entry = Entry {
        uptime: 1,
        event: Event::Note("private".try_into().unwrap()),
    };
    assert!(message(&sender(), &entry).is_none());
}

#[test]
fn every_device_has_its_topic() {
    assert_eq!(
        topic("PB0001").unwrap().as_str(),
        "sensors/PB0001/telemetry"
    );
}

#[rstest]
#[case(r#"a"b"#, r#"a\"b"#)]
#[case("a\\b", r"a\\b")]
#[case("a\nb", r"a\u000ab")]
#[case("\u{e9}", "\u{e9}")]
fn texts_stay_inside_their_quotes(#[case] text: &str, #[case] escaped: &str) {
    assert_eq!(Escaped(text).to_string(), escaped);
}
