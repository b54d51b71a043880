//! What the tasks share.

use board::{LED_ATTENTION, light, nor::Nor, println};
use embassy_sync::{blocking_mutex::raw::NoopRawMutex, mutex::Mutex};
use image::{BootState, Journal, SignedHeader, Slot, Version};
use sensor::{
    Personalisation,
    lockout::SecurityState,
    memory,
    user_data::{Setting, Unusable, UserData},
};

/// The device.
pub(crate) struct Device {
    /// Who it is; None until the factory has been here.
    pub(crate) identity: Option<Personalisation>,
    /// Version of the running image.
    pub(crate) version: Version,
    /// Slot of the running image.
    pub(crate) slot: Slot,
    /// User data.
    pub(crate) data: Mutex<NoopRawMutex, UserData<Nor>>,
}

impl Device {
    /// Looks up who and what is running. Finishes an erasure that was cut short.
    pub(crate) fn open(
        identity: Option<Personalisation>,
        header: &SignedHeader,
        slot: Slot,
    ) -> Result<Self, Unusable> {
        Ok(Self {
            identity,
            version: header.header().version,
            slot,
            data: Mutex::new(UserData::open(Nor, &mut security())?),
        })
    }

    /// Whether the device has an owner.
    pub(crate) async fn initialized(&self) -> Result<bool, Unusable> {
        Ok(self.data.lock().await.get(Setting::Owner).await?.is_some())
    }

    /// Erases all user data, and starts anew.
    pub(crate) async fn factory_reset(&self) -> Result<(), Unusable> {
        light(LED_ATTENTION);
        let mut data = self.data.lock().await;
        data.factory_reset(&mut security()).await?;
        println!("\napp: factory reset done, restarting");
        board::restart()
    }
}

/// What the device remembers for its own protection.
pub(crate) fn security() -> Journal<Nor, SecurityState> {
    Journal::new(Nor, memory::SECURITY_STATE)
}

/// What boot loader and application remember.
pub(crate) fn boot_state() -> Journal<Nor, BootState> {
    Journal::new(Nor, memory::BOOT_STATE)
}
