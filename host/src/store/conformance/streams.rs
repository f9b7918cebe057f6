//! Promises about streams as a whole: where they end, listing them, deleting them.

use std::collections::BTreeMap;

use super::Subject;
use super::samples::{
    also_reopened, append, append_error, append_error_of, by_stream, by_type, deletion, event, everything, expect,
    found, id, open, owner, places, reopen, stream, version, version_of, work,
};
use crate::error::ErrorClass;
use crate::event::{EventType, ExpectedVersion, InvalidEvent, PAGE_STREAMS_MAX, Position, StreamName, TOMBSTONE_TYPE};
use crate::store::{
    AppendError, AppendRequest, CommitError, Counts, Store, StreamDeletion, StreamHead, StreamPage, UnitOfWork,
};

fn head(version_of: u64, position: u64, deleted: bool) -> StreamHead {
    StreamHead { version: version(version_of), position: Position(position), deleted }
}

fn delete_error(store: &dyn Store, deletion: StreamDeletion) -> AppendError {
    let head = store.head();
    let error = store.delete_stream(deletion).wait().unwrap_err();
    assert_eq!(store.head(), head, "a refused deletion moved the head");
    error
}

/// The end of a stream is its last event's version and position.
pub fn a_stream_head_is_its_last_event(subject: &dyn Subject) {
    let store = open(subject);
    assert_eq!(store.stream_head(&stream("a")).unwrap(), None);
    append(&*store, vec![event("T", "a"), event("T", ""), event("T", "b"), event("T", "a")]);
    also_reopened(subject, store, |store| {
        assert_eq!(store.stream_head(&stream("a")).unwrap(), Some(head(2, 4, false)));
        assert_eq!(store.stream_head(&stream("b")).unwrap(), Some(head(1, 3, false)));
        for absent in ["c", "A", "aa"] {
            assert_eq!(store.stream_head(&stream(absent)).unwrap(), None);
        }
    });
}

/// Streams are listed in the order of their names, by prefix, in pages of any size, deleted ones with their flag.
pub fn streams_are_listed_in_order(subject: &dyn Subject) {
    let store = open(subject);
    assert_eq!(store.streams("", None, 10).unwrap(), StreamPage::default());
    let names = ["order-2", "b", "order-10", "order-1", "Order-1", "orders", "é", "order-1"];
    append(&*store, names.iter().map(|name| event("T", name)).collect());
    store.delete_stream(deletion("order-10")).wait().unwrap();
    also_reopened(subject, store, |store| {
        let listed = |prefix: &str, after: Option<&str>, limit| {
            let page = store.streams(prefix, after.map(stream).as_ref(), limit).unwrap();
            let names: Vec<_> = page.streams.iter().map(|(name, _)| name.to_string()).collect();
            (names.join(" "), page.next.map(String::from))
        };
        let all = "Order-1 b order-1 order-10 order-2 orders é".to_owned();
        assert_eq!(listed("", None, 100), (all.clone(), None));
        assert_eq!(listed("", None, usize::MAX), (all, None));
        assert_eq!(listed("order-", None, 9), ("order-1 order-10 order-2".to_owned(), None));
        assert_eq!(listed("order-1", None, 9).0, "order-1 order-10");
        assert_eq!(listed("order", None, 2), ("order-1 order-10".to_owned(), Some("order-10".to_owned())));
        assert_eq!(listed("order", Some("order-10"), 2), ("order-2 orders".to_owned(), None));
        assert_eq!(listed("order-", Some("b"), 9).0, "order-1 order-10 order-2", "after may lie before the prefix");
        assert_eq!(listed("order", Some("order-11"), 9).0, "order-2 orders", "after need not be a stream");
        assert_eq!(listed("order-", Some("p"), 9), (String::new(), None));
        assert_eq!(listed("z", None, 9), (String::new(), None));
        assert_eq!(listed("", None, 0), (String::new(), None));
        let page = store.streams("order-1", None, 9).unwrap();
        let heads: Vec<_> = page.streams.into_iter().map(|(_, head)| head).collect();
        assert_eq!(heads, [head(2, 8, false), head(2, 9, true)]);
    });
}

