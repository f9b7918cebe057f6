//! The document's examples, asked of the real binary with a real plugin: each is answered as the document says.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader};

use serde_json::Value;
use tidemill_plugins::COUNTER;
use tidemill_tests::documented::{Answered, Document};
use tidemill_tests::{Server, another_version, install};
use ureq::http::{Request, Response};

/// One request that follows from the document.
struct Call {
    id: String,
    method: String,
    path: String,
    content_type: Option<String>,
    accept: Option<String>,
    body: Vec<u8>,
}

/// When operations have their turn: what shows something comes after what makes it, and before what ends it.
fn turn(call: &Call) -> u8 {
    match (&*call.id, &*call.method) {
        ("appendEvents", _) => 0,
        (_, "GET") => 1,
        ("promotePlugin", _) => 3,
        ("rollBackPlugin", _) => 4,
        ("rebuildPlugin", _) => 5,
        ("cancelRebuild", _) => 6,
        ("pausePlugin", _) => 7,
        ("resumePlugin", _) => 8,
        ("deleteStream", _) => 9,
        _ => 2,
    }
}

/// What an operation may answer where nothing is wrong: a good status, unless what it is about need not be there, or
/// is going on already.
fn is_expected(id: &str, status: u16) -> bool {
    match id {
        "getDeadLetter" | "discardDeadLetter" | "retryDeadLetter" | "retryDeadLetters" => status == 404,
        // Which ones is to be said.
        "discardDeadLetters" => status == 400,
        // There is nothing that decides, nor that answers queries.
        "sendCommand" | "getCommand" | "getAggregate" | "diffAggregate" | "dropSnapshot" => status == 404,
        "query" | "queryWithBody" => status == 409,
        // It is installed.
        "forgetPlugin" => status == 409,
        "cancelRebuild" if status == 404 => true,
        "rebuildPlugin" if status == 409 => true,
        _ => (200..300).contains(&status),
    }
}

/// Every example of every operation, in each form that it may be answered in.
fn calls(document: &Value) -> Vec<Call> {
    let mut calls = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let places = operation["parameters"].as_array().into_iter().flatten().filter(|it| it["in"] == "path");
            let path = places.fold(path.clone(), |path, place| {
                let example = place["example"].to_string().trim_matches('"').to_owned();
                path.replace(&format!("{{{}}}", place["name"].as_str().unwrap()), &example)
            });
            let answers = operation["responses"]["200"]["content"].as_object();
            let forms = answers.map(|forms| forms.keys().cloned().map(Some).collect()).unwrap_or_else(|| vec![None]);
            for (content_type, body) in bodies(operation) {
                let call = |accept: &Option<String>| Call {
                    id: operation["operationId"].as_str().unwrap().to_owned(),
                    method: method.to_uppercase(),
                    path: path.clone(),
                    content_type: content_type.clone(),
                    accept: accept.clone(),
                    body: body.clone(),
                };
                calls.extend(forms.iter().map(call));
            }
        }
    }
    calls.sort_by_key(turn);
    calls
}

/// The examples of a request's body, with their content types; one without a body where there is none.
fn bodies(operation: &Value) -> Vec<(Option<String>, Vec<u8>)> {
    let Some(contents) = operation["requestBody"]["content"].as_object() else { return vec![(None, Vec::new())] };
    let mut bodies = Vec::new();
    for (media, content) in contents {
        let examples = content["examples"].as_object();
        for example in examples.into_iter().flat_map(|examples| examples.values()) {
            let text = example["value"].as_str().map_or_else(|| example["value"].to_string(), str::to_owned);
            bodies.push((Some(media.clone()), text.into_bytes()));
        }
        if examples.is_none() {
            bodies.push((Some(media.clone()), another_version(COUNTER.component, 7)));
        }
    }
    bodies
}

fn ask(server: &Server, call: &Call) -> Response<ureq::Body> {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut request = Request::builder().method(&*call.method).uri(format!("{}{}", server.url(), call.path));
    for (name, value) in [("content-type", &call.content_type), ("accept", &call.accept)] {
        request = value.iter().fold(request, |request, value| request.header(name, value));
    }
    agent.run(request.body(call.body.clone()).unwrap()).unwrap()
}

/// The body; of a stream of events, the first of them.
fn body(answer: &mut Response<ureq::Body>, content_type: Option<&str>) -> Vec<u8> {
    if content_type != Some("text/event-stream") {
        return answer.body_mut().with_config().limit(u64::MAX).read_to_vec().unwrap();
    }
    let lines = BufReader::new(answer.body_mut().as_reader()).lines().map(Result::unwrap);
    let event: Vec<_> = lines.skip_while(|line| line.is_empty()).take_while(|line| !line.is_empty()).collect();
    event.join("\n").into_bytes()
}

#[test]
fn every_example_of_the_document_is_answered_as_it_says() {
    let (data, plugins) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    install(plugins.path(), "counter", &COUNTER);
    let server = Server::start(data.path(), plugins.path());
    let document = Document::new(server.get("/v1/openapi.json"));
    let calls = calls(document.json());
    let operations = document.json()["paths"].as_object().unwrap().values().map(|item| item.as_object().unwrap().len());
    assert!(calls.len() > operations.sum(), "each is asked");
    let mut faults = Vec::new();
    let mut last_turn = 0;
    for call in &calls {
        if turn(call) != last_turn {
            server.settle("counter");
            last_turn = turn(call);
        }
        let mut answer = ask(&server, call);
        let status = answer.status().as_u16();
        let content_type = answer.headers().get("content-type").map(|media| media.to_str().unwrap().to_owned());
        let body = body(&mut answer, content_type.as_deref());
        let (method, path, content_type) = (&*call.method, &*call.path, content_type.as_deref());
        if !is_expected(&call.id, status) {
            faults.push(format!("{method} {path} answered {status}: {}", String::from_utf8_lossy(&body)));
        }
        faults.extend(document.check(Answered { method, path, status, content_type, body: &body }).err());
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
