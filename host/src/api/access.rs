//! What each route demands of who asks, and the one place where that is demanded.
//!
//! The table [`DEMANDS`] has every route. A route that is not in it is not served at all, so none can be added without
//! saying what it demands. What a narrowed key may see is decided again by handlers, with the [`Caller`] that they take
//! as an argument: by the stream or the events that they are asked for.
//!
//! A stream outside of a key's reach is 403, whether there is such a stream or not: the name is the client's own, and the
//! answer follows from it alone, so it tells nothing. An event by its id outside of it is 404, like one that is not
//! there: here 403 would tell that there is one.

use std::net::IpAddr;

use axum::body::Body;
use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http_body::Body as _;

use super::limits::EVENT_STREAM;
use super::problem::{Kind, Problem};
use super::state::ApiState;
use crate::access::{Action, Denied, NoEntry, Scope};
use crate::error::ErrorClass;
use crate::gate::{Caller, Farewell, Revocable};

/// What a route demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Demand {
    /// Nothing: who asks whether the server is there need not have a key.
    Open,
    /// To look at metrics.
    Metrics,
    /// To read events or streams, of which the handler shows those within reach.
    Read,
    /// To read what tells of all streams and types.
    ReadAll,
    /// To append, what the handler finds within reach.
    Append,
    /// To look after the server.
    Admin,
}

impl Demand {
    const fn action(self) -> Option<Action<'static>> {
        match self {
            Self::Open => None,
            Self::Metrics => Some(Action::Metrics),
            Self::Read => Some(Action::Read),
            Self::ReadAll => Some(Action::ReadAll),
            Self::Append => Some(Action::Append),
            Self::Admin => Some(Action::Admin),
        }
    }
}

/// Every route: method, path, and what it demands.
pub(super) const DEMANDS: &[(Method, &str, Demand)] = &[
    (Method::GET, "/livez", Demand::Open),
    (Method::GET, "/readyz", Demand::Open),
    (Method::GET, "/metrics", Demand::Metrics),
    (Method::GET, "/v1/openapi.json", Demand::Open),
    (Method::GET, "/v1/events", Demand::Read),
    (Method::POST, "/v1/events", Demand::Append),
    (Method::GET, "/v1/events/subscribe", Demand::Read),
    (Method::GET, "/v1/events/{id}", Demand::Read),
    (Method::GET, "/v1/types", Demand::ReadAll),
    (Method::GET, "/v1/types/{type}", Demand::ReadAll),
    (Method::GET, "/v1/streams", Demand::Read),
    (Method::GET, "/v1/streams/{stream}", Demand::Read),
    (Method::DELETE, "/v1/streams/{stream}", Demand::Append),
    (Method::GET, "/v1/streams/{stream}/subscribe", Demand::Read),
    (Method::GET, "/v1/streams/{stream}/state", Demand::Read),
    (Method::GET, "/v1/streams/{stream}/diff", Demand::Read),
    (Method::POST, "/v1/commands/{aggregate}/{aggregate_id}", Demand::Append),
    (Method::GET, "/v1/commands/{command_id}", Demand::Read),
    (Method::GET, "/v1/snapshots", Demand::ReadAll),
    (Method::DELETE, "/v1/snapshots/{stream}", Demand::Admin),
    (Method::POST, "/v1/verify", Demand::Admin),
    (Method::GET, "/v1/backup", Demand::Admin),
    (Method::GET, "/v1/doctor", Demand::Admin),
    (Method::GET, "/v1/retention", Demand::Admin),
    (Method::GET, "/v1/plugins", Demand::Admin),
    (Method::GET, "/v1/plugins/{name}", Demand::Admin),
    (Method::DELETE, "/v1/plugins/{name}", Demand::Admin),
    (Method::POST, "/v1/plugins/{name}/replay", Demand::Admin),
    (Method::POST, "/v1/plugins/{name}/shadow", Demand::Admin),
    (Method::POST, "/v1/plugins/{name}/promote", Demand::Admin),
    (Method::POST, "/v1/plugins/{name}/rebuild", Demand::Admin),
    (Method::DELETE, "/v1/plugins/{name}/rebuild", Demand::Admin),
    (Method::POST, "/v1/plugins/{name}/rollback", Demand::Admin),
    (Method::POST, "/v1/plugins/{name}/reload", Demand::Admin),
    (Method::POST, "/v1/plugins/{name}/rebuild/verify", Demand::Admin),
    (Method::GET, "/v1/plugins/{name}/state", Demand::ReadAll),
    (Method::GET, "/v1/plugins/{name}/state/{*key}", Demand::ReadAll),
    (Method::GET, "/v1/plugins/{name}/query/{*query}", Demand::ReadAll),
    (Method::POST, "/v1/plugins/{name}/query/{*query}", Demand::ReadAll),
    (Method::GET, "/v1/plugins/{name}/dead-letters", Demand::Admin),
    (Method::DELETE, "/v1/plugins/{name}/dead-letters", Demand::Admin),
    (Method::POST, "/v1/plugins/{name}/dead-letters/retry", Demand::Admin),
    (Method::POST, "/v1/plugins/{name}/pause", Demand::Admin),
    (Method::POST, "/v1/plugins/{name}/resume", Demand::Admin),
    (Method::GET, "/v1/plugins/{name}/dead-letters/{position}", Demand::Admin),
    (Method::DELETE, "/v1/plugins/{name}/dead-letters/{position}", Demand::Admin),
    (Method::POST, "/v1/plugins/{name}/dead-letters/{position}/retry", Demand::Admin),
];

