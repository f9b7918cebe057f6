use super::super::message::{ErrorType, MetadataEntry, ReadRequest, ReadResponse};
use super::super::read::Reading;
use super::*;

async fn messages(store: &AsyncStore, request: ReadRequest) -> Vec<ReadResponse> {
    let mut reading = Reading::new((store.clone(), &anyone()), request, false).unwrap();
    let mut messages = Vec::new();
    while let Some(message) = reading.next().await.unwrap() {
        messages.push(message);
    }
    messages
}

/// Positions of all events of the answer, and the head that it tells last.
async fn read(store: &AsyncStore, request: ReadRequest) -> (Vec<u64>, Option<u64>) {
    let messages = messages(store, request).await;
    let events = messages.iter().flat_map(|message| positions(&message.events)).collect();
    (events, messages.last().and_then(|message| message.head))
}

/// A store of `A x`, `B x y`, `C`, `A y`, `B`.
async fn filled() -> AsyncStore {
    let store = store();
    let events = [("A", &["x"][..]), ("B", &["x", "y"]), ("C", &[]), ("A", &["y"]), ("B", &[])];
    appended(&store, request(events.map(|(event_type, tags)| event(event_type, tags)).to_vec())).await;
    store
}

#[tokio::test]
async fn the_start_is_inclusive_in_both_directions() {
    let store = filled().await;
    let range = |start, backwards| ReadRequest { start, backwards: Some(backwards), ..ReadRequest::default() };
    let cases = [
        (range(None, false), vec![1, 2, 3, 4, 5]),
        (range(Some(0), false), vec![1, 2, 3, 4, 5]),
        (range(Some(1), false), vec![1, 2, 3, 4, 5]),
        (range(Some(4), false), vec![4, 5]),
        (range(Some(6), false), vec![]),
        (range(Some(u64::MAX), false), vec![]),
        (range(None, true), vec![5, 4, 3, 2, 1]),
        (range(Some(u64::MAX), true), vec![5, 4, 3, 2, 1]),
        (range(Some(2), true), vec![2, 1]),
        (range(Some(0), true), vec![]),
    ];
    for (request, expected) in cases {
        assert_eq!(read(&store, request.clone()).await, (expected, Some(5)), "{request:?}");
    }
}

#[tokio::test]
async fn items_are_alternatives_in_the_order_of_the_log() {
    let store = filled().await;
    let cases = [
        (vec![], vec![1, 2, 3, 4, 5]),
        (vec![item(&[], &[])], vec![1, 2, 3, 4, 5]),
        (vec![item(&["A", "C"], &[])], vec![1, 3, 4]),
        (vec![item(&[], &["y", "x"])], vec![2]),
        (vec![item(&["C"], &[]), item(&["A"], &["x"])], vec![1, 3]),
        (vec![item(&["A"], &["x"]), item(&["C"], &[])], vec![1, 3]),
        (vec![item(&[], &["x"]), item(&["B"], &[])], vec![1, 2, 5]),
        (vec![item(&["A*"], &[])], vec![]),
    ];
    for (items, expected) in cases {
        let asked = ReadRequest { query: query(items.clone()), ..ReadRequest::default() };
        assert_eq!(read(&store, asked.clone()).await, (expected.clone(), Some(5)), "{items:?}");
        let (backwards, _) = read(&store, ReadRequest { backwards: Some(true), ..asked }).await;
        assert_eq!(backwards.into_iter().rev().collect::<Vec<_>>(), expected, "{items:?}");
    }
}

#[tokio::test]
async fn a_limit_bounds_the_answer_and_its_head() {
    let store = filled().await;
    let limited = |limit| ReadRequest { limit: Some(limit), ..ReadRequest::default() };
    assert_eq!(messages(&store, limited(0)).await, []);
    assert_eq!(read(&store, limited(2)).await, (vec![1, 2], Some(2)));
    assert_eq!(read(&store, limited(9)).await, (vec![1, 2, 3, 4, 5], Some(5)));
    let backwards = ReadRequest { backwards: Some(true), batch_size: Some(1), ..limited(3) };
    assert_eq!(read(&store, backwards).await, (vec![5, 4, 3], Some(3)));
    let nothing = ReadRequest { query: query(vec![item(&["No"], &[])]), ..limited(1) };
    assert_eq!(messages(&store, nothing).await, [ReadResponse::default()]);
}

