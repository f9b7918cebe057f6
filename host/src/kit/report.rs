//! What came of a fixture, beside what had to.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};

use super::alike::{alike, both_alike};
use super::fixture::{Appended, Dead, Dispatched, Fixture, Lifted, Refused, Then, Waited};
use super::{Asked, Call, CameOf};

/// What came of one fixture.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// The fixture's name.
    pub name: String,
    /// What it shows, for people.
    pub about: String,
    /// Where what came differs from what had to; none when it passed.
    pub differences: Vec<Difference>,
    /// What is odd about it, whatever came: events that the plugin does not listen to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// What came: what its `then` would be if it were right.
    pub found: Then,
    /// Whether it had come to rest when that was looked at.
    pub settled: bool,
    /// How long handling its events took, in microseconds of the handler.
    pub handler_us: u64,
    /// Fuel that it took: about one unit for each instruction.
    pub fuel: u64,
    /// The most memory that the plugin had, in bytes.
    pub memory_peak_bytes: usize,
}

/// One place where what came is not what had to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Which place.
    pub what: String,
    /// What had to be there; none for nothing.
    pub expected: Option<Value>,
    /// What is there; none for nothing.
    pub found: Option<Value>,
}

impl Report {
    /// Of a fixture, before anything has come of it.
    pub(super) fn about(file: &Path, fixture: &Fixture) -> Self {
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Self { name, about: fixture.about.clone(), ..Self::default() }
    }

    /// The same with what its calls took, where that is all that is known of it.
    pub(super) fn measured(self, calls: &[Call]) -> Self {
        let handler_us = calls.iter().map(|call| call.us).sum();
        let memory_peak_bytes = calls.iter().map(|call| call.memory_bytes).max().unwrap_or_default();
        Self { handler_us, memory_peak_bytes, ..self }
    }

    /// Whether it passed.
    #[must_use]
    pub const fn passed(&self) -> bool {
        self.differences.is_empty()
    }
}

/// Three lines: which place, what had to come, and what came.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = |value: &Option<Value>| value.as_ref().map_or_else(|| "nothing".into(), Value::to_string);
        write!(f, "{}\n  - {}\n  + {}", self.what, side(&self.expected), side(&self.found))
    }
}

/// Where what was found is not what was expected.
pub(super) fn compare(expected: &Then, found: &Then) -> Vec<Difference> {
    let mut differences = Vec::new();
    if let (Some(state), Some(is)) = (&expected.state, &found.state) {
        let keys = state.keys().chain(is.keys().filter(|key| !state.contains_key(*key)));
        differences.extend(keys.filter_map(|key| differ(format!("state {key:?}"), state.get(key), is.get(key))));
    }
    differences.extend(pairs("appended event", &expected.appended, &found.appended, Appended::fits));
    differences.extend(pairs("dispatched command", &expected.dispatched, &found.dispatched, Dispatched::fits));
    differences.extend(pairs("dead letter", &expected.dead_letters, &found.dead_letters, fits));
    differences.extend(pairs("wait", &expected.waits, &found.waits, is_waited));
    differences.extend(pairs("log line", &expected.log, &found.log, PartialEq::eq));
    match &expected.outcomes {
        Some(_) => differences.extend(pairs("outcome", &expected.outcomes, &found.outcomes, CameOf::fits)),
        None => differences.extend(faults(found.outcomes.as_deref().unwrap_or_default())),
    }
    differences.extend(pairs("lifted event", &expected.lifted, &found.lifted, Lifted::fits));
    // An event that cannot be lifted is never what was meant in silence.
    let refused = Some(expected.refused.clone().unwrap_or_default());
    differences.extend(pairs("refusal", &refused, &found.refused, is_refused));
    if let Some(queries) = &expected.queries {
        let is = found.queries.as_deref().unwrap_or_default();
        let pair = |(index, wanted): (usize, &Asked)| {
            let is = is.get(index);
            let fits = is.is_some_and(|is| wanted.fits(is));
            let what = || format!("query {index}, {}", wanted.query);
            (!fits).then(|| Difference { what: what(), expected: Some(json!(wanted)), found: is.map(|is| json!(is)) })
        };
        differences.extend(queries.iter().enumerate().filter_map(pair));
    }
    let holds = |wanted: &Vec<String>| found.stopped.iter().flatten().any(|is| has_all(is, wanted));
    let stops = match (&expected.stopped, &found.stopped) {
        (Some(wanted), Some(_)) => holds(wanted),
        // One that stops has not handled what it was given, whatever else was to come.
        (wanted, is) => wanted.is_none() && is.is_none(),
    };
    if !stops {
        let [expected, found] = [&expected.stopped, &found.stopped].map(|said| said.as_ref().map(|said| json!(said)));
        differences.push(Difference { what: "stop".into(), expected, found });
    }
    differences
}

