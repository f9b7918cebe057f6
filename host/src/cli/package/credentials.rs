//! Who one is for a registry: named for that registry alone, or kept by tools for containers.
//!
//! A secret goes to the registry that it was given for, and to the token server that this one names, and nowhere else.

use std::cmp::Reverse;
use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use std::collections::BTreeMap;

use super::super::error::CliError;

/// The file that tools for containers keep, in the folder `DOCKER_CONFIG`, or `.docker` at home.
const FILE: &str = "config.json";
/// What that file calls the registry behind the name `docker.io`.
const DOCKER: (&str, &str) = ("docker.io", "index.docker.io");

/// A user of a registry.
#[derive(Clone)]
pub(super) struct Credentials {
    pub(super) user: String,
    pub(super) password: String,
}

impl Credentials {
    /// The value of the header.
    pub(super) fn basic(&self) -> String {
        format!("Basic {}", STANDARD.encode(format!("{}:{}", self.user, self.password)))
    }
}

/// Credentials, and where they are for.
#[derive(Default)]
pub(super) struct Keyring {
    /// Those of the command, with the registry that they are for.
    pub(super) named: Option<(String, Credentials)>,
}

/// What is known of a registry.
#[derive(Default)]
pub(super) struct Known {
    /// Who one is there.
    pub(super) credentials: Option<Credentials>,
    /// Why there is nobody, and what to do.
    pub(super) hint: String,
}

#[derive(Default, Deserialize)]
struct Config {
    #[serde(default)]
    auths: BTreeMap<String, Auth>,
    #[serde(rename = "credsStore")]
    store: Option<String>,
    #[serde(rename = "credHelpers", default)]
    helpers: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
struct Auth {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
}

impl Keyring {
    /// Who one is for a repository of a registry.
    pub(super) fn of(&self, registry: &str, repository: &str) -> Result<Known, CliError> {
        match &self.named {
            Some((named, credentials)) if named.eq_ignore_ascii_case(registry) => {
                Ok(Known { credentials: Some(credentials.clone()), hint: String::new() })
            }
            named => {
                let file = file();
                let config = file.as_deref().map(read).transpose()?.flatten().unwrap_or_default();
                let mut known = config.of(registry, repository, file.as_deref());
                if let (Some((named, _)), None) = (named, &known.credentials) {
                    let hint =
                        format!("the user that is given is for {named} and is not sent to {registry}; {}", known.hint);
                    known.hint = hint;
                }
                Ok(known)
            }
        }
    }
}

impl Config {
    fn of(&self, registry: &str, repository: &str, file: Option<&Path>) -> Known {
        let is_it = |key: &str| host(key).eq_ignore_ascii_case(registry) || (registry, host(key)) == DOCKER;
        let mut keys: Vec<_> =
            self.auths.iter().filter(|(key, _)| is_it(key) && covers(path(key), repository)).collect();
        keys.sort_by_key(|(key, _)| Reverse(path(key).len()));
        let credentials = keys.into_iter().find_map(|(_, auth)| auth.credentials());
        let place = file.map_or_else(|| format!("~/.docker/{FILE}"), |file| file.display().to_string());
        let helper = self.helpers.iter().find(|(key, _)| is_it(key)).map(|(_, helper)| helper).or(self.store.as_ref());
        let hint = match helper {
            Some(helper) => format!("{place} has it kept by the program {helper}, which is not asked; "),
            None => String::new(),
        };
        let hint = hint
            + &format!(
                "give TIDEMILL_REGISTRY={registry} with TIDEMILL_REGISTRY_USER and TIDEMILL_REGISTRY_PASSWORD, or its \
                 `auth` among the `auths` of {place}"
            );
        Known { credentials, hint }
    }
}

impl Auth {
    fn credentials(&self) -> Option<Credentials> {
        if let (Some(user), Some(password)) = (&self.username, &self.password) {
            return Some(Credentials { user: user.clone(), password: password.clone() });
        }
        let decoded = String::from_utf8(STANDARD.decode(self.auth.as_deref()?.trim()).ok()?).ok()?;
        let (user, password) = decoded.split_once(':')?;
        let (user, password) = (user.to_owned(), password.trim_end_matches('\0').to_owned());
        Some(Credentials { user, password }).filter(|found| !found.user.is_empty())
    }
}

/// The host of a key of `auths`, which may be a URL.
fn host(key: &str) -> &str {
    super::reference::host_of(key)
}

/// The repositories that a key is for, as the path that they begin with; empty for all. Tools write the version of a registry's
/// API as a path, too.
fn path(key: &str) -> &str {
    let rest = key.split_once("://").map_or(key, |(_, rest)| rest);
    let path = rest.split_once('/').map_or("", |(_, path)| path.trim_matches('/'));
    if ["v1", "v2"].contains(&path) { "" } else { path }
}

/// Whether a path is that of a repository, or of what it lies in.
fn covers(path: &str, repository: &str) -> bool {
    path.is_empty() || repository.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn file() -> Option<PathBuf> {
    let set = |variable: &str| env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    Some(set("DOCKER_CONFIG").or_else(|| Some(set("HOME")?.join(".docker")))?.join(FILE))
}

/// The file; none where there is none.
fn read(file: &Path) -> Result<Option<Config>, CliError> {
    let text = match fs::read(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(CliError::usage(format_args!("{} cannot be read: {error}", file.display()))),
    };
    // What is wrong with it is told by its place: the text holds secrets.
    let wrong = |error: serde_json::Error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        CliError::usage(format_args!("{} is not understood, at {place}", file.display()))
    };
    serde_json::from_slice(&text).map(Some).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        serde_json::from_str(text).unwrap()
    }

