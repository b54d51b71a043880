//! What the device keeps for its user, and how it is erased.

use embedded_storage::nor_flash::NorFlash as BlockingNorFlash;
use embedded_storage_async::nor_flash::MultiwriteNorFlash;
use heapless::{String, Vec};
use image::Journal;
use sequential_storage::{
    Error,
    cache::{Cache, Uncached},
    map::{MapConfig, MapStorage},
    queue::{QueueConfig, QueueStorage},
};

use crate::{
    Flaw,
    lockout::{Phase, SecurityState},
    memory::{HISTORY, SETTINGS, TELEMETRY},
};

/// Longest text, in bytes.
pub const MAX_TEXT: usize = 96;
/// A text of the user.
pub type Text = String<MAX_TEXT>;
/// Room for one item, its key and the padding of the storage.
const BUFFER: usize = 128;

/// A setting; its number is its key in flash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Setting {
    /// Name of the owner; the device is initialised once it has one.
    Owner = 1,
    /// Name of the room.
    Room = 2,
    /// When what is to happen: `HH:MM text`.
    Schedule = 3,
    /// Whether telemetry may be sent: `on` or `off`. Off until the user says otherwise.
    Consent = 4,
    /// Whether updates are installed by the device itself: `automatic` or `manual`. Automatic until the user says
    /// otherwise.
    Updates = 5,
    /// The user's own password, as [`Verifier::to_text`](crate::personalisation::Verifier::to_text) writes it.
    Password = 6,
}

impl Setting {
    /// All settings that are shown, and set as they are.
    pub const ALL: [Self; 5] = [
        Self::Owner,
        Self::Room,
        Self::Schedule,
        Self::Consent,
        Self::Updates,
    ];

    /// Name on the console.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Room => "room",
            Self::Schedule => "schedule",
            Self::Consent => "consent",
            Self::Updates => "updates",
            Self::Password => "password",
        }
    }

    /// The setting with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|setting| setting.name() == name)
    }

    /// Whether this text can be its value.
    pub fn admits(self, text: &str) -> bool {
        is_text(text)
            && match self {
                Self::Owner | Self::Room | Self::Password => true,
                Self::Schedule => begins_with_time(text),
                Self::Consent => matches!(text, "on" | "off"),
                Self::Updates => matches!(text, "automatic" | "manual"),
            }
    }
}

/// Whether it can be kept: not empty, not too long, and without control characters, which could do anything to
/// whatever shows it.
pub fn is_text(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_TEXT && text.chars().all(|c| !c.is_control())
}

/// `HH:MM` and a space.
fn begins_with_time(text: &str) -> bool {
    let Some((time, _)) = text.split_once(' ') else {
        return false;
    };
    let Some((hour, minute)) = time.split_once(':') else {
        return false;
    };
    let number = |digits: &str, limit: u8| {
        digits.len() == 2
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && digits.parse::<u8>().is_ok_and(|number| number < limit)
    };
    number(hour, 24) && number(minute, 60)
}

/// One entry of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Seconds since the start in which it was made.
    pub uptime: u32,
    /// What happened.
    pub event: Event,
}

/// What is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A measurement.
    Measured {
        /// Hundredths of a degree Celsius.
        centicelsius: i16,
        /// Relative humidity, percent.
        humidity: u8,
    },
    /// A note of the user.
    Note(Text),
}