/// A page of streams is bounded, whatever is asked for.
pub fn a_page_of_streams_is_bounded(subject: &dyn Subject) {
    let store = open(subject);
    for half in 0..2 {
        let name = |number| format!("s-{:05}", 6_000 * half + number);
        append(&*store, (0..6_000).map(|number| event("T", &name(number))).collect());
    }
    let page = store.streams("", None, usize::MAX).unwrap();
    assert_eq!(page.streams.len(), PAGE_STREAMS_MAX);
    let rest = store.streams("", page.next.as_ref(), usize::MAX).unwrap();
    assert_eq!((rest.streams.len(), rest.next), (12_000 - PAGE_STREAMS_MAX, None));
    assert_eq!(rest.streams[0].0, stream("s-10000"));
    assert_eq!(store.counts().unwrap(), Counts { events: 12_000, streams: 12_000 });
}

/// Types are listed in the order of their names, with how many events have each.
pub fn event_types_are_counted(subject: &dyn Subject) {
    let store = open(subject);
    assert_eq!(store.event_types().unwrap(), []);
    assert_eq!(store.counts().unwrap(), Counts::default());
    append(&*store, ["b", "a", "b", "B"].map(|name| event(name, "s")).to_vec());
    append(&*store, vec![event("b", ""), event("é", "t")]);
    store.delete_stream(deletion("t")).wait().unwrap();
    append_error(&*store, vec![event("never", "t")]);
    also_reopened(subject, store, |store| {
        let types = [(TOMBSTONE_TYPE, 1), ("B", 1), ("a", 1), ("b", 3), ("é", 1)];
        let types = types.map(|(name, count)| (EventType::new(name).unwrap(), count));
        assert_eq!(store.event_types().unwrap(), types);
        assert_eq!(store.counts().unwrap(), Counts { events: 7, streams: 2 });
    });
}

/// After its deletion a stream takes nothing more: no append, no deletion, no expectation but `Any`.
pub fn a_deleted_stream_takes_nothing_more(subject: &dyn Subject) {
    use ExpectedVersion::{Any, Exact, Exists, NoStream};
    let store = open(subject);
    append(&*store, vec![event("T", "a"), event("T", "a")]);
    assert_eq!(places(&store.delete_stream(deletion("a")).wait().unwrap()), [(3, 3)]);
    let gone = |error: AppendError| {
        assert!(matches!(&error, AppendError::StreamDeleted { stream, version }
            if stream.as_str() == "a" && version.0 == 3));
        assert_eq!(error.class(), ErrorClass::Conflict);
    };
    also_reopened(subject, store, |store| {
        assert_eq!(store.stream_head(&stream("a")).unwrap(), Some(head(3, 3, true)));
        gone(append_error(store, vec![event("T", "b"), event("T", "a")]));
        for expected in [Any, NoStream, Exists, Exact(version(2)), Exact(version(3)), Exact(version(0))] {
            let mut request = AppendRequest::unconditional(vec![event("T", "a")]);
            request.expected = vec![expect("a", expected)];
            gone(append_error_of(store, request.clone()));
            request.events = vec![event("T", "other")];
            match expected {
                Any => drop(store.append(request).wait().unwrap()),
                _ => gone(append_error_of(store, request)),
            }
            gone(delete_error(store, StreamDeletion { expected, ..deletion("a") }));
        }
        assert_eq!(version_of(store, "b"), version(0));
    });
}

