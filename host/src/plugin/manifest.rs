//! `plugin.toml`: what the operator says about one plugin.
//!
//! Text in, typed [`Manifest`] out. A key that is not known is an error that names the nearest known one,
//! so that a typo never turns into a silent default. What is not said has the defaults of
//! [`DEFAULT_MANIFEST`]; a test holds that file against the `Default` impls. Nothing here touches files.

mod aggregate;
mod config;
mod grants;
mod keys;
mod validator;

use std::collections::BTreeMap;

use toml::de::DeValue;

pub use crate::document::DocumentError as ManifestError;
pub(super) use validator::ValidatorManifest;

use crate::command::AggregatePolicy;
use crate::delivery::{Backoff, Key, KeyMissing, OnExhausted, Policy, Start};
use crate::document::{Document, Section, Value, format_duration_ms, integer};
use crate::event::{Pattern, Position, Tag};
use crate::plugin::ManifestGrants;
use crate::plugin::source::digest_of;
use crate::runtime::Limits;

/// The commented manifest that holds every key with its default.
pub const DEFAULT_MANIFEST: &str = include_str!("manifest/default.toml");

/// The JSON schema of a manifest.
pub const MANIFEST_SCHEMA: &str = include_str!("../../docs/plugin.schema.json");

/// What the operator says about one plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// File name of the component within the plugin's folder; none for the only `.wasm` in it.
    pub component: Option<String>,
    /// Unstable interfaces of the contract that it may use.
    pub unstable: Vec<String>,
    /// What it listens to.
    pub subscribe: Subscribe,
    /// How it is driven.
    pub policy: Policy,
    /// Whether its state is built anew when its component changes.
    pub rebuild_on_change: bool,
    /// How commands are carried out, where it decides them.
    pub aggregate: AggregatePolicy,
    /// What it may use.
    pub limits: Limits,
    /// What it may do.
    pub grants: ManifestGrants,
    /// What it is configured with, as the guest sees it: text as it is, anything else as JSON.
    pub config: BTreeMap<String, String>,
}

/// What a plugin listens to. Where a list is not given, what the component describes counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subscribe {
    /// Event types; an empty list is all.
    pub types: Option<Vec<Pattern>>,
    /// Tags an event must all carry; an empty list asks for none.
    pub tags: Option<Vec<Tag>>,
    /// Streams; an empty list is all.
    pub streams: Option<Vec<Pattern>>,
    /// From where, while the plugin has no checkpoint.
    pub start: Start,
}

impl Manifest {
    /// Reads a manifest; `file` is its name in errors.
    ///
    /// # Errors
    /// When it is not TOML, or holds a key that is not known or a value that is not allowed.
    pub fn parse(file: &str, text: &str) -> Result<Self, ManifestError> {
        let (document, table) = Document::parse(file, text, keys::TABLES)?;
        let root = document.root(table.get_ref(), &keys::ROOT)?;
        let mut manifest = Self::default();
        if let Some(component) = root.get("component") {
            manifest.component = Some(read_component(&component)?);
        }
        if let Some(unstable) = root.get("unstable") {
            manifest.unstable = unstable.texts(read_unstable)?;
        }
        if let Some(subscribe) = root.section("subscribe", &keys::SUBSCRIBE)? {
            manifest.subscribe = read_subscribe(&subscribe)?;
        }
        if let Some(delivery) = root.section("delivery", &keys::DELIVERY)? {
            manifest.policy = read_policy(&delivery)?;
            manifest.rebuild_on_change = read_rebuild(&delivery)?;
        }
        if let Some(section) = root.section("aggregate", &keys::AGGREGATE)? {
            manifest.aggregate = aggregate::read(&section)?;
        }
        if let Some(limits) = root.section("limits", &keys::LIMITS)? {
            manifest.limits = read_limits(&limits)?;
            if let Some(value) = limits.get("causation_depth") {
                manifest.policy.causation_depth_max = read_u32(&value, bounds::CAUSATION_DEPTH_MAX)?;
            }
            if let Some(value) = limits.get("causation_events") {
                manifest.policy.causation_events_max = value.integer(1..=bounds::CAUSATION_EVENTS_MAX)?;
            }
            if let Some(value) = limits.get("state") {
                manifest.policy.state_bytes_max = value.size(bounds::STATE_BYTES_MIN..=bounds::STATE_BYTES_MAX)?;
            }
        }
        if let Some(entries) = root.section("config", &keys::CONFIG)? {
            manifest.config = config::read(&entries)?;
        }
        if let Some(section) = root.section("grants", &keys::GRANTS)? {
            grants::read(&section, &mut manifest)?;
        }
        Ok(manifest)
    }

