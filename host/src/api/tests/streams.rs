//! Streams as a whole: listing them, deleting one; types of event.

use super::*;

#[tokio::test]
async fn streams_are_listed_by_name_and_page() {
    let api = Api::new();
    for stream in ["order-2", "payment-1", "order/1", "order-1"] {
        api.fill(stream, &["A", "B"]).await;
    }
    let (status, page) = api.get("/v1/streams?prefix=order&limit=2").await;
    let first = json!({ "stream": "order-1", "version": 2, "position": 8, "deleted": false });
    assert_eq!((status, &page["streams"][0], &page["streams"][1]["stream"]), (200, &first, &json!("order-2")));
    assert_eq!(page["next"], "/v1/streams?after=order-2&prefix=order&limit=2");
    let (_, page) = api.get(page["next"].as_str().unwrap()).await;
    let last = json!({ "stream": "order/1", "version": 2, "position": 6, "deleted": false });
    assert_eq!(page, json!({ "streams": [last], "next": null }));
    let (_, page) = api.get("/v1/streams?prefix=nothing").await;
    assert_eq!(page, json!({ "streams": [], "next": null }));
    for (path, expected) in [
        ("/v1/streams?limit=0", "parameter `limit` is \"0\"; give 1 to 10000"),
        ("/v1/streams?after=", "stream name is empty"),
        ("/v1/streams?prefx=a", "did you mean `prefix`?"),
    ] {
        let (status, problem) = api.get(path).await;
        assert!(status == 400 && problem["detail"].as_str().unwrap().contains(expected), "{path}: {problem}");
    }
}

#[tokio::test]
async fn a_deleted_stream_stays_readable_and_takes_no_more_events() {
    let api = Api::new();
    api.fill("order/1", &["A", "B"]).await;
    let delete = |query: &'static str| api.send("DELETE", query, "application/json", "");
    let (status, problem) = delete("/v1/streams/order%2F1?expected_version=1").await;
    assert_eq!((status, &problem["type"]), (409, &json!("urn:tidemill:problem:wrong-expected-version")));
    assert_eq!(problem["actual_version"], 2);

    let id = "0199a0a0-0000-7000-8000-000000000001";
    let path = "/v1/streams/order%2F1?expected_version=2&id=0199a0a0-0000-7000-8000-000000000001";
    let answer = json!({ "stream": "order/1", "deleted": true, "id": id, "version": 3, "position": 3 });
    assert_eq!(delete(path).await, (200, answer.clone()));
    assert_eq!(delete(path).await, (200, answer), "the same id is a retry");

    let (_, page) = api.get("/v1/streams/order%2F1").await;
    assert_eq!((&page["deleted"], &page["version"]), (&json!(true), &json!(3)));
    assert_eq!(positions(&page), [1, 2, 3], "its events stay, the last one says that it ended");
    assert_eq!(page["events"][2]["type"], "$stream-deleted");
    assert_eq!(api.get("/v1/streams").await.1["streams"][0]["deleted"], true);
    let (status, problem) = api.post(&json!({ "events": [{ "type": "C", "stream": "order/1" }] })).await;
    assert_eq!((status, &problem["type"]), (409, &json!("urn:tidemill:problem:stream-deleted")));
    let (status, problem) = delete("/v1/streams/order%2F1").await;
    assert_eq!((status, &problem["version"]), (409, &json!(3)));
    assert_eq!(api.store.head(), Position(3));
}

#[tokio::test]
async fn a_deletion_sent_again_with_its_idempotency_key_is_a_retry() {
    let api = Api::new();
    api.fill("a", &["A"]).await;
    api.fill("b", &["A"]).await;
    let delete = async |stream: &str| {
        let path = format!("/v1/streams/{stream}");
        let (status, _, text) = api.exchange("DELETE", &path, &[("idempotency-key", "k")], String::new()).await;
        (status, serde_json::from_str::<Value>(&text).unwrap())
    };
    let first = delete("a").await;
    assert_eq!((first.0, &first.1["position"]), (200, &json!(3)));
    assert_eq!(delete("a").await, first);
    let (status, problem) = delete("b").await;
    assert_eq!((status, &problem["type"]), (409, &json!("urn:tidemill:problem:id-conflict")), "another request");
    assert_eq!(api.store.head(), Position(3));
}

#[tokio::test]
async fn a_stream_is_read_as_of_a_time() {
    let api = Api::new();
    for kind in ["A", "B", "C"] {
        api.fill("s", &[kind]).await;
        api.fill("other", &["D"]).await;
        api.clock.advance_us(10_000_000);
    }
    for (query, expected) in [
        ("until=2023-11-14T22:13:40Z", vec![1, 3]),
        ("until=2023-11-14T22:13:40Z&direction=backwards&limit=1", vec![3]),
        ("since=2023-11-14T22:13:30Z&until=2023-11-14T22:13:40Z", vec![3]),
        ("since=2023-11-14T22:13:30Z&after=2", vec![5]),
        ("until=2000-01-01T00:00:00Z", vec![]),
    ] {
        assert_eq!(api.positions(&format!("/v1/streams/s?{query}")).await, expected, "{query}");
    }
    let (_, page) = api.get("/v1/streams/s?until=2023-11-14T22:13:40Z&limit=1").await;
    assert_eq!(page["version"], 3, "the version of now");
    let next = page["next"].as_str().unwrap();
    assert_eq!(next, "/v1/streams/s?after=1&until=2023-11-14T22%3A13%3A40Z&limit=1");
    let (_, page) = api.get(next).await;
    assert_eq!(positions(&page), [3]);
}

#[tokio::test]
async fn what_cannot_be_deleted_is_said() {
    let api = Api::new();
    api.fill("open", &["A"]).await;
    assert_eq!(api.get("/v1/streams/open").await.1["deleted"], false);
    for (path, status, expected) in [
        ("/v1/streams/nowhere", 404, "stream nowhere has no events, so there is nothing to delete"),
        ("/v1/streams/open?expected_version=x", 400, "parameter `expected_version` is \"x\"; give the version"),
        ("/v1/streams/open?id=42", 400, "parameter `id` is \"42\"; give a UUID"),
        ("/v1/streams/open?version=1", 400, "unknown parameter `version`"),
        ("/v1/streams/a%2A", 400, "stream name \"a*\" holds '*'"),
    ] {
        let (answered, problem) = api.send("DELETE", path, "application/json", "").await;
        assert_eq!(answered, status, "{path}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(expected), "{path}: {problem}");
    }
    assert_eq!(api.store.head(), Position(1), "nothing was written");
}

#[tokio::test]
async fn types_are_listed_with_how_many_events_have_them() {
    let api = Api::new();
    assert_eq!(api.get("/v1/types").await, (200, json!({ "types": [] })));
    api.fill("s", &["B", "A", "B"]).await;
    let row = |name: &str, events: u64| json!({ "type": name, "events": events, "lifted": false, "schemas": [], "enforced": false });
    assert_eq!(api.get("/v1/types").await, (200, json!({ "types": [row("A", 1), row("B", 2)] })));
}
