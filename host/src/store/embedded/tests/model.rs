//! The embedded store against the strict fake, on the same random traces.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use uuid::Uuid;

use super::OnDisk;
use crate::event::{
    Category, EventType, ExpectedVersion, Filter, NewEvent, Pattern, PluginName, Position, Query, StreamName, Tag,
    Version,
};
use crate::store::conformance::{Subject, TestClock};
use crate::store::memory::MemoryStore;
use crate::store::{
    AppendCondition, AppendRequest, DeadLetter, DeadLetterChange, Direction, Owner, PluginChange, PluginRecord,
    Progress, ReadRequest, StateChange, Store, StreamDeletion, StreamExpectation, Tracking, UnitOfWork,
};

/// One thing that happens to both stores.
#[derive(Clone, Debug)]
enum Step {
    Append(AppendRequest),
    Delete(StreamDeletion),
    /// With what is added to the partition's stored revision.
    Commit(UnitOfWork, u64),
    /// With what is added to the record's stored revision.
    Change(PluginChange, u64),
    Read(ReadRequest),
    Scan(String, Option<String>, usize),
    Streams(String, Option<StreamName>, usize),
    Time(u64),
    Remove(Category, Position),
    NthNewest(Category, u64),
    Reopen,
}

const OWNERS: [&str; 3] = ["p", "p@1", "pp"];

const STREAMS: [&str; 4] = ["order-1", "order-2", "orders", "stock-1"];

/// Few ids, streams, types, tags and keys, so that they meet.
fn any_event() -> impl Strategy<Value = NewEvent> {
    (0..60_u128, 0..3_usize, 0..5_usize, vec(0..3_usize, 0..3), 0..10_u8).prop_map(|(id, kind, stream, tags, data)| {
        // Most events of one id have one content; some do not.
        let odd = data == 0;
        let mut event = NewEvent::json(EventType::new(["Placed", "Paid", "P"][kind]).unwrap(), vec![b'1'; 1 + kind]);
        event.id = Uuid::from_u128(id * 3 + kind as u128);
        event.stream = STREAMS.get(stream).map(|name| StreamName::new(*name).unwrap());
        event.tags = tags.iter().map(|tag| Tag::new(["x", "y", "z"][*tag]).unwrap()).collect();
        if odd {
            event.schema_version = 2;
        }
        event
    })
}

fn any_stream() -> impl Strategy<Value = StreamName> {
    proptest::sample::select(&STREAMS[..]).prop_map(|name| StreamName::new(name).unwrap())
}

fn any_expected() -> impl Strategy<Value = ExpectedVersion> {
    prop_oneof![
        2 => Just(ExpectedVersion::Any),
        1 => Just(ExpectedVersion::NoStream),
        2 => Just(ExpectedVersion::Exists),
        2 => (0..6_u64).prop_map(|version| ExpectedVersion::Exact(Version(version))),
    ]
}

fn any_expectation() -> impl Strategy<Value = StreamExpectation> {
    (any_stream(), any_expected()).prop_map(|(stream, expected)| StreamExpectation { stream, expected })
}

/// Often far enough along the log to hold, seldom beyond it.
fn any_condition() -> impl Strategy<Value = AppendCondition> {
    (any_query(), prop_oneof![1 => 0..10_u64, 2 => 0..60_u64])
        .prop_map(|(fail_if_match, after)| AppendCondition { fail_if_match, after: Position(after) })
}

fn any_append() -> impl Strategy<Value = AppendRequest> {
    let condition = prop_oneof![2 => Just(None), 1 => any_condition().prop_map(Some)];
    let tracking = prop_oneof![3 => Just(None), 1 => ("[st]", 0..30_u64).prop_map(Some)];
    (vec(any_event(), 0..5), vec(any_expectation(), 0..3), condition, tracking).prop_map(
        |(events, expected, condition, tracking)| AppendRequest {
            events,
            expected,
            condition,
            tracking: tracking.map(|(source, position)| Tracking { source, position }),
            by_host: false,
        },
    )
}

/// The ids of deletions are few, so that some are sent again and some meet those of events.
fn any_deletion() -> impl Strategy<Value = StreamDeletion> {
    (any_stream(), any_expected(), 0..200_u128).prop_map(|(stream, expected, id)| StreamDeletion {
        stream,
        expected,
        id: Uuid::from_u128(150 + id),
        metadata: BTreeMap::new(),
    })
}

