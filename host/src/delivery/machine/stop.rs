//! What keeps delivery from going on, until somebody acts.

use std::collections::BTreeSet;

use crate::delivery::status::State;
use crate::event::Position;

/// Different events that fault out, one after the other with no success in between, until the plugin is
/// quarantined.
const FAULTED_OUT_MAX: usize = 3;

/// Why nothing is handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// It cannot go on from where it stands.
    Halted(String),
    /// It faults on everything.
    Quarantined(String),
}

impl Stop {
    pub(super) fn state(&self) -> State {
        match self.clone() {
            Self::Halted(reason) => State::Halted { reason },
            Self::Quarantined(reason) => State::Quarantined { reason },
        }
    }
}

/// Tells a plugin that faults on everything from one that faults on some events.
#[derive(Debug, Default)]
pub(in crate::delivery) struct FaultRun(BTreeSet<Position>);

impl FaultRun {
    /// An event faulted out. Whether that is one too many.
    pub(in crate::delivery) fn note(&mut self, position: Position) -> bool {
        self.0.insert(position);
        self.0.len() >= FAULTED_OUT_MAX
    }

    /// An event was handled, or somebody wants it tried anew.
    pub(in crate::delivery) fn end(&mut self) {
        self.0.clear();
    }
}
