//! `GET /metrics`: gathers what the store, the plugins and the API know, when it is asked for.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use serde_json::Value as Json;

use super::health::Readiness;
use super::plugin_view::Now;
use super::problem::Problem;
use super::registry::PluginSummary;
use super::state::ApiState;
use crate::command::{Claimed, Commands, QueueCounts};
use crate::delivery::{self, PartitionStatus, RebuildStatus};
use crate::error::ErrorClass;
use crate::gate::Refusals;
use crate::projection::QueryCounts;
use crate::store::Store;
use crate::store::embedded::{Activity, Part, Sizes};
use crate::telemetry::metrics::{CONTENT_TYPE, Family, Gathered, Spread, Value, catalog, render};

/// Answers all metrics as OpenMetrics text.
pub(super) async fn metrics(State(state): State<ApiState>) -> Result<Response, Problem> {
    let text = render(gather(&state).await)
        .map_err(|_| Problem::of_class(ErrorClass::Bug, "a metric has a value that is not of its kind"))?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response())
}

/// Takes a sample of everything.
pub async fn gather(state: &ApiState) -> Vec<Family> {
    let ready = Readiness::of(state).is_ready();
    let gathering = state.clone();
    let gathered = tokio::task::spawn_blocking(move || {
        let mut gathered = Gathered::default();
        gathered.whole(&catalog::BUILD, &[env!("CARGO_PKG_VERSION")], 1);
        gathered.whole(&catalog::READY, &[], u64::from(ready));
        store(&mut gathered, &gathering);
        gathering.commands().claims().list().iter().for_each(|claimed| aggregate(&mut gathered, claimed));
        queue(&mut gathered, gathering.commands(), &**gathering.store());
        edge(&mut gathered, &gathering);
        let now = Now { head: gathering.store().head(), time_us: gathering.now_us() };
        for summary in gathering.plugins().list() {
            plugin(&mut gathered, &summary, &**gathering.store(), now);
            if let Some(counts) = gathering.plugins().query_counts(&summary.name) {
                queries(&mut gathered, summary.name.as_str(), &counts);
            }
        }
        gathered.finish()
    });
    // It ends early only with the runtime.
    gathered.await.unwrap_or_default()
}

fn store(gathered: &mut Gathered, state: &ApiState) {
    gathered.whole(&catalog::HEAD_POSITION, &[], state.store().head().0);
    for status in state.retention() {
        let category = status.policy.category.as_str();
        gathered.whole(&catalog::RETENTION_REMOVED, &[category], status.removed_before.0);
        gathered.whole(&catalog::RETENTION_WANTED, &[category], status.wanted_before.0);
    }
    let Ok(maintenance) = state.maintenance() else { return };
    activity(gathered, &maintenance.activity());
    match maintenance.sizes() {
        Ok(measured) => sizes(gathered, &measured),
        Err(error) => tracing::warn!(%error, "the sizes of the store's parts are not in the metrics"),
    }
}

fn activity(gathered: &mut Gathered, activity: &Activity) {
    gathered.times(&catalog::APPEND, &[], &activity.append);
    gathered.times(&catalog::FSYNC, &[], &activity.sync);
    gathered.add(&catalog::COMMIT_BATCH_EVENTS, &[], Value::Spread(Spread::of(&activity.commit_events, 1.0)));
    gathered.whole(&catalog::READS, &[], activity.reads);
    gathered.whole(&catalog::READ_EVENTS, &[], activity.read_events);
}

fn sizes(gathered: &mut Gathered, sizes: &Sizes) {
    let Sizes { segments, runs, journals, .. } = sizes;
    for (part, Part { files, bytes }) in [("segments", segments), ("index", runs), ("journals", journals)] {
        gathered.whole(&catalog::STORE_BYTES, &[part], *bytes);
        gathered.whole(&catalog::STORE_FILES, &[part], *files as u64);
    }
    gathered.whole(&catalog::STORE_BYTES, &["state"], sizes.state_bytes);
}

