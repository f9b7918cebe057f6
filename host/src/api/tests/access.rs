//! Keys: what each route demands, what a narrowed key sees and writes, and what ends with a key.

use axum::http::Method;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use futures::StreamExt as _;

use super::*;
use crate::access::{Keys, NewKey, Policy, Scope, Secret};
use crate::api::access::{DEMANDS, Demand, guard};
use crate::event::Pattern;
use crate::gate::Gate;

const READER: u8 = 0;
const APPENDER: u8 = 1;
const OPERATOR: u8 = 2;
pub(super) const SHOP: u8 = 3;
pub(super) const TYPES: u8 = 4;

fn secret(byte: u8) -> Secret {
    Secret::of_bytes(&[byte; 32])
}

fn keys() -> Keys {
    let mut keys = Keys::default();
    for (byte, name, scopes, streams, types) in [
        (READER, "reader", &[Scope::Read][..], &[][..], &[][..]),
        (APPENDER, "appender", &[Scope::Append], &[], &[]),
        (OPERATOR, "operator", &[Scope::Admin], &[], &[]),
        (SHOP, "shop", &[Scope::Read, Scope::Append], &["order-", "cart-"], &[]),
        (TYPES, "types", &[Scope::Read, Scope::Append], &[], &["Order*"]),
    ] {
        let key = NewKey {
            name: name.parse().unwrap(),
            scopes: scopes.to_vec(),
            streams: streams.iter().map(|&prefix: &&str| prefix.to_owned()).collect(),
            types: types.iter().map(|&name: &&str| Pattern::new(name).unwrap()).collect(),
            created: String::new(),
        };
        keys.add(key, &secret(byte)).unwrap();
    }
    keys
}

/// An API that asks for keys, over a log with four events.
pub(super) struct Guarded {
    pub(super) api: Api,
    gate: Arc<Gate>,
}

impl Guarded {
    pub(super) async fn new() -> Self {
        let api = Api::new();
        let gate = Arc::new(Gate::new(Policy::open()));
        let _ = api.state.clone().with_gate(Arc::clone(&gate));
        api.fill("order-1", &["OrderPlaced", "Paid"]).await;
        api.fill("cart-1", &["Filled"]).await;
        api.fill("payment-1", &["OrderRefunded"]).await;
        gate.replace(Policy::of_keys(keys()));
        Self { api, gate }
    }

    async fn ask(&self, key: Option<u8>, method: &str, path: &str, body: &str) -> (u16, HeaderMap, String) {
        let bearer = key.map(|byte| format!("Bearer {}", secret(byte).reveal()));
        let fields: Vec<_> = bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
        self.api.exchange(method, path, &fields, body.to_owned()).await
    }

    pub(super) async fn json(&self, key: u8, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let (status, _, text) = self.ask(Some(key), method, path, &body.to_string()).await;
        (status, serde_json::from_str(&text).unwrap())
    }

    pub(super) async fn get(&self, key: u8, path: &str) -> (u16, Value) {
        self.json(key, "GET", path, &Value::Null).await
    }

    /// The head of an answer, whose body may have no end.
    async fn status(&self, key: Option<u8>, method: &Method, path: &str) -> (u16, HeaderMap) {
        let request = Request::builder().method(method).uri(path);
        let request = match key {
            Some(byte) => request.header(header::AUTHORIZATION, format!("Bearer {}", secret(byte).reveal())),
            None => request,
        };
        let response = self.api.respond(request.body(Body::empty()).unwrap()).await;
        (response.status().as_u16(), response.headers().clone())
    }
}

/// A path of a route.
fn path_of(route: &str) -> String {
    let id = "0190e2a0-0000-7000-8000-000000000001";
    [
        ("{aggregate}", "order"),
        ("{aggregate_id}", "1"),
        ("{command_id}", "c"),
        ("{id}", id),
        ("{stream}", "order-1"),
        ("{name}", "billing"),
        ("{*key}", "k"),
        ("{*query}", "q"),
        ("{position}", "1"),
    ]
    .into_iter()
    .fold(route.to_owned(), |path, (name, value)| path.replace(name, value))
}

