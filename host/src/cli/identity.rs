//! Who the commands are to a server, and how they know that it is the right one.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use tokio_rustls::rustls::crypto::ring;
use ureq::http::HeaderValue;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::error::CliError;
use crate::access::Secret;
use crate::config::authorities;
use crate::error::with_sources;

/// Who asks, and whom to trust.
#[derive(Debug, Default, Args)]
pub(super) struct IdentityArgs {
    /// Key that the server asks for; better given by the environment, where other users of the machine do not see it
    #[arg(long, value_name = "KEY", global = true, env = "TIDEMILL_KEY", hide_env_values = true, value_parser = secret)]
    pub(super) api_key: Option<Secret>,
    /// File of the certificate authority (PEM) to trust for `https://`, and no other [default: the public ones]
    #[arg(long, value_name = "FILE", global = true, env = "TIDEMILL_TLS_CA")]
    pub(super) tls_ca: Option<PathBuf>,
}

/// Takes anything, so that no error message holds a key.
fn secret(text: &str) -> Result<Secret, String> {
    Ok(Secret::presented(text))
}

/// What goes with each request.
#[derive(Debug, Default)]
pub(super) struct Identity {
    /// The header `Authorization`; its value is marked as not to be shown.
    pub(super) authorization: Option<HeaderValue>,
    pub(super) tls: TlsConfig,
    /// The authorities to trust; none for the public ones.
    pub(super) authorities: Option<Vec<Certificate<'static>>>,
}

impl Identity {
    /// Checks what was given.
    pub(super) fn of(args: &IdentityArgs) -> Result<Self, CliError> {
        let bearer = |secret: &Secret| {
            let mut value = HeaderValue::try_from(format!("Bearer {}", secret.reveal())).map_err(|_| {
                CliError::usage("the key holds characters that none has; is it whole, and nothing else?")
            })?;
            value.set_sensitive(true);
            Ok::<_, CliError>(value)
        };
        let authorities = args.tls_ca.as_ref().map(|path| authorities("--tls-ca", path)).transpose();
        let authorities = authorities.map_err(|error| CliError::usage(with_sources(&error)))?;
        let roots = authorities.as_deref().map_or(RootCerts::WebPki, RootCerts::new_with_certs);
        let tls = TlsConfig::builder()
            .root_certs(roots)
            .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()))
            .build();
        let key = args.api_key.as_ref().filter(|key| !key.reveal().is_empty());
        Ok(Self { authorization: key.map(bearer).transpose()?, tls, authorities })
    }
}
