//! Subscriptions: catch up, live, no gap and no double, and their end.

use futures::StreamExt as _;

use super::*;

/// The bytes of an event stream, message by message.
pub(super) struct Messages {
    body: axum::body::BodyDataStream,
    text: String,
}

impl Messages {
    pub(super) async fn open(api: &Api, path: &str, last_event_id: Option<&str>) -> Self {
        let mut request = Request::get(path);
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let response = api.respond(request.body(Body::empty()).unwrap()).await;
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
        Self { body: response.into_body().into_data_stream(), text: String::new() }
    }

    /// The next message; none when the stream has ended.
    pub(super) async fn next(&mut self) -> Option<String> {
        loop {
            if let Some((message, rest)) = self.text.split_once("\n\n") {
                let (message, rest) = (message.to_owned(), rest.to_owned());
                self.text = rest;
                return Some(message);
            }
            let more = tokio::time::timeout(DEADLINE, self.body.next()).await.expect("a message or the end")?;
            self.text.push_str(std::str::from_utf8(&more.unwrap()).unwrap());
        }
    }

    pub(super) async fn ids(&mut self, count: usize) -> Vec<u64> {
        let mut ids = Vec::new();
        for _ in 0..count {
            let message = self.next().await.unwrap();
            let id = message.lines().find_map(|line| line.strip_prefix("id: ")).unwrap();
            ids.push(id.parse().unwrap());
        }
        ids
    }
}

#[tokio::test]
async fn subscribing_catches_up_and_goes_on_live() {
    let api = Api::new();
    api.fill("s", &["A", "B", "A"]).await;
    let mut messages = Messages::open(&api, "/v1/events/subscribe?type=A", None).await;
    assert_eq!(messages.ids(2).await, [1, 3]);
    api.fill("s", &["B", "A"]).await;
    let message = messages.next().await.unwrap();
    let data = message.strip_prefix("id: 5\ndata: ").unwrap();
    assert_eq!(serde_json::from_str::<Value>(data).unwrap()["type"], "A");
}

#[tokio::test]
async fn a_subscriber_is_told_first_what_may_be_missing() {
    let api = Api::new();
    api.fill("order-1", &["A", "A"]).await;
    api.fill("stock-1", &["A"]).await;
    let category = crate::event::Category::new("order").unwrap();
    api.store.remove(&category, Position(3)).unwrap();
    let mut messages = Messages::open(&api, "/v1/events/subscribe", None).await;
    assert_eq!(messages.next().await.unwrap(), "event: removed\ndata: {\"removed_before\":3}");
    assert_eq!(messages.ids(1).await, [3]);
    let mut messages = Messages::open(&api, "/v1/events/subscribe?after=2", None).await;
    assert_eq!(messages.ids(1).await, [3], "nothing is missing behind its start");
    let mut messages = Messages::open(&api, "/v1/streams/order-1/subscribe", None).await;
    assert_eq!(messages.next().await.unwrap(), "event: removed\ndata: {\"removed_before\":3}", "though all is");
    api.fill("order-1", &["A"]).await;
    assert_eq!(messages.ids(1).await, [4]);
}

#[tokio::test]
async fn no_event_is_lost_or_doubled_at_the_seam() {
    const EVENTS: usize = 1500;
    let api = Api::new();
    api.fill("s", &["A"; 700]).await;
    let mut messages = Messages::open(&api, "/v1/events/subscribe", None).await;
    let append = async {
        for _ in 0..EVENTS - 700 {
            api.fill("s", &["A"]).await;
            tokio::task::yield_now().await;
        }
    };
    let (ids, ()) = tokio::join!(messages.ids(EVENTS), append);
    assert_eq!(ids, (1..=EVENTS as u64).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_subscriber_resumes_after_the_last_event_it_saw() {
    let api = Api::new();
    api.fill("s", &["A", "B", "C"]).await;
    let mut messages = Messages::open(&api, "/v1/events/subscribe?after=0", Some("2")).await;
    assert_eq!(messages.ids(1).await, [3], "the header wins");
    let mut live = Messages::open(&api, "/v1/events/subscribe?after=head", None).await;
    api.fill("s", &["D"]).await;
    assert_eq!(live.ids(1).await, [4]);
    let request = Request::get("/v1/events/subscribe").header("last-event-id", "x").body(Body::empty()).unwrap();
    assert_eq!(api.respond(request).await.status(), 400);
}

#[tokio::test]
async fn subscriptions_end_when_the_server_closes() {
    let api = Api::new();
    api.fill("s", &["A"]).await;
    let mut messages = Messages::open(&api, "/v1/events/subscribe", None).await;
    assert_eq!(messages.ids(1).await, [1]);
    let (last, ()) = tokio::join!(messages.next(), async { api.state.close() });
    assert_eq!(last.as_deref(), Some(": the server is shutting down"));
    assert_eq!(messages.next().await, None);
}

#[tokio::test]
async fn one_stream_is_followed_after_a_version() {
    let api = Api::new();
    api.fill("s", &["A", "B"]).await;
    api.fill("t", &["A"]).await;
    api.fill("s", &["A"]).await;
    let mut messages = Messages::open(&api, "/v1/streams/s/subscribe?after=1", None).await;
    assert_eq!(messages.ids(2).await, [2, 4], "ids are positions");
    let mut messages = Messages::open(&api, "/v1/streams/s/subscribe?type=A", Some("1")).await;
    assert_eq!(messages.ids(1).await, [4]);
    let mut unborn = Messages::open(&api, "/v1/streams/u/subscribe", None).await;
    api.fill("u", &["A"]).await;
    assert_eq!(unborn.ids(1).await, [5]);
    let (status, problem) = api.get("/v1/streams/s/subscribe?after=4").await;
    assert_eq!((status, &problem["parameter"]), (400, &json!("after")));
}

#[tokio::test]
async fn many_idle_subscribers_wait_and_a_client_that_goes_gives_its_place_back() {
    const IDLE: usize = 5_000;
    let api = Api::new();
    let mut idle = Vec::new();
    for _ in 0..IDLE {
        idle.push(Messages::open(&api, "/v1/events/subscribe?type=Rare", None).await);
    }
    assert_eq!(api.state.places().subscribers.taken(), IDLE);
    idle.drain(1..IDLE - 1);
    while api.state.places().subscribers.taken() > 2 {
        tokio::task::yield_now().await;
    }
    api.fill("s", &["Rare"]).await;
    for listener in &mut idle {
        assert_eq!(listener.ids(1).await, [1]);
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_is_not_read_for() {
    let api = Api::new();
    for _ in 0..40 {
        api.fill("s", &["A"; 100]).await;
    }
    let mut messages = Messages::open(&api, "/v1/events/subscribe", None).await;
    assert_eq!(messages.ids(1).await, [1]);
    assert_eq!(messages.ids(3_999).await, (2..=4_000).collect::<Vec<_>>(), "it goes on where it was");
}

#[tokio::test]
async fn line_breaks_in_data_do_not_break_the_stream() {
    let api = Api::new();
    let body = "{\"events\":[{\"type\":\"T\",\"data\":{\"a\":\r\n1}}]}";
    assert_eq!(api.send("POST", "/v1/events", "application/json", body).await.0, 201);
    let mut messages = Messages::open(&api, "/v1/events/subscribe", None).await;
    let message = messages.next().await.unwrap();
    let data = message.strip_prefix("id: 1\ndata: ").unwrap();
    assert!(!data.contains(['\r', '\n']), "{data:?}");
    let event: Value = serde_json::from_str(data).unwrap();
    assert_eq!(event["data"], json!({ "a": 1 }));
}
