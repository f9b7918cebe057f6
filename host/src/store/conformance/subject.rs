//! What a store brings to be tested.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::Clock;
use crate::store::Store;

/// A store under test.
pub trait Subject {
    /// Opens the store, empty at first, with the time of `clock`.
    fn open(&self, clock: Arc<dyn Clock>) -> Arc<dyn Store>;

    /// Closes the store and opens it again. A store that lives in memory is given back as it is.
    fn reopen(&self, store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Arc<dyn Store>;
}

/// A clock that can go back, as the clocks of machines do.
#[derive(Debug)]
pub struct TestClock(AtomicU64);

impl TestClock {
    /// Creates a clock that stands at `now_us`.
    #[must_use]
    pub fn at(now_us: u64) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(now_us)))
    }

    /// Sets the time.
    pub fn set(&self, now_us: u64) {
        self.0.store(now_us, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now_us(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}
