//! Appending line by line.

use axum::body::BodyDataStream;
use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};

use super::*;

impl Api {
    /// Appends lines; answers what became of each, and the sum.
    async fn lines(&self, query: &str, body: impl Into<Body>) -> (Vec<Value>, Value) {
        let (status, headers, text) = self.exchange("POST", &format!("/v1/events?{query}"), &NDJSON, body).await;
        assert_eq!((status, headers[header::CONTENT_TYPE].to_str().unwrap()), (200, "application/x-ndjson"), "{text}");
        let mut lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let sum = lines.pop().unwrap();
        (lines, sum)
    }
}

fn id(number: u128) -> uuid::Uuid {
    uuid::Uuid::from_u128(number)
}

/// Line and position of each line, or line and kind of problem.
fn outcomes(lines: &[Value]) -> Vec<String> {
    let outcome = |line: &Value| match line["position"].as_u64() {
        Some(position) => format!("{}@{position}", line["line"]),
        None => format!("{} {}", line["line"], line["problem"]["type"].as_str().unwrap().rsplit(':').next().unwrap()),
    };
    lines.iter().map(outcome).collect()
}

#[tokio::test]
async fn each_line_stands_or_falls_alone() {
    let api = Api::new();
    api.fill("gone", &["A"]).await;
    assert_eq!(api.send("DELETE", "/v1/streams/gone", "", "").await.0, 200);
    let (taken, new) = (id(1), id(2));
    assert_eq!(api.post(&json!({ "events": [{ "id": taken, "type": "A" }] })).await.0, 201);
    let body = format!(
        "{{\"type\":\"B\",\"stream\":\"s\"}}\n\nnonsense\n{{\"type\":\"C\",\"stream\":\"gone\"}}\n\
         {{\"id\":\"{taken}\",\"type\":\"X\"}}\n{{\"id\":\"{taken}\",\"type\":\"A\"}}\n{{\"id\":\"{new}\",\"type\":\"D\"}}\n\
         {{\"id\":\"{new}\",\"type\":\"D\"}}\n{{\"type\":\"E\",\"stream\":\"s\"}}"
    );
    let (lines, sum) = api.lines("", body.clone()).await;
    let expected = ["1@4", "3 invalid-event", "4 stream-deleted", "5 id-conflict", "6@3", "7@5", "8@5", "9@6"];
    assert_eq!(outcomes(&lines), expected);
    assert_eq!((&lines[7]["version"], &lines[4]["id"]), (&json!(2), &json!(taken)));
    assert_eq!(sum, json!({ "lines": 8, "stored": 5, "refused": 3, "first_position": 3, "last_position": 6 }));

    let (lines, sum) = api.lines("results=refused", body.clone()).await;
    assert_eq!(outcomes(&lines), ["3 invalid-event", "4 stream-deleted", "5 id-conflict"]);
    assert_eq!((&sum["stored"], &sum["last_position"]), (&json!(5), &json!(8)), "those without ids are new events");

    let (lines, sum) = api.lines("stop_on_error=true", body).await;
    assert_eq!(outcomes(&lines), ["1@9", "3 invalid-event"]);
    assert_eq!((&sum["lines"], api.store.head()), (&json!(2), Position(9)));
    let refused = "{\"type\":\"A\"}\n{\"type\":\"C\",\"stream\":\"gone\"}\n{\"type\":\"A\"}\nnonsense\n";
    let (lines, _) = api.lines("stop_on_error=true", refused).await;
    assert_eq!(outcomes(&lines), ["1@10", "2 stream-deleted"]);
    assert_eq!(api.store.head(), Position(10), "nothing after the bad line is stored");
}

#[tokio::test]
async fn lines_are_answered_while_others_are_still_to_come() {
    let api = Api::new();
    let (mut input, output) = futures::channel::mpsc::channel::<Result<Bytes, std::io::Error>>(1);
    let request = Request::post("/v1/events").header(header::CONTENT_TYPE, "application/x-ndjson");
    let request = request.body(Body::from_stream(output)).unwrap();
    input.send(Ok("{\"type\":\"A\"}\n{\"ty".into())).await.unwrap();
    let mut answer = api.respond(request).await.into_body().into_data_stream();
    assert!(next(&mut answer).await.contains("\"line\":1,\"position\":1"));
    input.send(Ok("pe\":\"B\"}\n".into())).await.unwrap();
    assert!(next(&mut answer).await.contains("\"line\":2,\"position\":2"));
    api.state.close();
    let last = next(&mut answer).await;
    assert!(last.contains("\"stored\":2") && last.contains("shutting down"), "{last}");
    assert!(answer.next().await.is_none());
}

async fn next(answer: &mut BodyDataStream) -> String {
    let bytes = tokio::time::timeout(DEADLINE, answer.next()).await.expect("a line").unwrap().unwrap();
    String::from_utf8(bytes.into()).unwrap()
}

#[tokio::test]
async fn many_lines_keep_their_order() {
    const LINES: usize = 12_345;
    let api = Api::new();
    let body: String = (1..=LINES).map(|n| format!("{{\"type\":\"T\",\"data\":{n}}}\n")).collect();
    let (_, sum) = api.lines("results=refused", body).await;
    assert_eq!((&sum["stored"], &sum["last_position"]), (&json!(LINES), &json!(LINES)));
    let request = crate::store::ReadRequest { limit: LINES, ..crate::store::ReadRequest::default() };
    let data = api.store.read(&request).unwrap().events.into_iter().map(|event| String::from_utf8(event.data).unwrap());
    assert!(data.eq((1..=LINES).map(|n| n.to_string())));
}

#[tokio::test]
async fn a_body_that_breaks_off_leaves_what_was_whole() {
    let api = Api::new();
    let pieces = [Ok(Bytes::from("{\"type\":\"A\"}\n{\"type\":\"B\"")), Err(std::io::Error::other("gone"))];
    let body = Body::from_stream(futures::stream::iter(pieces));
    let (_, _, text) = api.exchange("POST", "/v1/events", &NDJSON, body).await;
    assert!(!text.contains("\"stored\""), "there is no sum: {text}");
    assert_eq!(api.store.head(), Position(1));
}

#[tokio::test]
async fn what_makes_no_sense_for_lines_is_refused() {
    let api = Api::new();
    for (query, fields) in
        [("?results=none", &NDJSON[..]), ("", &[NDJSON[0], ("if-match", "\"1\"")]), ("?stop_on_error=1", &NDJSON)]
    {
        assert_eq!(api.exchange("POST", &format!("/v1/events{query}"), fields, "{}").await.0, 400, "{query}");
    }
    let json = [("content-type", "application/json")];
    assert_eq!(api.exchange("POST", "/v1/events?atomic=true", &json, "{}").await.0, 400, "JSON is atomic anyway");
}
