//! How what is built becomes live: when it has nearly come as far as the live one, that one is stopped, the rest is
//! done, and they change places. The live one is not stopped for what waits, stands or is slow, nor longer than until
//! something is commanded: then it goes on as it was, and this is tried again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;
use tracing::info;

use super::{Builder, Pace};
use crate::delivery::dispatcher::generations::make_live;
use crate::delivery::dispatcher::group::{Group, Rested, panicked};
use crate::delivery::dispatcher::partitions::{Around, Version};
use crate::delivery::status::{State, Status};
use crate::error::with_sources;
use crate::store::Owner;

/// How long the live one is stopped at most while the rest is done; then it goes on, and this is tried again with twice
/// the time, so that it comes to its end however much there is to do.
pub(super) const FINISH_WITHIN: Duration = Duration::from_secs(2);
/// The longest that it becomes.
const FINISH_WITHIN_MAX: Duration = Duration::from_secs(120);

impl Builder {
    /// Whether the live one may be stopped for what is left: it goes on, and at its pace it would soon be through.
    pub(super) fn is_soon_through(&mut self, now_us: u64) -> bool {
        let (at, goes_on) = {
            let status = self.status.borrow();
            // What fails in place is running while it is tried again.
            (status.checkpoint, held(&status.state).is_none() && status.failing.is_none())
        };
        let Some(pace) = &mut self.pace else { return false };
        pace.note(now_us, at);
        let reach = pace.passes_in(FINISH_WITHIN, (now_us, at));
        goes_on && self.is_within(reach)
    }

    /// Has the rest done while the live one is stopped; answers why it could not be.
    async fn complete(&mut self, around: &Around, live: &Owner) -> Result<(), String> {
        let (began_us, at, within) = (around.clock.now_us(), self.status.borrow().checkpoint, self.finish_within);
        let settled = timeout(within, self.settle(around, live)).await;
        settled.unwrap_or_else(|_| {
            // What it did before says nothing of the rest.
            self.pace = Some(Pace::from(began_us, at));
            let next = within.saturating_mul(2).min(FINISH_WITHIN_MAX);
            self.finish_within = next;
            Err(format!(
                "the rest took longer than {within:?}, for which nothing was handled; the next time it has {next:?}"
            ))
        })
    }

    /// Waits until everything up to the limits is settled, or it does not go on.
    async fn settle(&mut self, around: &Around, live: &Owner) -> Result<(), String> {
        let mut status = self.status.subscribe();
        loop {
            let reason = held(&self.status.borrow().state);
            if let Some(reason) = reason {
                return Err(reason);
            }
            if self.is_within(0) {
                break;
            }
            if status.changed().await.is_err() {
                return Err("what is built has ended".into());
            }
        }
        let release = self.release(around, live);
        tokio::select! {
            biased;
            reason = until_held(&mut status) => Err(reason),
            released = release => released.map_err(|error| with_sources(&error)),
        }
    }

    /// Makes it live, and answers what is to run then.
    async fn take_place(&mut self, around: &Around, live: &Owner) -> Result<Version, String> {
        self.rest().await;
        let (owner, built, store) = (live.clone(), self.building.generation, Arc::clone(&around.store));
        let limits: Vec<_> = self.limits.iter().map(|limit| *limit.borrow()).collect();
        let made = tokio::task::spawn_blocking(move || make_live(&owner, built, &limits, &*store)).await;
        made.unwrap_or_else(|_| Err(panicked().into())).map_err(|error| with_sources(&error))?;
        let discarded = self.status.borrow().counters.discarded;
        info!(plugin = %self.owner(live), discarded, "a rebuilt generation is live");
        self.version.take().ok_or_else(|| "its version is gone".into())
    }
}

impl Group {
    /// Makes what is built live. Answers what is to run then: that, or what ran if it could not be.
    pub(in crate::delivery::dispatcher) async fn finish(&mut self, live: Rested) -> Version {
        let Some(mut builder) = self.builder.take() else { return live.version };
        let began_us = self.around.clock.now_us();
        builder.raise(&self.checkpoints());
        let complete = tokio::select! {
            biased;
            // It does not wait for the rest: the live one starts again, and then it is carried out as ever.
            command = self.commands.recv() => {
                self.kept = command;
                None
            }
            complete = builder.complete(&self.around, &live.owner) => Some(complete),
        };
        let made = match complete {
            Some(Ok(())) => Some(builder.take_place(&self.around, &live.owner).await),
            Some(Err(reason)) => Some(Err(reason)),
            None => None,
        };
        let now_us = self.around.clock.now_us();
        match made {
            Some(Ok(version)) => {
                self.fresh = true;
                return version;
            }
            Some(Err(reason)) => builder.hold_up(&self.around, reason, now_us),
            // Whoever commands again and again stops the live one for half of the time at most.
            None => builder.put_off(now_us, now_us.saturating_sub(began_us)),
        }
        self.builder = Some(builder);
        live.version
    }
}

