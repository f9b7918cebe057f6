//! The one thread that writes.
//!
//! It takes whatever waits, decides it, writes it as one record of the journal with one sync, makes it visible
//! and answers. A full disk refuses the group and is tried again with the next; any other failure ends
//! writing for good (fail-stop): what a failed sync left on the disk is known only after the store is opened
//! anew, and whoever was refused may then send the same ids again.
//!
//! A full journal is left to be sealed and the next one begun. When seals fall behind, the writer slows down,
//! a little for each group, rather than stop.

use std::sync::Arc;
use std::time::Duration;

use super::block;
use super::fences::Fences;
use super::group::{Group, Proposal};
use super::hot::{BlockPlace, Generation};
use super::journal::{JournalOptions, JournalWriter, Place};
use super::linger::Linger;
use super::record;
use super::shared::Shared;
use crate::clock::{Clock, Stopwatch};
use crate::event::{Position, Version};
use crate::store::StoreError;

/// Events after which a group is full; one proposal may bring more.
const GROUP_EVENTS_MAX: usize = 10_000;
/// Bytes after which a group is full; one proposal may bring more.
const GROUP_BYTES_MAX: usize = 8 << 20;
/// What is kept of the buffer for blocks between groups.
const BUFFER_BYTES_KEPT: usize = 4 << 20;
/// Journals that wait for their seal before the writer slows down.
const FROZEN_FREE: usize = 1;
/// Journals that wait for their seal before the writer stops until one is sealed.
const FROZEN_MAX: usize = 4;
/// How long a group is held back for each of its KiB when seals are behind, for each journal that waits.
const PACE_PER_KIB: Duration = Duration::from_micros(15);
/// Longest time that one group is held back.
const PACE_MAX: Duration = Duration::from_millis(50);
/// How long the store is said to be full after a group was refused for want of room. Then only trying can tell.
const FULL_TOLD: Duration = Duration::from_secs(10);

/// The state of the writer thread.
pub(super) struct Writer {
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    options: WriterOptions,
    linger: Linger,
    journal: JournalWriter,
    /// How many records the journal before has.
    records_before: u64,
    last: Position,
    timestamp_us: u64,
    fences: Fences,
    /// Kept between groups.
    blocks: Vec<u8>,
    failed: Option<StoreError>,
    /// Why the last group was refused for want of room, and when.
    full: Option<(StoreError, Stopwatch)>,
}

/// How the writer works.
#[derive(Clone, Copy, Debug)]
pub(super) struct WriterOptions {
    /// Longest time that a commit is held back for a group to fill.
    pub(super) linger_max: Duration,
    /// How journals are written; at their largest size, the next one is begun.
    pub(super) journal: JournalOptions,
}

/// Where the writer goes on.
pub(super) struct Resume {
    /// At the end of the newest journal.
    pub(super) journal: JournalWriter,
    /// How it is written.
    pub(super) options: JournalOptions,
    /// Time of the last event.
    pub(super) timestamp_us: u64,
    /// Revisions of what commits build on.
    pub(super) fences: Fences,
}

