//! The clock of a fixture: it stands at the time of its last event, and whoever waits moves it on. Nothing sleeps.

use std::time::Duration;

use crate::clock::{Clock, ManualClock};

/// A clock that stands where a wait ends as soon as it begins.
#[derive(Debug, Default)]
pub(super) struct Simulated(pub(super) ManualClock);

impl Clock for Simulated {
    fn now_us(&self) -> u64 {
        self.0.now_us()
    }

    fn sleep_until(&self, us: u64) -> Duration {
        self.0.reach_us(us);
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_moves_it_on_and_never_back() {
        let clock = Simulated(ManualClock::at(5));
        assert_eq!((clock.sleep_until(8), clock.now_us()), (Duration::ZERO, 8));
        assert_eq!((clock.sleep_until(6), clock.now_us()), (Duration::ZERO, 8));
    }
}
