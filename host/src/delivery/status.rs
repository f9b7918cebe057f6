//! What can be seen of a plugin's delivery from outside.

use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use super::cost::Cost;
use super::handler::{Fault, Verdict};
use crate::event::{Filter, Position};
use crate::measure::Times;
use crate::store::Failing;

/// What a plugin's delivery is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
#[schema(as = PluginState)]
pub enum State {
    /// Handling events, or waiting for some.
    #[default]
    Running,
    /// Waiting before another attempt.
    BackingOff {
        /// When it is due: microseconds since the Unix epoch.
        until_us: u64,
        /// What all events wait for, where the handler asks for time for one after the other.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// Told to hand nothing over until it is resumed.
    Paused,
    /// Not going on until it is replaced or resumed.
    Halted {
        /// Why.
        reason: String,
    },
    /// It faults on everything: not going on until it is replaced or resumed.
    Quarantined {
        /// Why.
        reason: String,
    },
    /// Ended on request.
    Stopped,
}

impl State {
    /// All names that a state can have.
    pub const NAMES: [&str; 6] = ["running", "backing_off", "paused", "halted", "quarantined", "stopped"];

    /// Its name, for people and metrics.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::BackingOff { .. } => "backing_off",
            Self::Paused => "paused",
            Self::Halted { .. } => "halted",
            Self::Quarantined { .. } => "quarantined",
            Self::Stopped => "stopped",
        }
    }

    /// Whether it goes on no further until somebody acts.
    pub(super) const fn stands(&self) -> bool {
        matches!(self, Self::Paused | Self::Halted { .. } | Self::Quarantined { .. })
    }

    /// How much it needs somebody to act: what a plugin shows of its partitions is the gravest.
    const fn gravity(&self) -> u8 {
        match self {
            Self::Stopped => 0,
            Self::Running => 1,
            Self::BackingOff { .. } => 2,
            Self::Paused => 3,
            Self::Halted { .. } => 4,
            Self::Quarantined { .. } => 5,
        }
    }

    /// The same, saying in which partition.
    fn in_partition(&self, partition: u32) -> Self {
        let within = |reason: &str| format!("partition {partition}: {reason}");
        match self {
            Self::Halted { reason } => Self::Halted { reason: within(reason) },
            Self::Quarantined { reason } => Self::Quarantined { reason: within(reason) },
            Self::BackingOff { until_us, reason: Some(reason) } => {
                Self::BackingOff { until_us: *until_us, reason: Some(within(reason)) }
            }
            other => other.clone(),
        }
    }
}

/// What a plugin's delivery has done since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Counters {
    /// Events handled and committed.
    pub handled: u64,
    /// Events appended by the handler and committed.
    pub emitted: u64,
    /// Attempts that failed; of those for which the handler asks for time again and again, what is written down.
    pub retried: u64,
    /// Events set aside for an operator to look at.
    pub parked: u64,
    /// Events set aside untried, behind an earlier one of their key.
    pub behind: u64,
    /// Events that an operator discarded, in this generation or in one before it was built of.
    #[serde(skip_serializing_if = "is_zero")]
    pub discarded: u64,
    /// Calls of the handler that did not answer.
    pub faults: FaultCounts,
    /// Events that the handler appended and that were dropped, because they are in the log already.
    #[serde(skip_serializing_if = "is_zero")]
    pub suppressed: u64,
    /// Commits.
    pub commits: u64,
    /// Commits done again because another partition had written what they had read.
    pub conflicts: u64,
    /// How often it was paused.
    pub paused: u64,
    /// How often it halted.
    pub halted: u64,
    /// How often it was quarantined.
    pub quarantined: u64,
    /// Calls of the handler that answered; shown as metrics only.
    #[serde(skip)]
    pub answers: AnswerCounts,
    /// How long its calls took, in nanoseconds; shown as metrics only.
    #[serde(skip)]
    pub batch_times: Times,
}