impl Entry {
    fn to_bytes(&self) -> Vec<u8, { MAX_TEXT + 8 }> {
        let mut bytes = Vec::new();
        // The capacity covers the longest entry: nothing is cut off.
        let _ = bytes.extend_from_slice(&self.uptime.to_le_bytes());
        match &self.event {
            Event::Measured {
                centicelsius,
                humidity,
            } => {
                let [low, high] = centicelsius.to_le_bytes();
                let _ = bytes.extend_from_slice(&[0, low, high, *humidity]);
            }
            Event::Note(text) => {
                let _ = bytes.push(1);
                let _ = bytes.extend_from_slice(text.as_bytes());
            }
        }
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (uptime, event) = bytes.split_first_chunk::<4>()?;
        let event = match event {
            [0, low, high, humidity] => Event::Measured {
                centicelsius: i16::from_le_bytes([*low, *high]),
                humidity: *humidity,
            },
            [1, text @ ..] => Event::Note(core::str::from_utf8(text).ok()?.try_into().ok()?),
            _ => return None,
        };
        Some(Self {
            uptime: u32::from_le_bytes(*uptime),
            event,
        })
    }
}

type Uncaching<K> = Cache<Uncached, Uncached, Uncached, K>;

/// User data in flash.
pub struct UserData<F: MultiwriteNorFlash> {
    settings: MapStorage<u8, F, Uncaching<u8>>,
    history: QueueStorage<F, Uncaching<()>>,
    telemetry: QueueStorage<F, Uncaching<()>>,
    flash: F,
}

/// The flash holds something else, or failed.
#[derive(Debug)]
pub struct Unusable;

impl<E> From<Error<E>> for Unusable {
    fn from(_: Error<E>) -> Self {
        Self
    }
}

