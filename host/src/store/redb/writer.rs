//! The one thread that writes.
//!
//! It takes whatever waits, decides it, writes it in one redb transaction with one sync, makes it visible
//! and answers. When a write fails it takes no more (fail-stop): what a failed sync left on the disk is
//! known only after the file is opened anew, and whoever was refused may then send the same ids again.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use redb::WriteTransaction;

use super::block;
use super::failure::{contain, contain_read, write_failed};
use super::group::{Group, Proposal};
use super::linger::Linger;
use super::reads;
use super::shared::Shared;
use super::tables::{DEAD_LETTERS, EVENTS, PROGRESS, STATE};
use crate::clock::Clock;
use crate::event::{PluginName, Position};
use crate::store::{DeadLetterChange, Progress, StoreError, UnitOfWork};

/// Events after which a group is full; one proposal may bring more.
const GROUP_EVENTS_MAX: usize = 10_000;
/// Bytes after which a group is full; one proposal may bring more.
const GROUP_BYTES_MAX: usize = 8 << 20;

/// The state of the writer thread.
pub(super) struct Writer {
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    linger: Linger,
    linger_max: Duration,
    last: Position,
    timestamp_us: u64,
    progress: HashMap<PluginName, Progress>,
    failed: Option<StoreError>,
}

impl Writer {
    /// A writer that goes on after the last event, at `last` and stored at `timestamp_us`.
    pub(super) fn new(
        shared: Arc<Shared>,
        clock: Arc<dyn Clock>,
        linger_max: Duration,
        timestamp_us: u64,
    ) -> Result<Self, StoreError> {
        let progress = contain_read(|| reads::all_progress(&reads::begin(&shared)?))?.into_iter().collect();
        let last = shared.head();
        Ok(Self { shared, clock, linger: Linger::default(), linger_max, last, timestamp_us, progress, failed: None })
    }

    /// Writes until the queue is closed and empty.
    pub(super) fn run(mut self) {
        // If this thread ever panics, nobody may wait for it.
        let _close = CloseOnDrop(Arc::clone(&self.shared));
        loop {
            let waiting = self.shared.queue.wait();
            if waiting == 0 {
                return;
            }
            self.wait_for_more(waiting);
            let proposals = self.take();
            match &self.failed {
                Some(error) => proposals.into_iter().for_each(|proposal| proposal.refuse(error.clone())),
                None => self.process(proposals),
            }
        }
    }

    fn wait_for_more(&mut self, waiting: usize) {
        if let Some(wanted) = self.linger.wanted(waiting) {
            let now = self.shared.queue.wait_for(wanted, self.linger_max);
            self.linger.waited(wanted, waiting, now);
        }
    }

    fn take(&self) -> Vec<Proposal> {
        let (mut events, mut bytes) = (0, 0);
        self.shared.queue.take(|proposal, weight| {
            events += proposal.events();
            bytes += weight;
            events <= GROUP_EVENTS_MAX && bytes <= GROUP_BYTES_MAX
        })
    }

    fn process(&mut self, proposals: Vec<Proposal>) {
        let now = self.clock.now_us().max(self.timestamp_us);
        let mut group = Group::new(self.last, now);
        for proposal in proposals {
            group.decide(&self.shared, proposal, &mut self.progress);
        }
        let written = if group.is_empty() { Ok(()) } else { self.write(&group) };
        match written {
            Ok(()) => self.publish(group, now),
            Err(error) => {
                tracing::error!(%error, "the store stops writing");
                group.refuse(&self.shared, &error);
                self.failed = Some(error);
            }
        }
    }

    fn write(&self, group: &Group) -> Result<(), StoreError> {
        let blocks = block::encode(&group.events);
        let commit = || {
            let transaction = self.shared.database.begin_write().map_err(write_failed)?;
            fill(&transaction, &blocks, &group.works).map_err(|error| write_failed(*error))?;
            transaction.commit().map_err(write_failed)
        };
        contain(commit, |reason| StoreError::WriteFailed { reason })
    }

    fn publish(&mut self, group: Group, timestamp_us: u64) {
        let last = group.last();
        if last > self.last {
            (self.last, self.timestamp_us) = (last, timestamp_us);
            self.shared.head.store(last.0, Ordering::Release);
            self.shared.watch.send_replace(last);
        }
        let answered = group.len();
        group.answer();
        self.linger.answered(answered, self.shared.queue.len());
    }
}

/// Puts a group into a transaction. Durability is redb's default: committed is synced.
fn fill(
    transaction: &WriteTransaction,
    blocks: &[(Position, Vec<u8>)],
    works: &[UnitOfWork],
) -> Result<(), Box<redb::Error>> {
    let fail = |error: redb::Error| Box::new(error);
    let mut events = transaction.open_table(EVENTS).map_err(|error| fail(error.into()))?;
    for (first, bytes) in blocks {
        events.insert(first.0, bytes.as_slice()).map_err(|error| fail(error.into()))?;
    }
    works.iter().try_for_each(|work| fill_work(transaction, work)).map_err(fail)
}

fn fill_work(transaction: &WriteTransaction, work: &UnitOfWork) -> Result<(), redb::Error> {
    let plugin = work.plugin.as_str();
    transaction.open_table(PROGRESS)?.insert(plugin, json(&work.progress)?.as_slice())?;
    if !work.state.is_empty() {
        let mut state = transaction.open_table(STATE)?;
        for change in &work.state {
            match &change.value {
                Some(value) => state.insert((plugin, change.key.as_str()), value.as_slice())?,
                None => state.remove((plugin, change.key.as_str()))?,
            };
        }
    }
    if !work.dead_letters.is_empty() {
        let mut letters = transaction.open_table(DEAD_LETTERS)?;
        for change in &work.dead_letters {
            match change {
                DeadLetterChange::Put(letter) => {
                    letters.insert((plugin, letter.position.0), json(letter)?.as_slice())?
                }
                DeadLetterChange::Remove(position) => letters.remove((plugin, position.0))?,
            };
        }
    }
    Ok(())
}

fn json(row: &impl serde::Serialize) -> Result<Vec<u8>, redb::Error> {
    serde_json::to_vec(row).map_err(|error| redb::Error::Io(error.into()))
}

struct CloseOnDrop(Arc<Shared>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.queue.close();
        // Dropping what is left answers it: the store is shutting down.
        drop(self.0.queue.take(|_, _| true));
    }
}
