//! The history of an aggregate, as its code is handed it: in order, in today's schema, in calls of bounded size.
//!
//! What counts for versions are stored events: an event that is lifted to several, or to none, is one.

use super::aggregate::{AggregateHost, Misfit};
use super::error::{CommandError, LeftOut};
use super::shard::{Hot, Source};
use super::snapshot;
use crate::event::{Filter, Position, RecordedEvent, Version};
use crate::schema::LiftError;
use crate::store::{AppendError, ReadPage, ReadRequest};

/// Most events read at a time, and handed over in one call.
const EVENTS_MAX: usize = 1000;
/// Bytes of events, as they are handed over, after which a call is made; and of payloads after which a page ends.
const BYTES_MAX: usize = 4 << 20;

/// Where to stop taking in events; none for the end of the stream.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Until {
    pub(super) version: Option<Version>,
    /// Only events before this position.
    pub(super) before: Option<Position>,
    /// Only events before this time: microseconds since the Unix epoch.
    pub(super) before_us: Option<u64>,
}

impl Until {
    /// Whether an event at a place is within, as far as that tells.
    pub(super) fn reaches(&self, version: Version, position: Position) -> bool {
        self.version.is_none_or(|until| version <= until) && self.before.is_none_or(|before| position < before)
    }

    /// Whether it is the end of the stream.
    const fn is_end(&self) -> bool {
        self.version.is_none() && self.before.is_none() && self.before_us.is_none()
    }

    /// Whether whatever follows a place is known to be beyond.
    fn ends_at(&self, hot: &Hot) -> bool {
        self.version.is_some_and(|until| until <= hot.version)
            || self.before.is_some_and(|before| before.0 <= hot.position.0.saturating_add(1))
    }

    /// What reads the events of a stream that follow what an aggregate has taken in.
    pub(super) fn after(&self, source: &Source<'_>, hot: &Hot) -> ReadRequest {
        ReadRequest {
            query: Filter::stream(source.stream).into(),
            after: hot.position,
            before: self.before,
            until_us: self.before_us,
            after_version: hot.version,
            limit: EVENTS_MAX,
            bytes_max: BYTES_MAX,
            ..ReadRequest::default()
        }
    }

    /// Splits off what is beyond; says whether something is.
    pub(super) fn cut(&self, events: &mut Vec<RecordedEvent>) -> bool {
        let within = |event: &&RecordedEvent| self.version.is_none_or(|until| event.version <= until);
        let count = events.iter().take_while(within).count();
        let is_beyond = count < events.len();
        events.truncate(count);
        is_beyond
    }
}

/// Hands the events over that follow what an aggregate has taken in.
pub(super) fn take_in(
    host: &mut dyn AggregateHost,
    source: &Source<'_>,
    hot: &mut Hot,
    until: Until,
) -> Result<(), CommandError> {
    if until.is_end() && stands_at_end(source, hot)? {
        return Ok(());
    }
    let mut request = until.after(source, hot);
    loop {
        source.check_awaited()?;
        let ReadPage { mut events, through, complete, removed_before, .. } = source.store.read(&request)?;
        let is_beyond = until.cut(&mut events);
        apply(host, source, hot, events)?;
        if complete || is_beyond {
            return check_whole(source, hot, until, removed_before);
        }
        request.after = through;
    }
}

/// Whether nothing follows what an aggregate has taken in, which is known without reading.
fn stands_at_end(source: &Source<'_>, hot: &Hot) -> Result<bool, CommandError> {
    let head = source.store.stream_head(source.stream)?;
    Ok(head.map_or(hot.version == Version::START, |head| !head.deleted && head.version == hot.version))
}

/// Hands events over that follow each other. After an error the aggregate may have taken in some of them.
pub(super) fn apply(
    host: &mut dyn AggregateHost,
    source: &Source<'_>,
    hot: &mut Hot,
    events: Vec<RecordedEvent>,
) -> Result<(), CommandError> {
    let Some((version, position)) = events.last().map(|last| (last.version, last.position)) else { return Ok(()) };
    check_order(source, hot, &events)?;
    let first = events.first().map(|event| (event.id, event.position));
    events.iter().for_each(|event| hot.seen.note(&event.event_type));
    let mut call = Call { host, source, hot, events: Vec::with_capacity(events.len()), bytes: 0 };
    for event in events {
        match source.setup.chain.lift(&event).map_err(|error| source.unlifted(&event, error))? {
            None => call.push(event)?,
            Some(parts) => parts.into_iter().try_for_each(|part| call.push(part))?,
        }
    }
    call.make()?;
    if let Some((id, position)) = first {
        hot.awaits = hot.awaits.filter(|awaited| *awaited != id);
        hot.unsaved.note(position);
    }
    hot.version = version;
    hot.position = position;
    Ok(())
}