    /// Reads that of a validator, `validators/NAME.toml`: what of it any component has, its limits and its configuration.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn parse_validator(file: &str, text: &str) -> Result<Self, ManifestError> {
        let ValidatorManifest { limits, config, .. } = ValidatorManifest::parse(file, text)?;
        Ok(Self { limits, config, ..Self::default() })
    }
}

impl Manifest {
    /// Tells it from one that says something else: SHA-256 in hex, as this release reads it.
    #[must_use]
    pub fn digest(&self) -> String {
        digest_of(format!("{self:?}").as_bytes())
    }
}

fn read_component(value: &Value<'_>) -> Result<String, ManifestError> {
    const ALLOWED: &str = "the name of a file in the plugin's folder, such as \"plugin.wasm\"";
    let name = value.text(ALLOWED)?;
    let plain = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0']);
    if plain { Ok(name.into()) } else { Err(value.bad(ALLOWED)) }
}

fn read_unstable(name: String) -> Result<String, &'static str> {
    if name.starts_with("unstable-") { Ok(name) } else { Err("of an interface that begins with \"unstable-\"") }
}

fn read_subscribe(section: &Section<'_>) -> Result<Subscribe, ManifestError> {
    let patterns = |key| section.get(key).map(|value| value.texts(Pattern::new)).transpose();
    Ok(Subscribe {
        types: patterns("types")?,
        streams: patterns("streams")?,
        tags: section.get("tags").map(|value| value.texts(Tag::new)).transpose()?,
        start: section.get("start").map(|value| read_start(&value)).transpose()?.unwrap_or_default(),
    })
}

fn read_start(value: &Value<'_>) -> Result<Start, ManifestError> {
    let start = match value.raw() {
        DeValue::String(text) if text == "beginning" => Some(Start::Beginning),
        DeValue::String(text) if text == "end" => Some(Start::End),
        DeValue::String(text) => read_time(text),
        DeValue::Datetime(time) => read_time(&time.to_string()),
        DeValue::Integer(_) => integer(value.raw())
            .and_then(|position| u64::try_from(position).ok())
            .map(|position| Start::After(Position(position))),
        DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    };
    start.ok_or_else(|| {
        value.bad(
            "\"beginning\", \"end\", a position (a whole number; it begins strictly after it), \
             or a time since 1970 such as \"2026-01-31T12:00:00Z\"",
        )
    })
}

fn read_time(text: &str) -> Option<Start> {
    crate::clock::rfc3339_us(text).map(Start::Time)
}

fn read_policy(section: &Section<'_>) -> Result<Policy, ManifestError> {
    let mut policy = Policy::default();
    if let Some(value) = section.get("key") {
        policy.key = Some(read_key(&value)?);
    }
    if let Some(value) = section.get("key_missing") {
        const ALLOWED: &str = "\"park\" (set the event aside) or \"alone\" (handle it, in no order with others)";
        policy.key_missing = match value.text(ALLOWED)? {
            "park" => KeyMissing::Park,
            "alone" => KeyMissing::Alone,
            _ => return Err(value.bad(ALLOWED)),
        };
    }
    if let Some(value) = section.get("partitions") {
        policy.partitions = read_u32(&value, bounds::PARTITIONS_MAX)?;
    }
    if let Some(value) = section.get("parked_events_max") {
        policy.parked_events_max = usize_of(value.integer(1..=bounds::PARKED_EVENTS_MAX)?);
    }
    read_attempts(section, &mut policy)?;
    Ok(policy)
}

