//! The document: it is the checked-in one, it tells of every route and parameter and of nothing else, and answers of
//! the other tests fit it.

use std::collections::BTreeSet;

use super::documented::{Answered, Document};
use super::*;
use crate::api::append_body::{BODY_FIELDS, CONDITION_FIELDS, EVENT_FIELDS, EXPECTATION_FIELDS, QUERY_ITEM_FIELDS};
use crate::api::commands::COMMAND_FIELDS;
use crate::api::openapi::document;

thread_local! {
    static DOCUMENT: &'static Document = Box::leak(Box::new(Document::new(json!(document()))));
}

/// The document, as this thread checks against it.
fn documented() -> &'static Document {
    DOCUMENT.with(|document| *document)
}

/// Checks an answer of the API.
pub(super) fn check((method, path): (&str, &str), status: u16, headers: &HeaderMap, body: &[u8]) {
    // The body of an event in the binary form is its data.
    if headers.contains_key("ce-specversion") {
        return;
    }
    let content_type = headers.get(header::CONTENT_TYPE).map(|media| media.to_str().unwrap());
    let answered = Answered { method, path, status, content_type, body };
    documented().check(answered).unwrap_or_else(|error| panic!("not as the OpenAPI document says: {error}"));
}

/// Methods and paths of the document, with their operations.
fn operations() -> Vec<(String, String, Value)> {
    let paths = documented().json()["paths"].as_object().unwrap();
    let of_path = |(path, item): (&String, &Value)| {
        let methods = item.as_object().unwrap().iter();
        methods.map(|(method, op)| (method.to_uppercase(), path.clone(), op.clone())).collect::<Vec<_>>()
    };
    paths.iter().flat_map(of_path).collect()
}

/// A path with something at each place.
fn filled(path: &str) -> String {
    let places = [("{name}", "billing"), ("{position}", "1"), ("{id}", "0199a0a0-0000-7000-8000-000000000001")];
    let path = places.iter().fold(path.to_owned(), |path, (place, filled)| path.replace(place, filled));
    let path = path.replace("{aggregate}", "account").replace("{aggregate_id}", "7").replace("{command_id}", "c");
    path.replace("{stream}", "s").replace("{key}", "k").replace("{query}", "q")
}

#[test]
fn the_document_is_the_one_checked_in() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");
    let made = document().to_pretty_json().unwrap() + "\n";
    if std::env::var_os("TIDEMILL_GOLDEN").is_some_and(|what| what == "write") {
        std::fs::write(path, &made).unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        made == kept,
        "{path} is not what the code makes; write it by TIDEMILL_GOLDEN=write cargo test --lib openapi"
    );
}

#[tokio::test]
async fn the_document_is_served() {
    let (status, served) = Api::new().get("/v1/openapi.json").await;
    assert_eq!((status, &served), (200, &json!(document())));
    assert_eq!(served["openapi"], "3.1.0");
}

#[tokio::test]
async fn every_route_is_in_the_document_and_nothing_else() {
    // A router does not tell its routes.
    let routes = include_str!("../router.rs").split(".route(").skip(1);
    let routes = routes.filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next());
    let routed: BTreeSet<_> = routes.map(|path| path.replace("{*", "{")).collect();
    let documented: BTreeSet<_> = operations().into_iter().map(|(_, path, _)| path).collect();
    assert_eq!(routed, documented);
    let api = Api::new();
    for path in documented {
        let (status, headers, _) = api.exchange("PATCH", &filled(&path), &[], "").await;
        let allowed = headers[header::ALLOW].to_str().unwrap().split(',').filter(|method| *method != "HEAD");
        let methods: BTreeSet<_> = operations().into_iter().filter(|op| op.1 == path).map(|op| op.0).collect();
        assert_eq!((status, allowed.map(str::to_owned).collect::<BTreeSet<_>>()), (405, methods), "{path}");
    }
}

#[tokio::test]
async fn every_parameter_is_one_that_its_route_takes_and_the_other_way_round() {
    let api = Api::new();
    for (method, path, operation) in operations().into_iter().filter(|(_, path, _)| path.starts_with("/v1/")) {
        let parameters = || operation["parameters"].as_array().into_iter().flatten();
        if parameters().any(|it| it["in"] == "query" && it["schema"]["type"] == "object") {
            // It takes any.
            continue;
        }
        // A route that refuses a parameter tells which ones it takes.
        let asked = format!("{}?zzzzzzzzzzzzzzzz=1", filled(&path));
        let (status, _, body) = api.exchange(&method, &asked, &NDJSON, "").await;
        let detail = serde_json::from_str::<Value>(&body).unwrap()["detail"].as_str().unwrap().to_owned();
        let known = detail.split_once("; known are ").unwrap_or_else(|| panic!("{method} {path}: {status} {detail}")).1;
        let known: BTreeSet<_> =
            known.split(", ").map(|name| name.trim_matches('`')).filter(|it| !it.is_empty()).collect();
        let documented = parameters().filter(|it| it["in"] == "query").map(|it| it["name"].as_str().unwrap());
        assert_eq!(documented.collect::<BTreeSet<_>>(), known, "{method} {path}");
    }
}

