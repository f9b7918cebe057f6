//! What can be seen of plugins from outside: plain texts and numbers, ready to be written as JSON.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;
use utoipa::ToSchema;

use crate::delivery::{Cost, KeyMissing, OnExhausted, Policy, Start, Status, Subscription};
use crate::event::{Category, PluginName};
use crate::plugin::{ConfigGrant, ManifestGrants};
use crate::runtime::{Description, Limits};

/// Key of a description under which a component names a query that it answers.
const QUERY: &str = "query";

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
    /// What decides commands; none for a plugin that does not.
    #[serde(flatten)]
    pub deciding: Option<AggregateInfo>,
}

/// A version that decides commands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AggregateInfo {
    /// For which aggregates: the category of their streams.
    pub aggregate: Category,
    /// Version of what its snapshots hold.
    pub snapshot_schema: u32,
    /// How many versions have run since the process started, this one included.
    pub generation: u64,
    /// SHA-256 of the component, in hex.
    pub digest: String,
    /// Its roles, by name.
    pub roles: Vec<String>,
    /// How it introduces itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<DescriptionInfo>,
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
    /// What its authors say of it, in its file: `version`, `authors`, `licenses`, `source` and the like.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
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
    /// How much of its limits it has used at most, since this version runs.
    pub used_percent: UsedPercent,
    /// What its delivery is doing.
    pub status: Status,
}

/// How much of its limits a plugin has used: whole percents, rounded up. More than 100 is what was cut off there,
/// or noticed a little later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct UsedPercent {
    /// Memory of the instance that had most.
    pub memory: u64,
    /// Time of the longest call.
    pub batch_time: u64,
    /// Fuel of the dearest call; none without a limit.
    pub fuel: Option<u64>,
    /// Log of the loudest call, dropped lines included.
    pub log_bytes_per_batch: u64,
    /// Events that are set aside now.
    pub parked_events_max: u64,
    /// State of the live generation; told by who looks at what is stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub state: Option<u64>,
}

impl UsedPercent {
    /// How much so many bytes of state are of those that there may be.
    #[must_use]
    pub fn of_state(bytes: u64, bytes_max: u64) -> u64 {
        percent(bytes.into(), bytes_max.into())
    }

    /// What has been used of these.
    pub(super) fn of(limits: &Limits, policy: &Policy, status: &Status) -> Self {
        let Cost { batch_us_max, usage, .. } = status.cost;
        let set_aside = status.set_aside.parked + status.set_aside.waiting;
        Self {
            memory: percent(wide(usage.instance_peak_bytes), wide(limits.memory_bytes)),
            batch_time: percent(batch_us_max.into(), u128::from(limits.batch_time_ms) * 1_000),
            fuel: limits.fuel.map(|fuel| percent(usage.batch_fuel_max.into(), fuel.into())),
            log_bytes_per_batch: percent(usage.batch_log_bytes_max.into(), wide(limits.log_bytes_per_batch)),
            parked_events_max: percent(wide(set_aside), wide(policy.parked_events_max)),
            state: None,
        }
    }
}

/// How much `used` is of `limit`, in whole percents, rounded up; 100 of none.
fn percent(used: u128, limit: u128) -> u64 {
    match limit {
        0 if used == 0 => 0,
        0 => 100,
        _ => u64::try_from((used * 100).div_ceil(limit)).unwrap_or(u64::MAX),
    }
}

fn wide(number: usize) -> u128 {
    u128::try_from(number).unwrap_or(u128::MAX)
}

/// Something that is wrong with files in the directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = PluginProblem)]
pub struct Problem {
    /// What is wrong, where, and what to do.
    pub reason: String,
    /// Since when it is known: microseconds since the Unix epoch.
    pub since_us: u64,
}

/// How a component introduces itself: its own words, empty where it says nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Description)]
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
    /// The queries it answers, as far as it says which.
    pub queries: Vec<String>,
    /// Which schema its state has, if it says: another one than before has the state built anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_schema: Option<String>,
}

/// What a plugin listens to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Subscription)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Policy)]
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
    /// How many appends by plugins, one because of the other, may lead to an event that it appends.
    pub causation_depth_max: u32,
    /// How many events it may append that follow from one first cause.
    pub causation_events_max: u64,
    /// What its state may come to, in bytes of keys and values.
    pub state_bytes_max: u64,
}

