//! An instance with the aggregates that it holds in memory, and how they come there.
//!
//! An aggregate is brought up to its stream's end each time it is used: one that is in memory takes in what was
//! appended since, whoever did. So nothing has to be told to it, and nothing told to it can be wrong.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::aggregate::{AggregateHost, Faulted, Handle, Misfit};
use super::claims::AggregateSetup;
use super::counts::Counts;
use super::error::CommandError;
use super::snapshot;
use crate::event::{Filter, Position, RecordedEvent, StreamName, Version};
use crate::store::{AppendError, ReadPage, ReadRequest, Store};

/// Most events handed over in one call.
const PAGE_EVENTS_MAX: usize = 1000;
/// Payload bytes after which a page ends.
const PAGE_BYTES_MAX: usize = 4 << 20;

/// An instance with aggregates.
pub(super) struct Shard {
    host: Option<Box<dyn AggregateHost>>,
    hot: HashMap<StreamName, Hot>,
    hot_max: usize,
    /// Counts uses, to find what was not used for longest.
    uses: u64,
    counts: Arc<Counts>,
    /// Aggregates in memory, of all shards together.
    in_memory: Arc<AtomicU64>,
}

/// An aggregate in memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hot {
    pub(super) handle: Handle,
    /// Up to where it has taken in its stream.
    pub(super) version: Version,
    pub(super) position: Position,
    /// Up to where a snapshot of it was asked for or is known.
    pub(super) snapshot: Version,
    used: u64,
}

/// Where to stop taking in events; none for the end of the stream.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Until {
    pub(super) version: Option<Version>,
    /// Only events before this position.
    pub(super) before: Option<Position>,
    /// Only events before this time.
    pub(super) time_us: Option<u64>,
}

impl Until {
    /// Whether an event at a place is within.
    fn reaches(&self, version: Version, position: Position) -> bool {
        // Of a time nothing is known without reading.
        self.version.is_none_or(|until| version <= until)
            && self.before.is_none_or(|before| position < before)
            && self.time_us.is_none()
    }
}

/// What loading and asking need to know.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) setup: &'a AggregateSetup,
    pub(super) store: &'a dyn Store,
    pub(super) stream: &'a StreamName,
    /// What follows the category in its name.
    pub(super) key: &'a str,
}

impl Source<'_> {
    pub(super) fn faulted(&self, faulted: Faulted) -> CommandError {
        let Self { setup, stream, .. } = self;
        tracing::warn!(
            plugin = %setup.plugin, %stream, stage = faulted.stage.as_str(), fault = faulted.fault.as_str(),
            reason = faulted.reason, stderr = faulted.evidence.stderr_tail, backtrace = faulted.evidence.backtrace,
            "an aggregate failed"
        );
        CommandError::Faulted { plugin: setup.plugin.clone(), faulted: Box::new(faulted) }
    }
}

impl Shard {
    pub(super) fn new(hot_max: usize, counts: Arc<Counts>, in_memory: Arc<AtomicU64>) -> Self {
        Self { host: None, hot: HashMap::new(), hot_max: hot_max.max(1), uses: 0, counts, in_memory }
    }

    /// Brings an aggregate up to the end of its stream, and does something with it. After an error the aggregate, and
    /// after a fault the instance, is made anew. Blocks.
    pub(super) fn with<T>(
        &mut self,
        source: &Source<'_>,
        work: impl FnOnce(&mut dyn AggregateHost, &mut Hot) -> Result<T, CommandError>,
    ) -> Result<T, CommandError> {
        let known = self.take(source.stream);
        let host = self.host.get_or_insert_with(|| source.setup.code.host());
        let mut loaded = match known {
            Some(hot) => Ok(hot),
            None => {
                self.counts.loaded.add(1);
                load(&mut **host, source, Until::default(), &self.counts)
            }
        };
        let done = match &mut loaded {
            Ok(hot) => take_in(&mut **host, source, hot, Until::default())
                .and_then(|()| check_whole(source, hot))
                .and_then(|()| work(&mut **host, hot)),
            Err(error) => Err(error.clone()),
        };
        let lost = matches!(done, Err(CommandError::Faulted { .. })) || host.is_full();
        match (loaded, &done) {
            _ if lost => self.reset(),
            (Ok(hot), Ok(_)) => self.keep(source.stream, hot),
            (Ok(hot), Err(_)) => self.drop_one(hot.handle),
            (Err(_), _) => {}
        }
        done
    }

    /// Forgets an aggregate, which is made anew when it is needed.
    pub(super) fn forget(&mut self, stream: &StreamName) {
        if let Some(hot) = self.take(stream) {
            self.drop_one(hot.handle);
        }
    }

    fn take(&mut self, stream: &StreamName) -> Option<Hot> {
        let hot = self.hot.remove(stream)?;
        self.in_memory.fetch_sub(1, Ordering::Relaxed);
        Some(hot)
    }

    fn keep(&mut self, stream: &StreamName, hot: Hot) {
        if self.hot.len() >= self.hot_max {
            let oldest = self.hot.iter().min_by_key(|(_, hot)| hot.used).map(|(stream, _)| stream.clone());
            if let Some(oldest) = oldest {
                self.forget(&oldest);
            }
        }
        self.uses += 1;
        self.hot.insert(stream.clone(), Hot { used: self.uses, ..hot });
        self.in_memory.fetch_add(1, Ordering::Relaxed);
    }

