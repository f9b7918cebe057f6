//! Keys: every method asks for one, and a narrowed one sees and writes what it is for.

use http_body_util::BodyExt as _;
use tokio::sync::watch;
use tonic::body::Body;
use tonic::codegen::Service as _;
use tonic::codegen::http;

use super::*;
use crate::access::{Keys, NewKey, Scope, Secret};
use crate::config::Limits;
use crate::event::Pattern;
use crate::grpc::message::{HeadRequest, ReadRequest, SubscribeRequest, TrackingRequest};
use crate::grpc::service::Dcb;

const METHODS: [&str; 5] = ["Append", "Head", "GetTrackingInfo", "Read", "Subscribe"];

fn secret(byte: u8) -> Secret {
    Secret::of_bytes(&[byte; 32])
}

fn keys() -> Keys {
    let mut keys = Keys::default();
    for (byte, name, scope, types) in [
        (0, "reader", Scope::Read, &[][..]),
        (1, "appender", Scope::Append, &[]),
        (2, "narrow-reader", Scope::Read, &["Order*"]),
        (3, "narrow-appender", Scope::Append, &["Order*"]),
    ] {
        let types = types.iter().map(|&name: &&str| Pattern::new(name).unwrap()).collect();
        let (scopes, streams) = (vec![scope], Vec::new());
        let key = NewKey { name: name.parse().unwrap(), scopes, streams, types, created: String::new() };
        keys.add(key, &secret(byte)).unwrap();
    }
    keys
}

/// A service that asks for keys, over a log with two events.
struct Guarded {
    gate: Arc<Gate>,
    service: Dcb,
    _closing: watch::Sender<bool>,
}

impl Guarded {
    async fn new() -> Self {
        let store = store();
        appended(&store, request(vec![event("OrderPlaced", &["a"]), event("Paid", &["a"])])).await;
        let gate = Arc::new(Gate::new(Policy::of_keys(keys())));
        let (closing, closed) = watch::channel(false);
        Self { service: Dcb::new(store, Arc::clone(&gate), closed, &Limits::default()), gate, _closing: closing }
    }

    async fn open(&self, key: Option<u8>, method: &str, message: &impl prost::Message) -> http::Response<Body> {
        let bytes = message.encode_to_vec();
        let mut framed = vec![0];
        framed.extend_from_slice(&u32::try_from(bytes.len()).unwrap().to_be_bytes());
        framed.extend_from_slice(&bytes);
        let request = http::Request::post(format!("/umadb.v1.DCB/{method}")).header("content-type", "application/grpc");
        let request = match key {
            Some(byte) => request.header("authorization", format!("Bearer {}", secret(byte).reveal())),
            None => request,
        };
        let body = Body::new(http_body_util::Full::new(bytes::Bytes::from(framed)));
        self.service.clone().call(request.body(body).unwrap()).await.unwrap_or_else(|never| match never {})
    }

    /// What becomes of a call: its code, and how many bytes it answers.
    async fn call(&self, key: Option<u8>, method: &str, message: &impl prost::Message) -> (Code, usize) {
        let response = self.open(key, method, message).await;
        let header = response.headers().clone();
        let whole = response.into_body().collect().await.unwrap();
        let status = whole.trailers().and_then(Status::from_header_map).or_else(|| Status::from_header_map(&header));
        (status.unwrap().code(), whole.to_bytes().len())
    }
}

#[tokio::test]
async fn every_method_asks_for_a_key() {
    let guarded = Guarded::new().await;
    for method in METHODS {
        for key in [None, Some(99)] {
            let (code, bytes) = guarded.call(key, method, &HeadRequest {}).await;
            assert_eq!((code, bytes), (Code::Unauthenticated, 0), "{method} by {key:?}");
        }
    }
}

