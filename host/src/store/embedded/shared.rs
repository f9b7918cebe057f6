//! What the writer, the readers and the upkeep of one open store share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use tokio::sync::watch;

use super::activity::Counting;
use super::disk::Disk;
use super::group::Proposal;
use super::lease::Leases;
use super::queue::{Bounds, Queue};
use super::state::{JournalMark, StateFile};
use super::upkeep::Upkeep;
use super::view::View;
use crate::event::Position;

/// What may wait for the writer. Whoever submits more is blocked until there is room.
const QUEUE_BOUNDS: Bounds = Bounds { items: 4096, bytes: 64 << 20 };

/// What the threads of an open store share.
pub(super) struct Shared {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) state: StateFile,
    view: RwLock<Arc<View>>,
    head: AtomicU64,
    mark: Mutex<JournalMark>,
    sizing: Mutex<()>,
    pub(super) watch: watch::Sender<Position>,
    pub(super) queue: Queue<Proposal>,
    pub(super) upkeep: Upkeep,
    pub(super) leases: Arc<Leases>,
    pub(super) counting: Counting,
}

impl Shared {
    /// Of a store that was just opened.
    pub(super) fn new(disk: Arc<dyn Disk>, state: StateFile, view: View, head: Position, mark: JournalMark) -> Self {
        Self {
            leases: Arc::new(Leases::new(Arc::clone(&disk))),
            disk,
            state,
            view: RwLock::new(Arc::new(view)),
            head: AtomicU64::new(head.0),
            mark: Mutex::new(mark),
            sizing: Mutex::default(),
            watch: watch::Sender::new(head),
            queue: Queue::new(QUEUE_BOUNDS),
            upkeep: Upkeep::default(),
            counting: Counting::default(),
        }
    }

    /// Position of the last committed event. Read it before the view that shall hold it.
    pub(super) fn head(&self) -> Position {
        Position(self.head.load(Ordering::Acquire))
    }

    /// Makes events up to here visible.
    pub(super) fn publish(&self, head: Position) {
        self.head.store(head.0, Ordering::Release);
        self.watch.send_replace(head);
    }

    /// How far the journals have come: all that is synced.
    pub(super) fn mark(&self) -> JournalMark {
        *self.mark.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells that the journals have come so far.
    pub(super) fn set_mark(&self, mark: JournalMark) {
        *self.mark.lock().unwrap_or_else(PoisonError::into_inner) = mark;
    }

    /// Held by who counts an owner's state.
    pub(super) fn sizing(&self) -> MutexGuard<'_, ()> {
        self.sizing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the store is made of now.
    pub(super) fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces what the store is made of.
    pub(super) fn change_view(&self, change: impl FnOnce(&View) -> View) {
        let mut view = self.view.write().unwrap_or_else(PoisonError::into_inner);
        *view = Arc::new(change(&view));
    }
}