fn aggregate(gathered: &mut Gathered, claimed: &Claimed) {
    let (name, counts) = (claimed.category.as_str(), &claimed.counts);
    for (result, count) in counts.results.by_name() {
        gathered.whole(&catalog::COMMANDS, &[name, result], count);
    }
    gathered.times(&catalog::COMMAND, &[name], &counts.times);
    gathered.times(&catalog::COMMAND_DECIDE, &[name], &counts.decide_times);
    gathered.whole(&catalog::COMMAND_CONFLICTS, &[name], counts.decided_again);
    gathered.whole(&catalog::AGGREGATES_HOT, &[name], counts.hot);
    gathered.whole(&catalog::AGGREGATES_LOADED, &[name], counts.loaded);
    gathered.whole(&catalog::SNAPSHOTS, &[name], counts.snapshots);
    gathered.whole(&catalog::SNAPSHOTS_FAILED, &[name], counts.snapshots_failed);
    gathered.whole(&catalog::SNAPSHOTS_LEFT_OUT, &[name], counts.snapshots_left_out);
}

fn queue(gathered: &mut Gathered, commands: &Commands, store: &dyn Store) {
    let QueueCounts { accepted, settled, failed, retried } = commands.queue_counts();
    for (result, count) in [("accepted", accepted), ("settled", settled), ("failed", failed), ("retried", retried)] {
        gathered.whole(&catalog::COMMANDS_QUEUED, &[result], count);
    }
    match commands.waiting(store) {
        Ok(waiting) => gathered.whole(&catalog::COMMANDS_WAITING, &[], waiting),
        Err(error) => tracing::warn!(%error, "how many commands wait is not in the metrics"),
    }
}

fn edge(gathered: &mut Gathered, state: &ApiState) {
    let Refusals { no_key, unknown_key, denied } = state.gate().refusals();
    for (reason, count) in [("no_key", no_key), ("unknown_key", unknown_key), ("denied", denied)] {
        gathered.whole(&catalog::REFUSALS, &[reason], count);
    }
    gathered.whole(&catalog::OTLP_FAILURES, &[], state.otlp_failures());
    gathered.whole(&catalog::SUBSCRIBERS, &[], state.places().subscribers.taken() as u64);
    for (face, connections) in state.connections() {
        gathered.whole(&catalog::CONNECTIONS, &[face], connections.open() as u64);
        gathered.whole(&catalog::CONNECTIONS_REFUSED, &[face], connections.refused());
    }
    for route in state.requests().read() {
        for (status, count) in route.outcomes {
            gathered.whole(&catalog::HTTP_REQUESTS, &[&route.route, &status], count);
        }
        gathered.times(&catalog::HTTP_REQUEST, &[&route.route], &route.times);
    }
    let Some(requests) = state.grpc_requests() else { return };
    gathered.whole(&catalog::GRPC_OPEN, &[], requests.in_flight());
    for method in requests.read() {
        for (code, count) in method.outcomes {
            gathered.whole(&catalog::GRPC_REQUESTS, &[&method.route, &code], count);
        }
        gathered.times(&catalog::GRPC_REQUEST, &[&method.route], &method.times);
    }
}

