//! What retention removed, as readers are told.

use super::*;
use crate::event::Category;
use crate::store::retention::{Needed, RetentionStatus};

async fn removed_from() -> Api {
    let api = Api::new();
    for stream in ["order-1", "stock-1", "order-1", "order-2"] {
        api.fill(stream, &["A"]).await;
    }
    api.store.remove(&Category::new("order").unwrap(), Position(4)).unwrap();
    api
}

#[tokio::test]
async fn pages_tell_what_may_be_missing() {
    let api = removed_from().await;
    let (_, page) = api.get("/v1/events").await;
    assert_eq!((positions(&page), &page["removed_before"]), (vec![2, 4], &json!(4)));
    let (_, page) = api.get("/v1/events?category=stock").await;
    assert_eq!((positions(&page), page.get("removed_before")), (vec![2], None));
    let (_, page) = api.get("/v1/events?after=3").await;
    assert_eq!((positions(&page), page.get("removed_before")), (vec![4], None));
    let (_, headers, _) = api.exchange("GET", "/v1/events", &[("accept", "application/x-ndjson")], "").await;
    assert_eq!(
        (&headers["tidemill-removed-before"], &headers["tidemill-head"]),
        (&"4".parse().unwrap(), &"4".parse().unwrap())
    );
    let (_, page) = api.get("/v1/streams/order-1").await;
    assert_eq!((&page["version"], &page["events"], &page["removed_before"]), (&json!(2), &json!([]), &json!(4)));
}

#[tokio::test]
async fn a_complete_read_is_answered_with_gone() {
    let api = removed_from().await;
    for path in ["/v1/events?complete=true", "/v1/streams/order-1?complete=true"] {
        let (status, problem) = api.get(path).await;
        assert_eq!((status, &problem["type"]), (410, &json!("urn:tidemill:problem:removed")), "{problem}");
        assert_eq!((&problem["category"], &problem["removed_before"]), (&json!("order"), &json!(4)));
        assert!(problem["detail"].as_str().unwrap().contains("after=3"), "{problem}");
    }
    assert_eq!(api.get("/v1/events?complete=true&after=3").await.0, 200);
    assert_eq!(api.get("/v1/events?complete=true&stream=stock-1").await.0, 200);
    assert_eq!(api.get("/v1/events?complete=maybe").await.0, 400);
}

#[tokio::test]
async fn policies_and_who_holds_them_back_are_listed() {
    let api = removed_from().await;
    let (_, listed) = api.get("/v1/retention").await;
    let bare =
        json!({"category": "order", "policy": null, "removed_before": 4, "wanted_before": null, "blocked_by": null});
    assert_eq!(listed["retention"], json!([bare]));
    api.state.commands().claims().claim(super::discreet::orders()).unwrap();
    assert_eq!(api.get("/v1/retention").await.1["retention"][0]["decided_by"], "orders");
    api.state.commands().claims().release(&PluginName::new("orders").unwrap());
    let blocked_by = Some(Needed { plugin: PluginName::new("slow").unwrap(), from: Position(3), kept: Some(2) });
    let status = RetentionStatus {
        policy: "audit=7d,100events".parse().unwrap(),
        removed_before: Position(0),
        wanted_before: Position(9),
        blocked_by,
        dropped: vec!["gone@3".parse().unwrap()],
    };
    let (_told, receiver) = watch::channel(vec![status]);
    let state = api.state.clone().with_retention(receiver);
    let api = Api { router: router(state), ..api };
    let (_, listed) = api.get("/v1/retention").await;
    let audit = json!({
        "category": "audit", "policy": "1w,100events", "removed_before": 0, "wanted_before": 9,
        "blocked_by": {"plugin": "slow", "position": 3, "kept_generation": 2},
        "dropped": [{"plugin": "gone", "generation": 3}],
    });
    assert_eq!(listed["retention"], json!([audit, bare]));
}