impl<F> UserData<F>
where
    F: MultiwriteNorFlash + BlockingNorFlash + Clone,
{
    /// Opens what is in `flash`; finishes an erasure that was cut short.
    pub fn open(flash: F, state: &mut Journal<F, SecurityState>) -> Result<Self, Unusable> {
        let mut data = Self {
            settings: MapStorage::new(
                flash.clone(),
                MapConfig::new(SETTINGS),
                Cache::new_uncached(),
            ),
            history: QueueStorage::new(
                flash.clone(),
                QueueConfig::new(HISTORY),
                Cache::new_uncached(),
            ),
            telemetry: QueueStorage::new(
                flash.clone(),
                QueueConfig::new(TELEMETRY),
                Cache::new_uncached(),
            ),
            flash,
        };
        if state.load().map_err(|_| Unusable)?.user_data == Phase::ToErase {
            data.finish_erasure(state)?;
        }
        Ok(data)
    }

    /// Value of a setting.
    pub async fn get(&mut self, setting: Setting) -> Result<Option<Text>, Unusable> {
        let mut buffer = [0; BUFFER];
        let value: Option<&[u8]> = self
            .settings
            .fetch_item(&mut buffer, &(setting as u8))
            .await?;
        let Some(value) = value else { return Ok(None) };
        let text = core::str::from_utf8(value).map_err(|_| Unusable)?;
        Text::try_from(text).map(Some).map_err(|_| Unusable)
    }

    /// Stores a setting: afterwards, and after a power cut at any instant, it has the old or the new
    /// value.
    pub async fn set(&mut self, setting: Setting, text: &str) -> Result<(), Unusable> {
        if Flaw::ForgetsSettingsOnPowerCut.in_force() {
            return self.rewrite_in_place(setting, text).await;
        }
        self.put(setting, text).await
    }

    async fn put(&mut self, setting: Setting, text: &str) -> Result<(), Unusable> {
        let mut buffer = [0; BUFFER];
        let value = text.as_bytes();
        Ok(self
            .settings
            .store_item(&mut buffer, &(setting as u8), &value)
            .await?)
    }

    async fn rewrite_in_place(&mut self, changed: Setting, text: &str) -> Result<(), Unusable> {
        let mut values = [const { None }; Setting::ALL.len()];
        for (value, setting) in values.iter_mut().zip(Setting::ALL) {
            *value = self.get(setting).await?;
        }
        self.settings.erase_all().await?;
        for (value, setting) in values.iter().zip(Setting::ALL) {
            let value = if setting == changed {
                Some(text)
            } else {
                value.as_deref()
            };
            if let Some(value) = value {
                self.put(setting, value).await?;
            }
        }
        Ok(())
    }

    /// Appends to the history; the oldest entries make room.
    pub async fn record(&mut self, entry: &Entry) -> Result<(), Unusable> {
        Ok(self.history.push(&entry.to_bytes(), true).await?)
    }

    /// Shows each entry of the history, oldest first.
    pub async fn history(&mut self, mut show: impl FnMut(Entry)) -> Result<(), Unusable> {
        let mut entries = self.history.iter().await?;
        let mut buffer = [0; BUFFER];
        while let Some(entry) = entries.next(&mut buffer).await? {
            if let Some(entry) = Entry::from_bytes(&entry) {
                show(entry);
            }
        }
        Ok(())
    }

    /// Whether the user agreed to telemetry.
    pub async fn consented(&mut self) -> Result<bool, Unusable> {
        let consent = self.get(Setting::Consent).await?;
        Ok(consent.is_some_and(|consent| consent == "on"))
    }

    /// Agrees to telemetry, or withdraws: then what waits to be sent is forgotten.
    pub async fn consent(&mut self, agreed: bool) -> Result<(), Unusable> {
        self.set(Setting::Consent, if agreed { "on" } else { "off" })
            .await?;
        if !agreed {
            self.telemetry.erase_all().await?;
        }
        Ok(())
    }

    /// Keeps a measurement for the broker; the oldest ones make room.
    pub async fn queue_telemetry(&mut self, entry: &Entry) -> Result<(), Unusable> {
        Ok(self.telemetry.push(&entry.to_bytes(), true).await?)
    }

    /// The measurement that waits for the broker longest.
    pub async fn oldest_telemetry(&mut self) -> Result<Option<Entry>, Unusable> {
        let mut buffer = [0; BUFFER];
        let oldest = self.telemetry.peek(&mut buffer).await?;
        Ok(oldest.and_then(|bytes| Entry::from_bytes(bytes)))
    }

    /// The broker has this measurement: forgets it, unless it had to make room meanwhile.
    pub async fn telemetry_delivered(&mut self, delivered: &Entry) -> Result<(), Unusable> {
        if self.oldest_telemetry().await?.as_ref() == Some(delivered) {
            let mut buffer = [0; BUFFER];
            self.telemetry.pop(&mut buffer).await?;
        }
        Ok(())
    }

    /// Removes all user data from flash and forgets wrong passwords. Once it has begun it is
    /// finished, at the next start if need be.
    pub async fn factory_reset(
        &mut self,
        state: &mut Journal<F, SecurityState>,
    ) -> Result<(), Unusable> {
        if Flaw::ResetKeepsUserData.in_force() {
            return Ok(());
        }
        if Flaw::ResetUnlinksOnly.in_force() {
            return self.unlink().await;
        }
        let bound = Flaw::ResetKeepsCloudBinding.in_force() && self.consented().await?;
        state
            .store(SecurityState::default())
            .map_err(|_| Unusable)?;
        self.finish_erasure(state)?;
        if bound {
            self.put(Setting::Consent, "on").await?;
        }
        Ok(())
    }

    fn finish_erasure(&mut self, state: &mut Journal<F, SecurityState>) -> Result<(), Unusable> {
        for range in [SETTINGS, HISTORY, TELEMETRY] {
            BlockingNorFlash::erase(&mut self.flash, range.start, range.end)
                .map_err(|_| Unusable)?;
        }
        let used = SecurityState {
            user_data: Phase::InUse,
            ..state.load().map_err(|_| Unusable)?
        };
        state.store(used).map_err(|_| Unusable)
    }

    async fn unlink(&mut self) -> Result<(), Unusable> {
        let mut buffer = [0; BUFFER];
        self.settings.remove_all_items(&mut buffer).await?;
        while self.history.pop(&mut buffer).await?.is_some() {}
        while self.telemetry.pop(&mut buffer).await?.is_some() {}
        Ok(())
    }
}
