//! Reads `[grants]`, and refuses grants that name nothing.

use std::collections::BTreeMap;

use super::keys;
use super::{Manifest, ManifestError};
use crate::document::{Section, Value};
use crate::event::Pattern;
use crate::plugin::grants::{ConfigGrant, HeaderGrant, ManifestGrants, SecretGrant, SecretSource};
use crate::runtime::{HttpGrant, header_name};

/// Reads the section into `manifest`, whose `[config]` has been read.
pub(super) fn read(section: &Section<'_>, manifest: &mut Manifest) -> Result<(), ManifestError> {
    let grants = &mut manifest.grants;
    if let Some(append) = section.get("append") {
        grants.append = append.texts(Pattern::new)?;
    }
    if let Some(dispatch) = section.get("dispatch") {
        grants.dispatch = super::validator::read_commands(&dispatch)?;
    }
    if let Some(read) = section.get("read") {
        grants.read = read_types(&read)?;
    }
    if let Some(http) = section.get("http") {
        grants.http = http.list(URL, |text| text.parse())?;
    }
    if let Some(private) = section.get("http_private") {
        grants.http_private = private.list("private addresses", |text| text.parse())?;
        if grants.http.is_empty() && !grants.http_private.is_empty() {
            return Err(private.bad("empty while [grants] http is: it only widens what that grants"));
        }
    }
    if let Some(config) = section.get("config") {
        grants.config = read_config(&config, &manifest.config)?;
    }
    if let Some(secrets) = section.section("secrets", &keys::SECRETS)? {
        for (name, value) in secrets.values() {
            let secret = read_secret(&value, grants)?;
            if secret.config && manifest.config.contains_key(name) {
                return Err(value.bad("another name: [config] has this key already"));
            }
            grants.secrets.insert(name.to_owned(), secret);
        }
    }
    Ok(())
}

const URL: &str = "the beginning of a URL, such as \"https://api.example.com/v1/\"";

fn read_types(value: &Value<'_>) -> Result<Vec<Pattern>, ManifestError> {
    let types = value.texts(Pattern::new)?;
    if types.is_empty() {
        return Err(value.bad("at least one event type, or [\"*\"]: a plugin that may be handed nothing does nothing"));
    }
    Ok(types)
}

fn read_config(value: &Value<'_>, config: &BTreeMap<String, String>) -> Result<ConfigGrant, ManifestError> {
    match value.raw().as_bool() {
        Some(true) => return Ok(ConfigGrant::All),
        Some(false) => return Ok(ConfigGrant::Keys(Vec::new())),
        None if value.raw().as_array().is_none() => {
            return Err(value.bad("true (every key of [config]), false (none), or an array of keys"));
        }
        None => {}
    }
    let known = |key: String| match config.contains_key(&key) {
        true => Ok(key),
        false => Err(format!("[config] has no key {key:?}; write it there, or take it away here")),
    };
    value.list("a key of [config]", known).map(ConfigGrant::Keys)
}

fn read_secret(value: &Value<'_>, grants: &ManifestGrants) -> Result<SecretGrant, ManifestError> {
    let section = value.table(&keys::SECRET)?;
    let text = |key: &str| section.get(key).map(|value| value.text("a text").map(str::to_owned)).transpose();
    let source = match (text("env")?, text("file")?) {
        (Some(name), None) if !name.is_empty() && !name.contains(['=', '\0']) => SecretSource::Environment(name),
        (None, Some(path)) if !path.is_empty() => SecretSource::File(path.into()),
        _ => return Err(value.bad("a table with `env = \"NAME\"` or `file = \"path\"`, and not both")),
    };
    let config = section.get("config").map(|value| value.boolean()).transpose()?.unwrap_or(false);
    let header = read_header(value, &section, grants)?;
    if header.is_none() && !config {
        return Err(value.bad(
            "a table with `host` and `header`, so that the host sends it there, or with `config = true`, so that the \
             plugin may read it",
        ));
    }
    Ok(SecretGrant { source, header, config })
}

fn read_header(
    value: &Value<'_>,
    section: &Section<'_>,
    grants: &ManifestGrants,
) -> Result<Option<HeaderGrant>, ManifestError> {
    let (host, name) = match (section.get("host"), section.get("header")) {
        (Some(host), Some(name)) => (host, name),
        (None, None) if section.get("prefix").is_none() => return Ok(None),
        _ => return Err(value.bad("a table with both `host` and `header`, and maybe `prefix`")),
    };
    let at: HttpGrant = host.parsed(URL)?;
    if !grants.http.iter().any(|granted| granted.covers(&at)) {
        return Err(host.bad("a URL that [grants] http covers; add it there, or the secret goes nowhere"));
    }
    let text = name.text("the name of a header")?;
    header_name(text).map_err(|reason| name.bad(&format!("the name of a header ({reason})")))?;
    let prefix = section.get("prefix").map(|value| value.text("a text")).transpose()?.unwrap_or_default();
    Ok(Some(HeaderGrant { host: at, name: text.to_owned(), prefix: prefix.to_owned() }))
}
