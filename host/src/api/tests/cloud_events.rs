//! `CloudEvents` 1.0 in and out.

use super::*;

const STRUCTURED: (&str, &str) = ("content-type", "application/cloudevents+json; charset=utf-8");
const BATCH: &str = "application/cloudevents-batch+json";

impl Api {
    async fn read_back(&self) -> Vec<Value> {
        let (status, headers, text) = self.exchange("GET", "/v1/events", &[("accept", BATCH)], "").await;
        assert_eq!((status, headers[header::CONTENT_TYPE].to_str().unwrap()), (200, BATCH));
        serde_json::from_str(&text).unwrap()
    }
}

/// The attributes that came, without those that tell what the host did.
fn as_sent(mut event: Value) -> Value {
    let fields = event.as_object_mut().unwrap();
    fields.retain(|name, _| !matches!(&**name, "tmposition" | "tmversion" | "tmrecordedtime"));
    event
}

#[tokio::test]
async fn events_are_read_as_they_came() {
    let api = Api::new();
    let sent = json!([
        { "specversion": "1.0", "id": "A234-1234-1234", "source": "/shop", "type": "com.example.placed",
          "subject": "order/7", "time": "2018-04-05T17:31:00.5+02:00", "dataschema": "https://example.com/s#1",
          "datacontenttype": "application/json", "data": { "a": [1, 2.50, null] },
          "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
          "sequence": "0001", "count": 5, "flag": true, "tmfoo": "x" },
        { "specversion": "1.0", "id": "0199a0a0-0000-7000-8000-000000000001", "source": "urn:x", "type": "T" },
        { "specversion": "1.0", "id": "0199A0A0-0000-7000-8000-000000000002", "source": "urn:x", "type": "T", "data": null },
        { "specversion": "1.0", "id": "3", "source": "urn:x", "type": "T", "data": "text" },
        { "specversion": "1.0", "id": "4", "source": "urn:x", "type": "T", "datacontenttype": "text/plain", "data": "é\n" },
        { "specversion": "1.0", "id": "5", "source": "urn:x", "type": "T", "datacontenttype": "image/png", "data_base64": "/wA=" },
        { "specversion": "1.0", "id": "6", "source": "urn:x", "type": "T", "datacontenttype": "application/vnd.x+json", "data": [1] },
        { "specversion": "1.0", "id": "7", "source": "urn:x", "type": "T", "tmstream": "s", "tmtags": "[\"a\",\"b\"]",
          "tmschemaversion": "2", "tmmetadata": "{\"actor\":\"ann\"}" },
    ]);
    let (status, answer) = api.send("POST", "/v1/events", BATCH, sent.to_string()).await;
    assert_eq!((status, &answer["last_position"]), (201, &json!(8)));
    let read: Vec<_> = api.read_back().await.into_iter().map(as_sent).collect();
    assert_eq!(json!(read), sent);
    assert_eq!(api.send("POST", "/v1/events", BATCH, sent.to_string()).await, (201, answer), "again is a retry");
    let (_, event) = api.get("/v1/events/0199a0a0-0000-7000-8000-000000000001").await;
    assert_eq!((&event["position"], &event["metadata"]["ce-source"]), (&json!(2), &json!("urn:x")));
    let (_, event) = api.get("/v1/streams/s").await;
    let event = &event["events"][0];
    assert_eq!((&event["tags"], &event["schema_version"]), (&json!(["a", "b"]), &json!(2)));
    let other = json!([{ "specversion": "1.0", "id": "3", "source": "urn:y", "type": "T" }]);
    assert_eq!(api.send("POST", "/v1/events", BATCH, other.to_string()).await.0, 201, "another source, another event");
}

