//! The routes, and what is around all of them.

use std::any::Any;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::Uri;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::trace::TraceLayer;

use super::append;
use super::problem::Problem;
use super::state::ApiState;
use super::{
    access, backup, commands, dead_letters, doctor, draining, events, generations, health, limits, measured, metrics,
    openapi, plugins, query, rehearsals, retention, starting, state_entries, stream_deletion, stream_list,
    stream_state, streams, subscribe, types, verify,
};
use crate::error::ErrorClass;
use crate::runtime::COMPONENT_BYTES_MAX;

/// The API as a service.
pub fn router(state: ApiState) -> Router {
    Router::new()
        .route("/v1/events", get(events::list).merge(post(append::append)))
        .route("/v1/events/subscribe", get(subscribe::subscribe))
        .route("/v1/events/{id}", get(events::get))
        .route("/v1/types", get(types::list))
        .route("/v1/types/{type}", get(types::get))
        .route("/v1/streams", get(stream_list::list))
        .route("/v1/streams/{stream}", get(streams::read).merge(delete(stream_deletion::delete)))
        .route("/v1/streams/{stream}/subscribe", get(subscribe::subscribe_stream))
        .route("/v1/streams/{stream}/state", get(stream_state::state))
        .route("/v1/streams/{stream}/diff", get(stream_state::diff))
        .route("/v1/commands/{aggregate}/{aggregate_id}", post(commands::send))
        .route("/v1/commands/{command_id}", get(commands::status))
        .route("/v1/snapshots", get(stream_state::snapshots))
        .route("/v1/snapshots/{stream}", delete(stream_state::drop_snapshot))
        .route("/v1/verify", post(verify::verify))
        .route("/v1/backup", get(backup::backup))
        .route("/v1/doctor", get(doctor::doctor))
        .route("/v1/retention", get(retention::list))
        .route("/v1/plugins", get(plugins::list))
        .route("/v1/plugins/{name}", get(plugins::get).merge(delete(plugins::forget)))
        .route("/v1/plugins/{name}/replay", post(rehearsals::replay))
        .route("/v1/plugins/{name}/shadow", post(rehearsals::shadow).layer(DefaultBodyLimit::max(COMPONENT_BYTES_MAX)))
        .route("/v1/plugins/{name}/promote", post(rehearsals::promote))
        .route("/v1/plugins/{name}/rebuild", post(generations::rebuild).delete(generations::cancel))
        .route("/v1/plugins/{name}/rollback", post(generations::roll_back))
        .route("/v1/plugins/{name}/reload", post(generations::reload))
        .route("/v1/plugins/{name}/rebuild/verify", post(rehearsals::verify_state))
        .route("/v1/plugins/{name}/state", get(state_entries::scan))
        .route("/v1/plugins/{name}/state/{*key}", get(state_entries::get))
        .route("/v1/plugins/{name}/query/{*query}", get(query::get).merge(post(query::post)))
        .route("/v1/plugins/{name}/dead-letters", get(dead_letters::list).merge(delete(dead_letters::discard_many)))
        .route("/v1/plugins/{name}/dead-letters/retry", post(dead_letters::retry_many))
        .route("/v1/plugins/{name}/pause", post(dead_letters::pause))
        .route("/v1/plugins/{name}/resume", post(dead_letters::resume))
        .route(
            "/v1/plugins/{name}/dead-letters/{position}",
            get(dead_letters::get).merge(delete(dead_letters::discard)),
        )
        .route("/v1/plugins/{name}/dead-letters/{position}/retry", post(dead_letters::retry))
        .route("/v1/openapi.json", get(openapi::get))
        .fallback(no_such_route)
        .layer(from_fn_with_state(state.clone(), starting::not_now))
        .layer(DefaultBodyLimit::max(state.limits().max_body_bytes))
        .layer(from_fn_with_state(state.clone(), draining::refuse_writes))
        .layer(from_fn_with_state(state.clone(), limits::bounded))
        // A server that is busy is alive.
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::metrics))
        .layer(from_fn_with_state(state.clone(), access::guard))
        .layer(from_fn_with_state(state.clone(), measured::measured))
        .layer(CatchPanicLayer::custom(panicked))
        // A failure is logged where the problem is made.
        .layer(TraceLayer::new_for_http().on_failure(()))
        .with_state(state)
}

async fn no_such_route(uri: Uri) -> Problem {
    Problem::not_found(format!("there is nothing at {}; the API begins at /v1/events and /v1/plugins", uri.path()))
}

fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without a text");
    tracing::error!(panic = text, "request handler panicked");
    Problem::of_class(ErrorClass::Bug, "the server made a mistake; its log has the details").into_response()
}
