//! `tidemill command send|status`.

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::append::{expected_version, key_value};
use super::args::SourceArgs;
use super::client::{Client, ClientError};
use super::dead_letters::counted;
use super::error::{CliError, Exit};
use super::output::{Output, shown};
use super::query::Query;
use super::retrying;
use super::waiting::AtLeastArgs;

#[derive(Debug, Subcommand)]
pub(super) enum CommandsCommand {
    /// Send a command to an aggregate; answers what followed
    Send(Box<SendArgs>),
    /// Tell what became of a command
    Status(StatusArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidemill command send account 7 Open --data '{\"owner\":\"ada\"}'
  tidemill command send account 7 Withdraw --data '{\"cents\":500}' --expect-version 3
  tidemill command send account 7 Deposit --data '{\"cents\":1}' --id pay-1    sent twice, it counts once
  tidemill command send account 7 Deposit --data '{\"cents\":1}' --async    decided later; see command status

The plugin that decides for such aggregates (`tidemill plugins ls`) decides it against the events of the stream
AGGREGATE-ID. A lost connection is no harm: it is sent again under the same id. Exit codes: 1 also when it is
rejected, 3 when nobody decides for such aggregates, 4 when the stream or the condition is not as expected")]
pub(super) struct SendArgs {
    /// Which kind of aggregate: the category of its stream, such as account
    pub(super) aggregate: String,
    /// Which one: the rest of its stream's name
    #[arg(value_name = "ID")]
    pub(super) key: String,
    /// What is wanted, such as Withdraw
    #[arg(value_name = "TYPE")]
    pub(super) command_type: String,
    /// With what: any JSON [default: null]
    #[arg(long, value_name = "JSON")]
    pub(super) data: Option<String>,
    /// Identity of the command; the same is never carried out twice [default: a fresh one]
    #[arg(long, value_name = "TEXT")]
    pub(super) id: Option<String>,
    /// Metadata entry, which the events get; repeat for several
    #[arg(long = "meta", value_name = "KEY=VALUE", value_parser = key_value)]
    pub(super) metadata: Vec<(String, String)>,
    /// What the stream must be before: any, no_stream, exists, or the version of its last event
    #[arg(long, value_name = "VERSION", value_parser = expected_version)]
    pub(super) expect_version: Option<Value>,
    /// What no event may match: {"fail_if_match":[{"types":[],"streams":[],"tags":[]}],"after":POSITION}
    #[arg(long, value_name = "JSON")]
    pub(super) condition: Option<String>,
    /// How long it may take until it is appended, in milliseconds; after that it is not begun
    #[arg(long, value_name = "MS")]
    pub(super) deadline_ms: Option<u64>,
    /// Do not wait for the decision: answer when the command is accepted for good
    #[arg(long = "async")]
    pub(super) later: bool,
    /// Print the server's answer as JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidemill command status pay-1
  tidemill command status pay-1 --json | jq .outcome")]
pub(super) struct StatusArgs {
    /// Id of the command
    pub(super) id: String,
    #[command(flatten)]
    pub(super) at_least: AtLeastArgs,
    #[command(flatten)]
    pub(super) source: SourceArgs,
}

impl CommandsCommand {
    /// Where to read; sending needs a server.
    pub(super) fn source(&self) -> SourceArgs {
        match self {
            Self::Send(_) => SourceArgs::default(),
            Self::Status(args) => args.source.clone(),
        }
    }
}

/// The body of the request.
#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    condition: Option<Box<RawValue>>,
    #[serde(flatten)]
    fields: &'a Map<String, Value>,
}

/// What is shown of an outcome.
#[derive(Deserialize)]
struct Answer {
    id: String,
    stream: String,
    outcome: String,
    version: Option<u64>,
    position: Option<u64>,
    #[serde(default)]
    events: Vec<Event>,
    rejection: Option<Rejection>,
    failure: Option<Failure>,
}

#[derive(Deserialize)]
struct Failure {
    kind: String,
    reason: String,
    attempts: u32,
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    event_type: String,
    version: u64,
    position: u64,
}

#[derive(Deserialize)]
struct Rejection {
    code: String,
    reason: String,
}

/// Runs one of the commands.
pub(super) fn run(command: &CommandsCommand, client: &Client, output: &mut Output<'_>) -> Result<(), CliError> {
    match command {
        CommandsCommand::Send(args) => send(args, client, output),
        CommandsCommand::Status(args) => {
            let answer: Box<RawValue> =
                client.get(&Query::path(&["v1", "commands", &args.id]).with_at_least(&args.at_least))?;
            print(answer.get(), args.source.json, output)
        }
    }
}

fn send(args: &SendArgs, client: &Client, output: &mut Output<'_>) -> Result<(), CliError> {
    let server = client.server()?;
    let path = Query::path(&["v1", "commands", &args.aggregate, &args.key]);
    let path = path.with_some("wait", args.later.then_some(false));
    let answer = retrying::append(server, &path, "application/json", &body(args)?).map_err(|error| match error {
        ClientError::Refused(refusal) if refusal.is("rejected") => {
            let code = refusal.problem.code.as_deref().unwrap_or("rejected");
            let reason = shown(&refusal.problem.detail, usize::MAX);
            CliError::new(Exit::Failure, format_args!("the command was rejected ({}): {reason}", shown(code, 64)))
        }
        other => server.explain(other),
    })?;
    print(&String::from_utf8_lossy(&answer), args.json, output)
}

/// Renders the request. The id is made here, so that sending it again cannot carry it out twice.
fn body(args: &SendArgs) -> Result<Vec<u8>, CliError> {
    let parse = |flag: &str, text: &Option<String>| {
        let parsed = text.as_deref().map(serde_json::from_str::<Box<RawValue>>).transpose();
        parsed.map_err(|error| {
            CliError::usage(format_args!("{flag} is not valid JSON: {error}")).hint(match flag {
                "--condition" => {
                    "such as --condition '{\"fail_if_match\":[{\"types\":[\"OrderPlaced\"]}],\"after\":7}'"
                }
                _ => "quote texts: --data '\"hello\"', and objects: --data '{\"cents\":5}'",
            })
        })
    };
    let (data, condition) = (parse("--data", &args.data)?, parse("--condition", &args.condition)?);
    let id = args.id.clone().unwrap_or_else(|| Uuid::now_v7().to_string());
    let metadata: Map<_, _> = args.metadata.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
    let mut fields = Map::new();
    fields.insert("id".into(), id.into());
    fields.insert("type".into(), json!(args.command_type));
    fields.insert("metadata".into(), metadata.into());
    if let Some(ms) = args.deadline_ms {
        fields.insert("deadline_ms".into(), ms.into());
    }
    if let Some(expected) = &args.expect_version {
        fields.insert("expected".into(), expected.clone());
    }
    serde_json::to_vec(&Body { data, condition, fields: &fields })
        .map_err(|error| CliError::new(Exit::Failure, format_args!("the command could not be rendered: {error}")))
}

/// Where an outcome stands, as far as it is known: what waits has no version yet.
fn place(version: Option<u64>, position: Option<u64>) -> String {
    match (version, position) {
        (Some(version), Some(position)) => format!(", at version {version} and position {position}"),
        (Some(version), None) => format!(", at version {version}"),
        (None, Some(position)) => format!(", at position {position}"),
        (None, None) => String::new(),
    }
}

fn print(answer: &str, json: bool, output: &mut Output<'_>) -> Result<(), CliError> {
    if json {
        return output.json_line(answer);
    }
    let answer: Answer = serde_json::from_str(answer)
        .map_err(|error| CliError::new(Exit::Failure, format_args!("the answer is not understood: {error}")))?;
    let (id, stream) = (shown(&answer.id, usize::MAX), shown(&answer.stream, usize::MAX));
    let outcome = shown(&answer.outcome.replace('_', " "), 32);
    output.line(&format!("command {id} on {stream}: {outcome}{}", place(answer.version, answer.position)))?;
    for Event { event_type, version, position } in &answer.events {
        output.line(&format!("  {} at version {version}, position {position}", shown(event_type, usize::MAX)))?;
    }
    if let Some(Failure { kind, reason, attempts }) = &answer.failure {
        let (kind, reason) = (shown(kind, 64), shown(reason, usize::MAX));
        let tried = counted((*attempts).into(), "attempt");
        output.line(&format!("  given up after {tried} ({kind}): {reason}"))?;
    }
    match &answer.rejection {
        Some(Rejection { code, reason }) => {
            output.line(&format!("  {}: {}", shown(code, usize::MAX), shown(reason, usize::MAX)))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_place_what_is_known_is_told() {
        let told = [(Some(2), Some(7)), (Some(2), None), (None, Some(7)), (None, None)].map(|(v, p)| place(v, p));
        assert_eq!(told, [", at version 2 and position 7", ", at version 2", ", at position 7", ""]);
    }
}
