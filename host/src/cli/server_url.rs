//! Where the server is.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// The address of a server: `http://HOST:PORT` or `https://HOST:PORT`, without a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServerUrl(String);

impl ServerUrl {
    /// The address of a path on the server.
    pub(super) fn join(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }
}

impl ServerUrl {
    /// Whether what is sent can be read on its way: neither within TLS nor within this machine.
    pub(super) fn is_in_the_clear(&self) -> bool {
        let name = self.host();
        let address = name.parse::<IpAddr>();
        !self.is_tls() && name != "localhost" && !address.is_ok_and(|address| address.is_loopback())
    }

    /// Whether it is talked to within TLS.
    pub(super) fn is_tls(&self) -> bool {
        self.0.starts_with("https:")
    }

    /// Its name or address, without brackets.
    pub(super) fn host(&self) -> &str {
        let (place, has_port) = self.place();
        let name = if has_port { place.rsplit_once(':').map_or(place, |(name, _)| name) } else { place };
        name.trim_matches(['[', ']'])
    }

    /// `HOST:PORT`.
    pub(super) fn authority(&self) -> String {
        match self.place() {
            (place, true) => place.to_owned(),
            (place, false) => format!("{place}:{}", if self.is_tls() { 443 } else { 80 }),
        }
    }

    /// What stands behind the scheme, and whether a port is part of it.
    fn place(&self) -> (&str, bool) {
        let place = self.0.rsplit("//").next().unwrap_or_default();
        (place, place.rsplit(']').next().unwrap_or_default().contains(':'))
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ServerUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        if !matches!(scheme, "http" | "https") {
            return Err(format!("{scheme:?} is not spoken here; give http://HOST:PORT or https://HOST:PORT"));
        }
        let host = rest.trim_end_matches('/');
        if host.is_empty() || host.contains(['/', '?', '#', ' ']) {
            return Err("give http://HOST:PORT, without a path".into());
        }
        Ok(Self(format!("{scheme}://{host}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_there_or_is_that_of_the_scheme() {
        for (url, authority, host) in [
            ("http://h:1", "h:1", "h"),
            ("http://h", "h:80", "h"),
            ("https://h", "h:443", "h"),
            ("http://[::1]", "[::1]:80", "::1"),
            ("https://[::1]:9", "[::1]:9", "::1"),
        ] {
            let url: ServerUrl = url.parse().unwrap();
            assert_eq!((url.authority().as_str(), url.host()), (authority, host), "{url}");
        }
    }

    #[test]
    fn an_address_needs_only_host_and_port() {
        assert_eq!("localhost:1".parse::<ServerUrl>().unwrap().join("/v1"), "http://localhost:1/v1");
        assert_eq!("http://h:1/".parse::<ServerUrl>().unwrap().to_string(), "http://h:1");
        assert_eq!("https://h:1".parse::<ServerUrl>().unwrap().join("/v1"), "https://h:1/v1");
        for bad in ["ftp://h:1", "http://", "http://h:1/v1"] {
            assert!(bad.parse::<ServerUrl>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_key_is_safe_within_tls_or_this_machine() {
        for (url, in_the_clear) in [
            ("https://h:1", false),
            ("127.0.0.1:1", false),
            ("localhost:1", false),
            ("http://[::1]:1", false),
            ("http://h", true),
            ("10.0.0.1:1", true),
            ("http://[fd00::1]:1", true),
        ] {
            assert_eq!(url.parse::<ServerUrl>().unwrap().is_in_the_clear(), in_the_clear, "{url}");
        }
    }
}
