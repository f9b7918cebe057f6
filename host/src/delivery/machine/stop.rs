//! What keeps delivery from going on, until somebody acts.

use std::collections::BTreeSet;

use crate::delivery::status::State;
use crate::event::Position;
use crate::store::Stopped;

/// Different events that fault out, one after the other with no success in between, until the plugin is
/// quarantined.
const FAULTED_OUT_MAX: usize = 3;

/// What tells a version of a plugin from one that may go on where it has stopped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::delivery) struct VersionId {
    /// SHA-256 of the component, in hex; empty for native handlers.
    pub(in crate::delivery) component: String,
    /// SHA-256 of what its manifest says, in hex.
    pub(in crate::delivery) manifest: String,
    /// What tells the lifts that its events go through from others.
    pub(in crate::delivery) lifts: String,
}

/// Why nothing is handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// It cannot go on from where it stands, now or after a restart.
    Halted(String),
    /// Something around it is broken, which a restart may mend: a thread, or the store.
    Broken(String),
    /// It faults on everything.
    Quarantined(String),
}

impl Stop {
    pub(super) fn state(&self) -> State {
        match self.clone() {
            Self::Halted(reason) | Self::Broken(reason) => State::Halted { reason },
            Self::Quarantined(reason) => State::Quarantined { reason },
        }
    }

    /// What is written down of a component's stop; none where it ends with the process. That of a native handler does:
    /// nobody knows whether another program has mended it.
    pub(super) fn stored(&self, version: &VersionId) -> Option<Stopped> {
        let (reason, quarantined) = match self {
            Self::Halted(reason) => (reason, false),
            Self::Quarantined(reason) => (reason, true),
            Self::Broken(_) => return None,
        };
        let VersionId { component, manifest, lifts } = version.clone();
        let reason = reason.clone();
        (!component.is_empty()).then_some(Stopped { component, manifest, lifts, quarantined, reason })
    }

    /// What was written down of a version's stop; of another version's none.
    pub(super) fn load(stored: &Stopped, version: &VersionId) -> Option<Self> {
        let Stopped { component, manifest, lifts, quarantined, reason } = stored.clone();
        let make = if quarantined { Self::Quarantined } else { Self::Halted };
        (VersionId { component, manifest, lifts } == *version).then(|| make(reason))
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
