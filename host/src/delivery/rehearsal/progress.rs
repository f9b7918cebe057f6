//! How far a rehearsal is.

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::span::Span;
use crate::event::Position;

/// How far a rehearsal is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RehearsalProgress {
    /// Everything up to here was handed over.
    pub position: Position,
    /// Last position of the range.
    pub to: Position,
    /// Events handed over so far.
    pub events: u64,
    /// How many of them there were each second.
    pub events_per_second: u64,
    /// How long the rest takes at this rate, in seconds; none before anything is known.
    pub seconds_left: Option<u64>,
}

/// Who is told how far it is; breaking cancels the rehearsal.
pub type Tell<'a> = &'a mut dyn FnMut(RehearsalProgress) -> ControlFlow<()>;

/// Counts on the way through a span.
pub(super) struct Odometer {
    span: Span,
    began_us: u64,
    events: u64,
}

impl Odometer {
    pub(super) const fn new(span: Span, now_us: u64) -> Self {
        Self { span, began_us: now_us, events: 0 }
    }

    /// So many more events were handed over, and everything up to a position.
    pub(super) fn advance(&mut self, events: usize, position: Position, now_us: u64) -> RehearsalProgress {
        self.events += events as u64;
        let took_us = u128::from(now_us.saturating_sub(self.began_us).max(1));
        let Span { first, last } = self.span;
        let done = u128::from((position.0 + 1).saturating_sub(first.0));
        let left = u128::from(last.0.saturating_sub(position.0));
        RehearsalProgress {
            position,
            to: last,
            events: self.events,
            events_per_second: u64::try_from(u128::from(self.events) * 1_000_000 / took_us).unwrap_or(u64::MAX),
            seconds_left: (took_us * left)
                .checked_div(done)
                .map(|left_us| u64::try_from(left_us.div_ceil(1_000_000)).unwrap_or(u64::MAX)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_and_rest_follow_from_what_was_done() {
        let span = Span { first: Position(11), last: Position(110) };
        let mut odometer = Odometer::new(span, 1_000);
        let progress = odometer.advance(10, Position(35), 5_001_000);
        assert_eq!((progress.events, progress.events_per_second, progress.seconds_left), (10, 2, Some(15)));
        let progress = odometer.advance(0, Position(110), 5_001_000);
        assert_eq!((progress.to, progress.seconds_left), (Position(110), Some(0)));
    }
}
