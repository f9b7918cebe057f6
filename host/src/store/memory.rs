//! The strict fake: a store in memory, naive on purpose, that tests use and other stores are compared with.
//!
//! It keeps nothing when dropped. Reads walk over every event and ask [`Query::matches`]: nothing to be
//! wrong about. A caller's mistake that a durable store would tolerate is a panic here. Its own ids can be told in
//! advance, so that what tests and the kit see is always the same: no stranger appends to it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use uuid::Uuid;

use super::decide::{self, Decision, LogView};
use super::page::{PageBuilder, StatePageBuilder, StreamPageBuilder, is_above};
use super::{
    AppendError, AppendRequest, Appended, CommitError, Committed, Counts, DeadLetter, DeadLetterChange, Direction,
    Owner, Pending, PluginChange, PluginRecord, Progress, ReadPage, ReadRequest, Removals, StateKeys, StatePage,
    StateSize, StateSnapshot, Store, StoreError, StreamDeletion, StreamHead, StreamPage, UnitOfWork,
};
use crate::clock::Clock;
use crate::event::{Category, EventType, OwnIds, PluginName, Position, Query, RecordedEvent, StreamName};

/// A store in memory.
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    data: Mutex<Data>,
    head: watch::Sender<Position>,
}

#[derive(Default)]
struct Data {
    /// Every event that was ever appended.
    log: Vec<RecordedEvent>,
    removals: Removals,
    owners: BTreeMap<Owner, OwnerData>,
    records: BTreeMap<PluginName, PluginRecord>,
    tracking: BTreeMap<String, u64>,
    /// Rows of state that are not served, as a test damaged them.
    damaged: BTreeSet<(Owner, String)>,
}

#[derive(Default)]
struct OwnerData {
    progress: BTreeMap<u32, Progress>,
    state: BTreeMap<String, Vec<u8>>,
    dead_letters: BTreeMap<Position, DeadLetter>,
}

/// A copy of an owner's rows.
struct Copied {
    progress: BTreeMap<u32, Progress>,
    state: BTreeMap<String, Vec<u8>>,
}

impl StateSnapshot for Copied {
    fn progress(&self, partition: u32) -> Result<Option<Progress>, StoreError> {
        Ok(self.progress.get(&partition).cloned())
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.state.get(key).cloned())
    }

    fn scan(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<StatePage, StoreError> {
        Ok(page_of(&self.state, prefix, after, limit))
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("head", &*self.head.borrow()).finish_non_exhaustive()
    }
}

