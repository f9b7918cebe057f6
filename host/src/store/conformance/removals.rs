//! Promises about what retention removes.

use std::sync::Arc;

use super::Subject;
use super::samples::{
    also_reopened, append, append_error_of, by_stream, by_tag, by_type, deletion, event, everything, expect, fail_if,
    found, found_within, guarded, letter, open, owner, places, positions_of, put, reopen, stream, version, version_of,
    work,
};
use super::subject::TestClock;
use crate::error::ErrorClass;
use crate::event::{Category, ExpectedVersion, NewEvent, Position, Query, Tag};
use crate::store::{
    AppendError, AppendRequest, AsyncStore, DeadLetterChange, Direction, ReadRequest, Store, StoreError,
};

fn category(name: &str) -> Category {
    Category::new(name).unwrap()
}

fn remove(store: &dyn Store, name: &str, before: u64) -> u64 {
    store.remove(&category(name), Position(before)).unwrap().0
}

/// An event in a stream with a tag that names the stream.
fn labelled(event_type: &str, in_stream: &str) -> NewEvent {
    let mut event = event(event_type, in_stream);
    event.tags = vec![Tag::new(format!("of:{in_stream}")).unwrap()];
    event
}

/// [`also_reopened`], with the store to go on with.
fn checked_and_reopened(subject: &dyn Subject, store: Arc<dyn Store>, check: impl Fn(&dyn Store)) -> Arc<dyn Store> {
    check(&*store);
    let store = reopen(subject, store);
    check(&*store);
    store
}

/// Eight events: orders at 1, 3, 5 and 7, others between.
fn fill(store: &dyn Store) -> Vec<NewEvent> {
    let streams = ["order-1", "stock-1", "order-1", "", "order-2", "orders-1", "order-1", "order"];
    let events: Vec<_> = streams.iter().map(|name| labelled("T", if name.is_empty() { "x" } else { name })).collect();
    let events: Vec<_> = events.into_iter().zip(streams).map(|(event, name)| outside(event, name.is_empty())).collect();
    for event in &events {
        append(store, vec![event.clone()]);
    }
    events
}

fn outside(event: NewEvent, is_outside: bool) -> NewEvent {
    if is_outside { NewEvent { stream: None, ..event } } else { event }
}

/// Events of one category before the horizon are gone for every way of reading; all others are there.
pub fn removed_events_are_gone_and_others_stay(subject: &dyn Subject) {
    let store = open(subject);
    let events = fill(&*store);
    assert_eq!(remove(&*store, "order", 6), 6);
    also_reopened(subject, store, |store| {
        let kept = [2, 4, 6, 7, 8];
        assert_eq!(found(store, Query::all()), kept);
        assert_eq!(found(store, by_type(&["T"])), kept);
        assert_eq!(found(store, by_stream(&["order-1"])), [7]);
        assert_eq!(found(store, by_stream(&["order-2"])), [0; 0]);
        assert_eq!(found(store, by_stream(&["order*"])), [6, 7, 8]);
        assert_eq!(found(store, by_stream(&["order-*"])), [7]);
        assert_eq!(found(store, by_tag(&["of:order-1"])), [7]);
        assert_eq!(found(store, by_tag(&["of:order-2"])), [0; 0]);
        for (event, position) in events.iter().zip(1..) {
            let by_id = store.event(event.id).unwrap().map(|event| event.position.0);
            assert_eq!(by_id, kept.contains(&position).then_some(position), "the event at {position} by id");
        }
        assert_eq!(store.head(), Position(8));
    });
}

/// A lower horizon changes nothing, one above the head is the one after it, and each category has its own.
pub fn horizons_only_rise_and_stay_below_the_head(subject: &dyn Subject) {
    let store = open(subject);
    assert_eq!((remove(&*store, "order", 9), store.removals().is_empty()), (0, true), "nothing is there");
    fill(&*store);
    assert_eq!(remove(&*store, "order", 4), 4);
    assert_eq!(remove(&*store, "order", 2), 4);
    assert_eq!(remove(&*store, "order", 0), 4);
    assert_eq!(remove(&*store, "absent", 3), 3, "which does no harm");
    assert_eq!(remove(&*store, "stock", u64::MAX), 9);
    let store = reopen(subject, store);
    append(&*store, vec![event("T", "stock-1")]);
    assert_eq!(found(&*store, Query::all()), [4, 5, 6, 7, 8, 9], "what comes after is not removed");
    let removals = store.removals();
    assert!(removals.iter().eq([("absent", Position(3)), ("order", Position(4)), ("stock", Position(9))]));
}

