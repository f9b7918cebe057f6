//! The promises of the chain, on cases and on histories that nobody has thought of.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::error::Evidence;
use crate::event::{EventType, Filter, NewEvent, Pattern, Position, Query, RecordedEvent, Version};

fn chain(text: &str) -> Result<Chain, ChainError> {
    Chain::new(rules::read("t.toml", text).unwrap())
}

fn refused(text: &str) -> String {
    chain(text).unwrap_err().to_string()
}

fn event(event_type: &str, schema_version: u32, data: &str) -> RecordedEvent {
    let new = NewEvent { schema_version, ..NewEvent::json(EventType::new(event_type).unwrap(), data) };
    RecordedEvent::record(new, Position(7), Version(0), 1)
}

/// What an event becomes: type, version and data of each.
fn lifted(chain: &Chain, event: &RecordedEvent) -> Vec<(String, u32, String)> {
    let parts = chain.lift(event).unwrap().unwrap_or_else(|| vec![event.clone()]);
    let text = |part: RecordedEvent| {
        (part.event_type.as_str().to_owned(), part.schema_version, String::from_utf8(part.data).unwrap())
    };
    parts.into_iter().map(text).collect()
}

fn types(names: &[&str]) -> Filter {
    Filter { types: names.iter().map(|name| Pattern::new(*name).unwrap()).collect(), ..Filter::default() }
}

const SHOP: &str = r#"
[[upcast]]
type = "OrderPlaced"
from = 1
rules = [{ rename = "/qty", to = "quantity" }, { add = "/currency", value = "EUR" }]

[[upcast]]
type = "OrderPlaced"
from = 2
to = 1
as = "OrderCreated"
rules = [{ convert = "/total", to = "integer" }, { move = "/customer", to = "/buyer/name" }, { remove = "/legacy" }]

[[upcast]]
type = "Noise"
from = 1
drop = true

[[upcast]]
type = "PaidAndSent"
from = 1
to = 1

[[upcast.into]]
type = "Paid"
rules = [{ remove = "/parcel" }]

[[upcast.into]]
type = "Sent"
rules = [{ remove = "/sum" }]

[[upcast]]
type = "Sent"
from = 1
rules = [{ add = "/carrier", value = "post" }]
"#;

