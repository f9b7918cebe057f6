//! How fast a generation is built, measured over what it has done lately.

use std::time::Duration;

use crate::event::Position;

/// So much is measured at least, once there is as much, and twice this at most, in microseconds: what comes may be dearer
/// than what was, and an hour's halt says nothing.
const OVER_US: u64 = 10_000_000;

/// How far something was at a time in microseconds since the Unix epoch.
type Mark = (u64, Position);

/// How fast something comes on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    since: Mark,
    /// Where it is measured from next.
    later: Mark,
}

impl Pace {
    /// Measured from here on.
    pub(super) const fn from(now_us: u64, at: Position) -> Self {
        Self { since: (now_us, at), later: (now_us, at) }
    }

    /// Notes how far it is.
    pub(super) const fn note(&mut self, now_us: u64, at: Position) {
        if now_us.saturating_sub(self.later.0) >= OVER_US {
            self.since = self.later;
            self.later = (now_us, at);
        }
    }

    /// How many positions it passes in a time, at the pace at which it has come so far.
    pub(super) fn passes_in(&self, time: Duration, (now_us, at): Mark) -> u64 {
        let (since_us, since) = self.since;
        let time_us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let passed = at.0.saturating_sub(since.0);
        passed.saturating_mul(time_us) / now_us.saturating_sub(since_us).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_US: u64 = 1_000_000;

    #[test]
    fn a_pace_is_that_of_the_last_seconds() {
        let two = Duration::from_secs(2);
        let mut pace = Pace::from(0, Position(100));
        assert_eq!(pace.passes_in(two, (0, Position(100))), 0, "nothing is known of it");
        assert_eq!(pace.passes_in(two, (4 * SECOND_US, Position(102))), 1, "less than one in a second");
        // A thousand in a second at first, then one in a second.
        for second in 1..=40 {
            pace.note(second * SECOND_US, Position(1100 + second));
        }
        assert_eq!(pace.passes_in(two, (40 * SECOND_US, Position(1140))), 2);
    }
}