/// Lets in who may do what the route is for, and ends a long answer when the key is taken back.
pub(super) async fn guard(
    State(state): State<ApiState>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let path = request.extensions().get::<MatchedPath>().cloned();
    let demand = path.as_ref().and_then(|path| demand_of(request.method(), path.as_str()));
    if demand == Some(Demand::Open) {
        return Ok(next.run(request).await);
    }
    if state.gate().is_open() {
        refuse_foreign(&request, state.gate().is_reached_by_others())?;
    }
    let route = path.as_ref().map_or("none", MatchedPath::as_str);
    let caller = state.gate().admit(request.headers(), format_args!("{} {route}", request.method()))?;
    let (Some(path), demand) = (path, demand) else { return Ok(next.run(request).await) };
    let Some(action) = demand.and_then(Demand::action) else {
        return Ok(wrong_method(request.method(), request.uri().path(), path.as_str()));
    };
    caller.may(&action)?;
    request.extensions_mut().insert(caller.clone());
    let reads = request.method().is_safe();
    let response = next.run(request).await;
    if reads {
        // A read may have waited, and the key have been taken back meanwhile.
        caller.may(&action)?;
    }
    Ok(revocable(response, caller))
}

/// Refuses what a browser asks for a page that is not of this server: one without keys would do what any page wants.
fn refuse_foreign(request: &Request, is_reached_by_others: bool) -> Result<(), Problem> {
    let text = |name| request.headers().get(name).map(|value| value.to_str().unwrap_or_default());
    let denied = |detail: &str| Problem::new(ErrorClass::Denied, Kind::Denied, detail);
    let named = text(header::HOST).or_else(|| request.uri().authority().map(Authority::as_str));
    if text(header::ORIGIN).is_some_and(|origin| origin.split_once("://").map(|(_, authority)| authority) != named) {
        return Err(denied(
            "a page from elsewhere asks, and no key is asked for: only pages of this server may; make a key",
        ));
    }
    match named.filter(|named| !is_reached_by_others && !is_of_this_machine(named)) {
        None => Ok(()),
        Some(named) => Err(denied(&format!(
            "no key is asked for, and {:?} may be anybody's name for this server: call it localhost, or by its address; \
             or make a key",
            named.chars().take(100).collect::<String>()
        ))),
    }
}

/// Whether a name cannot be made to mean this machine by somebody else, whose pages were those of this server then (DNS
/// rebinding).
fn is_of_this_machine(authority: &str) -> bool {
    let Ok(authority) = authority.parse::<Authority>() else { return false };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost") || host.parse::<IpAddr>().is_ok()
}

/// What a route demands; none when there is no such route.
pub(super) fn demand_of(method: &Method, path: &str) -> Option<Demand> {
    let method = if *method == Method::HEAD { &Method::GET } else { method };
    DEMANDS.iter().find(|(of, at, _)| of == method && *at == path).map(|(_, _, demand)| *demand)
}

fn wrong_method(method: &Method, asked: &str, path: &str) -> Response {
    let detail = format!("{method} is not supported at {asked}");
    let methods = DEMANDS.iter().filter(|(_, at, _)| *at == path).map(|(method, ..)| method);
    let allowed: Vec<_> =
        methods.map(|method| if *method == Method::GET { "GET,HEAD" } else { method.as_str() }).collect();
    let problem = Problem::http(StatusCode::METHOD_NOT_ALLOWED, Kind::MethodNotAllowed, detail);
    let mut response = problem.into_response();
    if let Ok(allowed) = HeaderValue::try_from(allowed.join(",")) {
        response.headers_mut().insert(header::ALLOW, allowed);
    }
    response
}

/// An answer of unknown length ends when its caller is expelled: subscribers are told, others find it cut off.
fn revocable(response: Response, caller: Caller) -> Response {
    if response.body().size_hint().exact().is_some() {
        return response;
    }
    let subscription = response.headers().get(header::CONTENT_TYPE).is_some_and(|given| given == EVENT_STREAM);
    let farewell = if subscription {
        let problem = Problem::from(caller.once_expelled()).to_json();
        Farewell::Bytes(format!("event: error\ndata: {problem}\n\n").into())
    } else {
        Farewell::Broken
    };
    response.map(|body| Body::new(Revocable::new(body, caller, farewell)))
}

impl FromRequestParts<ApiState> for Caller {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &ApiState) -> Result<Self, Response> {
        let bug = || Problem::of_class(ErrorClass::Bug, "the request was not asked who sends it").into_response();
        parts.extensions.get().cloned().ok_or_else(bug)
    }
}

impl From<NoEntry> for Problem {
    fn from(refused: NoEntry) -> Self {
        let kind = match refused {
            NoEntry::NoKey => Kind::KeyNeeded,
            NoEntry::UnknownKey => Kind::KeyUnknown,
        };
        Self::http(StatusCode::UNAUTHORIZED, kind, refused.to_string())
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        let detail = denied.to_string();
        match denied {
            Denied::NoKey => NoEntry::NoKey.into(),
            Denied::Revoked { .. } => NoEntry::UnknownKey.into(),
            Denied::Beyond { .. } => Self::new(ErrorClass::Denied, Kind::Denied, detail),
            Denied::Scope { scope, .. } | Denied::Reach { scope, .. } => {
                Self::new(ErrorClass::Denied, Kind::Denied, detail).with("scope", Scope::as_str(scope))
            }
        }
    }
}
