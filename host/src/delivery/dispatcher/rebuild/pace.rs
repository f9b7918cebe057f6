//! How fast a generation is built: by the events that were handed over, while there was something to do, lately. A jump over
//! positions of which the plugin hears nothing is no pace, and neither is a wait for what comes.

use std::time::Duration;

use crate::delivery::cost::Cost;

/// So much is measured at least, and twice this at most, in microseconds of work: what comes may be dearer than what was.
const OVER_US: u64 = 3_000_000;

/// What was handed over.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Work {
    /// Events; of a call that failed one.
    events: u64,
    /// Time within the handlers, in microseconds.
    handler_us: u64,
}

impl Work {
    /// What has cost so much.
    pub(super) const fn of(cost: &Cost) -> Self {
        let failed = cost.attempts.saturating_sub(cost.batches);
        Self { events: cost.events.saturating_add(failed), handler_us: cost.handler_us }
    }
}

/// What was done after so much time with something to do, in microseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    busy_us: u64,
    work: Work,
}

/// How fast something comes on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    /// When it was looked at last: microseconds since the Unix epoch; none before.
    looked_us: Option<u64>,
    now: Mark,
    since: Mark,
    /// Where it is measured from next.
    later: Mark,
}

impl Pace {
    /// Notes what was done up to now, and whether there is something to do and nothing stops that.
    pub(super) fn note(&mut self, now_us: u64, is_busy: bool, work: Work) {
        let Some(looked_us) = self.looked_us.replace(now_us) else {
            self.now.work = work;
            (self.since, self.later) = (self.now, self.now);
            return;
        };
        if is_busy {
            self.now.busy_us = self.now.busy_us.saturating_add(now_us.saturating_sub(looked_us));
        }
        self.now.work = work;
        if self.now.busy_us.saturating_sub(self.later.busy_us) >= OVER_US {
            (self.since, self.later) = (self.later, self.now);
        }
    }

    /// How many events so many handlers are through with in a time, side by side, as far as is known: none before it was
    /// measured for long enough.
    pub(super) fn events_in(&self, time: Duration, handlers: u64) -> u64 {
        let Mark { busy_us, work: Work { events, handler_us } } = self.now;
        let busy_us = busy_us.saturating_sub(self.since.busy_us);
        if busy_us < OVER_US {
            return 0;
        }
        let events = events.saturating_sub(self.since.work.events);
        let handled_us = handler_us.saturating_sub(self.since.work.handler_us);
        let spent_us = busy_us.max(handled_us / handlers.max(1));
        let time_us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        events.saturating_mul(time_us) / spent_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_US: u64 = 1_000_000;
    const TWO: Duration = Duration::from_secs(2);

    fn work(events: u64, handler_us: u64) -> Work {
        Work { events, handler_us }
    }

    #[test]
    fn a_pace_is_that_of_the_last_seconds_and_of_events_that_were_handed_over() {
        let mut pace = Pace::default();
        assert_eq!(pace.events_in(TWO, 1), 0, "nothing is known of it");
        pace.note(0, true, work(100, 0));
        // A thousand in two seconds, which are not long enough.
        pace.note(2 * SECOND_US, true, work(1100, SECOND_US));
        assert_eq!(pace.events_in(TWO, 1), 0);
        pace.note(4 * SECOND_US, true, work(2100, 2 * SECOND_US));
        assert_eq!(pace.events_in(TWO, 1), 1000);
        // Then one in a second, whatever was passed over meanwhile.
        for second in 5..=20 {
            pace.note(second * SECOND_US, true, work(2096 + second, 2 * SECOND_US));
        }
        assert_eq!(pace.events_in(TWO, 1), 2);
        // Two handlers side by side, each of which takes four seconds for one.
        for second in 21..=40 {
            pace.note(second * SECOND_US, true, work(2116 + (second - 20) / 2, (2 * second - 38) * SECOND_US));
        }
        let in_eight = |handlers| pace.events_in(Duration::from_secs(8), handlers);
        assert_eq!((in_eight(1), in_eight(2)), (2, 5), "they may all be one handler's, or not");
        assert_eq!(in_eight(3), 5, "no more than there were");
    }

    #[test]
    fn a_wait_for_something_to_do_is_not_slow() {
        let mut pace = Pace::default();
        for second in 0..=100 {
            // Busy in one second of ten, for two events.
            pace.note(second * SECOND_US, second % 10 == 0, work(second / 10 * 2, 0));
        }
        assert_eq!(pace.events_in(TWO, 1), 4);
    }

    #[test]
    fn a_call_that_fails_is_work() {
        let cost = Cost { events: 10, batches: 2, attempts: 5, handler_us: 7, ..Cost::default() };
        let work = Work::of(&cost);
        assert_eq!((work.events, work.handler_us), (13, 7));
    }
}
