//! Reading events and streams.

use super::*;

#[tokio::test]
async fn events_are_read_by_range_filter_and_direction() {
    let api = Api::new();
    api.fill("order-1", &["A", "B"]).await;
    api.fill("payment-1", &["A", "C"]).await;
    api.fill("order", &["B"]).await;
    for (query, expected) in [
        ("", vec![1, 2, 3, 4, 5]),
        ("?after=1&before=4", vec![2, 3]),
        ("?direction=backwards", vec![5, 4, 3, 2, 1]),
        ("?type=A&type=C", vec![1, 3, 4]),
        ("?tag=B", vec![2, 5]),
        ("?tag=A&tag=B", vec![]),
        ("?stream=order-1", vec![1, 2]),
        ("?stream=order-*&type=B", vec![2]),
        ("?category=order", vec![1, 2, 5]),
        ("?stream=nowhere", vec![]),
        ("?limit=2", vec![1, 2]),
    ] {
        assert_eq!(api.positions(&format!("/v1/events{query}")).await, expected, "{query}");
    }
}

#[tokio::test]
async fn events_are_read_by_time() {
    let api = Api::new();
    for stream in ["s", "t", "s"] {
        api.fill(stream, &["A"]).await;
        api.clock.advance_us(10_000_000);
    }
    for (query, expected) in [
        ("since=2023-11-14T22:13:30Z", vec![2, 3]),
        ("since=2023-11-14T22:13:30.000001Z", vec![3]),
        ("until=2023-11-14T22:13:30Z", vec![1]),
        ("since=2023-11-14T22:13:20Z&until=2023-11-14T22:13:40Z&direction=backwards", vec![2, 1]),
        ("since=2023-11-14T23:13:30%2B01:00&stream=s", vec![3]),
        ("since=2030-01-01T00:00:00Z", vec![]),
        ("since=2023-11-14T22:13:40Z&until=2023-11-14T22:13:20Z", vec![]),
    ] {
        assert_eq!(api.positions(&format!("/v1/events?{query}")).await, expected, "{query}");
    }
    let (_, page) = api.get("/v1/events?since=2023-11-14T22:13:20Z&limit=1").await;
    assert_eq!(page["next"], "/v1/events?after=1&limit=1&since=2023-11-14T22%3A13%3A20Z");
}

#[tokio::test]
async fn paging_is_stable_under_appends() {
    for (direction, expected) in [("forwards", vec![1, 2, 3, 4, 5, 6, 7]), ("backwards", vec![5, 4, 3, 2, 1])] {
        let api = Api::new();
        api.fill("s", &["A", "A", "A", "A", "A"]).await;
        let mut path = format!("/v1/events?type=A&limit=2&direction={direction}");
        let mut seen = Vec::new();
        for round in 0.. {
            let (_, page) = api.get(&path).await;
            seen.extend(positions(&page));
            if round == 0 {
                api.fill("s", &["A", "A"]).await;
            }
            match page["next"].as_str() {
                Some(next) => path = next.into(),
                None => break,
            }
        }
        assert_eq!(seen, expected, "{direction}");
    }
}

#[tokio::test]
async fn a_stream_is_read_by_version() {
    let api = Api::new();
    api.fill("order/1", &["A", "B"]).await;
    api.fill("other", &["A"]).await;
    api.fill("order/1", &["C", "D", "E"]).await;
    let (_, page) = api.get("/v1/streams/order%2F1?after=1&limit=2").await;
    assert_eq!((&page["stream"], &page["version"], &page["head"]), (&json!("order/1"), &json!(5), &json!(6)));
    assert_eq!(positions(&page), [2, 4]);
    assert_eq!(page["next"], "/v1/streams/order%2F1?after=3&limit=2");
    assert_eq!(api.positions(page["next"].as_str().unwrap()).await, [5, 6]);
    let (_, page) = api.get("/v1/streams/order%2F1?direction=backwards&before=5&limit=2").await;
    assert_eq!(positions(&page), [5, 4]);
    assert_eq!(api.positions(page["next"].as_str().unwrap()).await, [2, 1]);
    assert_eq!(api.positions("/v1/streams/order%2F1?before=99&direction=backwards&limit=1").await, [6]);
    assert_eq!(api.positions("/v1/streams/order%2F1?before=0").await, Vec::<u64>::new());
    let (status, problem) = api.get("/v1/streams/order%2F2").await;
    assert_eq!((status, &problem["stream"]), (404, &json!("order/2")));
}