#[test]
fn the_fields_of_an_append_are_those_that_are_read() {
    let fields = |shape: &str| {
        let properties = documented().json()["components"]["schemas"][shape]["properties"].as_object().unwrap();
        properties.keys().map(String::as_str).collect::<BTreeSet<_>>()
    };
    for (shape, read) in [
        ("Append", BODY_FIELDS),
        ("NewEvent", EVENT_FIELDS),
        ("Expectation", EXPECTATION_FIELDS),
        ("Condition", CONDITION_FIELDS),
        ("QueryItem", QUERY_ITEM_FIELDS),
        ("Command", COMMAND_FIELDS),
    ] {
        assert_eq!(fields(shape), read.iter().copied().collect(), "{shape}");
    }
}

#[test]
fn every_schema_compiles_and_every_example_fits() {
    for shape in documented().json()["components"]["schemas"].as_object().unwrap().keys() {
        // Whether it fits does not matter: a schema that cannot be compiled is a panic.
        let _ = documented().fits(&Value::Null, &format!("/components/schemas/{shape}"));
    }
    let mut examples = 0;
    for (method, path, operation) in operations() {
        for (media, content) in operation["requestBody"]["content"].as_object().into_iter().flatten() {
            for (name, example) in content["examples"].as_object().into_iter().flatten() {
                examples += 1;
                let at = [&*path, &*method.to_lowercase(), "requestBody", "content", media];
                let at = at.map(|part| part.replace('/', "~1")).join("/");
                let fits = |value: &Value, keyword| documented().fits(value, &format!("/paths/{at}/{keyword}"));
                let all = match content.get("x-lines") {
                    Some(_) => example["value"]
                        .as_str()
                        .unwrap()
                        .lines()
                        .try_for_each(|line| fits(&serde_json::from_str(line).unwrap(), "x-lines")),
                    None => fits(&example["value"], "schema"),
                };
                all.unwrap_or_else(|error| panic!("{method} {path}, example {name}: {error}"));
            }
        }
    }
    assert!(examples >= 5, "{examples} examples");
}

#[test]
fn an_answer_that_is_not_as_documented_is_told() {
    let checked = |method, path, status, content_type, body: &Value| {
        let body = body.to_string();
        let content_type = Some(content_type);
        documented().check(Answered { method, path, status, content_type, body: body.as_bytes() })
    };
    let row = json!({ "type": "A", "events": 1, "lifted": false, "schemas": [], "enforced": false });
    let page = json!({ "types": [row] });
    assert_eq!(checked("GET", "/v1/types?at_least=1", 200, "application/json", &page), Ok(()));
    let mut more = page.clone();
    more["types"][0]["more"] = json!(1);
    assert!(checked("GET", "/v1/types", 200, "application/json", &more).is_err(), "a field that it does not know");
    assert!(checked("GET", "/v1/types", 200, "text/plain", &page).is_err());
    assert!(checked("GET", "/v1/types", 201, "application/json", &page).is_err());
    assert!(checked("GET", "/v1/nowhere", 200, "application/json", &page).is_err());
    let problem = |kind: &str| json!({ "type": format!("urn:tidemill:problem:{kind}"), "title": "", "status": 503, "detail": "", "more": 1 });
    let media = "application/problem+json";
    assert_eq!(checked("GET", "/v1/types", 503, media, &problem("timed-out")), Ok(()));
    assert!(checked("GET", "/v1/types", 503, media, &problem("bug")).is_err());
}

#[tokio::test]
async fn what_no_route_takes_is_refused_with_a_problem() {
    let api = Api::new();
    for (method, path) in [
        ("GET", "/v1/streams/%ff"),
        ("GET", "/v1/plugins/%ff"),
        ("GET", "/v1/plugins/billing/state/%ff"),
        ("GET", "/v1/plugins/billing/query/%ff"),
        ("DELETE", "/v1/plugins/billing/dead-letters/%ff"),
        ("POST", "/v1/plugins/billing/pause?paused=false"),
        ("POST", "/v1/plugins/billing/resume?force=true"),
        ("POST", "/v1/plugins/billing/dead-letters/1/retry?key=k"),
        ("DELETE", "/v1/plugins/billing/dead-letters/1?all=true"),
    ] {
        let (status, problem) = api.send(method, path, "application/json", "").await;
        assert_eq!(
            (status, &problem["type"]),
            (400, &json!("urn:tidemill:problem:invalid-request")),
            "{method} {path}"
        );
    }
    let (status, problem) = api.send("POST", "/v1/plugins/billing/shadow", "application/json", "{}").await;
    assert_eq!((status, &problem["type"]), (415, &json!("urn:tidemill:problem:unsupported-media-type")));
}
