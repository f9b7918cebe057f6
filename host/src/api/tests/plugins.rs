//! Plugins, their dead letters and their state.

use super::*;
use crate::store::{PluginChange, PluginRecord};

#[tokio::test]
async fn plugins_are_those_installed_and_those_the_store_knows() {
    let api = Api::new();
    api.fill("s", &["A", "B", "C"]).await;
    api.clock.advance_us(1_500_999);
    api.commit("audit", 1, 1, &[("k", b"four")], &[1]);
    let (_, answer) = api.get("/v1/plugins").await;
    let (audit, billing) = (&answer["plugins"][0], &answer["plugins"][1]);
    assert_eq!(answer["problems"], json!(["two plugins are called x"]));
    let expected = json!({
        "name": "audit", "installed": false, "checkpoint": 1, "lag_events": 2, "lag_seconds": 1.5, "dead_letters": 1,
        "state_size": { "keys": 1, "bytes": 5 },
    });
    assert_eq!(audit, &expected);
    assert_eq!((&billing["name"], &billing["installed"]), (&json!("billing"), &json!(true)));
    assert_eq!((&billing["checkpoint"], &billing["lag_events"]), (&json!(2), &json!(1)));
    assert_eq!((&billing["generation"], &billing["status"]["state"]), (&json!(3), &json!("running")));
    assert_eq!(&api.get("/v1/plugins/billing").await.1, billing);
    let (status, problem) = api.get("/v1/plugins/bling").await;
    assert_eq!((status, &problem["plugin"]), (404, &json!("bling")));
}

#[tokio::test]
async fn what_a_plugin_that_is_gone_keeps_is_removed_once() {
    let api = Api::new();
    api.fill("s", &["A", "B", "C"]).await;
    api.commit("audit", 1, 2, &[("k", b"four")], &[1]);
    let forget = async |name: &str| api.send("DELETE", &format!("/v1/plugins/{name}"), "application/json", "").await;
    let (status, problem) = forget("billing").await;
    assert!(status == 409 && problem["detail"].as_str().unwrap().contains("--state"), "it is installed: {problem}");
    let gone = json!({
        "name": "audit", "checkpoint": 2, "state_size": { "keys": 1, "bytes": 5 }, "dead_letters": 1, "generations": 1,
    });
    assert_eq!(forget("audit").await, (200, gone));
    for path in ["/v1/plugins/audit", "/v1/plugins/audit/state", "/v1/plugins/audit/dead-letters"] {
        assert_eq!(api.get(path).await.0, 404, "{path}");
    }
    let (_, answer) = api.get("/v1/plugins").await;
    assert_eq!(answer["plugins"].as_array().unwrap().len(), 1, "billing alone: {answer}");
    assert_eq!(forget("audit").await.0, 404);
    assert_eq!(forget("no*name").await.0, 400);
    assert_eq!(forget(".snapshots").await.0, 404);
}

#[tokio::test]
async fn dead_letters_are_paged_and_shown_with_their_event() {
    let api = Api::new();
    api.fill("s", &["A", "B", "C"]).await;
    api.commit("billing", 1, 3, &[], &[1, 2, 3]);
    let (_, page) = api.get("/v1/plugins/billing/dead-letters?limit=2").await;
    assert_eq!(
        (&page["count"], &page["next"]),
        (&json!(3), &json!("/v1/plugins/billing/dead-letters?after=2&limit=2"))
    );
    let first = json!({
        "plugin": "billing", "position": 1, "reason": "card refused", "kind": "trap", "attempts": 5, "faults": 0,
        "first": "2023-11-14T22:13:20.000000Z", "last": "2023-11-14T22:13:21.000000Z", "component_digest": "abc",
    });
    assert_eq!(page["dead_letters"][0], first);
    let (_, rest) = api.get(page["next"].as_str().unwrap()).await;
    assert_eq!((rest["dead_letters"].as_array().unwrap().len(), &rest["next"]), (1, &Value::Null));

    let (_, shown) = api.get("/v1/plugins/billing/dead-letters/2").await;
    assert_eq!(
        (&shown["evidence"]["event"]["type"], &shown["evidence"]["event"]["position"]),
        (&json!("B"), &json!(2))
    );
    assert_eq!(shown["evidence"]["stderr_tail"], "panicked at\nline 1");
    let (status, problem) = api.get("/v1/plugins/billing/dead-letters/9").await;
    assert!(status == 404 && problem["detail"].as_str().unwrap().contains("no dead letter at position 9"), "{problem}");
    assert_eq!(api.get("/v1/plugins/nobody/dead-letters").await.0, 404);
}

