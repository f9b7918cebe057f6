//! The protocol's promises, asked of the operations themselves over the strict fake.

mod access;
mod append;
mod read;
mod removed;
mod serving;
mod subscribe;

use std::sync::Arc;

use prost::Message as _;
use tonic::{Code, Status};

use super::append::append;
use super::message::{self, AppendCondition, Event, Query, QueryItem, SequencedEvent, TrackingInfo};
use crate::access::Policy;
use crate::clock::ManualClock;
use crate::gate::{Caller, Gate};
use crate::store::AsyncStore;
use crate::store::memory::MemoryStore;

fn store() -> AsyncStore {
    AsyncStore::new(Arc::new(MemoryStore::new(Arc::new(ManualClock::at(1)))))
}

/// Who calls a server that asks for no key.
fn anyone() -> Caller {
    Arc::new(Gate::new(Policy::open())).admit(&tonic::codegen::http::HeaderMap::new(), "a test").unwrap()
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn event(event_type: &str, tags: &[&str]) -> Event {
    Event { event_type: event_type.to_owned(), tags: texts(tags), data: b"1".to_vec(), ..Event::default() }
}

/// An event with an id that ends in a digit.
fn event_of_id(digit: u8, event_type: &str, tags: &[&str]) -> Event {
    Event { uuid: format!("0190e2a0-0000-7000-8000-00000000000{digit}"), ..event(event_type, tags) }
}

fn item(types: &[&str], tags: &[&str]) -> QueryItem {
    QueryItem { types: texts(types), tags: texts(tags) }
}

fn query(items: Vec<QueryItem>) -> Option<Query> {
    Some(Query { items })
}

fn request(events: Vec<Event>) -> message::AppendRequest {
    message::AppendRequest { events, ..message::AppendRequest::default() }
}

fn guarded(events: Vec<Event>, items: Vec<QueryItem>, after: Option<u64>) -> message::AppendRequest {
    let condition = AppendCondition { fail_if_events_match: query(items), after };
    message::AppendRequest { condition: Some(condition), ..request(events) }
}

fn tracked(events: Vec<Event>, source: &str, position: u64) -> message::AppendRequest {
    let tracking = TrackingInfo { source: source.to_owned(), position };
    message::AppendRequest { tracking_info: Some(tracking), ..request(events) }
}

/// Appends, and answers the position.
async fn appended(store: &AsyncStore, request: message::AppendRequest) -> u64 {
    append(store.clone(), anyone(), request).await.unwrap().position
}

/// Appends in vain; answers the code, and the kind and the text that the protocol's clients read.
async fn refused(store: &AsyncStore, request: message::AppendRequest) -> (Code, message::ErrorType, String) {
    let head = store.head();
    let status = append(store.clone(), anyone(), request).await.unwrap_err();
    assert_eq!(store.head(), head, "a refused append moved the head");
    told(&status)
}

fn told(status: &Status) -> (Code, message::ErrorType, String) {
    let details = message::ErrorResponse::decode(status.details()).unwrap();
    assert_eq!(details.message, status.message());
    (status.code(), details.error_type(), details.message)
}

fn positions(events: &[SequencedEvent]) -> Vec<u64> {
    events.iter().map(|event| event.position).collect()
}