fn any_filter() -> impl Strategy<Value = Filter> {
    let pattern = |texts: &'static [&'static str]| {
        vec(proptest::sample::select(texts).prop_map(|text| Pattern::new(text).unwrap()), 0..3)
    };
    let tag = proptest::sample::select(&["x", "y", "w"][..]).prop_map(|tag| Tag::new(tag).unwrap());
    let types = pattern(&["Placed", "P*", "Pa*", "P", "*", "Other"]);
    let streams = pattern(&["order-1", "order-*", "order*", "o*", "*", "orders", "absent"]);
    (types, streams, vec(tag, 0..2)).prop_map(|(types, streams, tags)| Filter { types, streams, tags })
}

fn any_query() -> impl Strategy<Value = Query> {
    prop_oneof![2 => any_filter().prop_map(Query::from), 1 => vec(any_filter(), 0..4).prop_map(Query::from)]
}

fn any_read() -> impl Strategy<Value = ReadRequest> {
    let ends = (0..40_u64, proptest::option::of(0..50_u64), prop_oneof![4 => Just(0), 1 => 0..4_u64]);
    let time = || prop_oneof![3 => Just(None), 1 => (0..6_000_u64).prop_map(Some)];
    (any_query(), ends, (time(), time()), any::<bool>(), 0..20_usize, 0..40_usize).prop_map(
        |(query, (after, before, after_version), (since_us, until_us), forwards, limit, bytes_max)| ReadRequest {
            query,
            after: Position(after / 2),
            before: before.map(Position),
            since_us,
            until_us,
            after_version: Version(after_version),
            direction: if forwards { Direction::Forwards } else { Direction::Backwards },
            limit,
            bytes_max,
            complete: false,
        },
    )
}

fn any_work() -> impl Strategy<Value = UnitOfWork> {
    let state = proptest::collection::btree_map("[ab]{0,2}", proptest::option::of(vec(any::<u8>(), 0..4)), 0..4);
    let letters = vec((1..5_u64, any::<bool>()), 0..3);
    let partition = (0..OWNERS.len(), 0..2_u32);
    (partition, 0..100_u64, state, vec(any_event(), 0..3), letters).prop_map(
        |((owner, partition), checkpoint, state, events, letters)| UnitOfWork {
            owner: OWNERS[owner].parse().unwrap(),
            partition,
            progress: Progress { revision: 0, checkpoint: Position(checkpoint), ..Progress::default() },
            state: state.into_iter().map(|(key, value)| StateChange { key, value }).collect(),
            events,
            dead_letters: letters.into_iter().map(|(position, put)| letter(position, put)).collect(),
        },
    )
}

fn any_change() -> impl Strategy<Value = PluginChange> {
    let rows = || vec((0..2_u32, 0..2_u32), 0..2);
    ("(p|pp)", 0..9_u64, rows(), rows(), vec(0..2_u32, 0..2)).prop_map(
        |(plugin, content, progress, progress_removed, generations_dropped)| PluginChange {
            plugin: PluginName::new(plugin).unwrap(),
            record: PluginRecord { revision: 0, content: content.to_string() },
            progress: progress
                .into_iter()
                .map(|(owner, partition)| (owner, partition, Progress { revision: content, ..Progress::default() }))
                .collect(),
            progress_removed,
            generations_dropped,
        },
    )
}

fn letter(position: u64, put: bool) -> DeadLetterChange {
    if !put {
        return DeadLetterChange::Remove(Position(position));
    }
    DeadLetterChange::Put(DeadLetter {
        position: Position(position),
        key: None,
        reason: "r".to_owned(),
        kind: "trap".to_owned(),
        attempts: 1,
        faults: 0,
        due_us: None,
        first_us: 1,
        last_us: 2,
        component_digest: String::new(),
        stderr_tail: String::new(),
        backtrace: String::new(),
        quiet: false,
    })
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => any_append().prop_map(Step::Append),
        1 => any_deletion().prop_map(Step::Delete),
        4 => (any_work(), prop_oneof![6 => Just(1_u64), 1 => 0..3_u64]).prop_map(|(work, by)| Step::Commit(work, by)),
        1 => (any_change(), prop_oneof![6 => Just(1_u64), 1 => 0..3_u64]).prop_map(|(change, by)| Step::Change(change, by)),
        8 => any_read().prop_map(Step::Read),
        2 => ("[ab]{0,1}", proptest::option::of("[ab]{0,2}"), 0..4_usize)
            .prop_map(|(prefix, after, limit)| Step::Scan(prefix, after, limit)),
        1 => ("(o|or|order-|s|x)?", proptest::option::of(any_stream()), 0..4_usize)
            .prop_map(|(prefix, after, limit)| Step::Streams(prefix, after, limit)),
        2 => (0..5_000_u64).prop_map(Step::Time),
        2 => (any_category(), 0..40_u64).prop_map(|(category, before)| Step::Remove(category, Position(before))),
        1 => (any_category(), 0..9_u64).prop_map(|(category, newer)| Step::NthNewest(category, newer)),
        1 => Just(Step::Reopen),
    ]
}

