//! `/v1/plugins/{name}/query/{query}`: has a projection answer, from its live state.
//!
//! The answer is the plugin's own, under the content type that it says; the header `tidemill-checkpoint` tells what
//! it is as of. What comes from a plugin is not this server's page: browsers neither guess its type nor run it here.

use axum::extract::{RawQuery, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::value::RawValue;

use super::fields::{Fields, brief};
use super::params::Params;
use super::path::Path;
use super::plugins::must_be_known;
use super::problem::{Kind, Problem};
use super::state::ApiState;
use super::wait::{self, AtLeast};
use super::whole_body::{must_be_json, whole_body};
use crate::access::Action;
use crate::clock::Stopwatch;
use crate::delivery::{Evidence, Fault};
use crate::error::ErrorClass;
use crate::event::PluginName;
use crate::gate::Caller;
use crate::nearest::unknown;
use crate::projection::{Answer, Answered, NoAnswer, Query, QueryRefused};

/// Header: the checkpoint that an answer is as of.
pub(crate) const CHECKPOINT: HeaderName = HeaderName::from_static("tidemill-checkpoint");

/// Parameters that are not the query's.
const OWN: &[&str] = &["at_least", "timeout_ms"];

/// Answers a query whose parameters stand in the URL.
pub(super) async fn get(
    State(state): State<ApiState>,
    Path((name, query)): Path<(String, String)>,
    RawQuery(raw): RawQuery,
    caller: Caller,
) -> Result<Response, Problem> {
    let (own, parameters) = Params::split(raw.as_deref(), OWN)?;
    answer(&state, &caller, name, (query, parameters), &own).await
}

/// Answers a query whose parameters stand in the body.
pub(super) async fn post(
    State(state): State<ApiState>,
    Path((name, query)): Path<(String, String)>,
    RawQuery(raw): RawQuery,
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    let own = Params::parse(raw.as_deref(), OWN)?;
    must_be_json(request.headers())?;
    let bytes_max = state.limits().max_body_bytes;
    let body = whole_body(&state, request, bytes_max, "send fewer or shorter parameters").await?;
    let parameters = parameters(&body).map_err(Problem::invalid)?;
    answer(&state, &caller, name, (query, parameters), &own).await
}

async fn answer(
    state: &ApiState,
    caller: &Caller,
    name: String,
    (query, parameters): (String, Vec<(String, String)>),
    own: &Params,
) -> Result<Response, Problem> {
    let plugin = PluginName::new(name)?;
    let (at_least, wait, began) = (AtLeast::parse(own)?, wait::timeout(own)?, Stopwatch::start());
    must_be_known(state, &plugin).await?;
    if let Some(at_least) = at_least {
        at_least.of_plugin(state, &plugin).await?;
    }
    let wait = wait.saturating_sub(began.elapsed());
    let query = Query { name: query, parameters, wait };
    let Answered { checkpoint, answer } = state.plugins().query(&plugin, &query).await?;
    if let Some(at_least) = at_least {
        // What was live when it was waited for may not be any more.
        at_least.check(checkpoint, &format!("plugin {plugin}"))?;
    }
    // It may have waited, and the key have been taken back meanwhile.
    caller.may(&Action::ReadAll)?;
    match answer {
        Ok(answer) => Ok((headers(&answer, checkpoint.0)?, answer.body).into_response()),
        Err(why) => {
            let known = declared(state, &plugin);
            let shows_evidence = caller.could(&Action::Admin);
            Err(no_answer(&plugin, &query.name, why, &known, shows_evidence).with("checkpoint", checkpoint.0))
        }
    }
}

fn headers(answer: &Answer, checkpoint: u64) -> Result<HeaderMap, Problem> {
    let content_type = HeaderValue::from_str(&answer.content_type)
        .map_err(|_| Problem::of_class(ErrorClass::Bug, "the content type of an answer is no header field"))?;
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, content_type);
    headers.insert(CHECKPOINT, checkpoint.into());
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
    Ok(headers)
}

/// The names of queries that a plugin says it answers; none if it does not say.
fn declared(state: &ApiState, plugin: &PluginName) -> Vec<String> {
    let details = state.plugins().get(plugin).map(|summary| summary.details).unwrap_or_default();
    let queries = details.get("description").and_then(|description| description.get("queries")?.as_array());
    queries.into_iter().flatten().filter_map(|name| Some(name.as_str()?.to_owned())).collect()
}

