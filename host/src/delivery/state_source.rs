//! Where the effects of a handler read committed state from.

use std::sync::Arc;

use crate::store::{Owner, StatePage, StateSize, Store, StoreError};

/// The committed state of one plugin, to read.
pub trait StateSource: Send + Sync + 'static {
    /// The value under a key. Blocks.
    ///
    /// # Errors
    /// When it cannot be read.
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Entries as [`Store::state_scan`] answers them. Blocks.
    ///
    /// # Errors
    /// When they cannot be read.
    fn scan(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<StatePage, StoreError>;

    /// How much there is, where that is known without looking at all of it; what it comes to has no limit otherwise.
    /// Blocks.
    ///
    /// # Errors
    /// When it cannot be read.
    fn size(&self) -> Result<Option<StateSize>, StoreError> {
        Ok(None)
    }
}

/// The rows that a store keeps for an owner: what live delivery reads.
pub(super) struct StoredState {
    pub(super) owner: Owner,
    pub(super) store: Arc<dyn Store>,
}

impl StateSource for StoredState {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.state_get(&self.owner, key)
    }

    fn scan(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<StatePage, StoreError> {
        self.store.state_scan(&self.owner, prefix, after, limit)
    }

    fn size(&self) -> Result<Option<StateSize>, StoreError> {
        self.store.state_size(&self.owner).map(Some)
    }
}
