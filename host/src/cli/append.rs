//! `tidemill append`: one event by flags. Events from stdin are in `append_lines`.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::append_lines;
use super::client::Server;
use super::error::{CliError, Exit};
use super::output::Output;
use super::query::Query;
use super::retrying::{self, Stored};
use super::waiting::{self, WaitForArgs};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidemill append --type OrderPlaced --stream order-42 --data '{\"total\":12}' --tag customer:7
  tidemill append --type OrderPlaced --stream order-43 --expect-version no_stream
  tidemill append --type SeatTaken --data '{\"seat\":7}' --tag seat:7 \\
      --condition '{\"fail_if_match\":[{\"types\":[\"SeatTaken\"],\"tags\":[\"seat:7\"]}],\"after\":41}'
  tidemill append --type PhotoTaken --data-file cat.png --content-type image/png
  echo '{\"type\":\"OrderPlaced\",\"stream\":\"order-44\",\"data\":{\"total\":9}}' | tidemill append
  tidemill append < events.ndjson
  tidemill append --type OrderPlaced --stream order-45 --wait-for billing,mail

Without --type, events are read from stdin: one JSON object a line, with the fields id, type, stream, tags,
data or data_base64, content_type, metadata and schema_version, all but type optional.")]
pub(super) struct AppendArgs {
    /// What happened, such as OrderPlaced; without it, events are read from stdin
    #[arg(long = "type", value_name = "TYPE")]
    pub(super) event_type: Option<String>,
    /// Stream the event belongs to, such as order-42
    #[arg(long, value_name = "STREAM", requires = "event_type")]
    pub(super) stream: Option<String>,
    /// Payload: any JSON [default: null]
    #[arg(long, value_name = "JSON", requires = "event_type", conflicts_with_all = ["data_file", "data_base64"])]
    pub(super) data: Option<String>,
    /// File that holds the payload; - for stdin
    #[arg(long, value_name = "FILE", requires = "event_type", conflicts_with = "data_base64")]
    pub(super) data_file: Option<PathBuf>,
    /// Payload in base64
    #[arg(long, value_name = "BASE64", requires = "event_type")]
    pub(super) data_base64: Option<String>,
    /// Media type of the payload [default: application/json]
    #[arg(long, value_name = "TYPE", requires = "event_type")]
    pub(super) content_type: Option<String>,
    /// Label to find the event by; repeat for several
    #[arg(long = "tag", value_name = "TAG", requires = "event_type")]
    pub(super) tags: Vec<String>,
    /// Metadata entry; repeat for several
    #[arg(long = "meta", value_name = "KEY=VALUE", requires = "event_type", value_parser = key_value)]
    pub(super) metadata: Vec<(String, String)>,
    /// Version of the payload's schema [default: 1]
    #[arg(long, value_name = "N", requires = "event_type")]
    pub(super) schema_version: Option<u32>,
    /// Id of the event; the same id is never stored twice [default: a fresh one]
    #[arg(long, value_name = "UUID", requires = "event_type")]
    pub(super) id: Option<Uuid>,
    /// What the stream must be before: any, no_stream, exists, or the version of its last event
    #[arg(long, value_name = "VERSION", requires = "stream", value_parser = expected_version)]
    pub(super) expect_version: Option<Value>,
    /// What no event may match: {"fail_if_match":[{"types":[],"streams":[],"tags":[]}],"after":POSITION}
    #[arg(long, value_name = "JSON", requires = "event_type")]
    pub(super) condition: Option<String>,
    #[command(flatten)]
    pub(super) wait: WaitForArgs,
    /// Print the server's answer as JSON
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("give KEY=VALUE")?;
    Ok((key.into(), value.into()))
}

/// Reads an expected version: one of three words, or a number.
pub(super) fn expected_version(text: &str) -> Result<Value, String> {
    match text {
        "any" | "no_stream" | "exists" => Ok(text.into()),
        _ => text.parse::<u64>().map(Value::from).map_err(|_| "give any, no_stream, exists or a whole number".into()),
    }
}

