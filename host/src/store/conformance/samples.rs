//! Small events, requests and shorthands for the promises.

use std::sync::Arc;

use uuid::Uuid;

use super::{Subject, TestClock};
use crate::event::{
    EventType, ExpectedVersion, Filter, NewEvent, Pattern, PluginName, Position, Query, RecordedEvent, StreamName, Tag,
    Version,
};
use crate::store::{
    AppendCondition, AppendError, AppendRequest, Appended, DeadLetter, Direction, Owner, Progress, ReadPage,
    ReadRequest, StateChange, Store, StreamDeletion, StreamExpectation, UnitOfWork,
};

pub(super) fn open(subject: &dyn Subject) -> Arc<dyn Store> {
    subject.open(TestClock::at(1_000))
}

pub(super) fn reopen(subject: &dyn Subject, store: Arc<dyn Store>) -> Arc<dyn Store> {
    subject.reopen(store, TestClock::at(1_000))
}

/// Makes a check of a store, closes and opens it, and makes the check again.
pub(super) fn also_reopened(subject: &dyn Subject, store: Arc<dyn Store>, check: impl Fn(&dyn Store)) {
    check(&*store);
    check(&*reopen(subject, store));
}

pub(super) fn stream(name: &str) -> StreamName {
    StreamName::new(name).unwrap()
}

pub(super) fn plugin(name: &str) -> PluginName {
    PluginName::new(name).unwrap()
}

/// An event of a type, in a stream unless that is empty.
pub(super) fn event(event_type: &str, in_stream: &str) -> NewEvent {
    let mut event = NewEvent::json(EventType::new(event_type).unwrap(), r#"{"n":1}"#);
    event.stream = (!in_stream.is_empty()).then(|| stream(in_stream));
    event
}

pub(super) fn tagged(event_type: &str, tags: &[&str]) -> NewEvent {
    let mut event = event(event_type, "");
    event.tags = tags.iter().map(|tag| Tag::new(*tag).unwrap()).collect();
    event
}

pub(super) fn expect(name: &str, expected: ExpectedVersion) -> StreamExpectation {
    StreamExpectation { stream: stream(name), expected }
}

pub(super) fn fail_if(query: impl Into<Query>, after: u64) -> AppendCondition {
    AppendCondition { fail_if_match: query.into(), after: Position(after) }
}

pub(super) fn guarded(event: NewEvent, condition: AppendCondition) -> AppendRequest {
    AppendRequest { condition: Some(condition), ..AppendRequest::unconditional(vec![event]) }
}

pub(super) fn deletion(name: &str) -> StreamDeletion {
    StreamDeletion::of(stream(name))
}

pub(super) fn append(store: &dyn Store, events: Vec<NewEvent>) -> Appended {
    store.append(AppendRequest::unconditional(events)).wait().unwrap()
}

pub(super) fn append_error(store: &dyn Store, events: Vec<NewEvent>) -> AppendError {
    append_error_of(store, AppendRequest::unconditional(events))
}

pub(super) fn append_error_of(store: &dyn Store, request: AppendRequest) -> AppendError {
    let head = store.head();
    let error = store.append(request).wait().unwrap_err();
    assert_eq!(store.head(), head, "a refused append moved the head");
    error
}

pub(super) fn everything(store: &dyn Store) -> Vec<RecordedEvent> {
    let page = store.read(&ReadRequest { limit: usize::MAX, bytes_max: usize::MAX, ..ReadRequest::default() });
    let page = page.unwrap();
    assert!(page.complete && page.through == page.head);
    page.events
}

pub(super) fn patterns(texts: &[&str]) -> Vec<Pattern> {
    texts.iter().map(|text| Pattern::new(*text).unwrap()).collect()
}

pub(super) fn by_type(texts: &[&str]) -> Filter {
    Filter { types: patterns(texts), ..Filter::default() }
}

pub(super) fn by_stream(texts: &[&str]) -> Filter {
    Filter { streams: patterns(texts), ..Filter::default() }
}

pub(super) fn by_tag(texts: &[&str]) -> Filter {
    Filter { tags: texts.iter().map(|tag| Tag::new(*tag).unwrap()).collect(), ..Filter::default() }
}

/// Positions of all events that match, read in both directions, in pages of different sizes.
pub(super) fn found(store: &dyn Store, query: impl Into<Query>) -> Vec<u64> {
    found_within(store, ReadRequest { query: query.into(), ..ReadRequest::default() })
}

/// The same, within the bounds of a request; its direction and limit do not matter.
pub(super) fn found_within(store: &dyn Store, request: ReadRequest) -> Vec<u64> {
    let forwards = paged(store, &request, Direction::Forwards, 1000);
    for limit in [1, 2, 3] {
        assert_eq!(paged(store, &request, Direction::Forwards, limit), forwards, "forwards by {limit}");
        let mut backwards = paged(store, &request, Direction::Backwards, limit);
        backwards.reverse();
        assert_eq!(backwards, forwards, "backwards by {limit}");
    }
    forwards
}

fn paged(store: &dyn Store, request: &ReadRequest, direction: Direction, limit: usize) -> Vec<u64> {
    let mut request = ReadRequest { direction, limit, ..request.clone() };
    let mut positions = Vec::new();
    loop {
        let page = store.read(&request).unwrap();
        assert!(page.events.len() <= limit && page.events.iter().all(|event| request.query.matches(event)));
        positions.extend(positions_of(&page));
        if page.complete {
            return positions;
        }
        assert!(!page.events.is_empty(), "a page that is not complete holds an event");
        match direction {
            Direction::Forwards => request.after = page.through,
            Direction::Backwards => request.before = Some(page.through),
        }
    }
}

pub(super) fn positions_of(page: &ReadPage) -> Vec<u64> {
    page.events.iter().map(|event| event.position.0).collect()
}

pub(super) fn places(appended: &Appended) -> Vec<(u64, u64)> {
    appended.events.iter().map(|event| (event.position.0, event.version.0)).collect()
}

/// The owner of this text, such as `p` or `p@1`.
pub(super) fn owner(text: &str) -> Owner {
    text.parse().unwrap()
}

/// A unit of work that changes nothing but the progress.
pub(super) fn work(name: &str, revision: u64, checkpoint: u64) -> UnitOfWork {
    let progress = Progress { revision, checkpoint: Position(checkpoint), ..Progress::default() };
    let (state, events, dead_letters) = (Vec::new(), Vec::new(), Vec::new());
    UnitOfWork { owner: owner(name), partition: 0, progress, state, events, dead_letters }
}

pub(super) fn put(key: &str, value: &str) -> StateChange {
    StateChange { key: key.to_owned(), value: Some(value.as_bytes().to_vec()) }
}

pub(super) fn remove(key: &str) -> StateChange {
    StateChange { key: key.to_owned(), value: None }
}

pub(super) fn letter(position: u64, reason: &str) -> DeadLetter {
    DeadLetter {
        position: Position(position),
        key: None,
        reason: reason.to_owned(),
        kind: "trap".to_owned(),
        attempts: 5,
        faults: 0,
        due_us: None,
        first_us: 1,
        last_us: 2,
        component_digest: "ab".repeat(32),
        stderr_tail: "panicked\nat line 1".to_owned(),
        backtrace: "0: f".to_owned(),
        quiet: false,
    }
}

/// Version of a stream's last event; 0 if it has none.
pub(super) fn version_of(store: &dyn Store, name: &str) -> Version {
    store.stream_head(&stream(name)).unwrap().map_or(Version::START, |head| head.version)
}

pub(super) fn version(of: u64) -> Version {
    Version(of)
}

pub(super) fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}
