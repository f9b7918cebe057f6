//! Reading in today's schema, and as it is stored.

use super::subscribe::Messages;
use super::*;
use crate::event::{EventType, NewEvent, StreamName};
use crate::schema::{PART_KEY, rules};
use crate::store::AppendRequest;

const RULES: &str = r#"
[[upcast]]
type = "Old"
from = 1
to = 1
as = "New"

[[upcast]]
type = "Pair"
from = 1
to = 1
into = [{ type = "Left" }, { type = "Right" }]

[[upcast]]
type = "Bad"
from = 2
"#;

impl Api {
    fn lift_by(&self, rules: &str) {
        let chain = Chain::new(rules::read("u.toml", rules).unwrap()).unwrap();
        *self.plugins.chain.lock().unwrap() = Ok(Arc::new(chain));
    }

    async fn types(&self, path: &str) -> Vec<String> {
        let (status, page) = self.get(path).await;
        assert_eq!(status, 200, "{page}");
        let events = page["events"].as_array().unwrap();
        events.iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect()
    }
}

#[tokio::test]
async fn every_way_of_reading_shows_today_unless_it_is_asked_for_what_is_stored() {
    let api = Api::new();
    api.lift_by(RULES);
    api.fill("s", &["Old", "Pair", "New", "Bad"]).await;
    for path in ["/v1/events", "/v1/streams/s"] {
        let forwards = ["New", "Left", "Right", "New", "Bad"];
        assert_eq!(api.types(path).await, forwards, "{path}");
        let mut backwards = api.types(&format!("{path}?direction=backwards&schema=current")).await;
        backwards.reverse();
        assert_eq!(backwards, forwards, "{path}");
        assert_eq!(api.types(&format!("{path}?schema=stored")).await, ["Old", "Pair", "New", "Bad"], "{path}");
    }
    assert_eq!(api.types("/v1/events?type=New&type=Right").await, ["New", "Right", "New"]);
    assert_eq!(api.types("/v1/events?type=Old&type=Pair").await, [""; 0]);
    assert_eq!(api.types("/v1/events?type=Pair&schema=stored").await, ["Pair"]);
    let (_, page) = api.get("/v1/events?after=3").await;
    let why = page["events"][0]["metadata"]["$unlifted"].as_str().unwrap();
    assert!(why.contains("Bad 1: nothing lifts it"), "{why}");
    let (_, page) = api.get("/v1/events?limit=1&schema=stored").await;
    assert!(page["next"].as_str().unwrap().contains("schema=stored"), "{page}");
    assert_eq!(api.get("/v1/events?schema=old").await.0, 400);
}

#[tokio::test]
async fn while_it_is_not_known_what_lifts_events_only_what_is_stored_is_shown() {
    let api = Api::new();
    api.fill("s", &["Old"]).await;
    *api.plugins.chain.lock().unwrap() = Err("u.toml:3: no such rule".into());
    for path in ["/v1/events", "/v1/streams/s", "/v1/events/subscribe", "/v1/streams/s/subscribe"] {
        let (status, problem) = api.get(path).await;
        let detail = problem["detail"].as_str().unwrap();
        assert!(status == 503 && detail.contains("u.toml:3") && detail.contains("schema=stored"), "{path}: {problem}");
    }
    assert_eq!(api.types("/v1/events?schema=stored").await, ["Old"]);
}

#[tokio::test]
async fn a_subscriber_who_comes_back_between_two_parts_of_an_event_misses_none() {
    let api = Api::new();
    api.lift_by(RULES);
    api.fill("s", &["Old", "Pair", "Other"]).await;
    let mut messages = Messages::open(&api, "/v1/events/subscribe", None).await;
    assert_eq!(
        messages.ids(4).await,
        [1, 1, 2, 3],
        "the id of a part that is not the last is that of the event before"
    );
    let mut back = Messages::open(&api, "/v1/events/subscribe", Some("1")).await;
    assert!(back.next().await.unwrap().contains("\"Left\"") && back.next().await.unwrap().contains("\"Right\""));
    let mut stored = Messages::open(&api, "/v1/streams/s/subscribe?schema=stored", None).await;
    assert!(stored.next().await.unwrap().contains("\"Old\""));
}

#[tokio::test]
async fn an_open_subscription_takes_up_a_changed_chain() {
    let api = Api::new();
    api.fill("s", &["New"]).await;
    let mut messages = Messages::open(&api, "/v1/events/subscribe?type=New", None).await;
    assert_eq!(messages.ids(1).await, [1]);
    api.lift_by(RULES);
    // The next page is taken with what was asked for before, and what follows with what is asked for now.
    api.fill("s", &["New"]).await;
    assert_eq!(messages.ids(1).await, [2]);
    api.fill("s", &["Old"]).await;
    let message = messages.next().await.unwrap();
    assert!(message.starts_with("id: 3\n") && message.contains("\"New\""), "{message}");
}

#[tokio::test]
async fn a_page_that_becomes_too_much_ends_earlier_and_the_next_one_goes_on() {
    let parts = vec!["{ type = \"New\" }"; 200].join(", ");
    let api = Api::new();
    api.lift_by(&format!("[[upcast]]\ntype = \"Wide\"\nfrom = 1\nto = 1\ninto = [{parts}]"));
    let data = format!("\"{}\"", "x".repeat(4 << 10));
    let event = || {
        let event = NewEvent::json(EventType::new("Wide").unwrap(), data.clone());
        event.on(StreamName::new("s").unwrap())
    };
    api.store.append(AppendRequest::unconditional((0..25).map(|_| event()).collect())).await.unwrap();
    for path in ["/v1/events", "/v1/streams/s"] {
        for direction in ["forwards", "backwards"] {
            let mut next = Some(format!("{path}?direction={direction}"));
            let (mut seen, mut pages) = (Vec::new(), 0);
            while let Some(link) = next {
                let (status, page) = api.get(&link).await;
                assert_eq!(status, 200, "{link}");
                let place = |event: &Value| {
                    let part: u64 = event["metadata"][PART_KEY].as_str().unwrap().parse().unwrap();
                    (event["position"].as_u64().unwrap(), part)
                };
                seen.extend(page["events"].as_array().unwrap().iter().map(place));
                next = page["next"].as_str().map(str::to_owned);
                pages += 1;
            }
            if direction == "backwards" {
                seen.reverse();
            }
            let all = (1..=25).flat_map(|position| (0..200).map(move |part| (position, part)));
            assert!(pages == 3 && seen.into_iter().eq(all), "{path} {direction}: {pages} pages");
        }
    }
}
