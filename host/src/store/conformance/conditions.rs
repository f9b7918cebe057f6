//! Promises about append conditions (dynamic consistency boundaries) and about expectations that stand together.

use super::Subject;
use super::samples::{
    also_reopened, append, append_error_of, by_stream, by_tag, by_type, event, everything, expect, fail_if, guarded,
    open, places, reopen, tagged, version, version_of,
};
use crate::error::ErrorClass;
use crate::event::{
    EXPECTATIONS_MAX, ExpectedVersion, Filter, Position, QUERY_ITEMS_MAX, QUERY_NAMES_MAX, Query, StreamName,
};
use crate::store::{AppendError, AppendRequest, Store, StreamExpectation};

/// Position told of the match when an append with this condition fails; none when it is appended.
fn refused(store: &dyn Store, query: impl Into<Query>, after: u64) -> Option<u64> {
    let query = query.into();
    match store.append(guarded(event("Probe", ""), fail_if(query.clone(), after))).wait() {
        Ok(_) => None,
        Err(AppendError::ConditionFailed { position, after: told }) => {
            assert_eq!(told.0, after);
            Some(position.0)
        }
        Err(error) => panic!("{query:?} after {after}: {error}"),
    }
}

/// An append fails if any event after `after`, exclusive, matches; the error tells the last that does.
pub fn a_condition_fails_on_any_later_match(subject: &dyn Subject) {
    let store = open(subject);
    let mut both = tagged("B", &["x", "y"]);
    both.stream = event("B", "s-1").stream;
    append(&*store, vec![tagged("A", &["x"]), event("A", "s-1"), both, event("C", "s-2"), event("A", "")]);
    also_reopened(subject, store, |store| {
        let cases: [(Filter, u64, Option<u64>); 12] = [
            (by_type(&["A"]), 0, Some(5)),
            (by_type(&["A"]), 4, Some(5)),
            (by_type(&["A"]), 5, None),
            (by_type(&["B", "C"]), 2, Some(4)),
            (by_type(&["A*"]), 0, Some(5)),
            (by_type(&["D"]), 0, None),
            (by_tag(&["x"]), 0, Some(3)),
            (by_tag(&["y", "x"]), 2, Some(3)),
            (by_tag(&["x"]), 3, None),
            (by_stream(&["s-1"]), 0, Some(3)),
            (by_stream(&["s-*"]), 3, Some(4)),
            (Filter { types: by_type(&["A"]).types, ..by_stream(&["s-1"]) }, 0, Some(2)),
        ];
        let before = store.head();
        for (filter, after, position) in cases {
            let unmoved = store.head();
            assert_eq!(refused(store, filter.clone(), after), position, "{filter:?} after {after}");
            assert_eq!(store.head().0 - unmoved.0, u64::from(position.is_none()), "{filter:?} after {after}");
        }
        assert_eq!(store.head().0 - before.0, 3);
    });
}

/// A query without items, and an item that asks nothing, match every event: nothing may have been appended
/// since `after`.
pub fn an_empty_query_guards_the_whole_log(subject: &dyn Subject) {
    for query in [Query::all(), Filter::all().into(), vec![by_type(&["No"]), Filter::all()].into()] {
        let store = open(subject);
        let (fresh, query) = (store.head().0, || query.clone());
        assert_eq!(refused(&*store, query(), fresh), None, "nothing is after the head");
        assert_eq!(refused(&*store, query(), 0), Some(fresh + 1));
        append(&*store, vec![event("T", ""), event("T", "")]);
        assert_eq!(refused(&*store, query(), fresh + 2), Some(fresh + 3));
        assert_eq!(refused(&*store, query(), fresh + 3), None);
    }
}

