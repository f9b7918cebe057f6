//! "Did you mean": the nearest name that there is, for one that there is not. Asked for only after a failure, and never
//! a failure itself.

use serde::Deserialize;

use super::client::Client;
use super::error::{CliError, Exit};
use super::output::{shown, talk};
use super::query::{FilterArgs, Query};
use crate::nearest::nearest;

/// Streams that are looked through for a similar name.
const STREAMS_MAX: &str = "1000";

#[derive(Deserialize)]
struct Plugins {
    plugins: Vec<Plugin>,
}

#[derive(Deserialize)]
struct Plugin {
    name: String,
}

#[derive(Deserialize)]
struct Streams {
    streams: Vec<Stream>,
}

#[derive(Deserialize)]
struct Stream {
    stream: String,
}

#[derive(Deserialize)]
struct Types {
    types: Vec<Type>,
}

#[derive(Deserialize)]
struct Type {
    #[serde(rename = "type")]
    name: String,
}

/// A failure to find a plugin, with the nearest one that is installed.
pub(super) fn plugin(error: CliError, name: Option<&str>, client: &Client) -> CliError {
    let known = || {
        let answer: Plugins = client.get(&Query::path(&["v1", "plugins"])).ok()?;
        Some(answer.plugins.into_iter().map(|plugin| plugin.name).collect())
    };
    hinted(error, name, known)
}

/// A failure to find a stream, with the nearest one that begins alike.
pub(super) fn stream(error: CliError, name: Option<&str>, client: &Client) -> CliError {
    let known = || {
        let start: String = name?.chars().take(1).collect();
        let query = Query::path(&["v1", "streams"]).with("prefix", &start).with("limit", STREAMS_MAX);
        let answer: Streams = client.get(&query).ok()?;
        Some(answer.streams.into_iter().map(|stream| stream.stream).collect())
    };
    hinted(error, name, known)
}

fn hinted(error: CliError, name: Option<&str>, known: impl FnOnce() -> Option<Vec<String>>) -> CliError {
    let (CliError::Failed { exit: Exit::NotFound, hint: None, .. }, Some(name)) = (&error, name) else { return error };
    let known = known().unwrap_or_default();
    // One of that very name is there: something else is missing.
    match closest(name, &known).filter(|_| known.iter().all(|known| known != name)) {
        Some(word) => error.hint(format_args!("did you mean `{}`?", shown(word, 64))),
        None => error,
    }
}

/// Says which types of a filter that found nothing do not exist, and which do.
pub(super) fn types(filter: &FilterArgs, client: &Client) {
    let exact: Vec<_> = filter.types.iter().filter(|name| !name.ends_with('*')).collect();
    if exact.is_empty() {
        return;
    }
    let Ok(Types { types }) = client.get(&Query::path(&["v1", "types"])) else { return };
    let known: Vec<_> = types.into_iter().map(|kind| kind.name).collect();
    for name in exact.into_iter().filter(|name| !known.contains(name)) {
        let hint = closest(name, &known).map(|word| format!("; did you mean `{}`?", shown(word, 64)));
        talk(&format!("no event has type `{}`{}", shown(name, 64), hint.unwrap_or_default()));
    }
}

fn closest<'a>(name: &str, known: &'a [String]) -> Option<&'a str> {
    let words: Vec<&str> = known.iter().map(String::as_str).collect();
    nearest(name, &words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_wrote_the_name_right_is_not_asked_whether_it_was_meant() {
        let missing = |name: &str| {
            let error = CliError::Failed { exit: Exit::NotFound, what: "no".into(), hint: None };
            match hinted(error, Some(name), || Some(vec!["opx".into(), "orders".into()])) {
                CliError::Failed { hint, .. } => hint,
                _ => panic!("another failure"),
            }
        };
        assert_eq!(missing("opx"), None);
        assert_eq!(missing("order").as_deref(), Some("did you mean `orders`?"));
    }
}