fn read_rebuild(section: &Section<'_>) -> Result<bool, ManifestError> {
    const ALLOWED: &str = "\"on-change\" (a new component builds its state anew) or \"on-command\"";
    let Some(value) = section.get("rebuild") else { return Ok(false) };
    match value.text(ALLOWED)? {
        "on-change" => Ok(true),
        "on-command" => Ok(false),
        _ => Err(value.bad(ALLOWED)),
    }
}

fn read_key(value: &Value<'_>) -> Result<Key, ManifestError> {
    const ALLOWED: &str =
        "\"stream\", \"tag:PREFIX\" (the first tag that begins so), \"metadata:NAME\" or \"correlation_id\"";
    value.text(ALLOWED)?.parse().map_err(|_| value.bad(ALLOWED))
}

/// How often an event is tried, how fast, and what follows.
fn read_attempts(section: &Section<'_>, policy: &mut Policy) -> Result<(), ManifestError> {
    if let Some(value) = section.get("batch_events_max") {
        policy.batch_events_max = usize_of(value.integer(1..=bounds::BATCH_EVENTS_MAX)?);
    }
    if let Some(value) = section.get("max_attempts") {
        policy.max_attempts = read_u32(&value, bounds::ATTEMPTS_MAX)?;
    }
    if let Some(value) = section.get("max_faults") {
        policy.max_faults = read_u32(&value, bounds::ATTEMPTS_MAX)?;
    }
    if let Some(value) = section.get("backoff") {
        policy.backoff = read_backoff(&value)?;
    }
    if let Some(value) = section.get("on_exhausted") {
        const ALLOWED: &str = "\"park\" (set the event aside and go on) or \"halt\" (stop before it)";
        policy.on_exhausted = match value.text(ALLOWED)? {
            "park" => OnExhausted::Park,
            "halt" => OnExhausted::Halt,
            _ => return Err(value.bad(ALLOWED)),
        };
    }
    Ok(())
}

fn read_u32(value: &Value<'_>, max: u64) -> Result<u32, ManifestError> {
    Ok(u32::try_from(value.integer(1..=max)?).unwrap_or(u32::MAX))
}

fn read_backoff(value: &Value<'_>) -> Result<Backoff, ManifestError> {
    backoff(&value.table(&keys::BACKOFF)?, Backoff::default())
}

fn backoff(section: &Section<'_>, mut backoff: Backoff) -> Result<Backoff, ManifestError> {
    if let Some(initial) = section.get("initial") {
        backoff.initial_ms = initial.duration_ms(1..=bounds::BACKOFF_MS_MAX)?;
        backoff.max_ms = backoff.max_ms.max(backoff.initial_ms);
    }
    if let Some(max) = section.get("max") {
        backoff.max_ms = max.duration_ms(1..=bounds::BACKOFF_MS_MAX)?;
        if section.get("initial").is_none() {
            backoff.initial_ms = backoff.initial_ms.min(backoff.max_ms);
        }
        if backoff.max_ms < backoff.initial_ms {
            let initial = format_duration_ms(backoff.initial_ms);
            return Err(max.bad(&format!("at least `initial`, which is \"{initial}\"")));
        }
    }
    if let Some(jitter) = section.get("jitter") {
        backoff.jitter = jitter.boolean()?;
    }
    Ok(backoff)
}