/// Versions go on, tombstones stay in force, emptied streams are listed, expectations hold as before.
pub fn streams_end_where_they_ended(subject: &dyn Subject) {
    let store = open(subject);
    append(&*store, ["order-1", "order-1", "order-2", "order-3"].map(|name| event("T", name)).into());
    store.delete_stream(deletion("order-2")).wait().unwrap();
    remove(&*store, "order", 6);
    let store = checked_and_reopened(subject, store, |store| {
        let page = store.streams("", None, 9).unwrap();
        let ends: Vec<_> = page.streams.iter().map(|(name, end)| (name.as_str(), end.version.0, end.deleted)).collect();
        assert_eq!(ends, [("order-1", 2, false), ("order-2", 2, true), ("order-3", 1, false)]);
        let head = store.stream_head(&stream("order-1")).unwrap().unwrap();
        assert_eq!((head.version, head.position), (version(2), Position(2)));
        assert_eq!(found(store, Query::all()), [0; 0]);
    });
    let expecting = |expected| AppendRequest {
        expected: vec![expect("order-1", expected)],
        ..AppendRequest::unconditional(vec![event("T", "order-1")])
    };
    for expected in [ExpectedVersion::NoStream, ExpectedVersion::Exact(version(0))] {
        let error = append_error_of(&*store, expecting(expected));
        assert!(matches!(error, AppendError::WrongExpectedVersion { actual, .. } if actual == version(2)), "{error}");
    }
    let error = append_error_of(&*store, AppendRequest::unconditional(vec![event("T", "order-2")]));
    assert!(matches!(error, AppendError::StreamDeleted { .. }), "{error}");
    let appended = store.append(expecting(ExpectedVersion::Exact(version(2)))).wait().unwrap();
    assert_eq!(places(&appended), [(6, 3)], "neither a position nor a version comes again");
    append(&*store, vec![event("T", "order-3")]);
    let later =
        ReadRequest { query: by_stream(&["order-1"]).into(), after_version: version(2), ..ReadRequest::default() };
    assert_eq!(found_within(&*store, later), [6]);
    assert_eq!((version_of(&*store, "order-1"), version_of(&*store, "order-3")), (version(3), version(2)));
}

/// Idempotency ends with removal: the same event sent again is another one; before, it is where it was.
pub fn a_removed_id_is_unknown_and_may_come_again(subject: &dyn Subject) {
    let store = open(subject);
    let events = fill(&*store);
    remove(&*store, "order", 4);
    let store = reopen(subject, store);
    let again = append(&*store, vec![events[0].clone()]);
    assert!(!again.repeated);
    assert_eq!(places(&again), [(9, 4)]);
    let repeated = append(&*store, vec![events[0].clone()]);
    assert!(repeated.repeated && places(&repeated) == [(9, 4)], "and from then on it is known");
    let store = checked_and_reopened(subject, store, |store| {
        assert_eq!(store.event(events[0].id).unwrap().unwrap().position, Position(9));
        assert_eq!(store.event(events[2].id).unwrap(), None);
        assert!(append(store, vec![events[4].clone()]).repeated, "what is kept is known");
    });
    remove(&*store, "order", 10);
    let other = NewEvent { id: events[0].id, ..event("Other", "stock-1") };
    assert_eq!(places(&append(&*store, vec![other.clone()])), [(10, 2)], "with whatever content");
    also_reopened(subject, store, |store| {
        assert_eq!(store.event(other.id).unwrap().unwrap().position, Position(10));
        assert_eq!(found(store, by_type(&["Other"])), [10]);
    });
}

