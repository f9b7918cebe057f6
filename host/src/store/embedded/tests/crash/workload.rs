//! What is done to a store before its disk crashes, and what was acknowledged when.
//!
//! The workload appends batches over a few streams, some of them guarded, some of them following a source, and drives
//! two plugins that count events, echo some of them, and set some aside. Events of one category, which they do not look
//! at, are removed. Everything follows from a seed, but for the order in which
//! the store's own threads reach the disk.

use fastrand::Rng;
use uuid::Uuid;

use crate::event::{Category, EventType, ExpectedVersion, Filter, NewEvent, Position, Query, StreamName, Tag};
use crate::store::{
    AppendCondition, AppendRequest, DeadLetter, DeadLetterChange, Owner, Progress, ReadRequest, StateChange, Store,
    StreamExpectation, Tracking, UnitOfWork,
};

/// Something the store acknowledged.
#[derive(Clone, Debug)]
pub(super) struct Acknowledged {
    /// Operations of the disk that had happened when the answer came.
    pub(super) operations: usize,
    /// What it was.
    pub(super) what: What,
}

/// What the store acknowledged.
#[derive(Clone, Debug)]
pub(super) enum What {
    /// Events, at positions from the first on.
    Appended(Position, Vec<NewEvent>),
    /// An owner's revision, of its one partition.
    Committed(Owner, u64),
    /// That the events of the category `trace` before a position are gone.
    Removed(Position),
}

/// Names that the workload draws from.
pub(super) const STREAMS: [&str; 5] = ["order-1", "order-2", "order-30", "stock-1", "audit"];
pub(super) const TYPES: [&str; 5] = ["Placed", "Paid", "Shipped", "Echoed", "Traced"];
/// Streams of the one category that is removed from, by events of the last type, which no plugin looks at.
pub(super) const TRACES: [&str; 3] = ["trace-1", "trace-2", "trace-3"];
pub(super) const TAGS: [&str; 4] = ["red", "green", "blue", "customer:7"];
pub(super) const PLUGINS: [&str; 2] = ["counter", "auditor@2"];
/// The one partition of each that is driven.
pub(super) const PARTITION: u32 = 1;

/// The source that is followed: its places are the steps.
pub(super) const SOURCE: &str = "steps";

/// The metadata key that tells how many events were appended together, and which.
pub(super) const BATCH: &str = "batch";

/// Does `steps` things to a store; `operations` tells how many operations of the disk have happened.
pub(super) fn run(store: &dyn Store, seed: u64, steps: usize, operations: &dyn Fn() -> usize) -> Vec<Acknowledged> {
    let mut rng = Rng::with_seed(seed);
    let mut acknowledged = Vec::new();
    for step in 0..steps {
        let what = match rng.u8(..) {
            0..120 => append(store, &mut rng, seed, step),
            120..170 => trace(store, &mut rng, seed, step),
            170..190 => remove(store, &mut rng),
            _ => commit(store, &mut rng),
        };
        let Some(what) = what else { break };
        acknowledged.push(Acknowledged { operations: operations(), what });
    }
    acknowledged
}

fn append(store: &dyn Store, rng: &mut Rng, seed: u64, step: usize) -> Option<What> {
    let count = [1, 1, 1, 2, 5, 20][rng.usize(..6)];
    let batch = format!("{step}/{count}");
    let mut events: Vec<_> = (0..count).map(|_| event(rng, &batch)).collect();
    for (index, event) in events.iter_mut().enumerate() {
        event.id =
            Uuid::from_u64_pair(seed.wrapping_add(step as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15), index as u64);
    }
    let mut request = AppendRequest::unconditional(events.clone());
    if rng.bool()
        && let Some(stream) = events[0].stream.clone()
    {
        let version = store.stream_head(&stream).ok()?.map_or(0, |head| head.version.0);
        let expected = ExpectedVersion::Exact(crate::event::Version(version));
        request.expected.push(StreamExpectation { stream, expected });
    }
    if rng.bool() {
        let fail_if_match = Query::from(Filter { tags: vec![Tag::new(TAGS[0]).unwrap()], ..Filter::default() });
        request.condition = Some(AppendCondition { fail_if_match, after: store.head() });
    }
    if rng.u8(..) < 64 {
        let tracking = Tracking { source: SOURCE.to_owned(), position: step as u64 };
        events.iter_mut().for_each(|event| tracking.note(event));
        request.tracking = Some(tracking);
    }
    let appended = store.append(request).wait().ok()?;
    Some(What::Appended(appended.first_position(), events))
}

/// Appends events that will be removed.
fn trace(store: &dyn Store, rng: &mut Rng, seed: u64, step: usize) -> Option<What> {
    let mut traced = |index: u64| {
        let mut event = event(rng, "");
        event.id = Uuid::from_u64_pair(seed.wrapping_add(step as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15), index);
        event.event_type = EventType::new(TYPES[4]).unwrap();
        event.stream = Some(StreamName::new(TRACES[rng.usize(..TRACES.len())]).unwrap());
        event.metadata.clear();
        event
    };
    let events: Vec<_> = (0..6).map(&mut traced).collect();
    let appended = store.append(AppendRequest::unconditional(events.clone())).wait().ok()?;
    Some(What::Appended(appended.first_position(), events))
}

