//! What may be written, decided in pure code, the same for every store.
//!
//! An append is decided in this order, and the first thing that does not hold is the answer: ids that are
//! stored already (whatever else the request says), expectations of streams in their order, streams that
//! are deleted, the condition; last, whether what is tracked moves forward. All of it is asked of one [`LogView`], inside the transaction that writes.

use std::collections::HashMap;

use uuid::Uuid;

use super::{
    AppendCondition, AppendError, AppendRequest, Appended, AppendedEvent, CommitError, Owner, PluginChange, StoreError,
    StreamDeletion, StreamExpectation, StreamHead, Tracking, UnitOfWork,
};
use crate::event::{
    ACCEPTED_TYPE, APPEND_BYTES_MAX, APPEND_EVENTS_MAX, EXPECTATIONS_MAX, ExpectedVersion, InvalidEvent, NewEvent,
    Position, Query, RecordedEvent, StreamName, Version, WORK_BYTES_MAX,
};

/// What deciding needs to know of the log, including what this transaction has decided so far.
pub(super) trait LogView {
    /// Where a stream ends; none if it has no events.
    fn stream_head(&self, stream: &StreamName) -> Result<Option<StreamHead>, StoreError>;

    /// The event with this id.
    fn find(&self, id: Uuid) -> Result<Option<RecordedEvent>, StoreError>;

    /// Position of the last event above `after` that matches: the newest, as those are cheapest to look at.
    fn last_match(&self, query: &Query, after: Position) -> Result<Option<Position>, StoreError>;

    /// How far a source was followed.
    fn tracking(&self, source: &str) -> Result<Option<u64>, StoreError>;
}

/// What an append comes to.
#[derive(Debug)]
pub(super) enum Decision {
    /// These events are written, and how far a source was followed.
    Write(Vec<RecordedEvent>, Option<Tracking>),
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
    match &request.tracking {
        Some(tracking) => tracking.check()?,
        None if request.events.is_empty() => return Err(AppendError::Empty),
        None => {}
    }
    check_events(&request.events, |_| request.by_host)?;
    check_expectations(&request.expected)?;
    match &request.condition {
        Some(condition) => {
            condition.fail_if_match.validate().map_err(|reason| AppendError::InvalidCondition { reason })
        }
        None => Ok(()),
    }
}

/// The append that a deletion comes to, checked as [`check_request`] checks those of others, which may not
/// hold a tombstone.
pub(super) fn deletion(deletion: StreamDeletion) -> Result<AppendRequest, AppendError> {
    let StreamDeletion { stream, expected, id, metadata } = deletion;
    if stream.is_of_host() {
        return Err(AppendError::InvalidEvent { index: 0, reason: InvalidEvent::ReservedStream { stream } });
    }
    let tombstone = NewEvent::tombstone(id, stream.clone(), metadata);
    tombstone.validate_content().map_err(|reason| AppendError::InvalidEvent { index: 0, reason })?;
    let expected = vec![StreamExpectation { stream, expected }];
    Ok(AppendRequest { expected, ..AppendRequest::unconditional(vec![tombstone]) })
}

/// Checks everything about a unit of work that does not depend on the store.
pub(super) fn check_work(work: &UnitOfWork) -> Result<(), CommitError> {
    match work.bytes() {
        bytes if bytes > WORK_BYTES_MAX => Err(CommitError::TooLarge { bytes }),
        _ => {
            check_events(&work.events, |event| event.event_type.as_str() == ACCEPTED_TYPE).map_err(CommitError::Append)
        }
    }
}

/// Checks that a row of an owner builds on what is stored: the revision it has, of the one that is stored.
pub(super) fn check_fence(owner: &Owner, revision: u64, stored: Option<u64>) -> Result<(), CommitError> {
    let (stored, expected) = (stored.unwrap_or(0), revision.saturating_sub(1));
    if stored + 1 == revision { Ok(()) } else { Err(CommitError::Fenced { owner: owner.clone(), stored, expected }) }
}

/// Checks everything about a change of a plugin that does not depend on the store.
pub(super) fn check_change(change: &PluginChange) -> Result<(), CommitError> {
    match change.bytes() {
        bytes if bytes > WORK_BYTES_MAX => Err(CommitError::TooLarge { bytes }),
        _ => Ok(()),
    }
}