/// Deleting removes nothing: the events stay where they are, and the tombstone is one of them.
pub fn a_tombstone_is_an_event_like_others(subject: &dyn Subject) {
    let store = open(subject);
    append(&*store, vec![event("T", "a-1"), event("T", "b")]);
    let metadata = BTreeMap::from([("actor".to_owned(), "me".to_owned())]);
    let deletion = StreamDeletion { id: id(7), metadata: metadata.clone(), ..deletion("a-1") };
    let mut watch = store.watch_head();
    watch.borrow_and_update();
    let deleted = store.delete_stream(deletion).wait().unwrap();
    assert_eq!((places(&deleted), deleted.repeated), (vec![(3, 2)], false));
    assert_eq!(*watch.borrow_and_update(), Position(3));
    drop(watch);
    append(&*store, vec![event("T", "a-2")]);
    let store = reopen(subject, store);
    let tombstone = store.event(id(7)).unwrap().unwrap();
    assert!(tombstone.is_tombstone() && tombstone.json().is_some());
    assert_eq!((&tombstone.stream, tombstone.metadata), (&Some(stream("a-1")), metadata));
    let all: Vec<_> = everything(&*store).iter().map(|event| event.is_tombstone()).collect();
    assert_eq!(all, [false, false, true, false]);
    assert_eq!(found(&*store, by_stream(&["a-1"])), [1, 3]);
    assert_eq!(found(&*store, by_stream(&["a-*"])), [1, 3, 4]);
    assert_eq!(found(&*store, by_type(&[TOMBSTONE_TYPE])), [3]);
}

/// A deletion requires what it expects of the stream, and a stream to delete.
pub fn a_deletion_checks_the_stream(subject: &dyn Subject) {
    use ExpectedVersion::{Any, Exact, Exists, NoStream};
    let store = open(subject);
    append(&*store, vec![event("T", "a"), event("T", "a")]);
    let expecting = |name, expected| StreamDeletion { expected, ..deletion(name) };
    for expected in [NoStream, Exact(version(0)), Exact(version(1)), Exact(version(3))] {
        let error = delete_error(&*store, expecting("a", expected));
        assert!(matches!(error, AppendError::WrongExpectedVersion { actual, .. } if actual == version(2)), "{error}");
    }
    for expected in [Any, NoStream] {
        let error = delete_error(&*store, expecting("none", expected));
        assert!(matches!(&error, AppendError::NoSuchStream { stream } if stream.as_str() == "none"), "{error}");
        assert_eq!(error.class(), ErrorClass::NotFound);
    }
    let error = delete_error(&*store, expecting("none", Exists));
    assert!(matches!(error, AppendError::WrongExpectedVersion { .. }), "{error}");
    let metadata = BTreeMap::from([("\n".to_owned(), String::new())]);
    let error = delete_error(&*store, StreamDeletion { metadata, ..deletion("a") });
    assert!(matches!(error, AppendError::InvalidEvent { index: 0, .. }), "{error}");
    assert_eq!(places(&store.delete_stream(expecting("a", Exact(version(2)))).wait().unwrap()), [(3, 3)]);
    let own = delete_error(&*store, deletion("$commands"));
    assert!(matches!(own, AppendError::InvalidEvent { reason: InvalidEvent::ReservedStream { .. }, .. }), "{own}");
}

/// A deletion sent again with the same id answers where the tombstone stands; an id that is taken is refused.
pub fn a_repeated_deletion_answers_the_old_place(subject: &dyn Subject) {
    let store = open(subject);
    let taken = append(&*store, vec![event("T", "a")]).events[0].id;
    let again = StreamDeletion { expected: ExpectedVersion::Exact(version(1)), ..deletion("a") };
    let first = store.delete_stream(again.clone()).wait().unwrap();
    also_reopened(subject, store, |store| {
        let second = store.delete_stream(again.clone()).wait().unwrap();
        assert_eq!((&second.events, second.repeated, store.head()), (&first.events, true, Position(2)));
        let other =
            delete_error(store, StreamDeletion { metadata: [("k".into(), "v".into())].into(), ..again.clone() });
        assert!(matches!(other, AppendError::IdConflict { position: Position(2), .. }), "{other}");
        let taken = delete_error(store, StreamDeletion { id: taken, ..again.clone() });
        assert!(matches!(taken, AppendError::IdConflict { position: Position(1), .. }), "{taken}");
    });
}

