//! How what is built becomes live: when it has nearly come as far as the live one, that one is stopped, the rest is
//! done, and they change places. The live one is not stopped for what waits or stands, for what is slow only when that has
//! been near for long, and not longer than until something is commanded: then it goes on as it was, and this is tried again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{info, warn};

use super::pace::{Pace, Work};
use super::{AGAIN_US, Builder, NEAR};
use crate::delivery::dispatcher::generations::make_live;
use crate::delivery::dispatcher::group::{Group, Rested, panicked};
use crate::delivery::dispatcher::partitions::{Around, Version};
use crate::delivery::dispatcher::task::blocking;
use crate::delivery::status::{State, Status};
use crate::error::with_sources;
use crate::event::{PluginName, Position};
use crate::store::{Owner, ReadRequest};

/// How long what is left may take, at the pace of before, for the live one to be stopped for it.
const REACH: Duration = Duration::from_secs(1);
/// How often the events that are left are counted at most, in microseconds.
const COUNT_EVERY_US: u64 = 100_000;
/// How long the live one is stopped at most while the rest is done; then it goes on, and this is tried again with twice
/// the time, so that it comes to its end however much there is to do.
pub(super) const FINISH_WITHIN: Duration = Duration::from_secs(2);
/// The longest that it becomes.
const FINISH_WITHIN_MAX: Duration = Duration::from_secs(120);
/// Why it is near for long and not live.
const BUSY: &str = "events come as fast as it handles them: it may become live with more and more of them left";

impl Builder {
    /// For how many events the live one may be stopped: as many as are soon done at the pace at which they are handed
    /// over, and none before that is known. None where it does not go on.
    pub(super) fn reach(&mut self, now_us: u64) -> Option<u64> {
        let (work, goes_on) = {
            let status = self.status.borrow();
            // What fails in place is running while it is tried again.
            (Work::of(&status.cost), held(&status.state).is_none() && status.failing.is_none())
        };
        let is_busy = goes_on && !self.is_within(0);
        self.pace.note(now_us, is_busy, work);
        let handlers = u64::try_from(self.ways().len()).unwrap_or(u64::MAX);
        goes_on.then(|| self.pace.events_in(REACH, handlers))
    }

    /// For how many events the live one is stopped, where it would be for so many: the longer what is built is near without
    /// coming closer, the more, as what is constantly busy would never become live.
    pub(super) fn allowed(&mut self, plugin: &PluginName, reach: u64, now_us: u64) -> u64 {
        let left = self.ways().into_iter().map(|(at, limit)| limit.0.saturating_sub(at.0));
        let behind = left.max().unwrap_or_default();
        let doubled = self.patience.note(now_us, behind).min(NEAR.ilog2());
        if doubled == 0 {
            drop(self.held_up.take_if(|reason| *reason == BUSY));
            return reach;
        }
        if self.held_up.is_none() {
            warn!(%plugin, reason = BUSY, "a rebuilt generation is not live yet");
            self.held_up = Some(BUSY.into());
        }
        (reach.clamp(1, NEAR) << doubled).min(NEAR).max(reach)
    }

    /// Of each partition that may go further, where it is, and how far it may go.
    fn ways(&self) -> Vec<(Position, Position)> {
        let status = self.status.borrow();
        let all = status.partitions.iter().zip(&self.limits);
        let all = all.map(|(partition, limit)| (partition.checkpoint, *limit.borrow()));
        all.filter(|(at, limit)| at < limit).collect()
    }

    /// Whether no more events than these are left that it hears of, however many positions are. Not looked at each time.
    pub(super) async fn leaves_at_most(&mut self, events: u64, around: &Around, now_us: u64) -> bool {
        let version = self.partitions.as_ref().map(|partitions| &partitions.version).or(self.version.as_ref());
        let (Some(version), true) = (version, now_us.saturating_sub(self.counted_us) >= COUNT_EVERY_US) else {
            return false;
        };
        self.counted_us = now_us;
        // Those that are at their limit have nothing left, however far behind the others they are.
        let ways = self.ways();
        let Some(after) = ways.iter().map(|(at, _)| *at).min() else { return true };
        let most = usize::try_from(events.min(NEAR)).unwrap_or(usize::MAX);
        let request = ReadRequest {
            query: version.subscription.filter.clone().into(),
            after,
            before: ways.iter().map(|(_, limit)| limit.next()).max(),
            limit: most.saturating_add(1),
            ..ReadRequest::default()
        };
        let store = Arc::clone(&around.store);
        // One that cannot be read is left to its partitions, which tell of it.
        let page = blocking(move || store.read(&request)).await;
        page.is_ok_and(|page| page.complete && page.events.len() <= most)
    }