/// Items are alternatives: their order means nothing, in conditions as in reads.
pub fn items_of_a_condition_are_alternatives(subject: &dyn Subject) {
    let store = open(subject);
    append(&*store, vec![tagged("A", &["x"]), tagged("B", &["y"]), tagged("C", &["x", "y"])]);
    let mut items = vec![by_type(&["B"]), Filter { tags: by_tag(&["x"]).tags, ..by_type(&["A"]) }, by_tag(&["w"])];
    for _ in 0..items.len() {
        assert_eq!(refused(&*store, items.clone(), 0), Some(2));
        assert_eq!(refused(&*store, items.clone(), 1), Some(2));
        items.rotate_left(1);
    }
    assert_eq!(refused(&*store, items, 2), None);
    assert_eq!(refused(&*store, vec![by_type(&["A"]), by_tag(&["x", "y"])], 0), Some(3));
}

/// Tags are compared by their whole text: no prefix, case or order of letters makes two of them one.
pub fn tags_are_compared_exactly(subject: &dyn Subject) {
    let store = open(subject);
    let near = ["order:4", "order:422", "Order:42", "order:24", "order:42 ", "42", "order:*"];
    append(&*store, near.iter().map(|tag| tagged("T", &[tag])).collect());
    assert_eq!(refused(&*store, by_tag(&["order:42"]), 0), None);
    let at = append(&*store, vec![tagged("T", &["order:42"])]).last_position().0;
    assert_eq!(refused(&*store, by_tag(&["order:42"]), 0), Some(at));
    assert_eq!(refused(&*store, by_tag(&["order:*"]), 0), Some(7), "a tag is no pattern");
}

/// An append that is a repetition answers the old places even if its condition would fail now.
pub fn a_repetition_outlives_its_condition(subject: &dyn Subject) {
    let store = open(subject);
    let request = guarded(event("T", "a"), fail_if(by_type(&["T"]), 0));
    let first = store.append(request.clone()).wait().unwrap();
    assert_eq!(refused(&*store, by_type(&["T"]), 0), Some(1), "it matches its own condition");
    also_reopened(subject, store, |store| {
        let again = store.append(request.clone()).wait().unwrap();
        assert_eq!((&again.events, again.repeated), (&first.events, true));
        assert_eq!(store.head(), Position(1));
    });
}

/// A condition may not be about events after a position that the log has not reached.
pub fn a_condition_ahead_of_the_log_is_refused(subject: &dyn Subject) {
    let store = open(subject);
    append(&*store, vec![event("T", "")]);
    for ahead in [2, u64::MAX] {
        let error = append_error_of(&*store, guarded(event("T", ""), fail_if(by_type(&["No"]), ahead)));
        assert!(
            matches!(error, AppendError::ConditionAheadOfLog { after: Position(a), head: Position(1) } if a == ahead)
        );
        assert_eq!(error.class(), ErrorClass::Invalid);
        assert!(error.to_string().contains("the log ends at 1"), "{error}");
    }
    assert_eq!(refused(&*store, by_type(&["No"]), 1), None);
}

/// Of many appends that are on their way at once and guard against each other, exactly one happens.
pub fn a_condition_admits_one_of_many(subject: &dyn Subject) {
    let store = open(subject);
    for round in 0..10 {
        let tag = format!("course:{round}");
        let after = store.head().0;
        let request = || guarded(tagged("Subscribed", &[&tag]), fail_if(by_tag(&[&tag]), after));
        let pending: Vec<_> = (0..8).map(|_| store.append(request())).collect();
        let admitted = pending.into_iter().filter_map(|pending| pending.wait().ok()).count();
        assert_eq!((admitted, store.head().0), (1, after + 1));
    }
}

