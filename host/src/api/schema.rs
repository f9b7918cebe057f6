//! Which schema a reader sees: `schema=current` (today's, unless told) or `schema=stored`.
//!
//! A query speaks of the types that its reader sees. For today's it is asked of the store as the stored types that
//! may become those, and decided when events are lifted. What a caller's key may see is likewise what it is shown.

use std::sync::Arc;

use super::params::{Params, bad_value};
use super::problem::{Kind, Problem};
use super::state::ApiState;
use crate::error::ErrorClass;
use crate::event::{Filter, Query, RecordedEvent};
use crate::gate::Caller;
use crate::schema::{Chain, SchemaView, lift_one, lift_page};
use crate::store::{Direction, StoreError};

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

    /// Events of the store as they are shown. Blocks where [`Self::is_lifting`].
    pub(super) fn events(&self, mut events: Vec<RecordedEvent>, direction: Direction) -> Vec<RecordedEvent> {
        let Some(chain) = self.chain.as_ref().filter(|chain| !chain.is_empty()) else { return events };
        // What one event becomes stands in the order that the reader goes.
        let backwards = direction == Direction::Backwards;
        if backwards {
            events.reverse();
        }
        let mut shown = lift_page(chain, &self.asked, &self.reach, events);
        if backwards {
            shown.reverse();
        }
        shown
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