/// Why something in a state does not go on; none while it does.
fn held(state: &State) -> Option<String> {
    match state {
        State::Running => None,
        State::Halted { reason } | State::Quarantined { reason } | State::BackingOff { reason: Some(reason), .. } => {
            Some(reason.clone())
        }
        State::BackingOff { reason: None, .. } | State::Paused | State::Stopped => {
            Some(format!("what is built did not go on ({}), and nothing stops for that", state.as_str()))
        }
    }
}

/// Waits until it does not go on; answers why.
async fn until_held(status: &mut watch::Receiver<Status>) -> String {
    let reached = status.wait_for(|status| held(&status.state).is_some()).await.map(|status| held(&status.state));
    reached.ok().flatten().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::super::tests::{builder, setup};
    use super::*;
    use crate::clock::SystemClock;
    use crate::delivery::dispatcher::command::Command;
    use crate::delivery::status::PartitionStatus;
    use crate::event::Position;
    use crate::store::Failing;
    use crate::store::memory::MemoryStore;

    const SECOND_US: u64 = 1_000_000;

    fn waits() -> State {
        State::BackingOff { until_us: u64::MAX, reason: None }
    }

    fn halted() -> State {
        State::Halted { reason: "no further".into() }
    }

    /// Shows its only partition so.
    fn show(status: &watch::Sender<Status>, state: State, checkpoint: u64, failing: Option<Failing>) {
        let checkpoint = Position(checkpoint);
        let partition = PartitionStatus { state, checkpoint, failing, ..PartitionStatus::default() };
        status.send_modify(|status| status.begin(vec![partition]));
    }

    /// What may go to 1000 and has come to 900.
    fn behind() -> Builder {
        let builder = builder();
        builder.raise(&[Position(1000)]);
        show(&builder.status, State::Running, 900, None);
        builder
    }

    fn around() -> Around {
        let clock = Arc::new(SystemClock);
        Around { plugin: setup().plugin, store: Arc::new(MemoryStore::new(clock.clone())), clock }
    }

    fn owner() -> Owner {
        setup().plugin.into()
    }

    #[test]
    fn the_live_one_does_not_stop_for_what_waits_or_stands() {
        let mut builder = behind();
        assert!(!builder.is_soon_through(SECOND_US), "it never started");
        builder.pace = Some(Pace::from(0, Position::START));
        assert!(builder.is_soon_through(SECOND_US));
        let quarantined = State::Quarantined { reason: "no further".into() };
        for state in [waits(), halted(), quarantined, State::Paused, State::Stopped] {
            show(&builder.status, state.clone(), 900, None);
            assert!(!builder.is_soon_through(SECOND_US), "{state:?}");
        }
        show(&builder.status, State::Running, 900, Some(Failing::default()));
        assert!(!builder.is_soon_through(SECOND_US), "it is tried again, and waits again");
        show(&builder.status, State::Running, 1000, None);
        assert!(builder.is_soon_through(SECOND_US));
    }

    #[test]
    fn the_live_one_does_not_stop_for_what_is_slow_before_it_is_nearly_through() {
        let mut builder = behind();
        // One in a second.
        builder.pace = Some(Pace::from(0, Position::START));
        let soon: Vec<_> = (900..=1000)
            .filter(|second| {
                show(&builder.status, State::Running, *second, None);
                builder.is_soon_through(second * SECOND_US)
            })
            .collect();
        assert_eq!(soon, [998, 999, 1000]);
    }

    #[tokio::test]
    async fn what_comes_to_wait_or_to_a_halt_meanwhile_is_not_waited_for() {
        for (state, why) in [(waits(), "backing_off"), (halted(), "no further")] {
            let mut builder = behind();
            let status = Arc::clone(&builder.status);
            let (around, owner) = (around(), owner());
            let stops = async { show(&status, state, 900, None) };
            let (complete, ()) = tokio::join!(builder.complete(&around, &owner), stops);
            let reason = complete.unwrap_err();
            assert!(reason.contains(why) && !reason.contains("took longer"), "{reason}");
            assert_eq!(builder.finish_within, FINISH_WITHIN);
        }
    }

    #[tokio::test]
    async fn a_command_does_not_wait_for_the_rest() {
        let (sender, commands) = mpsc::channel(1);
        let mut group = Group::new(around(), commands, watch::Sender::new(Status::default()));
        group.builder = Some(behind());
        assert!(sender.send(Command::Stop).await.is_ok());
        let rested = Rested { owner: owner(), version: setup().into() };
        group.finish(rested).await;
        let builder = group.builder.as_ref().unwrap();
        assert_eq!((&builder.held_up, builder.finish_within), (&None, FINISH_WITHIN), "it was not tried to its end");
        assert!(builder.not_before_us > 0, "the live one goes on for as long");
        assert!(matches!(group.command().await, Some(Command::Stop)), "it is carried out when that runs");
    }
}