/// Expectations and condition all hold, or nothing of the append is there.
pub fn conditions_and_expectations_stand_together(subject: &dyn Subject) {
    use ExpectedVersion::{Exact, NoStream};
    let store = open(subject);
    append(&*store, vec![event("T", "a")]);
    let request = |name, expected, after| AppendRequest {
        expected: vec![expect("a", Exact(version(expected))), expect(name, NoStream)],
        condition: Some(fail_if(by_type(&["T"]), after)),
        ..AppendRequest::unconditional(vec![event("U", name), event("U", "")])
    };
    assert_eq!(places(&store.append(request("b", 1, 1)).wait().unwrap()), [(2, 1), (3, 0)]);
    for (name, expected, after) in [("c", 2, 1), ("c", 2, 0), ("b", 1, 1)] {
        let error = append_error_of(&*store, request(name, expected, after));
        assert!(matches!(error, AppendError::WrongExpectedVersion { .. }), "{error}");
    }
    let error = append_error_of(&*store, request("c", 1, 0));
    assert!(matches!(error, AppendError::ConditionFailed { position: Position(1), after: Position(0) }), "{error}");
    assert_eq!(error.class(), ErrorClass::Conflict);
    assert_eq!(version_of(&*store, "c"), version(0));
    assert_eq!(everything(&*reopen(subject, store)).len(), 3);
}

/// Several expectations of one stream hold together; those that no stream could meet are refused as such.
pub fn contradicting_expectations_are_refused(subject: &dyn Subject) {
    use ExpectedVersion::{Any, Exact, Exists, NoStream};
    let store = open(subject);
    append(&*store, vec![event("T", "a"), event("T", "a")]);
    let request = |stream, all: &[ExpectedVersion]| AppendRequest {
        expected: all.iter().map(|expected| expect(stream, *expected)).collect(),
        ..AppendRequest::unconditional(vec![event("T", "")])
    };
    store.append(request("a", &[Exists, Any, Exact(version(2)), Exists, Exact(version(2))])).wait().unwrap();
    store.append(request("none", &[NoStream, Exact(version(0)), Any])).wait().unwrap();
    let error = append_error_of(&*store, request("a", &[Exists, Exact(version(1))]));
    assert!(matches!(error, AppendError::WrongExpectedVersion { .. }), "they agree, and do not hold: {error}");
    for all in [&[NoStream, Exists][..], &[Exists, Any, Exact(version(0))], &[Exact(version(2)), Exact(version(3))]] {
        let error = append_error_of(&*store, request("a", all));
        assert!(matches!(&error, AppendError::ContradictingExpectations { stream, .. } if stream.as_str() == "a"));
        assert_eq!(error.class(), ErrorClass::Invalid);
    }
}

/// Conditions and expectations have bounds, and the errors name them.
pub fn conditions_over_their_bounds_are_refused(subject: &dyn Subject) {
    let store = open(subject);
    let items = |count| vec![by_type(&["No"]); count];
    assert_eq!(refused(&*store, items(QUERY_ITEMS_MAX), 0), None);
    let many = append_error_of(&*store, guarded(event("T", ""), fail_if(items(QUERY_ITEMS_MAX + 1), 0)));
    assert!(many.to_string().contains("1001 items") && many.to_string().contains("1000"), "{many}");
    let tags = by_tag(&vec!["t"; 65_536]);
    let long = append_error_of(&*store, guarded(event("T", ""), fail_if(tags, 0)));
    assert!(long.to_string().contains("65536") && long.to_string().contains(&QUERY_NAMES_MAX.to_string()), "{long}");
    let expectation = |number| StreamExpectation {
        stream: StreamName::new(format!("s-{number}")).unwrap(),
        expected: ExpectedVersion::NoStream,
    };
    let expected = |count| AppendRequest {
        expected: (0..count).map(expectation).collect(),
        ..AppendRequest::unconditional(vec![event("T", "")])
    };
    store.append(expected(EXPECTATIONS_MAX)).wait().unwrap();
    let error = append_error_of(&*store, expected(EXPECTATIONS_MAX + 1));
    assert!(matches!(error, AppendError::TooManyExpectations { count } if count == EXPECTATIONS_MAX + 1));
    for error in [many, long, error] {
        assert_eq!(error.class(), ErrorClass::Invalid);
    }
}
