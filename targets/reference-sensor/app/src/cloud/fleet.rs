//! The identity that all devices share with flaw `same-client-cert-on-all-devices`. In a release it is not even there.

use sensor::Flaw;
use tls::Identity;

static CERTIFICATE: &[u8] = include_bytes!("../../../keys/fleet.der");
static KEY: &[u8; 32] = include_bytes!("../../../keys/fleet.test-key");

/// What every device has in its firmware, with the flaw.
pub(super) fn identity() -> Option<Identity<'static>> {
    Flaw::SameClientCertOnAllDevices
        .in_force()
        .then_some(Identity {
            certificate: CERTIFICATE,
            key: KEY,
        })
}