impl Then {
    /// What came, written as it was expected wherever that is what came: entries that fit stay as they are.
    #[must_use]
    pub fn mended(&self, found: Self) -> Self {
        let stopped = match (&self.stopped, found.stopped) {
            (Some(wanted), Some(is)) if is.iter().any(|is| has_all(is, wanted)) => Some(wanted.clone()),
            (_, is) => is,
        };
        Self {
            appended: kept(&self.appended, found.appended, Appended::fits),
            dead_letters: kept(&self.dead_letters, found.dead_letters, fits),
            waits: kept(&self.waits, found.waits, is_waited),
            queries: kept(&self.queries, found.queries, Asked::fits),
            outcomes: kept(&self.outcomes, found.outcomes, CameOf::fits),
            refused: kept(&self.refused, found.refused, is_refused),
            dispatched: kept(&self.dispatched, found.dispatched, Dispatched::fits),
            lifted: kept(&self.lifted, found.lifted, Lifted::fits),
            state: found.state.map(|state| kept_state(self.state.as_ref(), state)),
            stopped,
            // Of these, what fits is the same.
            log: found.log,
        }
    }
}

/// A state that was found, and under each key what was expected there if that is the same.
fn kept_state(expected: Option<&BTreeMap<String, Value>>, found: BTreeMap<String, Value>) -> BTreeMap<String, Value> {
    let value = |(key, is): (String, Value)| match expected.and_then(|expected| expected.get(&key)) {
        Some(wanted) if alike(wanted, &is) => (key, wanted.clone()),
        _ => (key, is),
    };
    found.into_iter().map(value).collect()
}

/// What was found, item by item, and what was expected in the place of each that fits it.
fn kept<T: Clone>(expected: &Option<Vec<T>>, found: Option<Vec<T>>, fits: impl Fn(&T, &T) -> bool) -> Option<Vec<T>> {
    let expected = expected.as_deref().unwrap_or_default();
    let item = |(index, is): (usize, T)| match expected.get(index) {
        Some(wanted) if fits(wanted, &is) => wanted.clone(),
        _ => is,
    };
    found.map(|found| found.into_iter().enumerate().map(item).collect())
}

/// The commands that have no outcome, where nothing is said of outcomes.
fn faults(outcomes: &[CameOf]) -> impl Iterator<Item = Difference> {
    let failed = outcomes.iter().enumerate().filter(|(_, came)| came.error.is_some());
    failed.map(|(index, came)| Difference {
        what: format!("outcome {index}"),
        expected: None,
        found: Some(json!(came)),
    })
}

/// Compares lists, item by item, where one is expected.
fn pairs<T: Serialize>(
    what: &str,
    expected: &Option<Vec<T>>,
    found: &Option<Vec<T>>,
    fits: impl Fn(&T, &T) -> bool,
) -> Vec<Difference> {
    let Some(expected) = expected else { return Vec::new() };
    let found = found.as_deref().unwrap_or_default();
    let pair = |index: usize| {
        let (wanted, is) = (expected.get(index), found.get(index));
        let good = wanted.zip(is).is_some_and(|(wanted, is)| fits(wanted, is));
        let [expected, found] = [wanted, is].map(|item| item.map(|item| json!(item)));
        (!good).then(|| Difference { what: format!("{what} {index}"), expected, found })
    };
    (0..expected.len().max(found.len())).filter_map(pair).collect()
}

fn differ(what: String, expected: Option<&Value>, found: Option<&Value>) -> Option<Difference> {
    (!both_alike(expected, found)).then(|| Difference { what, expected: expected.cloned(), found: found.cloned() })
}

fn fits(wanted: &Dead, is: &Dead) -> bool {
    (wanted.event, &wanted.kind, wanted.attempts) == (is.event, &is.kind, is.attempts)
        && has_all(&is.reason.concat(), &wanted.reason)
}

fn is_waited(wanted: &Waited, is: &Waited) -> bool {
    (wanted.event, wanted.after_ms) == (is.event, is.after_ms) && has_all(&is.reason.concat(), &wanted.reason)
}

fn is_refused(wanted: &Refused, is: &Refused) -> bool {
    wanted.event == is.event && has_all(&is.reason.concat(), &wanted.reason)
}