    fn user(config: &Config, registry: &str) -> Option<(String, String)> {
        config.of(registry, "acme/app", None).credentials.map(|found| (found.user, found.password))
    }

    #[test]
    fn what_tools_for_containers_keep_is_found_by_the_registry() {
        let encoded = STANDARD.encode("me:a:b");
        let kept = config(&format!(
            r#"{{"auths":{{"ghcr.io":{{"auth":"{encoded}"}},"https://index.docker.io/v1/":{{"username":"u","password":"p"}},
                "localhost:5000":{{}}}},"other":1}}"#
        ));
        assert_eq!(user(&kept, "ghcr.io"), Some(("me".into(), "a:b".into())));
        assert_eq!(user(&kept, "docker.io"), Some(("u".into(), "p".into())));
        for other in ["localhost:5000", "localhost", "ghcr.io.example.com", "io"] {
            assert_eq!(user(&kept, other), None, "{other}");
        }
    }

    #[test]
    fn of_several_the_one_that_is_nearest_and_says_somebody_counts() {
        let kept = config(
            r#"{"auths":{"quay.io":{"username":"all","password":"p"},"quay.io/acme":{"username":"acme","password":"p"},
                "quay.io/acme/app":{},"quay.io/acme/ap":{"username":"other","password":"p"},
                "ghcr.io":{},"https://ghcr.io/v2/":{"username":"api","password":"p"},
                "x.io/other":{"username":"other","password":"p"}}}"#,
        );
        assert_eq!(user(&kept, "quay.io").unwrap().0, "acme");
        assert_eq!(kept.of("quay.io", "acmes/app", None).credentials.unwrap().user, "all");
        assert_eq!(user(&kept, "ghcr.io").unwrap().0, "api");
        assert_eq!(user(&kept, "x.io"), None);
    }

    #[test]
    fn a_user_is_not_sent_to_another_registry_and_that_is_said() {
        let credentials = Credentials { user: "me".into(), password: "secret".into() };
        let keyring = Keyring { named: Some(("ghcr.io".into(), credentials)) };
        assert!(keyring.of("GHCR.io", "a").unwrap().credentials.is_some());
        let known = keyring.of("evil.example.com", "a").unwrap();
        assert!(known.credentials.is_none());
        assert!(known.hint.contains("is for ghcr.io and is not sent to evil.example.com"), "{}", known.hint);
        assert!(!known.hint.contains("secret"));
    }

    #[test]
    fn a_helper_is_not_asked_and_that_is_said() {
        let kept = config(r#"{"credHelpers":{"ghcr.io":"desktop"},"auths":{"ghcr.io":{}}}"#);
        let known = kept.of("ghcr.io", "a", None);
        assert!(known.credentials.is_none() && known.hint.contains("the program desktop, which is not asked"));
    }
}