impl MemoryStore {
    /// Creates an empty store that takes the time from `clock`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, data: Mutex::default(), head: watch::Sender::new(Position::START) }
    }

    /// Has a row of state be one that is damaged on disk, until it is written over.
    #[cfg(test)]
    pub(crate) fn damage(&self, owner: Owner, key: &str) {
        self.data().damaged.insert((owner, key.to_owned()));
    }

    fn data(&self) -> MutexGuard<'_, Data> {
        self.data.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a request that was checked.
    fn write(&self, request: AppendRequest) -> Result<Appended, AppendError> {
        let mut data = self.data();
        let now = data.now(&*self.clock);
        match decide::decide(&*data, request, data.head(), now)? {
            Decision::Repeat(appended) => Ok(appended),
            Decision::Write(events, tracking) => {
                let appended = decide::appended(&events);
                data.tracking.extend(tracking.map(|tracking| (tracking.source, tracking.position)));
                self.extend(&mut data, events);
                Ok(appended)
            }
        }
    }

    fn try_commit(&self, work: UnitOfWork) -> Result<Committed, CommitError> {
        decide::check_work(&work)?;
        let mut data = self.data();
        let stored = data.owners.get(&work.owner).and_then(|owner| owner.progress.get(&work.partition));
        decide::check_fence(&work.owner, work.progress.revision, stored.map(|progress| progress.revision))?;
        let now = data.now(&*self.clock);
        let decision = decide::decide_work(&*data, work.events, data.head(), now).map_err(|error| match error {
            AppendError::Store(error) => CommitError::Store(error),
            error => CommitError::Append(error),
        })?;
        data.damaged.retain(|(owner, key)| *owner != work.owner || work.state.iter().all(|change| change.key != *key));
        let owner = data.owners.entry(work.owner).or_default();
        owner.progress.insert(work.partition, work.progress);
        let mut changed = BTreeSet::new();
        for change in work.state {
            assert!(changed.insert(change.key.clone()), "a unit of work changes the key {:?} twice", change.key);
            match change.value {
                Some(value) => owner.state.insert(change.key, value),
                None => owner.state.remove(&change.key),
            };
        }
        for change in work.dead_letters {
            match change {
                DeadLetterChange::Put(letter) => owner.dead_letters.insert(letter.position, letter),
                DeadLetterChange::Remove(position) => owner.dead_letters.remove(&position),
            };
        }
        self.extend(&mut data, decision.write);
        Ok(Committed { appended: decision.appended })
    }

    fn try_change(&self, change: PluginChange) -> Result<(), CommitError> {
        decide::check_change(&change)?;
        let mut data = self.data();
        let stored = data.records.get(&change.plugin).map(|record| record.revision);
        decide::check_fence(&Owner::from(&change.plugin), change.record.revision, stored)?;
        let owner = |generation| Owner { plugin: change.plugin.clone(), generation };
        for (generation, partition, progress) in change.progress {
            data.owners.entry(owner(generation)).or_default().progress.insert(partition, progress);
        }
        for (generation, partition) in change.progress_removed {
            data.owners.entry(owner(generation)).or_default().progress.remove(&partition);
        }
        for generation in change.generations_dropped {
            data.owners.remove(&owner(generation));
        }
        data.records.insert(change.plugin, change.record);
        Ok(())
    }

    /// Adds decided events while the lock is held, so that heads are told in order.
    fn extend(&self, data: &mut Data, events: Vec<RecordedEvent>) {
        if !events.is_empty() {
            data.log.extend(events);
            self.head.send_replace(data.head());
        }
    }
}

impl Data {
    fn head(&self) -> Position {
        self.log.last().map_or(Position::START, |event| event.position)
    }

    fn check_row(&self, owner: &Owner, key: &str) -> Result<(), StoreError> {
        if !self.damaged.contains(&(owner.clone(), key.to_owned())) {
            return Ok(());
        }
        let what = format!("the row {key:?} of plugin {owner}");
        Err(StoreError::CorruptedRow { what, reason: "its checksum does not match".to_owned() })
    }

    /// The events that are not removed.
    fn kept(&self) -> impl DoubleEndedIterator<Item = &RecordedEvent> {
        let removed = |event: &RecordedEvent| {
            self.removals.removes(event.stream.as_ref().map(StreamName::as_str), event.position)
        };
        self.log.iter().filter(move |event| !removed(event))
    }

    /// Position of the first event stored at a time or later; after the head when there is none.
    fn first_at(&self, time_us: u64) -> Position {
        let first = self.log.iter().find(|event| event.timestamp_us >= time_us);
        first.map_or(self.head().next(), |event| event.position)
    }

    /// Where every stream ends.
    fn stream_heads(&self) -> BTreeMap<&StreamName, StreamHead> {
        self.log.iter().filter_map(|event| event.stream.as_ref().map(|stream| (stream, head_at(event)))).collect()
    }

    fn now(&self, clock: &dyn Clock) -> u64 {
        clock.now_us().max(self.log.last().map_or(0, |event| event.timestamp_us))
    }
}

/// A page of an owner's state.
fn page_of<'a>(
    state: impl IntoIterator<Item = (&'a String, &'a Vec<u8>)>,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> StatePage {
    let mut page = StatePageBuilder::new(limit);
    for (key, value) in state {
        let wanted = key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after);
        if wanted && !page.offer(key, value) {
            break;
        }
    }
    page.finish()
}

/// Where the stream of its last event ends.
fn head_at(last: &RecordedEvent) -> StreamHead {
    StreamHead { version: last.version, position: last.position, deleted: last.is_tombstone() }
}

impl LogView for Data {
    fn stream_head(&self, stream: &StreamName) -> Result<Option<StreamHead>, StoreError> {
        Ok(self.log.iter().rev().find(|event| event.stream.as_ref() == Some(stream)).map(head_at))
    }