#[tokio::test]
async fn bad_parameters_are_refused_and_named() {
    let api = Api::new();
    api.fill("s", &["A"]).await;
    for (path, expected) in [
        ("/v1/events?afte=1", "unknown parameter `afte`; did you mean `after`?"),
        ("/v1/events?since=yesterday", "parameter `since` is \"yesterday\"; give a time since 1970"),
        ("/v1/events?until=1969-12-31T00:00:00Z", "give a time since 1970"),
        ("/v1/events?after=x", "parameter `after` is \"x\"; give a whole number, 0 or more"),
        ("/v1/events?after=-1", "parameter `after` is \"-1\""),
        ("/v1/events?after=1&after=2", "parameter `after` is given twice"),
        ("/v1/events?limit=0", "parameter `limit` is \"0\"; give 1 to 10000"),
        ("/v1/events?limit=10001", "give 1 to 10000"),
        ("/v1/events?direction=up", "give `forwards` or `backwards`"),
        ("/v1/events?type=", "pattern is empty"),
        ("/v1/events?type=%ff", "is not percent-encoded UTF-8"),
        ("/v1/events?category=order-1", "the part of a stream's name before the first '-'"),
        ("/v1/events?category=a&stream=b", "give one of them"),
        ("/v1/events?at_least=1&timeout_ms=99999999", "give 0 to 60000"),
        ("/v1/events/42", "\"42\" is not an event id"),
        ("/v1/streams/a%2A", "stream name \"a*\" holds '*'"),
        ("/v1/streams/s?type=A", "unknown parameter `type`"),
        ("/v1/events/subscribe?before=4", "unknown parameter `before`"),
        ("/v1/plugins/a%20b", "plugin name \"a b\" holds ' '"),
        ("/v1/plugins/billing/dead-letters/x", "\"x\" is not a position"),
    ] {
        let (status, problem) = api.get(path).await;
        let detail = problem["detail"].as_str().unwrap();
        assert_eq!(status, 400, "{path}: {detail}");
        assert!(detail.contains(expected), "{path}: {detail}");
    }
    let (status, problem) = api.get("/v1/events/0199a0a0-0000-7000-8000-000000000001").await;
    assert_eq!((status, &problem["type"]), (404, &json!("urn:tidemill:problem:not-found")));
}

#[tokio::test]
async fn a_read_waits_for_the_position_it_names() {
    let api = Api::new();
    api.fill("s", &["A"]).await;
    let (status, problem) = api.get("/v1/events?at_least=2&timeout_ms=1").await;
    assert_eq!((status, &problem["type"]), (503, &json!("urn:tidemill:problem:timed-out")));
    assert_eq!((&problem["at_least"], &problem["position"]), (&json!(2), &json!(1)));
    let absurd = "/v1/events?at_least=18446744073709551615";
    assert_eq!(api.get(absurd).await.0, 400, "no log comes so far in time");
    let (page, ()) = tokio::join!(api.positions("/v1/events?at_least=2"), api.fill("s", &["B"]));
    assert_eq!(page, [1, 2]);
}

#[tokio::test]
async fn every_read_can_name_a_position_that_it_must_have_seen() {
    let api = Api::new();
    api.fill("s", &["A"]).await;
    api.commit("billing", 1, 1, &[], &[1]);
    for path in [
        "/v1/events?",
        "/v1/events/0199a0a0-0000-7000-8000-000000000001?",
        "/v1/events/subscribe?after=head&",
        "/v1/streams?",
        "/v1/streams/s?",
        "/v1/streams/s/subscribe?",
        "/v1/streams/s/state?",
        "/v1/streams/s/diff?",
        "/v1/types?",
        "/v1/types/A?",
        "/v1/plugins?",
        "/v1/plugins/billing?",
        "/v1/plugins/billing/state?",
        "/v1/plugins/billing/state/k?",
        "/v1/plugins/billing/query/total?",
        "/v1/plugins/billing/dead-letters?",
        "/v1/plugins/billing/dead-letters/1?",
    ] {
        let (status, problem) = api.get(&format!("{path}at_least=3&timeout_ms=1")).await;
        assert_eq!((status, &problem["at_least"]), (503, &json!(3)), "{path}: {problem}");
    }
}

#[tokio::test]
async fn health_tells_of_shutting_down() {
    let api = Api::new();
    assert_eq!(api.get("/livez").await, (200, json!({ "status": "live" })));
    assert_eq!(
        api.get("/readyz").await,
        (
            200,
            json!({
                "status": "ready", "head": 0, "checks": { "serving": "ok", "log": "ok", "plugins": "ok" },
            })
        )
    );
    api.state.close();
    let (status, problem) = api.get("/readyz").await;
    let checks = json!({ "serving": "the server is shutting down", "log": "ok", "plugins": "ok" });
    assert_eq!((status, &problem["checks"]), (503, &checks));
    assert_eq!(api.get("/livez").await.0, 200);
}