fn any_category() -> impl Strategy<Value = Category> {
    proptest::sample::select(&["order", "orders", "stock"][..]).prop_map(|name| Category::new(name).unwrap())
}

/// Everything that can be read of a store, apart from pages.
fn contents(store: &dyn Store) -> impl PartialEq + std::fmt::Debug + use<> {
    let everything = ReadRequest { limit: usize::MAX, bytes_max: usize::MAX, ..ReadRequest::default() };
    let events = store.read(&everything).unwrap();
    let records: BTreeMap<_, _> = store
        .plugins()
        .unwrap()
        .into_iter()
        .map(|plugin| (plugin.clone(), store.plugin_record(&plugin).unwrap()))
        .collect();
    let owners = OWNERS.map(|owner| {
        let owner: Owner = owner.parse().unwrap();
        let letters = store.dead_letters(&owner, Position(0), 100).unwrap();
        assert_eq!(letters.len() as u64, store.dead_letter_count(&owner).unwrap());
        let state = store.state_scan(&owner, "", None, 100).unwrap();
        ([0, 1].map(|partition| store.progress(&owner, partition).unwrap()), state, letters)
    });
    let heads: Vec<_> = STREAMS.map(|name| store.stream_head(&StreamName::new(name).unwrap()).unwrap()).into();
    // Types of removed events are counted for as long as their space is not given back.
    let types = store.removals().is_empty().then(|| store.event_types().unwrap());
    let lists = (heads, store.streams("", None, 100).unwrap(), types);
    let tracking = ["s", "t", "u"].map(|source| store.tracking(source).unwrap());
    (events, records, owners, lists, tracking, store.counts().unwrap(), store.head())
}

fn text<T: std::fmt::Debug, E: std::fmt::Debug>(result: Result<T, E>) -> String {
    format!("{result:?}")
}

/// Does a step to one store, and tells in text what it answered.
fn act(store: &dyn Store, step: &Step) -> String {
    match step {
        Step::Append(request) => text(store.append(request.clone()).wait()),
        Step::Commit(work, by) => {
            let stored = store.progress(&work.owner, work.partition).unwrap().map_or(0, |progress| progress.revision);
            let mut work = work.clone();
            work.progress.revision = stored + by;
            text(store.commit(work).wait())
        }
        Step::Change(change, by) => {
            let stored = store.plugin_record(&change.plugin).unwrap().map_or(0, |record| record.revision);
            let mut change = change.clone();
            change.record.revision = stored + by;
            text(store.change_plugin(change).wait())
        }
        Step::Read(request) => text(store.read(request)),
        Step::Scan(prefix, after, limit) => {
            text(store.state_scan(&"p@1".parse().unwrap(), prefix, after.as_deref(), *limit))
        }
        Step::Delete(deletion) => text(store.delete_stream(deletion.clone()).wait()),
        Step::Streams(prefix, after, limit) => text(store.streams(prefix, after.as_ref(), *limit)),
        Step::Remove(category, before) => text(store.remove(category, *before)),
        Step::NthNewest(category, newer) => text(store.nth_newest(category, *newer)),
        Step::Time(_) | Step::Reopen => String::new(),
    }
}

/// Does the steps to both, and compares all they say.
fn compare(subject: &OnDisk, steps: &[Step]) -> Result<(), TestCaseError> {
    let clock = TestClock::at(1_000);
    let memory = MemoryStore::new(clock.clone());
    let mut store: Arc<dyn Store> = subject.open(clock.clone());
    for step in steps {
        match step {
            Step::Time(now_us) => clock.set(*now_us),
            Step::Reopen => store = subject.reopen(store, clock.clone()),
            _ => prop_assert_eq!(act(&*store, step), act(&memory, step)),
        }
    }
    prop_assert_eq!(contents(&*store), contents(&memory));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_embedded_store_does_what_the_fake_does(steps in vec(any_step(), 1..60)) {
        compare(&OnDisk::new(), &steps)?;
    }

    /// While everything is sealed, merged and compacted all the time.
    #[test]
    fn the_cramped_store_does_what_the_fake_does(steps in vec(any_step(), 1..80)) {
        compare(&OnDisk::with_journals(600), &steps)?;
    }
}