/// What is removed fails no condition, and what is kept fails it as before.
pub fn conditions_see_what_is_kept(subject: &dyn Subject) {
    let store = open(subject);
    fill(&*store);
    remove(&*store, "order", 6);
    let store = reopen(subject, store);
    for filter in [by_tag(&["of:order-2"]), by_stream(&["order-2"])] {
        store.append(guarded(event("After", ""), fail_if(filter, 0))).wait().unwrap();
    }
    for (filter, at) in [(by_tag(&["of:order-1"]), 7), (by_type(&["T"]), 8), (by_stream(&["stock-1"]), 2)] {
        let error = append_error_of(&*store, guarded(event("After", ""), fail_if(filter, 0)));
        assert!(matches!(error, AppendError::ConditionFailed { position, .. } if position == Position(at)), "{error}");
    }
}

/// Limits count what is kept, and a page that meets nothing but what is gone goes on behind it.
pub fn pages_go_over_what_is_gone(subject: &dyn Subject) {
    let store = open(subject);
    for number in 0..60 {
        append(&*store, vec![event("T", if number % 20 == 19 { "kept-1" } else { "order-1" })]);
    }
    remove(&*store, "order", 50);
    also_reopened(subject, store, |store| {
        let page = store.read(&ReadRequest { limit: 3, ..ReadRequest::default() }).unwrap();
        assert_eq!((positions_of(&page), page.through, page.complete), (vec![20, 40, 50], Position(50), false));
        let request = ReadRequest {
            limit: 2,
            direction: Direction::Backwards,
            before: Some(Position(50)),
            ..ReadRequest::default()
        };
        let page = store.read(&request).unwrap();
        assert_eq!((positions_of(&page), page.complete), (vec![40, 20], true));
        let page = store.read(&ReadRequest { limit: 0, before: Some(Position(20)), ..ReadRequest::default() }).unwrap();
        assert!(page.complete, "nothing is left there");
    });
}

/// A page says up to where events may be missing, if the range and the query may ask for such.
pub fn readers_are_told_what_is_gone(subject: &dyn Subject) {
    let store = open(subject);
    fill(&*store);
    remove(&*store, "order", 4);
    remove(&*store, "stock", 3);
    also_reopened(subject, store, |store| {
        let told = |request: ReadRequest| store.read(&request).unwrap().removed_before.map(|before| before.0);
        let of = |names: &[&str]| ReadRequest { query: by_stream(names).into(), ..ReadRequest::default() };
        assert_eq!(told(ReadRequest::default()), Some(4));
        assert_eq!(told(ReadRequest { query: by_type(&["T"]).into(), ..ReadRequest::default() }), Some(4));
        assert_eq!(
            (told(of(&["stock-1"])), told(of(&["stock-*", "order-9"])), told(of(&["sto*"]))),
            (Some(3), Some(4), Some(3))
        );
        assert_eq!((told(of(&["orders-1"])), told(of(&["other*"]))), (None, None));
        for (after, expected) in [(1, Some(4)), (2, Some(4)), (3, None), (7, None), (u64::MAX, None)] {
            assert_eq!(
                told(ReadRequest { after: Position(after), ..ReadRequest::default() }),
                expected,
                "after {after}"
            );
        }
        let before = |before| ReadRequest {
            before: Some(Position(before)),
            direction: Direction::Backwards,
            ..ReadRequest::default()
        };
        assert_eq!((told(before(2)), told(before(1)), told(before(0))), (Some(4), None, None));
    });
}

/// Whoever asks for all events or none is told which are gone and what to do.
pub fn a_complete_read_refuses_what_is_gone(subject: &dyn Subject) {
    let store = open(subject);
    fill(&*store);
    remove(&*store, "order", 4);
    let request = ReadRequest { complete: true, ..ReadRequest::default() };
    let error = store.read(&request).unwrap_err();
    assert!(
        matches!(&error, StoreError::Removed { category, before } if category == "order" && *before == Position(4))
    );
    assert_eq!(error.class(), ErrorClass::NotFound);
    assert!(error.to_string().contains("after=3"), "{error}");
    assert_eq!(
        positions_of(&store.read(&ReadRequest { after: Position(3), ..request.clone() }).unwrap()),
        [4, 5, 6, 7, 8]
    );
    let others = ReadRequest { query: by_stream(&["stock-1"]).into(), ..request };
    assert_eq!(positions_of(&store.read(&others).unwrap()), [2]);
}

