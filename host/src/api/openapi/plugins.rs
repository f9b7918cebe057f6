//! What shows, drives and tries plugins.

use utoipa::openapi::path::Parameter;

use super::operation::Op;
use super::parameter::{after_name, at_least, count, flag, limit, named, query, text};
use super::plugin_shapes::{Plugin, PluginList};
use super::querying;
use super::shapes::{
    DeadLetterPage, Discarded, RebuildLine, RedriveLine, Redriven, ReplayLine, ShadowLine, VerifyStateLine,
};
use crate::api::dead_letters::{self, DeadLetterView};
use crate::api::generations::Rebuilt;
use crate::api::problem::Kind;
use crate::api::rehearsals::{COMPONENT_TYPES, STATE_BYTES};
use crate::api::state_entries::{self, EntryView};
use crate::delivery::rehearsal::{ReplayReport, VerifyStateReport};
use crate::delivery::{Forgotten, Generations, RebuildStatus};
use crate::plugin::{CandidateReport, Promoted};

/// How long work is answered.
const MEANWHILE: &str = "With `Accept: application/x-ndjson` the answer is lines: how far it is, and last the same \
                         object or a problem.";

/// Its operations.
pub(super) fn operations() -> impl Iterator<Item = Op> {
    let ops = [shown(), querying::operations(), driven(), tried(), set_aside()].into_iter().flatten();
    ops.map(|op| op.tag("plugins"))
}

fn shown() -> Vec<Op> {
    let list = Op::get("/v1/plugins", "listPlugins", "Lists every plugin.")
        .takes(at_least("the log"))
        .answers(200, "The plugins, and what is wrong with their directory.")
        .json::<PluginList>()
        .refuses(503, &[Kind::TimedOut]);
    let get = Op::get("/v1/plugins/{name}", "getPlugin", "Shows a plugin.")
        .takes(at_least("the plugin"))
        .answers(200, "What the registry and the store know of it.")
        .json::<Plugin>();
    let scan = Op::get("/v1/plugins/{name}/state", "scanState", "Lists a plugin's state in the order of keys.")
        .takes([query("prefix", text(), "Only keys that begin so."), after_name(text())])
        .takes([limit(state_entries::PAGE_DEFAULT, state_entries::PAGE_MAX)])
        .takes(at_least("the plugin"))
        .answers(200, "Some entries; `next` is the link to those that follow.")
        .json::<state_entries::PageView<'_>>();
    let key = Op::get("/v1/plugins/{name}/state/{key}", "getState", "Reads one key of a plugin's state.")
        .takes(at_least("the plugin"))
        .answers(200, "The value: JSON in `value`, anything else in `value_base64`.")
        .json::<EntryView<'_>>();
    let forget = Op::delete("/v1/plugins/{name}", "forgetPlugin", "Removes what a plugin that is gone has kept.")
        .about(
            "Its state, its checkpoint and its dead letters, for good, of every generation. What it has appended stays. \
             It is refused while the plugin is installed.",
        )
        .answers(200, "What was removed.")
        .json::<Forgotten>()
        .refuses(404, &[Kind::NotFound])
        .refuses(409, &[Kind::Conflict]);
    let known = [get, scan, key].map(|op| op.refuses(404, &[Kind::NotFound]).refuses(503, &[Kind::TimedOut]));
    [list, forget].into_iter().chain(known).collect()
}

fn driven() -> Vec<Op> {
    let pause = Op::post("/v1/plugins/{name}/pause", "pausePlugin", "Hands a plugin nothing until it is resumed.")
        .answers(204, "It is paused.");
    let resume = Op::post("/v1/plugins/{name}/resume", "resumePlugin", "Ends whatever has stopped a plugin.")
        .answers(204, "It goes on.");
    let reload = Op::post("/v1/plugins/{name}/reload", "reloadPlugin", "Loads a plugin anew from its files.")
        .about(
            "Its files as they are now, changed or not, replace what runs at a batch boundary, and secrets are read \
             again. A halt or a quarantine ends, a pause stays. Where the files cannot run, what ran goes on. After a \
             rollback, or where a rebuild was cancelled, what runs instead of the files is loaded anew, unless \
             `installed` is true.",
        )
        .takes([query("installed", flag(), "Lets what the files say run though something else runs instead.")])
        .answers(204, "What its files say runs.");
    let rebuild = Op::post("/v1/plugins/{name}/rebuild", "rebuildPlugin", "Builds a plugin's state anew, beside it.")
        .about(&format!(
            "What is built becomes live when it has caught up. With `wait=true` that is waited for. {MEANWHILE}"
        ))
        .takes([
            query("from", named("Position"), "First position to build from; where the plugin began unless given."),
            query("wait", flag(), "Answers when what is built is live."),
            query("force", flag(), "Although events that the state is made of were removed."),
        ])
        .answers(202, "It has begun.")
        .json::<RebuildStatus>()
        .answers(200, "What was built is live.")
        .json::<Rebuilt>()
        .lines::<RebuildLine>();
    let cancel = Op::delete("/v1/plugins/{name}/rebuild", "cancelRebuild", "Ends a rebuild; the live state goes on.")
        .answers(204, "It is ended.");
    let roll_back = Op::post("/v1/plugins/{name}/rollback", "rollBackPlugin", "Returns to what was live before.")
        .answers(200, "What is live now.")
        .json::<Generations>();
    [pause, resume, reload, rebuild, cancel, roll_back].into_iter().map(commanded).collect()
}