/// Calls of the handler that answered, by the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AnswerCounts {
    /// The whole batch was handled.
    pub handled: u64,
    /// An event is to be tried again.
    pub retry: u64,
    /// An event is to be set aside.
    pub reject: u64,
    /// The plugin is to stop.
    pub stop: u64,
}

impl AnswerCounts {
    /// Counts a failure that the handler answered with.
    pub(super) const fn count(&mut self, verdict: Verdict) {
        let counter = match verdict {
            Verdict::Retry { .. } => &mut self.retry,
            Verdict::Reject => &mut self.reject,
            Verdict::Stop => &mut self.stop,
        };
        *counter += 1;
    }

    /// Each with its name.
    #[must_use]
    pub const fn by_name(&self) -> [(&'static str, u64); 4] {
        let Self { handled, retry, reject, stop } = *self;
        [("handled", handled), ("retry", retry), ("reject", reject), ("stop", stop)]
    }

    const fn plus(self, other: Self) -> Self {
        Self {
            handled: self.handled + other.handled,
            retry: self.retry + other.retry,
            reject: self.reject + other.reject,
            stop: self.stop + other.stop,
        }
    }
}

/// Calls that did not answer, by what went wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct FaultCounts {
    /// The guest panicked, or did what wasm forbids.
    pub trap: u64,
    /// It used up its fuel.
    pub out_of_fuel: u64,
    /// It ran longer than its batch time.
    pub deadline: u64,
    /// It wanted more memory than its limit.
    pub out_of_memory: u64,
    /// It insisted on what its grants do not allow.
    pub denied: u64,
    /// Its answer makes no sense.
    pub bad_reply: u64,
    /// The event could not be lifted to today's schema.
    pub upcast: u64,
}

impl FaultCounts {
    /// Counts one.
    pub(super) const fn count(&mut self, fault: Fault) {
        let counter = match fault {
            Fault::Trap => &mut self.trap,
            Fault::OutOfFuel => &mut self.out_of_fuel,
            Fault::Deadline => &mut self.deadline,
            Fault::OutOfMemory => &mut self.out_of_memory,
            Fault::Denied => &mut self.denied,
            Fault::BadReply => &mut self.bad_reply,
            Fault::Upcast => &mut self.upcast,
        };
        *counter += 1;
    }

    /// Each with its name.
    #[must_use]
    pub fn by_name(&self) -> [(&'static str, u64); 7] {
        let Self { trap, out_of_fuel, deadline, out_of_memory, denied, bad_reply, upcast } = *self;
        [
            (Fault::Trap.as_str(), trap),
            (Fault::OutOfFuel.as_str(), out_of_fuel),
            (Fault::Deadline.as_str(), deadline),
            (Fault::OutOfMemory.as_str(), out_of_memory),
            (Fault::Denied.as_str(), denied),
            (Fault::BadReply.as_str(), bad_reply),
            (Fault::Upcast.as_str(), upcast),
        ]
    }

    /// All of them.
    #[must_use]
    pub const fn total(&self) -> u64 {
        let Self { trap, out_of_fuel, deadline, out_of_memory, denied, bad_reply, upcast } = *self;
        trap + out_of_fuel + deadline + out_of_memory + denied + bad_reply + upcast
    }

    const fn plus(self, other: Self) -> Self {
        Self {
            trap: self.trap + other.trap,
            out_of_fuel: self.out_of_fuel + other.out_of_fuel,
            deadline: self.deadline + other.deadline,
            out_of_memory: self.out_of_memory + other.out_of_memory,
            denied: self.denied + other.denied,
            bad_reply: self.bad_reply + other.bad_reply,
            upcast: self.upcast + other.upcast,
        }
    }
}

impl Counters {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            handled: self.handled + other.handled,
            emitted: self.emitted + other.emitted,
            retried: self.retried + other.retried,
            parked: self.parked + other.parked,
            behind: self.behind + other.behind,
            discarded: self.discarded + other.discarded,
            faults: self.faults.plus(other.faults),
            suppressed: self.suppressed + other.suppressed,
            commits: self.commits + other.commits,
            conflicts: self.conflicts + other.conflicts,
            paused: self.paused + other.paused,
            halted: self.halted + other.halted,
            quarantined: self.quarantined + other.quarantined,
            answers: self.answers.plus(other.answers),
            batch_times: self.batch_times.plus(other.batch_times),
        }
    }

    /// Counts that delivery has come to a state.
    pub(super) const fn count_state(&mut self, state: &State) {
        match state {
            State::Paused => self.paused += 1,
            State::Halted { .. } => self.halted += 1,
            State::Quarantined { .. } => self.quarantined += 1,
            State::Running | State::BackingOff { .. } | State::Stopped => {}
        }
    }
}

