//! Promises about reading.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::Subject;
use super::samples::{
    append, by_stream, by_tag, by_type, event, everything, found, id, open, patterns, positions_of, reopen, tagged,
    version,
};
use crate::error::ErrorClass;
use crate::event::{Filter, NewEvent, Position, QUERY_ITEMS_MAX, Query, RecordedEvent};
use crate::store::{Direction, ReadRequest};

/// An unfiltered read gives every event once, in both directions, in pages of any size.
pub fn pages_of_everything_forwards_and_backwards(subject: &dyn Subject) {
    let store = open(subject);
    assert_eq!(found(&*store, Query::all()), [0; 0]);
    for size in [1, 7, 2] {
        append(&*store, (0..size).map(|_| event("T", "")).collect());
    }
    assert_eq!(found(&*store, Query::all()), (1..=10).collect::<Vec<_>>());
    let store = reopen(subject, store);
    assert_eq!(found(&*store, Query::all()), (1..=10).collect::<Vec<_>>());
    let request = ReadRequest { after: Position(2), before: Some(Position(6)), ..ReadRequest::default() };
    let page = store.read(&request).unwrap();
    assert_eq!((positions_of(&page), page.through, page.head), (vec![3, 4, 5], Position(5), Position(10)));
    let page = store.read(&ReadRequest { direction: Direction::Backwards, ..request }).unwrap();
    assert_eq!((positions_of(&page), page.through, page.complete), (vec![5, 4, 3], Position(3), true));
}

/// A stream, several, those of a category, those that begin alike; from a version on.
pub fn reads_by_stream(subject: &dyn Subject) {
    let store = open(subject);
    let names = ["order-1", "order-11", "", "order-1", "orders", "payment-1", "order-1", "order-2"];
    append(&*store, names.iter().map(|name| event("T", name)).collect());
    let store = reopen(subject, store);
    assert_eq!(found(&*store, by_stream(&["order-1"])), [1, 4, 7]);
    assert_eq!(found(&*store, by_stream(&["order-1", "payment-1", "order-1"])), [1, 4, 6, 7]);
    assert_eq!(found(&*store, by_stream(&["order-*"])), [1, 2, 4, 7, 8]);
    assert_eq!(found(&*store, by_stream(&["order-1*", "pay*"])), [1, 2, 4, 6, 7]);
    assert_eq!(found(&*store, by_stream(&["order*"])), [1, 2, 4, 5, 7, 8]);
    assert_eq!(found(&*store, by_stream(&["*"])), [1, 2, 4, 5, 6, 7, 8]);
    assert_eq!(found(&*store, by_stream(&["order-3", "-*"])), [0; 0]);
    let later = |after, direction| {
        let filter = by_stream(&["order-1"]);
        let request =
            ReadRequest { query: filter.into(), after_version: version(after), direction, ..ReadRequest::default() };
        positions_of(&store.read(&request).unwrap())
    };
    assert_eq!(later(1, Direction::Forwards), [4, 7]);
    assert_eq!(later(1, Direction::Backwards), [7, 4]);
    assert_eq!(later(3, Direction::Forwards), [0; 0]);
    let request = ReadRequest { after_version: version(1), ..ReadRequest::default() };
    assert_eq!(positions_of(&store.read(&request).unwrap()), [4, 7], "versions above 1, in any stream");
}

/// A type, several, those that begin alike.
pub fn reads_by_type(subject: &dyn Subject) {
    let store = open(subject);
    let names = ["Placed", "Paid", "Placed", "PaidBack", "Shipped", "Paid"];
    append(&*store, names.iter().map(|name| event(name, "")).collect());
    assert_eq!(found(&*store, by_type(&["Paid"])), [2, 6]);
    assert_eq!(found(&*store, by_type(&["Paid*"])), [2, 4, 6]);
    assert_eq!(found(&*store, by_type(&["P*", "Paid"])), [1, 2, 3, 4, 6]);
    assert_eq!(found(&*store, by_type(&["Shipped", "Paid"])), [2, 5, 6]);
    assert_eq!(found(&*store, by_type(&["*"])), [1, 2, 3, 4, 5, 6]);
    assert_eq!(found(&*store, by_type(&["Pai"])), [0; 0]);
}

/// All of the tags are required, whatever their order.
pub fn reads_by_tag(subject: &dyn Subject) {
    let store = open(subject);
    let tags: [&[&str]; 5] = [&["a"], &["b", "a"], &[], &["b"], &["a", "a", "c", "b"]];
    append(&*store, tags.iter().map(|tags| tagged("T", tags)).collect());
    assert_eq!(found(&*store, by_tag(&["a"])), [1, 2, 5]);
    assert_eq!(found(&*store, by_tag(&["a", "b"])), [2, 5]);
    assert_eq!(found(&*store, by_tag(&["c", "absent"])), [0; 0]);
}

