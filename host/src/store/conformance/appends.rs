//! Promises about appending.

use std::collections::BTreeSet;
use std::thread;

use super::samples::{append, append_error, event, everything, expect, id, open, places, reopen, version, version_of};
use super::{Subject, TestClock};
use crate::event::{APPEND_EVENTS_MAX, DATA_BYTES_MAX, ExpectedVersion, NewEvent, Position, Tag};
use crate::store::{AppendError, AppendRequest};

/// Positions are dense from 1, and follow the order in which appends were acknowledged.
pub fn promise_2_one_order(subject: &dyn Subject) {
    let store = open(subject);
    assert_eq!(store.head(), Position::START);
    let mut last = 0;
    for size in [1, 3, 1, 40] {
        let appended = append(&*store, (0..size).map(|_| event("T", "")).collect());
        let positions: Vec<_> = appended.events.iter().map(|event| event.position.0).collect();
        assert!(positions.iter().copied().eq(last + 1..=last + size), "{positions:?} after {last}");
        last += size;
        assert_eq!((store.head().0, appended.last_position().0), (last, last));
    }
    let store = reopen(subject, store);
    assert_eq!(store.head().0, last);
    assert_eq!(append(&*store, vec![event("T", "")]).first_position().0, last + 1);
    assert!(everything(&*store).iter().map(|event| event.position.0).eq(1..=last + 1));
}

/// Versions are dense from 1 in each stream; events outside any stream have version 0.
pub fn versions_are_dense_in_each_stream(subject: &dyn Subject) {
    let store = open(subject);
    let appended = append(&*store, vec![event("T", "a"), event("T", "b"), event("T", "a"), event("T", "")]);
    assert_eq!(places(&appended), [(1, 1), (2, 1), (3, 2), (4, 0)]);
    let store = reopen(subject, store);
    let appended = append(&*store, vec![event("T", "b"), event("T", "a"), event("T", "a")]);
    assert_eq!(places(&appended), [(5, 2), (6, 3), (7, 4)]);
    assert_eq!(version_of(&*store, "a"), version(4));
    assert_eq!(version_of(&*store, "absent"), version(0));
}

/// An append over several streams happens whole or not at all.
pub fn an_append_over_streams_is_atomic(subject: &dyn Subject) {
    let store = open(subject);
    append(&*store, vec![event("T", "a")]);
    let request = AppendRequest {
        events: vec![event("T", "b"), event("T", "a"), event("T", "c")],
        expected: vec![expect("b", ExpectedVersion::NoStream), expect("a", ExpectedVersion::NoStream)],
        ..AppendRequest::default()
    };
    assert!(store.append(request).wait().is_err());
    assert_eq!(store.head(), Position(1));
    for name in ["b", "c"] {
        assert_eq!(version_of(&*store, name), version(0));
    }
    assert_eq!(everything(&*reopen(subject, store)).len(), 1);
}

/// All four expectations, met and not met.
pub fn expected_versions_hold_or_nothing_is_appended(subject: &dyn Subject) {
    use ExpectedVersion::{Any, Exact, Exists, NoStream};
    let store = open(subject);
    append(&*store, vec![event("T", "two"), event("T", "two")]);
    let cases = [
        ("two", Any, true),
        ("none", Any, true),
        ("two", NoStream, false),
        ("new", NoStream, true),
        ("two", Exists, true),
        ("absent", Exists, false),
        ("two", Exact(version(3)), false),
        ("two", Exact(version(5)), false),
        ("two", Exact(version(4)), true),
        ("absent", Exact(version(0)), true),
        ("absent", Exact(version(0)), false),
    ];
    for (name, expected, holds) in cases {
        let before = version_of(&*store, name);
        let request = AppendRequest {
            events: vec![event("T", name)],
            expected: vec![expect(name, expected)],
            ..AppendRequest::default()
        };
        match store.append(request).wait() {
            Ok(_) => assert!(holds, "{name} at {before} met {expected}"),
            Err(AppendError::WrongExpectedVersion { stream, expected: told, actual }) => {
                assert!(!holds, "{name} at {before} did not meet {expected}");
                assert_eq!((stream.as_str(), told, actual), (name, expected, before));
            }
            Err(error) => panic!("{error}"),
        }
        assert_eq!(version_of(&*store, name).0, before.0 + u64::from(holds));
    }
}

