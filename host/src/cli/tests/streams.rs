//! Streams and types of event.

use super::*;

/// `order-1` of [`filled`], and a stream that is deleted.
fn streams() -> Arc<MemoryStore> {
    let store = filled();
    let gone = StreamName::new("order-0").unwrap();
    let first = NewEvent { stream: Some(gone.clone()), ..event(8, "OrderPlaced", "1") };
    store.append(AppendRequest::unconditional(vec![first])).wait().unwrap();
    let id = uuid::Uuid::from_u128(9);
    store.delete_stream(StreamDeletion { id, ..StreamDeletion::of(gone) }).wait().unwrap();
    store
}

#[test]
fn streams_are_printed_as_a_table() {
    assert_eq!(
        printed(streams(), "tidemill streams ls").unwrap(),
        "VERSION  LAST POSITION  STATE    STREAM\n      \
               2              4  deleted  order-0\n      \
               1              1  open     order-1\n"
    );
    assert_eq!(
        printed(streams(), "tidemill streams ls --after order-0 --json").unwrap(),
        "{\"stream\":\"order-1\",\"version\":1,\"position\":1,\"deleted\":false}\n"
    );
    assert_eq!(printed(streams(), "tidemill streams ls --json -n 1").unwrap().lines().count(), 1);
    assert_eq!(printed(streams(), "tidemill streams ls --json -n 0").unwrap(), "");
    assert_eq!(printed(streams(), "tidemill streams ls --json --prefix payment").unwrap(), "");
}

#[test]
fn listing_follows_the_pages() {
    let store = store();
    let named = |id: u128| NewEvent { stream: StreamName::new(format!("s-{id}")).ok(), ..event(id, "T", "0") };
    store.append(AppendRequest::unconditional((1..=2500).map(named).collect())).wait().unwrap();
    let lines = |line: &str| printed(store.clone(), line).unwrap().lines().count();
    assert_eq!(lines("tidemill streams ls --json"), 2500);
    assert_eq!(lines("tidemill streams ls --json -n 1001"), 1001);
    assert_eq!(lines("tidemill streams ls --json --prefix s-2"), 612);
}

#[test]
fn a_stream_is_shown_with_its_first_and_last_event() {
    let shown = printed(streams(), "tidemill streams show order-0").unwrap();
    assert!(shown.starts_with("stream order-0\nversion  2\nstate    deleted\n\nfirst\n       3  2023-"), "{shown}");
    assert!(shown.contains("\n\nlast\n       4  2023-") && shown.contains("$stream-deleted"), "{shown}");
    let json: serde_json::Value =
        serde_json::from_str(&printed(streams(), "tidemill streams show order-0 --json").unwrap()).unwrap();
    assert_eq!((&json["version"], &json["deleted"]), (&2.into(), &true.into()));
    assert_eq!((&json["first"]["position"], &json["last"]["position"]), (&3.into(), &4.into()));
    let error = printed(streams(), "tidemill streams show order-2").unwrap_err();
    assert_eq!(error, CliError::new(Exit::NotFound, "stream order-2 has no events"));
}

#[test]
fn a_stream_is_deleted_if_it_is_as_expected() {
    let store = streams();
    let run = |line: &str| printed(store.clone(), line);
    let CliError::Failed { exit, what, .. } = run("tidemill streams delete order-1 --expected-version 7").unwrap_err()
    else {
        panic!("not quiet")
    };
    assert_eq!(exit, Exit::Conflict);
    assert!(what.contains("stream order-1 is at version 1, expected version 7"), "{what}");
    assert_eq!(
        run("tidemill streams delete order-1 --expected-version 1").unwrap(),
        "stream order-1 is deleted, at version 2 and position 5\n"
    );
    let error = run("tidemill streams delete order-1 --expect-version exists").unwrap_err();
    assert!(matches!(error, CliError::Failed { exit: Exit::Conflict, .. }), "{error:?}");
    let error = run("tidemill streams delete order-9").unwrap_err();
    assert!(matches!(error, CliError::Failed { exit: Exit::NotFound, .. }), "{error:?}");
}

#[test]
fn types_are_printed_with_their_counts() {
    assert_eq!(
        printed(streams(), "tidemill types ls").unwrap(),
        "EVENTS  TYPE             LIFTED  SCHEMAS  ENFORCED\n     1  $stream-deleted  -       -        -\n     \
         2  OrderPlaced      -       -        -\n     1  PhotoTaken       -       -        -\n"
    );
    let json = printed(filled(), "tidemill types ls --json").unwrap();
    let counts = json.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let counts: Vec<_> = counts.map(|row| format!("{} {}", row["type"], row["events"])).collect();
    assert_eq!(counts, ["\"OrderPlaced\" 1", "\"PhotoTaken\" 1"]);
}