/// Hands one event over that follows, each of what it is today by itself: `after` is told of that when it is taken in, and
/// how many are left.
pub(super) fn apply_apart(
    host: &mut dyn AggregateHost,
    source: &Source<'_>,
    hot: &mut Hot,
    event: RecordedEvent,
    mut after: impl FnMut(&mut dyn AggregateHost, &Hot, &RecordedEvent, usize) -> Result<(), CommandError>,
) -> Result<(), CommandError> {
    check_order(source, hot, std::slice::from_ref(&event))?;
    hot.seen.note(&event.event_type);
    let (version, position) = (event.version, event.position);
    let parts = source.setup.chain.lift(&event).map_err(|error| source.unlifted(&event, error))?;
    let parts = parts.unwrap_or_else(|| vec![event]);
    let mut left = parts.len();
    for part in parts {
        Call { host: &mut *host, source, hot: &*hot, events: vec![part.clone()], bytes: 0 }.make()?;
        left -= 1;
        after(&mut *host, &*hot, &part, left)?;
    }
    hot.version = version;
    hot.position = position;
    Ok(())
}

fn check_order(source: &Source<'_>, hot: &Hot, events: &[RecordedEvent]) -> Result<(), CommandError> {
    let mut version = hot.version;
    for event in events {
        if event.is_tombstone() {
            let stream = source.stream.clone();
            return Err(AppendError::StreamDeleted { stream, version: event.version }.into());
        }
        if event.version != version.next() {
            return Err(source.gone(hot, version));
        }
        version = event.version;
    }
    Ok(())
}

/// Events that are handed over together.
struct Call<'a> {
    host: &'a mut dyn AggregateHost,
    source: &'a Source<'a>,
    hot: &'a Hot,
    events: Vec<RecordedEvent>,
    bytes: usize,
}

impl Call<'_> {
    fn push(&mut self, event: RecordedEvent) -> Result<(), CommandError> {
        self.bytes += event.size_bytes();
        self.events.push(event);
        if self.events.len() >= EVENTS_MAX || self.bytes >= BYTES_MAX { self.make() } else { Ok(()) }
    }

    fn make(&mut self) -> Result<(), CommandError> {
        if self.events.is_empty() {
            return Ok(());
        }
        let applied = self.host.apply(self.hot.handle, &self.events);
        let applied = applied.map_err(|faulted| self.source.faulted(faulted))?;
        applied.map_err(|misfit| self.source.misfits(&self.events, misfit, self.hot.made_of))?;
        self.events.clear();
        self.bytes = 0;
        Ok(())
    }
}

/// Checks that what an aggregate has not taken in of its stream is beyond the point, or came this moment: events that
/// were removed, before this position if any, are in no page.
pub(super) fn check_whole(
    source: &Source<'_>,
    hot: &Hot,
    until: Until,
    removed_before: Option<Position>,
) -> Result<(), CommandError> {
    let may_lack = removed_before.is_some_and(|before| before > hot.position);
    // Where there is no event at all, the stream may be a deleted one.
    if (hot.version != Version::START && !may_lack) || until.ends_at(hot) {
        return Ok(());
    }
    let Some(head) = source.store.stream_head(source.stream)? else { return Ok(()) };
    if head.version <= hot.version {
        return Ok(());
    }
    if head.deleted && until.is_end() {
        return Err(AppendError::StreamDeleted { stream: source.stream.clone(), version: head.version }.into());
    }
    let next = source.store.read(&ReadRequest { limit: 1, ..Until::default().after(source, hot) })?;
    match next.events.first() {
        Some(event) if event.version == hot.version.next() => Ok(()),
        _ => Err(source.gone(hot, hot.version)),
    }
}

impl Source<'_> {
    fn gone(&self, hot: &Hot, version: Version) -> CommandError {
        // A look is taken for the operator: what cannot be read is not told.
        let snapshot = snapshot::read(self.store, self.stream).ok().flatten();
        let left_out = match snapshot {
            Some(Ok(found)) if !found.is_of(self.setup) => Some(LeftOut::Unfit(found.version)),
            Some(Err(_)) => Some(LeftOut::Damaged),
            // Another may have taken its place since it was not loaded.
            Some(Ok(found)) => {
                hot.not_loaded.clone().filter(|not_loaded| not_loaded.version == found.version).map(Into::into)
            }
            None => None,
        };
        CommandError::HistoryGone { stream: self.stream.clone(), version, left_out, is_refused: false }
    }

    fn unlifted(&self, event: &RecordedEvent, error: LiftError) -> CommandError {
        let (version, position) = (event.version, event.position);
        let reason = error.told();
        let LiftError { event_type, from, upcaster, evidence, .. } = error;
        tracing::warn!(
            plugin = %self.setup.plugin, stream = %self.stream, %version, %position, upcaster, reason,
            stderr = evidence.stderr_tail, backtrace = evidence.backtrace,
            "an aggregate cannot be made: an event of it cannot be lifted"
        );
        let stream = self.stream.clone();
        let reason = format!("{event_type} {from}: {reason}");
        CommandError::Unlifted { stream, version, position, reason, upcaster, evidence }
    }

    fn misfits(&self, events: &[RecordedEvent], misfit: Misfit, snapshot: Option<Version>) -> CommandError {
        let event = events.get(misfit.index);
        CommandError::Misfit {
            plugin: self.setup.plugin.clone(),
            stream: self.stream.clone(),
            version: event.map_or(Version::START, |event| event.version),
            position: event.map_or(Position::START, |event| event.position),
            reason: misfit.reason,
            snapshot,
        }
    }
}
