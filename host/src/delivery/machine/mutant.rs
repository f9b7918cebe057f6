//! Rules that a test can break on purpose, to see that the simulation notices.

/// A rule of delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// The checkpoint follows the effect.
    CheckpointAfterEffect,
    /// What is parked is written down.
    ParkedIsKept,
    /// Attempts add up.
    AttemptsAddUp,
    /// A blocked key waits.
    BlockedKeyWaits,
    /// What had stopped delivery before a crash stops it after.
    StopIsKept,
    /// Nothing is tried before a world that is not ready is looked at again.
    OutageIsHeld,
    /// What an earlier layout settled is passed over.
    SettledIsPassed,
}

/// Whether a test has broken a rule.
#[cfg(not(test))]
pub(super) const fn broken(_: Rule) -> bool {
    false
}

#[cfg(test)]
pub(super) use switch::{break_rule, broken};

#[cfg(test)]
mod switch {
    use std::cell::Cell;

    use super::Rule;

    thread_local! {
        static BROKEN: Cell<Option<Rule>> = const { Cell::new(None) };
    }

    /// Whether a rule is broken on this thread.
    pub(in crate::delivery::machine) fn broken(rule: Rule) -> bool {
        BROKEN.get() == Some(rule)
    }

    /// Breaks a rule on this thread, or none.
    pub(in crate::delivery::machine) fn break_rule(rule: Option<Rule>) {
        BROKEN.set(rule);
    }
}
