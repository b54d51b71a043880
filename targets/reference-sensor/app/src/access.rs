//! Who is let in, on the console and over the network: one password, and one count of wrong ones.

use embassy_time::Instant;
use sensor::{
    Personalisation,
    credential::may_be_chosen,
    lockout::TooEarly,
    personalisation::Verifier,
    user_data::{Setting, Unusable},
};

use crate::{device::Device, random};

/// Why a password is not taken. Times are seconds until the next one is looked at.
pub(crate) enum Denied {
    /// The factory has not been here yet.
    NoIdentity,
    /// The device has no owner.
    NotSetUp,
    /// It was not looked at.
    Locked(u32),
    /// It is not the password.
    Wrong(u32),
    /// It is not fit to be one.
    Unfit,
    /// User data cannot be read.
    Storage,
}

impl From<Unusable> for Denied {
    fn from(Unusable: Unusable) -> Self {
        Self::Storage
    }
}

impl Device {
    /// Whether this is the password; too many wrong ones, and none is looked at for a while.
    pub(crate) async fn try_password(&self, password: &[u8]) -> Result<(), Denied> {
        let identity = self.identity()?;
        let own = self.own_password().await?;
        let opens = || identity.opens_with(own.as_ref(), password);
        let Ok(attempt) = self.lockout.borrow_mut().attempt(now(), opens);
        match attempt {
            Ok(true) => Ok(()),
            Ok(false) => Err(Denied::Wrong(self.wait_left())),
            Err(TooEarly { wait }) => Err(Denied::Locked(wait)),
        }
    }

    /// The same without end.
    pub(crate) async fn try_password_unlimited(&self, password: &[u8]) -> Result<(), Denied> {
        let own = self.own_password().await?;
        if self.identity()?.opens_with(own.as_ref(), password) {
            Ok(())
        } else {
            Err(Denied::Wrong(0))
        }
    }

    /// Seconds until the next password is looked at.
    pub(crate) fn wait_left(&self) -> u32 {
        self.lockout.borrow().wait_left(now())
    }

    /// Whether a password can be changed here and now.
    pub(crate) async fn may_change_password(&self) -> Result<(), Denied> {
        self.identity()?;
        if self.initialized().await? {
            Ok(())
        } else {
            Err(Denied::NotSetUp)
        }
    }

    /// Takes a password of the user's choice instead of `old`, which was just tried. All sessions are over.
    pub(crate) async fn choose_password(&self, old: &[u8], new: &[u8]) -> Result<(), Denied> {
        let identity = self.identity()?;
        if !may_be_chosen(new) || new == old || identity.opens(new) {
            return Err(Denied::Unfit);
        }
        let mut salt = [0; 16];
        random::fill(&mut salt);
        let own = Verifier::of(new, salt, identity.verifier.iterations);
        let mut data = self.data.lock().await;
        data.set(Setting::Password, &own.to_text()).await?;
        self.session.set(false);
        self.sessions.borrow_mut().close_all();
        Ok(())
    }

    /// Whether somebody is logged in, on the console or over the network.
    pub(crate) fn is_in_use(&self) -> bool {
        self.session.get() || self.sessions.borrow_mut().any(now())
    }

    fn identity(&self) -> Result<&Personalisation, Denied> {
        self.identity.as_ref().ok_or(Denied::NoIdentity)
    }
}

/// Uptime in milliseconds.
pub(crate) fn now() -> u64 {
    Instant::now().as_millis()
}
