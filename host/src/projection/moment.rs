//! The state that a query is answered from.

use std::fmt;
use std::sync::Arc;

use crate::delivery::StateSource;
use crate::event::Position;
use crate::store::Owner;

/// A plugin's live state as it was at one moment.
#[derive(Clone)]
pub struct Moment {
    /// Whose, and which generation of it.
    pub owner: Owner,
    /// The state.
    pub state: Arc<dyn StateSource>,
    /// Every matching event up to here is in it, or set aside.
    pub checkpoint: Position,
    /// The time of the query: microseconds since the Unix epoch.
    pub now_us: u64,
}

impl fmt::Debug for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Moment")
            .field("owner", &self.owner)
            .field("checkpoint", &self.checkpoint)
            .finish_non_exhaustive()
    }
}
