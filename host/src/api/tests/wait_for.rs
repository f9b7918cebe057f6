//! An append that waits for plugins.

use super::*;

impl Api {
    async fn append_and_wait(&self, query: &str) -> (u16, Value) {
        let body = json!({ "events": [{ "type": "A" }] }).to_string();
        self.send("POST", &format!("/v1/events?{query}"), "application/json", body).await
    }

    fn billing_comes_to(&self, checkpoint: u64, state: State) {
        self.plugins.status.send_replace(Status { checkpoint: Position(checkpoint), state, ..Status::default() });
    }
}

#[tokio::test]
async fn the_answer_comes_when_the_plugin_has_settled_the_append() {
    let api = Api::new();
    let (status, answer) = api.append_and_wait("wait_for=billing").await;
    assert_eq!((status, &answer["behind"]), (201, &json!([])), "it is at 2 already");
    api.append_and_wait("").await;
    let handled = async {
        while api.store.head() < Position(3) {
            tokio::task::yield_now().await;
        }
        api.billing_comes_to(3, State::Running);
    };
    let ((status, answer), ()) = tokio::join!(api.append_and_wait("wait_for=billing,billing"), handled);
    assert_eq!((status, &answer["last_position"], &answer["behind"]), (201, &json!(3), &json!([])));
}

#[tokio::test]
async fn who_is_behind_when_the_time_is_over_is_part_of_the_answer() {
    let api = Api::new();
    api.fill("s", &["A", "A"]).await;
    let (status, answer) = api.append_and_wait("wait_for=billing&timeout_ms=1").await;
    let behind = json!([{ "plugin": "billing", "checkpoint": 2, "reason": "it did not come so far in time" }]);
    assert_eq!((status, &answer["behind"]), (201, &behind));
    assert_eq!(api.store.head(), Position(3), "the append stands");
    api.billing_comes_to(2, State::Halted { reason: "poison".into() });
    let (_, answer) = api.append_and_wait("wait_for=billing&timeout_ms=60000").await;
    let said = "it has halted; `tidemill plugins inspect` says why";
    assert_eq!(answer["behind"][0]["reason"], said, "nobody waits for what will not come");
    api.billing_comes_to(2, State::Paused);
    let (_, answer) = api.append_and_wait("wait_for=billing&timeout_ms=60000").await;
    assert_eq!(answer["behind"][0]["reason"], "it is paused");
    let lines = "{\"type\":\"A\"}\n";
    let (_, _, text) = api.exchange("POST", "/v1/events?wait_for=billing", &NDJSON, lines).await;
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!((&last["stored"], &last["behind"][0]["plugin"]), (&json!(1), &json!("billing")));
}

#[tokio::test]
async fn who_cannot_be_waited_for_is_told_before_anything_is_appended() {
    let api = Api::new();
    let (status, problem) = api.append_and_wait("wait_for=billing,nobody").await;
    assert_eq!((status, &problem["plugin"]), (404, &json!("nobody")));
    assert_eq!(api.append_and_wait("wait_for=a%20b").await.0, 400);
    assert_eq!(api.append_and_wait("wait_for=billing&timeout_ms=60001").await.0, 400);
    assert_eq!(api.store.head(), Position(0));
}
