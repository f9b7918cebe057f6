use tonic::Code;

use super::super::append::tracking;
use super::super::message::{ErrorType, Event, MetadataEntry, TrackingRequest};
use super::*;
use crate::event::DATA_BYTES_MAX;

#[tokio::test]
async fn positions_are_from_one_and_answered_for_the_last_event() {
    let store = store();
    assert_eq!(appended(&store, request(vec![event("A", &[])])).await, 1);
    assert_eq!(appended(&store, request(vec![event("A", &[]), event("B", &["x"])])).await, 3);
}

#[tokio::test]
async fn a_condition_fails_on_what_matches_after_its_position() {
    let store = store();
    appended(&store, request(vec![event("A", &["x"]), event("B", &["x", "y"])])).await;
    let new = || vec![event("C", &[])];
    for items in [vec![], vec![item(&[], &[])], vec![item(&["No"], &[]), item(&["B", "Z"], &["y", "x"])]] {
        let (code, kind, text) = refused(&store, guarded(new(), items.clone(), None)).await;
        assert_eq!((code, kind), (Code::FailedPrecondition, ErrorType::Integrity), "{text}");
        refused(&store, guarded(new(), items, Some(1))).await;
    }
    // Names are whole names, whatever they end in.
    let misses = vec![item(&["A"], &["y"]), item(&["A*", "*"], &[]), item(&[], &["x*"])];
    assert_eq!(appended(&store, guarded(new(), misses, None)).await, 3);
    assert_eq!(appended(&store, guarded(new(), vec![item(&["A", "B"], &[])], Some(2))).await, 4);
}

#[tokio::test]
async fn a_position_beyond_the_head_guards_against_nothing() {
    let store = store();
    appended(&store, request(vec![event("A", &[])])).await;
    assert_eq!(appended(&store, guarded(vec![event("A", &[])], vec![], Some(100))).await, 2);
    assert_eq!(appended(&store, guarded(vec![event("A", &[])], vec![], Some(u64::MAX))).await, 3);
}

#[tokio::test]
async fn the_same_events_answer_the_old_position() {
    let store = store();
    let all = || vec![];
    let first = || guarded(vec![event_of_id(1, "A", &[])], all(), None);
    assert_eq!(appended(&store, first()).await, 1);
    assert_eq!(appended(&store, first()).await, 1, "its own event matches its condition");
    let second = || vec![event_of_id(2, "B", &["x"]), event_of_id(3, "B", &["y"])];
    assert_eq!(appended(&store, guarded(second(), all(), Some(1))).await, 3);
    assert_eq!(appended(&store, request(vec![event("B", &[])])).await, 4);
    assert_eq!(appended(&store, first()).await, 1);
    assert_eq!(appended(&store, guarded(second(), all(), Some(1))).await, 3);
    assert_eq!(appended(&store, request(second())).await, 3);
    assert_eq!(store.head().0, 4);
}

#[tokio::test]
async fn stored_events_that_their_guard_lets_through_are_appended_again() {
    let store = store();
    let events = || vec![event_of_id(1, "A", &["x"]), event_of_id(2, "A", &["y"])];
    assert_eq!(appended(&store, request(events())).await, 2);
    assert_eq!(appended(&store, guarded(events(), vec![item(&["B"], &[])], None)).await, 4);
    assert_eq!(appended(&store, guarded(events(), vec![item(&[], &["x"])], Some(3))).await, 6);
    assert_eq!(appended(&store, guarded(events(), vec![item(&[], &["x"])], None)).await, 2);
    let tracked = || message::AppendRequest {
        condition: guarded(vec![], vec![item(&["B"], &[])], None).condition,
        ..tracked(vec![event_of_id(3, "A", &[])], "s", 5)
    };
    assert_eq!(appended(&store, tracked()).await, 7);
    assert_eq!(appended(&store, tracked()).await, 7, "a place is accounted for once");
}

#[tokio::test]
async fn an_id_of_zeros_is_none() {
    let store = store();
    let nameless = || Event { uuid: uuid::Uuid::nil().to_string(), ..event("A", &[]) };
    assert_eq!(appended(&store, request(vec![nameless(), nameless()])).await, 2);
    assert_eq!(appended(&store, request(vec![nameless()])).await, 3);
}