/// An append may depend on a stream that it does not write.
pub fn an_expectation_may_name_a_stream_without_events(subject: &dyn Subject) {
    let store = open(subject);
    append(&*store, vec![event("T", "account-1")]);
    let request = |expected| AppendRequest {
        events: vec![event("T", "order-1")],
        expected: vec![expect("account-1", ExpectedVersion::Exact(version(expected)))],
        ..AppendRequest::default()
    };
    assert!(store.append(request(0)).wait().is_err());
    assert_eq!(places(&store.append(request(1)).wait().unwrap()), [(2, 1)]);
    assert_eq!(version_of(&*store, "account-1"), version(1));
}

/// Appending stored ids with the same content writes nothing, whatever is expected.
pub fn a_repeated_append_answers_the_old_places(subject: &dyn Subject) {
    let store = open(subject);
    let request = AppendRequest {
        events: vec![event("T", "a"), event("T", "b")],
        expected: vec![expect("a", ExpectedVersion::NoStream)],
        ..AppendRequest::default()
    };
    let first = store.append(request.clone()).wait().unwrap();
    append(&*store, vec![event("T", "a")]);
    let store = reopen(subject, store);
    let again = store.append(request.clone()).wait().unwrap();
    assert!(again.repeated && !first.repeated);
    assert_eq!(again.events, first.events);
    let one = AppendRequest {
        events: vec![request.events[1].clone()],
        expected: request.expected,
        ..AppendRequest::default()
    };
    assert_eq!(store.append(one).wait().unwrap().events, first.events[1..], "a part of it is a repetition too");
    assert_eq!(store.head(), Position(3));
    // Two that are on their way at once may end up in one transaction.
    let twin = AppendRequest::unconditional(vec![event("T", "c")]);
    let (left, right) = (store.append(twin.clone()), store.append(twin));
    let (left, right) = (left.wait().unwrap(), right.wait().unwrap());
    assert_eq!((left.events, left.repeated, right.repeated), (right.events, false, true));
}

/// A stored id with any other content is refused, with the place of the stored event.
pub fn an_id_with_other_content_is_a_conflict(subject: &dyn Subject) {
    let store = open(subject);
    let stored = event("T", "a");
    append(&*store, vec![event("T", ""), stored.clone()]);
    let changes: [fn(&mut NewEvent); 5] = [
        |event| event.data = b"2".to_vec(),
        |event| event.stream = None,
        |event| event.tags = vec![Tag::new("x").unwrap()],
        |event| event.schema_version = 2,
        |event| event.metadata = [("k".to_owned(), "v".to_owned())].into(),
    ];
    for change in changes {
        let mut other = stored.clone();
        change(&mut other);
        match append_error(&*store, vec![event("T", ""), other]) {
            AppendError::IdConflict { index: 1, id, position } => assert_eq!((id, position.0), (stored.id, 2)),
            error => panic!("{error}"),
        }
    }
}

/// An append of which some ids are stored and others are not is neither a retry nor new.
pub fn a_partly_stored_append_is_refused(subject: &dyn Subject) {
    let store = open(subject);
    let stored = event("T", "a");
    append(&*store, vec![stored.clone()]);
    match append_error(&*store, vec![event("T", "a"), stored.clone()]) {
        AppendError::PartlyStored { index: 1, id, position } => assert_eq!((id, position.0), (stored.id, 1)),
        error => panic!("{error}"),
    }
}

/// Empty, doubled, oversized and malformed appends are refused before anything is written.
pub fn malformed_appends_are_refused(subject: &dyn Subject) {
    let store = open(subject);
    assert!(matches!(append_error(&*store, Vec::new()), AppendError::Empty));
    let twin = event("T", "");
    let doubled = append_error(&*store, vec![twin.clone(), event("T", ""), twin]);
    assert!(matches!(doubled, AppendError::DuplicateId { first: 0, second: 2, .. }));
    let many = append_error(&*store, vec![event("T", ""); APPEND_EVENTS_MAX + 1]);
    assert!(matches!(many, AppendError::TooManyEvents { count } if count == APPEND_EVENTS_MAX + 1));
    let sized = |bytes| NewEvent { data: vec![b'1'; bytes], ..event("T", "") };
    let large = append_error(&*store, vec![event("T", ""), sized(DATA_BYTES_MAX + 1)]);
    assert!(matches!(large, AppendError::InvalidEvent { index: 1, .. }));
    let tagged = NewEvent { tags: vec![Tag::new("t").unwrap(); 65_536], ..event("T", "") };
    let error = append_error(&*store, vec![tagged]);
    assert!(error.to_string().contains("65536 tags; at most 64"), "{error}");
    let heavy = append_error(&*store, (0..17).map(|_| sized(DATA_BYTES_MAX)).collect());
    assert!(matches!(heavy, AppendError::TooLarge { .. }));
    assert_eq!(append(&*store, vec![sized(DATA_BYTES_MAX)]).first_position(), Position(1));
    assert_eq!(everything(&*reopen(subject, store))[0].data.len(), DATA_BYTES_MAX);
}