fn no_answer(plugin: &PluginName, query: &str, why: NoAnswer, known: &[String], shows_evidence: bool) -> Problem {
    let (shown, who) = (brief(query), format!("plugin {plugin}"));
    match why {
        NoAnswer::Unknown => {
            let known: Vec<_> = known.iter().map(String::as_str).collect();
            let detail = match known.as_slice() {
                [] => format!("{who} has no query `{shown}`; its author says which it has"),
                known => format!("{who}: {}", unknown("query", query, known)),
            };
            Problem::new(ErrorClass::NotFound, Kind::UnknownQuery, detail).with("query", query)
        }
        NoAnswer::Invalid(reason) => {
            let detail = format!("query `{shown}` of {who}: {reason}");
            Problem::new(ErrorClass::Invalid, Kind::InvalidQuery, detail)
        }
        NoAnswer::Failed(reason) => {
            let detail = format!("query `{shown}` of {who} could not be answered: {reason}");
            Problem::http(StatusCode::BAD_GATEWAY, Kind::QueryFailed, detail)
        }
        NoAnswer::Fault { fault, reason, evidence } => {
            let fault_name = fault.as_str();
            tracing::warn!(%plugin, query = %shown, fault = fault_name, reason, "a query ended without an answer");
            let detail = format!("query `{shown}` of {who} ended without an answer ({fault_name}): {reason}");
            let status =
                if fault == Fault::Deadline { StatusCode::GATEWAY_TIMEOUT } else { StatusCode::SERVICE_UNAVAILABLE };
            let problem = Problem::http(status, Kind::QueryFault, detail).with("fault", fault_name);
            let Evidence { stderr_tail, backtrace } = evidence;
            // As with dead letters, what a plugin wrote is for who looks after it.
            if shows_evidence { problem.with("stderr_tail", stderr_tail).with("backtrace", backtrace) } else { problem }
        }
    }
}

/// Reads `{"parameters":{"name":"value","other":["one","two"]}}`.
fn parameters(body: &[u8]) -> Result<Vec<(String, String)>, String> {
    let text = std::str::from_utf8(body)
        .map_err(|error| format!("the body is not valid UTF-8 at byte {}", error.valid_up_to()))?;
    let fields = Fields::parse(text)?;
    fields.refuse_unknown(&["parameters"])?;
    let Some(given) = fields.raw("parameters") else { return Ok(Vec::new()) };
    let mut parameters = Vec::new();
    for (name, value) in Fields::parse(given.get()).map_err(|error| format!("`parameters`: {error}"))?.iter() {
        match serde_json::from_str::<Vec<&RawValue>>(value.get()) {
            Ok(values) => {
                for value in values {
                    parameters.push((name.to_owned(), scalar(name, value)?));
                }
            }
            Err(_) => parameters.push((name.to_owned(), scalar(name, value)?)),
        }
    }
    Ok(parameters)
}

/// A text as it is, a number or yes or no as JSON has it.
fn scalar(name: &str, value: &RawValue) -> Result<String, String> {
    let text = value.get();
    match text.as_bytes().first() {
        Some(b'"') => serde_json::from_str(text).map_err(|error| format!("parameter `{}`: {error}", brief(name))),
        Some(b'{' | b'[' | b'n') | None => Err(format!(
            "parameter `{}` is {}; it must be a text, a number, true or false, or a list of those",
            brief(name),
            brief(text)
        )),
        Some(_) => Ok(text.to_owned()),
    }
}

impl From<QueryRefused> for Problem {
    fn from(refused: QueryRefused) -> Self {
        let (class, detail) = (refused.class(), refused.to_string());
        match refused {
            QueryRefused::NoProjection { .. } => Self::new(class, Kind::NoProjection, detail),
            QueryRefused::Store(error) => error.into(),
            QueryRefused::Busy { .. } => Self::http(StatusCode::TOO_MANY_REQUESTS, Kind::TooManyRequests, detail),
            QueryRefused::NotInstalled { .. } | QueryRefused::NotRunning { .. } => {
                Self::of_class(class, detail).absent(true)
            }
            QueryRefused::Invalid { .. } | QueryRefused::Replaced { .. } => Self::of_class(class, detail),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_texts_or_lists_of_them() {
        let body = r#"{"parameters":{"b":"x\ny","a":[1,"two",true],"c":0.50}}"#;
        let pairs = [("b", "x\ny"), ("a", "1"), ("a", "two"), ("a", "true"), ("c", "0.50")];
        let expected: Vec<_> = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        assert_eq!(parameters(body.as_bytes()), Ok(expected));
        assert_eq!(parameters(b"{}"), Ok(Vec::new()));
        for (body, says) in [
            (r#"{"parameters":{"a":{}}}"#, "parameter `a` is {}; it must be a text"),
            (r#"{"parameters":{"a":[null]}}"#, "parameter `a` is null"),
            (r#"{"parameters":[]}"#, "`parameters`: [] is not a JSON object"),
            (r#"{"paramters":{}}"#, "unknown field `paramters`; did you mean `parameters`?"),
            ("", "not valid JSON"),
        ] {
            let error = parameters(body.as_bytes()).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}
