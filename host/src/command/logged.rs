//! What the log of the process says of commands: one line for each that is accepted, settled, or left without outcome.
//!
//! All under the target `tidemill::commands`: outcomes at `debug`, as they are as many as commands; failures at `info`,
//! commands that are given up at `warn`.

use super::error::CommandError;
use super::record::{Outcome, Settled};
use super::request::Command;
use super::waiting::Why;
use crate::event::{Position, StreamName, metadata_key};

const TARGET: &str = "tidemill::commands";

/// Of which story a command is, and what it comes of, if that is known.
fn ids(command: &Command) -> (&str, Option<&str>) {
    let told = |key| command.metadata.get(key).map(String::as_str);
    (told(metadata_key::CORRELATION_ID).unwrap_or(&command.id), told(metadata_key::CAUSATION_ID))
}

/// What became of a command.
pub(super) fn answer(command: &Command, stream: &StreamName, answer: &Result<Settled, CommandError>) {
    let (Command { id, command_type, .. }, (correlation_id, causation_id)) = (command, ids(command));
    match answer {
        Ok(Settled { repeated, version, position, outcome: Outcome::Accepted(events), .. }) => {
            tracing::debug!(
                target: TARGET, command = id, command_type, %stream, correlation_id, causation_id, repeated, %version,
                %position, events = events.len(), "command accepted"
            );
        }
        Ok(Settled { repeated, version, position, outcome: Outcome::Rejected(rejection), .. }) => {
            tracing::debug!(
                target: TARGET, command = id, command_type, %stream, correlation_id, causation_id, repeated, %version,
                %position, rejection = rejection.code, "command rejected"
            );
        }
        Err(error) => {
            tracing::info!(
                target: TARGET, command = id, command_type, %stream, correlation_id, causation_id, %error,
                "command without outcome"
            );
        }
    }
}

/// That a command waits to be decided.
pub(super) fn queued(command: &Command, stream: &StreamName, position: Position, repeated: bool) {
    let (Command { id, command_type, .. }, (correlation_id, causation_id)) = (command, ids(command));
    tracing::debug!(
        target: TARGET, command = id, command_type, %stream, correlation_id, causation_id, repeated, %position,
        "command queued"
    );
}

/// That a command which waited will not be decided.
pub(super) fn given_up(command: &Command, stream: &StreamName, why: Why<'_>) {
    let (Command { id, command_type, .. }, (correlation_id, causation_id)) = (command, ids(command));
    tracing::warn!(
        target: TARGET, command = id, command_type, %stream, correlation_id, causation_id, attempts = why.attempts,
        error = %why, "an accepted command was given up"
    );
}

/// The same of one whose failure is not in the log, as the event at a position, which is somebody else's, has its id.
pub(super) fn given_up_unsaid(command: &Command, stream: &StreamName, why: Why<'_>, position: Position) {
    let (Command { id, command_type, .. }, (correlation_id, causation_id)) = (command, ids(command));
    tracing::error!(
        target: TARGET, command = id, command_type, %stream, correlation_id, causation_id, %position, error = %why,
        "an accepted command was given up, and the log does not say so: the event at this position was given the id that the \
         failure would have; find out who appends such ids"
    );
}