/// The body of the request.
#[derive(Serialize)]
struct Body<'a> {
    events: [Event<'a>; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    condition: Option<Box<RawValue>>,
}

#[derive(Serialize)]
struct Event<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Box<RawValue>>,
    #[serde(flatten)]
    fields: &'a Map<String, Value>,
}

/// Appends one event, or those on stdin.
pub(super) fn run(args: &AppendArgs, server: &Server, output: &mut Output<'_>) -> Result<(), CliError> {
    if args.event_type.is_none() {
        return append_lines::run(io::stdin().lock(), server, &args.wait, args.json, output);
    }
    let body = body(args)?;
    let path = Query::path(&["v1", "events"]).with_wait_for(&args.wait);
    let answer = retrying::append(server, &path, "application/json", &body).map_err(|error| server.explain(error))?;
    let stored: Stored = serde_json::from_slice(&answer)
        .map_err(|error| CliError::new(Exit::Failure, format_args!("the answer is not understood: {error}")))?;
    if args.json {
        output.json_line(&String::from_utf8_lossy(&answer))?;
    } else {
        output.line(&format!("stored at position {}", stored.first_position))?;
    }
    waiting::check(&stored.behind)
}

/// Renders the request. The id is made here, so that sending it again cannot store a second event.
fn body(args: &AppendArgs) -> Result<Vec<u8>, CliError> {
    let mut fields = Map::new();
    fields.insert("id".into(), json!(args.id.unwrap_or_else(Uuid::now_v7)));
    let data = data(args, &mut fields)?;
    let optional = [
        ("type", json!(args.event_type)),
        ("stream", json!(args.stream)),
        ("content_type", json!(args.content_type)),
        ("schema_version", json!(args.schema_version)),
    ];
    fields.extend(optional.into_iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name.into(), value)));
    fields.insert("tags".into(), json!(args.tags));
    let metadata: Map<_, _> = args.metadata.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
    fields.insert("metadata".into(), metadata.into());
    let expected = args.expect_version.as_ref().map(|version| json!([{ "stream": args.stream, "version": version }]));
    serde_json::to_vec(&Body { events: [Event { data, fields: &fields }], expected, condition: condition(args)? })
        .map_err(|error| CliError::new(Exit::Failure, format_args!("the event could not be rendered: {error}")))
}

/// The condition, as it was given: the server says what is wrong with it.
fn condition(args: &AppendArgs) -> Result<Option<Box<RawValue>>, CliError> {
    let Some(text) = &args.condition else { return Ok(None) };
    let condition = serde_json::from_str(text).map_err(|error| {
        CliError::usage(format_args!("--condition is not valid JSON: {error}"))
            .hint(r#"give for example --condition '{"fail_if_match":[{"tags":["seat:7"]}],"after":41}'"#)
    })?;
    Ok(Some(condition))
}

/// The payload: as JSON, or in base64 in `fields`.
fn data(args: &AppendArgs, fields: &mut Map<String, Value>) -> Result<Option<Box<RawValue>>, CliError> {
    if let Some(encoded) = &args.data_base64 {
        fields.insert("data_base64".into(), json!(encoded));
        return Ok(None);
    }
    if let Some(path) = &args.data_file {
        fields.insert("data_base64".into(), json!(STANDARD.encode(read_file(path)?)));
        return Ok(None);
    }
    let Some(text) = &args.data else { return Ok(None) };
    let data = serde_json::from_str(text).map_err(|error| {
        CliError::usage(format_args!("--data is not valid JSON: {error}"))
            .hint("quote texts: --data '\"hello\"'; give other payloads by --data-file or --data-base64")
    })?;
    Ok(Some(data))
}

fn read_file(path: &Path) -> Result<Vec<u8>, CliError> {
    let bytes = if path == Path::new("-") {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        fs::read(path)
    };
    bytes.map_err(|error| CliError::usage(format_args!("{} cannot be read: {error}", path.display())))
}