#[tokio::test]
async fn an_empty_log_has_no_head() {
    assert_eq!(messages(&store(), ReadRequest::default()).await, [ReadResponse::default()]);
}

#[tokio::test]
async fn messages_have_as_many_events_as_asked_for_and_no_more_bytes_than_clients_take() {
    let store = filled().await;
    let sizes = |messages: Vec<ReadResponse>| messages.iter().map(|m| m.events.len()).collect::<Vec<_>>();
    let batches = |batch_size| ReadRequest { batch_size: Some(batch_size), ..ReadRequest::default() };
    assert_eq!(sizes(messages(&store, batches(2)).await), [2, 2, 1]);
    assert_eq!(sizes(messages(&store, batches(0)).await), [1; 5]);
    assert_eq!(sizes(messages(&store, batches(u32::MAX)).await), [5]);
    // Little data, much metadata.
    let entry = |number| MetadataEntry { key: format!("{number}"), value: "v".repeat(4096) };
    let large = Event { metadata: (0..64).map(entry).collect(), ..event("A", &[]) };
    appended(&store, request(vec![large; 40])).await;
    let messages = messages(&store, ReadRequest::default()).await;
    assert!(messages.iter().all(|message| message.encoded_len() < 4 << 20));
    assert_eq!(messages.iter().map(|message| message.events.len()).sum::<usize>(), 45);
}

#[tokio::test]
async fn a_read_ends_where_the_log_ended_when_it_began() {
    let store = filled().await;
    let request_of_two = ReadRequest { batch_size: Some(2), ..ReadRequest::default() };
    let mut reading = Reading::new((store.clone(), &anyone()), request_of_two, false).unwrap();
    let mut seen = positions(&reading.next().await.unwrap().unwrap().events);
    appended(&store, request(vec![event("A", &[])])).await;
    while let Some(message) = reading.next().await.unwrap() {
        assert_eq!(message.head, Some(5));
        seen.extend(positions(&message.events));
    }
    assert_eq!(seen, [1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn events_come_back_as_they_were_given() {
    let store = store();
    let entry = |key: &str, value: &str| MetadataEntry { key: key.to_owned(), value: value.to_owned() };
    let mut given = event_of_id(1, "A", &["b", "a", "b"]);
    given.metadata = vec![entry("a", "1"), entry("b", "")];
    for data in [&b""[..], b"{}", b"\xff\x00"] {
        given.data = data.to_vec();
        given.uuid.replace_range(35.., &format!("{}", store.head().0));
        appended(&store, tracked(vec![given.clone()], "a source", 7 + store.head().0)).await;
        let message = messages(&store, ReadRequest { backwards: Some(true), ..ReadRequest::default() }).await.remove(0);
        let found = message.events.first().unwrap();
        assert_eq!(found.event.as_ref(), Some(&given));
        let tracking = found.tracking_info.clone().unwrap();
        assert_eq!((tracking.source.as_str(), tracking.position), ("a source", 6 + store.head().0));
    }
    appended(&store, request(vec![event("A", &[])])).await;
    let last = messages(&store, ReadRequest { start: Some(4), ..ReadRequest::default() }).await.remove(0);
    let found = last.events.into_iter().next().unwrap();
    assert!(found.event.unwrap().uuid.len() == 36 && found.tracking_info.is_none(), "an id is made");
}

#[tokio::test]
async fn a_read_that_wants_more_than_that_is_told_where_to_go() {
    let subscribing = ReadRequest { subscribe: Some(true), ..ReadRequest::default() };
    let status = Reading::new((store(), &anyone()), subscribing, false).err().unwrap();
    assert_eq!(told(&status).1, ErrorType::InvalidArgument);
    let large = ReadRequest { query: query(vec![item(&[], &[]); 1001]), ..ReadRequest::default() };
    let status = Reading::new((store(), &anyone()), large, false).err().unwrap();
    assert!(status.message().contains("at most 1000"), "{}", status.message());
}
