//! What a component asks for, and what of that its manifest does not grant.

use std::borrow::Cow;
use std::path::Path;

use super::error::InstallError;
use crate::document::{grant, line_in, quoted};
use crate::event::{Filter, Pattern};
use crate::plugin::Manifest;
use crate::plugin::grants::ConfigGrant;
use crate::runtime::{Description, HttpGrant};

/// Keys of the pairs in a description's `extra` that are requests.
const HTTP: &str = "request.http";
const DISPATCH: &str = "request.dispatch";
const CONFIG: &str = "request.config";
const SECRET: &str = "request.secret";

/// What a component asks for, checked. Empty lists ask for nothing in particular.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Requests {
    pub(super) append: Vec<Pattern>,
    pub(super) dispatch: Vec<Pattern>,
    pub(super) http: Vec<HttpGrant>,
    config: Vec<String>,
    secrets: Vec<String>,
}

impl Requests {
    /// Those of a description: a guest's word, so it is checked.
    pub(super) fn of(description: Option<&Description>, component: &Path) -> Result<Self, InstallError> {
        let Some(description) = description else { return Ok(Self::default()) };
        let bad = |key: &'static str, text: &str, reason: String| InstallError::BadRequest {
            component: component.into(),
            key,
            text: text.chars().take(64).collect(),
            reason,
        };
        let mut requests = Self::default();
        for text in &description.append {
            let pattern = Pattern::new(text.clone()).map_err(|error| bad("append", text, error.to_string()))?;
            requests.append.push(pattern);
        }
        for (key, text) in &description.extra {
            match key.as_str() {
                HTTP => requests.http.push(text.parse().map_err(|reason| bad(HTTP, text, reason))?),
                DISPATCH => requests
                    .dispatch
                    .push(Pattern::new(text.clone()).map_err(|error| bad(DISPATCH, text, error.to_string()))?),
                CONFIG => requests.config.push(named(text).map_err(|reason| bad(CONFIG, text, reason))?),
                SECRET => requests.secrets.push(named(text).map_err(|reason| bad(SECRET, text, reason))?),
                // Of a later contract, which says that it is ignored.
                _ => {}
            }
        }
        Ok(requests)
    }

    /// The lines to write in the manifest so that all of it is granted, together with what is subscribed to.
    pub(super) fn missing(&self, manifest: &Manifest, filter: &Filter) -> Vec<String> {
        let grants = &manifest.grants;
        let everything = [Pattern::all()];
        let handed = if filter.types.is_empty() { &everything } else { filter.types.as_slice() };
        let mut lines = Vec::new();
        lines.extend(missing("append", &grants.append, &self.append, Pattern::covers));
        lines.extend(missing("dispatch", &grants.dispatch, &self.dispatch, Pattern::covers));
        lines.extend(missing("read", &grants.read, handed, Pattern::covers));
        lines.extend(missing("http", &grants.http, &self.http, HttpGrant::covers));
        let is_secret = |key: &&String| grants.secrets.get(*key).is_some_and(|secret| secret.config);
        let asked: Vec<_> = self.config.iter().filter(|key| !is_secret(key)).collect();
        let withheld: Vec<_> = asked.iter().copied().filter(|key| !grants.config.allows(key)).collect();
        if let (ConfigGrant::Keys(keys), false) = (&grants.config, withheld.is_empty()) {
            lines.push(grant("config", keys.iter().chain(withheld)));
        }
        let absent = asked.into_iter().filter(|key| !manifest.config.contains_key(*key));
        lines.extend(absent.map(|key| line_in("config", key_of(key), "...")));
        let unknown = self.secrets.iter().filter(|name| !grants.secrets.contains_key(*name));
        lines.extend(unknown.map(|name| {
            let value = format!("{{ env = {}, host = 'https://...', header = 'authorization' }}", quoted(name));
            line_in("grants.secrets", key_of(name), value)
        }));
        lines
    }
}

/// A name that a line to copy may hold. A line break in it would make more lines of that one than the host wrote.
fn named(text: &str) -> Result<String, String> {
    match text.char_indices().find(|(_, char)| char.is_control()) {
        Some((at, char)) => Err(format!("it holds {char:?} at byte {at}; control characters are not allowed")),
        None if text.is_empty() => Err("it is empty".into()),
        None => Ok(text.into()),
    }
}

/// A key as TOML writes it: bare where it can be.
fn key_of(name: &str) -> Cow<'_, str> {
    let is_bare = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if is_bare { name.into() } else { quoted(name).into() }
}

