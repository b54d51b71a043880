//! Makes guessing the password impracticable.
//!
//! A wrong password counts before it is checked, in flash: switching the device off at the right
//! instant, or at any other, buys no further guess. The device has no clock that runs while it is
//! off, so after a start the whole wait begins anew.

use embedded_storage::nor_flash::NorFlash;
use image::{Journal, Record, journal::FIELDS};

use crate::Flaw;

/// Wrong passwords that nobody has to wait for.
pub const FREE_ATTEMPTS: u32 = 3;
/// Longest wait, in seconds.
pub const LONGEST_WAIT: u32 = 3600;

/// Seconds to wait after this many wrong passwords in a row.
pub const fn wait_after(wrong: u32) -> u32 {
    if wrong < FREE_ATTEMPTS {
        return 0;
    }
    let doublings = wrong - FREE_ATTEMPTS;
    // 2^12 s exceeds the longest wait.
    if doublings >= 12 {
        LONGEST_WAIT
    } else {
        1 << doublings
    }
}

/// What the device remembers for its own protection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SecurityState {
    /// Wrong passwords since the last right one.
    pub wrong: u32,
    /// Where user data stands.
    pub user_data: Phase,
}

/// Where user data stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Whatever is there is not this device's: to be erased before use.
    #[default]
    ToErase,
    /// In use.
    InUse,
}

impl Record for SecurityState {
    const MAGIC: [u8; 4] = *b"PBSS";

    fn to_fields(self) -> [u8; FIELDS] {
        let mut fields = [0; FIELDS];
        fields[..4].copy_from_slice(&self.wrong.to_le_bytes());
        fields[4] = self.user_data as u8;
        fields
    }

    fn from_fields(fields: &[u8; FIELDS]) -> Option<Self> {
        Some(Self {
            wrong: u32::from_le_bytes(core::array::from_fn(|i| fields[i])),
            user_data: match fields[4] {
                0 => Phase::ToErase,
                1 => Phase::InUse,
                _ => return None,
            },
        })
    }
}

/// Counts wrong passwords.
pub struct Lockout<F> {
    journal: Journal<F, SecurityState>,
    /// Milliseconds of uptime before which no password is looked at.
    open_at: u64,
}

/// The password was not looked at: too early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooEarly {
    /// Seconds until the next password is looked at, rounded up.
    pub wait: u32,
}

impl<F: NorFlash> Lockout<F> {
    /// Continues where the device left off; `now` is the uptime in milliseconds.
    pub fn new(mut journal: Journal<F, SecurityState>, now: u64) -> Result<Self, F::Error> {
        let wrong = journal.load()?.wrong;
        let mut lockout = Self {
            journal,
            open_at: 0,
        };
        lockout.wait(wrong, now);
        Ok(lockout)
    }

    /// Seconds until the next password is looked at; 0 for now.
    pub fn wait_left(&self, now: u64) -> u32 {
        self.open_at.saturating_sub(now).div_ceil(1000) as u32
    }

    /// Wrong passwords since the last right one.
    pub fn wrong(&mut self) -> Result<u32, F::Error> {
        Ok(self.journal.load()?.wrong)
    }

    /// Lets `check` look at a password, unless it is too early for that.
    pub fn attempt(
        &mut self,
        now: u64,
        check: impl FnOnce() -> bool,
    ) -> Result<Result<bool, TooEarly>, F::Error> {
        let wait = self.wait_left(now);
        if wait > 0 {
            return Ok(Err(TooEarly { wait }));
        }
        let state = self.journal.load()?;
        let wrong = state.wrong.saturating_add(1);
        if !Flaw::NoLockout.in_force() {
            self.journal.store(SecurityState { wrong, ..state })?;
        }
        let right = check();
        if right {
            self.journal.store(SecurityState { wrong: 0, ..state })?;
        } else {
            self.wait(wrong, now);
        }
        Ok(Ok(right))
    }

    fn wait(&mut self, wrong: u32, now: u64) {
        if !Flaw::NoLockout.in_force() {
            self.open_at = now + u64::from(wait_after(wrong)) * 1000;
        }
    }
}
