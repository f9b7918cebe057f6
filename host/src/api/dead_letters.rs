//! `/v1/plugins/{name}/dead-letters`: see what was set aside and why, hand it over again, or discard it.

use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::json;

use super::blocking::{Json, blocking};
use super::event_view::{EventView, timestamp};
use super::params::Params;
use super::plugins::known;
use super::problem::Problem;
use super::registry::CommandRefused;
use super::selection::Link;
use super::state::ApiState;
use crate::delivery::{CommandError, Redelivery};
use crate::error::with_sources;
use crate::event::{PluginName, Position, RecordedEvent};
use crate::store::{DeadLetter, ReadRequest, Store, StoreError};

/// Dead letters on a page unless told.
const PAGE_DEFAULT: usize = 100;
/// Most dead letters on a page.
const PAGE_MAX: usize = 1000;

/// A dead letter as JSON; evidence only where one is shown alone.
#[derive(Serialize)]
struct DeadLetterView<'a> {
    plugin: &'a PluginName,
    position: Position,
    reason: &'a str,
    kind: &'a str,
    attempts: u32,
    first: String,
    last: String,
    component_digest: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<Evidence<'a>>,
}

#[derive(Serialize)]
struct Evidence<'a> {
    stderr_tail: &'a str,
    backtrace: &'a str,
    event: Option<EventView<'a>>,
}

impl<'a> DeadLetterView<'a> {
    fn new(plugin: &'a PluginName, letter: &'a DeadLetter) -> Self {
        Self {
            plugin,
            position: letter.position,
            reason: &letter.reason,
            kind: &letter.kind,
            attempts: letter.attempts,
            first: timestamp(letter.first_us),
            last: timestamp(letter.last_us),
            component_digest: &letter.component_digest,
            evidence: None,
        }
    }
}

/// Lists the dead letters of a plugin in position order.
pub(super) async fn list(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json, Problem> {
    let params = Params::parse(query.as_deref(), &["after", "limit"])?;
    let name = PluginName::new(name)?;
    let after = params.position("after")?.unwrap_or_default();
    let limit = params.limit(PAGE_DEFAULT, PAGE_MAX)?;
    let installed = state.plugins().get(&name).is_some();
    blocking(&state, move |store| {
        if !installed {
            known(store, &name)?;
        }
        // One more than asked for tells whether there is a next page.
        let mut letters = store.dead_letters(&(&name).into(), after, limit + 1)?;
        let more = letters.len() > limit;
        letters.truncate(limit);
        let next = letters.last().filter(|_| more).map(|last| {
            let link = Link::to(format!("/v1/plugins/{name}/dead-letters")).with("after", &last.position.to_string());
            link.with_same(&params, &["limit"]).into_text()
        });
        let views: Vec<_> = letters.iter().map(|letter| DeadLetterView::new(&name, letter)).collect();
        Json::render(
            &json!({ "dead_letters": views, "count": store.dead_letter_count(&(&name).into())?, "next": next }),
        )
    })
    .await
}

/// Shows one dead letter with its evidence and the event itself.
pub(super) async fn get(
    State(state): State<ApiState>,
    Path((name, position)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Json, Problem> {
    Params::parse(query.as_deref(), &[])?;
    let (name, position) = address(name, &position)?;
    blocking(&state, move |store| {
        let letter = store
            .dead_letter(&(&name).into(), position)?
            .ok_or_else(|| CommandError::NoSuchDeadLetter { plugin: name.clone(), position })?;
        let event = event_at(store, position)?;
        let evidence = Evidence {
            stderr_tail: &letter.stderr_tail,
            backtrace: &letter.backtrace,
            event: event.as_ref().map(EventView::from),
        };
        Json::render(&DeadLetterView { evidence: Some(evidence), ..DeadLetterView::new(&name, &letter) })
    })
    .await
}

/// Hands a dead letter to its plugin again and tells what became of it.
pub(super) async fn retry(
    State(state): State<ApiState>,
    Path((name, position)): Path<(String, String)>,
) -> Result<Json, Problem> {
    let (name, position) = address(name, &position)?;
    let outcome = state.plugins().retry_dead_letter(&name, position).await?;
    tracing::info!(plugin = %name, %position, ?outcome, "dead letter retried by an operator");
    match outcome {
        Redelivery::Handled => Json::render(&json!({ "outcome": "handled" })),
        Redelivery::StillFailing { reason } => Json::render(&json!({ "outcome": "still_failing", "reason": reason })),
    }
}

/// Removes a dead letter: its event will not be handled.
pub(super) async fn discard(
    State(state): State<ApiState>,
    Path((name, position)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let (name, position) = address(name, &position)?;
    state.plugins().discard_dead_letter(&name, position).await?;
    tracing::info!(plugin = %name, %position, "dead letter discarded by an operator");
    Ok(StatusCode::NO_CONTENT)
}

impl From<CommandRefused> for Problem {
    fn from(error: CommandRefused) -> Self {
        Self::of_class(error.class(), with_sources(&error))
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

fn event_at(store: &dyn Store, position: Position) -> Result<Option<RecordedEvent>, StoreError> {
    let after = Position(position.0.saturating_sub(1));
    let page = store.read(&ReadRequest { after, limit: 1, ..ReadRequest::default() })?;
    Ok(page.events.into_iter().find(|event| event.position == position))
}
