//! Every key a manifest may have.

use crate::document::Known;

pub(super) const ROOT: Known<'static> = Known::table(
    "",
    &["component", "unstable", "subscribe", "delivery", "aggregate", "limits", "grants", "config"],
    &[],
);
pub(super) const SUBSCRIBE: Known<'static> = Known::table("subscribe", &["types", "tags", "streams", "start"], &[]);
pub(super) const DELIVERY: Known<'static> = Known::table(
    "delivery",
    &[
        "key",
        "key_missing",
        "partitions",
        "batch_events_max",
        "max_attempts",
        "max_faults",
        "backoff",
        "on_exhausted",
        "parked_events_max",
        "rebuild",
    ],
    &[],
);
pub(super) const BACKOFF: Known<'static> =
    Known { inline: true, ..Known::table("delivery.backoff", &["initial", "max", "jitter"], &[]) };
pub(super) const AGGREGATE: Known<'static> = Known::table(
    "aggregate",
    &["category", "commands", "deadline", "retries", "retry_on", "backoff", "snapshot_every", "snapshot_after", "hot"],
    &[],
);
pub(super) const AGGREGATE_BACKOFF: Known<'static> =
    Known { inline: true, ..Known::table("aggregate.backoff", &["initial", "max", "jitter"], &[]) };
pub(super) const LIMITS: Known<'static> = Known::table("limits", LIMIT_KEYS, &["fuel_per_event"]);
const LIMIT_KEYS: &[&str] = &[
    "memory",
    "batch_time",
    "query_time",
    "query_answer",
    "fuel",
    "causation_depth",
    "causation_events",
    "state",
    "log_bytes_per_batch",
    "http_requests_per_batch",
    "http_request_body",
    "http_response_body",
    "http_time",
];
pub(super) const GRANTS: Known<'static> = Known::table(
    "grants",
    &["append", "dispatch", "read", "http", "http_private", "config", "secrets"],
    &["publish", "schedule"],
);
pub(super) const SECRETS: Known<'static> =
    Known { any: true, inline: true, ..Known::table("grants.secrets", &[], &[]) };
pub(super) const SECRET: Known<'static> = Known {
    inline: true,
    ..Known::table("grants.secrets", &["env", "file", "host", "header", "prefix", "config"], &[])
};
pub(super) const CONFIG: Known<'static> = Known { any: true, ..Known::table("config", &[], &[]) };

/// Every table with keys of its own.
pub(super) const TABLES: &[&Known<'static>] =
    &[&ROOT, &SUBSCRIBE, &DELIVERY, &BACKOFF, &AGGREGATE, &AGGREGATE_BACKOFF, &LIMITS, &GRANTS];

/// The keys of a validator's file.
pub(super) const VALIDATOR: Known<'static> = Known::table("", &["commands", "limits", "config"], &[]);
/// Its tables with keys of their own.
pub(super) const VALIDATOR_TABLES: &[&Known<'static>] = &[&VALIDATOR, &LIMITS];
