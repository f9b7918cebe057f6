//! The table of decisions, and what the file may hold.

use super::*;
use crate::event::{EventType, Filter, NewEvent, Pattern, Position, Query, RecordedEvent, StreamName, Version};

fn secret(byte: u8) -> Secret {
    Secret::of_bytes(&[byte; 32])
}

fn new(name: &str, scopes: &[Scope], streams: &[&str], types: &[&str]) -> NewKey {
    NewKey {
        name: name.parse().unwrap(),
        scopes: scopes.to_vec(),
        streams: streams.iter().map(|&stream| stream.to_owned()).collect(),
        types: types.iter().map(|&name| Pattern::new(name).unwrap()).collect(),
        created: "2026-01-01T00:00:00Z".to_owned(),
    }
}

/// Six keys; the secret of each is of the byte of its place.
fn keys() -> Keys {
    let mut keys = Keys::default();
    let all = [
        new("reader", &[Scope::Read], &[], &[]),
        new("appender", &[Scope::Append], &[], &[]),
        new("operator", &[Scope::Admin], &[], &[]),
        new("shop", &[Scope::Read, Scope::Append], &["order-", "cart-"], &[]),
        new("types", &[Scope::Read, Scope::Append], &[], &["Order*", "Paid"]),
        new("both", &[Scope::Append], &["order-"], &["Order*"]),
    ];
    for (key, byte) in all.into_iter().zip(0..) {
        keys.add(key, &secret(byte)).unwrap();
    }
    keys
}

fn stream(name: &str) -> StreamName {
    StreamName::new(name).unwrap()
}

fn event_type(name: &str) -> EventType {
    EventType::new(name).unwrap()
}

fn filter(types: &[&str], streams: &[&str]) -> Filter {
    let patterns = |texts: &[&str]| texts.iter().map(|text| Pattern::new(*text).unwrap()).collect();
    Filter { types: patterns(types), streams: patterns(streams), ..Filter::default() }
}

fn recorded(name: &str, on: Option<&str>) -> RecordedEvent {
    let event = NewEvent { stream: on.map(stream), ..NewEvent::json(event_type(name), "1") };
    RecordedEvent::record(event, Position(1), Version(1), 0)
}

/// Who may do it, of all keys in their order: `y` or `n` each.
fn who_may(action: &Action<'_>) -> String {
    let policy = Policy::of_keys(keys());
    let may = |byte| {
        let principal = policy.admit(Some(&secret(byte))).unwrap();
        if policy.decide(&principal, action).is_ok() { 'y' } else { 'n' }
    };
    (0..6).map(may).collect()
}

#[test]
fn the_decision_is_this_table() {
    let (order, other) = (stream("order-1"), stream("payment-1"));
    let (placed, sent) = (event_type("OrderPlaced"), event_type("Sent"));
    let orders = Query::from(filter(&["OrderPlaced"], &["order-1"]));
    let placements = Query::from(filter(&["OrderPlaced"], &[]));
    let one_beyond = Query::from(vec![filter(&["OrderPlaced"], &["order-1"]), filter(&["Sent"], &["payment-1"])]);
    let (here, there) = (recorded("OrderPlaced", Some("order-1")), recorded("Sent", Some("payment-1")));
    let nowhere = recorded("Paid", None);
    //                                                reader, appender, operator, shop, types, both
    for (action, who) in [
        (Action::Head, "yyyyyy"),
        (Action::Metrics, "ynyyyn"),
        (Action::Read, "ynyyyn"),
        (Action::ReadAll, "ynynnn"),
        (Action::ReadStream(&order), "ynyyyn"),
        (Action::ReadStream(&other), "ynynyn"),
        (Action::ReadEvent(&here), "ynyyyn"),
        (Action::ReadEvent(&there), "ynynnn"),
        (Action::ReadEvent(&nowhere), "ynynyn"),
        (Action::Append, "nyyyyy"),
        (Action::AppendEvent(&placed, Some(&order)), "nyyyyy"),
        (Action::AppendEvent(&placed, Some(&other)), "nyynyn"),
        (Action::AppendEvent(&placed, None), "nyynyn"),
        (Action::AppendEvent(&sent, Some(&order)), "nyyynn"),
        (Action::Expect(&order), "nyyyyy"),
        (Action::Expect(&other), "nyynyn"),
        (Action::Guard(&orders), "nyyyyy"),
        (Action::Guard(&placements), "nyynyn"),
        (Action::Guard(&one_beyond), "nyynnn"),
        (Action::Guard(&Query::all()), "nyynnn"),
        (Action::Follow, "nyynnn"),
        (Action::Admin, "nnynnn"),
    ] {
        assert_eq!(who_may(&action), who, "{action:?}");
    }
}

