//! What a partition is told to do at a boundary.

use std::sync::Arc;

use tokio::sync::oneshot;
use tracing::warn;

use super::{Task, blocking};
use crate::delivery::dispatcher::command::{CommandError, Lines, Order, Redriven};
use crate::delivery::key::Sequence;
use crate::delivery::machine::{Action, Input};
use crate::delivery::status::State;
use crate::event::Position;

impl Task {
    /// Carries out the orders that wait. None when told to stop.
    pub(super) async fn obey(&mut self) -> Option<Input> {
        while let Some(order) = self.held.take().or_else(|| self.orders.try_recv().ok()) {
            // Whether anybody still waits for an answer does not matter.
            match order {
                Order::Stop => return None,
                Order::Pause(answer) => {
                    self.redrives.interrupt("the plugin was paused");
                    self.step(Input::Pause);
                    self.publish();
                    let _ = answer.send(());
                }
                Order::Resume(answer) => {
                    self.common.storms.forget();
                    if let Action::Commit(commit) = self.step(Input::Resume) {
                        let (input, _) = self.commit(commit).await;
                        self.step(input);
                    }
                    self.publish();
                    let _ = answer.send(());
                }
                Order::Retry(lines, answer) => self.retry(lines, answer),
                Order::Release(elsewhere, answer) => {
                    self.step(Input::Release(elsewhere));
                    self.redrives.add(self.machine.forced(), answer);
                }
                Order::Discard(sequence, position, answer) => {
                    let _ = answer.send(self.discard(sequence, position).await);
                }
            }
        }
        Some(Input::GoOn)
    }

    /// Has set-aside events handed over again, from the next step on.
    fn retry(&mut self, lines: Lines, answer: oneshot::Sender<Result<Redriven, CommandError>>) {
        match self.wanted(lines) {
            Ok(sequences) => {
                self.step(Input::Force(sequences.clone()));
                self.redrives.add(sequences, answer);
            }
            Err(error) => drop(answer.send(Err(error))),
        }
    }

    fn wanted(&self, lines: Lines) -> Result<Vec<Sequence>, CommandError> {
        let plugin = self.common.plugin.clone();
        if self.machine.state(self.common.clock.now_us()) == State::Paused {
            return Err(CommandError::Paused { plugin });
        }
        let Lines::One(sequence, wanted) = lines else { return Ok(self.machine.sequences()) };
        match (self.machine.head_of(&sequence), wanted, sequence.key()) {
            (Some(head), Some(position), _) if head != position => Err(CommandError::Behind { position, head }),
            (Some(_), _, _) => Ok(vec![sequence]),
            (None, None, Some(key)) => Err(CommandError::NoSuchKey { plugin, key: key.into() }),
            (None, position, _) => {
                Err(CommandError::NoSuchDeadLetter { plugin, position: position.unwrap_or_default() })
            }
        }
    }

    async fn discard(&mut self, sequence: Sequence, position: Position) -> Result<(), CommandError> {
        let (store, owner) = (Arc::clone(&self.common.store), self.common.owner.clone());
        let plugin = self.common.plugin.clone();
        let letter = blocking(move || store.dead_letter(&owner, position)).await?;
        if letter.is_none_or(|letter| letter.is_discarded()) {
            return Err(CommandError::NoSuchDeadLetter { plugin, position });
        }
        let Action::Commit(commit) = self.step(Input::Discard(sequence, position)) else { return Ok(()) };
        let (input, error) = self.commit(commit).await;
        self.step(input);
        self.publish();
        match error {
            Some(error) => Err(CommandError::Commit(error)),
            None => {
                warn!(%plugin, position = position.0, "dead letter discarded: its event stays unhandled, in rebuilds too");
                Ok(())
            }
        }
    }
}
