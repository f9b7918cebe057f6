//! Who the commands are to a server, and how they know that it is the right one.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use tokio_rustls::rustls::crypto::ring;
use ureq::http::HeaderValue;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use super::error::CliError;
use crate::access::Secret;

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
        let roots = match &args.tls_ca {
            Some(path) => RootCerts::new_with_certs(&authorities(path)?),
            None => RootCerts::WebPki,
        };
        let tls = TlsConfig::builder()
            .root_certs(roots)
            .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()))
            .build();
        let key = args.api_key.as_ref().filter(|key| !key.reveal().is_empty());
        Ok(Self { authorization: key.map(bearer).transpose()?, tls })
    }
}

/// The certificates in a file.
fn authorities(path: &Path) -> Result<Vec<Certificate<'static>>, CliError> {
    let shown = path.display();
    let text =
        fs::read(path).map_err(|error| CliError::usage(format_args!("--tls-ca {shown} cannot be read: {error}")))?;
    let mut found = Vec::new();
    for item in parse_pem(&text) {
        match item {
            Ok(PemItem::Certificate(certificate)) => found.push(certificate),
            Ok(_) => {}
            Err(error) => return Err(CliError::usage(format_args!("--tls-ca {shown} is no PEM: {error}"))),
        }
    }
    if found.is_empty() {
        let what = "holds no certificate; it is PEM and begins with -----BEGIN CERTIFICATE-----";
        return Err(CliError::usage(format_args!("--tls-ca {shown} {what}")));
    }
    Ok(found)
}
