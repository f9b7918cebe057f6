//! Which events have had their effect on the log already: handled again, they emit nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::layout::Settled;
use crate::event::{Position, RecordedEvent};

/// Events whose emissions are checked like any other, and then dropped.
#[derive(Clone, Debug, Default)]
pub(super) enum Quiet {
    /// None.
    #[default]
    Nothing,
    /// All.
    Everything,
    /// What other generations had handled, the latest first: the first one that had settled an event tells.
    Past(Arc<[Past]>),
}

/// What another generation had handled: all that it had settled but what it had set aside.
#[derive(Debug)]
pub(super) struct Past {
    pub(super) settled: Vec<Settled>,
    /// Events that it had set aside and that emitted nothing yet.
    pub(super) loud: BTreeSet<Position>,
}

impl Quiet {
    /// Everything, or nothing.
    pub(super) const fn all(quiet: bool) -> Self {
        if quiet { Self::Everything } else { Self::Nothing }
    }

    /// Whether an event emits nothing.
    pub(super) fn covers(&self, event: &RecordedEvent) -> bool {
        match self {
            Self::Nothing => false,
            Self::Everything => true,
            Self::Past(pasts) => {
                let mut pasts = pasts.iter();
                let settled = pasts.find(|past| past.settled.iter().any(|settled| settled.covers(event)));
                settled.is_some_and(|past| !past.loud.contains(&event.position))
            }
        }
    }
}