#[tokio::test]
async fn a_key_may_do_what_it_is_for() {
    let guarded = Guarded::new().await;
    let append = |name: &str| request(vec![event(name, &[])]);
    let tracked = tracked(vec![event("OrderPaid", &[])], "source", 7);
    let item = |name: &str| super::guarded(vec![event("OrderPaid", &[])], vec![super::item(&[name], &["b"])], None);
    let source = TrackingRequest { source: "source".to_owned() };
    for (key, code) in [(0, Code::PermissionDenied), (1, Code::Ok), (2, Code::PermissionDenied)] {
        assert_eq!(guarded.call(Some(key), "Append", &append("Paid")).await.0, code, "{key}");
        assert_eq!(guarded.call(Some(key), "Head", &HeadRequest {}).await.0, Code::Ok, "{key}");
        assert_eq!(guarded.call(Some(key), "GetTrackingInfo", &source).await.0, Code::Ok, "{key}");
    }
    for (message, code) in [
        (append("OrderPaid"), Code::Ok),
        (append("Paid"), Code::PermissionDenied),
        (tracked, Code::PermissionDenied),
        (item("OrderPaid"), Code::Ok),
        (item("Paid"), Code::PermissionDenied),
        (request(Vec::new()), Code::Ok),
    ] {
        assert_eq!(guarded.call(Some(3), "Append", &message).await.0, code, "{message:?}");
    }
    let read = ReadRequest::default();
    let (all, some) = (guarded.call(Some(0), "Read", &read).await, guarded.call(Some(2), "Read", &read).await);
    assert_eq!((all.0, some.0), (Code::Ok, Code::Ok));
    assert!(some.1 < all.1 && some.1 > 0, "{some:?} {all:?}");
    for method in ["Read", "Subscribe"] {
        assert_eq!(guarded.call(Some(1), method, &read).await.0, Code::PermissionDenied, "{method}");
    }
}

#[tokio::test]
async fn a_subscription_ends_with_its_key() {
    let guarded = Guarded::new().await;
    let mut body = guarded.open(Some(0), "Subscribe", &SubscribeRequest::default()).await.into_body();
    assert!(body.frame().await.unwrap().unwrap().is_data());
    guarded.gate.replace(Policy::of_keys(Keys::default()));
    let last = body.frame().await.unwrap().unwrap().into_trailers().unwrap();
    assert_eq!(Status::from_header_map(&last).unwrap().code(), Code::Unauthenticated);
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn a_query_that_is_too_large_once_it_is_narrowed_is_refused_with_the_reason() {
    let guarded = Guarded::new().await;
    // Each item is narrowed to every type that the key is for.
    let asked = |items: usize| query(vec![item(&[], &["a"]); items]);
    let mut wide = keys();
    let types = (0..20).map(|n| Pattern::new(format!("Order{n}*")).unwrap()).collect();
    let (name, scopes) = ("wide".parse().unwrap(), vec![Scope::Read]);
    wide.add(NewKey { name, scopes, streams: Vec::new(), types, created: String::new() }, &secret(4)).unwrap();
    guarded.gate.replace(Policy::of_keys(wide));
    let read = |items| ReadRequest { query: asked(items), ..ReadRequest::default() };
    assert_eq!(guarded.call(Some(4), "Read", &read(400)).await.0, Code::Ok);
    assert_eq!(guarded.call(Some(0), "Read", &read(1000)).await.0, Code::Ok, "a key that is not narrowed");
    for method in ["Read", "Subscribe"] {
        let refused = guarded.open(Some(4), method, &read(1000)).await;
        let status = Status::from_header_map(refused.headers()).expect("it is refused before anything is sent");
        let (code, kind, text) = told(&status);
        assert_eq!((code, kind), (Code::InvalidArgument, message::ErrorType::InvalidArgument), "{method}");
        assert!(text.contains("narrowed to what the key is for") && text.contains("21000"), "{text}");
    }
}

#[tokio::test]
async fn an_id_that_is_taken_tells_of_its_event_only_to_who_may_read_it() {
    let guarded = Guarded::new().await;
    let taken = event_of_id(1, "Paid", &["secret"]);
    assert_eq!(guarded.call(Some(1), "Append", &request(vec![taken])).await.0, Code::Ok);
    let other = guarded.open(Some(3), "Append", &request(vec![event_of_id(1, "OrderPaid", &[])])).await;
    let (_, _, text) = told(&Status::from_header_map(other.headers()).unwrap());
    assert!(text.contains("is taken by another event") && !text.contains("position"), "{text}");
}
