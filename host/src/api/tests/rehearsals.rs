//! Rehearsals as clients ask for them.

use std::ops::ControlFlow;

use futures::StreamExt as _;

use super::*;
use crate::delivery::Cost;
use crate::delivery::rehearsal::{
    Asked, Differences, Job, RehearsalError, RehearsalProgress, ReplayReport, VerifyStateReport,
};
use crate::plugin::{CandidateReport, Promoted, Proposal, RehearsalRefused};

/// Replays for ever when the range ends at 9; else at once.
struct Stage;

impl Rehearse for Stage {
    fn replay(&self, name: &PluginName, asked: Asked) -> Result<Job<ReplayReport, RehearsalRefused>, RehearsalRefused> {
        let plugin = name.clone();
        Ok(Job::start(move |tell| {
            let to = asked.to.unwrap_or_default();
            let progress = RehearsalProgress { position: Position(3), to, ..RehearsalProgress::default() };
            while to == Position(9) && tell(progress) == ControlFlow::Continue(()) {
                std::thread::yield_now();
            }
            Ok(ReplayReport {
                plugin,
                component_digest: "d".into(),
                from: asked.from.unwrap_or_default(),
                to,
                removed_before: None,
                events: 2,
                outcomes: [("handled".into(), 2)].into(),
                emitted: std::collections::BTreeMap::new(),
                failures: Differences::default(),
                stopped: None,
                cost: Cost::default(),
            })
        })?)
    }

    fn shadow(
        &self,
        _: &PluginName,
        proposal: Proposal,
        _: Asked,
    ) -> Result<Job<CandidateReport, RehearsalRefused>, RehearsalRefused> {
        let reason = format!("{} bytes, {}", proposal.component.len(), proposal.manifest.unwrap_or_default());
        Ok(Job::start(move |_| Err(RehearsalError::Broken { reason }.into()))?)
    }

    fn verify_state(
        &self,
        plugin: &PluginName,
        asked: Asked,
    ) -> Result<Job<VerifyStateReport, RehearsalRefused>, RehearsalRefused> {
        if plugin.as_str() != "billing" {
            return Err(RehearsalRefused::NotInstalled { plugin: plugin.clone() });
        }
        if let Some(bytes_max) = asked.state_bytes {
            return Err(RehearsalError::ScratchFull { bytes_max }.into());
        }
        let (plugin, from, checkpoint) = (plugin.clone(), asked.from.unwrap_or_default(), Position(1));
        Err(RehearsalError::NothingSettled { plugin, from, checkpoint }.into())
    }

    fn promote<'a>(&'a self, name: &'a PluginName, force: bool) -> BoxFuture<'a, Result<Promoted, RehearsalRefused>> {
        let refused = RehearsalRefused::NotClean { plugin: name.clone(), outcomes: 1, emissions: 2, state: 3 };
        let promoted = Promoted {
            plugin: name.clone(),
            digest: "n".into(),
            previous_digest: "o".into(),
            generation: 2,
            from: Position(1),
            to: Position(9),
            events: 9,
        };
        ready(if force { Ok(promoted) } else { Err(refused) }).boxed()
    }

    fn candidate(&self, _: &PluginName) -> Result<Option<CandidateReport>, RehearsalRefused> {
        Ok(None)
    }
}

async fn post(api: &Api, path: &str, body: &'static str) -> (u16, Value) {
    api.send("POST", &format!("/v1/plugins/billing/{path}"), "application/wasm", body).await
}

pub(super) fn rehearsing() -> Api {
    let plugins = FakePlugins { rehearsals: Some(Arc::new(Stage)), ..FakePlugins::new() };
    Api::with(plugins)
}

#[tokio::test]
async fn a_report_is_one_object_and_refusals_are_problems() {
    let api = rehearsing();
    let (status, report) = post(&api, "replay?from=2&to=4", "").await;
    assert_eq!(
        (status, &report["from"], &report["to"], &report["outcomes"]),
        (200, &json!(2), &json!(4), &json!({ "handled": 2 }))
    );
    assert_eq!(post(&api, "replay?form=2", "").await.0, 400);
    assert_eq!(post(&api, "replay?from=x", "").await.0, 400);
    let (status, problem) = post(&api, "shadow?manifest=%5Ba%5D", "abc").await;
    assert!(status == 500 && problem["detail"].as_str().unwrap().ends_with("3 bytes, [a]"), "{problem}");
    let (status, problem) = post(&api, "shadow", "").await;
    assert!(status == 400 && problem["detail"].as_str().unwrap().contains("empty"), "{problem}");
    assert_eq!(post(&api, "rebuild/verify", "").await.0, 409);
    let (status, problem) = post(&api, "rebuild/verify?state_bytes=7", "").await;
    let detail = problem["detail"].as_str().unwrap();
    assert!(status == 400 && detail.contains("more than 7 bytes") && detail.contains("--state-bytes"), "{detail}");
    assert_eq!(post(&api, "promote?force=maybe", "").await.0, 400);
    let (status, problem) = post(&api, "promote", "").await;
    assert!(status == 409 && problem["detail"].as_str().unwrap().contains("--force"), "{problem}");
    assert_eq!(post(&api, "promote?force=true", "").await.1["generation"], 2);
}

#[tokio::test]
async fn without_plugins_nothing_is_rehearsed() {
    for path in ["replay", "rebuild/verify", "promote"] {
        assert_eq!(post(&Api::new(), path, "").await.0, 503, "{path}");
    }
}

#[tokio::test]
async fn lines_tell_how_far_it_is_and_places_are_bounded_and_given_back() {
    let api = rehearsing();
    let mut waiting = Vec::new();
    for _ in 0..2 {
        let request = Request::post("/v1/plugins/billing/replay?to=9").header(header::ACCEPT, "application/x-ndjson");
        let mut lines = api.respond(request.body(Body::empty()).unwrap()).await.into_body().into_data_stream();
        loop {
            let line: Value = serde_json::from_slice(&lines.next().await.unwrap().unwrap()).unwrap();
            if line["position"] == 3 {
                break;
            }
        }
        waiting.push(lines);
    }
    let (status, problem) = post(&api, "replay", "").await;
    assert!(status == 429 && problem["detail"].as_str().unwrap().contains("2 rehearsals"), "{problem}");
    drop(waiting);
    assert_eq!(post(&api, "replay", "").await.0, 200, "who goes away gives the place back");
}
