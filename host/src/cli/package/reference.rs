//! Where a plugin comes from: a file, a URL, or a reference to a registry.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// Where a plugin comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A file.
    File(PathBuf),
    /// `https://…`, or `http://…`.
    Url(String),
    /// `oci://REGISTRY/REPOSITORY[:TAG][@sha256:DIGEST]`.
    Oci(Reference),
}

/// What a registry calls a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    /// Host, maybe with a port.
    pub(super) registry: String,
    /// Such as `acme/big-orders`.
    pub(super) repository: String,
    /// The tag, where there is one; `latest` where there is no digest either.
    pub(super) tag: Option<String>,
    /// The digest of its manifest, `sha256:` and 64 hex digits.
    pub(super) digest: Option<Digest>,
}

/// A SHA-256, in lower-case hex.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Digest(String);

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(reference) = text.strip_prefix("oci://") {
            return reference.parse().map(Self::Oci);
        }
        match text.split_once("://") {
            Some(("http" | "https", rest)) if !rest.starts_with('/') && !rest.is_empty() => Ok(Self::Url(text.into())),
            Some((scheme, _)) => Err(format!("{scheme}:// is not known; give a file, https://…, or oci://…")),
            None => Ok(Self::File(text.into())),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Url(url) => f.write_str(url),
            Self::Oci(reference) => write!(f, "oci://{reference}"),
        }
    }
}

impl Source {
    /// The last part of its name, without an ending.
    pub(super) fn stem(&self) -> String {
        let whole = match self {
            Self::File(path) => path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
            Self::Url(url) => url.split(['?', '#']).next().unwrap_or_default().to_owned(),
            Self::Oci(reference) => reference.repository.clone(),
        };
        let last = whole.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        last.strip_suffix(".wasm").unwrap_or(last).to_owned()
    }
}

impl FromStr for Reference {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || format!("{text:?} is no reference; it is oci://REGISTRY/REPOSITORY[:TAG][@sha256:DIGEST]");
        let (named, digest) = match text.split_once('@') {
            Some((named, digest)) => (named, Some(digest.parse()?)),
            None => (text, None),
        };
        let (registry, path) = named.split_once('/').ok_or_else(form)?;
        let (repository, tag) = match path.rsplit_once(':') {
            Some((repository, tag)) => (repository, Some(tag.to_owned())),
            None => (path, None),
        };
        let of_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-/".contains(c);
        let of_tag = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let of_host = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
        let good = !registry.is_empty()
            && registry.chars().all(of_host)
            && !repository.is_empty()
            && repository.chars().all(of_name)
            && repository.split('/').all(|part| part.starts_with(|c: char| c.is_ascii_alphanumeric()))
            && tag.as_deref().is_none_or(|tag| !tag.is_empty() && tag.len() <= 128 && tag.chars().all(of_tag));
        if !good {
            return Err(form());
        }
        let tag = tag.or_else(|| digest.is_none().then(|| "latest".to_owned()));
        Ok(Self { registry: registry.into(), repository: repository.into(), tag, digest })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        self.digest.as_ref().map_or(Ok(()), |digest| write!(f, "@{digest}"))
    }
}

impl Digest {
    /// A digest in hex, as this program computes it.
    pub(super) fn of_hex(hex: String) -> Self {
        Self(hex)
    }
}

impl FromStr for Digest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let hex = text.strip_prefix("sha256:").unwrap_or_default();
        let good = hex.len() == 64 && hex.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c));
        if good {
            Ok(Self(hex.into()))
        } else {
            Err(format!("{text:?} is no digest; it is sha256: and 64 digits of hex"))
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.0)
    }
}

/// Whether a host, maybe with a port, is this machine: what goes there needs no TLS.
pub(super) fn is_local(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.chars().all(|c| c.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_matches(['[', ']']).parse::<IpAddr>();
    name == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// The host of a URL, with its port.
pub(super) fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn sources_are_told_apart() {
        assert_eq!("a/b.wasm".parse(), Ok(Source::File("a/b.wasm".into())));
        let url: Source = "https://h/x/big-orders.wasm?v=1".parse().unwrap();
        assert_eq!(url.stem(), "big-orders");
        for (text, shown, stem) in [
            ("oci://localhost:5000/acme/big:1.0", "oci://localhost:5000/acme/big:1.0", "big"),
            ("oci://ghcr.io/acme/big", "oci://ghcr.io/acme/big:latest", "big"),
            (&format!("oci://ghcr.io/a/b/c@sha256:{HEX}"), &format!("oci://ghcr.io/a/b/c@sha256:{HEX}"), "c"),
        ] {
            let source: Source = text.parse().unwrap();
            assert_eq!((source.to_string().as_str(), source.stem().as_str()), (shown, stem));
        }
        for bad in [
            "ftp://h/x",
            "oci://host",
            "oci://host/A",
            "oci://host/a:",
            "oci://host/../a",
            "oci://host/a@sha256:1",
            "https://",
        ] {
            assert!(bad.parse::<Source>().is_err(), "{bad}");
        }
    }

    #[test]
    fn this_machine_is_known() {
        for local in ["localhost", "localhost:5000", "127.0.0.1:1", "[::1]:80", "127.9.9.9"] {
            assert!(is_local(local), "{local}");
        }
        for other in ["localhost.example.com", "10.0.0.1:80", "example.com"] {
            assert!(!is_local(other), "{other}");
        }
        assert_eq!(host_of("http://me@[::1]:80/x?y"), "[::1]:80");
        assert_eq!(host_of("https://a.b/x"), "a.b");
    }
}