fn remove(store: &dyn Store, rng: &mut Rng) -> Option<What> {
    let before = Position(rng.u64(store.head().0 / 2..=store.head().0 + 1));
    store.remove(&trace_category(), before).ok().map(What::Removed)
}

/// The category that is removed from.
pub(super) fn trace_category() -> Category {
    Category::new("trace").unwrap()
}

fn event(rng: &mut Rng, batch: &str) -> NewEvent {
    let size = [2, 40, 300, 2_000][rng.usize(..4)];
    let mut event =
        NewEvent::json(EventType::new(TYPES[rng.usize(..3)]).unwrap(), format!("\"{:0size$}\"", rng.u8(..)));
    event.stream = STREAMS.get(rng.usize(..7)).map(|name| StreamName::new(*name).unwrap());
    event.tags = TAGS.iter().filter(|_| rng.u8(..) < 64).map(|tag| Tag::new(*tag).unwrap()).collect();
    event.metadata.insert(BATCH.to_owned(), batch.to_owned());
    event
}

/// Drives a plugin over what it has not seen: its state counts events by type, and of each event of a type the
/// first plugin appends an echo, the second sets one aside.
fn commit(store: &dyn Store, rng: &mut Rng) -> Option<What> {
    let which = rng.usize(..PLUGINS.len());
    let owner: Owner = PLUGINS[which].parse().unwrap();
    let progress = store.progress(&owner, PARTITION).ok()?.unwrap_or_default();
    let query = Query::from(Filter { types: patterns(&TYPES[..3]), ..Filter::default() });
    let request = ReadRequest { query, after: progress.checkpoint, limit: rng.usize(1..40), ..ReadRequest::default() };
    let page = store.read(&request).ok()?;
    let mut work = UnitOfWork {
        owner: owner.clone(),
        partition: PARTITION,
        progress: Progress { revision: progress.revision + 1, checkpoint: page.through, ..Progress::default() },
        state: Vec::new(),
        events: Vec::new(),
        dead_letters: Vec::new(),
    };
    for name in &TYPES[..3] {
        let seen = page.events.iter().filter(|event| event.event_type.as_str() == *name).count() as u64;
        let stored = store.state_get(&owner, name).ok()?.map_or(0, |value| count(&value));
        work.state.push(StateChange { key: (*name).to_owned(), value: Some((stored + seen).to_le_bytes().to_vec()) });
    }
    for event in page.events.iter().filter(|event| event.event_type.as_str() == TYPES[1]) {
        if which == 0 {
            let mut echo = NewEvent::json(EventType::new(TYPES[3]).unwrap(), event.position.to_string());
            echo.id = Uuid::from_u64_pair(u64::MAX, event.position.0);
            echo.stream = Some(StreamName::new(STREAMS[4]).unwrap());
            work.events.push(echo);
        } else {
            work.dead_letters.push(DeadLetterChange::Put(letter(event.position)));
        }
    }
    let revision = work.progress.revision;
    store.commit(work).wait().ok()?;
    Some(What::Committed(owner, revision))
}

pub(super) fn count(value: &[u8]) -> u64 {
    u64::from_le_bytes(value.try_into().unwrap())
}

pub(super) fn patterns(names: &[&str]) -> Vec<crate::event::Pattern> {
    names.iter().map(|name| crate::event::Pattern::new(*name).unwrap()).collect()
}

pub(super) fn letter(position: Position) -> DeadLetter {
    DeadLetter {
        position,
        key: None,
        reason: "set aside".to_owned(),
        kind: "reject".to_owned(),
        attempts: 1,
        faults: 0,
        due_us: None,
        first_us: 1,
        last_us: 1,
        component_digest: String::new(),
        stderr_tail: String::new(),
        backtrace: String::new(),
        quiet: false,
    }
}

/// What a store would hold that committed a checkpoint before its effects and crashed in between.
pub(super) fn commit_checkpoint_alone(store: &dyn Store) {
    let mut paid = NewEvent::json(EventType::new(TYPES[1]).unwrap(), "1");
    paid.metadata.insert(BATCH.to_owned(), "last/1".to_owned());
    store.append(AppendRequest::unconditional(vec![paid])).wait().unwrap();
    let owner: Owner = PLUGINS[0].parse().unwrap();
    let progress = store.progress(&owner, PARTITION).unwrap().unwrap_or_default();
    let progress = Progress { revision: progress.revision + 1, checkpoint: store.head(), ..Progress::default() };
    let (state, events, dead_letters) = (Vec::new(), Vec::new(), Vec::new());
    let work = UnitOfWork { owner, partition: PARTITION, progress, state, events, dead_letters };
    store.commit(work).wait().unwrap();
}
