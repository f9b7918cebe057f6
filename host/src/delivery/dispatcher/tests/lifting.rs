//! Delivery through a chain: what is stored under older schemas is handed over in today's.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::delivery::lifting;
use crate::schema::{Chain, PART_KEY, rules};

fn chain(text: &str) -> Arc<Chain> {
    Arc::new(Chain::new(rules::read("u.toml", text).unwrap()).unwrap())
}

const SHOP: &str = r#"
[[upcast]]
type = "Old"
from = 1
to = 1
as = "New"
rules = [{ convert = "/n", to = "integer" }]

[[upcast]]
type = "Pair"
from = 1
to = 1
into = [{ type = "New" }, { type = "Rest" }, { type = "New" }]

[[upcast]]
type = "Noise"
from = 1
drop = true
"#;

async fn put(store: &Arc<dyn Store>, event_type: &str, data: &str) -> Position {
    let event = NewEvent::json(EventType::new(event_type).unwrap(), data);
    store.append(AppendRequest::unconditional(vec![event])).await.unwrap().last_position()
}

/// A plugin that listens to some types and remembers what it sees of each event: a line.
fn listener(types: &[&str]) -> Setup {
    let filter = Filter { types: types.iter().map(|name| Pattern::new(*name).unwrap()).collect(), ..Filter::default() };
    let handle = |event: &RecordedEvent, effects: &mut Effects| {
        let part = event.metadata.get(PART_KEY).map(String::as_str).unwrap_or_default();
        let line = format!("{}:{}:{part}:{}\n", event.position, event.event_type, event.json().unwrap());
        let mut seen = effects.state_get("lines").unwrap().unwrap_or_default();
        seen.extend_from_slice(line.as_bytes());
        effects.state_set("lines", seen).unwrap();
        let refused = event.data == b"{\"refuse\":1}" && part != "0";
        if refused { Err((Verdict::Reject, "refused".into())) } else { Ok(()) }
    };
    Setup { subscription: Subscription { filter, ..Subscription::default() }, ..setup(handle) }
}