    fn find(&self, id: Uuid) -> Result<Option<RecordedEvent>, StoreError> {
        Ok(self.kept().find(|event| event.id == id).cloned())
    }

    fn last_match(&self, query: &Query, after: Position) -> Result<Option<Position>, StoreError> {
        let matching = self.kept().rev().find(|event| event.position > after && query.matches(event));
        Ok(matching.map(|event| event.position))
    }

    fn tracking(&self, source: &str) -> Result<Option<u64>, StoreError> {
        Ok(self.tracking.get(source).copied())
    }
}

impl Store for MemoryStore {
    fn append(&self, request: AppendRequest) -> Pending<Result<Appended, AppendError>> {
        Pending::ready(decide::check_request(&request).and_then(|()| self.write(request)))
    }

    fn delete_stream(&self, deletion: StreamDeletion) -> Pending<Result<Appended, AppendError>> {
        Pending::ready(decide::deletion(deletion).and_then(|request| self.write(request)))
    }

    fn commit(&self, work: UnitOfWork) -> Pending<Result<Committed, CommitError>> {
        Pending::ready(self.try_commit(work))
    }

    fn change_plugin(&self, change: PluginChange) -> Pending<Result<(), CommitError>> {
        Pending::ready(self.try_change(change))
    }

    fn own_ids(&self) -> OwnIds {
        OwnIds::FORESEEABLE
    }

    fn head(&self) -> Position {
        *self.head.borrow()
    }

    fn watch_head(&self) -> watch::Receiver<Position> {
        self.head.subscribe()
    }

    fn read(&self, request: &ReadRequest) -> Result<ReadPage, StoreError> {
        let data = self.data();
        let mut page = PageBuilder::new(request, data.head(), &data.removals, |time_us| Ok(data.first_at(time_us)))?;
        let (after, below) = page.range();
        let log: Box<dyn Iterator<Item = &RecordedEvent>> = match request.direction {
            Direction::Forwards => Box::new(data.kept()),
            Direction::Backwards => Box::new(data.kept().rev()),
        };
        for event in log {
            let within = event.position > after && event.position < below;
            if within && is_above(event.version, request.after_version) && request.query.matches(event) {
                if page.is_full() {
                    return Ok(page.stop());
                }
                page.push(event.clone());
            }
        }
        Ok(page.exhaust())
    }

    fn event(&self, id: Uuid) -> Result<Option<RecordedEvent>, StoreError> {
        self.data().find(id)
    }

    fn stream_head(&self, stream: &StreamName) -> Result<Option<StreamHead>, StoreError> {
        self.data().stream_head(stream)
    }

    fn streams(&self, prefix: &str, after: Option<&StreamName>, limit: usize) -> Result<StreamPage, StoreError> {
        let data = self.data();
        let mut page = StreamPageBuilder::new(limit);
        for (stream, head) in data.stream_heads() {
            let wanted = stream.as_str().starts_with(prefix) && after.is_none_or(|after| stream > after);
            if wanted && !page.offer(stream.clone(), head) {
                break;
            }
        }
        Ok(page.finish())
    }

    fn event_types(&self) -> Result<Vec<(EventType, u64)>, StoreError> {
        let mut types = BTreeMap::new();
        for event in self.data().kept() {
            *types.entry(event.event_type.clone()).or_default() += 1;
        }
        Ok(types.into_iter().collect())
    }

    fn counts(&self) -> Result<Counts, StoreError> {
        let data = self.data();
        Ok(Counts { events: data.log.len() as u64, streams: data.stream_heads().len() as u64 })
    }

    fn tracking(&self, source: &str) -> Result<Option<u64>, StoreError> {
        self.data().tracking(source)
    }

    fn remove(&self, category: &Category, before: Position) -> Result<Position, StoreError> {
        let mut data = self.data();
        let before = before.min(data.head().next());
        data.removals.raise(category, before);
        Ok(data.removals.horizon(category.as_str()))
    }

    fn removals(&self) -> Removals {
        self.data().removals.clone()
    }

    fn nth_newest(&self, category: &Category, newer: u64) -> Result<Option<Position>, StoreError> {
        let data = self.data();
        let of_category =
            |event: &&RecordedEvent| event.stream.as_ref().is_some_and(|stream| stream.category() == category.as_str());
        let newest = data.kept().rev().filter(of_category).zip(0..).find(|(_, nth)| *nth == newer);
        Ok(newest.map(|(event, _)| event.position))
    }

