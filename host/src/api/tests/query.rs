//! Queries of plugins: what each end of one is over HTTP.

use super::*;
use crate::delivery::{Evidence, Fault};
use crate::projection::{Answer, Answered, NoAnswer, Query, QueryRefused};

/// Answers by the query's name.
pub(super) fn answered(plugin: &PluginName, query: &Query) -> Result<Answered, QueryRefused> {
    let plugin = || plugin.clone();
    let fault = |fault| NoAnswer::Fault {
        fault,
        reason: "panicked at a.rs:1".into(),
        evidence: Evidence { stderr_tail: "said".into(), backtrace: "0: f".into() },
    };
    let answer = match query.name.as_str() {
        "echo/all" => Ok(Answer {
            content_type: "application/json".into(),
            body: json!(query.parameters).to_string().into_bytes(),
        }),
        "csv" => Ok(Answer { content_type: "text/csv; charset=utf-8".into(), body: b"a,b\n".to_vec() }),
        "invalid" => Err(NoAnswer::Invalid("give a day".into())),
        "failed" => Err(NoAnswer::Failed("no".into())),
        "trap" => Err(fault(Fault::Trap)),
        "slow" => Err(fault(Fault::Deadline)),
        "busy" => return Err(QueryRefused::Busy { plugin: plugin() }),
        "gone" => return Err(QueryRefused::NotInstalled { plugin: plugin() }),
        "none" => return Err(QueryRefused::NoProjection { plugin: plugin() }),
        "replaced" => return Err(QueryRefused::Replaced { plugin: plugin() }),
        _ => Err(NoAnswer::Unknown),
    };
    Ok(Answered { checkpoint: Position(2), answer })
}

#[tokio::test]
async fn an_answer_is_the_plugins_own_and_tells_its_checkpoint() {
    let api = Api::new();
    api.fill("s", &["A", "B", "C"]).await;
    let (status, header, body) = api.exchange("GET", "/v1/plugins/billing/query/echo/all?a=1&b=&a=%26", &[], "").await;
    assert_eq!((status, body.as_str()), (200, r#"[["a","1"],["b",""],["a","&"]]"#));
    let told = |name: &str| header[name].to_str().unwrap().to_owned();
    assert_eq!((told("content-type"), told("tidemill-checkpoint")), ("application/json".into(), "2".into()));
    assert_eq!((told("x-content-type-options"), told("content-security-policy")), ("nosniff".into(), "sandbox".into()));
    let (status, header, body) = api.exchange("GET", "/v1/plugins/billing/query/csv?at_least=2", &[], "").await;
    assert_eq!(
        (status, &header["content-type"], body.as_str()),
        (200, &"text/csv; charset=utf-8".parse().unwrap(), "a,b\n")
    );
    let body = r#"{"parameters":{"at_least":7,"a":["x","y"]}}"#;
    let (status, answer) = api.send("POST", "/v1/plugins/billing/query/echo/all", "application/json", body).await;
    assert_eq!((status, answer), (200, json!([["at_least", "7"], ["a", "x"], ["a", "y"]])));
    let many = format!("/v1/plugins/billing/query/csv?{}", "a=1&".repeat(300));
    assert_eq!(api.get(&many).await.0, 400);
}

#[tokio::test]
async fn each_end_without_an_answer_has_its_problem() {
    let api = Api::new();
    api.fill("s", &["A", "B", "C"]).await;
    for (path, status, kind) in [
        ("billing/query/nothing", 404, "unknown-query"),
        ("billing/query/invalid", 400, "invalid-query"),
        ("billing/query/failed", 502, "query-failed"),
        ("billing/query/trap", 503, "query-fault"),
        ("billing/query/slow", 504, "query-fault"),
        ("billing/query/busy", 429, "too-many-requests"),
        ("billing/query/none", 409, "no-projection"),
        ("billing/query/replaced", 503, "unavailable"),
        ("nobody/query/csv", 404, "not-found"),
        ("billing/query/csv?at_least=3&timeout_ms=10", 503, "timed-out"),
        ("billing/query/csv?at_least=x", 400, "invalid-request"),
    ] {
        for method in ["GET", "POST"] {
            let path = format!("/v1/plugins/{path}");
            let (found, problem) = api.send(method, &path, "application/json", "{}").await;
            let expected = (status, format!("urn:tidemill:problem:{kind}"));
            assert_eq!((found, problem["type"].as_str().unwrap().to_owned()), expected, "{method} {path}: {problem}");
        }
    }
    let (_, problem) = api.get("/v1/plugins/billing/query/trap").await;
    assert_eq!((&problem["fault"], &problem["checkpoint"]), (&json!("trap"), &json!(2)));
    assert_eq!((&problem["stderr_tail"], &problem["backtrace"]), (&json!("said"), &json!("0: f")));
    let (status, _) = api.send("POST", "/v1/plugins/billing/query/csv", "text/plain", "{}").await;
    assert_eq!(status, 415);
}