#[tokio::test]
async fn dead_letters_of_a_state_that_is_built_are_shown_apart() {
    let api = Api::new();
    api.fill("s", &["A", "B", "C"]).await;
    api.commit("billing", 1, 3, &[], &[1]);
    let listed = "/v1/plugins/billing/dead-letters?building=true&limit=1";
    let (status, problem) = api.get(listed).await;
    assert!(status == 404 && problem["detail"].as_str().unwrap().contains("not being rebuilt"), "{problem}");
    let layout = json!({ "partitions": 1, "key": "stream" });
    let building =
        json!({ "generation": 1, "component": "", "after": 0, "started_us": 1, "reason": "", "layout": layout });
    let change = PluginChange {
        plugin: PluginName::new("billing").unwrap(),
        record: PluginRecord { revision: 1, content: json!({ "building": building }).to_string() },
        progress: vec![(1, 0, Progress::default())],
        progress_removed: Vec::new(),
        generations_dropped: Vec::new(),
    };
    api.store.change_plugin(change).now_or_never().unwrap().unwrap();
    api.commit("billing@1", 1, 3, &[], &[2, 3]);
    let (_, page) = api.get(listed).await;
    assert_eq!((&page["count"], &page["dead_letters"][0]["position"]), (&json!(2), &json!(2)));
    let (_, rest) = api.get(page["next"].as_str().unwrap()).await;
    assert_eq!((&rest["dead_letters"][0]["position"], &rest["next"]), (&json!(3), &Value::Null));
    let (_, shown) = api.get("/v1/plugins/billing/dead-letters/2?building=true").await;
    assert_eq!(shown["evidence"]["event"]["type"], "B");
    assert_eq!(api.get("/v1/plugins/billing/dead-letters/2").await.0, 404, "the live one has handled it");
    assert_eq!(api.get("/v1/plugins/billing/dead-letters").await.1["count"], 1);
}

#[tokio::test]
async fn dead_letters_are_retried_and_discarded() {
    let api = Api::new();
    let ask = async |method: &str, path: &str| {
        api.send(method, &format!("/v1/plugins/billing/dead-letters/{path}"), "application/json", "").await
    };
    let handled =
        |count: u64| json!({ "outcome": "handled", "handled": count, "failed": 0, "failing": [], "interrupted": null });
    assert_eq!(ask("POST", "1/retry").await, (200, handled(1)));
    assert_eq!(ask("POST", "retry").await, (200, handled(7)), "all of them");
    let (status, answer) = ask("POST", "retry?key=order-1").await;
    let failing = json!([{ "position": 2, "key": "order-1", "reason": "card refused" }]);
    assert_eq!((status, &answer["outcome"], &answer["failing"]), (200, &json!("still_failing"), &failing));
    assert_eq!(ask("POST", "2/retry").await.1["failed"], 1);
    assert_eq!(ask("POST", "retry?position=1").await.0, 400);
    assert_eq!(ask("POST", "3/retry").await.0, 404);
    for (method, path) in [("POST", "retry"), ("POST", "1/retry"), ("DELETE", "1")] {
        let nobody = format!("/v1/plugins/nobody/dead-letters/{path}");
        assert_eq!(api.send(method, &nobody, "application/json", "").await.0, 404, "{method} {path}");
    }
    assert_eq!(ask("DELETE", "1").await, (204, Value::Null));
    assert_eq!(ask("DELETE", "2").await.0, 404);
    assert_eq!(ask("PUT", "2").await.0, 405);
}

