//! Appending: the documented shape, and everything that is refused.

use super::*;
use crate::event::{APPEND_EVENTS_MAX, DATA_BYTES_MAX};

#[tokio::test]
async fn an_append_answers_where_its_events_stand() {
    let api = Api::new();
    let id = "0199a0a0-0000-7000-8000-000000000001";
    let body = json!({
        "events": [
            { "id": id, "type": "OrderPlaced", "stream": "order-1", "tags": ["vip"], "data": { "total": 12 },
              "metadata": { "actor": "ann" }, "schema_version": 2 },
            { "id": "0199a0a0-0000-7000-8000-000000000002", "type": "Logged" },
        ],
        "expected": [{ "stream": "order-1", "version": "no_stream" }],
    });
    let answer = json!({
        "first_position": 1, "last_position": 2,
        "events": [
            { "id": id, "position": 1, "stream": "order-1", "version": 1 },
            { "id": "0199a0a0-0000-7000-8000-000000000002", "position": 2, "stream": null, "version": null },
        ],
    });
    assert_eq!(api.post(&body).await, (201, answer.clone()));
    assert_eq!(api.post(&body).await, (201, answer), "the same ids are a retry, whatever is expected");
    let (_, event) = api.get(&format!("/v1/events/{id}")).await;
    let stored = json!({
        "position": 1, "id": id, "type": "OrderPlaced", "stream": "order-1", "version": 1,
        "timestamp": "2023-11-14T22:13:20.000000Z", "tags": ["vip"], "data": { "total": 12 },
        "content_type": "application/json", "metadata": { "actor": "ann" }, "schema_version": 2,
    });
    assert_eq!(event, stored);
}

#[tokio::test]
async fn data_is_kept_byte_for_byte() {
    let api = Api::new();
    let data = "{ \"b\":1.00,\"a\" : \"\\u00e9\",\n \"big\":123456789012345678901234567890 }";
    let (status, _) = api
        .send("POST", "/v1/events", "application/json", format!("{{\"events\":[{{\"type\":\"T\",\"data\":{data}}}]}}"))
        .await;
    assert_eq!(status, 201);
    let page = api.store.read(&crate::store::ReadRequest::default()).unwrap();
    assert_eq!(std::str::from_utf8(&page.events[0].data).unwrap(), data);
    let request = Request::get("/v1/events").body(Body::empty()).unwrap();
    let body = to_bytes(api.respond(request).await.into_body(), usize::MAX).await.unwrap();
    assert!(std::str::from_utf8(&body).unwrap().contains(&format!("\"data\":{data}")));
}

#[tokio::test]
async fn ndjson_is_appended_whole_or_not_at_all() {
    let api = Api::new();
    let (status, answer) = api.ndjson("{\"type\":\"A\"}\r\n\n{\"type\":\"B\",\"data\":[1]}\n").await;
    assert_eq!((status, &answer["last_position"]), (201, &json!(2)));

    let (status, problem) = api.ndjson("{\"type\":\"C\"}\n\n{\"type\":\"D\"}\n{\"typ\":\"E\"}\n").await;
    assert_eq!((status, &problem["line"]), (400, &json!(4)));
    assert_eq!(problem["detail"], "line 4: unknown field `typ`; did you mean `type`?");
    assert_eq!(api.store.head(), Position(2), "nothing of the bad body is stored");

    let (_, problem) = api.ndjson("{\"type\":\"C\"}\n{\"type\":\"D\",\"schema_version\":0}\n").await;
    assert_eq!(
        (&problem["line"], &problem["detail"]),
        (&json!(2), &json!("line 2: schema_version is 0; the first is 1"))
    );

    let (_, problem) = api.ndjson(&b"{\"type\":\"C\"}\n{\"type\":\"\xff\"}\n"[..]).await;
    assert_eq!((&problem["line"], &problem["detail"]), (&json!(2), &json!("line 2: not valid UTF-8 at byte 9")));
    assert_eq!(api.store.head(), Position(2));
}

#[tokio::test]
async fn a_wrong_expected_version_is_a_conflict_that_tells_the_actual_one() {
    let api = Api::new();
    api.fill("order-1", &["A", "B"]).await;
    let body = json!({ "events": [{ "type": "C" }], "expected": [{ "stream": "order-1", "version": 1 }] });
    let (status, problem) = api.post(&body).await;
    assert_eq!(status, 409);
    assert_eq!(problem["type"], "urn:tidemill:problem:wrong-expected-version");
    assert_eq!((&problem["stream"], &problem["expected_version"]), (&json!("order-1"), &json!(1)));
    assert_eq!(problem["actual_version"], 2);
}

#[tokio::test]
async fn a_condition_is_met_or_the_conflict_names_the_event_that_matches() {
    let api = Api::new();
    api.fill("order-1", &["A", "B", "C"]).await;
    let body =
        |event_type: &str, condition: Value| json!({ "events": [{ "type": event_type }], "condition": condition });
    let decided = |after: u64| json!({ "fail_if_match": [{ "types": ["X"] }, { "types": ["B"], "tags": ["B"] }], "after": after });
    let (status, answer) = api.post(&body("D", decided(2))).await;
    assert_eq!((status, &answer["first_position"]), (201, &json!(4)), "B stands at 2, not after it: {answer}");
    let (status, problem) = api.post(&body("E", decided(1))).await;
    assert_eq!((status, &problem["type"]), (409, &json!("urn:tidemill:problem:condition-failed")));
    assert_eq!((&problem["position"], &problem["after"]), (&json!(2), &json!(1)));
    assert!(problem["detail"].as_str().unwrap().contains("the event at position 2"), "{problem}");

    let by_stream = json!({ "fail_if_match": [{ "streams": ["order-*"] }] });
    assert_eq!(api.post(&body("E", by_stream)).await.1["position"], 3, "without `after` the whole log counts");
    let (status, _) = api.post(&body("E", json!({ "fail_if_match": [{ "types": ["X"] }] }))).await;
    assert_eq!(status, 201);
    assert_eq!(api.post(&body("E", json!({ "fail_if_match": [] }))).await.1["position"], 5, "everything matches");
    assert_eq!(api.store.head(), Position(5), "what is refused is not stored");
}

