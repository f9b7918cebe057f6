//! Promises about how far sources were followed.

use super::Subject;
use super::samples::{
    also_reopened, append, append_error_of, by_type, event, everything, expect, fail_if, guarded, open, reopen,
};
use crate::error::ErrorClass;
use crate::event::{ExpectedVersion, NewEvent, TRACKING_KEY};
use crate::store::{AppendError, AppendRequest, Store, Tracking};

fn tracked(events: Vec<NewEvent>, source: &str, position: u64) -> AppendRequest {
    let tracking = Some(Tracking { source: source.to_owned(), position });
    AppendRequest { tracking, ..AppendRequest::unconditional(events) }
}

fn track(store: &dyn Store, source: &str, position: u64) {
    store.append(tracked(vec![event("T", "")], source, position)).wait().unwrap();
}

fn refused(store: &dyn Store, request: AppendRequest) -> AppendError {
    let before = store.tracking("a").unwrap();
    let error = append_error_of(store, request);
    assert_eq!(store.tracking("a").unwrap(), before, "a refused append moved the source");
    error
}

/// What is tracked is there with the events, and survives; sources have nothing to do with each other.
pub fn a_source_is_followed(subject: &dyn Subject) {
    let store = open(subject);
    assert_eq!(store.tracking("a").unwrap(), None);
    track(&*store, "a", 0);
    track(&*store, "a", 7);
    track(&*store, "b c", 3);
    append(&*store, vec![event("T", "")]);
    also_reopened(subject, store, |store| {
        let found = ["a", "b c", "b", ""].map(|source| store.tracking(source).unwrap());
        assert_eq!(found, [Some(7), Some(3), None, None]);
        let noted = |(source, position): (&str, u64)| Tracking { source: source.to_owned(), position };
        let expected = [Some(("a", 0)), Some(("a", 7)), Some(("b c", 3)), None].map(|of| of.map(noted));
        let events: Vec<_> = everything(store).iter().map(Tracking::of).collect();
        assert_eq!(events, expected, "each event tells what it was appended along with");
    });
}

/// A source only moves forward; an append that would not is refused whole.
pub fn a_source_moves_forward(subject: &dyn Subject) {
    let store = open(subject);
    track(&*store, "a", 5);
    let store = reopen(subject, store);
    for position in [5, 4, 0] {
        let error = refused(&*store, tracked(vec![event("T", "")], "a", position));
        assert!(matches!(&error, AppendError::TrackingNotForward { stored: 5, .. }), "{error}");
        assert_eq!(error.class(), ErrorClass::Conflict);
    }
    track(&*store, "b", 1);
    track(&*store, "a", 6);
    track(&*store, "a", u64::MAX);
    also_reopened(subject, store, |store| assert_eq!(store.tracking("a").unwrap(), Some(u64::MAX)));
}

/// The source stays where it is when the append fails for another reason.
pub fn a_refused_append_moves_no_source(subject: &dyn Subject) {
    let store = open(subject);
    track(&*store, "a", 5);
    let request =
        AppendRequest { condition: Some(fail_if(by_type(&["T"]), 0)), ..tracked(vec![event("T", "")], "a", 6) };
    assert!(matches!(refused(&*store, request), AppendError::ConditionFailed { .. }));
    let request = AppendRequest { expected: vec![expect("s", ExpectedVersion::Exists)], ..tracked(vec![], "a", 6) };
    assert!(matches!(refused(&*store, request), AppendError::WrongExpectedVersion { .. }));
}

/// A source can be moved without events.
pub fn a_source_moves_without_events(subject: &dyn Subject) {
    let store = open(subject);
    let appended = store.append(tracked(vec![], "a", 5)).wait().unwrap();
    assert!(appended.events.is_empty() && !appended.repeated);
    also_reopened(subject, store, |store| {
        assert_eq!((store.tracking("a").unwrap(), store.head().0), (Some(5), 0));
        assert!(matches!(refused(store, tracked(vec![], "a", 5)), AppendError::TrackingNotForward { .. }));
    });
}

/// A repeated append answers the old places though its source is there already; the same events along with
/// another place are other events.
pub fn a_repetition_outlives_its_tracking(subject: &dyn Subject) {
    let store = open(subject);
    let stored = event("T", "s");
    let request = tracked(vec![stored.clone()], "a", 5);
    let first = store.append(request.clone()).wait().unwrap();
    track(&*store, "a", 9);
    also_reopened(subject, store, |store| {
        let again = store.append(request.clone()).wait().unwrap();
        assert_eq!((&again.events, again.repeated, store.tracking("a").unwrap()), (&first.events, true, Some(9)));
        let error = refused(store, tracked(vec![stored.clone()], "a", 10));
        assert!(matches!(error, AppendError::IdConflict { .. }), "{error}");
    });
}

/// Of many appends on their way at once that account for one place, exactly one happens.
pub fn a_place_is_accounted_for_once(subject: &dyn Subject) {
    let store = open(subject);
    for position in 1..=10 {
        let pending: Vec<_> = (0..8).map(|_| store.append(tracked(vec![event("T", "")], "a", position))).collect();
        let admitted = pending.into_iter().filter_map(|pending| pending.wait().ok()).count();
        assert_eq!((admitted, store.head().0), (1, position));
    }
    assert_eq!(store.tracking("a").unwrap(), Some(10));
}

/// Names that are none are refused, and so are events that bring the host's metadata.
pub fn malformed_tracking_is_refused(subject: &dyn Subject) {
    let store = open(subject);
    for source in [String::new(), "a\nb".to_owned(), "a".repeat(256)] {
        let error = refused(&*store, tracked(vec![event("T", "")], &source, 1));
        assert!(matches!(error, AppendError::InvalidTracking { .. }), "{error}");
        assert_eq!(error.class(), ErrorClass::Invalid);
    }
    let mut spoofed = event("T", "");
    spoofed.metadata.insert(TRACKING_KEY.to_owned(), "1 a".to_owned());
    let error = refused(&*store, guarded(spoofed, fail_if(by_type(&["No"]), 0)));
    assert!(error.to_string().contains("\"$tracking\" is the host's own"), "{error}");
}
