//! What a partition is told to do at a boundary.

use tokio::sync::oneshot;
use tracing::warn;

use super::Task;
use crate::delivery::dispatcher::command::{CommandError, Lines, Order, Redriven};
use crate::delivery::key::Sequence;
use crate::delivery::machine::{Action, Input};
use crate::delivery::status::State;
use crate::event::Position;

/// Most set-aside events that are given up in one commit: their rows are small.
const DISCARDED_AT_ONCE: usize = 1024;

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
                Order::Discard(lines, through, answer) => {
                    let _ = answer.send(self.discard(&lines, through).await);
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

    /// Gives set-aside events up, one commit after the other, so that none of them is handed over meanwhile; answers how
    /// many there were.
    async fn discard(&mut self, lines: &Lines, through: Position) -> Result<u64, CommandError> {
        let mut gone = 0;
        loop {
            let given_up = self.given_up(lines, through);
            let (Some((_, first)), Some((_, last))) = (given_up.first().cloned(), given_up.last().cloned()) else {
                return Ok(gone);
            };
            let count = given_up.len() as u64;
            let Action::Commit(commit) = self.step(Input::Discard(given_up)) else { return Ok(gone) };
            let (input, error) = self.commit(commit).await;
            self.step(input);
            self.publish();
            if let Some(error) = error {
                return Err(CommandError::Commit(error));
            }
            gone += count;
            warn!(
                plugin = %self.common.plugin, count, first = first.0, last = last.0,
                "dead letters discarded: their events stay unhandled, in rebuilds too"
            );
        }
    }

    fn given_up(&self, lines: &Lines, through: Position) -> Vec<(Sequence, Position)> {
        let machine = &self.machine;
        let of = |sequence: Sequence| {
            let rows = machine.rows_of(&sequence).take_while(|row| *row <= through).take(DISCARDED_AT_ONCE);
            rows.map(|row| (sequence.clone(), row)).collect::<Vec<_>>()
        };
        match lines {
            Lines::One(sequence, Some(position)) => {
                let held = machine.holds(sequence, *position);
                held.then(|| (sequence.clone(), *position)).into_iter().collect()
            }
            Lines::One(sequence, None) => of(sequence.clone()),
            Lines::All => machine.sequences().into_iter().flat_map(of).take(DISCARDED_AT_ONCE).collect(),
        }
    }
}