#[test]
fn a_refusal_says_what_is_missing() {
    let policy = Policy::of_keys(keys());
    let (shop, other) = (policy.admit(Some(&secret(3))).unwrap(), stream("payment-1"));
    let denied = policy.decide(&shop, &Action::AppendEvent(&event_type("Paid"), Some(&other))).unwrap_err();
    assert_eq!(
        denied.to_string(),
        "key shop has the scope `append` only for streams order-*, streams cart-*, and stream payment-1 is outside of \
         that; use a key of wider reach"
    );
    assert_eq!(denied.scope(), Some(Scope::Append));
    let denied = policy.decide(&shop, &Action::Admin).unwrap_err();
    assert_eq!(
        denied.to_string(),
        "key shop has no scope `admin`; use a key that has it: tidemill keys new NAME --scope admin"
    );
}

#[test]
fn who_has_no_key_is_nobody_unless_there_are_none() {
    let open = Policy::open();
    let anyone = open.admit(None).unwrap();
    assert_eq!(open.decide(&anyone, &Action::Admin), Ok(()));
    assert!(anyone.reach().is_all() && open.admit(Some(&secret(9))).is_ok());
    for keys in [keys(), Keys::default()] {
        let policy = Policy::of_keys(keys);
        assert_eq!(policy.admit(None).unwrap_err(), NoEntry::NoKey);
        assert_eq!(policy.admit(Some(&secret(99))).unwrap_err(), NoEntry::UnknownKey);
        assert_eq!(policy.decide(&anyone, &Action::Head), Err(Denied::NoKey), "keys have come to be");
    }
}

#[test]
fn a_key_that_is_taken_back_or_changed_opens_nothing() {
    let before = Policy::of_keys(keys());
    let reader = before.admit(Some(&secret(0))).unwrap();
    let name = reader.key().unwrap().clone();
    let mut left = keys();
    assert!(left.remove(&name) && !left.remove(&name));
    let after = Policy::of_keys(left.clone());
    assert_eq!(after.decide(&reader, &Action::Read), Err(Denied::Revoked { key: name.clone() }));
    assert_eq!(after.admit(Some(&secret(0))).unwrap_err(), NoEntry::UnknownKey);
    left.add(new("reader", &[Scope::Read], &["order-"], &[]), &secret(0)).unwrap();
    let narrowed = Policy::of_keys(left);
    assert_eq!(narrowed.decide(&reader, &Action::Read), Err(Denied::Revoked { key: name }));
}

#[test]
fn the_file_holds_no_secret_and_reads_back() {
    let keys = keys();
    let text = keys.render();
    assert!((0..6).all(|byte| !text.contains(secret(byte).reveal())), "{text}");
    let again = Keys::parse(&text).unwrap();
    assert_eq!(again.render(), text);
    let (one, other): (Vec<_>, Vec<_>) = (keys.iter().collect(), again.iter().collect());
    assert_eq!(one, other);
    assert_eq!(secret(7).reveal().len(), "tidemill_".len() + 43);
    assert_eq!(format!("{:?}", secret(7)), "Secret");
}

#[test]
fn a_file_that_will_not_do_says_where() {
    let hash = secret(1).hash();
    let key = |rest: &str| format!("[[key]]\nname = \"a\"\nhash = \"{hash}\"\n{rest}");
    for (text, words) in [
        (key("scope = [\"read\"]"), "unknown field `scope`"),
        (key("scopes = [\"write\"]"), "line 4"),
        (key("scopes = []"), "key a has no scope"),
        (key("scopes = [\"admin\"]\nstreams = [\"order-\"]"), "make one key for admin"),
        (key("scopes = [\"read\"]\nstreams = [\"order-*\"]"), "without '*'"),
        (key("scopes = [\"read\"]\nstreams = [\"\"]"), "without '*'"),
        ("[[key]]\nname = \"a b\"".to_owned(), "a key cannot be called \"a b\""),
        ("[[key]]\nname = \"a\"\nhash = \"sha256:12\"".to_owned(), "is no hash of a key"),
        (key("scopes = [\"read\"]\n").repeat(2), "there is a key a already"),
        (
            key("scopes = [\"read\"]\n") + &key("scopes = [\"read\"]\n").replace("\"a\"", "\"b\""),
            "key b has the hash of another key",
        ),
    ] {
        let told = Keys::parse(&text).unwrap_err().to_string();
        assert!(told.contains(words), "{words:?} in: {told}");
    }
}
