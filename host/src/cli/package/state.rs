//! What a plugin that is taken out has kept, removed by whoever has its data: a server, or a data directory.
//!
//! A server lets go of a plugin some moments after its files are gone, and removes nothing before that.

use std::fmt;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use ureq::http::Method;

use super::super::client::{Client, ClientError};
use super::super::error::{CliError, Exit};
use super::super::query::Query;
use crate::clock::Stopwatch;
use crate::event::PluginName;

/// How long a server may take to let go of a plugin: it looks at the directory every two seconds, and ends a batch.
const LET_GO_WITHIN: Duration = Duration::from_secs(60);
/// Time between two times of asking.
const ASKED_EVERY: Duration = Duration::from_millis(200);

/// What a plugin keeps, or kept.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Keeps {
    #[serde(default, skip_serializing)]
    installed: bool,
    checkpoint: u64,
    state_size: Size,
    dead_letters: u64,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Size {
    keys: u64,
    bytes: u64,
}

impl fmt::Display for Keeps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { checkpoint, state_size: Size { keys, bytes }, dead_letters, .. } = self;
        write!(f, "keys of state: {keys} ({bytes} bytes), checkpoint: {checkpoint}, dead letters: {dead_letters}")
    }
}

/// What a plugin keeps now; none of one that is not known.
pub(super) fn keeps(name: &PluginName, client: &Client) -> Result<Option<Keeps>, CliError> {
    answer(client.send(&Method::GET, path(name).as_str()), client)
}

/// Refuses to remove what a plugin keeps that runs, and not from this directory.
pub(super) fn must_not_run_from_elsewhere(name: &PluginName, kept: &Keeps, plugins: &Path) -> Result<(), CliError> {
    if !kept.installed {
        return Ok(());
    }
    let what = format!("the server has plugin {name} installed, and it is not in {}", plugins.display());
    Err(CliError::new(Exit::Conflict, what).hint("give the directory that `serve --plugins` has; nothing was removed"))
}

/// Has what a plugin keeps removed, as soon as nobody runs it. `removed` is where its files were.
pub(super) fn forget(name: &PluginName, removed: Option<&str>, client: &Client) -> Result<Option<Keeps>, CliError> {
    let since = Stopwatch::start();
    loop {
        match client.send(&Method::DELETE, path(name).as_str()) {
            Err(ClientError::Refused(refusal)) if is_in_use(refusal.status) && since.elapsed() < LET_GO_WITHIN => {
                sleep(ASKED_EVERY);
            }
            Err(ClientError::Refused(refusal)) if is_in_use(refusal.status) => {
                let gone = removed.map_or_else(String::new, |path| format!("{path} is removed, but "));
                let what = format!("{gone}what plugin {name} keeps is not: {}", refusal.problem.detail);
                let hint = "is it the directory that `serve --plugins` has? Then say it again when the plugin is gone";
                return Err(CliError::new(Exit::of_status(refusal.status), what).hint(hint));
            }
            answered => return answer(answered, client),
        }
    }
}

/// Whether a status says that the plugin still runs, or that the server does not know yet.
const fn is_in_use(status: u16) -> bool {
    matches!(status, 409 | 503)
}

fn path(name: &PluginName) -> Query {
    Query::path(&["v1", "plugins", name.as_str()])
}

fn answer(answered: Result<Vec<u8>, ClientError>, client: &Client) -> Result<Option<Keeps>, CliError> {
    match answered {
        Err(ClientError::Refused(refusal)) if refusal.status == 404 => Ok(None),
        Err(error) => Err(client.explain(error)),
        Ok(body) => serde_json::from_slice(&body)
            .map(Some)
            .map_err(|error| client.explain(ClientError::Unreadable { reason: error.to_string() })),
    }
}