fn read_limits(section: &Section<'_>) -> Result<Limits, ManifestError> {
    let mut limits = Limits::default();
    if let Some(value) = section.get("memory") {
        limits.memory_bytes = usize_of(value.size(bounds::MEMORY_BYTES_MIN..=bounds::MEMORY_BYTES_MAX)?);
    }
    if let Some(value) = section.get("batch_time") {
        limits.batch_time_ms = value.duration_ms(bounds::BATCH_TIME_MS_MIN..=bounds::BATCH_TIME_MS_MAX)?;
    }
    if let Some(value) = section.get("query_time") {
        limits.query_time_ms = value.duration_ms(bounds::BATCH_TIME_MS_MIN..=bounds::QUERY_TIME_MS_MAX)?;
    }
    if let Some(value) = section.get("query_answer") {
        limits.query_answer_bytes = usize_of(value.size(1..=bounds::QUERY_ANSWER_BYTES_MAX)?);
    }
    if let Some(value) = section.get("fuel") {
        limits.fuel = Some(value.integer(bounds::FUEL_MIN..=bounds::FUEL_MAX)?);
    }
    if let Some(value) = section.get("log_bytes_per_batch") {
        limits.log_bytes_per_batch = usize_of(value.size(0..=bounds::LOG_BYTES_MAX)?);
    }
    if let Some(value) = section.get("http_requests_per_batch") {
        let requests = value.integer(1..=bounds::HTTP_REQUESTS_MAX)?;
        limits.http_requests_per_batch = u32::try_from(requests).unwrap_or(u32::MAX);
    }
    if let Some(value) = section.get("http_request_body") {
        limits.http_request_bytes = value.size(0..=bounds::HTTP_BODY_BYTES_MAX)?;
    }
    if let Some(value) = section.get("http_response_body") {
        limits.http_response_bytes = value.size(0..=bounds::HTTP_BODY_BYTES_MAX)?;
    }
    if let Some(value) = section.get("http_time") {
        limits.http_time_ms = value.duration_ms(bounds::HTTP_TIME_MS_MIN..=bounds::BATCH_TIME_MS_MAX)?;
    }
    Ok(limits)
}

fn usize_of(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Bounds on what a manifest may ask for. Units last.
mod bounds {
    /// Each is a task and an instance of the component.
    pub(super) const PARTITIONS_MAX: u64 = 64;
    /// A few bytes of memory for each.
    pub(super) const PARKED_EVENTS_MAX: u64 = 1_000_000;
    pub(super) const BATCH_EVENTS_MAX: u64 = 10_000;
    pub(super) const ATTEMPTS_MAX: u64 = 1_000_000;
    pub(super) const BACKOFF_MS_MAX: u64 = 24 * 3_600_000;
    pub(super) const MEMORY_BYTES_MIN: u64 = 64 << 10;
    /// What a 32-bit memory can hold.
    pub(super) const MEMORY_BYTES_MAX: u64 = 4 << 30;
    /// One tick of the deadline clock.
    pub(super) const BATCH_TIME_MS_MIN: u64 = 10;
    pub(super) const BATCH_TIME_MS_MAX: u64 = 600_000;
    /// A client waits for it, and the store keeps what has changed since it began.
    pub(super) const QUERY_TIME_MS_MAX: u64 = 60_000;
    /// It is held in memory whole, by the guest and by the host.
    pub(super) const QUERY_ANSWER_BYTES_MAX: u64 = 64 << 20;
    /// What no guest can start with less.
    pub(super) const FUEL_MIN: u64 = 1_000;
    /// More than a batch time of ten minutes can use up.
    pub(super) const FUEL_MAX: u64 = 1_000_000_000_000_000;
    pub(super) const CAUSATION_DEPTH_MAX: u64 = 1_000;
    pub(super) const CAUSATION_EVENTS_MAX: u64 = 1_000_000_000;
    pub(super) const STATE_BYTES_MIN: u64 = 1 << 10;
    pub(super) const STATE_BYTES_MAX: u64 = 16 << 40;
    pub(super) const LOG_BYTES_MAX: u64 = 16 << 20;
    pub(super) const HTTP_REQUESTS_MAX: u64 = 100_000;
    pub(super) const HTTP_BODY_BYTES_MAX: u64 = 1 << 30;
    pub(super) const HTTP_TIME_MS_MIN: u64 = 100;
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod schema_tests;
