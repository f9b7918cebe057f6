//! Who asks a registry, after it has asked who asks: the token or basic authentication of the distribution spec.

use serde::Deserialize;
use ureq::http::Request;
use ureq::http::header::AUTHORIZATION;

use super::super::error::{CliError, Exit};
use super::credentials::{Credentials, Known};
use super::fetch::{Fetcher, body};
use super::reference::{Reference, host_of, is_local};

/// Largest answer of a token server, in bytes.
const TOKEN_BYTES_MAX: u64 = 1 << 20;

/// What `WWW-Authenticate` asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Challenge {
    bearer: bool,
    realm: String,
    service: Option<String>,
    scope: Option<String>,
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

/// The value of `Authorization` that answers a challenge. What is known of a user goes to the registry that it is for, and
/// to the token server that this one names.
pub(super) fn answer(fetcher: &Fetcher, asked: &Reference, challenge: &str) -> Result<String, CliError> {
    let Reference { registry, repository, .. } = asked;
    let Known { credentials, hint } = fetcher.keyring.of(registry, repository)?;
    let denied = |what: &str| {
        let error = CliError::new(Exit::Denied, format_args!("{registry}: {what}"));
        if hint.is_empty() { error } else { error.hint(&hint) }
    };
    let challenge = Challenge::parse(challenge).ok_or_else(|| denied("asks in a way that is not known here"))?;
    if !challenge.bearer {
        return credentials.as_ref().map(Credentials::basic).ok_or_else(|| denied("asks for a user"));
    }
    let is_kept_here = is_local(registry) && is_local(host_of(&challenge.realm));
    if !is_kept_here && !challenge.realm.starts_with("https://") {
        return Err(denied("sends to a token server without TLS"));
    }
    let url = challenge.url();
    let mut request = Request::get(&url);
    if let Some(credentials) = &credentials {
        request = request.header(AUTHORIZATION, credentials.basic());
    }
    let request = request.body(()).map_err(|error| denied(&error.to_string()))?;
    let response = fetcher.send(&url, request)?;
    let status = response.status().as_u16();
    if status != 200 {
        return Err(denied(&format!("its token server answered {status}")));
    }
    let token: Token = serde_json::from_slice(&body(response, &url, TOKEN_BYTES_MAX)?)
        .map_err(|error| denied(&format!("its token server is not understood: {error}")))?;
    let token = token.token.or(token.access_token).ok_or_else(|| denied("its token server gave no token"))?;
    Ok(format!("Bearer {token}"))
}

impl Challenge {
    /// Takes apart `Bearer realm="…",service="…",scope="…"`.
    fn parse(header: &str) -> Option<Self> {
        let (scheme, mut rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        let mut challenge = Self { bearer: scheme.eq_ignore_ascii_case("bearer"), ..Self::default() };
        if !challenge.bearer && !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        while let Some((key, after)) = rest.split_once('=') {
            let (value, next) = match after.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"')?,
                None => after.split_once(',').unwrap_or((after, "")),
            };
            match key.trim_matches([' ', ',']) {
                "realm" => value.clone_into(&mut challenge.realm),
                "service" => challenge.service = Some(value.to_owned()),
                "scope" => challenge.scope = Some(value.to_owned()),
                _ => {}
            }
            rest = next;
        }
        Some(challenge).filter(|challenge| !challenge.bearer || !challenge.realm.is_empty())
    }

    fn url(&self) -> String {
        let mut url = self.realm.clone();
        for (key, value) in [("service", &self.service), ("scope", &self.scope)] {
            if let Some(value) = value {
                url.push(if url.contains('?') { '&' } else { '?' });
                url.push_str(&format!("{key}={}", escaped(value)));
            }
        }
        url
    }
}

/// A value in a query.
fn escaped(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/".contains(&byte);
    value.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_taken_apart() {
        let header = r#"Bearer realm="https://auth.example.com/token",service="registry",scope="repository:a/b:pull""#;
        let challenge = Challenge::parse(header).unwrap();
        assert_eq!(challenge.url(), "https://auth.example.com/token?service=registry&scope=repository:a/b:pull");
        assert!(!Challenge::parse("Basic realm=\"x\"").unwrap().bearer);
        assert!(!Challenge::parse("basic").unwrap().bearer);
        for other in ["", "Digest realm=\"x\"", "Bearer", "Bearer realm=\"", "Bearer service=\"x\""] {
            assert_eq!(Challenge::parse(other), None, "{other}");
        }
        let spaced = Challenge::parse("bearer realm=https://h/t, service=\"a b&c\"").unwrap();
        assert_eq!(spaced.url(), "https://h/t?service=a%20b%26c");
    }
}
