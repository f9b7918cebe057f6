//! Which servers a request over TLS believes.

use std::fmt;
use std::sync::{Arc, LazyLock};

use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

/// The certificate authorities of the Mozilla programme, and maybe others. Cheap to clone.
///
/// What connections are made with; none would be a build that knows no version of TLS.
#[derive(Clone)]
pub struct Trust(Option<Arc<ClientConfig>>);

static PUBLIC: LazyLock<Trust> = LazyLock::new(|| Trust::of(roots()));

impl Default for Trust {
    fn default() -> Self {
        PUBLIC.clone()
    }
}

impl Trust {
    /// The public authorities, and those whose certificates are in a PEM text.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn with(pem: &[u8]) -> Result<Self, String> {
        let mut roots = roots();
        let before = roots.len();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| format!("it is no PEM: {error:?}"))?;
            roots.add(certificate).map_err(|error| format!("a certificate in it is no authority: {error}"))?;
        }
        if roots.len() == before {
            return Err("it holds no certificate; it is PEM and begins with -----BEGIN CERTIFICATE-----".into());
        }
        Ok(Self::of(roots))
    }

    fn of(roots: RootCertStore) -> Self {
        let builder = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().ok();
        Self(builder.map(|builder| Arc::new(builder.with_root_certificates(roots).with_no_client_auth())))
    }

    /// What connections are made with.
    pub(super) fn config(&self) -> Option<Arc<ClientConfig>> {
        self.0.clone()
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust").finish_non_exhaustive()
    }
}

fn roots() -> RootCertStore {
    RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_no_authority_is_refused_with_what_is_wrong() {
        assert!(Trust::with(b"").unwrap_err().contains("holds no certificate"));
        let broken = b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
        assert!(Trust::with(broken).unwrap_err().contains("no PEM"));
        let empty = b"-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n";
        assert!(Trust::with(empty).unwrap_err().contains("no authority"));
    }
}
