//! Keeps files where they are while somebody reads them by name: a backup.
//!
//! Whoever replaces files gives the old ones to [`Leases::remove`]. They are removed at once, or, while there is a
//! [`Lease`], when the last one is given back. After a crash meanwhile the next open removes them, as it does what
//! any merge or compaction left. A lease holds up nothing else: seals, merges and compactions go on.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::disk::Disk;

/// Who reads files of a disk by name, and which files wait for that.
#[derive(Debug)]
pub(super) struct Leases {
    disk: Arc<dyn Disk>,
    state: Mutex<State>,
    /// Held while the state file is copied: one copy at a time.
    pub(super) copying: Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    live: usize,
    /// Files that nothing names any more.
    waiting: Vec<String>,
}

impl Leases {
    pub(super) fn new(disk: Arc<dyn Disk>) -> Self {
        Self { disk, state: Mutex::default(), copying: Mutex::default() }
    }

    /// Removes a file that the manifest does not name any more, as soon as no lease keeps it. What cannot be removed
    /// is removed at the next open.
    pub(super) fn remove(&self, name: String) {
        let mut state = self.lock();
        if state.live > 0 {
            state.waiting.push(name);
        } else {
            let _ = self.disk.remove(&name);
        }
    }

    /// Keeps every file that the manifest names from now on.
    pub(super) fn take(self: &Arc<Self>) -> Lease {
        self.lock().live += 1;
        Lease(Arc::clone(self))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// While it lives, no file is removed that the manifest named when it was taken, or later.
pub(super) struct Lease(Arc<Leases>);

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").finish_non_exhaustive()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.live -= 1;
        if state.live == 0 {
            for name in std::mem::take(&mut state.waiting) {
                let _ = self.0.disk.remove(&name);
            }
        }
    }
}
