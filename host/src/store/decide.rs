//! What may be written, decided in pure code, the same for every store.

use std::collections::HashMap;

use uuid::Uuid;

use super::{AppendError, AppendRequest, Appended, AppendedEvent, CommitError, Progress, StoreError, UnitOfWork};
use crate::event::{APPEND_BYTES_MAX, APPEND_EVENTS_MAX, NewEvent, Position, RecordedEvent, StreamName, Version};

/// What deciding needs to know of the log, including what this transaction has decided so far.
pub(super) trait LogView {
    /// Version of a stream's last event; 0 if it has none.
    fn stream_version(&self, stream: &StreamName) -> Version;

    /// The event with this id.
    fn find(&self, id: Uuid) -> Result<Option<RecordedEvent>, StoreError>;
}

/// What an append comes to.
#[derive(Debug)]
pub(super) enum Decision {
    /// These events are written.
    Write(Vec<RecordedEvent>),
    /// All of them are stored already.
    Repeat(Appended),
}

/// What the events of a unit of work come to.
#[derive(Debug)]
pub(super) struct WorkDecision {
    /// The events to write: those of the unit that are not stored yet.
    pub(super) write: Vec<RecordedEvent>,
    /// Where all of them stand; none when the unit has no events.
    pub(super) appended: Option<Appended>,
}

/// Checks everything about an append that does not depend on the log. Callers do this on their own
/// thread, before they wait for the writer.
pub(super) fn check_request(request: &AppendRequest) -> Result<(), AppendError> {
    if request.events.is_empty() {
        return Err(AppendError::Empty);
    }
    check_events(&request.events)
}

fn check_events(events: &[NewEvent]) -> Result<(), AppendError> {
    if events.len() > APPEND_EVENTS_MAX {
        return Err(AppendError::TooManyEvents { count: events.len() });
    }
    let mut bytes = 0;
    let mut seen = HashMap::with_capacity(events.len());
    for (index, event) in events.iter().enumerate() {
        event.validate().map_err(|reason| AppendError::InvalidEvent { index, reason })?;
        bytes += event.size_bytes();
        if let Some(first) = seen.insert(event.id, index) {
            return Err(AppendError::DuplicateId { first, second: index, id: event.id });
        }
    }
    if bytes > APPEND_BYTES_MAX {
        return Err(AppendError::TooLarge { bytes });
    }
    Ok(())
}

/// Checks everything about a unit of work that does not depend on the store.
pub(super) fn check_work(work: &UnitOfWork) -> Result<(), CommitError> {
    check_events(&work.events).map_err(CommitError::Append)
}

/// Checks that a unit of work builds on what is stored.
pub(super) fn check_fence(work: &UnitOfWork, stored: Option<&Progress>) -> Result<(), CommitError> {
    let stored = stored.map_or(0, |progress| progress.revision);
    let expected = work.progress.revision.saturating_sub(1);
    if stored + 1 == work.progress.revision {
        Ok(())
    } else {
        Err(CommitError::Fenced { plugin: work.plugin.clone(), stored, expected })
    }
}

/// Decides an append that passed [`check_request`]: `last` is the last position given out,
/// `timestamp_us` the time of this transaction.
pub(super) fn decide(
    view: &impl LogView,
    request: AppendRequest,
    last: Position,
    timestamp_us: u64,
) -> Result<Decision, AppendError> {
    if let Some(appended) = find_repeated(view, &request.events)? {
        return Ok(Decision::Repeat(appended));
    }
    for expectation in &request.expected {
        let actual = view.stream_version(&expectation.stream);
        if !expectation.expected.holds(actual) {
            return Err(AppendError::WrongExpectedVersion {
                stream: expectation.stream.clone(),
                expected: expectation.expected,
                actual,
            });
        }
    }
    Ok(Decision::Write(place(view, request.events, last, timestamp_us)))
}

/// Decides the events of a unit of work that passed [`check_work`]. Unlike an append, it may hold events
/// that are stored already (a handler that ran twice over a part of its batch): those keep their place,
/// the others are written.
pub(super) fn decide_work(
    view: &impl LogView,
    events: Vec<NewEvent>,
    last: Position,
    timestamp_us: u64,
) -> Result<WorkDecision, AppendError> {
    let mut places = Vec::with_capacity(events.len());
    let mut fresh = Vec::with_capacity(events.len());
    for (index, event) in events.into_iter().enumerate() {
        places.push(find_same(view, index, &event)?.as_ref().map(appended_event));
        if let Some(None) = places.last() {
            fresh.push(event);
        }
    }
    let write = place(view, fresh, last, timestamp_us);
    let mut written = write.iter().map(appended_event);
    let events: Vec<_> = places.into_iter().filter_map(|place| place.or_else(|| written.next())).collect();
    let appended = (!events.is_empty()).then_some(Appended { repeated: write.is_empty(), events });
    Ok(WorkDecision { write, appended })
}

/// Gives events their positions and versions.
fn place(view: &impl LogView, events: Vec<NewEvent>, last: Position, timestamp_us: u64) -> Vec<RecordedEvent> {
    let versions = versions(view, &events);
    let mut position = last;
    let place = |(event, version)| {
        position = position.next();
        RecordedEvent::record(event, position, version, timestamp_us)
    };
    events.into_iter().zip(versions).map(place).collect()
}

/// The version of each event in its stream; 0 outside any stream.
fn versions(view: &impl LogView, events: &[NewEvent]) -> Vec<Version> {
    let mut latest: HashMap<&StreamName, Version> = HashMap::new();
    events
        .iter()
        .map(|event| {
            let Some(stream) = &event.stream else { return Version::START };
            let version = latest.entry(stream).or_insert_with(|| view.stream_version(stream));
            *version = version.next();
            *version
        })
        .collect()
}

/// Finds where the events stand if they are stored already: all of them, or it is an error.
fn find_repeated(view: &impl LogView, events: &[NewEvent]) -> Result<Option<Appended>, AppendError> {
    let mut repeated = Vec::new();
    let mut first = None;
    for (index, event) in events.iter().enumerate() {
        let Some(stored) = find_same(view, index, event)? else { continue };
        first.get_or_insert((index, event.id, stored.position));
        repeated.push(appended_event(&stored));
    }
    match first {
        None => Ok(None),
        Some(_) if repeated.len() == events.len() => Ok(Some(Appended { events: repeated, repeated: true })),
        Some((index, id, position)) => Err(AppendError::PartlyStored { index, id, position }),
    }
}

/// Finds the stored event with the id of this one; it is an error if its content is another.
fn find_same(view: &impl LogView, index: usize, event: &NewEvent) -> Result<Option<RecordedEvent>, AppendError> {
    match view.find(event.id)? {
        Some(stored) if !event.same_content(&stored) => {
            Err(AppendError::IdConflict { index, id: event.id, position: stored.position })
        }
        found => Ok(found),
    }
}

/// The answer for freshly written events.
pub(super) fn appended(events: &[RecordedEvent]) -> Appended {
    Appended { events: events.iter().map(appended_event).collect(), repeated: false }
}

fn appended_event(event: &RecordedEvent) -> AppendedEvent {
    AppendedEvent { id: event.id, position: event.position, stream: event.stream.clone(), version: event.version }
}