/// Types, streams and tags of one filter must all match.
pub fn filters_combine(subject: &dyn Subject) {
    let store = open(subject);
    let kinds = [("A", "s-1", "x"), ("B", "s-1", "x"), ("A", "s-2", "x"), ("A", "s-1", "y"), ("A", "", "x")];
    let make = |(event_type, stream, tag): (&str, &str, &str)| NewEvent {
        tags: by_tag(&[tag]).tags,
        ..event(event_type, stream)
    };
    append(&*store, kinds.into_iter().cycle().take(50).map(make).collect());
    let filter = Filter { types: patterns(&["A"]), streams: patterns(&["s-1", "s-9"]), ..by_tag(&["x"]) };
    assert_eq!(found(&*store, filter.clone()), (0..10).map(|round| 1 + 5 * round).collect::<Vec<_>>());
    let all: Vec<_> = everything(&*store).into_iter().filter(|event| filter.matches(event)).collect();
    assert_eq!(all.len(), 10);
}

/// Items of a query are alternatives: their order changes nothing, and an event that matches several comes once.
pub fn items_of_a_query_are_alternatives(subject: &dyn Subject) {
    let store = open(subject);
    let make = |number: usize| NewEvent {
        stream: event("T", ["s-1", "s-2", "t-1"][number % 3]).stream,
        ..tagged(["A", "B", "C", "D"][number % 4], &[["x"], ["y"], ["z"]][number % 5 % 3])
    };
    append(&*store, (0..60).map(make).collect());
    let store = reopen(subject, store);
    let mut items = vec![
        Filter { types: patterns(&["A"]), ..by_tag(&["x"]) },
        by_stream(&["s-1", "t-*"]),
        Filter { streams: patterns(&["s-*"]), ..by_type(&["A", "B*"]) },
        by_tag(&["absent"]),
    ];
    let matching = |event: &RecordedEvent| items.iter().any(|item| item.matches(event));
    let all = everything(&*store);
    let expected: Vec<_> = all.iter().filter(|event| matching(event)).map(|event| event.position.0).collect();
    assert!(expected.len() > 30 && expected.len() < 60);
    for _ in 0..items.len() {
        assert_eq!(found(&*store, items.clone()), expected);
        items.rotate_left(1);
    }
    items.extend(items.clone());
    assert_eq!(found(&*store, items.clone()), expected, "an item given twice changes nothing");
    assert_eq!(found(&*store, items.split_off(7)), found(&*store, items[3].clone()), "one item is a filter");
    assert_eq!(found(&*store, vec![by_tag(&["absent"]), Filter::all()]), (1..=60).collect::<Vec<_>>());
    assert_eq!(found(&*store, Query::all()), (1..=60).collect::<Vec<_>>());
}

/// A query over its bounds is refused by name, one within them is not.
pub fn queries_over_their_bounds_are_refused(subject: &dyn Subject) {
    let store = open(subject);
    append(&*store, vec![event("A", ""), event("B", "")]);
    let read = |query| store.read(&ReadRequest { query, ..ReadRequest::default() });
    let mut items = vec![by_type(&["A"]); QUERY_ITEMS_MAX];
    assert_eq!(positions_of(&read(items.clone().into()).unwrap()), [1]);
    items.push(by_type(&["A"]));
    for (query, found) in [(items.into(), "1001 items"), (by_tag(&vec!["t"; 65_536]).into(), "65536 types")] {
        let error = read(query).unwrap_err();
        assert_eq!(error.class(), ErrorClass::Invalid);
        assert!(error.to_string().starts_with(found), "{error}");
    }
}

