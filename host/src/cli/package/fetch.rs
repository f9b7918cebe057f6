//! Gets a component: bounded, and only what the digests that are known say.

use std::time::Duration;

use ureq::Agent;
use ureq::http::{Request, Response};
use ureq::tls::TlsConfig;
use ureq::{Body, Error};

use super::super::client::{OWN_AUTHORITY, is_untrusted};
use super::super::component_file::{component, refuse_rules};
use super::super::error::{CliError, Exit};
use super::credentials::Keyring;
use super::oci::Registry;
use super::reference::{Digest, Source, host_of, is_local};
use crate::runtime;
use crate::runtime::Anatomy;

/// Largest component that a host takes, in bytes.
pub(super) const COMPONENT_BYTES_MAX: u64 = runtime::COMPONENT_BYTES_MAX as u64;
/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// How long the other side may be silent.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// How often a download may be sent elsewhere.
const REDIRECTS_MAX: u32 = 5;

/// Gets bytes over HTTP.
pub(super) struct Fetcher {
    pub(super) tls: TlsConfig,
    pub(super) keyring: Keyring,
}

impl Fetcher {
    /// Gets a component, and holds it against its digest where one is given.
    pub(super) fn get(&self, source: &Source, pin: Option<&Digest>) -> Result<Vec<u8>, CliError> {
        let bytes = match source {
            Source::File(path) => component(path)?,
            Source::Url(url) => {
                if url.starts_with("http://") && pin.is_none() && !is_local(host_of(url)) {
                    let what = format_args!("{url} comes over plain HTTP, where anybody on the way can change it");
                    return Err(CliError::usage(what).hint("use https://, or say by --digest what it must be"));
                }
                self.url(url)?
            }
            Source::Oci(reference) => Registry::new(self, reference).component()?,
        };
        refuse_rules(source, &bytes)?;
        if let Some(wanted) = pin {
            hold(&bytes, wanted, &source.to_string())?;
        }
        Ok(bytes)
    }

    /// Gets what is at a URL.
    pub(super) fn url(&self, url: &str) -> Result<Vec<u8>, CliError> {
        let request = Request::get(url).body(()).map_err(|error| CliError::usage(format_args!("{url}: {error}")))?;
        let response = self.send(url, request)?;
        let status = response.status().as_u16();
        if status != 200 {
            return Err(CliError::new(Exit::of_status(status.max(400)), format_args!("{url} answered {status}")));
        }
        body(response, url, COMPONENT_BYTES_MAX)
    }

    /// Sends a request; redirects never leave TLS.
    pub(super) fn send(&self, url: &str, request: Request<()>) -> Result<Response<Body>, CliError> {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .https_only(url.starts_with("https://"))
            .max_redirects(REDIRECTS_MAX)
            .tls_config(self.tls.clone())
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_per_read(Some(READ_TIMEOUT));
        let config = if is_local(host_of(url)) { config.proxy(None) } else { config };
        Agent::from(config.build()).run(request).map_err(|error| failed(url, &error))
    }
}

/// The body of an answer, at most so many bytes.
pub(super) fn body(response: Response<Body>, url: &str, bytes_max: u64) -> Result<Vec<u8>, CliError> {
    let read = response.into_body().into_with_config().limit(bytes_max).read_to_vec();
    read.map_err(|error| match error {
        Error::BodyExceedsLimit(_) => {
            CliError::usage(format_args!("{url} has more than {bytes_max} bytes, which no host takes"))
        }
        other => failed(url, &other),
    })
}

/// Refuses bytes that are not those of a digest.
pub(super) fn hold(bytes: &[u8], wanted: &Digest, what: &str) -> Result<(), CliError> {
    let found = digest(bytes);
    if found == *wanted {
        return Ok(());
    }
    let what = format_args!("{what} is not what it must be: it has {found}, and {wanted} is wanted");
    Err(CliError::new(Exit::Denied, what).hint("it was replaced, or it is another version; nothing was installed"))
}

/// The digest of bytes.
pub(super) fn digest(bytes: &[u8]) -> Digest {
    Digest::of_hex(Anatomy::digest(bytes))
}

fn failed(url: &str, error: &Error) -> CliError {
    let told = CliError::new(Exit::Unavailable, format_args!("{url} cannot be got: {error}"));
    if is_untrusted(error) { told.hint(OWN_AUTHORITY) } else { told }
}
