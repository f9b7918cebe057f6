//! Promises about reading by time.

use super::samples::{append, by_type, event, found_within, positions_of, reopen};
use super::{Subject, TestClock};
use crate::event::{Position, Query};
use crate::store::{Direction, ReadRequest, Store};

/// Events 1 to 9: two each at the times 100, 200 and 300 of type `A` and `B`, then three at 400.
fn fill(store: &dyn Store, clock: &TestClock) {
    for time_us in [100, 200, 300] {
        clock.set(time_us);
        append(store, vec![event("A", ""), event("B", "s")]);
    }
    clock.set(400);
    append(store, vec![event("A", "")]);
    append(store, vec![event("A", "")]);
    append(store, vec![event("B", "s")]);
}

fn within(store: &dyn Store, query: impl Into<Query>, since: Option<u64>, until: Option<u64>) -> Vec<u64> {
    found_within(store, ReadRequest { query: query.into(), since_us: since, until_us: until, ..ReadRequest::default() })
}

/// `since_us` is inclusive, `until_us` exclusive; both with queries, in both directions, in pages.
pub fn reads_by_time(subject: &dyn Subject) {
    let clock = TestClock::at(0);
    let store = subject.open(clock.clone());
    assert_eq!(within(&*store, Query::all(), Some(0), Some(u64::MAX)), [0; 0]);
    fill(&*store, &clock);
    let store = subject.reopen(store, clock);
    let all = |since, until| within(&*store, Query::all(), since, until);
    assert_eq!(all(Some(200), None), [3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(all(Some(201), None), [5, 6, 7, 8, 9]);
    assert_eq!(all(None, Some(200)), [1, 2]);
    assert_eq!(all(None, Some(201)), [1, 2, 3, 4]);
    assert_eq!(all(Some(200), Some(400)), [3, 4, 5, 6]);
    assert_eq!(all(Some(0), Some(u64::MAX)), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(within(&*store, by_type(&["B"]), Some(150), Some(400)), [4, 6]);
    assert_eq!(within(&*store, vec![by_type(&["B"]), by_type(&["A"])], Some(400), None), [7, 8, 9]);
}

/// Bounds in time and in position hold together.
pub fn time_and_position_bound_together(subject: &dyn Subject) {
    let clock = TestClock::at(0);
    let store = subject.open(clock.clone());
    fill(&*store, &clock);
    let read = |after, before: Option<u64>, since_us, until_us| {
        let (after, before) = (Position(after), before.map(Position));
        found_within(&*store, ReadRequest { after, before, since_us, until_us, ..ReadRequest::default() })
    };
    assert_eq!(read(4, None, Some(100), Some(400)), [5, 6]);
    assert_eq!(read(1, Some(4), Some(200), None), [3]);
    assert_eq!(read(0, Some(3), None, Some(400)), [1, 2]);
    assert_eq!(read(6, None, None, Some(400)), [0; 0]);
    assert_eq!(read(0, Some(7), Some(400), None), [0; 0]);
}

/// Bounds in time that leave nothing answer an empty page that is complete, and lead nowhere beyond the head.
pub fn times_that_hold_nothing(subject: &dyn Subject) {
    let clock = TestClock::at(0);
    let store = subject.open(clock.clone());
    for filled in [false, true] {
        let nothing = [(None, Some(0)), (Some(401), None), (Some(u64::MAX), Some(u64::MAX)), (Some(300), Some(200))];
        for (since_us, until_us) in nothing.into_iter().chain([(Some(150), Some(200)), (Some(200), Some(200))]) {
            for direction in [Direction::Forwards, Direction::Backwards] {
                let page =
                    store.read(&ReadRequest { since_us, until_us, direction, ..ReadRequest::default() }).unwrap();
                let what = format!("since {since_us:?} until {until_us:?}, {direction:?}, filled: {filled}");
                assert!(page.events.is_empty() && page.complete, "{what}");
                assert!(page.through <= page.head.next(), "{what}");
            }
        }
        if !filled {
            fill(&*store, &clock);
        }
    }
}

/// Reading as of a time gives the same, however much is appended later.
pub fn the_past_does_not_change(subject: &dyn Subject) {
    let clock = TestClock::at(0);
    let store = subject.open(clock.clone());
    fill(&*store, &clock);
    clock.set(500);
    let as_of = |until_us| within(&*store, Query::all(), None, Some(until_us));
    let before: Vec<_> = [100, 250, 400, 500].map(as_of).into();
    assert_eq!(before[3].len(), 9);
    append(&*store, vec![event("A", ""), event("B", "")]);
    clock.set(50);
    append(&*store, vec![event("A", "")]);
    let after: Vec<_> = [100, 250, 400, 500].map(as_of).into();
    assert_eq!(before, after, "a clock that went back puts nothing into the past");
}

/// A reader that goes on from page to page with a bound in a time to come misses nothing that still falls before it.
pub fn a_time_to_come_can_be_followed(subject: &dyn Subject) {
    let clock = TestClock::at(100);
    let store = subject.open(clock.clone());
    let mut request = ReadRequest { until_us: Some(300), ..ReadRequest::default() };
    let mut seen = Vec::new();
    for time_us in [100, 200, 299, 300, 301] {
        clock.set(time_us);
        append(&*store, vec![event("T", "")]);
        let page = store.read(&request).unwrap();
        assert!(page.complete && page.through <= page.head);
        seen.extend(positions_of(&page));
        request.after = page.through;
    }
    assert_eq!(seen, [1, 2, 3]);
    let store = reopen(subject, store);
    assert_eq!(found_within(&*store, ReadRequest { after: Position(0), ..request }), [1, 2, 3]);
}

/// Time begins with the epoch and ends with what 64 bits hold.
pub fn the_ends_of_time(subject: &dyn Subject) {
    let clock = TestClock::at(0);
    let store = subject.open(clock.clone());
    append(&*store, vec![event("T", "")]);
    clock.set(u64::MAX);
    append(&*store, vec![event("T", "")]);
    assert_eq!(within(&*store, Query::all(), Some(0), Some(1)), [1]);
    assert_eq!(within(&*store, Query::all(), Some(u64::MAX), None), [2]);
    assert_eq!(within(&*store, Query::all(), None, Some(u64::MAX)), [1]);
}