/// What a plugin may use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Limits)]
pub struct LimitsInfo {
    /// Linear memory, in bytes.
    pub memory_bytes: usize,
    /// Table elements.
    pub table_elements: usize,
    /// Wall time of one call, in milliseconds.
    pub batch_time_ms: u64,
    /// Wall time of one query, in milliseconds.
    pub query_time_ms: u64,
    /// An answer to a query, in bytes.
    pub query_answer_bytes: usize,
    /// Fuel of one call; none for as much as its time allows.
    pub fuel: Option<u64>,
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Grants)]
pub struct GrantsInfo {
    /// Patterns of the event types it may append.
    pub append: Vec<String>,
    /// Patterns of the commands it may send, as `aggregate:Type`.
    pub dispatch: Vec<String>,
    /// Patterns of the event types it may be handed.
    pub read: Vec<String>,
    /// Beginnings of the URLs it may send requests to.
    pub http: Vec<String>,
    /// Addresses it may reach although they are not public.
    pub http_private: Vec<String>,
    /// Keys of its configuration that it may read; `*` alone for all.
    pub config: Vec<String>,
    /// Names of the secrets that are used for it.
    pub secrets: Vec<String>,
}

impl From<&ManifestGrants> for GrantsInfo {
    fn from(grants: &ManifestGrants) -> Self {
        Self {
            append: texts(&grants.append),
            dispatch: texts(&grants.dispatch),
            read: texts(&grants.read),
            http: texts(&grants.http),
            http_private: texts(&grants.http_private),
            config: match &grants.config {
                ConfigGrant::All => vec!["*".into()],
                ConfigGrant::Keys(keys) => keys.clone(),
            },
            secrets: grants.secrets.keys().cloned().collect(),
        }
    }
}

impl From<&Description> for DescriptionInfo {
    fn from(description: &Description) -> Self {
        let state_schema = description.state_schema().map(str::to_owned);
        let Description { name, version, summary, types, streams, tags, append, extra } = description.clone();
        let queries = extra.into_iter().filter(|(key, _)| key == QUERY).map(|(_, query)| query).collect();
        Self { name, version, summary, types, streams, tags, append, queries, state_schema }
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
            causation_depth_max: policy.causation_depth_max,
            causation_events_max: policy.causation_events_max,
            state_bytes_max: policy.state_bytes_max,
        }
    }
}

impl From<&Limits> for LimitsInfo {
    fn from(limits: &Limits) -> Self {
        Self {
            memory_bytes: limits.memory_bytes,
            table_elements: limits.table_elements,
            batch_time_ms: limits.batch_time_ms,
            query_time_ms: limits.query_time_ms,
            query_answer_bytes: limits.query_answer_bytes,
            fuel: limits.fuel,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::{SetAside, Usage};

    #[test]
    fn every_grant_is_shown_also_where_it_gives_nothing() {
        let shown = |config: ConfigGrant| {
            let grants = ManifestGrants { config, ..ManifestGrants::default() };
            serde_json::to_value(GrantsInfo::from(&grants)).unwrap()
        };
        let all = shown(ConfigGrant::All);
        assert_eq!((&all["dispatch"], &all["config"]), (&serde_json::json!([]), &serde_json::json!(["*"])));
        assert_eq!(shown(ConfigGrant::Keys(vec!["k".into()]))["config"], serde_json::json!(["k"]));
    }

    #[test]
    fn shares_of_limits_are_rounded_up() {
        let limits = Limits { memory_bytes: 200, batch_time_ms: 1, log_bytes_per_batch: 0, ..Limits::default() };
        let policy = Policy { parked_events_max: 10, ..Policy::default() };
        let mut status = Status::default();
        let none = UsedPercent::of(&Limits::default(), &policy, &status);
        let zero = UsedPercent {
            memory: 0,
            batch_time: 0,
            fuel: None,
            log_bytes_per_batch: 0,
            parked_events_max: 0,
            state: None,
        };
        assert_eq!(none, zero);
        assert_eq!(UsedPercent::of(&limits, &policy, &status), none);
        status.set_aside = SetAside { parked: 2, waiting: 3, blocked_keys: 1 };
        let usage =
            Usage { instance_peak_bytes: 3, batch_fuel_max: 7, batch_log_bytes_max: 1, fuel: 90, ..Usage::default() };
        status.cost = Cost { batch_us_max: 1_001, usage, ..Cost::default() };
        let limits = Limits { fuel: Some(7), ..limits };
        let expected = UsedPercent {
            memory: 2,
            batch_time: 101,
            fuel: Some(100),
            log_bytes_per_batch: 100,
            parked_events_max: 50,
            state: None,
        };
        assert_eq!(UsedPercent::of(&limits, &policy, &status), expected);
    }
}