#[tokio::test]
async fn many_dead_letters_are_discarded_only_where_it_is_said_which() {
    let api = Api::new();
    let ask = async |query: &str| {
        api.send("DELETE", &format!("/v1/plugins/billing/dead-letters{query}"), "application/json", "").await
    };
    assert_eq!(ask("?all=true").await, (200, json!({ "discarded": 7 })));
    assert_eq!(ask("?key=order-1").await, (200, json!({ "discarded": 2 })));
    for query in ["", "?all=false", "?key=k&all=true"] {
        let (status, problem) = ask(query).await;
        assert!(status == 400 && problem["detail"].as_str().unwrap().contains("all=true"), "{query}: {problem}");
    }
    assert_eq!(api.send("DELETE", "/v1/plugins/nobody/dead-letters?all=true", "application/json", "").await.0, 404);
}

#[tokio::test]
async fn dead_letters_of_one_key_are_paged() {
    let api = Api::new();
    let letters = (1..=9).map(|position| (position, if position % 3 == 0 { Some("c") } else { None }));
    api.set_aside("billing", letters);
    let (_, page) = api.get("/v1/plugins/billing/dead-letters?key=c&limit=2").await;
    let positions = |page: &Value| -> Vec<u64> {
        page["dead_letters"].as_array().unwrap().iter().map(|letter| letter["position"].as_u64().unwrap()).collect()
    };
    assert_eq!((positions(&page), &page["dead_letters"][0]["key"]), (vec![3, 6], &json!("c")));
    let (_, rest) = api.get(page["next"].as_str().unwrap()).await;
    assert_eq!((positions(&rest), &rest["next"]), (vec![9], &Value::Null));
}

#[tokio::test]
async fn plugins_are_paused_and_resumed() {
    let api = Api::new();
    let ask = async |path: &str| api.send("POST", &format!("/v1/plugins/{path}"), "application/json", "").await;
    assert_eq!(ask("billing/pause").await, (204, Value::Null));
    assert_eq!(ask("billing/resume").await.0, 503, "it is stopped");
    assert_eq!(ask("nobody/pause").await.0, 404);
    assert_eq!(ask("nobody/resume").await.0, 404);
    assert_eq!(api.get("/v1/plugins/billing/pause").await.0, 405);
}

#[tokio::test]
async fn a_plugin_is_reloaded_or_it_is_said_why_not() {
    let api = Api::new();
    let ask = async |path: &str| api.send("POST", &format!("/v1/plugins/{path}"), "application/json", "").await;
    assert_eq!(ask("billing/reload").await, (204, Value::Null));
    let (status, problem) = ask("broken/reload").await;
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        status == 409 && detail.starts_with("plugin broken is not reloaded; what ran before goes on: "),
        "{detail}"
    );
    assert!(detail.contains("broken.wasm made the engine panic"), "{detail}");
    assert_eq!(ask("nobody/reload").await.0, 404);
    assert_eq!(ask("returned/reload?installed=false").await.0, 404);
    assert_eq!(ask("returned/reload?installed=true").await.0, 204);
    assert_eq!(ask("returned/reload?installed=yes").await.0, 400);
}

#[tokio::test]
async fn state_is_read_by_key_and_by_prefix() {
    let api = Api::new();
    let entries: [(&str, &[u8]); 4] = [("n/a b", b"{\"x\": 1.0}"), ("n/b", b"\xff"), ("n/c", b" 1"), ("o", b"null")];
    api.commit("billing", 1, 1, &entries, &[]);
    let (_, page) = api.get("/v1/plugins/billing/state?prefix=n/&limit=2").await;
    let expected = json!([{ "key": "n/a b", "value": { "x": 1.0 } }, { "key": "n/b", "value_base64": "/w==" }]);
    assert_eq!(page["entries"], expected);
    let (_, rest) = api.get(page["next"].as_str().unwrap()).await;
    assert_eq!(
        rest["entries"],
        json!([{ "key": "n/c", "value_base64": "IDE=" }]),
        "a space before it is not JSON's own"
    );
    for path in ["/v1/plugins/billing/state/n/a%20b", "/v1/plugins/billing/state/n%2Fa%20b"] {
        assert_eq!(api.get(path).await.1, expected[0], "{path}");
    }
    let (status, problem) = api.get("/v1/plugins/billing/state/p").await;
    assert_eq!((status, &problem["key"]), (404, &json!("p")));
    assert_eq!(api.get("/v1/plugins/nobody/state").await.0, 404);
}