/// Events that are set aside now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct SetAside {
    /// Dead letters: they wait for an operator.
    pub parked: usize,
    /// They wait for a time, or for an earlier event of their key.
    pub waiting: usize,
    /// Keys whose later events are put behind.
    pub blocked_keys: usize,
}

impl SetAside {
    const fn plus(self, other: Self) -> Self {
        Self {
            parked: self.parked + other.parked,
            waiting: self.waiting + other.waiting,
            blocked_keys: self.blocked_keys + other.blocked_keys,
        }
    }
}

/// One partition's delivery at a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct PartitionStatus {
    /// Which, from 0.
    pub partition: u32,
    /// What it is doing.
    #[serde(flatten)]
    pub state: State,
    /// Every matching event of its own up to here is handled or set aside. May be ahead of the durable
    /// checkpoint by events that do not match.
    pub checkpoint: Position,
    /// The event that keeps failing in place, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failing: Option<Failing>,
    /// What it has set aside.
    #[serde(flatten)]
    pub set_aside: SetAside,
    /// What it has done.
    pub counters: Counters,
    /// What that has cost.
    pub cost: Cost,
}

/// A generation that is built beside the live one, at a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct RebuildStatus {
    /// Its number.
    pub generation: u32,
    /// SHA-256 of the component that builds it, in hex.
    pub component: String,
    /// Why it is built.
    pub reason: String,
    /// When it began: microseconds since the Unix epoch.
    pub started_us: u64,
    /// First position that it is built from.
    pub from: Position,
    /// Before this position, events that it would be made of had been removed when it began: it does without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removed_before: Option<Position>,
    /// How far it is.
    pub position: Position,
    /// How far the live generation is.
    pub target: Position,
    /// Positions passed in a second, since it began or the process started: those of events that it does not hear of, too.
    pub rate: u64,
    /// Events handled in a second, in the same time.
    pub events_per_second: u64,
    /// Seconds until all positions are passed, at that rate; none while it is halted or quarantined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<u64>,
    /// Why it does not go on, or could not go on or become live when that was tried last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_up: Option<String>,
    /// What building it is doing.
    // Without its reason, which is in `held_up`: that name says why it is built.
    #[serde(flatten, serialize_with = "without_reason")]
    pub state: State,
    /// What it has set aside.
    #[serde(flatten)]
    pub set_aside: SetAside,
    /// What it has done since it began or the process started.
    pub counters: Counters,
}

