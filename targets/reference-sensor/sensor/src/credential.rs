//! The password on the label.

use pbkdf2::pbkdf2_hmac;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::{Flaw, Personalisation, personalisation::Verifier};

/// Longest password that is looked at.
pub const MAX_PASSWORD: usize = 64;

impl Verifier {
    /// Whether this is the password; takes the same time either way.
    pub fn accepts(&self, password: &[u8]) -> bool {
        let mut hash = [0; 32];
        pbkdf2_hmac::<Sha256>(password, &self.salt, self.iterations, &mut hash);
        hash.ct_eq(&self.hash).into()
    }
}

impl Personalisation {
    /// Whether this password opens the device.
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
