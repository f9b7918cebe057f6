//! Verifying and measuring a store while it is in use.

use std::sync::{Mutex, mpsc};

use futures::StreamExt as _;

use super::*;
use crate::clock::SystemClock;
use crate::event::{EventType, NewEvent};
use crate::store::embedded::{self, Activity, EmbeddedStore, OpenOptions, Sizes, VerifyProgress, VerifyReport};
use crate::store::{AppendRequest, Pending, StoreError};

/// Verifying that tells how far it is, then waits for what it is to answer.
struct Slow(Mutex<mpsc::Receiver<Result<VerifyReport, StoreError>>>);

impl Maintenance for Slow {
    fn verify(&self, tell: &mut dyn FnMut(VerifyProgress)) -> Result<VerifyReport, StoreError> {
        tell(VerifyProgress { bytes: 3, bytes_total: 7 });
        self.0.lock().unwrap().recv().expect("an answer, or the test is over")
    }

    fn sizes(&self) -> Result<Sizes, StoreError> {
        Err(StoreError::ReadFailed { reason: "no such disk".into() })
    }

    fn backup(self: Arc<Self>) -> Result<crate::backup::Live, StoreError> {
        Err(StoreError::DiskFull { reason: "no such disk".into() })
    }

    fn activity(&self) -> Activity {
        Activity::default()
    }

    fn ping(&self) -> Pending<Result<(), StoreError>> {
        Pending::ready(Ok(()))
    }
}

fn slow() -> (ApiState, mpsc::Sender<Result<VerifyReport, StoreError>>) {
    let (answer, answers) = mpsc::channel();
    let store = Arc::new(MemoryStore::new(Arc::new(ManualClock::at(0))));
    (ApiState::maintained(store, Arc::new(NoPlugins), Arc::new(Slow(Mutex::new(answers)))), answer)
}

async fn ask(state: &ApiState, method: &str, path: &str, accept: &str) -> (u16, String) {
    let request = Request::builder().method(method).uri(path).header(header::ACCEPT, accept);
    let response = router(state.clone()).oneshot(request.body(Body::empty()).unwrap());
    let response = tokio::time::timeout(DEADLINE, response).await.expect("an answer").unwrap();
    let status = response.status().as_u16();
    let body = tokio::time::timeout(DEADLINE, to_bytes(response.into_body(), usize::MAX)).await;
    (status, String::from_utf8(body.expect("an end").unwrap().into()).unwrap())
}

async fn json_of(state: &ApiState, method: &str, path: &str) -> (u16, Value) {
    let (status, body) = ask(state, method, path, "*/*").await;
    (status, serde_json::from_str(&body).unwrap())
}

#[tokio::test]
async fn a_store_on_disk_is_verified_and_measured_while_in_use() {
    let directory = tempfile::tempdir().unwrap();
    let options = OpenOptions { journal_bytes_max: 64 << 10, ..OpenOptions::new(directory.path()) };
    let store = Arc::new(EmbeddedStore::open(&options, Arc::new(SystemClock)).unwrap());
    for _ in 0..100 {
        let event = || NewEvent::json(EventType::new("T").unwrap(), format!("\"{}\"", "x".repeat(1000)));
        store.append(AppendRequest::unconditional((0..10).map(|_| event()).collect())).await.unwrap();
    }
    let state = ApiState::maintained(store.clone(), Arc::new(NoPlugins), store.clone());
    let (status, report) = json_of(&state, "POST", "/v1/verify").await;
    assert_eq!((status, &report["sound"], &report["head"]), (200, &json!(true), &json!(1000)), "{report}");
    assert_eq!((&report["events"], &report["problems"]), (&json!(1000), &json!([])));
    let (status, sizes) = json_of(&state, "GET", "/v1/doctor").await;
    assert_eq!((status, &sizes["events"], &sizes["head"]), (200, &json!(1000), &json!(1000)), "{sizes}");
    assert!(sizes["total_bytes"].as_u64().unwrap() > 1_000_000 && sizes["journals"]["files"] != 0, "{sizes}");
    assert_eq!(json_of(&state, "POST", "/v1/verify?fast=1").await.0, 400);
}

