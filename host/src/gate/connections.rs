//! How many connections of a listener are open, and a bound on that.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::clock::Stopwatch;
use crate::measure::Counter;

/// How long nothing more is logged of connections that are refused.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// The places for the connections of a listener.
pub struct Connections {
    max: usize,
    free: Arc<Semaphore>,
    refused: Counter,
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").field("max", &self.max).field("open", &self.open()).finish_non_exhaustive()
    }
}

impl Connections {
    /// So many places, all of them free.
    pub(super) fn new(max: usize) -> Self {
        Self { max, free: Arc::new(Semaphore::new(max)), refused: Counter::default() }
    }

    /// A place until it is dropped; none when there is none. That is counted, and logged unless it was just before.
    pub(super) fn take(&self, told: &mut Option<Stopwatch>) -> Option<OwnedSemaphorePermit> {
        let place = Arc::clone(&self.free).try_acquire_owned().ok();
        if place.is_none() {
            self.refused.add(1);
            if told.as_ref().is_none_or(|told| told.elapsed() >= TOLD_EVERY) {
                *told = Some(Stopwatch::start());
                let refused = self.refused.get();
                tracing::error!(
                    open = self.max,
                    refused,
                    "a connection was refused: as many as max_connections allows are open"
                );
            }
        }
        place
    }

    /// How many are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.max.saturating_sub(self.free.available_permits())
    }

    /// How many were refused.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.get()
    }
}
