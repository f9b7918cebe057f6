//! Which URLs a grant allows: pure rules over texts.
//!
//! A grant is `scheme://host[:port][/path-prefix]`. Scheme, host and port must be those of the grant; a host
//! `*.example.com` stands for every host below it, not for itself. A path prefix ends at a segment: `/v1`
//! allows `/v1` and `/v1/x`, not `/v10`; a path with dot segments or encoded slashes is allowed by no prefix,
//! since servers read those in different ways.

use std::fmt;
use std::str::FromStr;

use http::Uri;

/// Longest grant, in bytes.
const GRANT_BYTES_MAX: usize = 2048;

/// A part of the web that a plugin may talk to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpGrant {
    text: String,
    origin: Origin,
    /// Every host below `origin.host`, instead of that host.
    below: bool,
    /// Begins with a slash; `/` alone is everything.
    path: String,
}

/// Scheme, host and port of a URL, in lower case and with the port written out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) https: bool,
    /// A name or an address, this one without brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

impl HttpGrant {
    /// Whether it allows a request to this URL.
    #[must_use]
    pub fn allows(&self, uri: &Uri) -> bool {
        Origin::of(uri).is_ok_and(|origin| self.allows_origin(&origin) && path_below(uri.path(), &self.path))
    }

    /// Whether it allows everything that another grant allows.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let same_host = match (self.below, other.below) {
            (true, true) => other.origin.host == self.origin.host || is_below(&other.origin.host, &self.origin.host),
            (false, true) => false,
            (_, false) => self.allows_host(&other.origin.host),
        };
        let same_port = (self.origin.https, self.origin.port) == (other.origin.https, other.origin.port);
        same_host && same_port && path_below(&other.path, &self.path)
    }

    fn allows_origin(&self, origin: &Origin) -> bool {
        (self.origin.https, self.origin.port) == (origin.https, origin.port) && self.allows_host(&origin.host)
    }

    fn allows_host(&self, host: &str) -> bool {
        if self.below { is_below(host, &self.origin.host) } else { host == self.origin.host }
    }
}

impl Origin {
    /// That of an absolute `http` or `https` URL; an error says what it lacks.
    pub(super) fn of(uri: &Uri) -> Result<Self, &'static str> {
        let https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err("it does not begin with https:// or http://"),
        };
        let authority = uri.authority().ok_or("it has no host")?;
        if authority.as_str().contains('@') {
            return Err("it holds a user name; credentials are granted as secrets");
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
        if host.is_empty() {
            return Err("it has no host");
        }
        let port = match (authority.port(), https) {
            (Some(port), _) => port.as_u16(),
            (None, true) => 443,
            (None, false) => 80,
        };
        Ok(Self { https, host: host.to_ascii_lowercase(), port })
    }
}

impl FromStr for HttpGrant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.len() > GRANT_BYTES_MAX {
            return Err(format!("it is longer than {GRANT_BYTES_MAX} bytes"));
        }
        if text.contains(['?', '#']) {
            return Err("a query or a fragment cannot be granted, only a path prefix".into());
        }
        let (exact, below) = match text.split_once("://*.") {
            Some((scheme, rest)) => (format!("{scheme}://{rest}"), true),
            None => (text.to_owned(), false),
        };
        let uri: Uri = exact.parse().map_err(|error| format!("it is no URL: {error}"))?;
        let origin = Origin::of(&uri)?;
        if origin.host.contains('*') {
            return Err("`*` stands only for the first label of a host, such as https://*.example.com".into());
        }
        if below && !origin.host.contains('.') {
            return Err(format!("*.{} is more than anybody owns; name a domain below it", origin.host));
        }
        if has_odd_segments(uri.path()) {
            return Err("its path holds dot segments or encoded slashes; write it plainly".into());
        }
        Ok(Self { text: text.to_owned(), origin, below, path: uri.path().to_owned() })
    }
}

impl fmt::Display for HttpGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn is_below(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain).and_then(|rest| rest.strip_suffix('.')).is_some_and(|label| !label.is_empty())
}