#[tokio::test]
async fn one_event_comes_structured_or_binary() {
    let api = Api::new();
    let one = json!({ "specversion": "1.0", "id": "1", "source": "/a", "type": "T", "data": 1 });
    assert_eq!(api.exchange("POST", "/v1/events", &[STRUCTURED], one.to_string()).await.0, 201);
    let fields = [
        ("ce-specversion", "1.0"),
        ("ce-id", "2"),
        ("ce-source", "/a"),
        ("ce-type", "T"),
        ("ce-subject", "Euro%20%E2%82%AC+1"),
        ("content-type", "text/plain"),
    ];
    assert_eq!(api.exchange("POST", "/v1/events", &fields, "hello").await.0, 201);
    let fields = [("ce-specversion", "1.0"), ("ce-id", "3"), ("ce-source", "/a"), ("ce-type", "T")];
    assert_eq!(api.exchange("POST", "/v1/events", &fields, "").await.0, 201);
    let binary = json!([
        { "specversion": "1.0", "id": "2", "source": "/a", "type": "T", "subject": "Euro €+1",
          "datacontenttype": "text/plain", "data": "hello" },
        { "specversion": "1.0", "id": "3", "source": "/a", "type": "T" },
    ]);
    let read: Vec<_> = api.read_back().await.into_iter().map(as_sent).collect();
    assert_eq!(json!(read[1..]), binary);
    let (_, page) = api.get("/v1/events").await;
    let path = format!("/v1/events/{}", page["events"][0]["id"].as_str().unwrap());
    let (_, headers, text) = api.exchange("GET", &path, &[("accept", "application/cloudevents+json")], "").await;
    assert_eq!(headers[header::CONTENT_TYPE], "application/cloudevents+json");
    assert_eq!(as_sent(serde_json::from_str(&text).unwrap()), one);
}

#[tokio::test]
async fn one_event_is_read_binary_as_it_came() {
    let api = Api::new();
    let sent = [
        ("ce-specversion", "1.0"),
        ("ce-id", "2"),
        ("ce-source", "/a?b=c"),
        ("ce-type", "T"),
        ("ce-subject", "Euro%20%E2%82%AC%25%22"),
        ("ce-tmstream", "s"),
        ("content-type", "image/png"),
    ];
    let (_, _, answer) = api.exchange("POST", "/v1/events", &sent, "png").await;
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let path = |answer: &Value| format!("/v1/events/{}", answer["events"][0]["id"].as_str().unwrap());
    let ask = [("accept", "*/*"), ("ce-specversion", "1.0")];
    let (status, headers, text) = api.exchange("GET", &path(&answer), &ask, "").await;
    assert_eq!((status, &*text), (200, "png"));
    for (name, value) in sent.iter().chain(&[("ce-tmposition", "1"), ("vary", "accept, ce-specversion")]) {
        assert_eq!(headers[*name], value);
    }
    let again: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    assert_eq!(api.exchange("POST", "/v1/events", &again, text).await.0, 201, "what was read is what was sent");
    assert_eq!(api.store.head(), Position(1));
    let batch = json!([
        { "specversion": "1.0", "id": "3", "source": "/a", "type": "T", "count": 5, "flag": true },
        { "specversion": "1.0", "id": "4", "source": "/a", "type": "T", "data": [1] },
    ]);
    let (_, answer) = api.send("POST", "/v1/events", BATCH, batch.to_string()).await;
    let (_, headers, text) = api.exchange("GET", &path(&answer), &ask, "").await;
    assert_eq!((&*text, headers.get(header::CONTENT_TYPE)), ("", None), "there is no data");
    assert_eq!((&headers["ce-count"], &headers["ce-flag"]), (&"5".parse().unwrap(), &"true".parse().unwrap()));
    let data = json!({ "events": [answer["events"][1]] });
    let (_, headers, text) = api.exchange("GET", &path(&data), &ask, "").await;
    assert_eq!((&*text, &headers[header::CONTENT_TYPE]), ("[1]", &"application/json".parse().unwrap()));
    let (_, headers, _) = api.exchange("GET", "/v1/events", &ask, "").await;
    assert_eq!(headers[header::CONTENT_TYPE], BATCH, "a page has no binary form");
}

