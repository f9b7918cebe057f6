//! Snapshots that load and may not fit: those that are suspected of what an aggregate failed at, and those that are found to
//! be to blame. And those of which code dies.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::shard::NotLoaded;
use crate::event::{StreamName, Version};

/// Most streams of which something is noted.
const NOTED_MAX: usize = 1024;

/// Snapshots that were suspected of what an aggregate failed at, and of which it was not found that they are to blame.
#[derive(Default)]
pub(super) struct Suspects(HashMap<StreamName, Suspect>);

/// One of them.
#[derive(Clone, Copy, Debug)]
struct Suspect {
    version: Version,
    /// How often it was.
    times: u64,
    /// Whether it is known not to be to blame: the aggregate fails without it, too, or cannot be made without it any more.
    is_cleared: bool,
}

impl Suspects {
    /// Whether what failed is done again without a snapshot that is suspected once more. One of which that has said nothing
    /// so far is looked into the second time, the fourth, the eighth and so on: whoever sends what fails does not have the
    /// history read each time.
    pub(super) fn may_look(&mut self, stream: &StreamName, version: Version) -> bool {
        let Some(suspect) = self.0.get_mut(stream).filter(|suspect| suspect.version == version) else {
            return true;
        };
        suspect.times += 1;
        !suspect.is_cleared && suspect.times.is_power_of_two()
    }

    /// Notes what looking into a snapshot came to.
    pub(super) fn note(&mut self, stream: &StreamName, version: Version, is_cleared: bool) {
        let known = self.0.get(stream).filter(|suspect| suspect.version == version);
        let times = known.map_or(1, |suspect| suspect.times);
        note_in(&mut self.0, stream, Suspect { version, times, is_cleared });
    }
}

/// Snapshots that load and do not fit, and are to be dropped: noted where aggregates are made, taken by who has a command
/// of theirs decided next, whatever comes of that. One that is forgotten is found out again.
#[derive(Default)]
pub(super) struct Unfit(Mutex<HashMap<StreamName, Version>>);

impl Unfit {
    /// Notes that of a stream at a version.
    pub(super) fn note(&self, stream: &StreamName, version: Version) {
        note_in(&mut self.lock(), stream, version);
    }

    /// The version of that of a stream, if it has one.
    pub(super) fn take(&self, stream: &StreamName) -> Option<Version> {
        self.lock().remove(stream)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<StreamName, Version>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Snapshots of which the code died as it loaded them, and how. Each time the instance is lost with all that it holds, so
/// they are tried again as seldom as what is suspected is looked into.
#[derive(Default)]
pub(super) struct Deadly {
    suspects: Suspects,
    how: HashMap<StreamName, NotLoaded>,
}

impl Deadly {
    /// How the code died of that of a stream at a version, where that is not to be tried again this time.
    pub(super) fn known(&mut self, stream: &StreamName, version: Version) -> Option<NotLoaded> {
        let known = self.how.get(stream).filter(|known| known.version == version)?;
        (!self.suspects.may_look(stream, version)).then(|| known.clone())
    }

    /// Notes that it died.
    pub(super) fn note(&mut self, stream: &StreamName, how: NotLoaded) {
        self.suspects.note(stream, how.version, false);
        note_in(&mut self.how, stream, how);
    }
}

/// Notes something of a stream among not too many.
pub(super) fn note_in<T>(noted: &mut HashMap<StreamName, T>, stream: &StreamName, what: T) {
    if noted.len() >= NOTED_MAX && !noted.contains_key(stream) {
        noted.clear();
    }
    noted.insert(stream.clone(), what);
}
