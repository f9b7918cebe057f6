//! The simulated handler: what it does with an event depends on the event's mood.

use super::world::{TRIES_MAX, World};
use crate::delivery::handler::{Evidence, Failure, Fault, HandleError, Verdict};
use crate::delivery::machine::{Input, Staged};
use crate::event::Position;

/// How the handler takes one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    Fine,
    /// Asks for a retry until it has been tried this often.
    RetryUntil(u32),
    /// Says when to come back until it has been tried this often.
    WaitUntil(u32),
    /// Traps until it has been tried this often.
    TrapUntil(u32),
    AlwaysRetries,
    AlwaysTraps,
    Rejects,
    /// Handles it, but what it appends is refused.
    Refused,
    /// Panics the host's side of the call.
    Panics,
}

impl Mood {
    pub(super) fn draw(rng: &mut fastrand::Rng, trouble: u32) -> Self {
        if rng.u32(0..100) >= trouble {
            return Self::Fine;
        }
        match rng.u32(0..8) {
            0 => Self::RetryUntil(rng.u32(1..TRIES_MAX)),
            1 => Self::TrapUntil(rng.u32(1..TRIES_MAX)),
            2 => Self::WaitUntil(rng.u32(1..9)),
            3 => Self::AlwaysRetries,
            4 => Self::AlwaysTraps,
            5 => Self::Rejects,
            6 => Self::Refused,
            _ => Self::Panics,
        }
    }

    /// Whether an event of this mood is ever out of attempts.
    pub(super) const fn is_bad(self) -> bool {
        match self {
            Self::Fine | Self::RetryUntil(_) | Self::WaitUntil(_) | Self::TrapUntil(_) => false,
            Self::AlwaysRetries | Self::AlwaysTraps | Self::Rejects | Self::Refused | Self::Panics => true,
        }
    }
}

/// Calls the handler with some events.
pub(super) fn handle(world: &mut World, batch: &[Position]) -> Input {
    let alone = batch.len() == 1;
    if world.is_down() {
        let (verdict, reason) = (Verdict::Retry { after_ms: Some(3) }, "down".into());
        return Input::Failed(HandleError::Failure(Failure { index: 0, verdict, reason }), Evidence::default());
    }
    for (index, position) in batch.iter().enumerate() {
        let tries = world.tries.entry(*position).or_default();
        *tries += u32::from(alone);
        let failure = |verdict| {
            let reason = "no".into();
            Input::Failed(HandleError::Failure(Failure { index, verdict, reason }), Evidence::default())
        };
        let trap = || {
            let (fault, reason) = (Fault::Trap, "trap".into());
            Input::Failed(HandleError::Fault { fault, reason }, Evidence::default())
        };
        if world.fixed {
            continue;
        }
        match world.moods[position] {
            Mood::RetryUntil(n) if *tries < n || !alone => return failure(Verdict::Retry { after_ms: None }),
            Mood::WaitUntil(n) if *tries < n || !alone => return failure(Verdict::Retry { after_ms: Some(3) }),
            Mood::TrapUntil(n) if *tries < n || !alone => return trap(),
            Mood::AlwaysRetries => return failure(Verdict::Retry { after_ms: None }),
            Mood::AlwaysTraps => return trap(),
            Mood::Rejects => return failure(Verdict::Reject),
            Mood::Panics => return Input::Lost("panic".into()),
            _ => {}
        }
    }
    Input::Handled(Staged::default())
}

/// What an answer must count, and for which event.
pub(super) fn counted(error: &HandleError, batch: &[Position]) -> Option<(Position, u32, u32)> {
    match error {
        HandleError::Failure(failure) if failure.index == 0 => {
            let attempts = u32::from(failure.verdict != Verdict::Retry { after_ms: Some(3) });
            Some((batch[0], attempts, 0))
        }
        HandleError::Fault { .. } if batch.len() == 1 => Some((batch[0], 0, 1)),
        HandleError::Failure(_) | HandleError::Fault { .. } => None,
    }
}
