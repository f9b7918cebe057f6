//! How long a generation that is built has been near the live one without coming closer: as events come about as fast as it
//! handles them, or one of its handlers is slow. Time in which it does not go on is none of that.

/// After so much time, in microseconds, twice as much may be left when the live one is stopped for it.
const EVERY_US: u64 = 5_000_000;

/// How long it has been near.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Patience {
    /// Positions by which it was behind when it was closest.
    closest: Option<u64>,
    /// When it was looked at last while it went on: microseconds since the Unix epoch.
    looked_us: Option<u64>,
    /// Since it came closer last, in microseconds.
    waited_us: u64,
}

impl Patience {
    /// Notes by how many positions it is behind while it goes on; answers how often what may be left is doubled by now.
    pub(super) fn note(&mut self, now_us: u64, behind: u64) -> u32 {
        let looked_us = self.looked_us.replace(now_us).unwrap_or(now_us);
        self.waited_us = self.waited_us.saturating_add(now_us.saturating_sub(looked_us));
        if self.closest.is_none_or(|closest| behind < closest) {
            (self.closest, self.waited_us) = (Some(behind), 0);
        }
        u32::try_from(self.waited_us / EVERY_US).unwrap_or(u32::MAX)
    }

    /// Notes that it does not go on.
    pub(super) const fn rest(&mut self) {
        self.looked_us = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_time_in_which_it_goes_on_and_comes_no_closer_counts() {
        let mut patience = Patience::default();
        assert_eq!(patience.note(0, 20), 0);
        assert_eq!(patience.note(EVERY_US, 30), 1);
        patience.rest();
        assert_eq!(patience.note(9 * EVERY_US, 20), 1);
        assert_eq!(patience.note(10 * EVERY_US, 25), 2);
        assert_eq!(patience.note(11 * EVERY_US, 19), 0, "it came closer");
        assert_eq!(patience.note(12 * EVERY_US, 19), 1);
    }
}
