//! What a server says of its plugins at a moment.

use serde::Deserialize;
use serde_json::Value;

use crate::cli::output::shown;
use crate::cli::plugins::state;
use crate::clock::Stopwatch;

/// Longest text of a guest or a file that is shown.
const TEXT_CHARS_MAX: usize = 200;

/// The answer of `GET /v1/plugins`.
#[derive(Debug, Deserialize)]
pub(super) struct Answer {
    #[serde(default)]
    plugins: Vec<Value>,
    #[serde(default)]
    problems: Vec<String>,
    #[serde(default)]
    head: u64,
}

/// What is shown of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Sample {
    /// When it came, in seconds since the view began.
    pub(super) at_seconds: f64,
    pub(super) head: u64,
    pub(super) plugins: Vec<Plugin>,
    /// What is wrong beyond single plugins.
    pub(super) problems: Vec<String>,
}

/// One plugin.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Plugin {
    pub(super) name: String,
    /// What it is doing, in a word or two.
    pub(super) state: String,
    pub(super) checkpoint: u64,
    pub(super) lag_events: u64,
    pub(super) lag_seconds: f64,
    /// Events handled, ever.
    pub(super) handled: u64,
    /// Events that wait for an operator.
    pub(super) parked: u64,
    /// Events that are set aside until they are due.
    pub(super) waiting: u64,
    pub(super) memory_bytes: u64,
    /// Why it does not run as it should.
    pub(super) reason: Option<String>,
}

impl Sample {
    /// Takes what is shown of an answer that came now.
    pub(super) fn new(begun: Stopwatch, answer: Answer) -> Self {
        let Answer { plugins, problems, head } = answer;
        Self {
            at_seconds: begun.elapsed().as_secs_f64(),
            head,
            plugins: plugins.iter().map(Plugin::of).collect(),
            problems: problems.iter().map(|problem| shown(problem, TEXT_CHARS_MAX)).collect(),
        }
    }
}

impl Plugin {
    fn of(plugin: &Value) -> Self {
        let number = |pointer: &str| plugin.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
        let text = |pointer: &str| plugin.pointer(pointer).and_then(Value::as_str);
        let running = plugin.pointer("/status/parked").is_some();
        let reason = text("/problem/reason").or_else(|| text("/status/reason")).map(str::to_owned).or_else(|| {
            let held_up = text("/status/rebuild/held_up")?;
            Some(format!("what is built is not live yet: {held_up}"))
        });
        Self {
            name: shown(text("/name").unwrap_or("?"), 64),
            state: state(plugin),
            checkpoint: number("/checkpoint"),
            lag_events: number("/lag_events"),
            lag_seconds: plugin.pointer("/lag_seconds").and_then(Value::as_f64).unwrap_or(0.0),
            handled: number("/status/counters/handled"),
            parked: number(if running { "/status/parked" } else { "/dead_letters" }),
            waiting: number("/status/waiting"),
            memory_bytes: number("/status/cost/memory_bytes"),
            reason: reason.map(|reason| shown(&reason, TEXT_CHARS_MAX)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_taken_from_the_answer() {
        let answer = serde_json::json!({
            "head": 9, "problems": ["a\u{1b}b"], "plugins": [
                { "name": "a", "installed": true, "checkpoint": 7, "lag_events": 2, "lag_seconds": 1.5, "dead_letters": 9,
                  "status": { "state": "backing_off", "reason": "busy", "parked": 3, "waiting": 4,
                              "counters": { "handled": 5 }, "cost": { "memory_bytes": 1024 } } },
                { "name": "b", "installed": false, "checkpoint": 1, "dead_letters": 2 },
                { "name": "c", "installed": true, "problem": { "reason": "no component" } },
                { "name": "d", "installed": false, "loading": true },
                { "name": "e", "installed": true, "status": { "state": "running", "rebuild": { "held_up": "too many" } } },
            ]
        });
        let sample = Sample::new(Stopwatch::start(), serde_json::from_value(answer).unwrap());
        assert_eq!((sample.head, sample.problems[0].as_str()), (9, "a b"));
        let [a, b, c, d, e] = &sample.plugins[..] else { panic!("five") };
        assert_eq!((a.state.as_str(), a.reason.as_deref(), a.parked, a.waiting), ("backing off", Some("busy"), 3, 4));
        assert_eq!((a.checkpoint, a.lag_events, a.lag_seconds, a.handled, a.memory_bytes), (7, 2, 1.5, 5, 1024));
        assert_eq!((b.state.as_str(), b.parked), ("not installed", 2));
        assert_eq!((c.state.as_str(), c.reason.as_deref()), ("not running", Some("no component")));
        assert_eq!(d.state, "loading", "it may be installed");
        let reason = Some("what is built is not live yet: too many");
        assert_eq!((e.state.as_str(), e.reason.as_deref()), ("running", reason));
    }
}
