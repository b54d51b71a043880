//! What is remembered from start to start: which slot is in use, whether the other one is on
//! trial, and the oldest version that may still run.

use crate::{
    Version,
    journal::{FIELDS, Record},
};

/// One of the two places that hold an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Slot {
    /// The one that the factory fills.
    #[default]
    A,
    /// The one that the first update fills.
    B,
}

impl Slot {
    /// The slot that is not this one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// `A` or `B`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
        }
    }
}

/// How far an update has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trial {
    /// No update under way.
    #[default]
    None,
    /// An image waits in the slot to be started for the first time.
    Pending(Slot),
    /// It was started, and has not confirmed itself yet.
    Running(Slot),
}

/// What is remembered from start to start. The default is a device fresh from the factory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BootState {
    /// Slot of the confirmed image.
    pub active: Slot,
    /// Update under way.
    pub trial: Trial,
    /// Highest version that was ever confirmed: nothing older is started or accepted.
    pub floor: Version,
}

impl BootState {
    /// The state once the running image in `slot` has proven itself.
    #[must_use]
    pub fn confirmed(self, slot: Slot, version: Version) -> Self {
        Self {
            active: slot,
            trial: Trial::None,
            floor: self.floor.max(version),
        }
    }
}

impl Record for BootState {
    const MAGIC: [u8; 4] = *b"PBST";

    fn to_fields(self) -> [u8; FIELDS] {
        let mut fields = [0; FIELDS];
        let (trial, slot) = match self.trial {
            Trial::None => (0, Slot::A),
            Trial::Pending(slot) => (1, slot),
            Trial::Running(slot) => (2, slot),
        };
        fields[0] = self.active as u8;
        fields[1] = trial;
        fields[2] = slot as u8;
        fields[4..10].copy_from_slice(&self.floor.to_bytes());
        fields
    }

    fn from_fields(fields: &[u8; FIELDS]) -> Option<Self> {
        let slot = |byte: u8| match byte {
            0 => Some(Slot::A),
            1 => Some(Slot::B),
            _ => None,
        };
        let trial = match fields[1] {
            0 => Trial::None,
            1 => Trial::Pending(slot(fields[2])?),
            2 => Trial::Running(slot(fields[2])?),
            _ => return None,
        };
        Some(Self {
            active: slot(fields[0])?,
            trial,
            floor: Version::from_bytes(core::array::from_fn(|i| fields[4 + i])),
        })
    }
}