#[tokio::test]
async fn a_store_without_files_has_nothing_to_look_at() {
    let api = Api::new();
    for (method, path) in [("POST", "/v1/verify"), ("GET", "/v1/doctor")] {
        let (status, problem) = api.send(method, path, "application/json", "").await;
        assert_eq!((status, &problem["type"]), (404, &json!("urn:tidemill:problem:not-supported")), "{path}");
    }
}

#[tokio::test]
async fn what_is_damaged_is_told_by_place() {
    let (state, answer) = slow();
    let place = "00000000000000000001.segment";
    let problem = |error| embedded::Problem { place: place.to_owned(), error, repairable: false };
    let file = place.to_owned();
    let problems = vec![
        problem(StoreError::CorruptedFile { file, reason: "block 2: it does not match its checksum".into() }),
        problem(StoreError::Corrupted { position: Position(7), reason: "its hash differs".into() }),
    ];
    answer.send(Ok(VerifyReport { head: Position(9), events: 6, stubs: 3, segments: 1, runs: 1, problems })).unwrap();
    let report = json!({
        "sound": false, "head": 9, "events": 6, "stubs": 3, "segments": 1, "index_files": 1,
        "problems": [
            { "place": place, "position": null, "problem": "block 2: it does not match its checksum",
              "repairable": false },
            { "place": place, "position": 7, "problem": "its hash differs", "repairable": false },
        ],
    });
    assert_eq!(json_of(&state, "POST", "/v1/verify").await, (200, report));
    answer.send(Err(StoreError::ShuttingDown)).unwrap();
    assert_eq!(json_of(&state, "POST", "/v1/verify").await.0, 503);
    assert_eq!(json_of(&state, "GET", "/v1/doctor").await.0, 503);
}

#[tokio::test]
async fn who_waits_hears_how_far_it_is_and_one_verifies_at_a_time() {
    let (state, answer) = slow();
    let request = Request::post("/v1/verify").header(header::ACCEPT, "application/x-ndjson");
    let response = router(state.clone()).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/x-ndjson");
    let mut lines = response.into_body().into_data_stream();
    let mut next = async || serde_json::from_slice::<Value>(&lines.next().await.unwrap().unwrap()).unwrap();
    while next().await != json!({ "bytes": 3, "bytes_total": 7 }) {}
    let (status, problem) = json_of(&state, "POST", "/v1/verify").await;
    assert_eq!(
        (status, &problem["detail"]),
        (503, &json!("the store is being verified already; try again when that is done"))
    );
    answer.send(Ok(VerifyReport::default())).unwrap();
    let last = loop {
        let line = next().await;
        if line.get("bytes").is_none() {
            break line;
        }
    };
    assert_eq!((&last["sound"], &last["events"]), (&json!(true), &json!(0)));
    assert!(lines.next().await.is_none(), "that was the last line");
}

#[tokio::test]
async fn whoever_hears_the_answer_may_have_it_verified_again() {
    let (state, answer) = slow();
    for _ in 0..200 {
        answer.send(Ok(VerifyReport::default())).unwrap();
        assert_eq!(json_of(&state, "POST", "/v1/verify").await.0, 200);
    }
}

#[tokio::test]
async fn a_server_that_shuts_down_does_not_wait_for_verifying() {
    let (state, answer) = slow();
    let (answered, ()) = tokio::join!(ask(&state, "POST", "/v1/verify", "application/x-ndjson"), async {
        state.close();
    });
    let problem: Value = serde_json::from_str(answered.1.lines().last().unwrap()).unwrap();
    assert_eq!((answered.0, &problem["status"]), (503, &json!(503)), "no line was sent yet");
    drop(answer);
}
