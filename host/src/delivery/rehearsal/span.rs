//! Which part of the log a rehearsal goes over.

use super::RehearsalError;
use crate::delivery::start;
use crate::delivery::{Setup, Start};
use crate::event::Position;
use crate::store::Store;

/// The range that somebody asked for, both ends of which belong to it, and what it may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// First position; none for where the plugin begins.
    pub from: Option<Position>,
    /// Last position; none for as far as makes sense.
    pub to: Option<Position>,
    /// Most bytes of state that one version may build up; none for the usual bound.
    pub state_bytes: Option<usize>,
}

/// Positions of the log that there are; at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) first: Position,
    pub(super) last: Position,
}

impl Asked {
    /// The range, if it is one. `last` is where it ends when nothing else is asked for.
    pub(super) fn within(self, setup: &Setup, last: Position, store: &dyn Store) -> Result<Span, RehearsalError> {
        let head = store.head();
        let first = match self.from {
            Some(from) => from,
            None => begin(setup, store)?,
        };
        let given = self.to;
        let last = given.unwrap_or(last);
        let asked = given.or(self.from).unwrap_or_default();
        if first == Position::START || (given.is_some() && last < first) {
            return Err(RehearsalError::EmptyRange { from: first, to: last });
        }
        if asked > head {
            return Err(RehearsalError::BeyondHead { asked, head });
        }
        if last < first {
            let plugin = setup.plugin.clone();
            return Err(RehearsalError::NothingSettled { plugin, from: first, checkpoint: last });
        }
        Ok(Span { first, last })
    }
}

/// First position that the plugin was handed when it was installed.
fn begin(setup: &Setup, store: &dyn Store) -> Result<Position, RehearsalError> {
    match setup.subscription.start {
        Start::End => Err(RehearsalError::StartUnknown { plugin: setup.plugin.clone() }),
        start => Ok(start::resolve(start, store)?.next()),
    }
}
