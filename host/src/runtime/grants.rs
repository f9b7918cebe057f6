//! What an instance may do outside the store, as its operator granted it.
//!
//! Two lists make one right: what the component requests and what the manifest grants; only what is in both
//! is allowed. A component that describes no requests of a kind leaves that to the manifest alone.

use std::collections::BTreeSet;
use std::fmt;

use http::{HeaderName, HeaderValue, Uri};

use super::http::{AddressGrant, HttpGrant};
use crate::document::grant;

/// The grants of one instance. The default allows nothing.
#[derive(Clone, Debug, Default)]
pub struct Grants {
    /// Outbound HTTP.
    pub http: HttpAccess,
    /// Keys of the configuration that are there and not handed over.
    pub config_withheld: BTreeSet<String>,
    /// Keys of the configuration that the manifest grants, as it names them: who is refused one is told by them what to
    /// mend.
    pub config_granted: Vec<String>,
}

/// Where an instance may send HTTP requests.
#[derive(Clone, Debug, Default)]
pub struct HttpAccess {
    /// What the manifest grants.
    pub granted: Vec<HttpGrant>,
    /// What the component requests; none when it does not say.
    pub requested: Option<Vec<HttpGrant>>,
    /// Addresses that may be reached although they are not public.
    pub private: Vec<AddressGrant>,
    /// Headers that the host adds.
    pub headers: Vec<SecretHeader>,
}

impl HttpAccess {
    /// Whether a request to this URL is allowed.
    ///
    /// # Errors
    /// The text that says what would allow it.
    pub(super) fn check(&self, uri: &Uri) -> Result<(), String> {
        if !self.granted.iter().any(|grant| grant.allows(uri)) {
            return Err(format!("HTTP to {}; to allow it, add it in its manifest, {}", shown(uri), self.line(uri)));
        }
        match &self.requested {
            Some(requested) if !requested.iter().any(|request| request.allows(uri)) => Err(format!(
                "HTTP to {}: the manifest grants it, but the component does not request it; mend its `describe` \
                 (request.http)",
                shown(uri)
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// The manifest line with a URL's origin added.
    fn line(&self, uri: &Uri) -> String {
        grant("http", self.granted.iter().map(ToString::to_string).chain([shown(uri)]))
    }
}

/// Scheme and host of a URL: its path may hold what does not belong in a log.
fn shown(uri: &Uri) -> String {
    let host = uri.authority().map_or("", |authority| authority.as_str());
    let host = host.rsplit('@').next().unwrap_or_default();
    format!("{}://{host}", uri.scheme_str().unwrap_or("https"))
}

/// A header that the host adds to requests, so that the guest need not know what is in it.
#[derive(Clone)]
pub struct SecretHeader {
    at: HttpGrant,
    name: HeaderName,
    value: HeaderValue,
}

impl SecretHeader {
    /// A header for requests that `at` allows.
    ///
    /// # Errors
    /// When name or value cannot stand in a header; the text does not hold the value.
    pub fn new(at: HttpGrant, name: &str, value: &str) -> Result<Self, String> {
        let name = header_name(name)?;
        let mut value = HeaderValue::from_str(value).map_err(|_| {
            "it holds a line break or another control character, which cannot stand in a header".to_owned()
        })?;
        value.set_sensitive(true);
        Ok(Self { at, name, value })
    }

    /// Adds it to a request it is meant for, in place of any that the guest wrote.
    pub(super) fn add<B>(&self, request: &mut http::Request<B>) {
        if self.at.allows(request.uri()) {
            request.headers_mut().insert(self.name.clone(), self.value.clone());
        }
    }
}

impl fmt::Debug for SecretHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretHeader").field("at", &self.at).field("name", &self.name).finish_non_exhaustive()
    }
}

/// A header's name that a secret may be sent under.
///
/// # Errors
/// When it is no name, or one that frames the message.
pub fn header_name(name: &str) -> Result<HeaderName, String> {
    const FRAMING: &[&str] =
        &["connection", "content-length", "expect", "host", "te", "trailer", "transfer-encoding", "upgrade"];
    let name: HeaderName = name.parse().map_err(|_| "it is no header name, such as \"authorization\"".to_owned())?;
    if FRAMING.contains(&name.as_str()) {
        return Err(format!("{name} frames the message and is the host's own"));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(granted: &[&str], requested: Option<&[&str]>) -> HttpAccess {
        let all = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        HttpAccess { granted: all(granted), requested: requested.map(all), ..HttpAccess::default() }
    }

    #[test]
    fn only_what_is_granted_and_requested_is_allowed() {
        let uri: Uri = "https://a.example.com/v1/x?token=1".parse().unwrap();
        let said = access(&["https://b.example.com"], None).check(&uri).unwrap_err();
        assert!(said.contains("in [grants]: http = ['https://b.example.com', 'https://a.example.com']"), "{said}");
        assert!(!said.contains("token"), "{said}");
        assert_eq!(access(&["https://*.example.com"], None).check(&uri), Ok(()));
        assert_eq!(access(&["https://*.example.com"], Some(&["https://a.example.com/v1/"])).check(&uri), Ok(()));
        let said = access(&["https://*.example.com"], Some(&["https://a.example.com/v2/"])).check(&uri).unwrap_err();
        assert!(said.contains("does not request it"), "{said}");
    }

    #[test]
    fn a_secret_goes_where_it_is_meant_to_and_is_not_shown() {
        let header =
            SecretHeader::new("https://a.example.com".parse().unwrap(), "Authorization", "Bearer s3cret").unwrap();
        assert!(!format!("{header:?}").contains("s3cret"));
        let request = |url: &str| http::Request::get(url).header("authorization", "mine").body(()).unwrap();
        let (mut there, mut elsewhere) = (request("https://a.example.com/x"), request("https://b.example.com/x"));
        header.add(&mut there);
        header.add(&mut elsewhere);
        assert_eq!(there.headers()["authorization"], "Bearer s3cret");
        assert_eq!(elsewhere.headers()["authorization"], "mine");
        assert!(!format!("{:?}", there.headers()).contains("s3cret"));
        let bad = SecretHeader::new("https://a.example.com".parse().unwrap(), "x", "s3cret\n").unwrap_err();
        assert!(!bad.contains("s3cret"), "{bad}");
        assert!(header_name("Host").is_err() && header_name("a b").is_err());
    }
}