/// The line that grants what is asked for as well, if something is missing.
fn missing<T: ToString>(key: &str, granted: &[T], asked: &[T], covers: fn(&T, &T) -> bool) -> Option<String> {
    let missing: Vec<_> = asked.iter().filter(|asked| !granted.iter().any(|granted| covers(granted, asked))).collect();
    if missing.is_empty() {
        return None;
    }
    Some(grant(key, granted.iter().chain(missing).map(ToString::to_string)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(extra: &[(&str, &str)]) -> Result<Requests, InstallError> {
        let description = Description {
            append: vec!["X".into(), "StockReserved".into()],
            extra: extra.iter().map(|(key, text)| ((*key).into(), (*text).into())).collect(),
            ..Description::default()
        };
        Requests::of(Some(&description), Path::new("p.wasm"))
    }

    fn missing_in(manifest: &str, requests: &Requests) -> Vec<String> {
        let manifest = Manifest::parse("plugin.toml", manifest).unwrap();
        requests.missing(&manifest, &Filter { types: vec![Pattern::new("Order*").unwrap()], ..Filter::default() })
    }

    #[test]
    fn what_is_missing_is_lines_to_copy() {
        let requests = requests(&[
            ("request.http", "https://a.example.com/v1/"),
            ("request.config", "currency"),
            ("request.secret", "KEY"),
            ("request.of-a-later-contract", "?"),
        ]);
        let requests = requests.unwrap();
        let lines = missing_in("[grants]\nappend = [\"Stock*\"]\nread = [\"OrderPlaced\"]", &requests);
        assert_eq!(
            lines,
            [
                "in [grants]: append = ['Stock*', 'X']",
                "in [grants]: read = ['OrderPlaced', 'Order*']",
                "in [grants]: http = ['https://a.example.com/v1/']",
                "in [config]: currency = ...",
                "in [grants.secrets]: KEY = { env = 'KEY', host = 'https://...', header = 'authorization' }",
            ]
        );
        let enough = r#"
            [grants]
            append = ["*"]
            read = ["Order*"]
            http = ["https://*.example.com"]
            [grants.secrets]
            KEY = { env = "K", host = "https://a.example.com", header = "x-key" }
            currency = { file = "c", config = true }"#;
        assert_eq!(missing_in(enough, &requests), Vec::<String>::new());
        let withheld = "[grants]\nconfig = [\"k\"]\n[config]\ncurrency = 1\nk = 2";
        let lines = missing_in(withheld, &requests);
        assert!(lines.iter().any(|line| line == "in [grants]: config = ['k', 'currency']"), "{lines:?}");
        assert_eq!(Requests::default().missing(&Manifest::default(), &Filter::default()), Vec::<String>::new());
        let narrow = Manifest::parse("plugin.toml", "[grants]\nread = [\"A\"]").unwrap();
        assert_eq!(Requests::default().missing(&narrow, &Filter::default()), ["in [grants]: read = ['A', '*']"]);
    }

    #[test]
    fn a_key_that_is_neither_there_nor_granted_is_told_both_lines_at_once() {
        let asked = requests(&[("request.config", "currency")]).unwrap();
        let told = |config: &str| missing_in(&format!("[grants]\nappend = [\"*\"]\n{config}"), &asked);
        let both = ["in [grants]: config = ['k', 'currency']", "in [config]: currency = ..."];
        assert_eq!(told("config = [\"k\"]\n[config]\nk = 2"), both);
        assert_eq!(told("config = [\"k\"]\n[config]\nk = 2\ncurrency = 1"), both[..1]);
        assert_eq!(told("[config]\nk = 2"), both[1..]);
        let secret = "config = false\n[grants.secrets]\ncurrency = { file = \"c\", config = true }";
        assert_eq!(told(secret), Vec::<String>::new(), "a secret needs neither");
    }

    #[test]
    fn a_request_that_is_none_is_named() {
        let error = requests(&[("request.http", "api.example.com")]).unwrap_err().line();
        assert!(
            error.starts_with("p.wasm asks for what nobody can grant: request.http \"api.example.com\": "),
            "{error}"
        );
    }

    #[test]
    fn what_a_guest_names_makes_one_line_of_toml_and_no_more() {
        for key in [CONFIG, SECRET] {
            let error = requests(&[(key, "x = 1\n[grants]\nhttp")]).unwrap_err().line();
            assert!(error.contains("nobody can grant") && error.contains("control characters"), "{error}");
            assert!(!error.contains('\n'), "{error}");
            assert!(requests(&[(key, "")]).unwrap_err().line().contains("it is empty"));
        }
        let odd = requests(&[(CONFIG, "a.b = \"c\""), (SECRET, "a key")]).unwrap();
        let lines = missing_in("[grants]\nappend = [\"*\"]", &odd);
        assert_eq!(
            lines,
            [
                r#"in [config]: 'a.b = "c"' = ..."#,
                "in [grants.secrets]: 'a key' = { env = 'a key', host = 'https://...', header = 'authorization' }",
            ]
        );
    }

    #[test]
    fn what_a_guest_names_is_read_by_toml_as_the_same() {
        for name in ["a\u{200b}b", "a\u{2028}[grants]", "\u{301}", "\u{202e}x", "it's \"it\" \\", "Ä", "\u{10ffff}"] {
            let asked = requests(&[(CONFIG, name), (SECRET, name)]).unwrap();
            let lines = missing_in("[grants]\nappend = [\"*\"]", &asked);
            let pasted = lines.iter().map(|line| line.replacen("in [", "[", 1).replacen("]: ", "]\n", 1));
            let lines = pasted.collect::<Vec<_>>().join("\n");
            assert!(lines.contains("\\U") != matches!(name, "Ä" | "it's \"it\" \\"), "{lines}");
            let written = lines.replace("= ...\n", "= 1\n");
            let table: toml::Table = toml::from_str(&written).unwrap_or_else(|error| panic!("{written}\n{error}"));
            assert_eq!(table["config"].as_table().unwrap().keys().collect::<Vec<_>>(), [name]);
            assert_eq!(table["grants"]["secrets"][name]["env"].as_str(), Some(name));
        }
        let withheld =
            missing_in("[grants]\nconfig = []\n[config]\n\"\\u200b\" = 1", &requests(&[(CONFIG, "\u{200b}")]).unwrap());
        assert!(withheld.iter().any(|line| line.ends_with("config = [\"\\U0000200B\"]")), "{withheld:?}");
    }
}
