//! Drivers of the bench's own computer, as far as that goes without the equipment: sysfs is a folder of files, and there
//! is no GPIO chip.

use std::{fs, num::NonZeroU8, os::unix::fs::symlink, path::Path};

use rstest::rstest;
use tempfile::TempDir;

use crate::{
    inventory::{GpioConfig, UsbHubConfig},
    switch::{Switch as _, SwitchError, gpio::GpioLine, usb::UsbPort},
};

fn port(devices: &Path, hub: &str) -> UsbPort {
    let config = UsbHubConfig {
        hub: hub.into(),
        port: NonZeroU8::new(2).unwrap(),
    };
    UsbPort::below(devices, &config)
}

/// A port's folder in what stands for /sys/bus/usb/devices.
fn make(devices: &TempDir, place: &str) -> std::path::PathBuf {
    let folder = devices.path().join(place);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("disable"), "0\n").unwrap();
    folder
}

#[rstest]
#[case::hub("1-1.4", "1-1.4:1.0/1-1.4-port2")]
#[case::root("usb1", "1-0:1.0/usb1-port2")]
#[tokio::test]
async fn a_port_is_switched_and_read_back(#[case] hub: &str, #[case] place: &str) {
    let devices = TempDir::new().unwrap();
    let folder = make(&devices, place);
    let port = port(devices.path(), hub);
    assert!(port.is_on().await.unwrap());
    for (on, text) in [(false, "1"), (true, "0")] {
        port.set(on).await.unwrap();
        assert_eq!(port.is_on().await.unwrap(), on);
        let file = fs::read_to_string(folder.join("disable")).unwrap();
        assert!(file.starts_with(text), "{file}");
    }
}

#[tokio::test]
async fn both_halves_of_a_usb_3_port_are_switched() {
    let devices = TempDir::new().unwrap();
    let folder = make(&devices, "1-1:1.0/1-1-port2");
    let peer = make(&devices, "2-1:1.0/2-1-port2");
    symlink(&peer, folder.join("peer")).unwrap();
    let port = port(devices.path(), "1-1");
    port.set(false).await.unwrap();
    assert!(!port.is_on().await.unwrap());
    fs::write(peer.join("disable"), "0\n").unwrap();
    assert!(port.is_on().await.unwrap(), "the other half has power");
}

#[tokio::test]
async fn a_port_that_is_not_there_is_an_error_and_nothing_is_made() {
    let devices = TempDir::new().unwrap();
    let port = port(devices.path(), "1-1");
    let error = port.set(false).await.unwrap_err();
    assert!(
        matches!(error, SwitchError::Unreachable { .. }),
        "{error:?}"
    );
    assert!(
        error.to_string().contains("port 2 of USB hub 1-1"),
        "{error}"
    );
    assert_eq!(fs::read_dir(devices.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_state_that_is_none_is_shown() {
    let devices = TempDir::new().unwrap();
    let folder = make(&devices, "1-1:1.0/1-1-port2");
    fs::write(folder.join("disable"), "maybe\n").unwrap();
    let error = port(devices.path(), "1-1").is_on().await.unwrap_err();
    assert!(matches!(error, SwitchError::Answer { .. }), "{error:?}");
    assert!(error.to_string().contains("`maybe`"), "{error}");
}

#[rstest]
#[case::not_there("/dev/gpiochip999")]
#[case::no_chip("/dev/null")]
#[tokio::test]
async fn a_chip_that_is_none_is_named(#[case] chip: &str) {
    let line = GpioLine::new(&GpioConfig {
        chip: chip.into(),
        line: 17,
        active_low: false,
    });
    for error in [line.set(true).await, line.is_on().await.map(drop)] {
        let error = error.unwrap_err();
        assert!(
            matches!(error, SwitchError::Unreachable { .. }),
            "{error:?}"
        );
        let text = error.to_string();
        assert!(text.contains("line 17 of") && text.contains(chip), "{text}");
    }
}