#[tokio::test]
async fn ids_that_are_taken_are_conflicts() {
    let api = Api::new();
    let id = "0199a0a0-0000-7000-8000-000000000001";
    let first = json!({ "id": id, "type": "A" });
    assert_eq!(api.post(&json!({ "events": [first] })).await.0, 201);
    let (status, problem) = api.post(&json!({ "events": [{ "type": "X" }, { "id": id, "type": "B" }] })).await;
    assert_eq!((status, &problem["type"]), (409, &json!("urn:tidemill:problem:id-conflict")));
    assert_eq!((&problem["index"], &problem["position"], &problem["id"]), (&json!(1), &json!(1), &json!(id)));
    let (status, problem) = api.ndjson(format!("{{\"type\":\"X\"}}\n\n{first}\n")).await;
    assert_eq!((status, &problem["type"]), (409, &json!("urn:tidemill:problem:partly-stored")));
    assert_eq!(problem["line"], 3);
}

#[tokio::test]
async fn bad_bodies_are_refused_and_say_why() {
    let oversized = "x".repeat(DATA_BYTES_MAX + 1);
    let many = vec![json!({ "type": "T" }); APPEND_EVENTS_MAX + 1];
    let id = "0199a0a0-0000-7000-8000-000000000001";
    let table = [
        (json!({ "events": [{ "type": "T" }, { "type": "T", "id": "42" }] }), "event 1: `id` \"42\" is not a UUID"),
        (json!({ "events": [{ "type": "" }] }), "event 0: event type is empty; give it 1 to 255 bytes"),
        (json!({ "events": [{ "type": "T", "data": oversized }] }), "event 0: data has 1048579 bytes; at most 1048576"),
        (json!({ "events": [{ "type": "T", "strem": "s" }] }), "unknown field `strem`; did you mean `stream`?"),
        (json!({ "events": [{ "type": "T", "stream": "a*" }] }), "stream name \"a*\" holds '*'"),
        (json!({ "events": [{ "type": "T", "tags": [""] }] }), "event 0: tag is empty"),
        (json!({ "events": [{ "id": id, "type": "T" }, { "id": id, "type": "T" }] }), "have the same id"),
        (json!({ "events": [] }), "no events given"),
        (json!({ "events": many }), "more than 10000 events in one append; split it"),
        (json!({ "event": [] }), "unknown field `event`; did you mean `events`?"),
        (json!({}), "`events` is missing"),
        (json!([]), "[] is not a JSON object"),
        (json!({ "type": "T" }), "this is an event, not an append; wrap it"),
        (json!({ "events": [{ "type": "T" }], "condition": { "after": 1 } }), "condition: `fail_if_match` is missing"),
        (
            json!({ "events": [{ "type": "T" }], "condition": { "fail_if_match": [{ "tag": ["x"] }] } }),
            "condition: fail_if_match[0]: unknown field `tag`; did you mean `tags`?",
        ),
        (
            json!({ "events": [{ "type": "T" }], "condition": { "fail_if_match": [], "after": 9 } }),
            "the condition is about events after position 9, but the log ends at 0",
        ),
        (json!({ "events": [{ "type": "T" }], "expected": [{ "stream": "s", "version": "none" }] }), "expected[0]"),
        (json!({ "events": [{ "type": "T" }], "expected": [{ "strem": "s" }] }), "did you mean `stream`?"),
    ];
    let api = Api::new();
    for (body, expected) in table {
        let (status, problem) = api.post(&body).await;
        let detail = problem["detail"].as_str().unwrap();
        assert_eq!(status, 400, "{detail}");
        assert!(detail.contains(expected), "{expected}: {detail}");
    }
    let (status, problem) = api.send("POST", "/v1/events", "application/json", &b"{\"events\":\xff}"[..]).await;
    assert_eq!((status, &problem["detail"]), (400, &json!("the body is not valid UTF-8 at byte 10")));
    let (status, problem) = api.send("POST", "/v1/events", "application/json", "{\"events\":[").await;
    assert!(status == 400 && problem["detail"].as_str().unwrap().starts_with("not valid JSON: EOF"), "{problem}");
    assert_eq!(api.store.head(), Position::START, "nothing was stored");
}

#[tokio::test]
async fn what_http_refuses_is_a_problem_too() {
    let api = Api::new();
    let (status, problem) = api.send("POST", "/v1/events", "text/csv", "a").await;
    assert_eq!((status, &problem["type"]), (415, &json!("urn:tidemill:problem:unsupported-media-type")));
    let large = vec![b' '; crate::config::Limits::default().max_body_bytes + 1];
    let (status, problem) = api.send("POST", "/v1/events", "application/json", large).await;
    assert_eq!((status, &problem["type"]), (413, &json!("urn:tidemill:problem:too-large")));
    assert_eq!(api.send("PUT", "/v1/events", "application/json", "").await.0, 405);
    assert_eq!(api.get("/v2/events").await.0, 404);
}
