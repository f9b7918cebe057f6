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