#[tokio::test]
async fn every_route_demands_a_key_and_its_scope() {
    let guarded = Guarded::new().await;
    for (method, route, demand) in DEMANDS {
        let path = path_of(route);
        let what = format!("{method} {route}");
        let (nobody, header) = guarded.status(None, method, &path).await;
        if *demand == Demand::Open {
            assert_eq!(nobody, 200, "{what}");
            continue;
        }
        assert_eq!(
            (nobody, &header["www-authenticate"]),
            (401, &"Bearer realm=\"tidemill\"".parse().unwrap()),
            "{what}"
        );
        let (stranger, header) = guarded.status(Some(99), method, &path).await;
        assert_eq!(stranger, 401, "{what}");
        assert!(header["www-authenticate"].to_str().unwrap().ends_with("error=\"invalid_token\""), "{what}");
        let may = match demand {
            Demand::Open => continue,
            Demand::Metrics | Demand::Read => [true, false, true, true],
            Demand::ReadAll => [true, false, true, false],
            Demand::Append => [false, true, true, true],
            Demand::Admin => [false, false, true, false],
        };
        for (key, may) in [READER, APPENDER, OPERATOR, SHOP].into_iter().zip(may) {
            // With the last of them: it changes what is there.
            let (status, _) = guarded.status(Some(key), method, &path).await;
            assert_eq!(status != 403, may, "{what} by key {key}: {status}");
            assert!(!matches!(status, 401 | 405), "{what} by key {key}: {status}");
        }
    }
    let (status, _, text) = guarded.ask(Some(OPERATOR), "GET", "/v1/nothing", "").await;
    assert!(status == 404 && text.contains("there is nothing at /v1/nothing"), "{text}");
    assert_eq!(guarded.ask(None, "GET", "/v1/nothing", "").await.0, 401, "not even what there is");
}

#[tokio::test]
async fn a_route_that_demands_nothing_is_not_served() {
    let state = Api::new().state;
    let forgotten = Router::new()
        .route("/v1/forgotten", get(async || "served"))
        .layer(from_fn_with_state(state.clone(), guard))
        .with_state::<()>(state);
    let answer = forgotten.oneshot(Request::get("/v1/forgotten").body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), 405);
}

#[tokio::test]
async fn methods_that_a_route_has_are_named() {
    let (status, header, _) = Api::new().exchange("PUT", "/v1/events", &[], "").await;
    assert_eq!((status, header["allow"].to_str().unwrap()), (405, "GET,HEAD,POST"));
}