/// A page ends at its limit, or once its payload reaches its bytes; it says whether more is left.
pub fn pages_end_at_limits_and_bytes(subject: &dyn Subject) {
    let store = open(subject);
    let sized = |bytes| NewEvent { data: vec![b'1'; bytes], ..event("Sized", "") };
    append(&*store, vec![sized(60), event("Other", ""), sized(60), sized(60), event("Other", "")]);
    let read = |limit, bytes_max, direction| {
        let filter = by_type(&["Sized"]);
        let page = store
            .read(&ReadRequest { query: filter.into(), limit, bytes_max, direction, ..ReadRequest::default() })
            .unwrap();
        (positions_of(&page), page.through.0, page.complete)
    };
    let forwards = |limit, bytes_max| read(limit, bytes_max, Direction::Forwards);
    assert_eq!(forwards(2, 1000), (vec![1, 3], 3, false));
    assert_eq!(forwards(3, 1000), (vec![1, 3, 4], 5, true), "nothing that matches is left");
    assert_eq!(forwards(9, 61), (vec![1, 3], 3, false));
    assert_eq!(forwards(9, 60), (vec![1], 1, false));
    assert_eq!(forwards(9, 0), (vec![1], 1, false), "at least one");
    assert_eq!(forwards(0, 1000), (vec![], 0, false));
    assert_eq!(read(2, 1000, Direction::Backwards), (vec![4, 3], 3, false));
    assert_eq!(read(3, 1000, Direction::Backwards), (vec![4, 3, 1], 1, true));
    assert_eq!(read(0, 1000, Direction::Backwards), (vec![], 6, false));
}

/// Empty and reversed ranges, and ranges beyond the head, hold nothing and are complete.
pub fn ranges_that_hold_nothing(subject: &dyn Subject) {
    let store = open(subject);
    append(&*store, vec![event("T", ""), event("T", "")]);
    let ends = [(0, Some(0)), (0, Some(1)), (1, Some(2)), (2, None), (2, Some(1)), (9, None), (u64::MAX, Some(5))];
    for (after, before) in ends {
        for direction in [Direction::Forwards, Direction::Backwards] {
            let (after, before) = (Position(after), before.map(Position));
            let page = store.read(&ReadRequest { after, before, direction, ..ReadRequest::default() }).unwrap();
            assert!(page.events.is_empty() && page.complete, "after {after:?} before {before:?}");
            assert!(direction == Direction::Backwards || page.through >= after);
        }
    }
    let request = ReadRequest { before: Some(Position(u64::MAX)), limit: usize::MAX, ..ReadRequest::default() };
    assert_eq!(positions_of(&store.read(&request).unwrap()), [1, 2]);
    let request = ReadRequest { before: Some(Position(0)), direction: Direction::Backwards, ..request };
    let page = store.read(&request).unwrap();
    assert_eq!((positions_of(&page), page.through), (vec![], Position(0)), "backwards from 0 is nothing");
    let request = ReadRequest { after_version: version(u64::MAX), ..ReadRequest::default() };
    assert_eq!(positions_of(&store.read(&request).unwrap()), [0; 0]);
}

/// Events are found by their id, and only those that are stored.
pub fn events_by_id(subject: &dyn Subject) {
    let store = open(subject);
    let events: Vec<_> = (1..=300).map(|number| NewEvent { id: id(number), ..event("T", "s") }).collect();
    append(&*store, events);
    let store = reopen(subject, store);
    for number in [1, 2, 150, 299, 300] {
        let event = store.event(id(number)).unwrap().unwrap();
        assert_eq!((event.id, u128::from(event.position.0)), (id(number), number));
    }
    assert_eq!(store.event(id(301)).unwrap(), None);
    for place in [1, 150, 300] {
        assert_eq!(store.event_at(Position(place)).unwrap().unwrap().position, Position(place));
    }
    for nowhere in [0, 301] {
        assert_eq!(store.event_at(Position(nowhere)).unwrap(), None, "{nowhere}");
    }
}

/// Paging while others append gives every event that the last page's head knows, once, in order; no page
/// shows an event beyond its head.
pub fn pages_are_stable_under_appends(subject: &dyn Subject) {
    let store = open(subject);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let _done = SetOnDrop(&done);
            for number in 0..150 {
                append(&*store, vec![event("Wanted", &format!("s-{}", number % 3)), event("Other", "")]);
            }
        });
        for filter in [Filter::all(), by_type(&["Wanted"]), by_stream(&["s-*"]), by_stream(&["s-1"])] {
            scope.spawn({
                let (store, done) = (&store, &done);
                move || {
                    let mut request = ReadRequest { query: filter.into(), limit: 7, ..ReadRequest::default() };
                    let mut seen = Vec::new();
                    loop {
                        let ended = done.load(Ordering::SeqCst);
                        let page = store.read(&request).unwrap();
                        assert!(page.events.iter().all(|event| event.position <= page.head));
                        assert!(page.through >= request.after && page.through <= page.head);
                        seen.extend(positions_of(&page));
                        request.after = page.through;
                        if ended && page.complete {
                            break;
                        }
                    }
                    assert_eq!(seen, found(&**store, request.query.clone()));
                }
            });
        }
    });
}

/// Set also when an append panics, so that nobody waits for the next.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
