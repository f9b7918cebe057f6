//! How long the writer waits for a group to fill.
//!
//! Whoever was answered by the last group is likely to come back at once, and whoever waits already is
//! here: so many are expected. A lone appender is expected alone, so it never waits for others. Waiting
//! that was in vain (clients that are slower than the linger) is tried less and less often.

/// Most groups that go without waiting between two tries.
const PAUSE_MAX: u32 = 64;

/// Decides how many proposals the next group waits for.
#[derive(Debug, Default)]
pub(super) struct Linger {
    expected: usize,
    /// Groups to go before the next try.
    skip: u32,
    /// How many to skip after the next failure.
    pause: u32,
}

impl Linger {
    /// Tells that a group of `answered` was answered while `waiting` were in the queue.
    pub(super) fn answered(&mut self, answered: usize, waiting: usize) {
        self.expected = answered + waiting;
        self.skip = self.skip.saturating_sub(1);
    }

    /// How many proposals to wait for when `waiting` are there; none to go ahead.
    pub(super) fn wanted(&self, waiting: usize) -> Option<usize> {
        (self.skip == 0 && self.expected > waiting).then_some(self.expected)
    }

    /// Tells that waiting for `wanted` when `before` were there ended with `after`.
    pub(super) fn waited(&mut self, wanted: usize, before: usize, after: usize) {
        if (after - before) * 2 >= wanted - before {
            self.pause = 0;
        } else {
            self.pause = (self.pause * 2).clamp(1, PAUSE_MAX);
            // One more, as the group that waited in vain counts when it is answered.
            self.skip = self.pause + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lone_appender_never_waits() {
        let mut linger = Linger::default();
        assert_eq!(linger.wanted(1), None);
        linger.answered(1, 0);
        assert_eq!(linger.wanted(1), None);
    }

    #[test]
    fn two_that_take_turns_are_brought_together() {
        let mut linger = Linger::default();
        linger.answered(1, 1);
        assert_eq!(linger.wanted(1), Some(2));
        linger.waited(2, 1, 2);
        linger.answered(2, 0);
        assert_eq!((linger.wanted(1), linger.wanted(2)), (Some(2), None));
    }

    #[test]
    fn waiting_in_vain_becomes_rare() {
        let mut linger = Linger::default();
        let mut waits = 0;
        for _ in 0..1000 {
            linger.answered(8, 0);
            if let Some(wanted) = linger.wanted(1) {
                waits += 1;
                linger.waited(wanted, 1, 1);
            }
        }
        assert!((10..25).contains(&waits), "{waits} of 1000 groups waited");
        linger.waited(8, 1, 8);
        assert_eq!(linger.pause, 0, "one success is enough to trust again");
    }
}
