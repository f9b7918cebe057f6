use futures::{StreamExt as _, TryStreamExt as _};
use tokio::sync::watch;
use tonic::{Request, Response};

use super::super::message::{ErrorType, ReadRequest, SubscribeRequest};
use super::super::removed::{COMPLETE, REMOVED_BEFORE};
use super::super::service::Dcb;
use super::*;
use crate::config::Limits;
use crate::event::{Category, EventType, NewEvent, Position, StreamName};
use crate::store::AppendRequest;

/// A service over a log of an event without a stream, two removed ones of orders, and another without a stream. It
/// ends with the sender.
async fn service() -> (Dcb, watch::Sender<bool>) {
    let store = store();
    let on_stream = |stream: Option<&str>| NewEvent {
        stream: stream.map(|name| StreamName::new(name).unwrap()),
        ..NewEvent::json(EventType::new("A").unwrap(), "1")
    };
    let events = [None, Some("order-1"), Some("order-2"), None].map(on_stream).into();
    store.append(AppendRequest::unconditional(events)).await.unwrap();
    store.remove(Category::new("order").unwrap(), Position(4)).await.unwrap();
    let (closing, closed) = watch::channel(false);
    (Dcb::new(store, Arc::new(Gate::new(Policy::open())), closed, &Limits::default()), closing)
}

fn told<T>(response: &Response<T>) -> Option<&str> {
    response.metadata().get(REMOVED_BEFORE).map(|value| value.to_str().unwrap())
}

fn reading(start: u64, backwards: bool, complete: &str) -> Request<ReadRequest> {
    let asked = ReadRequest { start: Some(start), backwards: Some(backwards), ..ReadRequest::default() };
    let mut request = Request::new(asked);
    request.metadata_mut().insert(COMPLETE, complete.parse().unwrap());
    request
}

#[tokio::test]
async fn a_read_tells_of_removed_events_before_it_sends_others() {
    let (service, _closing) = service().await;
    let cases = [
        (reading(1, false, "false"), Some("4"), vec![1, 4]),
        (reading(4, true, "false"), Some("4"), vec![4, 1]),
        (reading(3, false, "false"), Some("4"), vec![4]),
        (reading(4, false, "true"), None, vec![4]),
    ];
    for (request, before, expected) in cases {
        let response = service.read(&anyone(), request).unwrap();
        assert_eq!(told(&response), before, "{expected:?}");
        let messages: Vec<_> = response.into_inner().try_collect().await.unwrap();
        assert_eq!(messages.iter().flat_map(|message| positions(&message.events)).collect::<Vec<_>>(), expected);
    }
}

#[tokio::test]
async fn a_read_that_wants_all_is_refused_when_some_are_removed() {
    let (service, _closing) = service().await;
    let messages = service.read(&anyone(), reading(3, false, "true")).unwrap().into_inner();
    let (code, kind, text) = super::told(&messages.try_collect::<Vec<_>>().await.unwrap_err());
    assert_eq!((code, kind), (Code::NotFound, ErrorType::InvalidArgument));
    assert!(text.contains("order") && text.contains('4'), "{text}");
    let status = service.read(&anyone(), reading(3, false, "yes")).err().unwrap();
    assert!(status.message().contains("neither true nor false"), "{status}");
}

#[tokio::test]
async fn a_subscription_tells_of_removed_events_behind_its_start() {
    let (service, _closing) = service().await;
    for (after, before, expected) in [(0, Some("4"), 1), (2, Some("4"), 4), (3, None, 4)] {
        let asked = SubscribeRequest { after: Some(after), batch_size: Some(1), ..SubscribeRequest::default() };
        let response = service.subscribe(&anyone(), Request::new(asked)).unwrap();
        assert_eq!(told(&response), before);
        let message = Box::pin(response.into_inner()).next().await.unwrap().unwrap();
        assert_eq!(positions(&message.events), [expected]);
    }
}