    /// Has the rest done while the live one is stopped; answers why it could not be.
    async fn complete(&mut self, around: &Around, live: &Owner) -> Result<(), String> {
        let within = self.finish_within;
        let settled = timeout(within, self.settle(around, live)).await;
        settled.unwrap_or_else(|_| {
            // What it did before says nothing of the rest.
            self.pace = Pace::default();
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
        // Whatever ends it again and again, the live one is stopped for half of the time at most.
        let stopped_us = now_us.saturating_sub(began_us);
        match made {
            Some(Ok(version)) => {
                self.fresh = true;
                return version;
            }
            Some(Err(reason)) => {
                builder.hold_up(&self.around, reason, now_us);
                builder.put_off(now_us, AGAIN_US.max(stopped_us));
            }
            None => builder.put_off(now_us, stopped_us),
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
    use crate::delivery::cost::Cost;
    use crate::delivery::dispatcher::command::Command;
    use crate::delivery::status::PartitionStatus;
    use crate::delivery::{Setup, Subscription};
    use crate::event::{EventType, Filter, NewEvent, Pattern};
    use crate::store::memory::MemoryStore;
    use crate::store::{AppendRequest, Failing};

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

    /// Shows that its only partition has come so far, with an event handed over in each second.
    fn show_events(status: &watch::Sender<Status>, checkpoint: u64, events: u64) {
        let cost = Cost { events, handler_us: events * SECOND_US, ..Cost::default() };
        let partition = PartitionStatus { checkpoint: Position(checkpoint), cost, ..PartitionStatus::default() };
        status.send_modify(|status| {
            status.cost_before = Cost::default();
            status.cost = Cost::default();
            status.begin(vec![partition]);
        });
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
        assert_eq!(builder.reach(SECOND_US), Some(0), "how fast it is nobody knows");
        let quarantined = State::Quarantined { reason: "no further".into() };
        for state in [waits(), halted(), quarantined, State::Paused, State::Stopped] {
            show(&builder.status, state.clone(), 900, None);
            assert_eq!(builder.reach(SECOND_US), None, "{state:?}");
        }
        show(&builder.status, State::Running, 900, Some(Failing::default()));
        assert_eq!(builder.reach(SECOND_US), None, "it is tried again, and waits again");
        show(&builder.status, State::Running, 1000, None);
        assert!(builder.reach(SECOND_US).is_some_and(|reach| builder.is_within(reach)), "nothing is left");
    }

    #[test]
    fn the_live_one_does_not_stop_for_what_is_slow_before_it_is_nearly_through() {
        let mut builder = behind();
        let soon = |builder: &mut Builder, second: u64, checkpoint: u64, events: u64| {
            show_events(&builder.status, checkpoint, events);
            builder.reach(second * SECOND_US).is_some_and(|reach| builder.is_within(reach))
        };
        // It jumps over what it does not hear of, which is no pace.
        assert!(!soon(&mut builder, 0, 0, 0));
        assert!(!soon(&mut builder, 1, 900, 0));
        // Then one in each second.
        let stops: Vec<_> = (1..=100).filter(|event| soon(&mut builder, event + 1, 900 + event, *event)).collect();
        assert_eq!(stops, [99, 100]);
    }

    #[tokio::test]
    async fn the_live_one_stops_where_no_event_is_left_though_positions_are() {
        let around = around();
        let heard = |name: &str| NewEvent::json(EventType::new(name).unwrap(), "1");
        around.store.append(AppendRequest::unconditional(vec![heard("N"), heard("M"), heard("M")])).await.unwrap();
        let mut builder = builder();
        let filter = Filter { types: vec![Pattern::new("N").unwrap()], ..Filter::default() };
        builder.version =
            Some(Setup { subscription: Subscription { filter, ..Subscription::default() }, ..setup() }.into());
        builder.raise(&[Position(3)]);
        for (at, events, expected) in [(0, 0, false), (0, 1, true), (1, 0, true)] {
            show(&builder.status, State::Running, at, None);
            builder.counted_us = 0;
            assert_eq!(builder.leaves_at_most(events, &around, SECOND_US).await, expected, "{events} after {at}");
        }
        assert!(!builder.leaves_at_most(1, &around, SECOND_US).await, "it was counted just now");
    }

    #[tokio::test]
    async fn what_a_partition_has_passed_that_is_behind_the_others_is_not_left() {
        let around = around();
        let events = ["N"; 4].map(|event_type| NewEvent::json(EventType::new(event_type).unwrap(), "1"));
        around.store.append(AppendRequest::unconditional(events.into())).await.unwrap();
        let mut builder = builder();
        builder.limits.push(watch::Sender::new(Position::START));
        // The live one is halted at 1 in its first partition.
        builder.raise(&[Position(1), Position(4)]);
        let at = |partition, checkpoint| PartitionStatus {
            partition,
            checkpoint: Position(checkpoint),
            ..PartitionStatus::default()
        };
        for (second, events, expected) in [(3, 1, true), (2, 1, false), (4, 0, true)] {
            builder.status.send_modify(|status| status.begin(vec![at(0, 1), at(1, second)]));
            builder.counted_us = 0;
            assert_eq!(builder.leaves_at_most(events, &around, SECOND_US).await, expected, "{events} after {second}");
        }
    }

    #[test]
    fn what_is_near_for_long_without_coming_closer_may_have_more_left() {
        let mut builder = behind();
        let plugin = setup().plugin;
        let allowed: Vec<_> = (0..=10).map(|second| builder.allowed(&plugin, 3, second * SECOND_US)).collect();
        assert_eq!(allowed, [3, 3, 3, 3, 3, 6, 6, 6, 6, 6, 12]);
        assert_eq!(builder.held_up.as_deref(), Some(BUSY));
        assert_eq!(builder.allowed(&plugin, 3, 1000 * SECOND_US), NEAR);
        assert_eq!(builder.allowed(&plugin, 2 * NEAR, 1001 * SECOND_US), 2 * NEAR);
        show(&builder.status, State::Running, 901, None);
        assert_eq!(builder.allowed(&plugin, 3, 1002 * SECOND_US), 3);
        assert_eq!(builder.held_up, None, "it came closer");
    }

    #[test]
    fn the_pauses_of_all_tries_are_told_together() {
        let (_sender, commands) = mpsc::channel(1);
        let mut group = Group::new(around(), commands, watch::Sender::new(Status::default()));
        assert_eq!(group.pause_ended(), None);
        let now_us = group.around.clock.now_us();
        group.held_up_since_us = Some(now_us - SECOND_US);
        let first = group.pause_ended().unwrap();
        assert!(first >= SECOND_US);
        group.held_up_since_us = Some(now_us - SECOND_US);
        assert!(group.pause_ended().is_some_and(|both| both >= first + SECOND_US));
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
