//! What can be seen of plugins from outside: plain texts and numbers, ready to be written as JSON.

use std::path::PathBuf;

use serde::Serialize;

use crate::delivery::{KeyMissing, OnExhausted, Policy, Start, Status, Subscription};
use crate::event::PluginName;
use crate::plugin::{ConfigGrant, ManifestGrants};
use crate::runtime::{Description, Limits};

/// One plugin of the directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PluginInfo {
    /// Its name: that of its folder or file.
    pub name: PluginName,
    /// Where its files are.
    pub source: PathBuf,
    /// Whether something is being loaded for it now.
    pub loading: bool,
    /// What is wrong with its files; what runs is then older than they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// What runs; none while nothing could be loaded.
    #[serde(flatten)]
    pub running: Option<RunningInfo>,
}

/// What runs under a plugin's name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RunningInfo {
    /// How many versions have run since the process started, this one included.
    pub generation: u64,
    /// SHA-256 of the component, in hex.
    pub digest: String,
    /// Its roles, by name.
    pub roles: Vec<String>,
    /// How it introduces itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<DescriptionInfo>,
    /// What it listens to: the manifest's word, else the description's.
    pub subscription: SubscriptionInfo,
    /// How it is driven.
    pub policy: PolicyInfo,
    /// What it may use.
    pub limits: LimitsInfo,
    /// What it may do.
    pub grants: GrantsInfo,
    /// Whether it can be replayed and rebuilt: it reaches nothing outside.
    pub replayable: bool,
    /// How often it was denied something since this version runs.
    pub denied: u64,
    /// What its delivery is doing.
    pub status: Status,
}

/// Something that is wrong with files in the directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// What is wrong, where, and what to do.
    pub reason: String,
    /// Since when it is known: microseconds since the Unix epoch.
    pub since_us: u64,
}

/// How a component introduces itself: its own words, empty where it says nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DescriptionInfo {
    /// Its own name; the installed name is that of its file or folder.
    pub name: String,
    /// Its own version, for people.
    pub version: String,
    /// What it does, in one line.
    pub summary: String,
    /// The event types it listens to.
    pub types: Vec<String>,
    /// The streams it listens to.
    pub streams: Vec<String>,
    /// The tags an event must all carry.
    pub tags: Vec<String>,
    /// The event types it wants to append.
    pub append: Vec<String>,
}

/// What a plugin listens to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SubscriptionInfo {
    /// Patterns of event types, any of them; none for all.
    pub types: Vec<String>,
    /// Patterns of streams, any of them; none for all.
    pub streams: Vec<String>,
    /// Tags, all of them.
    pub tags: Vec<String>,
    /// Where it begins without a checkpoint: `beginning`, `end`, `after 17`, or a time.
    pub start: String,
}

/// How a plugin is driven.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PolicyInfo {
    /// What keeps the order of events; none where all events keep one order.
    pub key: Option<String>,
    /// What happens to events without that key: `park` or `alone`.
    pub key_missing: &'static str,
    /// How many partitions handle side by side.
    pub partitions: u32,
    /// Most events in one call.
    pub batch_events_max: usize,
    /// Attempts at one event.
    pub max_attempts: u32,
    /// Faults at one event.
    pub max_faults: u32,
    /// Wait after the first failed attempt, in milliseconds.
    pub backoff_initial_ms: u64,
    /// Longest wait, in milliseconds.
    pub backoff_max_ms: u64,
    /// Whether waits are drawn at random from their upper half.
    pub backoff_jitter: bool,
    /// `park` or `halt`.
    pub on_exhausted: &'static str,
    /// Set-aside events beyond which it halts.
    pub parked_events_max: usize,
}

