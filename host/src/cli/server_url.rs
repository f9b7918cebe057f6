//! Where the server is.

use std::fmt;
use std::str::FromStr;

/// The address of a server: `http://HOST:PORT`, without a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServerUrl(String);

impl ServerUrl {
    /// The address of a path on the server.
    pub(super) fn join(&self, path: &str) -> String {
        format!("{}{path}", self.0)
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
        if scheme != "http" {
            return Err(format!("{scheme:?} is not spoken here; give http://HOST:PORT"));
        }
        let host = rest.trim_end_matches('/');
        if host.is_empty() || host.contains(['/', '?', '#', ' ']) {
            return Err("give http://HOST:PORT, without a path".into());
        }
        Ok(Self(format!("http://{host}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_needs_only_host_and_port() {
        assert_eq!("localhost:1".parse::<ServerUrl>().unwrap().join("/v1"), "http://localhost:1/v1");
        assert_eq!("http://h:1/".parse::<ServerUrl>().unwrap().to_string(), "http://h:1");
        for bad in ["https://h:1", "http://", "http://h:1/v1"] {
            assert!(bad.parse::<ServerUrl>().is_err(), "{bad}");
        }
    }
}
