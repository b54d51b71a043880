//! USB devices as the kernel shows them.

use std::{fs, path::Path};

/// As the kernel shows it, where `root` stands for `/`: the device of that number on bus 1.
pub fn plug_in_a_j_link(root: &Path, place: &str, device: u8, serial: &str) {
    let folder = root.join("sys/bus/usb/devices").join(place);
    fs::create_dir_all(&folder).unwrap();
    for (name, text) in [
        ("idVendor", "1366"),
        ("idProduct", "1015"),
        ("busnum", "1"),
        ("devnum", &device.to_string()),
        ("serial", serial),
        ("manufacturer", "SEGGER"),
    ] {
        fs::write(folder.join(name), format!("{text}\n")).unwrap();
    }
}