    fn progress(&self, owner: &Owner, partition: u32) -> Result<Option<Progress>, StoreError> {
        Ok(self.data().owners.get(owner).and_then(|owner| owner.progress.get(&partition).cloned()))
    }

    fn plugin_progress(&self, plugin: &PluginName) -> Result<Vec<(Owner, u32, Progress)>, StoreError> {
        let data = self.data();
        let owners = data.owners.iter().filter(|(owner, _)| owner.plugin == *plugin);
        let rows = owners.flat_map(|(owner, data)| data.progress.iter().map(move |row| (owner, row)));
        Ok(rows.map(|(owner, (partition, progress))| (owner.clone(), *partition, progress.clone())).collect())
    }

    fn plugin_record(&self, plugin: &PluginName) -> Result<Option<PluginRecord>, StoreError> {
        Ok(self.data().records.get(plugin).cloned())
    }

    fn state_get(&self, owner: &Owner, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let data = self.data();
        data.check_row(owner, key)?;
        Ok(data.owners.get(owner).and_then(|owner| owner.state.get(key).cloned()))
    }

    fn state_scan(
        &self,
        owner: &Owner,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<StatePage, StoreError> {
        let data = self.data();
        let page = page_of(data.owners.get(owner).into_iter().flat_map(|owner| &owner.state), prefix, after, limit);
        page.entries.iter().try_for_each(|(key, _)| data.check_row(owner, key))?;
        Ok(page)
    }

    fn state_keys(
        &self,
        owner: &Owner,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<StateKeys, StoreError> {
        let data = self.data();
        let state = data.owners.get(owner).into_iter().flat_map(|owner| &owner.state);
        Ok(page_of(state, prefix, after, limit).into())
    }

    fn state_size(&self, owner: &Owner) -> Result<StateSize, StoreError> {
        let data = self.data();
        let state = data.owners.get(owner).into_iter().flat_map(|owner| &owner.state);
        Ok(state.map(|(key, value)| StateSize::of_entry(key.len(), value.len())).sum())
    }

    fn state_snapshot(&self, owner: &Owner) -> Result<Box<dyn StateSnapshot>, StoreError> {
        let data = self.data();
        let found = data.owners.get(owner);
        let (progress, state) = found.map(|owner| (owner.progress.clone(), owner.state.clone())).unwrap_or_default();
        Ok(Box::new(Copied { progress, state }))
    }

    fn dead_letters(&self, owner: &Owner, after: Position, limit: usize) -> Result<Vec<DeadLetter>, StoreError> {
        let data = self.data();
        let letters = data.owners.get(owner).into_iter().flat_map(|owner| owner.dead_letters.values());
        Ok(letters.filter(|letter| letter.position > after).take(limit).cloned().collect())
    }

    fn dead_letter(&self, owner: &Owner, position: Position) -> Result<Option<DeadLetter>, StoreError> {
        Ok(self.data().owners.get(owner).and_then(|owner| owner.dead_letters.get(&position).cloned()))
    }

    fn dead_letter_count(&self, owner: &Owner) -> Result<u64, StoreError> {
        let data = self.data();
        let letters = data.owners.get(owner).into_iter().flat_map(|owner| owner.dead_letters.values());
        Ok(letters.filter(|letter| !letter.is_discarded()).count() as u64)
    }

    fn plugins(&self) -> Result<Vec<PluginName>, StoreError> {
        let data = self.data();
        let started = data.owners.iter().filter(|(_, data)| !data.progress.is_empty()).map(|(owner, _)| &owner.plugin);
        Ok(started.chain(data.records.keys()).collect::<BTreeSet<_>>().into_iter().cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance::{Subject, conformance_tests};

    struct Memory;

    impl Subject for Memory {
        fn open(&self, clock: Arc<dyn Clock>) -> Arc<dyn Store> {
            Arc::new(MemoryStore::new(clock))
        }

        fn reopen(&self, store: Arc<dyn Store>, _: Arc<dyn Clock>) -> Arc<dyn Store> {
            store
        }
    }

    conformance_tests!(Memory);
}
