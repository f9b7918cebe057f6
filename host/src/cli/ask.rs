//! `tidemill query`: has a plugin answer.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;
use ureq::http::{Method, Response, header};

use super::client::{Client, ClientError, Refusal, Server};
use super::error::CliError;
use super::output::Output;
use super::query::Query;
use super::retrying;
use super::suggest;
use super::waiting::AtLeastArgs;
use crate::api::CHECKPOINT_HEADER;

/// Longest path of a request; longer parameters go in its body.
const PATH_BYTES_MAX: usize = 4096;
/// Parameters that the server takes for its own when they stand in the path.
const RESERVED: [&str; 2] = ["at_least", "timeout_ms"];

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidemill query dashboard summary
  tidemill query dashboard top limit=3 | jq .
  tidemill query dashboard summary --at-least 42   an answer that has seen position 42

Which queries there are, `tidemill plugins inspect PLUGIN` tells, as far as the plugin says.")]
pub(super) struct AskArgs {
    /// Name of the plugin
    pub(super) plugin: String,
    /// Name of the query
    pub(super) query: String,
    /// Parameters of the query; a name may come several times
    #[arg(value_name = "NAME=VALUE", value_parser = parameter)]
    pub(super) parameters: Vec<(String, String)>,
    #[command(flatten)]
    pub(super) at_least: AtLeastArgs,
    /// Print one JSON object: the answer, its content type, and the checkpoint that it is as of
    #[arg(long)]
    pub(super) json: bool,
}

fn parameter(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("give a parameter as NAME=VALUE")?;
    Ok((name.into(), value.into()))
}

/// An answer with what is known of it.
#[derive(Serialize)]
struct Shown<'a> {
    checkpoint: Option<u64>,
    content_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer_base64: Option<String>,
}

/// Asks and prints the answer.
pub(super) fn run(args: &AskArgs, client: &Client, output: &mut Output<'_>) -> Result<(), CliError> {
    let server = client.server()?;
    let answer = retrying::loaded(|| ask(args, server)).map_err(|error| {
        // Then there is the plugin.
        let of_query = matches!(&error, ClientError::Refused(refusal) if refusal.is("unknown-query"));
        let told = server.explain(error);
        if of_query { told } else { suggest::plugin(told, Some(&args.plugin), client) }
    })?;
    let text = |name: &header::HeaderName| answer.headers().get(name).and_then(|value| value.to_str().ok());
    let (content_type, body) = (text(&header::CONTENT_TYPE).unwrap_or_default(), answer.body().as_slice());
    let json = content_type == "application/json";
    if args.json {
        let raw = serde_json::from_slice::<&RawValue>(body).ok().filter(|_| json);
        let shown = Shown {
            checkpoint: text(&CHECKPOINT_HEADER).and_then(|checkpoint| checkpoint.parse().ok()),
            content_type,
            answer: raw,
            answer_base64: raw.is_none().then(|| STANDARD.encode(body)),
        };
        return output.json(&shown);
    }
    output.bytes(body)?;
    let unended = body.last().is_none_or(|byte| *byte != b'\n');
    if unended && (json || output.is_terminal()) { output.line("") } else { Ok(()) }
}

fn ask(args: &AskArgs, server: &Server) -> Result<Response<Vec<u8>>, ClientError> {
    // Slashes belong to a query's name, each part of which stands for itself.
    let parts = ["v1", "plugins", &args.plugin, "query"].into_iter().chain(args.query.split('/'));
    let bare = Query::path(&parts.collect::<Vec<_>>()).with_at_least(&args.at_least);
    let path = args.parameters.iter().fold(bare.clone(), |path, (name, value)| path.with(name, value));
    let reserved = args.parameters.iter().any(|(name, _)| RESERVED.contains(&name.as_str()));
    let response = if path.as_str().len() > PATH_BYTES_MAX || reserved {
        let body = body(&args.parameters).to_string();
        server.exchange(Method::POST, bare.as_str(), Some(("application/json", body.as_bytes())))?
    } else {
        server.exchange(Method::GET, path.as_str(), None)?
    };
    match response.status().as_u16() {
        status @ 400.. => Err(ClientError::Refused(Refusal::of(status, response.body()))),
        _ => Ok(response),
    }
}

/// The same parameters as JSON.
fn body(parameters: &[(String, String)]) -> serde_json::Value {
    let mut fields = serde_json::Map::new();
    for (name, value) in parameters {
        let values = fields.entry(name.clone()).or_insert_with(|| json!([]));
        if let Some(values) = values.as_array_mut() {
            values.push(value.as_str().into());
        }
    }
    json!({ "parameters": fields })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_pairs_and_a_name_may_come_again() {
        assert_eq!(parameter("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert!(parameter("a").unwrap_err().contains("NAME=VALUE"));
        let pairs = [("a", "1"), ("b", ""), ("a", "2")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(body(&pairs), json!({ "parameters": { "a": ["1", "2"], "b": [""] } }));
    }
}