fn has_all(text: &str, words: &[String]) -> bool {
    words.iter().all(|word| text.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn then(text: &str) -> Then {
        serde_json::from_str(text).unwrap()
    }

    /// The places that differ.
    fn places(expected: &str, found: &str) -> Vec<String> {
        compare(&then(expected), &then(found)).into_iter().map(|difference| difference.what).collect()
    }

    #[test]
    fn what_cannot_be_lifted_or_decided_is_a_difference_unless_it_is_said() {
        let found = r#"{"lifted":[],"refused":[{"event":0,"reason":["it is poisoned"]}]}"#;
        assert_eq!(places(r#"{"lifted":[]}"#, found), ["refusal 0"]);
        assert!(places(r#"{"lifted":[],"refused":[{"event":0}]}"#, found).is_empty());
        let found = r#"{"state":{},"outcomes":[{"rejection":"No"},{"error":"trap","reason":["it died"]}]}"#;
        assert_eq!(places(r#"{"state":{}}"#, found), ["outcome 1"]);
        assert!(places(r#"{"state":{},"outcomes":[{"rejection":"No"},{"error":"trap"}]}"#, found).is_empty());
    }

    #[test]
    fn what_is_blessed_keeps_what_came_as_it_was_written() {
        let expected = then(
            r#"{"state":{"a":1},"stopped":["of no use"],
                "appended":[{"cause":0,"type":"A","metadata":{"by":"me"}},{"cause":0,"type":"B"}],
                "dead_letters":[{"event":0,"kind":"reject","attempts":1,"reason":["no order","ada"]},
                                {"event":1,"kind":"reject","attempts":1,"reason":["no order"]}],
                "queries":[{"query":"q","error":"invalid","reason":["missing"]},{"query":"q","answer":1}],
                "outcomes":[{"rejection":"No","reason":["only 5"]},{"rejection":"No"}],
                "refused":[{"event":0,"reason":["price"]},{"event":1}]}"#,
        );
        let found = then(
            r#"{"state":{"a":2},"stopped":["it is of no use"],
                "appended":[{"cause":0,"type":"A","metadata":{"by":"me","at":"1"}},{"cause":0,"type":"C"}],
                "dead_letters":[{"event":0,"kind":"reject","attempts":1,"reason":["ada has no order 1"]},
                                {"event":1,"kind":"retry","attempts":2,"reason":["later"]}],
                "queries":[{"query":"q","error":"invalid","reason":["`a` is missing"]},{"query":"q","answer":2}],
                "outcomes":[{"rejection":"No","reason":["only 5 cents"]},{"error":"trap","reason":["it died"]}],
                "refused":[{"event":0,"reason":["no price"]},{"event":2,"reason":["no price"]}]}"#,
        );
        let mended = expected.mended(found.clone());
        assert_eq!(compare(&mended, &found), []);
        assert_eq!((&mended.state, &mended.stopped), (&found.state, &expected.stopped));
        let halves = [
            (json!(mended.appended), json!(expected.appended), json!(found.appended)),
            (json!(mended.dead_letters), json!(expected.dead_letters), json!(found.dead_letters)),
            (json!(mended.queries), json!(expected.queries), json!(found.queries)),
            (json!(mended.outcomes), json!(expected.outcomes), json!(found.outcomes)),
            (json!(mended.refused), json!(expected.refused), json!(found.refused)),
        ];
        for (mended, expected, found) in halves {
            assert_eq!((&mended[0], &mended[1]), (&expected[0], &found[1]), "the first fits, the second does not");
        }
    }

    #[test]
    fn a_whole_float_is_the_same_number_everywhere() {
        let then = |number: &str| {
            format!(
                r#"{{"state":{{"a":{number}}},"appended":[{{"cause":0,"type":"A","data":{number}}}],
                    "dispatched":[{{"cause":0,"aggregate":"a","key":"1","type":"C","data":[{number}]}}],
                    "queries":[{{"query":"q","answer":{{"n":{number}}}}}],
                    "outcomes":[{{"events":[{{"type":"A","data":{number}}}]}},{{"rejection":"No","details":{number}}}],
                    "lifted":[{{"event":0,"type":"A","schema_version":2,"data":{number}}}]}}"#
            )
        };
        assert_eq!(places(&then("2.0"), &then("2")), Vec::<String>::new());
        assert_eq!(places(&then("9007199254740993"), &then("9007199254740992.0")).len(), 7);
        let (expected, found) = (self::then(&then("2.0")), self::then(&then("2")));
        assert_eq!(json!(expected.mended(found)), json!(expected), "what came as it is written stays so");
    }

    #[test]
    fn the_schema_version_of_what_follows_counts_and_its_metadata_where_they_are_said() {
        let found = r#"{"outcomes":[{"events":[{"type":"A","schema_version":2,"metadata":{"a":"1","b":"2"}}]}]}"#;
        let of = |said: &str| places(&format!(r#"{{"outcomes":[{{"events":[{{"type":"A"{said}}}]}}]}}"#), found).len();
        assert_eq!(of(r#","schema_version":2"#), 0);
        assert_eq!(of(""), 1, "nothing said is version 1");
        assert_eq!(of(r#","schema_version":2,"metadata":{"b":"2"}"#), 0);
        assert_eq!(of(r#","schema_version":2,"metadata":{"b":"3"}"#), 1);
    }
}