impl Writer {
    /// A writer that goes on after the last event.
    pub(super) fn new(shared: Arc<Shared>, clock: Arc<dyn Clock>, options: WriterOptions, resume: Resume) -> Self {
        let last = shared.head();
        let Resume { journal, timestamp_us, fences, .. } = resume;
        let (linger, blocks) = (Linger::default(), Vec::new());
        let (records_before, failed, full) = (0, None, None);
        Self {
            shared,
            clock,
            options,
            linger,
            journal,
            records_before,
            last,
            timestamp_us,
            fences,
            blocks,
            failed,
            full,
        }
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
            match self.ready() {
                Ok(()) => self.process(proposals),
                Err(error) => proposals.into_iter().for_each(|proposal| proposal.refuse(error.clone())),
            }
        }
    }

    fn wait_for_more(&mut self, waiting: usize) {
        if let Some(wanted) = self.linger.wanted(waiting) {
            let now = self.shared.queue.wait_for(wanted, self.options.linger_max);
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

    /// Whether there is a journal to write to; begins the next one when it is time.
    fn ready(&mut self) -> Result<(), StoreError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        if let Some(error) = self.shared.upkeep.failed().filter(|error| !error.passes()) {
            self.failed = Some(error.clone());
            return Err(error);
        }
        // One without records would leave a gap between the sequences of its neighbours.
        if self.journal.bytes() < self.options.journal.bytes_max || self.journal.records() == 0 {
            return Ok(());
        }
        while self.shared.view().frozen.len() >= FROZEN_MAX {
            match self.shared.upkeep.failed() {
                Some(error) => return Err(error),
                None => self.shared.upkeep.wait(PACE_MAX),
            }
        }
        self.rotate()
    }

    fn rotate(&mut self) -> Result<(), StoreError> {
        let view = self.shared.view();
        let sequence = view.active().sequence + 1;
        // The files of sealed journals are written over, unless somebody still reads them.
        let mut used = self.shared.upkeep.slots_in_use();
        used.extend(view.newest_first().map(|generation| generation.slot));
        drop(view);
        let slot = (0..).find(|slot| !used.contains(slot)).unwrap_or(u32::MAX);
        let journal = JournalWriter::start(&*self.shared.disk, Place { slot, sequence }, self.options.journal);
        let journal = journal.map_err(|error| self.stop_unless_full(error.into()))?;
        let generation = Arc::new(Generation::new(sequence, slot, Arc::clone(journal.file()), self.last));
        self.records_before = self.journal.records();
        self.journal = journal;
        self.shared.change_view(|view| view.rotated(generation));
        self.shared.upkeep.notify();
        Ok(())
    }

    fn process(&mut self, proposals: Vec<Proposal>) {
        let now = self.clock.now_us().max(self.timestamp_us);
        let mut group = Group::new(self.shared.view(), self.last, now);
        let full = self.full.as_ref().filter(|(_, since)| since.elapsed() < FULL_TOLD).map(|(error, _)| error);
        for proposal in proposals {
            match (proposal, full) {
                (ping @ Proposal::Ping(_), Some(error)) => ping.refuse(error.clone()),
                (proposal, _) => group.decide(proposal, &mut self.fences),
            }
        }
        let written = if group.is_empty() { Ok(0) } else { self.write(&mut group, now) };
        match written {
            Ok(bytes) => {
                self.publish(group, now);
                self.pace(bytes);
            }
            Err(error) => {
                let error = self.stop_unless_full(error);
                group.refuse(&error, &mut self.fences);
            }
        }
    }

    /// Writes and syncs a group, and adds it to what is in memory; answers its bytes.
    fn write(&mut self, group: &mut Group, now: u64) -> Result<usize, StoreError> {
        self.blocks.clear();
        let mut places = Vec::new();
        block::encode_into(&group.events, &mut self.blocks, |first, bytes| places.push((first, bytes)));
        let works = record::encode_works(&group.works)?;
        let before = self.records_before;
        let head =
            record::encode_head(before, group.start.next(), places.iter().map(|(_, bytes)| bytes.len()), works.len());
        let parts = [head.as_slice(), &self.blocks, &works];
        let payload = self.journal.append(&parts)?;
        let syncing = Stopwatch::start();
        self.journal.sync()?;
        self.shared.counting.sync.record(syncing.elapsed_ns());
        self.full = None;
        self.shared.set_mark(self.journal.mark());
        let active = Arc::clone(group.active());
        let mut data = active.data_mut();
        let blocks_at = payload + head.len() as u64;
        let lasts = places.iter().skip(1).map(|(first, _)| Position(first.0 - 1)).chain([group.last()]);
        for ((first, bytes), last) in places.iter().zip(lasts) {
            let offset = blocks_at + bytes.start as u64;
            let bytes = u32::try_from(bytes.len()).expect("a group is bounded in bytes");
            data.blocks.push(BlockPlace { first: *first, last, first_us: now, offset, bytes });
        }
        data.streams_begun += group.events.iter().filter(|event| event.version == Version(1)).count() as u64;
        for work in std::mem::take(&mut group.works) {
            data.overlay.apply(work);
        }
        let written = parts.iter().map(|part| part.len()).sum();
        drop(data);
        if self.blocks.capacity() > BUFFER_BYTES_KEPT {
            self.blocks = Vec::new();
        }
        Ok(written)
    }

    fn publish(&mut self, group: Group, timestamp_us: u64) {
        let last = group.last();
        if last > self.last {
            (self.last, self.timestamp_us) = (last, timestamp_us);
            self.shared.publish(last);
        }
        let answered = group.len();
        group.answer(&self.shared.counting);
        self.linger.answered(answered, self.shared.queue.len());
    }

    fn pace(&self, bytes: usize) {
        let behind = self.shared.view().frozen.len().saturating_sub(FROZEN_FREE);
        if behind > 0 {
            let factor = u32::try_from(behind * (bytes >> 10)).unwrap_or(u32::MAX);
            std::thread::sleep(PACE_PER_KIB.saturating_mul(factor).min(PACE_MAX));
        }
    }

    /// Takes note of a failure: unless it passes, nothing is written any more.
    fn stop_unless_full(&mut self, error: StoreError) -> StoreError {
        if error.passes() {
            self.full = Some((error.clone(), Stopwatch::start()));
        } else {
            tracing::error!(%error, "the store stops writing");
            self.failed = Some(error.clone());
        }
        error
    }
}

struct CloseOnDrop(Arc<Shared>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.queue.close();
        // Dropping what is left answers it: the store is shutting down.
        drop(self.0.queue.take(|_, _| true));
    }
}
