//! `/v1/plugins/{name}/dead-letters`: see what was set aside and why, hand it over again, or discard it; and
//! `/v1/plugins/{name}/pause`, `…/resume`.
//!
//! To hand over again takes long, and is answered as [`super::lines`] says. A client that goes away ends nothing: what it
//! asked for is gone through, and the log tells of it.

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use futures::future::{BoxFuture, FutureExt as _};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::watch;
use utoipa::ToSchema;

use super::blocking::{Json, blocking};
use super::event_view::{EventView, timestamp};
use super::lines::{Running, respond};
use super::params::Params;
use super::path::Path;
use super::plugins::{known, must_be_known};
use super::problem::Problem;
use super::registry::CommandRefused;
use super::selection::Link;
use super::state::ApiState;
use super::state_entries::at_least;
use crate::delivery::{CommandError, Letters, Redriven, Retry, Status, generations, live_owner};
use crate::error::{ErrorClass, with_sources};
use crate::event::{PluginName, Position};
use crate::plugin::GenerationRefused;
use crate::store::{DeadLetter, Owner, Store, StoreError};

/// Dead letters on a page unless told.
pub(super) const PAGE_DEFAULT: usize = 100;
/// Most dead letters on a page.
pub(super) const PAGE_MAX: usize = 1000;
/// Dead letters read at a time.
const READ_AT_ONCE: usize = 256;
/// Most dead letters that are looked at for one page of those of a key.
const LOOKED_AT_MAX: usize = 10_000;

/// A dead letter as JSON; evidence only where one is shown alone.
#[derive(Serialize, ToSchema)]
#[schema(as = DeadLetter)]
pub(super) struct DeadLetterView<'a> {
    plugin: &'a PluginName,
    position: Position,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    reason: &'a str,
    kind: &'a str,
    attempts: u32,
    faults: u32,
    /// When it is tried again by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    due: Option<String>,
    first: String,
    last: String,
    component_digest: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<Evidence<'a>>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Evidence<'a> {
    stderr_tail: &'a str,
    backtrace: &'a str,
    event: Option<EventView<'a>>,
}

impl<'a> DeadLetterView<'a> {
    fn new(plugin: &'a PluginName, letter: &'a DeadLetter) -> Self {
        Self {
            plugin,
            position: letter.position,
            key: letter.key.as_deref(),
            reason: &letter.reason,
            kind: &letter.kind,
            attempts: letter.attempts,
            faults: letter.faults,
            due: letter.due_us.map(timestamp),
            first: timestamp(letter.first_us),
            last: timestamp(letter.last_us),
            component_digest: &letter.component_digest,
            evidence: None,
        }
    }
}

