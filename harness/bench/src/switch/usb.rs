//! Ports of USB hubs that switch the power of each.
//!
//! The kernel does it (Linux 6.0 and later): `disable` of a port in sysfs takes its power where the hub can, and tells
//! what the hub says of it (Documentation/ABI/testing/sysfs-bus-usb). Control transfers past the kernel's hub driver, as
//! older tools make them, are undone by it. A port of a USB 3 hub is two, `peer` of each other, with one VBUS.

use std::path::{Path, PathBuf};

use tokio::{
    fs::{self, OpenOptions},
    io::AsyncWriteExt as _,
};

use super::{BoxFuture, Switch, SwitchError, obeyed, shorten};
use crate::inventory::UsbHubConfig;

/// One port.
#[derive(Debug)]
pub(super) struct UsbPort {
    hub: String,
    port: u8,
    /// The port's folder.
    folder: PathBuf,
}

impl UsbPort {
    pub(super) fn new(config: &UsbHubConfig) -> Self {
        Self::below(Path::new(UsbHubConfig::DEVICES), config)
    }

    /// With the hubs in another folder.
    pub(super) fn below(devices: &Path, config: &UsbHubConfig) -> Self {
        Self {
            folder: config.folder(devices),
            hub: config.hub.clone(),
            port: config.port.get(),
        }
    }

    async fn switch(&self, on: bool) -> Result<(), SwitchError> {
        for file in self.files().await {
            let written = async {
                let mut file = OpenOptions::new().write(true).open(&file).await?;
                file.write_all(if on { b"0" } else { b"1" }).await?;
                file.flush().await
            };
            written.await.map_err(|error| self.unreachable(error))?;
        }
        obeyed(|| self.name(), on, self.state().await?)
    }

    /// VBUS is there as long as one of the two has power.
    async fn state(&self) -> Result<bool, SwitchError> {
        let mut on = false;
        for file in self.files().await {
            let read = fs::read_to_string(&file).await;
            let text = read.map_err(|error| self.unreachable(error))?;
            on |= match text.trim() {
                "0" => true,
                "1" => false,
                other => {
                    return Err(SwitchError::Answer {
                        device: self.name(),
                        command: file.display().to_string(),
                        answer: format!("`{}`", shorten(other)),
                    });
                }
            };
        }
        Ok(on)
    }

    async fn files(&self) -> Vec<PathBuf> {
        let mut files = vec![self.folder.join("disable")];
        let peer = self.folder.join("peer/disable");
        if fs::try_exists(&peer).await.unwrap_or(false) {
            files.push(peer);
        }
        files
    }

    fn unreachable(&self, error: std::io::Error) -> SwitchError {
        SwitchError::Unreachable {
            device: self.name(),
            remedy: "is the hub plugged in there (`uhubctl`), is this Linux 6.0 or later, and may you write the port's \
                file `disable`? docs/bench.md has the udev rule",
            source: error.into(),
        }
    }

    fn name(&self) -> String {
        format!("port {} of USB hub {}", self.port, self.hub)
    }
}

impl Switch for UsbPort {
    fn set(&self, on: bool) -> BoxFuture<'_, Result<(), SwitchError>> {
        Box::pin(self.switch(on))
    }

    fn is_on(&self) -> BoxFuture<'_, Result<bool, SwitchError>> {
        Box::pin(self.state())
    }
}
