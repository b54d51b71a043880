//! TLS to equipment of the bench: ordinary TLS, other than what a DUT is offered and tested with.

use std::{error::Error, path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject as _},
};

use super::SwitchError;

/// Trusts the authorities in a PEM file, or those that this machine trusts.
pub(super) fn client(authorities: Option<&Path>) -> Result<Arc<ClientConfig>, SwitchError> {
    let fail = |reason: Box<dyn Error + Send + Sync>| SwitchError::Authorities {
        file: authorities.map(Path::to_owned),
        reason: reason.to_string(),
    };
    let certificates: Vec<CertificateDer<'_>> = match authorities {
        Some(path) => CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect)
            .map_err(|error| fail(error.into()))?,
        // What can't be read of them is not trusted.
        None => rustls_native_certs::load_native_certs().certs,
    };
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(certificates);
    if added == 0 {
        return Err(fail("there is no certificate".into()));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| fail(error.into()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