/// Counts are of what was ever appended; types are counted at least as far as they are kept.
pub fn the_log_counts_what_it_ever_held(subject: &dyn Subject) {
    let store = open(subject);
    fill(&*store);
    let before = store.counts().unwrap();
    remove(&*store, "order", 9);
    also_reopened(subject, store, |store| {
        assert_eq!(store.counts().unwrap(), before);
        let types = store.event_types().unwrap();
        assert!(types.len() == 1 && (3..=8).contains(&types[0].1), "{types:?}");
    });
}

/// The log is looked through by time as if nothing had been removed.
pub fn time_goes_over_what_is_gone(subject: &dyn Subject) {
    let clock = TestClock::at(0);
    let store = subject.open(clock.clone());
    for number in 1..=40 {
        clock.set(number * 10);
        append(&*store, vec![event("T", if number % 4 == 0 { "kept-1" } else { "order-1" })]);
    }
    remove(&*store, "order", 31);
    also_reopened(subject, store, |store| {
        for number in [1, 2, 7, 20, 30, 31, 33] {
            let request =
                ReadRequest { since_us: Some(number * 10), before: Some(Position(36)), ..ReadRequest::default() };
            let kept = |position: &u64| position.is_multiple_of(4) || *position >= 31;
            assert_eq!(found_within(store, request.clone()), (number..36).filter(kept).collect::<Vec<_>>());
            let page = store
                .read(&ReadRequest { since_us: None, before: None, until_us: Some(number * 10), ..request })
                .unwrap();
            assert_eq!(page.through, Position(number - 1), "as of the time of {number}");
        }
    });
}

/// A feed gives what is kept, once, and goes on.
pub fn feeds_go_over_what_is_gone(subject: &dyn Subject) {
    let store = open(subject);
    fill(&*store);
    remove(&*store, "order", 6);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let store = AsyncStore::new(store);
        let mut feed = store.subscribe(Query::all(), Position::START);
        let mut seen = Vec::new();
        while seen.last() != Some(&8) {
            seen.push(feed.next().await.unwrap().position.0);
        }
        assert_eq!(seen, [2, 4, 6, 7, 8]);
        store.remove(category("order"), Position(9)).await.unwrap();
        store.append(AppendRequest::unconditional(vec![event("T", "order-1")])).await.unwrap();
        assert_eq!(feed.next().await.unwrap().position, Position(9));
    });
}

/// The n-th newest event of a category, of those that are kept.
pub fn the_nth_newest_of_a_category_is_found(subject: &dyn Subject) {
    let store = open(subject);
    for number in 0..50 {
        append(&*store, vec![event("T", if number % 5 == 0 { "other-1" } else { "order-1" })]);
    }
    let of = |store: &dyn Store, newer| store.nth_newest(&category("order"), newer).unwrap().map(|found| found.0);
    let expected: Vec<_> = (1..=50).rev().filter(|position| position % 5 != 1).collect();
    assert_eq!(
        (0..41).map(|newer| of(&*store, newer)).collect::<Vec<_>>(),
        expected.iter().copied().map(Some).chain([None]).collect::<Vec<_>>()
    );
    remove(&*store, "order", 24);
    also_reopened(subject, store, |store| {
        for newer in 0..45 {
            let kept = expected.get(newer).filter(|position| **position >= 24).copied();
            assert_eq!(of(store, newer as u64), kept, "{newer} newer ones");
        }
        assert_eq!(of(store, u64::MAX), None);
        assert_eq!(store.nth_newest(&category("absent"), 0).unwrap(), None);
    });
}

/// State, progress and dead letters of plugins stay as they are.
pub fn plugins_keep_what_they_have(subject: &dyn Subject) {
    let store = open(subject);
    fill(&*store);
    let mut work = work("p", 1, 3);
    work.state.push(put("k", "v"));
    work.dead_letters.push(DeadLetterChange::Put(letter(3, "bad")));
    store.commit(work).wait().unwrap();
    remove(&*store, "order", 9);
    also_reopened(subject, store, |store| {
        assert_eq!(store.progress(&owner("p"), 0).unwrap().unwrap().checkpoint, Position(3));
        assert_eq!(store.state_get(&owner("p"), "k").unwrap(), Some(b"v".to_vec()));
        assert_eq!(store.dead_letter(&owner("p"), Position(3)).unwrap(), Some(letter(3, "bad")));
        assert_eq!(everything(store).len(), 3);
    });
}