#[tokio::test]
async fn a_narrowed_key_sees_only_what_it_is_for() {
    let guarded = Guarded::new().await;
    for (key, path, seen) in [
        (READER, "/v1/events", &[1, 2, 3, 4][..]),
        (SHOP, "/v1/events", &[1, 2, 3]),
        (SHOP, "/v1/events?stream=payment-1", &[]),
        (SHOP, "/v1/events?stream=*1&type=Paid", &[]),
        (SHOP, "/v1/events?category=cart", &[3]),
        (SHOP, "/v1/events?type=Paid", &[2]),
        (SHOP, "/v1/streams/order-1", &[1, 2]),
        (TYPES, "/v1/events", &[1, 4]),
        (TYPES, "/v1/events?type=Paid", &[]),
        (TYPES, "/v1/streams/order-1", &[1]),
        (TYPES, "/v1/events?direction=backwards&limit=1", &[4]),
    ] {
        let (status, page) = guarded.get(key, path).await;
        assert_eq!((status, positions(&page).as_slice()), (200, seen), "{path} by key {key}: {page}");
    }
    let names = |page: Value| -> Vec<String> {
        page["streams"].as_array().unwrap().iter().map(|row| row["stream"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(guarded.get(SHOP, "/v1/streams").await.1), ["cart-1", "order-1"]);
    let first = guarded.get(SHOP, "/v1/streams?limit=1").await.1;
    let next = first["next"].as_str().unwrap().to_owned();
    assert_eq!(names(first), ["cart-1"]);
    assert_eq!(names(guarded.get(SHOP, &next).await.1), ["order-1"]);
    assert_eq!(names(guarded.get(SHOP, "/v1/streams?prefix=pay").await.1), [""; 0]);
}

#[tokio::test]
async fn a_stream_out_of_reach_is_forbidden_and_an_event_out_of_reach_is_not_there() {
    let guarded = Guarded::new().await;
    for path in ["/v1/streams/payment-1", "/v1/streams/payment-2", "/v1/streams/payment-1/subscribe"] {
        let (status, problem) = guarded.get(SHOP, path).await;
        assert_eq!((status, &problem["scope"]), (403, &json!("read")), "{path}: whether it is there or not");
        assert_eq!(problem["type"], "urn:tidemill:problem:denied");
    }
    let all = guarded.get(READER, "/v1/events").await.1;
    let id = |index: usize| format!("/v1/events/{}", all["events"][index]["id"].as_str().unwrap());
    assert_eq!(guarded.get(SHOP, &id(0)).await.0, 200);
    let hidden = guarded.get(SHOP, &id(3)).await;
    let absent = guarded.get(SHOP, "/v1/events/0190e2a0-0000-7000-8000-000000000001").await;
    assert_eq!((hidden.0, &hidden.1["title"]), (absent.0, &absent.1["title"]));
    assert_eq!(hidden.0, 404);
}

#[tokio::test]
async fn an_id_that_is_taken_tells_of_its_event_only_to_who_may_read_it() {
    let guarded = Guarded::new().await;
    let all = guarded.get(READER, "/v1/events").await.1;
    let (order, payment) = (&all["events"][0]["id"], &all["events"][3]["id"]);
    let taken = |id: &Value| json!({ "events": [{ "id": id, "type": "Other", "stream": "order-7" }] });
    for (key, id, position) in [
        (OPERATOR, payment, json!(4)),
        (SHOP, order, json!(1)),
        (SHOP, payment, Value::Null),
        (APPENDER, order, Value::Null),
    ] {
        let (status, problem) = guarded.json(key, "POST", "/v1/events", &taken(id)).await;
        assert_eq!((status, &problem["type"]), (409, &json!("urn:tidemill:problem:id-conflict")), "{problem}");
        assert_eq!((&problem["position"], &problem["id"]), (&position, id), "key {key}: {problem}");
        let tells = problem["detail"].as_str().unwrap().contains("position");
        assert_eq!(tells, !position.is_null(), "key {key}: {problem}");
    }
    let line = json!({ "id": payment, "type": "Other", "stream": "order-7" }).to_string();
    let bearer = format!("Bearer {}", secret(SHOP).reveal());
    let fields = [NDJSON[0], ("authorization", bearer.as_str())];
    let (_, _, text) = guarded.api.exchange("POST", "/v1/events", &fields, line).await;
    let first: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!((&first["problem"]["status"], &first["problem"]["position"]), (&json!(409), &Value::Null), "{text}");
}

#[tokio::test]
async fn an_idempotency_key_is_a_keys_own() {
    let guarded = Guarded::new().await;
    let append = async |key: u8, body: &str| {
        let bearer = format!("Bearer {}", secret(key).reveal());
        let fields = [("authorization", bearer.as_str()), ("idempotency-key", "one")];
        let (status, _, text) = guarded.api.exchange("POST", "/v1/events", &fields, body.to_owned()).await;
        (status, serde_json::from_str::<Value>(&text).unwrap()["first_position"].clone())
    };
    let (ours, theirs) = (r#"{"events":[{"type":"A","stream":"order-1"}]}"#, r#"{"events":[{"type":"B"}]}"#);
    assert_eq!(append(SHOP, ours).await, (201, json!(5)));
    assert_eq!(append(APPENDER, theirs).await, (201, json!(6)), "another key, another request");
    assert_eq!(append(SHOP, ours).await, (201, json!(5)), "sent again");
    assert_eq!(append(APPENDER, theirs).await, (201, json!(6)), "sent again");
    assert_eq!(append(APPENDER, ours).await.0, 409, "the same key of the same holder for something else");
}

#[tokio::test]
async fn where_the_log_ends_is_told_to_nobody_without_a_key() {
    let guarded = Guarded::new().await;
    let (status, _, text) = guarded.ask(None, "GET", "/readyz", "").await;
    assert!(status == 200 && !text.contains("head"), "{text}");
    guarded.gate.replace(Policy::open());
    let (_, _, text) = guarded.ask(None, "GET", "/readyz", "").await;
    assert!(text.contains("\"head\":4"), "{text}");
}

#[tokio::test]
async fn a_narrowed_append_that_goes_beyond_is_refused_whole() {
    let guarded = Guarded::new().await;
    let here = json!({ "type": "OrderPlaced", "stream": "order-9" });
    let guard = |item: Value| json!({ "events": [here.clone()], "condition": { "fail_if_match": [item], "after": 4 } });
    for (key, body) in [
        (SHOP, json!({ "events": [here, { "type": "Paid", "stream": "payment-1" }] })),
        (SHOP, json!({ "events": [here, { "type": "Paid" }] })),
        (SHOP, json!({ "events": [here], "expected": [{ "stream": "payment-1", "version": 1 }] })),
        (SHOP, guard(json!({ "types": ["Paid"] }))),
        (SHOP, guard(json!({ "streams": ["o*"] }))),
        (TYPES, json!({ "events": [{ "type": "Paid", "stream": "order-9" }] })),
    ] {
        let (status, problem) = guarded.json(key, "POST", "/v1/events", &body).await;
        assert_eq!((status, &problem["scope"]), (403, &json!("append")), "{body}: {problem}");
        assert_eq!(guarded.api.store.head(), Position(4), "{body}");
    }
    assert_eq!(guarded.ask(Some(SHOP), "DELETE", "/v1/streams/payment-1", "").await.0, 403);
    assert_eq!(guarded.ask(Some(TYPES), "DELETE", "/v1/streams/order-1", "").await.0, 403, "a tombstone has its type");
    let (status, _) = guarded.json(SHOP, "POST", "/v1/events", &guard(json!({ "streams": ["order-9"] }))).await;
    assert_eq!(status, 201);
    assert_eq!(guarded.ask(Some(SHOP), "DELETE", "/v1/streams/order-9", "").await.0, 200);
}

#[tokio::test]
async fn a_line_beyond_reach_is_refused_alone() {
    let guarded = Guarded::new().await;
    let lines = "{\"type\":\"A\",\"stream\":\"order-1\"}\n{\"type\":\"B\",\"stream\":\"payment-1\"}\n";
    let bearer = format!("Bearer {}", secret(SHOP).reveal());
    let fields = [NDJSON[0], ("authorization", bearer.as_str())];
    let (status, _, text) = guarded.api.exchange("POST", "/v1/events", &fields, lines).await;
    let answers: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((status, answers.len()), (200, 3), "{text}");
    assert_eq!((&answers[0]["position"], &answers[1]["problem"]["status"]), (&json!(5), &json!(403)), "{text}");
    assert_eq!((&answers[2]["stored"], &answers[2]["refused"]), (&json!(1), &json!(1)), "{text}");
}

#[tokio::test]
async fn a_subscription_ends_with_its_key_and_sees_only_what_it_is_for() {
    let guarded = Guarded::new().await;
    let open = async |key: u8| {
        let request = Request::get("/v1/events/subscribe")
            .header(header::AUTHORIZATION, format!("Bearer {}", secret(key).reveal()))
            .body(Body::empty());
        guarded.api.respond(request.unwrap()).await.into_body().into_data_stream()
    };
    let (mut shop, mut reader) = (open(SHOP).await, open(READER).await);
    let page = tokio::time::timeout(DEADLINE, shop.next()).await.expect("a page").unwrap().unwrap();
    let page = String::from_utf8(page.into()).unwrap();
    assert!(page.contains("id: 3\n") && !page.contains("id: 4\n"), "{page}");
    assert!(tokio::time::timeout(DEADLINE, reader.next()).await.expect("a page").is_some());
    let mut left = keys();
    assert!(left.remove(&"shop".parse().unwrap()));
    guarded.gate.replace(Policy::of_keys(left));
    let last = tokio::time::timeout(DEADLINE, shop.next()).await.expect("a farewell").unwrap().unwrap();
    assert!(last.starts_with(b"event: error\ndata: {"), "{last:?}");
    assert!(tokio::time::timeout(DEADLINE, shop.next()).await.expect("an end").is_none());
    guarded.api.state.close();
    let goodbye = tokio::time::timeout(DEADLINE, reader.next()).await.expect("still there").unwrap().unwrap();
    assert!(goodbye.starts_with(b": the server is shutting down"), "{goodbye:?}");
    assert_eq!(guarded.get(SHOP, "/v1/events").await.0, 401);
}

#[tokio::test]
async fn a_long_answer_breaks_off_when_its_key_is_taken_back() {
    let guarded = Guarded::new().await;
    let (sender, lines) = futures::channel::mpsc::channel::<Result<String, std::convert::Infallible>>(1);
    let request = Request::post("/v1/events")
        .header(header::AUTHORIZATION, format!("Bearer {}", secret(APPENDER).reveal()))
        .header(header::CONTENT_TYPE, "application/x-ndjson")
        .body(Body::from_stream(lines));
    let mut sender = sender;
    sender.try_send(Ok("{\"type\":\"A\"}\n".to_owned())).unwrap();
    let mut answers = guarded.api.respond(request.unwrap()).await.into_body().into_data_stream();
    assert!(tokio::time::timeout(DEADLINE, answers.next()).await.expect("a result").unwrap().is_ok());
    guarded.gate.replace(Policy::of_keys(Keys::default()));
    assert!(tokio::time::timeout(DEADLINE, answers.next()).await.expect("an end").unwrap().is_err());
    // What is sent nevertheless is not appended.
    let _ = sender.try_send(Ok("{\"type\":\"B\"}\n".to_owned()));
    sender.close_channel();
    assert!(tokio::time::timeout(DEADLINE, answers.next()).await.expect("an end").is_none());
    assert_eq!(guarded.api.store.head(), Position(5));
}

#[tokio::test]
async fn without_keys_pages_of_other_origins_are_refused() {
    let api = Api::new();
    let body = r#"{"events":[{"type":"A"}]}"#;
    for (origin, status) in [
        ("http://elsewhere.example", 403),
        ("null", 403),
        ("http://127.0.0.1:7117", 201),
        ("https://127.0.0.1:7117", 201),
    ] {
        let fields = [("host", "127.0.0.1:7117"), ("origin", origin)];
        assert_eq!(api.exchange("POST", "/v1/events", &fields, body).await.0, status, "{origin}");
    }
    let (_, page) = api.get("/v1/events").await;
    assert_eq!(page["head"], 2, "nothing of the others is there");
}

#[tokio::test]
async fn without_keys_a_name_that_anybody_can_give_to_this_machine_is_refused() {
    let asked = async |api: &Api, name: &str| {
        let fields = [("host", name), ("origin", &format!("http://{name}"))];
        let (status, _, body) = api.exchange("GET", "/v1/events", &fields, "").await;
        (status, serde_json::from_str::<Value>(&body).unwrap())
    };
    let api = Api::new();
    for own in ["localhost", "LOCALHOST:7117", "shop.localhost:7117", "127.0.0.1", "10.0.0.1:7117", "[::1]:7117"] {
        assert_eq!(asked(&api, own).await.0, 200, "{own}");
    }
    for other in ["evil.example", "evil.example:7117", "localhost.evil.example", "127.0.0.1.evil.example:7117", "["] {
        let (status, problem) = asked(&api, other).await;
        let detail = problem["detail"].as_str().unwrap();
        assert!(status == 403 && detail.contains("call it localhost"), "{other}: {problem}");
    }
    assert_eq!(api.exchange("GET", "/livez", &[("host", "evil.example")], "").await.0, 200);
    let api = Api::new();
    let _ = api.state.clone().with_gate(Arc::new(Gate::new(Policy::open()).reached_by_others(true)));
    assert_eq!(asked(&api, "tidemill.example").await.0, 200, "whoever listens to others has said so");
}