fn plugin(gathered: &mut Gathered, summary: &PluginSummary, store: &dyn Store, now: Now) {
    let name = summary.name.as_str();
    let number = |key| summary.details.get(key).and_then(Json::as_u64).unwrap_or_default();
    gathered.whole(&catalog::PLUGIN_PROBLEM, &[name], u64::from(summary.details.contains_key("problem")));
    let Some(status) = &summary.status else { return };
    gathered.whole(&catalog::PLUGIN_DENIED, &[name], number("denied"));
    let size = delivery::live_owner(&summary.name, store).and_then(|owner| store.state_size(&owner));
    match size {
        Ok(size) => gathered.whole(&catalog::PLUGIN_STATE_SIZE, &[name], size.bytes),
        Err(error) => tracing::warn!(plugin = name, %error, "how much state it keeps is not in the metrics"),
    }
    rebuild(gathered, name, status.rebuild.as_ref());
    let replaced = number("generation").saturating_sub(1);
    let others = [("replaced", replaced), ("recycled", status.cost.usage.restarts.recycled)];
    for (reason, count) in status.counters.faults.by_name().into_iter().chain(others) {
        gathered.whole(&catalog::PLUGIN_RESTARTS, &[name, reason], count);
    }
    for partition in &status.partitions {
        let number = partition.partition.to_string();
        let labels = [name, number.as_str()];
        progress(gathered, labels, partition, now);
        match now.age(store, partition.checkpoint) {
            Ok(age) => gathered.add(&catalog::PLUGIN_LAG_SECONDS, &labels, Value::Real(age.as_secs_f64())),
            Err(error) => tracing::warn!(plugin = name, %error, "how long it is behind is not in the metrics"),
        }
        attempts(gathered, labels, partition);
    }
}

fn rebuild(gathered: &mut Gathered, name: &str, built: Option<&RebuildStatus>) {
    for state in delivery::State::NAMES {
        let is = built.is_some_and(|built| built.state.as_str() == state);
        gathered.whole(&catalog::PLUGIN_REBUILD_STATE, &[name, state], u64::from(is));
    }
    let held_up = built.is_some_and(|built| built.held_up.is_some());
    gathered.whole(&catalog::PLUGIN_REBUILD_HELD_UP, &[name], u64::from(held_up));
    let lag = built.map_or(0, |built| built.target.0.saturating_sub(built.position.0));
    gathered.whole(&catalog::PLUGIN_REBUILD_LAG, &[name], lag);
}

fn queries(gathered: &mut Gathered, name: &str, counts: &QueryCounts) {
    for (result, count) in &counts.results {
        gathered.whole(&catalog::PLUGIN_QUERIES, &[name, result], *count);
    }
    gathered.times(&catalog::PLUGIN_QUERY, &[name], &counts.times);
}

fn progress(gathered: &mut Gathered, labels: [&str; 2], partition: &PartitionStatus, now: Now) {
    let [name, number] = labels;
    for state in delivery::State::NAMES {
        let is = partition.state.as_str() == state;
        gathered.whole(&catalog::PLUGIN_STATE, &[name, number, state], u64::from(is));
    }
    gathered.whole(&catalog::PLUGIN_CHECKPOINT, &labels, partition.checkpoint.0);
    gathered.whole(&catalog::PLUGIN_LAG_EVENTS, &labels, now.head.0.saturating_sub(partition.checkpoint.0));
    gathered.whole(&catalog::PLUGIN_PARKED, &labels, partition.set_aside.parked as u64);
    gathered.whole(&catalog::PLUGIN_WAITING, &labels, partition.set_aside.waiting as u64);
    gathered.whole(&catalog::PLUGIN_MEMORY, &labels, partition.cost.usage.memory_bytes as u64);
    gathered.whole(&catalog::PLUGIN_FUEL, &labels, partition.cost.usage.fuel);
    gathered.whole(&catalog::PLUGIN_LOG_BYTES, &labels, partition.cost.usage.log_bytes);
}

fn attempts(gathered: &mut Gathered, labels: [&str; 2], partition: &PartitionStatus) {
    let [name, number] = labels;
    let counters = &partition.counters;
    for (result, count) in counters.answers.by_name().into_iter().chain(counters.faults.by_name()) {
        gathered.whole(&catalog::PLUGIN_ATTEMPTS, &[name, number, result], count);
    }
    gathered.times(&catalog::PLUGIN_BATCH, &labels, &counters.batch_times);
    gathered.whole(&catalog::PLUGIN_HANDLED, &labels, counters.handled);
    gathered.whole(&catalog::PLUGIN_EMITTED, &labels, counters.emitted);
    gathered.whole(&catalog::PLUGIN_CONFLICTS, &labels, counters.conflicts);
}
