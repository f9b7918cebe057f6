//! Ids of commands that are being sent or accepted: who comes with another command under such an id is refused.
//!
//! What is in the log is looked up there; this is for what is not there yet.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The ids. Cheap to clone; clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Ids(Arc<Mutex<HashMap<String, Used>>>);

#[derive(Debug)]
struct Used {
    /// By which command.
    digest: String,
    /// By how many who came with it.
    times: usize,
}

/// An id in use. Dropping it ends that.
#[derive(Debug)]
pub(super) struct InUse {
    ids: Ids,
    id: String,
}

impl Ids {
    /// Uses an id for the command with a digest; none while another command has it.
    pub(super) fn take(&self, id: &str, digest: &str) -> Option<InUse> {
        match self.lock().entry(id.to_owned()) {
            Entry::Vacant(vacant) => drop(vacant.insert(Used { digest: digest.to_owned(), times: 1 })),
            Entry::Occupied(used) if used.get().digest != digest => return None,
            Entry::Occupied(mut used) => used.get_mut().times += 1,
        }
        Some(InUse { ids: self.clone(), id: id.to_owned() })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Used>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        let mut ids = self.ids.lock();
        let Some(used) = ids.get_mut(&self.id) else { return };
        used.times -= 1;
        if used.times == 0 {
            ids.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_that_of_one_command_until_the_last_who_came_with_it_goes() {
        let ids = Ids::default();
        let [first, again] = [ids.take("a", "1").unwrap(), ids.take("a", "1").unwrap()];
        assert!(ids.take("a", "2").is_none() && ids.take("b", "2").is_some());
        drop(first);
        assert!(ids.take("a", "2").is_none());
        drop(again);
        drop(ids.take("a", "2").unwrap());
        assert!(ids.lock().is_empty());
    }
}
