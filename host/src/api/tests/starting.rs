//! What is answered while the plugins of the start are being loaded.

use super::*;

#[tokio::test]
async fn what_may_be_among_the_plugins_that_are_being_loaded_is_not_there_now_and_not_never() {
    let api = Api::new();
    api.fill("order-1", &["OrderPlaced"]).await;
    let command = json!({ "id": "c1", "type": "Place" }).to_string();
    let asked = [
        ("POST", "/v1/commands/order/1"),
        ("POST", "/v1/commands/order/1?wait=false"),
        ("GET", "/v1/streams/order-1/state"),
        ("GET", "/v1/streams/order-1/diff"),
        ("GET", "/v1/plugins/totals"),
        ("GET", "/v1/plugins/totals/query/all"),
    ];
    for (ready, expected) in [(false, 503), (true, 404)] {
        api.plugins.ready.store(ready, Ordering::Relaxed);
        for (method, path) in asked {
            let body = if method == "POST" { command.clone() } else { String::new() };
            let fields = [("content-type", "application/json")];
            let (status, headers, text) = api.exchange(method, path, &fields, body).await;
            assert_eq!(status, expected, "{method} {path}: {text}");
            assert_eq!(headers.contains_key("retry-after"), !ready, "{method} {path}");
            assert_eq!(text.contains("the plugins are being loaded"), !ready, "{method} {path}: {text}");
        }
        let (_, list) = api.get("/v1/plugins").await;
        assert_eq!(list["loading"], !ready, "{list}");
        let (status, _) = api.get("/v1/streams/order-1").await;
        assert_eq!(status, 200, "events are there all the same");
    }
}

#[tokio::test]
async fn what_acts_on_a_plugin_of_which_the_store_keeps_something_is_sent_again_later_too() {
    let api = rehearsals::rehearsing();
    api.fill("s", &["A"]).await;
    api.commit("c", 1, 1, &[("k", b"1")], &[1]);
    let asked = [
        ("POST", "/v1/plugins/c/rollback", 503),
        ("POST", "/v1/plugins/c/rebuild", 503),
        ("DELETE", "/v1/plugins/c/rebuild", 503),
        ("POST", "/v1/plugins/c/reload", 404),
        ("POST", "/v1/plugins/c/pause", 503),
        ("POST", "/v1/plugins/c/resume", 503),
        ("POST", "/v1/plugins/c/rebuild/verify", 404),
        ("POST", "/v1/plugins/c/dead-letters/retry", 503),
        ("POST", "/v1/plugins/c/dead-letters/1/retry", 503),
        ("DELETE", "/v1/plugins/c/dead-letters?all=true", 503),
        ("DELETE", "/v1/plugins/c/dead-letters/1", 503),
        ("GET", "/v1/plugins/c/query/gone", 404),
        ("GET", "/v1/plugins/c/state?at_least=1", 503),
        ("POST", "/v1/events?wait_for=c", 404),
    ];
    let body = json!({ "events": [{ "type": "A" }] }).to_string();
    for ready in [false, true] {
        api.plugins.ready.store(ready, Ordering::Relaxed);
        for (method, path, otherwise) in asked {
            let body = if path.starts_with("/v1/events") { body.clone() } else { String::new() };
            let fields = [("content-type", "application/json")];
            let (status, headers, text) = api.exchange(method, path, &fields, body).await;
            let problem: Value = serde_json::from_str(&text).unwrap();
            let detail = problem["detail"].as_str().unwrap();
            assert_eq!(status, if ready { otherwise } else { 503 }, "{method} {path}: {detail}");
            assert!(status != 503 || headers.contains_key("retry-after"), "{method} {path}");
            assert_eq!(detail.starts_with("the plugins are being loaded;"), !ready, "{method} {path}: {detail}");
            assert_eq!(problem["loading"] == json!(true), !ready, "{method} {path}");
        }
        for missing in ["/v1/plugins/c/state/no", "/v1/plugins/c/dead-letters/9"] {
            assert_eq!(api.get(missing).await.0, 404, "{missing} is in the store, or not");
        }
    }
}

#[tokio::test]
async fn what_is_not_installed_yet_is_shown_as_loading() {
    let api = Api::new();
    api.fill("s", &["A"]).await;
    api.commit("audit", 1, 1, &[], &[]);
    for (ready, loading) in [(false, json!(true)), (true, Value::Null)] {
        api.plugins.ready.store(ready, Ordering::Relaxed);
        let (_, list) = api.get("/v1/plugins").await;
        let (_, audit) = api.get("/v1/plugins/audit").await;
        for shown in [&list["plugins"][0], &audit] {
            assert_eq!((&shown["name"], &shown["installed"]), (&json!("audit"), &json!(false)));
            assert_eq!(shown["loading"], loading, "{shown}");
        }
        assert_eq!(list["plugins"][1]["loading"], Value::Null, "it runs: {list}");
    }
}
