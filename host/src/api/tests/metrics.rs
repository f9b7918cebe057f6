//! Metrics and readiness, as they are asked for.

use super::*;
use crate::clock::SystemClock;
use crate::delivery::RebuildStatus;
use crate::store::embedded::{EmbeddedStore, OpenOptions};

async fn text(router: &Router) -> String {
    let request = Request::get("/metrics").body(Body::empty()).unwrap();
    let response = tokio::time::timeout(DEADLINE, router.clone().oneshot(request)).await.expect("an answer").unwrap();
    assert_eq!(response.status(), 200);
    let kind = response.headers()[header::CONTENT_TYPE].to_str().unwrap();
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    String::from_utf8(to_bytes(response.into_body(), usize::MAX).await.unwrap().into()).unwrap()
}

#[tokio::test]
async fn requests_are_counted_by_route_and_not_by_what_clients_make_up() {
    let api = Api::new();
    api.fill("s", &["A", "B"]).await;
    for path in ["/v1/streams/one", "/v1/streams/two", "/nowhere", "/elsewhere"] {
        api.get(path).await;
    }
    api.send("BREW", "/v1/events", "text/plain", "").await;
    let text = text(&api.router).await;
    for line in [
        "tidemill_http_requests_total{route=\"POST /v1/events\",status=\"201\"} 1",
        "tidemill_http_requests_total{route=\"GET /v1/streams/{stream}\",status=\"404\"} 2",
        "tidemill_http_requests_total{route=\"GET none\",status=\"404\"} 2",
        "tidemill_http_requests_total{route=\"OTHER /v1/events\",status=\"405\"} 1",
        "tidemill_head_position 2",
        "tidemill_sse_subscribers 0",
        "tidemill_ready 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn what_is_built_has_a_state_of_its_own() {
    let api = Api::new();
    let told = async |built: Option<RebuildStatus>| {
        api.plugins.status.send_modify(|status| status.rebuild = built);
        let text = text(&api.router).await;
        move |line: &str| text.lines().any(|found| found == line)
    };
    let tells = told(None).await;
    assert!(tells("tidemill_plugin_rebuild_state{plugin=\"billing\",state=\"running\"} 0"));
    assert!(tells("tidemill_plugin_rebuild_held_up{plugin=\"billing\"} 0"));
    let reason = String::from("no further");
    let built = RebuildStatus {
        position: Position(5),
        target: Position(9),
        state: State::Halted { reason: reason.clone() },
        held_up: Some(reason),
        ..RebuildStatus::default()
    };
    let tells = told(Some(built)).await;
    for line in [
        "tidemill_plugin_rebuild_state{plugin=\"billing\",state=\"halted\"} 1",
        "tidemill_plugin_rebuild_state{plugin=\"billing\",state=\"running\"} 0",
        "tidemill_plugin_rebuild_held_up{plugin=\"billing\"} 1",
        "tidemill_plugin_rebuild_lag_events{plugin=\"billing\"} 4",
    ] {
        assert!(tells(line), "{line}");
    }
}

#[tokio::test]
async fn a_store_on_disk_tells_what_it_does() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(EmbeddedStore::open(&OpenOptions::new(directory.path()), Arc::new(SystemClock)).unwrap());
    let state = ApiState::maintained(store.clone(), Arc::new(NoPlugins), store.clone());
    let router = router(state.with_pulse(Arc::new(Pulse::start(store))));
    let body = json!({ "events": [{ "type": "A" }, { "type": "B" }, { "type": "C" }] }).to_string();
    let request = Request::post("/v1/events").body(Body::from(body)).unwrap();
    assert_eq!(router.clone().oneshot(request).await.unwrap().status(), 201);
    let text = text(&router).await;
    for line in [
        "tidemill_append_seconds_count 1",
        "tidemill_commit_batch_events_sum 3.0",
        "tidemill_commit_batch_events_bucket{le=\"2.0\"} 0",
        "tidemill_commit_batch_events_bucket{le=\"4.0\"} 1",
        "tidemill_ready 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    let value = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in\n{text}"));
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    assert!(value("tidemill_fsync_seconds_count") >= 1.0 && value("tidemill_fsync_seconds_sum") > 0.0);
    assert!(value("tidemill_store_bytes{part=\"journals\"}") > 0.0);
}

#[tokio::test]
async fn a_log_that_takes_no_writes_is_not_ready_and_says_why() {
    struct Full;

    impl Maintenance for Full {
        fn verify(
            &self,
            _: &mut dyn FnMut(crate::store::embedded::VerifyProgress),
        ) -> Result<crate::store::embedded::VerifyReport, crate::store::StoreError> {
            Err(crate::store::StoreError::ShuttingDown)
        }

        fn sizes(&self) -> Result<crate::store::embedded::Sizes, crate::store::StoreError> {
            Err(crate::store::StoreError::ShuttingDown)
        }

        fn backup(self: Arc<Self>) -> Result<crate::backup::Live, crate::store::StoreError> {
            Err(crate::store::StoreError::ShuttingDown)
        }

        fn activity(&self) -> crate::store::embedded::Activity {
            crate::store::embedded::Activity::default()
        }

        fn ping(&self) -> crate::store::Pending<Result<(), crate::store::StoreError>> {
            crate::store::Pending::ready(Err(crate::store::StoreError::DiskFull { reason: "no room left".into() }))
        }
    }

    let api = Api::new();
    let state = api.state.clone().with_pulse(Arc::new(Pulse::start(Arc::new(Full))));
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while state.log_problem().is_none() {
        assert!(tokio::time::Instant::now() < deadline, "the log is asked");
        tokio::task::yield_now().await;
    }
    let (status, problem) = api.get("/readyz").await;
    assert_eq!((status, &problem["checks"]["serving"]), (503, &json!("ok")));
    let reason = problem["checks"]["log"].as_str().unwrap();
    assert!(reason.contains("no room left"), "{problem}");
    assert!(text(&api.router).await.contains("\ntidemill_ready 0\n"));
}

#[tokio::test]
async fn a_server_that_shuts_down_takes_no_writes_and_says_when_to_come_back() {
    let api = Api::new();
    api.state.close();
    let (status, headers, body) = api.exchange("POST", "/v1/events", &[], "{\"events\":[{\"type\":\"T\"}]}").await;
    assert_eq!(status, 503, "{body}");
    assert!(headers.contains_key(header::RETRY_AFTER));
    assert_eq!(api.get("/v1/events").await.0, 200, "it can still be read");
    assert_eq!(api.store.head(), Position::START);
}