/// Time never goes back with rising positions, even if the clock does, and across restarts.
pub fn timestamps_never_decrease(subject: &dyn Subject) {
    let clock = TestClock::at(5_000);
    let store = subject.open(clock.clone());
    append(&*store, vec![event("T", ""), event("T", "")]);
    clock.set(4_000);
    append(&*store, vec![event("T", "")]);
    clock.set(6_000);
    append(&*store, vec![event("T", "")]);
    let clock = TestClock::at(10);
    let store = subject.reopen(store, clock.clone());
    append(&*store, vec![event("T", "")]);
    let times: Vec<_> = everything(&*store).iter().map(|event| event.timestamp_us).collect();
    assert!(times.is_sorted() && times[..4] == [5_000, 5_000, 5_000, 6_000] && times[4] >= 6_000, "{times:?}");
}

/// Whatever many threads append at once is stored once, whole, each append in its own order.
pub fn concurrent_appenders_lose_nothing(subject: &dyn Subject) {
    const THREADS: u128 = 8;
    const APPENDS: u128 = 25;
    let store = open(subject);
    let appended: Vec<_> = thread::scope(|scope| {
        let run = |thread: u128| {
            let event = |number| NewEvent { id: id(thread << 64 | number), ..event("T", &format!("s-{thread}")) };
            let append = |number| append(&*store, vec![event(2 * number), event(2 * number + 1)]);
            (0..APPENDS).map(append).collect::<Vec<_>>()
        };
        let threads: Vec<_> = (1..=THREADS).map(|thread| scope.spawn(move || run(thread))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let store = reopen(subject, store);
    let stored = everything(&*store);
    assert_eq!(stored.len() as u128, 2 * THREADS * APPENDS);
    let ids: BTreeSet<_> = stored.iter().map(|event| event.id).collect();
    assert_eq!(ids.len(), stored.len());
    for appended in appended {
        let [first, second] = &appended.events[..] else { panic!("two events were appended") };
        assert_eq!(second.position, first.position.next());
        assert_eq!(second.version, first.version.next());
        for place in [first, second] {
            let event = store.event(place.id).unwrap().unwrap();
            assert_eq!((event.position, event.version), (place.position, place.version));
        }
    }
}

/// Of many appends that expect the same version, exactly one happens.
pub fn an_expected_version_admits_one_of_many(subject: &dyn Subject) {
    let store = open(subject);
    for round in 0..10 {
        let request = || AppendRequest {
            events: vec![event("T", "a")],
            expected: vec![expect("a", ExpectedVersion::Exact(version(round)))],
            ..AppendRequest::default()
        };
        let pending: Vec<_> = (0..8).map(|_| store.append(request())).collect();
        let admitted = pending.into_iter().filter_map(|pending| pending.wait().ok()).count();
        assert_eq!((admitted, version_of(&*store, "a")), (1, version(round + 1)));
    }
}

/// The head is at the last event when the append is answered, and those who watch it are told.
pub fn the_head_moves_with_appends(subject: &dyn Subject) {
    let store = open(subject);
    let mut watch = store.watch_head();
    assert_eq!(*watch.borrow_and_update(), Position::START);
    append(&*store, vec![event("T", ""), event("T", "")]);
    assert!(watch.has_changed().unwrap());
    assert_eq!(*watch.borrow_and_update(), Position(2));
    append_error(&*store, Vec::new());
    assert!(!watch.has_changed().unwrap());
    drop(watch);
    let store = reopen(subject, store);
    assert_eq!(*store.watch_head().borrow(), Position(2));
}

/// What is read is what was appended, every part of it.
pub fn everything_of_an_event_is_kept(subject: &dyn Subject) {
    let store = open(subject);
    let plain = event("T", "");
    let mut full = event("Täglich", "päckchen-1");
    full.tags = ["b", "a", "b"].iter().map(|tag| Tag::new(*tag).unwrap()).collect();
    full.data = (0..=255).collect();
    full.content_type = Some("application/octet-stream".to_owned());
    full.metadata = [("correlation_id", "1"), ("empty", "")].map(|(key, value)| (key.into(), value.into())).into();
    full.schema_version = u32::MAX;
    append(&*store, vec![plain.clone(), full.clone()]);
    let before = everything(&*store);
    assert!(plain.same_content(&before[0]) && full.same_content(&before[1]));
    assert_eq!((before[1].timestamp_us, before[1].version), (1_000, version(1)));
    assert_eq!(everything(&*reopen(subject, store)), before);
}
