//! What the header of a request says: idempotency, traces, versions, and its bounds.

use super::*;

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const JSON: (&str, &str) = ("content-type", "application/json");

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[tokio::test]
async fn an_idempotency_key_gives_ids_to_events_that_have_none() {
    let api = Api::new();
    let given = "0199a0a0-0000-7000-8000-000000000001";
    let body = json!({ "events": [{ "type": "A" }, { "type": "B", "id": given }] }).to_string();
    let send = async |key: &str, trace: &str, body: String| {
        api.exchange("POST", "/v1/events", &[JSON, ("idempotency-key", key), ("traceparent", trace)], body).await
    };
    let (status, _, first) = send("order-7", TRACE, body.clone()).await;
    assert_eq!(status, 201);
    let again = send("order-7", &TRACE.replace("b7ad", "c8be"), body.clone()).await.2;
    assert_eq!(again, first, "the same events, though the retry belongs to another span");
    assert_eq!(parse(&first)["events"][1]["id"], given);
    assert_eq!(api.store.head(), Position(2));
    let (status, _, other) = send("order-7", TRACE, body.replace("\"A\"", "\"Z\"")).await;
    assert_eq!((status, &parse(&other)["type"]), (409, &json!("urn:tidemill:problem:id-conflict")));
    assert_eq!(send("order-8", TRACE, json!({ "events": [{ "type": "A" }] }).to_string()).await.0, 201);
    assert_eq!(send("", TRACE, body.clone()).await.0, 400);
    let lines = "{\"type\":\"A\"}\n\n{\"type\":\"A\"}\n";
    let fields = [NDJSON[0], ("idempotency-key", "import")];
    let first = api.exchange("POST", "/v1/events", &fields, lines).await.2;
    assert_eq!(api.exchange("POST", "/v1/events", &fields, lines).await.2, first);
    assert_eq!(api.store.head(), Position(5));
}

#[tokio::test]
async fn the_trace_of_a_request_is_kept_with_its_events() {
    let api = Api::new();
    let own = TRACE.replace("0af7", "1bf8");
    let body = json!({ "events": [{ "type": "A" }, { "type": "B", "metadata": { "traceparent": own } }] });
    api.exchange("POST", "/v1/events", &[JSON, ("traceparent", TRACE)], body.to_string()).await;
    api.exchange("POST", "/v1/events", &[JSON, ("traceparent", "garbage")], body.to_string()).await;
    let (_, page) = api.get("/v1/events").await;
    let traces: Vec<_> =
        page["events"].as_array().unwrap().iter().map(|event| event["metadata"]["traceparent"].as_str()).collect();
    assert_eq!(traces, [Some(TRACE), Some(&*own), None, Some(&*own)]);
}

#[tokio::test]
async fn a_version_is_expected_by_etag() {
    let api = Api::new();
    let send = async |name: &str, value: &str, stream: &str| {
        let body = json!({ "events": [{ "type": "A", "stream": stream }] }).to_string();
        let (status, headers, _) = api.exchange("POST", "/v1/events", &[JSON, (name, value)], body).await;
        (status, headers.get(header::ETAG).map(|etag| etag.to_str().unwrap().to_owned()))
    };
    assert_eq!(send("if-none-match", "*", "s").await, (201, Some("\"1\"".into())));
    assert_eq!(send("if-none-match", "*", "s").await.0, 412);
    assert_eq!(send("if-match", "\"1\"", "s").await, (201, Some("\"2\"".into())));
    assert_eq!(send("if-match", "\"1\"", "s").await.0, 412);
    assert_eq!(send("if-match", "*", "t").await.0, 412);
    assert_eq!(send("if-match", "2", "s").await.0, 400);
    let (_, headers, _) = api.exchange("GET", "/v1/streams/s", &[], "").await;
    assert_eq!(headers[header::ETAG], "\"2\"");
    let two = json!({ "events": [{ "type": "A", "stream": "s" }, { "type": "A" }] }).to_string();
    assert_eq!(api.exchange("POST", "/v1/events", &[JSON, ("if-match", "\"2\"")], two).await.0, 400);
    let delete = async |fields: &[(&str, &str)], query| {
        api.exchange("DELETE", &format!("/v1/streams/s{query}"), fields, "").await.0
    };
    assert_eq!(delete(&[("if-match", "\"1\"")], "").await, 412);
    assert_eq!(delete(&[("if-match", "\"2\"")], "?expected_version=2").await, 400);
    assert_eq!(delete(&[("if-match", "\"2\"")], "").await, 200);
}

#[tokio::test]
async fn what_is_too_large_or_too_much_is_refused_by_its_own_status() {
    let api = Api::new();
    let long = "x".repeat(40_000);
    let (status, _, text) = api.exchange("GET", &format!("/v1/events?type={long}"), &[], "").await;
    assert_eq!((status, &parse(&text)["type"]), (414, &json!("urn:tidemill:problem:uri-too-long")));
    let (status, _, text) = api.exchange("GET", "/v1/events", &[("x-long", &long)], "").await;
    assert_eq!((status, &parse(&text)["type"]), (431, &json!("urn:tidemill:problem:headers-too-large")));
    let all = api.state.places().requests.fill();
    let (status, headers, text) = api.exchange("GET", "/v1/events", &[], "").await;
    assert_eq!((status, &parse(&text)["type"]), (429, &json!("urn:tidemill:problem:too-many-requests")));
    assert_eq!(headers[header::RETRY_AFTER], "1");
    assert_eq!(api.get("/livez").await.0, 200, "a server that is busy is alive");
    drop(all);
    let (status, headers, _) = api.exchange("GET", "/v1/events?at_least=1&timeout_ms=1", &[], "").await;
    assert_eq!((status, headers[header::RETRY_AFTER].to_str().unwrap()), (503, "1"));
}