    fn drop_one(&mut self, handle: Handle) {
        // One that cannot even let go is not worth keeping.
        if self.host.as_mut().is_some_and(|host| host.forget(handle).is_err()) {
            self.reset();
        }
    }

    fn reset(&mut self) {
        self.host = None;
        self.in_memory.fetch_sub(self.hot.len() as u64, Ordering::Relaxed);
        self.hot.clear();
    }
}

/// Makes an aggregate from the newest snapshot that fits and lies within, or without events.
pub(super) fn load(
    host: &mut dyn AggregateHost,
    source: &Source<'_>,
    until: Until,
    counts: &Counts,
) -> Result<Hot, CommandError> {
    if let Some(found) = snapshot::read(source.store, source.stream)? {
        let snapshot::Snapshot { version, position, .. } = found;
        if found.schema == source.setup.code.snapshot_schema() && until.reaches(version, position) {
            match fits(source, &found)?
                .then(|| host.restore(source.key, &found.bytes))
                .transpose()
                .map_err(|faulted| source.faulted(faulted))?
            {
                Some(Ok(handle)) => return Ok(Hot { handle, version, position, snapshot: version, used: 0 }),
                Some(Err(reason)) => {
                    tracing::warn!(stream = %source.stream, reason, "a snapshot was left out: it does not load");
                }
                None => tracing::warn!(stream = %source.stream, "a snapshot was left out: it is of another history"),
            }
            counts.snapshots_left_out.add(1);
        } else if found.schema != source.setup.code.snapshot_schema() {
            counts.snapshots_left_out.add(1);
        }
    }
    let handle = host.make(source.key).map_err(|faulted| source.faulted(faulted))?;
    Ok(Hot { handle, version: Version::START, position: Position::START, snapshot: Version::START, used: 0 })
}

/// Whether the event that a snapshot stands at is where it says, or was removed.
fn fits(source: &Source<'_>, found: &snapshot::Snapshot) -> Result<bool, CommandError> {
    let Position(position) = found.position;
    let request = ReadRequest {
        query: Filter::stream(source.stream).into(),
        after: Position(position.saturating_sub(1)),
        before: Some(found.position.next()),
        limit: 1,
        ..ReadRequest::default()
    };
    let page = source.store.read(&request)?;
    Ok(match page.events.first() {
        Some(event) => event.version == found.version,
        None => page.removed_before.is_some_and(|before| before > found.position),
    })
}

/// Hands the events over that follow what an aggregate has taken in.
pub(super) fn take_in(
    host: &mut dyn AggregateHost,
    source: &Source<'_>,
    hot: &mut Hot,
    until: Until,
) -> Result<(), CommandError> {
    let mut request = ReadRequest {
        query: Filter::stream(source.stream).into(),
        after: hot.position,
        before: until.before,
        until_us: until.time_us,
        after_version: hot.version,
        limit: PAGE_EVENTS_MAX,
        bytes_max: PAGE_BYTES_MAX,
        ..ReadRequest::default()
    };
    loop {
        let page = source.store.read(&request)?;
        let within = |event: &&RecordedEvent| until.version.is_none_or(|until| event.version <= until);
        let count = page.events.iter().take_while(within).count();
        let ReadPage { events, through, complete, .. } = page;
        let (wanted, beyond) = events.split_at_checked(count).unwrap_or((&events, &[]));
        apply(host, source, hot, wanted)?;
        if complete || !beyond.is_empty() {
            return Ok(());
        }
        request.after = through;
    }
}

/// Hands events over that follow each other.
pub(super) fn apply(
    host: &mut dyn AggregateHost,
    source: &Source<'_>,
    hot: &mut Hot,
    events: &[RecordedEvent],
) -> Result<(), CommandError> {
    let Some(last) = events.last() else { return Ok(()) };
    let mut version = hot.version;
    for event in events {
        if event.is_tombstone() {
            let stream = source.stream.clone();
            return Err(AppendError::StreamDeleted { stream, version: event.version }.into());
        }
        if event.version != version.next() {
            return Err(CommandError::HistoryGone { stream: source.stream.clone(), version });
        }
        version = event.version;
    }
    let applied = host.apply(hot.handle, events).map_err(|faulted| source.faulted(faulted))?;
    applied.map_err(|misfit| misfits(source, events, misfit))?;
    hot.version = last.version;
    hot.position = last.position;
    Ok(())
}

fn misfits(source: &Source<'_>, events: &[RecordedEvent], misfit: Misfit) -> CommandError {
    let event = events.get(misfit.index);
    CommandError::Misfit {
        plugin: source.setup.plugin.clone(),
        stream: source.stream.clone(),
        version: event.map_or(Version::START, |event| event.version),
        position: event.map_or(Position::START, |event| event.position),
        reason: misfit.reason,
    }
}

/// Checks that one that is at no event is so because there never was one.
fn check_whole(source: &Source<'_>, hot: &Hot) -> Result<(), CommandError> {
    if hot.version != Version::START {
        return Ok(());
    }
    match source.store.stream_head(source.stream)? {
        Some(head) if head.deleted => {
            Err(AppendError::StreamDeleted { stream: source.stream.clone(), version: head.version }.into())
        }
        // A first event that came this moment is met when the command is decided again.
        Some(head) if source.store.removals().horizon(source.stream.category()) > head.position => {
            Err(CommandError::HistoryGone { stream: source.stream.clone(), version: Version::START })
        }
        _ => Ok(()),
    }
}
