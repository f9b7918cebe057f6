//! Every key a manifest may have, and the help for those it may not.

/// What may stand in one table.
pub(super) struct Known {
    /// The table's name; empty for the top level.
    name: &'static str,
    /// Its keys.
    pub(super) keys: &'static [&'static str],
    /// Keys of later releases.
    pub(super) later: &'static [&'static str],
    /// Whether any key may stand here.
    pub(super) any: bool,
    /// Whether it is written `key = { .. }`.
    pub(super) inline: bool,
}

pub(super) const ROOT: Known = table("", &["component", "subscribe", "delivery", "limits", "grants", "config"], &[]);
pub(super) const SUBSCRIBE: Known = table("subscribe", &["types", "tags", "streams", "start"], &[]);
pub(super) const DELIVERY: Known = table(
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
pub(super) const BACKOFF: Known =
    Known { inline: true, ..table("delivery.backoff", &["initial", "max", "jitter"], &[]) };
pub(super) const LIMITS: Known = table("limits", LIMIT_KEYS, &["fuel_per_event", "state"]);
const LIMIT_KEYS: &[&str] = &[
    "memory",
    "batch_time",
    "fuel",
    "causation_depth",
    "log_bytes_per_batch",
    "http_requests_per_batch",
    "http_request_body",
    "http_response_body",
    "http_time",
];
pub(super) const GRANTS: Known = table(
    "grants",
    &["append", "read", "http", "http_private", "config", "secrets"],
    &["dispatch", "publish", "schedule"],
);
pub(super) const SECRETS: Known = Known { any: true, inline: true, ..table("grants.secrets", &[], &[]) };
pub(super) const SECRET: Known =
    Known { inline: true, ..table("grants.secrets", &["env", "file", "host", "header", "prefix", "config"], &[]) };
pub(super) const CONFIG: Known = Known { any: true, ..table("config", &[], &[]) };

/// Every table with keys of its own.
const TABLES: &[&Known] = &[&ROOT, &SUBSCRIBE, &DELIVERY, &BACKOFF, &LIMITS, &GRANTS];
/// How alike two keys must be, from 0 to 1, for one to be taken as a misspelling of the other.
const ALIKE_MIN: f64 = 0.6;

const fn table(name: &'static str, keys: &'static [&'static str], later: &'static [&'static str]) -> Known {
    Known { name, keys, later, any: false, inline: false }
}

impl Known {
    /// A key of this table, as errors name it.
    pub(super) fn describe(&self, key: &str, is_table: bool) -> String {
        match (self.name, is_table) {
            ("", true) => format!("table [{key}]"),
            ("", false) => format!("key {key:?}"),
            (name, _) => format!("key {key:?} in [{name}]"),
        }
    }

    /// What to write instead of an unknown key.
    pub(super) fn hint(&self, key: &str) -> String {
        if let Some(home) = TABLES.iter().find(|table| !table.name.is_empty() && table.keys.contains(&key)) {
            return format!("{key:?} belongs in [{}]", home.name);
        }
        let all = self.keys.join(", ");
        match self.nearest(key) {
            Some(nearest) => format!("did you mean {nearest:?}? known here: {all}"),
            None => format!("known here: {all}"),
        }
    }

    fn nearest(&self, key: &str) -> Option<&'static str> {
        let key = key.to_lowercase().replace('-', "_");
        let alike = self.keys.iter().map(|known| (strsim::normalized_damerau_levenshtein(known, &key), *known));
        let best = alike.max_by(|(one, _), (other, _)| one.total_cmp(other))?;
        (best.0 >= ALIKE_MIN).then_some(best.1)
    }
}
