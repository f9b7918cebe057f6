//! How many accepted commands of each kind of aggregate were read by the queue and are not settled: it counts, and who
//! accepts more asks.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::event::Category;

/// The counts of kinds that have any.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<HashMap<Category, u64>>);

impl Tally {
    /// How many there are of a kind.
    pub(super) fn of(&self, category: &Category) -> u64 {
        self.lock().get(category).copied().unwrap_or_default()
    }

    /// Forgets all, as they are read from the beginning.
    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    /// Counts one more of a kind.
    pub(super) fn add(&self, category: &Category) {
        *self.lock().entry(category.clone()).or_default() += 1;
    }

    /// Counts so many less of a kind.
    pub(super) fn take(&self, category: &Category, count: u64) {
        let mut counts = self.lock();
        let Some(left) = counts.get_mut(category) else { return };
        *left = left.saturating_sub(count);
        if *left == 0 {
            counts.remove(category);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Category, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