#[tokio::test]
async fn other_events_are_read_as_cloud_events_too() {
    let api = Api::new();
    let id = "0199a0a0-0000-7000-8000-000000000001";
    let event = json!({ "id": id, "type": "T", "stream": "s", "tags": ["a"], "data": 1, "metadata": { "actor": "ann", "ce-Odd": "x" } });
    assert_eq!(api.post(&json!({ "events": [event] })).await.0, 201);
    let expected = json!([{
        "specversion": "1.0", "id": id, "source": "urn:tidemill", "type": "T", "time": "2023-11-14T22:13:20.000000Z",
        "datacontenttype": "application/json", "data": 1, "tmposition": "1", "tmversion": "1", "tmstream": "s",
        "tmrecordedtime": "2023-11-14T22:13:20.000000Z", "tmtags": "[\"a\"]",
        "tmmetadata": "{\"actor\":\"ann\",\"ce-Odd\":\"x\"}",
    }]);
    assert_eq!(json!(api.read_back().await), expected);
}

/// A client's clock is the client's: what it says is kept, and the log's own times go by the server's.
#[tokio::test]
async fn a_time_far_from_the_servers_is_kept_and_moves_nothing() {
    let api = Api::new();
    let times = ["9999-12-30T12:00:00.000001Z", "0001-01-01T00:00:00Z", "1969-12-31T23:59:59-12:00"];
    for (time, id) in times.iter().zip(1..) {
        let event = json!({ "specversion": "1.0", "id": id.to_string(), "source": "/a", "type": "T", "time": time });
        let (status, answer) = api.send("POST", "/v1/events", "application/cloudevents+json", event.to_string()).await;
        assert_eq!(status, 201, "{time}: {answer}");
    }
    let read = json!(api.read_back().await);
    for (event, time) in read.as_array().unwrap().iter().zip(times) {
        assert_eq!((&event["time"], &event["tmrecordedtime"]), (&json!(time), &json!("2023-11-14T22:13:20.000000Z")));
    }
    let (_, page) = api.get("/v1/events?since=2023-11-14T22:13:20Z&until=2023-11-14T22:13:21Z").await;
    assert_eq!(positions(&page), [1, 2, 3]);
}

#[tokio::test]
async fn bad_cloud_events_name_the_attribute() {
    let api = Api::new();
    let base = json!({ "specversion": "1.0", "id": "1", "source": "/a", "type": "T" });
    for (name, value, expected) in [
        ("id", json!(null), "`id` is missing"),
        ("source", json!(""), "`source` is missing"),
        ("type", json!(1), "`type` is 1; it must be a text"),
        ("specversion", json!("0.3"), "`specversion` is \"0.3\"; known is \"1.0\""),
        ("time", json!("yesterday"), "`time` is \"yesterday\"; give a time as in RFC 3339"),
        ("My-Ext", json!("x"), "`My-Ext` does not name an attribute"),
        ("ext", json!({}), "`ext` is {}; attributes are texts, numbers or booleans"),
        ("data_base64", json!("*"), "`data_base64` is not base64"),
        ("tmtags", json!("x"), "`tmtags` must be a list of tags as JSON text"),
        ("tmstream", json!("a*"), "`tmstream`: stream name \"a*\" holds '*'"),
        ("long", json!("x".repeat(5000)), "metadata \"ce-long\" has 5000 bytes; at most 4096 are allowed"),
    ] {
        let mut event = base.clone();
        event[name] = value;
        let (status, problem) = api.send("POST", "/v1/events", BATCH, json!([base, event]).to_string()).await;
        let detail = problem["detail"].as_str().unwrap();
        assert!(status == 400 && detail.contains(expected) && detail.contains("event 1"), "{name}: {detail}");
    }
    let (status, _) = api.send("POST", "/v1/events", BATCH, "{}").await;
    assert_eq!(status, 400);
    let fields = [("ce-specversion", "1.0"), ("ce-id", "%zz")];
    assert_eq!(api.exchange("POST", "/v1/events", &fields, "").await.0, 400);
    assert_eq!(api.store.head(), Position(0));
}
