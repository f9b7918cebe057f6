//! What the writer and the readers of one open store share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::sync::watch;

use super::failure::File;
use super::group::Proposal;
use super::index::Index;
use super::open::Opened;
use super::queue::{Bounds, Queue};
use crate::event::Position;

/// What may wait for the writer. Whoever submits more is blocked until there is room.
const QUEUE_BOUNDS: Bounds = Bounds { items: 4096, bytes: 64 << 20 };

/// What the writer and the readers share.
pub(super) struct Shared {
    pub(super) database: File,
    pub(super) index: RwLock<Index>,
    pub(super) head: AtomicU64,
    pub(super) watch: watch::Sender<Position>,
    pub(super) queue: Queue<Proposal>,
}

impl Shared {
    /// Takes over what opening found.
    pub(super) fn new(opened: Opened) -> Self {
        Self {
            database: opened.database,
            index: RwLock::new(opened.index),
            head: AtomicU64::new(opened.head.0),
            watch: watch::Sender::new(opened.head),
            queue: Queue::new(QUEUE_BOUNDS),
        }
    }

    /// Position of the last committed event.
    pub(super) fn head(&self) -> Position {
        Position(self.head.load(Ordering::Acquire))
    }

    /// The index, to look at briefly: the writer waits meanwhile.
    pub(super) fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The index, for the writer to change.
    pub(super) fn index_mut(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }
}
