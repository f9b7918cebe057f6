//! Which schema a reader sees: `schema=current` (today's, unless told) or `schema=stored`.
//!
//! A query speaks of the types that its reader sees. For today's it is asked of the store as the stored types that
//! may become those, and decided when events are lifted. What a caller's key may see is likewise what it is shown.

use std::sync::Arc;

use super::params::{Params, bad_value};
use super::problem::{Kind, Problem};
use super::state::ApiState;
use crate::error::ErrorClass;
use crate::event::{Filter, Position, Query, RecordedEvent, Version};
use crate::gate::Caller;
use crate::schema::{Chain, Portion, SchemaView, lift_one, lift_page};
use crate::store::{Direction, ReadPage, StoreError};

/// Its name among the parameters.
pub(super) const PARAM: &str = "schema";
/// Its values.
pub(super) const VALUES: [&str; 2] = ["current", "stored"];

/// How events are shown to one reader.
#[derive(Clone)]
pub(super) struct Shown {
    /// None where they are shown as they are stored.
    chain: Option<Arc<Chain>>,
    /// What is asked for, less what the caller may not see.
    asked: Query,
    /// What the caller may see.
    reach: Filter,
}

/// Reads the parameter.
fn view(params: &Params) -> Result<SchemaView, Problem> {
    match params.one(PARAM)? {
        None | Some("current") => Ok(SchemaView::Current),
        Some("stored") => Ok(SchemaView::Stored),
        Some(other) => Err(bad_value(PARAM, other, "give `current` or `stored`")),
    }
}

impl Shown {
    /// What a caller asks for, in the schema that it asks for.
    pub(super) fn parse(params: &Params, state: &ApiState, caller: &Caller, asked: Query) -> Result<Self, Problem> {
        let chain = match view(params)? {
            SchemaView::Stored => None,
            SchemaView::Current => Some(chain(state)?),
        };
        Ok(Self { chain, asked: caller.narrow(asked).map_err(StoreError::from)?, reach: caller.reach() })
    }

    /// Events as they are stored, for a caller who may see all.
    #[cfg(test)]
    pub(super) fn of_stored(asked: Query) -> Self {
        Self { chain: None, asked, reach: Filter::all() }
    }

    /// What the store is asked for.
    pub(super) fn query(&self) -> Query {
        self.chain.as_ref().map_or_else(|| self.asked.clone(), |chain| chain.stored_query(&self.asked))
    }

    /// Whether anything is lifted at all: then it may take a while.
    pub(super) fn is_lifting(&self) -> bool {
        self.chain.as_ref().is_some_and(|chain| !chain.is_empty())
    }

    /// Events of the store as they are shown, and those that are not lifted yet. Blocks where [`Self::is_lifting`].
    pub(super) fn events(
        &self,
        events: Vec<RecordedEvent>,
        direction: Direction,
    ) -> (Vec<RecordedEvent>, Vec<RecordedEvent>) {
        match self.chain.as_ref().filter(|chain| !chain.is_empty()) {
            Some(chain) => {
                let backwards = direction == Direction::Backwards;
                lift_page(Portion::of(chain), (&self.asked, &self.reach), events, backwards)
            }
            None => (events, Vec::new()),
        }
    }

    /// A page as it is shown; where it becomes too much, it ends earlier. Answers the stream's version up to which, or
    /// down to which, it goes. Blocks where [`Self::is_lifting`].
    pub(super) fn page(&self, page: &mut ReadPage, direction: Direction) -> Option<Version> {
        let last = page.events.last().map(|event| event.version);
        let (shown, rest) = self.events(std::mem::take(&mut page.events), direction);
        page.events = shown;
        let Some(next) = rest.first() else { return last };
        let before = |number: u64| match direction {
            Direction::Forwards => number.saturating_sub(1),
            Direction::Backwards => number.saturating_add(1),
        };
        page.complete = false;
        page.through = Position(before(next.position.0));
        Some(Version(before(next.version.0)))
    }

    /// One event as it is shown. Blocks where [`Self::is_lifting`].
    pub(super) fn event(&self, event: RecordedEvent) -> RecordedEvent {
        match &self.chain {
            Some(chain) => lift_one(chain, event),
            None => event,
        }
    }

    /// Takes up another chain, if there is one by now.
    pub(super) fn renew(&mut self, state: &ApiState) -> bool {
        let (Some(known), Ok(chain)) = (&mut self.chain, state.plugins().chain()) else { return false };
        let other = *known != chain;
        *known = chain;
        other
    }
}

fn chain(state: &ApiState) -> Result<Arc<Chain>, Problem> {
    state.plugins().chain().map_err(|reason| {
        let detail =
            format!("events cannot be lifted to today's schema: {reason}; schema=stored reads them as they are");
        Problem::new(ErrorClass::Unavailable, Kind::Unavailable, detail)
    })
}
