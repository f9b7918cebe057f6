//! The forms in which events are read.

use super::*;

#[tokio::test]
async fn a_page_is_read_as_lines_and_followed_by_its_link() {
    let api = Api::new();
    let body = "{\"events\":[{\"type\":\"A\",\"data\":{\"a\":\n1}},{\"type\":\"A\"},{\"type\":\"A\"}]}";
    assert_eq!(api.send("POST", "/v1/events", "application/json", body).await.0, 201);
    let mut path = "/v1/events?limit=2&type=A".to_owned();
    let mut seen = Vec::new();
    loop {
        let accept = [("accept", "text/html, application/x-ndjson;q=0.9")];
        let (status, headers, text) = api.exchange("GET", &path, &accept, "").await;
        assert_eq!((status, headers[header::CONTENT_TYPE].to_str().unwrap()), (200, "application/x-ndjson"));
        assert_eq!(headers["tidemill-head"], "3");
        for line in text.lines() {
            seen.push(serde_json::from_str::<Value>(line).unwrap()["position"].as_u64().unwrap());
        }
        let Some(link) = headers.get(header::LINK) else { break };
        let link = link.to_str().unwrap().strip_prefix('<').unwrap();
        path = link.strip_suffix(">; rel=\"next\"").unwrap().to_owned();
    }
    assert_eq!(seen, [1, 2, 3]);
    let (_, headers, _) = api.exchange("GET", "/v1/events?limit=1", &[], "").await;
    assert_eq!(headers[header::LINK], "</v1/events?after=1&limit=1>; rel=\"next\"", "as JSON too");
}
