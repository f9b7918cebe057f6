//! Set-aside events that an operator wants handled: what has become of them so far, and who waits to hear it.

use std::collections::BTreeSet;

use tokio::sync::oneshot;

use super::command::{CommandError, Redriven, StillFailing};
use crate::delivery::key::Sequence;
use crate::delivery::machine::{Machine, Recalled};
use crate::delivery::status::State;

/// What operators wait for.
#[derive(Debug, Default)]
pub(super) struct Redrives(Vec<Redrive>);

#[derive(Debug)]
struct Redrive {
    /// What has not come to a rest yet.
    sequences: BTreeSet<Sequence>,
    redriven: Redriven,
    answer: oneshot::Sender<Result<Redriven, CommandError>>,
}

impl Redrives {
    /// Somebody waits for these sequences.
    pub(super) fn add(&mut self, sequences: Vec<Sequence>, answer: oneshot::Sender<Result<Redriven, CommandError>>) {
        let redriven = Redriven { sequences: sequences.len(), ..Redriven::default() };
        self.0.push(Redrive { sequences: sequences.into_iter().collect(), redriven, answer });
    }

    /// A set-aside event was handed over again, and that is committed.
    pub(super) fn note(&mut self, recalled: &Recalled) {
        let sequence = Sequence::of_row(recalled.row.key.as_deref(), recalled.row.position);
        for redrive in self.0.iter_mut().filter(|redrive| redrive.sequences.contains(&sequence)) {
            let Some(reason) = recalled.failure.clone() else {
                redrive.redriven.handled += 1;
                continue;
            };
            redrive.sequences.remove(&sequence);
            let (position, key) = (recalled.row.position, recalled.row.key.clone());
            redrive.redriven.note_failing(StillFailing { position, key, reason });
        }
    }

    /// Answers whoever waits for nothing any more. What is neither through nor wanted any more was given up when
    /// delivery halted. Only what came to a rest since the last time is looked at.
    pub(super) fn settle(&mut self, machine: &mut Machine, state: &State) {
        for sequence in machine.take_rested() {
            if machine.is_forced(&sequence) {
                continue;
            }
            let given_up = machine.head_of(&sequence).is_some();
            for redrive in &mut self.0 {
                if redrive.sequences.remove(&sequence) && given_up {
                    let reason = if let State::Halted { reason } = state { reason } else { state.as_str() };
                    redrive.redriven.interrupted = Some(reason.to_owned());
                }
            }
        }
        for redrive in self.0.extract_if(.., |redrive| redrive.sequences.is_empty()) {
            // Whether anybody still waits for it does not matter.
            let _ = redrive.answer.send(Ok(redrive.redriven));
        }
    }

    /// Answers everybody: nothing more will happen.
    pub(super) fn interrupt(&mut self, reason: &str) {
        for mut redrive in self.0.drain(..) {
            redrive.redriven.interrupted = Some(reason.into());
            let _ = redrive.answer.send(Ok(redrive.redriven));
        }
    }
}