fn tried() -> Vec<Op> {
    let from = || query("from", named("Position"), "First position of the range.");
    let to = || query("to", named("Position"), "Last position of the range.");
    let bytes =
        || query(STATE_BYTES, count(), "Most bytes of state that one version may build up: 256 MiB unless given.");
    let replay = Op::post("/v1/plugins/{name}/replay", "replayPlugin", "Hands a range over again, without effect.")
        .about(MEANWHILE)
        .takes([from(), to(), bytes()])
        .answers(200, "What would have come of it.")
        .json::<ReplayReport>()
        .lines::<ReplayLine>();
    let shadow = Op::post("/v1/plugins/{name}/shadow", "shadowPlugin", "Compares a component with the live one.")
        .about(&format!("The component is kept as the candidate, which can be promoted. {MEANWHILE}"))
        .takes([from(), to(), query("manifest", text(), "The candidate's `plugin.toml`; the live one unless given.")])
        .takes([bytes()]);
    let shadow = COMPONENT_TYPES
        .iter()
        .fold(shadow, |shadow, media| shadow.accepts_bytes(media))
        .answers(200, "How they differ.")
        .json::<CandidateReport>()
        .lines::<ShadowLine>()
        .refuses(408, &[Kind::TimedOut])
        .refuses(413, &[Kind::TooLarge])
        .refuses(415, &[Kind::UnsupportedMediaType]);
    let verify =
        Op::post("/v1/plugins/{name}/rebuild/verify", "verifyState", "Compares state with what is built anew.")
            .about(MEANWHILE)
            .takes([query("from", named("Position"), "First position; where the plugin began unless given.")])
            .takes([bytes()])
            .answers(200, "How they differ.")
            .json::<VerifyStateReport>()
            .lines::<VerifyStateLine>();
    let promote = Op::post("/v1/plugins/{name}/promote", "promotePlugin", "Installs the candidate.")
        .takes([query("force", flag(), "Although its report is not clean.")])
        .answers(200, "It runs.")
        .json::<Promoted>();
    [replay, shadow, verify, promote].into_iter().map(commanded).collect()
}

/// Which generation's dead letters are shown.
fn building() -> Parameter {
    query("building", flag(), "Of the state that is built, instead of the live one.")
}

fn set_aside() -> Vec<Op> {
    let letter = "/v1/plugins/{name}/dead-letters/{position}";
    let list = Op::get("/v1/plugins/{name}/dead-letters", "listDeadLetters", "Lists dead letters by position.")
        .takes([query("after", named("Position"), "Only dead letters after this position.")])
        .takes([limit(dead_letters::PAGE_DEFAULT, dead_letters::PAGE_MAX)])
        .takes([query("key", text(), "Only those of this key.")])
        .takes([building()])
        .takes(at_least("the plugin"))
        .answers(200, "Some dead letters; `next` is the link to those that follow.")
        .json::<DeadLetterPage<'_>>()
        .refuses(404, &[Kind::NotFound])
        .refuses(503, &[Kind::TimedOut]);
    let get = Op::get(letter, "getDeadLetter", "Shows a dead letter, with its evidence and its event.")
        .takes([building()])
        .takes(at_least("the plugin"))
        .answers(200, "The dead letter.")
        .json::<DeadLetterView<'_>>()
        .refuses(404, &[Kind::NotFound])
        .refuses(503, &[Kind::TimedOut]);
    let discard = Op::delete(letter, "discardDeadLetter", "Gives an event up: it will not be handled.")
        .answers(204, "It is gone.");
    let discard_many =
        Op::delete("/v1/plugins/{name}/dead-letters", "discardDeadLetters", "Gives many up: they will not be handled.")
            .takes([query("key", text(), "Those of this key; either this or `all`.")])
            .takes([query("all", flag(), "All that there are now.")])
            .answers(200, "They are gone.")
            .json::<Discarded>();
    let retry =
        Op::post("/v1/plugins/{name}/dead-letters/{position}/retry", "retryDeadLetter", "Hands one over again.")
            .about(MEANWHILE)
            .answers(200, "What became of it and of those behind it.")
            .json::<Redriven>()
            .lines::<RedriveLine>();
    let retry_many = Op::post("/v1/plugins/{name}/dead-letters/retry", "retryDeadLetters", "Hands many over again.")
        .takes([query("key", text(), "Only those of this key.")])
        .about(MEANWHILE)
        .answers(200, "What became of them.")
        .json::<Redriven>()
        .lines::<RedriveLine>();
    let commands = [discard, discard_many, retry, retry_many].map(commanded);
    [list, get].into_iter().chain(commands).collect()
}

/// What is told to a plugin may be refused by what it is doing.
fn commanded(op: Op) -> Op {
    op.refuses(404, &[Kind::NotFound]).refuses(409, &[Kind::Conflict])
}
