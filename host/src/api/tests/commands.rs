//! Commands as they are refused.

use serde_json::json;

use super::Api;
use crate::api::problem::Problem;
use crate::command::{CommandError, Failure, FieldFault, LeftOut, Progress};
use crate::event::{Category, ExpectedVersion, Position, StreamName, Version};
use crate::store::{AppendError, StoreError};

/// Errors of every kind that is no fault.
fn errors() -> Vec<CommandError> {
    let stream = StreamName::new("purse-1").unwrap();
    let aggregate = Category::new("purse").unwrap();
    let (version, position) = (Version(3), Position(7));
    let failure = Failure {
        command_id: "a".into(),
        stream: stream.clone(),
        kind: "trap".into(),
        reason: "it trapped".into(),
        attempts: 1,
        stderr_tail: String::new(),
        backtrace: String::new(),
    };
    let field = FieldFault { pointer: "/cents".into(), code: "schema".into(), message: "too few".into() };
    let left_out = Some(LeftOut::Damaged);
    vec![
        CommandError::IdTaken { id: "a".into(), for_now: false },
        CommandError::UnknownAggregate { aggregate: aggregate.clone(), known: String::new() },
        CommandError::UnknownType { aggregate: aggregate.clone(), unknown: String::new() },
        CommandError::Refused { by: "its schema".into(), errors: vec![field] },
        CommandError::Expired { deadline_ms: 1, progress: Progress::Waiting },
        CommandError::HistoryGone { stream: stream.clone(), version, left_out, is_refused: true },
        CommandError::OutcomeGone { id: "a".into(), position },
        CommandError::GivenUp(Box::new(failure)),
        CommandError::Contended { stream: stream.clone(), attempts: 1 },
        CommandError::Busy { aggregate: aggregate.clone(), under_way: 1 },
        CommandError::QueueFull { aggregate, max: 1 },
        CommandError::Panicked,
        CommandError::Store(StoreError::ShuttingDown),
        AppendError::ConditionFailed { position, after: position }.into(),
        AppendError::ConditionAheadOfLog { after: position, head: position }.into(),
        AppendError::StreamDeleted { stream: stream.clone(), version }.into(),
        AppendError::WrongExpectedVersion { stream, expected: ExpectedVersion::NoStream, actual: version }.into(),
        AppendError::TooMuchToCheck { count: 1 }.into(),
        AppendError::Store(StoreError::ShuttingDown).into(),
    ]
}

#[test]
fn what_is_given_up_is_called_as_the_problem_is() {
    for error in errors() {
        let named = error.kind();
        assert_eq!(named, Problem::from(error).kind().slug());
    }
}

#[tokio::test]
async fn every_problem_of_a_command_says_of_which_and_of_which_stream() {
    let api = Api::new();
    let sent = [
        (404, json!({ "id": "a", "type": "Add" })),
        (400, json!({ "id": "$a", "type": "Add" })),
        (400, json!({ "id": "a", "type": "Add", "deadline_ms": 0 })),
    ];
    for (wanted, command) in sent {
        for how in ["", "?wait=false"] {
            let path = format!("/v1/commands/purse/1{how}");
            let (status, told) = api.send("POST", &path, "application/json", command.to_string()).await;
            let of = (status, &told["command_id"], &told["stream"]);
            assert_eq!(of, (wanted, &command["id"], &json!("purse-1")), "{told}");
        }
    }
    let (status, told) = api.get("/v1/commands/none").await;
    assert_eq!((status, &told["command_id"]), (404, &json!("none")));
}