fn path_below(path: &str, prefix: &str) -> bool {
    if prefix == "/" {
        return true;
    }
    let rest = path.strip_prefix(prefix);
    let at_segment = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || prefix.ends_with('/'));
    at_segment && !has_odd_segments(path)
}

/// Whether a path has parts that some servers resolve to another path.
fn has_odd_segments(path: &str) -> bool {
    let plain = path.to_ascii_lowercase().replace("%2e", ".");
    plain.contains("%2f") || plain.contains("%5c") || plain.contains('\\') || {
        plain.split('/').any(|segment| matches!(segment.split(';').next(), Some("." | "..")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(text: &str) -> HttpGrant {
        text.parse().unwrap()
    }

    fn allows(text: &str, url: &str) -> bool {
        grant(text).allows(&url.parse().unwrap())
    }

    #[test]
    fn scheme_host_port_and_path_prefix_must_fit() {
        let api = "https://api.example.com/v1";
        for url in
            ["https://api.example.com/v1", "https://API.example.com:443/v1/a?b=c", "https://api.example.com./v1/"]
        {
            assert!(allows(api, url), "{url}");
        }
        for url in [
            "http://api.example.com/v1",
            "https://api.example.com:8443/v1",
            "https://example.com/v1",
            "https://api.example.com.evil.org/v1",
            "https://api.example.com@evil.org/v1",
            "https://user@api.example.com/v1",
            "https://api.example.com/v10",
            "https://api.example.com/",
            "https://api.example.com/v1/../admin",
            "https://api.example.com/v1/%2e%2E/admin",
            "https://api.example.com/v1/..%2fadmin",
            "https://api.example.com/v1/..;a/admin",
        ] {
            assert!(!allows(api, url), "{url}");
        }
        assert!(allows("http://[::1]:8080", "http://[::1]:8080/x"));
        assert!(
            allows("https://a.example.com", "https://a.example.com/../x"),
            "without a prefix there is nothing to leave"
        );
        assert!(!allows("https://a.example.com/v1/", "https://a.example.com/v1"), "the prefix has a slash");
    }

    #[test]
    fn a_wildcard_is_every_host_below() {
        let all = "https://*.example.com";
        assert!(allows(all, "https://a.example.com/") && allows(all, "https://a.b.example.com/x"));
        assert!(!allows(all, "https://example.com/") && !allows(all, "https://badexample.com/"));
        assert!(!allows(all, "https://.example.com/"));
    }

    #[test]
    fn a_grant_covers_a_narrower_request() {
        let covers = |wide: &str, narrow: &str| grant(wide).covers(&grant(narrow));
        assert!(covers("https://a.example.com", "https://a.example.com/v1/"));
        assert!(covers("https://*.example.com", "https://a.example.com"));
        assert!(covers("https://*.example.com", "https://*.b.example.com/v1"));
        assert!(covers("https://*.example.com", "https://*.example.com"));
        assert!(!covers("https://*.b.example.com", "https://*.example.com"));
        assert!(!covers("https://a.example.com", "https://*.example.com"));
        assert!(!covers("https://a.example.com/v1", "https://a.example.com"));
        assert!(!covers("https://a.example.com", "http://a.example.com"));
    }

    #[test]
    fn senseless_grants_say_what_is_wrong() {
        let refused = |text: &str| text.parse::<HttpGrant>().unwrap_err();
        assert!(refused("api.example.com").contains("https://"));
        assert!(refused("ftp://a.example.com").contains("https://"));
        assert!(refused("https://").contains("no URL") || refused("https://").contains("no host"));
        assert!(refused("https://u:p@a.example.com").contains("secrets"));
        assert!(refused("https://a.example.com/x?y").contains("query"));
        assert!(refused("https://*.com").contains("anybody"));
        assert!(refused("https://a.*.com").contains("first label"));
        assert!(refused("https://*").contains("first label"));
        assert!(refused("https://a.example.com/v1/../v2").contains("dot segments"));
    }
}