#[tokio::test]
async fn stored_events_that_cannot_be_of_this_append_are_refused() {
    let store = store();
    appended(&store, request(vec![event_of_id(1, "A", &[]), event_of_id(2, "B", &[])])).await;
    let integrity = |told: (Code, ErrorType, String)| assert_eq!(told.1, ErrorType::Integrity, "{}", told.2);
    let other_order = vec![event_of_id(2, "B", &[]), event_of_id(1, "A", &[])];
    integrity(refused(&store, request(other_order)).await);
    // The condition did not hold when the event was stored: the event before it matches.
    integrity(refused(&store, guarded(vec![event_of_id(2, "B", &[])], vec![], None)).await);
    integrity(refused(&store, request(vec![event_of_id(2, "Other", &[])])).await);
    integrity(refused(&store, request(vec![event_of_id(2, "B", &[]), event_of_id(3, "C", &[])])).await);
}

#[tokio::test]
async fn sources_move_forward_with_events_or_without() {
    let store = store();
    let place = async |source: &str| {
        tracking(store.clone(), anyone(), TrackingRequest { source: source.to_owned() }).await.unwrap().position
    };
    assert_eq!(place("s").await, None);
    assert_eq!(appended(&store, tracked(vec![event_of_id(1, "A", &[])], "s", 5)).await, 1);
    assert_eq!((place("s").await, place("t").await), (Some(5), None));
    for back in [5, 4] {
        let (code, kind, text) = refused(&store, tracked(vec![event("A", &[])], "s", back)).await;
        assert_eq!((code, kind), (Code::FailedPrecondition, ErrorType::Integrity), "{text}");
    }
    assert_eq!(appended(&store, tracked(vec![], "s", 6)).await, 0);
    assert_eq!(place("s").await, Some(6));
    assert_eq!(appended(&store, tracked(vec![event_of_id(1, "A", &[])], "s", 5)).await, 1, "sent again");
}

#[tokio::test]
async fn an_append_of_nothing_tells_whether_its_condition_holds() {
    let store = store();
    assert_eq!(appended(&store, request(vec![])).await, 0);
    appended(&store, request(vec![event("A", &[])])).await;
    assert_eq!(appended(&store, guarded(vec![], vec![item(&["A"], &[])], Some(1))).await, 0);
    assert_eq!(refused(&store, guarded(vec![], vec![item(&["A"], &[])], None)).await.1, ErrorType::Integrity);
}

#[tokio::test]
async fn malformed_requests_say_what_is_wrong_where() {
    let store = store();
    let entry = |key: &str| MetadataEntry { key: key.to_owned(), value: String::new() };
    let cases = [
        (request(vec![event("A", &[]), event("", &[])]), "event 1: event type is empty"),
        (request(vec![event("A", &["\n"])]), "event 0: tag"),
        (request(vec![event("$A", &[])]), "event 0: type \"$A\" is the host's own"),
        (request(vec![Event { uuid: "12".to_owned(), ..event("A", &[]) }]), "event 0: uuid \"12\""),
        (request(vec![Event { metadata: vec![entry("a"), entry("a")], ..event("A", &[]) }]), "\"a\" is there twice"),
        (request(vec![Event { metadata: vec![entry("$tracking")], ..event("A", &[]) }]), "host's own"),
        (request(vec![Event { data: vec![0; DATA_BYTES_MAX + 1], ..event("A", &[]) }]), "at most 1048576"),
        (request(vec![event_of_id(1, "A", &[]), event_of_id(1, "A", &[])]), "the same id"),
        (guarded(vec![event("A", &[])], vec![item(&[], &[]), item(&[], &[""])], None), "query item 1: tag is empty"),
        (tracked(vec![event("A", &[])], "", 1), "tracking source is empty"),
    ];
    for (request, part) in cases {
        let (code, kind, text) = refused(&store, request).await;
        assert_eq!((code, kind), (Code::InvalidArgument, ErrorType::InvalidArgument), "{text}");
        assert!(text.contains(part), "{text:?} does not contain {part:?}");
    }
}