fn without_reason<S: Serializer>(state: &State, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Bare {
        state: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        until_us: Option<u64>,
    }
    let until_us = match state {
        State::BackingOff { until_us, .. } => Some(*until_us),
        _ => None,
    };
    Bare { state: state.as_str(), until_us }.serialize(serializer)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A plugin's delivery at a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = PluginStatus)]
pub struct Status {
    /// What it is doing: of its partitions' states the gravest.
    #[serde(flatten)]
    pub state: State,
    /// Every matching event up to here is handled or set aside. May be ahead of the durable checkpoint
    /// by events that do not match.
    pub checkpoint: Position,
    /// The event that keeps failing in place, if there is one: the first of its partitions'.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failing: Option<Failing>,
    /// What is set aside.
    #[serde(flatten)]
    pub set_aside: SetAside,
    /// What it has done, under earlier versions and layouts too.
    pub counters: Counters,
    /// What that has cost; maxima are those of the partitions that run.
    pub cost: Cost,
    /// Each of its partitions.
    pub partitions: Vec<PartitionStatus>,
    /// Which generation of its state is live.
    #[serde(rename = "state_generation")]
    pub generation: u32,
    /// SHA-256 of the component that is live, in hex.
    #[serde(skip)]
    pub component: String,
    /// Which stored events the live generation is handed; none until what is to run has begun, as those may be any.
    #[serde(skip)]
    pub filter: Option<Filter>,
    /// Before this position, events that its state would have been made of were removed when that was built anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removed_before: Option<Position>,
    /// Why its state should be built anew; none where it need not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rebuild_due: Option<String>,
    /// The generation that is built beside it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rebuild: Option<RebuildStatus>,
    /// How long nothing was handled so that the last one became live, in microseconds: in all the times that it was tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rebuild_pause_us: Option<u64>,
    /// What partitions that have ended did; part of `counters`.
    #[serde(skip)]
    pub before: Counters,
    /// What they cost; part of `cost`.
    #[serde(skip)]
    pub cost_before: Cost,
}

impl Status {
    /// Takes in one partition as it is now.
    pub(super) fn update(&mut self, partition: PartitionStatus) {
        if let Some(slot) = self.partitions.iter_mut().find(|slot| slot.partition == partition.partition) {
            *slot = partition;
            self.sum();
        }
    }

    /// Shows that a partition has stopped by itself.
    pub(super) fn halt(&mut self, partition: u32, reason: &str) {
        if let Some(slot) = self.partitions.iter_mut().find(|slot| slot.partition == partition) {
            slot.state = State::Halted { reason: reason.into() };
            self.sum();
        }
    }

    /// Begins with new partitions, which have come so far; what the old ones did counts on.
    pub(super) fn begin(&mut self, partitions: Vec<PartitionStatus>) {
        self.before = self.counters;
        self.cost_before = self.cost.ended();
        self.partitions = partitions;
        self.sum();
    }

    fn sum(&mut self) {
        let gravest = self.partitions.iter().max_by_key(|partition| partition.state.gravity());
        if let Some(gravest) = gravest {
            let alone = self.partitions.len() == 1;
            self.state = if alone { gravest.state.clone() } else { gravest.state.in_partition(gravest.partition) };
        }
        let partitions = || self.partitions.iter();
        self.checkpoint = partitions().map(|partition| partition.checkpoint).min().unwrap_or_default();
        let failing = partitions().filter_map(|partition| partition.failing.as_ref());
        self.failing = failing.min_by_key(|failing| failing.position).cloned();
        self.set_aside = partitions().fold(SetAside::default(), |sum, partition| sum.plus(partition.set_aside));
        self.counters = partitions().fold(self.before, |sum, partition| sum.plus(partition.counters));
        self.cost = partitions().fold(self.cost_before, |sum, partition| sum.plus(partition.cost));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_a_state_is_built_and_why_that_stands_are_told_by_two_names() {
        let stopped = State::Halted { reason: "no further".into() };
        let (reason, held_up) = ("asked for".into(), Some("no further".into()));
        let status = RebuildStatus { reason, held_up, state: stopped, ..RebuildStatus::default() };
        let text = serde_json::to_string(&status).unwrap();
        assert_eq!(text.matches("\"reason\"").count(), 1, "{text}");
        assert!(text.contains(r#""reason":"asked for""#) && text.contains(r#""held_up":"no further""#), "{text}");
        assert!(text.contains(r#""state":"halted""#), "{text}");
    }

    #[test]
    fn every_state_has_a_name_of_the_list() {
        let reason = String::new;
        let states = [
            State::Running,
            State::BackingOff { until_us: 1, reason: None },
            State::Paused,
            State::Halted { reason: reason() },
            State::Quarantined { reason: reason() },
            State::Stopped,
        ];
        assert!(states.iter().map(State::as_str).eq(State::NAMES));
    }
}