/// Lists the dead letters of a plugin, or of one key of it, in position order.
pub(super) async fn list(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json, Problem> {
    let params = Params::parse(query.as_deref(), &["after", "limit", "key", "building", "at_least", "timeout_ms"])?;
    let name = PluginName::new(name)?;
    let after = params.position("after")?.unwrap_or_default();
    let limit = params.limit(PAGE_DEFAULT, PAGE_MAX)?;
    let installed = at_least(&state, &params, &name).await?;
    blocking(&state, move |store| {
        if !installed {
            known(store, &name)?;
        }
        let owner = whose(&name, params.flag("building")?, store)?;
        let (letters, next) = page(store, &owner, after, limit, params.one("key")?)?;
        let next = next.map(|after| {
            let link = Link::to(format!("/v1/plugins/{name}/dead-letters")).with("after", &after.to_string());
            link.with_same(&params, &["limit", "key", "building"]).into_text()
        });
        let views: Vec<_> = letters.iter().map(|letter| DeadLetterView::new(&name, letter)).collect();
        let count = store.dead_letter_count(&owner)?;
        Json::render(&json!({ "dead_letters": views, "count": count, "next": next }))
    })
    .await
}

/// Whose dead letters are shown: those of the generation that is built, or of the live one. Blocks.
fn whose(name: &PluginName, building: bool, store: &dyn Store) -> Result<Owner, Problem> {
    if !building {
        return Ok(live_owner(name, store)?);
    }
    let built = generations(name, store)?.building;
    let built = built.ok_or_else(|| CommandError::NotRebuilding { plugin: name.clone() })?;
    Ok(Owner { plugin: name.clone(), generation: built.generation })
}

/// Dead letters strictly after a position, of one key if given, and after which to go on if there may be more.
fn page(
    store: &dyn Store,
    owner: &Owner,
    mut after: Position,
    limit: usize,
    key: Option<&str>,
) -> Result<(Vec<DeadLetter>, Option<Position>), StoreError> {
    let (mut found, mut looked_at) = (Vec::new(), 0);
    loop {
        let letters = store.dead_letters(owner, after, READ_AT_ONCE)?;
        if letters.is_empty() {
            return Ok((found, None));
        }
        looked_at += letters.len();
        for letter in letters {
            if letter.is_discarded() || key.is_some_and(|key| letter.key.as_deref() != Some(key)) {
                after = letter.position;
                continue;
            }
            if found.len() == limit {
                return Ok((found, Some(after)));
            }
            after = letter.position;
            found.push(letter);
        }
        if looked_at >= LOOKED_AT_MAX {
            return Ok((found, Some(after)));
        }
    }
}

/// Shows one dead letter with its evidence and the event itself.
pub(super) async fn get(
    State(state): State<ApiState>,
    Path((name, position)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Json, Problem> {
    let params = Params::parse(query.as_deref(), &["building", "at_least", "timeout_ms"])?;
    let (name, position) = address(name, &position)?;
    at_least(&state, &params, &name).await?;
    blocking(&state, move |store| {
        let letter = store
            .dead_letter(&whose(&name, params.flag("building")?, store)?, position)?
            .filter(|letter| !letter.is_discarded())
            .ok_or_else(|| CommandError::NoSuchDeadLetter { plugin: name.clone(), position })?;
        let event = store.event_at(position)?;
        let evidence = Evidence {
            stderr_tail: &letter.stderr_tail,
            backtrace: &letter.backtrace,
            event: event.as_ref().map(EventView::from),
        };
        Json::render(&DeadLetterView { evidence: Some(evidence), ..DeadLetterView::new(&name, &letter) })
    })
    .await
}

/// Hands a dead letter to its plugin again, then those behind it, and tells what became of them.
pub(super) async fn retry(
    State(state): State<ApiState>,
    Path((name, position)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Params::parse(query.as_deref(), &[])?;
    let (name, position) = address(name, &position)?;
    redrive(state, name, Retry::Position(position), &headers).await
}

/// Hands the dead letters of a key, or all, to their plugin again and tells what became of them.
pub(super) async fn retry_many(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let params = Params::parse(query.as_deref(), &["key"])?;
    let retry = params.one("key")?.map_or(Retry::All, |key| Retry::Key(key.into()));
    redrive(state, PluginName::new(name)?, retry, &headers).await
}

async fn redrive(state: ApiState, name: PluginName, retry: Retry, headers: &HeaderMap) -> Result<Response, Problem> {
    must_be_known(&state, &name).await?;
    let (position, key) = match &retry {
        Retry::Position(position) => (Some(position.0), None),
        Retry::Key(key) => (None, Some(key.as_str())),
        Retry::All => (None, None),
    };
    tracing::info!(plugin = %name, position, key, "retry of dead letters asked for by an operator");
    let (asking, status) = (state.clone(), state.plugins().watch(&name));
    let asked = async move { asking.plugins().retry_dead_letters(&name, retry).await }.boxed();
    respond(Redriving { asked, status }, state, headers).await
}

/// Dead letters that are handed over again.
struct Redriving {
    asked: BoxFuture<'static, Result<Redriven, CommandRefused>>,
    status: Option<watch::Receiver<Status>>,
}

impl Running for Redriving {
    type Report = Value;

    async fn done(&mut self, state: &ApiState) -> Result<Value, Problem> {
        tokio::select! {
            redriven = &mut self.asked => Ok(told(&redriven?)),
            () = state.closed() => {
                let detail = "the server is shutting down; what was not handled is still set aside, retry it after the restart";
                Err(Problem::of_class(ErrorClass::Unavailable, detail))
            }
        }
    }

    fn progress_line(&self) -> String {
        let set_aside = self.status.as_ref().map(|status| status.borrow().set_aside).unwrap_or_default();
        json!({ "set_aside": set_aside.parked + set_aside.waiting }).to_string()
    }
}

fn told(redriven: &Redriven) -> Value {
    let Redriven { handled, failed, failing, interrupted, .. } = redriven;
    let outcome = match (interrupted, failed) {
        (Some(_), _) => "interrupted",
        (None, 0) => "handled",
        (None, _) => "still_failing",
    };
    let failing: Vec<_> = failing
        .iter()
        .map(|failing| json!({ "position": failing.position, "key": failing.key, "reason": failing.reason }))
        .collect();
    json!({
        "outcome": outcome, "handled": handled, "failed": failed, "failing": failing, "interrupted": interrupted,
    })
}

/// Has a plugin hand nothing over until it is resumed.
pub(super) async fn pause(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<StatusCode, Problem> {
    Params::parse(query.as_deref(), &[])?;
    set_paused(&state, name, true).await
}

/// Ends whatever has stopped a plugin.
pub(super) async fn resume(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<StatusCode, Problem> {
    Params::parse(query.as_deref(), &[])?;
    set_paused(&state, name, false).await
}

async fn set_paused(state: &ApiState, name: String, paused: bool) -> Result<StatusCode, Problem> {
    let name = PluginName::new(name)?;
    must_be_known(state, &name).await?;
    state.plugins().set_paused(&name, paused).await?;
    tracing::info!(plugin = %name, paused, "paused or resumed by an operator");
    Ok(StatusCode::NO_CONTENT)
}

/// Removes a dead letter: its event will not be handled.
pub(super) async fn discard(
    State(state): State<ApiState>,
    Path((name, position)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Result<StatusCode, Problem> {
    Params::parse(query.as_deref(), &[])?;
    let (name, position) = address(name, &position)?;
    must_be_known(&state, &name).await?;
    state.plugins().discard_dead_letters(&name, Letters::Position(position)).await?;
    tracing::info!(plugin = %name, %position, "dead letter discarded by an operator");
    Ok(StatusCode::NO_CONTENT)
}

/// Removes the dead letters of a key, or all, if that is said: their events will not be handled.
pub(super) async fn discard_many(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json, Problem> {
    let params = Params::parse(query.as_deref(), &["key", "all"])?;
    let key = params.one("key")?.map(str::to_owned);
    let letters = match (&key, params.flag("all")?) {
        (Some(key), false) => Letters::Key(key.clone()),
        (None, true) => Letters::All,
        _ => return Err(Problem::invalid("say which to discard: either `key=KEY` or `all=true`")),
    };
    let name = PluginName::new(name)?;
    must_be_known(&state, &name).await?;
    let discarded = state.plugins().discard_dead_letters(&name, letters).await?;
    tracing::warn!(plugin = %name, key, discarded, "dead letters discarded by an operator");
    Json::render(&json!({ "discarded": discarded }))
}

impl From<CommandRefused> for Problem {
    fn from(error: CommandRefused) -> Self {
        use GenerationRefused::{NotInstalled, NotRunning};
        let absent = matches!(
            error,
            CommandRefused::NotRunning { .. } | CommandRefused::Generation(NotInstalled { .. } | NotRunning { .. })
        );
        Self::of_class(error.class(), with_sources(&error)).absent(absent)
    }
}

impl From<CommandError> for Problem {
    fn from(error: CommandError) -> Self {
        CommandRefused::from(error).into()
    }
}

fn address(name: String, position: &str) -> Result<(PluginName, Position), Problem> {
    let name = PluginName::new(name)?;
    let shown: String = position.chars().take(64).collect();
    let position = position.parse().map_err(|_| Problem::invalid(format!("{shown:?} is not a position")))?;
    Ok((name, Position(position)))
}