fn lines(store: &Arc<dyn Store>) -> Vec<String> {
    let text = store.state_get(&plugin().into(), "lines").unwrap().unwrap_or_default();
    String::from_utf8(text).unwrap().lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn renamed_split_and_dropped_events_are_handed_over_as_they_are_today() {
    let store = store();
    for (event_type, data) in
        [("Old", r#"{"n":"7"}"#), ("New", "{}"), ("Noise", "1"), ("Pair", "{}"), ("Other", "1"), ("Old", "{}")]
    {
        put(&store, event_type, data).await;
    }
    let dispatcher = start(lifting(listener(&["New"]), &chain(SHOP)), &store);
    let status = until(&dispatcher, |status| status.checkpoint == Position(6)).await;
    let expected = ["1:New::{\"n\":7}", "2:New::{}", "4:New:0:{}", "4:New:2:{}", "6:New::{}"];
    assert_eq!(lines(&store), expected);
    assert_eq!((status.counters.handled, status.rebuild_due), (4, None), "stored events are counted");
    let page = store.read(&ReadRequest { limit: 1, ..ReadRequest::default() }).unwrap();
    assert_eq!((page.events[0].event_type.as_str(), &*page.events[0].data), ("Old", &br#"{"n":"7"}"#[..]));
}

#[tokio::test]
async fn a_plugin_that_no_lift_concerns_is_left_as_it_is() {
    let through = lifting(listener(&["Other"]), &chain(SHOP));
    assert_eq!(through.subscription, listener(&["Other"]).subscription);
    let all = lifting(listener(&[]), &chain(SHOP)).subscription;
    assert!(all.filter.is_all() && !all.lifts.is_empty());
}

#[tokio::test]
async fn an_event_that_cannot_be_lifted_is_set_aside_with_its_reason_and_handled_once_the_chain_is_mended() {
    let store = store();
    put(&store, "New", "{}").await;
    let bad = put(&store, "Old", r#"{"n":"many"}"#).await;
    put(&store, "Old", r#"{"n":3}"#).await;
    let dispatcher = start(lifting(listener(&["New"]), &chain(SHOP)), &store);
    let status = until(&dispatcher, |status| status.checkpoint == Position(3)).await;
    assert!(status.set_aside.parked == 1 && status.counters.faults.upcast >= 3, "{status:#?}");
    assert_eq!(lines(&store), ["1:New::{}", "3:New::{\"n\":3}"], "its handler was not called");
    let letter = store.dead_letter(&plugin().into(), bad).unwrap().unwrap();
    assert_eq!(letter.kind, "upcast");
    let says =
        "event 2 cannot be lifted to today's schema: Old 1: u.toml:2 says: the value at /n cannot be made an integer";
    assert!(letter.reason.starts_with(says), "{}", letter.reason);

    let mended = chain(&SHOP.replace("integer", "string"));
    dispatcher.swap(lifting(listener(&["New"]), &mended)).await.unwrap();
    let retried = dispatcher.retry_dead_letters(Retry::Position(bad)).await.unwrap();
    assert_eq!(retried.handled, 1);
    assert_eq!(lines(&store).last().unwrap(), "2:New::{\"n\":\"many\"}");
}

#[tokio::test]
async fn a_part_that_is_refused_sets_its_whole_event_aside() {
    let store = store();
    let (first, second) = (put(&store, "New", "{}").await, put(&store, "Pair", r#"{"refuse":1}"#).await);
    put(&store, "New", "{}").await;
    let dispatcher = start(lifting(listener(&["New", "Rest"]), &chain(SHOP)), &store);
    until(&dispatcher, |status| status.checkpoint == Position(3)).await;
    assert_eq!(
        lines(&store),
        [format!("{first}:New::{{}}"), "3:New::{}".to_owned()],
        "nothing of its first part stays"
    );
    let letter = store.dead_letter(&plugin().into(), second).unwrap().unwrap();
    assert_eq!((letter.kind.as_str(), letter.reason.as_str()), ("reject", "refused"));
}

#[tokio::test]
async fn what_parts_append_has_ids_of_its_own() {
    let store = store();
    put(&store, "Pair", "1").await;
    let handle = |event: &RecordedEvent, effects: &mut Effects| {
        effects.append(event.position, echo(event)).map_err(|error| (Verdict::Reject, error.to_string()))
    };
    let dispatcher = start(lifting(Setup { subscription: only("New"), ..setup(handle) }, &chain(SHOP)), &store);
    until(&dispatcher, |status| status.counters.emitted == 2).await;
    let echoes = echoes(&store);
    assert!(echoes.len() == 2 && echoes[0].id != echoes[1].id, "{echoes:?}");
}

#[tokio::test]
async fn a_state_that_was_built_through_other_lifts_is_told_until_it_is_built_anew() {
    let store = store();
    put(&store, "Old", r#"{"n":"1"}"#).await;
    let dispatcher = start(lifting(listener(&["New", "Old"]), &Arc::default()), &store);
    until(&dispatcher, |status| status.checkpoint == Position(1)).await;
    assert_eq!(lines(&store), ["1:Old::{\"n\":\"1\"}"]);
    dispatcher.swap(lifting(listener(&["New", "Old"]), &chain(SHOP))).await.unwrap();
    let told = until(&dispatcher, |status| status.rebuild_due.is_some()).await.rebuild_due.unwrap();
    assert!(told.contains("the upcasters"), "{told}");

    dispatcher.swap(lifting(listener(&["New", "Old"]), &Arc::default())).await.unwrap();
    let told = until(&dispatcher, |status| status.checkpoint == Position(1)).await.rebuild_due;
    assert!(told.is_some(), "nobody knows what was handled meanwhile");
    dispatcher.swap(lifting(listener(&["New", "Old"]), &chain(SHOP))).await.unwrap();

    let how = Rebuild::Begin { from: None, reason: "told".into(), live: "digest".into() };
    dispatcher.rebuild(lifting(listener(&["New", "Old"]), &chain(SHOP)), how).await.unwrap();
    until(&dispatcher, |status| status.generation == 1 && status.rebuild_due.is_none()).await;
    let owner = crate::store::Owner { plugin: plugin(), generation: 1 };
    let text = store.state_get(&owner, "lines").unwrap().unwrap();
    assert_eq!(String::from_utf8(text).unwrap(), "1:New::{\"n\":1}\n");
    dispatcher.stop().await;

    let again = start(lifting(listener(&["New", "Old"]), &chain(SHOP)), &store);
    assert_eq!(until(&again, |status| status.checkpoint == Position(1)).await.rebuild_due, None);
}

#[tokio::test]
async fn a_version_whose_events_are_lifted_is_made_ready_before_it_takes_over() {
    struct Ready(Arc<AtomicBool>);
    impl Handler for Ready {
        fn handle(&mut self, _: EventBatch, effects: Effects) -> Handled {
            Handled { effects, outcome: Ok(()), evidence: Evidence::default() }
        }

        fn warm_up(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let (store, ready) = (store(), Arc::new(AtomicBool::new(false)));
    let dispatcher = start(lifting(listener(&["New"]), &chain(SHOP)), &store);
    let handlers: Vec<Box<dyn Handler>> = vec![Box::new(Ready(Arc::clone(&ready)))];
    dispatcher.swap(lifting(Setup { handlers, ..listener(&["New"]) }, &chain(SHOP))).await.unwrap();
    assert!(ready.load(Ordering::Relaxed));
}