#[tokio::test]
async fn state_can_be_read_as_of_a_position() {
    let api = Api::new();
    api.commit("billing", 1, 2, &[("k", b"1")], &[]);
    assert_eq!(api.get("/v1/plugins/billing/state/k?at_least=2").await.0, 200);
    let (status, problem) = api.get("/v1/plugins/billing/state/k?at_least=3&timeout_ms=1").await;
    assert_eq!((status, &problem["type"]), (503, &json!("urn:tidemill:problem:timed-out")));
    api.commit("gone", 1, 2, &[("k", b"1")], &[]);
    assert_eq!(api.get("/v1/plugins/gone/state/k?at_least=1").await.0, 503, "what does not run does not come so far");
    assert_eq!(api.get("/v1/plugins/nobody/state/k?at_least=1").await.0, 404);
    for path in ["/v1/plugins/billing", "/v1/plugins/billing/dead-letters"] {
        assert_eq!(api.get(&format!("{path}?at_least=2")).await.0, 200, "{path}");
        assert_eq!(api.get(&format!("{path}?at_least=3&timeout_ms=1")).await.0, 503, "{path}");
    }
}

#[tokio::test]
async fn plugins_show_what_they_cost() {
    let mut status = Status { checkpoint: Position(1), ..Status::default() };
    status.cost = Cost { events: 3, batches: 1, attempts: 2, handler_us: 9, batch_us_max: 7, ..Cost::default() };
    status.cost.usage = Usage { memory_bytes: 1, fuel: 30, batch_fuel_max: 20, ..Usage::default() };
    let partition = |partition, checkpoint| PartitionStatus {
        partition,
        checkpoint: Position(checkpoint),
        cost: status.cost,
        ..PartitionStatus::default()
    };
    status.partitions = vec![partition(0, 1), partition(1, 3), partition(2, 1)];
    let api = Api::with(FakePlugins { status: watch::Sender::new(status), ..FakePlugins::new() });
    api.fill("s", &["A"]).await;
    api.clock.advance_us(2_000_000);
    api.fill("s", &["B", "C"]).await;
    api.clock.advance_us(250_000);
    let (_, billing) = api.get("/v1/plugins/billing").await;
    let cost = json!({
        "events": 3, "batches": 1, "attempts": 2, "handler_us": 9, "batch_us_max": 7, "memory_bytes": 1,
        "memory_peak_bytes": 0, "instance_peak_bytes": 0, "fuel": 30, "batch_fuel_max": 20, "log_bytes": 0, "batch_log_bytes_max": 0,
        "http_requests": 0, "restarts": { "fault": 0, "recycled": 0 },
    });
    let lags = |value: &Value| (value["lag_events"].clone(), value["lag_seconds"].clone());
    assert_eq!((&billing["status"]["cost"], lags(&billing)), (&cost, (json!(2), json!(0.25))));
    let partitions = &billing["status"]["partitions"];
    assert_eq!((&partitions[1]["cost"], lags(&partitions[1])), (&cost, (json!(0), json!(0.0))), "it has caught up");
    assert_eq!((lags(&partitions[0]), lags(&partitions[2])), (lags(&billing), lags(&billing)));
}

#[tokio::test]
async fn all_state_is_counted() {
    let api = Api::new();
    let state: Vec<_> = (0..12_000).map(|n| (format!("{n:05}"), b"1".as_slice())).collect();
    let state: Vec<_> = state.iter().map(|(key, value)| (key.as_str(), *value)).collect();
    api.commit("billing", 1, 0, &state, &[]);
    let (_, billing) = api.get("/v1/plugins/billing").await;
    assert_eq!(billing["state_size"], json!({ "keys": 12_000, "bytes": 72_000 }));
}
