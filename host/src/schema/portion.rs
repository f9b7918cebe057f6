//! Lifting several events, within bounds for all of them together.

use std::time::Duration;

use super::chain::Chain;
use super::lifted::{LiftError, size_of_all};
use crate::clock::Stopwatch;
use crate::event::RecordedEvent;

/// Most that is made of events at a time, in bytes, but for what is made of the last one.
const BYTES_MAX: usize = 8 << 20;
/// How long events are lifted at a time, but for the last one.
const TIME_MAX: Duration = Duration::from_secs(2);

/// What is lifted at a time: of stored pages, whose size is bounded, may come more than they hold.
#[derive(Debug)]
pub struct Portion<'a> {
    chain: &'a Chain,
    began: Stopwatch,
    time_max: Duration,
    bytes: usize,
    bytes_max: usize,
}

impl<'a> Portion<'a> {
    /// An empty one.
    #[must_use]
    pub fn of(chain: &'a Chain) -> Self {
        Self { chain, began: Stopwatch::start(), time_max: TIME_MAX, bytes: 0, bytes_max: BYTES_MAX }
    }

    /// The same within other bounds.
    #[must_use]
    pub fn within(self, bytes_max: usize, time_max: Duration) -> Self {
        Self { bytes_max, time_max, ..self }
    }

    /// Whether nothing more should come into it.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.bytes >= self.bytes_max || self.began.elapsed() >= self.time_max
    }

    /// [`Chain::lift`]; what it makes is counted. Blocks where a step is code.
    ///
    /// # Errors
    /// As there.
    pub fn lift(&mut self, event: &RecordedEvent) -> Result<Option<Vec<RecordedEvent>>, LiftError> {
        let lifted = self.chain.lift(event)?;
        self.bytes += lifted.as_deref().map_or(0, size_of_all);
        Ok(lifted)
    }
}