/// What a plugin may use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LimitsInfo {
    /// Linear memory, in bytes.
    pub memory_bytes: usize,
    /// Table elements.
    pub table_elements: usize,
    /// Wall time of one call, in milliseconds.
    pub batch_time_ms: u64,
    /// What it may hand to the host in one call, in bytes.
    pub hostcall_bytes: usize,
    /// What it may log in one call, in bytes.
    pub log_bytes_per_batch: usize,
    /// HTTP requests that it may send in one call.
    pub http_requests_per_batch: u32,
    /// Body of one HTTP request, in bytes.
    pub http_request_bytes: u64,
    /// Body of one HTTP response, in bytes.
    pub http_response_bytes: u64,
    /// Wall time of one HTTP exchange, in milliseconds.
    pub http_time_ms: u64,
}

/// What a plugin may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GrantsInfo {
    /// Patterns of the event types it may append.
    pub append: Vec<String>,
    /// Patterns of the event types it may be handed.
    pub read: Vec<String>,
    /// Beginnings of the URLs it may send requests to.
    pub http: Vec<String>,
    /// Addresses it may reach although they are not public.
    pub http_private: Vec<String>,
    /// Keys of its configuration that it may read; none for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<Vec<String>>,
    /// Names of the secrets that are used for it.
    pub secrets: Vec<String>,
}

impl From<&ManifestGrants> for GrantsInfo {
    fn from(grants: &ManifestGrants) -> Self {
        Self {
            append: texts(&grants.append),
            read: texts(&grants.read),
            http: texts(&grants.http),
            http_private: texts(&grants.http_private),
            config: match &grants.config {
                ConfigGrant::All => None,
                ConfigGrant::Keys(keys) => Some(keys.clone()),
            },
            secrets: grants.secrets.keys().cloned().collect(),
        }
    }
}

impl From<&Description> for DescriptionInfo {
    fn from(description: &Description) -> Self {
        let Description { name, version, summary, types, streams, tags, append, extra: _ } = description.clone();
        Self { name, version, summary, types, streams, tags, append }
    }
}

impl From<&Subscription> for SubscriptionInfo {
    fn from(subscription: &Subscription) -> Self {
        let filter = &subscription.filter;
        Self {
            types: texts(&filter.types),
            streams: texts(&filter.streams),
            tags: filter.tags.iter().map(ToString::to_string).collect(),
            start: describe_start(subscription.start),
        }
    }
}

impl From<&Policy> for PolicyInfo {
    fn from(policy: &Policy) -> Self {
        Self {
            key: policy.order_key().map(|key| key.to_string()),
            key_missing: match policy.key_missing {
                KeyMissing::Park => "park",
                KeyMissing::Alone => "alone",
            },
            partitions: policy.partitions,
            batch_events_max: policy.batch_events_max,
            max_attempts: policy.max_attempts,
            max_faults: policy.max_faults,
            backoff_initial_ms: policy.backoff.initial_ms,
            backoff_max_ms: policy.backoff.max_ms,
            backoff_jitter: policy.backoff.jitter,
            on_exhausted: match policy.on_exhausted {
                OnExhausted::Park => "park",
                OnExhausted::Halt => "halt",
            },
            parked_events_max: policy.parked_events_max,
        }
    }
}

impl From<&Limits> for LimitsInfo {
    fn from(limits: &Limits) -> Self {
        Self {
            memory_bytes: limits.memory_bytes,
            table_elements: limits.table_elements,
            batch_time_ms: limits.batch_time_ms,
            hostcall_bytes: limits.hostcall_bytes,
            log_bytes_per_batch: limits.log_bytes_per_batch,
            http_requests_per_batch: limits.http_requests_per_batch,
            http_request_bytes: limits.http_request_bytes,
            http_response_bytes: limits.http_response_bytes,
            http_time_ms: limits.http_time_ms,
        }
    }
}

/// Patterns and the like as texts.
pub(super) fn texts<T: ToString>(items: &[T]) -> Vec<String> {
    items.iter().map(ToString::to_string).collect()
}

fn describe_start(start: Start) -> String {
    match start {
        Start::Beginning => "beginning".into(),
        Start::End => "end".into(),
        Start::After(position) => format!("after {position}"),
        Start::Time(us) => {
            let time = i64::try_from(us).ok().and_then(|us| jiff::Timestamp::from_microsecond(us).ok());
            time.map_or_else(|| format!("{us} us"), |time| time.to_string())
        }
    }
}
