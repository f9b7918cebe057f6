//! Delivery with a real store (the strict fake), a real runtime, and native handlers.

mod basics;
mod cost;
mod full_disk;
mod histories;
mod keys;
mod lifting;
mod partitions;
mod rebuilding;
mod rollback;
mod room;
mod standing;
mod stops;
mod storms;

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::clock::SystemClock;
use crate::delivery::{Backoff, Effects, EventBatch, Evidence, Failure, HandleError, Handled, Start, State, Verdict};
use crate::event::{EventType, Filter, NewEvent, Pattern, RecordedEvent, StreamName};
use crate::store::memory::MemoryStore;
use crate::store::{AppendRequest, DeadLetter, ReadRequest};

const DEADLINE: Duration = Duration::from_secs(60);

/// A handler made of a closure over single events; a failing one is named by its index.
struct Each<F>(F);

impl<F> Handler for Each<F>
where
    F: FnMut(&RecordedEvent, &mut Effects) -> Result<(), (Verdict, String)> + Send + 'static,
{
    fn handle(&mut self, batch: EventBatch, mut effects: Effects) -> Handled {
        let failed = batch.iter().enumerate().find_map(|(index, event)| {
            let (verdict, reason) = (self.0)(event, &mut effects).err()?;
            Some(HandleError::Failure(Failure { index, verdict, reason }))
        });
        Handled { effects, outcome: failed.map_or(Ok(()), Err), evidence: Evidence::default() }
    }
}

fn plugin() -> PluginName {
    PluginName::new("p").unwrap()
}

fn setup<F>(handle: F) -> Setup
where
    F: FnMut(&RecordedEvent, &mut Effects) -> Result<(), (Verdict, String)> + Send + 'static,
{
    let backoff = Backoff { initial_ms: 1, max_ms: 2, jitter: false };
    Setup {
        plugin: plugin(),
        subscription: Subscription::default(),
        policy: Policy { batch_events_max: 16, max_attempts: 3, backoff, ..Policy::default() },
        append: Permit::of([Pattern::new("Echo*").unwrap()]),
        component_digest: "digest".into(),
        manifest_digest: String::new(),
        handlers: vec![Box::new(Each(handle))],
    }
}

fn store() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new(Arc::new(SystemClock)))
}

fn start(setup: Setup, store: &Arc<dyn Store>) -> Dispatcher {
    spawn(setup, Arc::clone(store), Arc::new(SystemClock))
}

/// Appends events of one type whose data is their number.
async fn append(store: &Arc<dyn Store>, event_type: &str, numbers: std::ops::Range<u32>) {
    let event = |number: u32| NewEvent::json(EventType::new(event_type).unwrap(), number.to_string());
    store.append(AppendRequest::unconditional(numbers.map(event).collect())).await.unwrap();
}

async fn until(dispatcher: &Dispatcher, condition: impl FnMut(&Status) -> bool) -> Status {
    let mut watch = dispatcher.watch();
    let reached = tokio::time::timeout(DEADLINE, watch.wait_for(condition)).await;
    let Ok(reached) = reached else { panic!("it never came to that: {:#?}", dispatcher.status()) };
    reached.expect("the task lives").clone()
}

/// Adds the event's data to the list in the state: what was handled, in order.
fn remember(event: &RecordedEvent, effects: &mut Effects) {
    let mut seen = effects.state_get("seen").unwrap().unwrap_or_default();
    seen.extend_from_slice(&event.data);
    seen.push(b' ');
    effects.state_set("seen", seen).unwrap();
}

fn seen(store: &Arc<dyn Store>) -> Vec<u32> {
    numbers(store, "seen")
}

/// The list in the state under a key.
fn numbers(store: &Arc<dyn Store>, key: &str) -> Vec<u32> {
    let seen = store.state_get(&plugin().into(), key).unwrap().unwrap_or_default();
    String::from_utf8(seen).unwrap().split_whitespace().map(|number| number.parse().unwrap()).collect()
}

fn echo(event: &RecordedEvent) -> NewEvent {
    NewEvent::json(EventType::new("Echoed").unwrap(), event.data.clone())
}

fn echoes(store: &Arc<dyn Store>) -> Vec<RecordedEvent> {
    let filter = Filter { types: vec![Pattern::new("Echoed").unwrap()], ..Filter::default() };
    store.read(&ReadRequest { query: filter.into(), limit: 10_000, ..ReadRequest::default() }).unwrap().events
}

fn only(event_type: &str) -> Subscription {
    let filter = Filter { types: vec![Pattern::new(event_type).unwrap()], ..Filter::default() };
    Subscription { filter, ..Subscription::default() }
}

/// Appends events numbered from `from`, each to the stream of its letter.
async fn append_to(store: &Arc<dyn Store>, from: u32, streams: &str) {
    append_as(store, "N", from, streams).await;
}

/// The same of another type.
async fn append_as(store: &Arc<dyn Store>, event_type: &str, from: u32, streams: &str) {
    let event = |(number, letter): (u32, char)| NewEvent {
        stream: Some(StreamName::new(letter).unwrap()),
        ..NewEvent::json(EventType::new(event_type).unwrap(), number.to_string())
    };
    store.append(AppendRequest::unconditional((from..).zip(streams.chars()).map(event).collect())).await.unwrap();
}

/// Adds the event's data to the list of its stream.
fn remember_by_stream(event: &RecordedEvent, effects: &mut Effects) {
    let key = event.stream.as_ref().unwrap().as_str();
    let mut seen = effects.state_get(key).unwrap().unwrap_or_default();
    seen.extend_from_slice(&event.data);
    seen.push(b' ');
    effects.state_set(key, seen).unwrap();
}

fn set_aside(store: &Arc<dyn Store>) -> Vec<DeadLetter> {
    let letters = store.dead_letters(&plugin().into(), Position::START, 10_000).unwrap();
    letters.into_iter().filter(|letter| !letter.is_discarded()).collect()
}

fn data(event: &RecordedEvent) -> u32 {
    std::str::from_utf8(&event.data).unwrap().parse().unwrap()
}