/// Of a deletion and appends on their way at once, those before it are in the stream and those after are refused.
pub fn nothing_comes_after_a_deletion(subject: &dyn Subject) {
    let store = open(subject);
    append(&*store, vec![event("T", "a")]);
    let one = |number| AppendRequest::unconditional(vec![event("T", if number % 2 == 0 { "a" } else { "b" })]);
    let before: Vec<_> = (0..6).map(|number| store.append(one(number))).collect();
    let deleted = store.delete_stream(deletion("a"));
    let after: Vec<_> = (0..6).map(|number| store.append(one(number))).collect();
    assert!(before.into_iter().all(|pending| pending.wait().is_ok()));
    assert_eq!(places(&deleted.wait().unwrap()), [(8, 5)]);
    let after: Vec<_> = after.into_iter().map(|pending| pending.wait().is_ok()).collect();
    assert_eq!(after, [false, true, false, true, false, true]);
    assert_eq!(store.stream_head(&stream("a")).unwrap(), Some(head(5, 8, true)));
}

/// Only a deletion writes a tombstone, and nobody writes other types, nor streams, of the host's own.
pub fn types_of_the_host_cannot_be_appended(subject: &dyn Subject) {
    let store = open(subject);
    append(&*store, vec![event("T", "a")]);
    for reserved in [TOMBSTONE_TYPE, "$", "$anything"] {
        let reason = |error: &AppendError| {
            matches!(error, AppendError::InvalidEvent { index: 1, reason: InvalidEvent::ReservedType { event_type } }
                if event_type.as_str() == reserved)
        };
        let events = vec![event("T", "a"), event(reserved, "a")];
        assert!(reason(&append_error(&*store, events.clone())), "{reserved}");
        let error = store.commit(UnitOfWork { events, ..work("p", 1, 1) }).wait().unwrap_err();
        assert!(matches!(&error, CommitError::Append(error) if reason(error)), "{reserved}");
    }
    for reserved in ["$commands-accepted", "$host"] {
        let error = append_error(&*store, vec![event("T", reserved)]);
        assert!(
            matches!(&error, AppendError::InvalidEvent { reason: InvalidEvent::ReservedStream { .. }, .. }),
            "{error}"
        );
        let error =
            store.commit(UnitOfWork { events: vec![event("T", reserved)], ..work("p", 1, 1) }).wait().unwrap_err();
        assert!(matches!(&error, CommitError::Append(AppendError::InvalidEvent { .. })), "{error}");
    }
    assert_eq!((store.head(), store.stream_head(&stream("a")).unwrap()), (Position(1), Some(head(1, 1, false))));
}

/// A unit of work that appends to a deleted stream is refused whole.
pub fn units_of_work_respect_deletions(subject: &dyn Subject) {
    let store = open(subject);
    let stored = event("T", "a");
    append(&*store, vec![stored.clone()]);
    store.delete_stream(deletion("a")).wait().unwrap();
    let unit = |events| UnitOfWork { events, ..work("p", 1, 1) };
    let error = store.commit(unit(vec![event("T", "b"), event("T", "a")])).wait().unwrap_err();
    assert!(matches!(&error, CommitError::Append(AppendError::StreamDeleted { .. })), "{error}");
    assert_eq!((store.progress(&owner("p"), 0).unwrap(), version_of(&*store, "b")), (None, version(0)));
    let committed = store.commit(unit(vec![event("T", "b"), stored])).wait().unwrap();
    assert_eq!(places(&committed.appended.unwrap()), [(3, 1), (1, 1)], "what is stored keeps its place");
}

/// Names are any text within their bounds; those beyond, or with control characters, cannot be made.
pub fn streams_of_odd_names(subject: &dyn Subject) {
    let store = open(subject);
    let names = ["-", " ", "a b", "💥-1", "'; drop", "../x", &"n".repeat(255), "US$", "\u{FFFD}"];
    append(&*store, names.iter().map(|name| event("T", name)).collect());
    let store = reopen(subject, store);
    for (position, name) in (1..).zip(names) {
        assert_eq!(found(&*store, by_stream(&[name])), [position]);
        assert_eq!(store.stream_head(&stream(name)).unwrap(), Some(head(1, position, false)));
    }
    assert_eq!(store.streams("", None, 99).unwrap().streams.len(), names.len());
    for bad in ["", "a\u{0}", "a\u{85}", "line\n", "a*", &"n".repeat(256), &"n".repeat(10 << 10)] {
        assert!(StreamName::new(bad).is_err(), "{bad:?}");
    }
}