/// Checks events; `of_host` says which may be of the host's own types.
fn check_events(events: &[NewEvent], of_host: impl Fn(&NewEvent) -> bool) -> Result<(), AppendError> {
    let check = |event: &NewEvent| if of_host(event) { event.validate_content() } else { event.validate() };
    if events.len() > APPEND_EVENTS_MAX {
        return Err(AppendError::TooManyEvents { count: events.len() });
    }
    let invalid = |index, reason: InvalidEvent| AppendError::InvalidEvent { index, reason };
    if let [event] = events {
        return check(event).map_err(|reason| invalid(0, reason));
    }
    let mut bytes = 0;
    let mut seen = HashMap::with_capacity(events.len());
    for (index, event) in events.iter().enumerate() {
        check(event).map_err(|reason| invalid(index, reason))?;
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

fn check_expectations(expected: &[StreamExpectation]) -> Result<(), AppendError> {
    if expected.len() > EXPECTATIONS_MAX {
        return Err(AppendError::TooManyExpectations { count: expected.len() });
    }
    if expected.len() <= 1 {
        return Ok(());
    }
    let mut so_far = HashMap::with_capacity(expected.len());
    for StreamExpectation { stream, expected: other } in expected {
        let one = so_far.entry(stream).or_insert(ExpectedVersion::Any);
        *one = one.and(*other).ok_or_else(|| AppendError::ContradictingExpectations {
            stream: stream.clone(),
            one: *one,
            other: *other,
        })?;
    }
    Ok(())
}

/// Decides an append that passed [`check_request`], or a [`deletion`]: `last` is the last position given
/// out, `timestamp_us` the time of this transaction.
pub(super) fn decide(
    view: &impl LogView,
    request: AppendRequest,
    last: Position,
    timestamp_us: u64,
) -> Result<Decision, AppendError> {
    let AppendRequest { mut events, expected, condition, tracking, .. } = request;
    if let Some(tracking) = &tracking {
        events.iter_mut().for_each(|event| tracking.note(event));
    }
    if let Some(appended) = find_repeated(view, &events)? {
        return Ok(Decision::Repeat(appended));
    }
    let mut streams = Streams::new(view);
    for expectation in &expected {
        streams.expect(expectation)?;
    }
    let versions = streams.place(&events)?;
    if let Some(condition) = &condition {
        check_condition(view, condition, last)?;
    }
    if let Some(tracking) = &tracking {
        tracking.check_moves(view.tracking(&tracking.source)?)?;
    }
    Ok(Decision::Write(record(events, versions, last, timestamp_us), tracking))
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
    let versions = Streams::new(view).place(&fresh)?;
    let write = record(fresh, versions, last, timestamp_us);
    let mut written = write.iter().map(appended_event);
    let events: Vec<_> = places.into_iter().filter_map(|place| place.or_else(|| written.next())).collect();
    let appended = (!events.is_empty()).then_some(Appended { repeated: write.is_empty(), events });
    Ok(WorkDecision { write, appended })
}

fn check_condition(view: &impl LogView, condition: &AppendCondition, head: Position) -> Result<(), AppendError> {
    let after = condition.after;
    if after > head {
        return Err(AppendError::ConditionAheadOfLog { after, head });
    }
    match view.last_match(&condition.fail_if_match, after)? {
        Some(position) => Err(AppendError::ConditionFailed { position, after }),
        None => Ok(()),
    }
}

/// Where the streams of one request stand, each asked for once, with what the request adds to them.
struct Streams<'a, V> {
    view: &'a V,
    /// The stream asked for last, as most requests are about one.
    current: Option<(&'a StreamName, End)>,
    others: HashMap<&'a StreamName, End>,
}

/// Version of a stream's last event, and whether that is a tombstone.
#[derive(Clone, Copy)]
struct End {
    version: Version,
    deleted: bool,
}

impl<'a, V: LogView> Streams<'a, V> {
    fn new(view: &'a V) -> Self {
        Self { view, current: None, others: HashMap::new() }
    }

    fn end(&mut self, stream: &'a StreamName) -> Result<&mut End, AppendError> {
        let (found, end) = match self.current.take() {
            Some((found, end)) if found == stream => (found, end),
            other => {
                self.others.extend(other);
                let end = match self.others.get(stream) {
                    Some(end) => *end,
                    None => self.view.stream_head(stream)?.map_or(End::NONE, End::of),
                };
                (stream, end)
            }
        };
        Ok(&mut self.current.insert((found, end)).1)
    }

    /// Checks an expectation. `Any` asks nothing, not even that the stream is not deleted.
    fn expect(&mut self, expectation: &'a StreamExpectation) -> Result<(), AppendError> {
        let StreamExpectation { stream, expected } = expectation;
        if *expected == ExpectedVersion::Any {
            return Ok(());
        }
        let End { version, deleted } = *self.end(stream)?;
        match (deleted, expected.holds(version)) {
            (true, _) => Err(AppendError::StreamDeleted { stream: stream.clone(), version }),
            (false, true) => Ok(()),
            (false, false) => {
                Err(AppendError::WrongExpectedVersion { stream: stream.clone(), expected: *expected, actual: version })
            }
        }
    }

    /// The version of each event in its stream; 0 outside any stream.
    fn place(&mut self, events: &'a [NewEvent]) -> Result<Vec<Version>, AppendError> {
        events.iter().map(|event| event.stream.as_ref().map_or(Ok(Version::START), |s| self.add(event, s))).collect()
    }

    fn add(&mut self, event: &NewEvent, stream: &'a StreamName) -> Result<Version, AppendError> {
        let end = self.end(stream)?;
        if end.deleted {
            return Err(AppendError::StreamDeleted { stream: stream.clone(), version: end.version });
        }
        end.deleted = event.is_tombstone();
        if end.deleted && end.version == Version::START {
            return Err(AppendError::NoSuchStream { stream: stream.clone() });
        }
        end.version = end.version.next();
        Ok(end.version)
    }
}

impl End {
    const NONE: Self = Self { version: Version::START, deleted: false };

    const fn of(head: StreamHead) -> Self {
        Self { version: head.version, deleted: head.deleted }
    }
}

/// Gives events their positions, versions and time.
fn record(events: Vec<NewEvent>, versions: Vec<Version>, last: Position, timestamp_us: u64) -> Vec<RecordedEvent> {
    let mut position = last;
    let record = |(event, version)| {
        position = position.next();
        RecordedEvent::record(event, position, version, timestamp_us)
    };
    events.into_iter().zip(versions).map(record).collect()
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
    let RecordedEvent { id, position, version, timestamp_us, .. } = *event;
    AppendedEvent { id, position, stream: event.stream.clone(), version, timestamp_us }
}