#[test]
fn lifts_follow_each_other_and_what_no_rule_touches_keeps_its_bytes() {
    let chain = chain(SHOP).unwrap();
    let data =
        r#"{"z": 1.50,"qty":2,"total":"300.0","customer":"ann","legacy":[1],"big":123456789012345678901234567890}"#;
    let expected = r#"{"z":1.50,"quantity":2,"total":300,"big":123456789012345678901234567890,"currency":"EUR","buyer":{"name":"ann"}}"#;
    assert_eq!(lifted(&chain, &event("OrderPlaced", 1, data)), [("OrderCreated".into(), 1, expected.into())]);
    let two = lifted(&chain, &event("OrderPlaced", 2, r#"{"total":3}"#));
    assert_eq!(two, [("OrderCreated".into(), 1, r#"{"total":3}"#.into())], "a chain is entered where the event stands");
    for today in [event("OrderCreated", 1, "{}"), event("OrderPlaced", 9, "{}"), event("Other", 1, "{}")] {
        assert_eq!(chain.lift(&today), Ok(None), "{today:?}");
    }
}

#[test]
fn one_event_becomes_several_in_order_or_none() {
    let chain = chain(SHOP).unwrap();
    assert_eq!(lifted(&chain, &event("Noise", 1, "1")), []);
    let both = event("PaidAndSent", 1, r#"{"sum":1,"parcel":2}"#);
    let expected =
        [("Paid".into(), 1, r#"{"sum":1}"#.into()), ("Sent".into(), 2, r#"{"parcel":2,"carrier":"post"}"#.into())];
    assert_eq!(lifted(&chain, &both), expected);
    let parts = chain.lift(&both).unwrap().unwrap();
    let places: Vec<_> = parts.iter().map(|part| (part.position, part.id, part.metadata[PART_KEY].clone())).collect();
    assert_eq!(places, [(Position(7), both.id, "0".into()), (Position(7), both.id, "1".into())]);
}

#[test]
fn each_part_has_a_version_of_its_own_at_which_it_enters_the_chain() {
    let parts = r#"
        [[upcast]]
        type = "PaidAndSent"
        from = 1
        to = 1
        into = [{ type = "Paid", to = 3 }, { type = "Sent" }, { type = "Sent" }]
        [[upcast]]
        type = "Paid"
        from = 3
        rules = [{ add = "/currency", value = "EUR" }]
        [[upcast]]
        type = "Sent"
        from = 1
        rules = [{ add = "/carrier", value = "post" }]
    "#;
    let whole = chain(parts).unwrap();
    let (first, _) = whole.lifts().nth(1).unwrap();
    assert_eq!(first.to_string(), "PaidAndSent 1 → Paid 3 + Sent 1");
    let made = lifted(&whole, &event("PaidAndSent", 1, "{}"));
    let sent = || ("Sent".to_owned(), 2, r#"{"carrier":"post"}"#.to_owned());
    assert_eq!(made, [("Paid".into(), 4, r#"{"currency":"EUR"}"#.into()), sent(), sent()]);
    assert_eq!((whole.current("Paid"), whole.current("Sent")), (Some(4), Some(2)));

    let gap = refused(&parts.replace("\"Paid\", to = 3", "\"Paid\", to = 2"));
    assert!(gap.contains("nothing lifts Paid 2") && gap.contains("PaidAndSent 1 → Paid 2 + Sent 1"), "{gap}");
    let two = refused(&parts.replace("{ type = \"Sent\" }]", "{ type = \"Sent\", to = 2 }]"));
    assert!(two.contains("it names a type twice; what it makes of one type has one version"), "{two}");
    let falls = refused(&parts.replace("{ type = \"Paid\", to = 3 }", "{ type = \"PaidAndSent\" }"));
    assert!(falls.contains("an event that stays PaidAndSent must rise"), "{falls}");
    let none = rules::read("t.toml", &parts.replace("to = 3", "to = 0")).unwrap_err().to_string();
    assert!(none.starts_with("t.toml:6: "), "{none}");
}

#[test]
fn a_filter_of_today_finds_what_is_stored_under_older_names() {
    let chain = chain(SHOP).unwrap();
    let stored = |names: &[&str]| -> Vec<String> {
        chain.stored(&types(names)).types.iter().map(|pattern| pattern.as_str().to_owned()).collect()
    };
    assert_eq!(stored(&["OrderCreated"]), ["OrderCreated", "OrderPlaced"]);
    assert_eq!(stored(&["S*"]), ["S*", "PaidAndSent"]);
    assert_eq!(stored(&["Other"]), ["Other"]);
    assert!(chain.stored(&Filter::all()).is_all() && chain.stored_query(&Query::all()).is_all());
    assert_eq!(chain.digest_for(&types(&["Other"])), "", "what goes through no lift depends on none");
    assert_eq!(chain.digest_for(&types(&["OrderCreated"])), chain.digest_for(&types(&["OrderPlaced", "OrderCreated"])));
    assert_ne!(chain.digest_for(&types(&["OrderCreated"])), chain.digest_for(&types(&["Sent"])));
    assert_eq!((chain.current("Sent"), chain.current("OrderPlaced"), chain.current("x")), (Some(2), None, None));
}

#[test]
fn chains_with_gaps_cycles_and_overlaps_are_refused_with_the_path() {
    let step = |event_type: &str, from: u32, to: u32, into: &str| {
        format!("[[upcast]]\ntype = \"{event_type}\"\nfrom = {from}\nto = {to}\nas = \"{into}\"\n")
    };
    let gap = refused(&[step("A", 1, 2, "A"), step("A", 3, 4, "A")].concat());
    assert!(gap.starts_with("gap: nothing lifts A 2, but t.toml:1 has A 1 → A 2"), "{gap}");
    let passed_over = refused(&step("A", 1, 3, "A"));
    assert!(passed_over.contains("nothing lifts A 2, but t.toml:1 has A 1 → A 3"), "{passed_over}");
    let below = refused(&[step("B", 1, 1, "A"), step("A", 2, 3, "A")].concat());
    assert!(below.contains("nothing lifts A 1") && below.contains("B 1 → A 1"), "{below}");
    let cycle =
        refused(&[step("A", 1, 1, "B"), step("B", 1, 2, "B"), step("B", 2, 1, "A"), step("C", 1, 1, "A")].concat());
    assert!(cycle.starts_with("cycle: A 1 → B 1 → B 2 → A 1; remove one of these"), "{cycle}");
    assert!(cycle.contains("t.toml:1, t.toml:11, t.toml:6"), "{cycle}");
    let overlap = refused(&[step("A", 1, 2, "A"), step("A", 1, 1, "B")].concat());
    assert_eq!(overlap, "overlap: A 1 is lifted by t.toml:1 and by t.toml:6; remove one of them");
    let down = refused(&step("A", 2, 1, "A"));
    assert!(down.contains("an event that stays A must rise: its `to` must be more than 2"), "{down}");
    let host = refused(&step("$stream-deleted", 1, 1, "A"));
    assert!(host.contains("the host's own type"), "{host}");
}

#[test]
fn a_rule_that_cannot_be_carried_out_is_told_with_its_place() {
    let chain = chain(SHOP).unwrap();
    let error = chain.lift(&event("OrderPlaced", 2, r#"{"total":"dear"}"#)).unwrap_err().to_string();
    assert_eq!(
        error,
        "event 7 cannot be lifted to today's schema: OrderPlaced 2: t.toml:7 says: the value at /total cannot be made \
         an integer: \"dear\""
    );
    let error = chain.lift(&event("OrderPlaced", 1, r#"{"qty":1,"quantity":2}"#)).unwrap_err().to_string();
    assert!(error.contains("beside /qty there is a value \"quantity\" already"), "{error}");
    let binary = RecordedEvent { data: vec![0xff], ..event("OrderPlaced", 1, "{}") };
    assert!(chain.lift(&binary).unwrap_err().to_string().contains("its data is not JSON"));
    let later = Chain::new(rules::read("t.toml", "[[upcast]]\ntype = \"A\"\nfrom = 2").unwrap()).unwrap();
    let error = later.lift(&event("A", 1, "{}")).unwrap_err().to_string();
    assert!(error.contains("A 1: nothing lifts it"), "{error}");
}

#[test]
fn code_is_held_to_what_it_declares() {
    let made =
        |event_type: &str, data: &[u8]| Upcasted { event_type: EventType::new(event_type).unwrap(), ..of_a(data) };
    let error = |made: Vec<Upcasted>| makes(made).lift(&event("A", 1, "1")).unwrap_err().to_string();
    assert!(
        error(vec![made("B", b"1")])
            .contains("u.wasm says: it made a B, which it does not declare; it declares A 1 → A 2")
    );
    assert!(error(vec![made("A", b"{")]).contains("data is not JSON"));
    assert!(error(vec![made("A", b"1"); 257]).contains("it made 257 events"));
    assert!(error(vec![made("A", &vec![b'1'; (1 << 20) + 1])]).contains("1048577 bytes"));
    let big = format!("\"{}\"", "x".repeat((1 << 20) - 2));
    assert!(error(vec![made("A", big.as_bytes()); 5]).contains("it becomes more than 256 events, or 4194304 bytes"));
}

#[test]
fn pages_show_what_is_asked_for_in_today_s_types() {
    let chain = chain(SHOP).unwrap();
    let stored = || {
        let good = event("OrderPlaced", 1, "{}");
        let bad = event("OrderPlaced", 2, r#"{"total":"dear"}"#);
        vec![good, bad, event("PaidAndSent", 1, "{}"), event("Noise", 1, "{}"), event("OrderPlaced", 9, "{}")]
    };
    let seen = |query: &Query, reach: &Filter| -> Vec<(String, bool)> {
        let (page, rest) = lift_page(Portion::of(&chain), (query, reach), stored(), false);
        assert_eq!(rest, []);
        page.iter().map(|it| (it.event_type.as_str().to_owned(), it.metadata.contains_key(UNLIFTED_KEY))).collect()
    };
    let created = Query::from(types(&["OrderCreated"]));
    assert_eq!(seen(&created, &Filter::all()), [("OrderCreated".into(), false), ("OrderPlaced".into(), true)]);
    assert_eq!(seen(&created, &types(&["OrderCreated"])), [("OrderCreated".into(), false)], "beyond the reach");
    assert_eq!(seen(&types(&["Sent"]).into(), &types(&["Sent"])), [("Sent".into(), false)]);
    assert_eq!(seen(&Query::all(), &Filter::all()).len(), 5);
    let one = |event| lift_one(&chain, event).metadata.get(UNLIFTED_KEY).cloned().unwrap_or_default();
    assert_eq!(one(event("OrderPlaced", 1, "{}")), "");
    assert_eq!(one(event("Noise", 1, "{}")), "event 7 is dropped in today's schema");
    assert_eq!(
        one(event("PaidAndSent", 1, "{}")),
        "event 7 is 2 events in today's schema; read them by after=6 and limit=1"
    );
}

/// Makes the same of every event.
struct Makes(Vec<Upcasted>);

impl Upcast for Makes {
    fn upcast(&self, _: &RecordedEvent) -> Result<Vec<Upcasted>, NotUpcast> {
        Ok(self.0.clone())
    }
}

/// A chain of one step, which makes these of each event of type A.
fn makes(made: Vec<Upcasted>) -> Chain {
    let name = |name: &str| EventType::new(name).unwrap();
    let lift = Lift { event_type: name("A"), from: 1, into: vec![Target { event_type: name("A"), version: 2 }] };
    Chain::new(vec![Step { lift, origin: "u.wasm".into(), identity: "1".into(), upcast: Arc::new(Makes(made)) }])
        .unwrap()
}

fn of_a(data: &[u8]) -> Upcasted {
    Upcasted { event_type: EventType::new("A").unwrap(), data: data.into(), content_type: None }
}

/// Fails, and leaves something behind.
struct Fails;

impl Upcast for Fails {
    fn upcast(&self, _: &RecordedEvent) -> Result<Vec<Upcasted>, NotUpcast> {
        let evidence = Evidence { stderr_tail: "two\nlines".into(), backtrace: "0: lift".into() };
        Err(NotUpcast { reason: "it trapped".into(), evidence })
    }
}

#[test]
fn who_failed_to_lift_an_event_is_told_with_what_it_left_behind() {
    let name = EventType::new("A").unwrap();
    let into = vec![Target { event_type: name.clone(), version: 2 }];
    let lift = Lift { event_type: name, from: 1, into };
    let step = Step { lift, origin: "u.wasm".into(), identity: "1".into(), upcast: Arc::new(Fails) };
    let error = Chain::new(vec![step]).unwrap().lift(&event("A", 1, "1")).unwrap_err();
    assert_eq!((error.upcaster.as_deref(), error.reason.as_str()), (Some("u.wasm"), "it trapped"));
    let told = "event 7 cannot be lifted to today's schema: A 1: u.wasm says: it trapped";
    assert_eq!((error.told().as_str(), error.to_string().as_str()), ("u.wasm says: it trapped", told));
    assert_eq!((error.evidence.stderr_tail.as_str(), error.evidence.backtrace.as_str()), ("two\nlines", "0: lift"));
    let lift = |from| format!("[[upcast]]\ntype = \"A\"\nfrom = {from}\nrules = []\n");
    let error = chain(&lift(2)).unwrap().lift(&event("A", 1, "1")).unwrap_err();
    assert_eq!((error.upcaster, *error.evidence), (None, Evidence::default()), "nothing lifts it");
}

#[test]
fn what_stored_types_become_is_told_apart_by_the_steps_that_they_go_through_and_no_others() {
    let lift = |name: &str, into: &str| format!("[[upcast]]\ntype = \"{name}\"\nfrom = 1\nto = 1\nas = \"{into}\"\n");
    let of = |text: &str, types: &[&str]| {
        let types: Vec<_> = types.iter().map(|name| EventType::new(*name).unwrap()).collect();
        chain(text).unwrap().digest_of(&types)
    };
    let (to_b, to_c) = (lift("A", "B"), lift("A", "B") + &lift("B", "C"));
    assert_eq!(of(&to_b, &["B", "X"]), "", "nothing lifts those");
    assert_eq!(of(&to_b, &["A", "B"]), of(&to_b, &["A"]));
    assert_ne!(of(&to_b, &["A"]), of(&to_c, &["A"]), "what it becomes is lifted on");
    assert_eq!(of(&to_c, &["A"]), of(&(to_c.clone() + &lift("X", "A")), &["A"]), "what else becomes one is another");
    assert_eq!(of(&to_c, &["A"]), chain(&to_c).unwrap().digest());
}

#[test]
fn what_an_event_becomes_is_bounded_with_its_labels_and_metadata_and_in_time() {
    let chain = makes(vec![of_a(b"1"); 64]);
    let mut heavy = event("A", 1, "1");
    heavy.metadata = (0..64).map(|key| (key.to_string(), "x".repeat(4096))).collect();
    let error = chain.lift(&heavy).unwrap_err().to_string();
    assert!(error.contains("more than 256 events, or 4194304 bytes"), "{error}");
    assert_eq!(chain.lift(&event("A", 1, "1")).unwrap().unwrap().len(), 64);
    let steps = std::cell::Cell::new(0);
    let twice = || steps.replace(steps.get() + 1) < 2;
    let three =
        "[[upcast]]\ntype = \"A\"\nfrom = 1\n[[upcast]]\ntype = \"A\"\nfrom = 2\n[[upcast]]\ntype = \"A\"\nfrom = 3";
    let three = self::chain(three).unwrap();
    let error = three.lift_while(&event("A", 1, "1"), &twice).unwrap_err().to_string();
    assert!(error.ends_with("A 1: lifting it takes more than 5 s"), "{error}");
    let made = Upcasted { content_type: Some("x".repeat(300)), ..of_a(b"1") };
    assert!(makes(vec![made]).lift(&event("A", 1, "1")).unwrap_err().to_string().contains("content type"));
}

#[test]
fn a_page_that_becomes_too_much_ends_earlier() {
    let chain = makes(vec![of_a(b"1"), of_a(b"2")]);
    let stored = || -> Vec<RecordedEvent> {
        (1..=5).map(|at| RecordedEvent { position: Position(at), ..event("A", 1, "1") }).collect()
    };
    let page = |portion: Portion<'_>, backwards: bool| {
        let (page, rest) = lift_page(portion, (&Query::all(), &Filter::all()), stored(), backwards);
        let data: Vec<_> = page.iter().map(|part| (part.position.0, part.data[0])).collect();
        (data, rest.iter().map(|event| event.position.0).collect::<Vec<_>>())
    };
    let whole = Portion::of(&chain);
    assert_eq!((page(whole, false).0.len(), page(Portion::of(&chain), false).1), (10, vec![]));
    let hour = std::time::Duration::from_secs(3600);
    // Each part has 8 bytes: its type, its data, its place and that key.
    let small = || Portion::of(&chain).within(17, hour);
    assert_eq!(page(small(), false), (vec![(1, b'1'), (1, b'2'), (2, b'1'), (2, b'2')], vec![3, 4, 5]));
    assert_eq!(page(small(), true).0[..2], [(1, b'2'), (1, b'1')], "parts stand in the order that the reader goes");
    let slow = Portion::of(&chain).within(usize::MAX, std::time::Duration::ZERO);
    assert_eq!(page(slow, false).1, vec![2, 3, 4, 5], "one is always lifted");
}

#[test]
fn rules_have_an_identity_of_their_own() {
    let text = r#"[[upcast]]
        type = "A"
        from = 1
        into = [{ type = "B", rules = [
            { add = "/a~1b", value = { x = 1 } }, { remove = "/c" }, { rename = "/d", to = "e" },
            { move = "/f", to = "/g/h" }, { convert = "/i", to = "integer" },
        ] }, { type = "C" }]"#;
    let steps = rules::read("t.toml", text).unwrap();
    let expected = r#"[["B",[["add","/a~1b","{\"x\":1}"],["remove","/c"],["rename","/d","e"],["move","/f","/g/h"],["convert","/i","integer"]]],["C",[]]]"#;
    assert_eq!(steps[0].identity, expected);
}

#[test]
fn rules_reach_into_arrays_and_make_what_is_missing() {
    let rules = |rules: &str| chain(&format!("[[upcast]]\ntype = \"A\"\nfrom = 1\nrules = [{rules}]")).unwrap();
    let data = |rule: &str, data: &str| lifted(&rules(rule), &event("A", 1, data)).remove(0).2;
    let items = r#"{"items":[{"n":"1"},{"n":2,"x":{"y":1}},3]}"#;
    assert_eq!(
        data(r#"{ convert = "/items/*/n", to = "integer" }"#, items),
        r#"{"items":[{"n":1},{"n":2,"x":{"y":1}},3]}"#
    );
    assert_eq!(data(r#"{ rename = "/items/1/n", to = "m" }"#, items), r#"{"items":[{"n":"1"},{"m":2,"x":{"y":1}},3]}"#);
    assert_eq!(
        data(r#"{ move = "/items/1/x/y", to = "/y" }"#, items),
        r#"{"items":[{"n":"1"},{"n":2,"x":{}},3],"y":1}"#
    );
    assert_eq!(data(r#"{ remove = "/no/such" }"#, items), items.replace(' ', ""));
    assert_eq!(data(r#"{ add = "/a/b", value = { c = [1, 2.5, true] } }"#, "{}"), r#"{"a":{"b":{"c":[1,2.5,true]}}}"#);
    assert_eq!(data(r#"{ add = "/a", value = 1 }"#, r#"{"a":null}"#), r#"{"a":null}"#, "what is there stays");
    let lost = rules(r#"{ move = "/items/1/n", to = "/items/9/n" }"#).lift(&event("A", 1, items)).unwrap_err();
    assert!(lost.to_string().contains("there is no place /items/9/n, to which /items/1/n is moved"), "{lost}");
    assert_eq!(data(r#"{ move = "/no", to = "/items/9/n" }"#, items), items.replace(' ', ""), "nothing is moved");
    let many = format!("[{}]", vec!["{}"; 100_000].join(","));
    let added = format!("{{ add = \"/*/a\", value = \"{}\" }}", "x".repeat(100));
    let error = rules(&added).lift(&event("A", 1, &many)).unwrap_err().to_string();
    assert!(error.contains("what is added at /*/a is more than 1048576 bytes"), "{error}");
    for (kind, from, to) in [
        ("string", "1.50", r#""1.50""#),
        ("string", "true", r#""true""#),
        ("number", r#""1.50""#, "1.50"),
        ("integer", r#"" -3.00""#, "-3"),
        ("boolean", r#""false""#, "false"),
        ("boolean", "1", "true"),
        ("integer", "null", "null"),
    ] {
        let rule = format!("{{ convert = \"/a\", to = \"{kind}\" }}");
        assert_eq!(data(&rule, &format!("{{\"a\":{from}}}")), format!("{{\"a\":{to}}}"), "{kind} of {from}");
    }
    for (kind, from) in
        [("integer", "1.5"), ("integer", r#""01""#), ("number", "true"), ("boolean", "2"), ("string", "[]")]
    {
        let chain = rules(&format!("{{ convert = \"/a\", to = \"{kind}\" }}"));
        assert!(chain.lift(&event("A", 1, &format!("{{\"a\":{from}}}"))).is_err(), "{kind} of {from}");
    }
}

#[test]
fn files_are_read_with_their_lines() {
    let wrong = |text: &str| rules::read("u.toml", text).unwrap_err().to_string();
    assert!(wrong("[[upcasts]]").starts_with("u.toml:1: unknown"), "{}", wrong("[[upcasts]]"));
    assert!(wrong("[[upcast]]\nfrom = 1").contains("a table that has `type`"));
    let rule = |rule: &str| wrong(&format!("[[upcast]]\ntype = \"A\"\nfrom = 1\nrules = [{rule}]"));
    for (text, says) in [
        ("{ add = \"/a\" }", "allowed is one rule"),
        ("{ remove = \"a\" }", "names no place"),
        ("{ remove = \"/a/*\" }", "ends in a key"),
        ("{ move = \"/a/*/b\", to = \"/c\" }", "without *"),
        ("{ rename = \"/a\", to = \"/b\" }", "`move` goes elsewhere"),
        ("{ convert = \"/a\", to = \"text\" }", "\"boolean\""),
    ] {
        let error = rule(text);
        assert!(error.starts_with("u.toml:4: ") && error.contains(says), "{error}");
    }
    for other in ["as = \"B\"", "to = 2", "rules = []"] {
        let both = wrong(&format!("[[upcast]]\ntype = \"A\"\nfrom = 1\ndrop = true\n{other}"));
        assert!(both.starts_with("u.toml:5: ") && both.contains("nothing beside drop = true"), "{both}");
    }
    let none = wrong("[[upcast]]\ntype = \"A\"\nfrom = 1\ninto = []");
    assert!(none.contains("at least one table; `drop = true` makes no event"), "{none}");
    assert!(rules::read("u.toml", "").unwrap().is_empty());
}

/// Steps of a few types whose versions rise along a path that ends: always a chain.
fn steps() -> impl Strategy<Value = Vec<(u8, u32, u32, u8)>> {
    // Of each type the highest version and what happens there: it stays, or becomes a later type.
    proptest::collection::vec((1..5_u32, 0..4_u8), 4).prop_map(|kinds| {
        let mut steps = Vec::new();
        for (index, (highest, leap)) in (0_u8..).zip(kinds) {
            steps.extend((1..highest).map(|from| (index, from, from + 1, index)));
            let next = index + leap;
            if leap > 0 && next < 4 {
                steps.push((index, highest, 1, next));
            }
        }
        steps
    })
}

fn name_of(kind: u8) -> String {
    format!("T{kind}")
}

fn text_of(steps: &[(u8, u32, u32, u8)]) -> String {
    let step = |(kind, from, to, into): &(u8, u32, u32, u8)| {
        format!(
            "[[upcast]]\ntype = \"{}\"\nfrom = {from}\nto = {to}\nas = \"{}\"\nrules = [{{ add = \"/{}_{from}\", value = 1 }}]\n",
            name_of(*kind),
            name_of(*into),
            name_of(*kind)
        )
    };
    steps.iter().map(step).collect()
}

proptest! {
    /// Whatever chain is accepted: every event comes to an end, each step on its way was taken once, it is found by
    /// the filter of its type of today, and lifting what is lifted changes nothing.
    #[test]
    fn accepted_chains_lift_everything_to_an_end_that_filters_find(steps in steps(), kind in 0..4_u8, version in 1..6_u32) {
        let chain = chain(&text_of(&steps)).unwrap();
        let stored = event(&name_of(kind), version, "{}");
        let (mut at, mut way) = ((kind, version), Vec::new());
        while let Some((_, from, to, into)) = steps.iter().find(|step| (step.0, step.1) == at) {
            way.push(format!("\"{}_{from}\":1", name_of(at.0)));
            at = (*into, *to);
        }
        let expected = (name_of(at.0), at.1, format!("{{{}}}", way.join(",")));
        prop_assert_eq!(lifted(&chain, &stored), vec![expected]);
        let today = types(&[&name_of(at.0)]);
        prop_assert!(chain.stored(&today).matches(&stored));
        let again = chain.lift(&stored).unwrap().map_or_else(|| stored.clone(), |mut parts| parts.remove(0));
        prop_assert_eq!(chain.lift(&again), Ok(None));
    }

    /// A chain from which one step in the middle is taken, or to which a way back is added, is refused.
    #[test]
    fn broken_chains_are_refused(highest in 3..7_u32, at in 1..5_u32) {
        let whole: Vec<_> = (1..highest).map(|from| (0, from, from + 1, 0)).collect();
        let missing = 1 + at % (highest - 2);
        let gap: Vec<_> = whole.iter().filter(|step| step.1 != missing + 1 || missing + 1 == highest).copied().collect();
        if gap.len() < whole.len() && missing + 1 < highest - 1 {
            let text = chain(&text_of(&gap)).unwrap_err().to_string();
            prop_assert!(text.contains(&format!("nothing lifts T0 {}", missing + 1)), "{}", text);
        }
        let mut back = whole.clone();
        back.extend([(0, highest, 1, 1), (1, 1, 1 + at % highest, 0)]);
        let text = chain(&text_of(&back)).unwrap_err().to_string();
        prop_assert!(text.starts_with("cycle: "), "{}", text);
        let mut twice = whole;
        twice.push((0, missing, missing + 1, 2));
        prop_assert!(chain(&text_of(&twice)).unwrap_err().to_string().starts_with("overlap: "));
    }

    /// No rule and no data make lifting panic, and what comes out is JSON.
    #[test]
    fn whatever_the_data_is_the_answer_is_json_or_an_error(data in ".{0,40}", path in "/[a-c*]{1,2}(/[a-c0-2*]{1,2}){0,2}/[a-c]") {
        let text = format!(
            "[[upcast]]\ntype = \"A\"\nfrom = 1\nrules = [{{ add = \"{path}\", value = 1 }}, {{ rename = \"{path}\", to = \"z\" }}, {{ convert = \"{path}\", to = \"string\" }}]"
        );
        let chain = chain(&text).unwrap();
        for data in [data.clone(), format!("{{\"a\":{{\"b\":{:?}}},\"b\":[1,{{}}]}}", data)] {
            if let Ok(Some(parts)) = chain.lift(&event("A", 1, &data)) {
                prop_assert!(serde_json::from_slice::<serde_json::Value>(&parts[0].data).is_ok());
            }
        }
    }
}
