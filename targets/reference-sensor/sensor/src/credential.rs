//! The password on the label, and the one that the user may choose instead.

use core::fmt::Write as _;

use pbkdf2::pbkdf2_hmac;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::{Flaw, Personalisation, personalisation::Verifier, user_data::Text};

/// Longest password that is looked at.
pub const MAX_PASSWORD: usize = 64;
/// Shortest password that a user may choose.
pub const MIN_PASSWORD: usize = 12;

/// Whether a user may choose this: printable ASCII of 12 to 64 characters.
pub fn may_be_chosen(password: &[u8]) -> bool {
    (MIN_PASSWORD..=MAX_PASSWORD).contains(&password.len())
        && password.iter().all(|byte| (b' '..=b'~').contains(byte))
}

impl Verifier {
    /// Of a password.
    pub fn of(password: &[u8], salt: [u8; 16], iterations: u32) -> Self {
        let mut hash = [0; 32];
        pbkdf2_hmac::<Sha256>(password, &salt, iterations, &mut hash);
        Self {
            iterations,
            salt,
            hash,
        }
    }

    /// Salt and hash, in hexadecimal.
    pub fn to_text(&self) -> Text {
        let mut text = Text::new();
        for byte in self.salt.iter().chain(&self.hash) {
            // 48 bytes: there is room.
            let _ = write!(text, "{byte:02x}");
        }
        text
    }

    /// What [`to_text`](Self::to_text) wrote.
    pub fn from_text(text: &str, iterations: u32) -> Option<Self> {
        let mut bytes = [0; 48];
        if text.len() != 2 * bytes.len() || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
        }
        let (salt, hash) = bytes.split_at(16);
        Some(Self {
            iterations,
            salt: salt.try_into().ok()?,
            hash: hash.try_into().ok()?,
        })
    }

    /// Whether this is the password; takes the same time either way.
    pub fn accepts(&self, password: &[u8]) -> bool {
        let Self { hash, .. } = Self::of(password, self.salt, self.iterations);
        hash.ct_eq(&self.hash).into()
    }
}

impl Personalisation {
    /// Whether this password opens the device, which may have one of its user's choice.
    pub fn opens_with(&self, own: Option<&Verifier>, password: &[u8]) -> bool {
        match own {
            None => self.opens(password),
            Some(own) => {
                let old = Flaw::OldPasswordStillWorks.in_force() && self.opens(password);
                own.accepts(password) || old
            }
        }
    }

    /// Whether this is the password on its label.
    pub fn opens(&self, password: &[u8]) -> bool {
        if Flaw::HardCodedPassword.in_force() {
            return password == hard_coded();
        }
        self.verifier.accepts(password) || flawed(self, password)
    }
}

fn flawed(device: &Personalisation, password: &[u8]) -> bool {
    if Flaw::UniversalPassword.in_force() {
        return password == b"admin";
    }
    if Flaw::PasswordFromSerial.in_force() {
        let serial = device.serial.as_bytes();
        return password == &serial[serial.len().saturating_sub(6)..];
    }
    false
}

/// Kept from the optimiser, which would take the text apart.
fn hard_coded() -> &'static [u8] {
    core::hint::black_box(b"Rw5t-Hx8d-Cq2z")
}
