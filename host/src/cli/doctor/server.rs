//! A running server, asked over HTTP.

use serde::Deserialize;
use serde_json::Value;
use ureq::http::Method;

use super::check::{Area, Check};
use crate::cli::client::{Client, ClientError};
use crate::cli::error::CliError;
use crate::cli::query::Query;

#[derive(Deserialize)]
struct Plugins {
    plugins: Vec<Value>,
    #[serde(default)]
    problems: Vec<String>,
}

/// Asks whether it is ready, and what it says of its plugins.
pub(super) fn checks(client: &Client) -> Result<Vec<Check>, CliError> {
    let mut checks = vec![match client.send(&Method::GET, "/readyz") {
        Ok(_) => Check::ok(Area::Server, "the server is ready"),
        Err(ClientError::Refused(refusal)) => Check::wrong(
            Area::Server,
            format!("the server is not ready: {}", refusal.problem.detail),
            "`curl URL/readyz` tells which of its checks fails; its log says why",
        ),
        Err(error) => return Err(client.explain(error)),
    }];
    let Plugins { plugins, problems } = client.get(&Query::path(&["v1", "plugins"]))?;
    checks.extend(
        problems
            .iter()
            .map(|problem| Check::wrong(Area::Plugins, problem.as_str(), "mend it; the server looks again by itself")),
    );
    checks.extend(plugins.iter().flat_map(plugin));
    let wrong = checks.iter().any(|check| check.area == Area::Plugins);
    if !wrong {
        checks.push(Check::ok(
            Area::Plugins,
            format!("nothing is wrong with the plugins, of which there are {}", plugins.len()),
        ));
    }
    Ok(checks)
}

/// What is wrong with one plugin.
fn plugin(plugin: &Value) -> Vec<Check> {
    let text = |pointer: &str| plugin.pointer(pointer).and_then(Value::as_str);
    let name = text("/name").unwrap_or("?");
    let mut checks = Vec::new();
    if let Some(reason) = text("/problem/reason") {
        let advice = "mend its files; until then what ran before goes on";
        checks.push(Check::wrong(Area::Plugins, format!("plugin {name} is refused: {reason}"), advice));
    }
    if let Some(state @ ("halted" | "quarantined")) = text("/status/state") {
        let reason = text("/status/reason").unwrap_or("it does not say why");
        let advice = format!("mend it, then `tidemill plugins resume {name}`");
        checks.push(Check::wrong(Area::Plugins, format!("plugin {name} is {state}: {reason}"), advice));
    }
    if let Some(reason) = text("/status/rebuild/held_up") {
        let what = format!("plugin {name}: what is built is not live yet: {reason}");
        let advice = format!(
            "mend it, then `tidemill plugins resume {name}`, or end it by `tidemill plugins rebuild {name} --cancel`; until \
             then the state before goes on"
        );
        // One that runs is tried again by itself.
        checks.push(match text("/status/rebuild/state") {
            Some("running") => Check::unusual(Area::Plugins, what, advice),
            _ => Check::wrong(Area::Plugins, what, advice),
        });
    }
    let letters = plugin.pointer("/dead_letters").and_then(Value::as_u64).unwrap_or(0);
    if letters > 0 {
        let what = format!("plugin {name} has {letters} events that it could not handle");
        let advice = format!("`tidemill dead-letters ls {name}` shows them; retry or discard them");
        checks.push(Check::unusual(Area::Plugins, what, advice));
    }
    checks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::check::State;
    use serde_json::json;

    #[test]
    fn a_plugin_that_does_not_run_is_wrong_and_its_dead_letters_unusual() {
        let sound = json!({ "name": "a", "dead_letters": 0, "status": { "state": "running" } });
        assert_eq!(plugin(&sound), []);
        let ill = json!({
            "name": "b", "dead_letters": 2, "problem": { "reason": "no component" },
            "status": { "state": "halted", "reason": "asked to" },
        });
        let states: Vec<_> = plugin(&ill).into_iter().map(|check| (check.state, check.what)).collect();
        assert_eq!(states[0], (State::Wrong, "plugin b is refused: no component".into()));
        assert_eq!(states[1], (State::Wrong, "plugin b is halted: asked to".into()));
        assert_eq!(states[2].0, State::Unusual);
    }

    #[test]
    fn what_is_built_and_stands_still_is_wrong_though_the_live_one_runs() {
        let found =
            |rebuild: Value| plugin(&json!({ "name": "a", "status": { "state": "running", "rebuild": rebuild } }));
        assert_eq!(found(json!({ "state": "running" })), []);
        for (state, expected) in [
            ("halted", State::Wrong),
            ("quarantined", State::Wrong),
            ("backing_off", State::Wrong),
            ("running", State::Unusual),
        ] {
            let checks = found(json!({ "state": state, "held_up": "too many" }));
            assert_eq!(checks.len(), 1, "{state}");
            assert_eq!(
                (checks[0].state, checks[0].what.as_str()),
                (expected, "plugin a: what is built is not live yet: too many")
            );
            assert!(checks[0].advice.as_ref().is_some_and(|advice| advice.contains("rebuild a --cancel")), "{state}");
        }
    }
}
