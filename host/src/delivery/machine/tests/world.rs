//! A simulated world: one seed makes the log, the handler's moods, the store's failures, crashes, reloads,
//! changes of the layout, the clock and what the operator does. Time is a number.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::check::Durable;
use super::handler::{self, Mood};
use crate::delivery::handler::EventBatch;
use crate::delivery::key::{Key, Sequence, Share};
use crate::delivery::layout::Layout;
use crate::delivery::machine::{
    Action, BEHIND, Commit, CommitFailure, Input, Machine, Page, Row, Staged, Start, VersionId,
};
use crate::delivery::policy::{Backoff, KeyMissing, OnExhausted, Policy};
use crate::delivery::status::State;
use crate::event::{EventType, Position, RecordedEvent, StreamName, Version};

/// Attempts, and faults, until an event is exhausted.
pub(super) const TRIES_MAX: u32 = 3;
/// Steps after which a world must have come to rest.
const STEPS_MAX: usize = 60_000;

/// One partition of the running process.
struct Node {
    machine: Machine,
    /// What it is told next.
    input: Option<Input>,
    page: EventBatch,
    recalled: Option<Position>,
    /// Handled since the last commit.
    staged: Vec<Position>,
    /// What its next commit must count: the event, its attempts and its faults.
    tried: Option<(Position, u32, u32)>,
    /// What the operator wants of it.
    orders: Vec<Order>,
    /// Waits for nothing but the operator, or a time.
    resting: Option<Option<u64>>,
}

enum Order {
    Retry,
    Discard,
    Pause,
    Resume,
}

pub(super) struct World {
    rng: fastrand::Rng,
    log: Vec<RecordedEvent>,
    pub(super) moods: BTreeMap<Position, Mood>,
    head: Position,
    end: Position,
    pub(super) tries: BTreeMap<Position, u32>,
    pub(super) fixed: bool,
    /// What the handler needs is down until then.
    down_until_us: u64,
    policy: Policy,
    durable: Durable,
    nodes: Vec<Node>,
    now_us: u64,
    trace: Vec<String>,
}

pub(super) fn event(position: u64, stream: Option<String>) -> RecordedEvent {
    RecordedEvent {
        position: Position(position),
        id: Uuid::nil(),
        event_type: EventType::new("T").unwrap(),
        stream: stream.map(|stream| StreamName::new(stream).unwrap()),
        version: Version(1),
        timestamp_us: 1,
        tags: Vec::new(),
        data: Vec::new(),
        content_type: None,
        metadata: BTreeMap::new(),
        schema_version: 1,
    }
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let end = Position(rng.u64(1..120));
        let (trouble, keys) = (rng.u32(0..30), rng.u32(1..8));
        let (mut log, mut moods) = (Vec::new(), BTreeMap::new());
        for position in 1..=end.0 {
            if rng.u32(0..100) < 75 {
                let key = rng.u32(0..keys + 1);
                log.push(event(position, (key < keys).then(|| format!("s-{key}"))));
                moods.insert(Position(position), Mood::draw(&mut rng, trouble));
            }
        }
        let mut world = Self {
            head: Position(rng.u64(0..=end.0)),
            rng,
            durable: Durable::new(log.clone()),
            log,
            moods,
            end,
            tries: BTreeMap::new(),
            fixed: false,
            down_until_us: 0,
            policy: Policy::default(),
            nodes: Vec::new(),
            now_us: 10_000_000,
            trace: Vec::new(),
        };
        world.draw_policy();
        world.start(true);
        world
    }

    fn draw_policy(&mut self) {
        let rng = &mut self.rng;
        self.policy = Policy {
            partitions: rng.u32(1..4),
            key: rng.bool().then_some(Key::Stream),
            key_missing: if rng.bool() { KeyMissing::Park } else { KeyMissing::Alone },
            batch_events_max: rng.usize(1..30),
            max_attempts: TRIES_MAX,
            max_faults: TRIES_MAX,
            backoff: Backoff { initial_ms: 10, max_ms: 100, jitter: true },
            on_exhausted: if rng.u32(0..8) == 0 { OnExhausted::Halt } else { OnExhausted::Park },
            parked_events_max: if rng.u32(0..8) == 0 { rng.usize(1..10) } else { 1000 },
            ..Policy::default()
        };
    }

    /// Starts the process, under the policy as it is now.
    fn start(&mut self, fresh: bool) {
        let layout = Layout::of(&self.policy);
        self.durable.lay_out(&layout);
        if fresh {
            self.durable.forget_attempts_in_place();
        }
        let count = layout.partitions;
        let rows = |partition| {
            let rows = self.durable.rows.values().map(|letter| Row {
                sequence: Sequence::of_row(letter.key.as_deref(), letter.position),
                position: letter.position,
                due_us: if letter.kind == BEHIND { Some(0) } else { letter.due_us },
                held: false,
            });
            rows.filter(move |row| row.sequence.partition(count) == partition).collect()
        };
        let node = |partition: u32| Node {
            machine: Machine::new(Start {
                policy: self.policy.clone(),
                version: VersionId { component: "digest".into(), ..VersionId::default() },
                progress: self.durable.progress[partition as usize].clone(),
                rows: rows(partition),
                settled: self.durable.before.clone(),
                paused: false,
                rebuilding: false,
                fresh,
                seed: 7,
            }),
            input: Some(Input::GoOn),
            page: EventBatch::default(),
            recalled: None,
            staged: Vec::new(),
            tried: None,
            orders: Vec::new(),
            resting: None,
        };
        self.nodes = (0..count).map(node).collect();
        for (node, progress) in self.nodes.iter().zip(&self.durable.progress) {
            let stopped = matches!(node.machine.state(self.now_us), State::Halted { .. } | State::Quarantined { .. });
            assert_eq!(stopped, progress.stopped.is_some() && !fresh, "a crash ends no stop, and a reload each");
        }
    }

    /// Whether what the handler needs is down.
    pub(super) fn is_down(&self) -> bool {
        self.now_us < self.down_until_us
    }

    pub(super) fn trace(self) -> Vec<String> {
        self.trace
    }

    /// Runs until everything is settled, then has all that is set aside retried by a handler without faults.
    pub(super) fn run(&mut self) {
        self.settle();
        self.durable.check_end(&self.moods, self.fixed);
        self.fixed = true;
        // A crash forgets what the operator asked for.
        for _ in 0..20 {
            self.order_all(|| Order::Retry);
            self.settle();
        }
        assert!(self.durable.rows.is_empty(), "all that is retried is handled: {:?}", self.durable.rows);
        self.durable.check_end(&self.moods, true);
    }

    /// Runs until every partition rests at the end of the log; whoever stops is resumed.
    fn settle(&mut self) {
        let mut nudges = 0;
        for _ in 0..STEPS_MAX {
            self.meddle();
            let index = self.rng.usize(0..self.nodes.len());
            self.step(index);
            if self.nodes.iter().any(|node| node.resting.is_none() || !node.orders.is_empty()) {
                continue;
            }
            let stopped =
                |node: &Node| !matches!(node.machine.state(self.now_us), State::Running | State::BackingOff { .. });
            if self.nodes.iter().any(stopped) {
                nudges += 1;
                self.nudge(nudges);
            } else if let Some(until_us) = self.nodes.iter().filter_map(|node| node.resting.flatten()).min() {
                self.now_us = self.now_us.max(until_us);
                self.nodes.iter_mut().for_each(|node| node.resting = None);
            } else if self.head < self.end {
                self.head = Position(self.rng.u64(self.head.0..=self.end.0)).max(self.head.next());
                self.nodes.iter_mut().for_each(|node| node.resting = None);
            } else {
                let done = |node: &Node| node.machine.settled() == self.end && node.staged.is_empty();
                for node in &self.nodes {
                    assert!(done(node), "rests before the end, {}: {:?}", self.end, node.machine);
                }
                return;
            }
        }
        let last = self.trace.len().saturating_sub(30);
        panic!("does not come to rest; the last actions: {:#?}", &self.trace[last..]);
    }

    /// The operator sees that something has stopped.
    fn nudge(&mut self, nudges: u32) {
        if nudges > 3 {
            self.fixed = true;
            self.order_all(|| Order::Retry);
        }
        self.order_all(|| Order::Resume);
    }

    fn order_all(&mut self, order: impl Fn() -> Order) {
        for node in &mut self.nodes {
            node.orders.push(order());
            node.resting = None;
        }
    }

    /// What happens around: crashes, reloads, operators, a clock that jumps.
    fn meddle(&mut self) {
        self.now_us += self.rng.u64(0..2000);
        let index = self.rng.usize(0..self.nodes.len());
        match self.rng.u32(0..2000) {
            0..8 => self.start(false),
            8..12 => self.start(true),
            12..16 => {
                self.draw_policy();
                let fresh = self.rng.bool();
                self.start(fresh);
            }
            16..18 => self.now_us += 3_600_000_000,
            18..20 => self.now_us = self.now_us.saturating_sub(5_000_000),
            20..30 => self.nodes[index].order(Order::Retry),
            30..34 => self.nodes[index].order(Order::Discard),
            34..37 => self.nodes[index].order(Order::Pause),
            37..45 => self.nodes[index].order(Order::Resume),
            45..48 => self.down_until_us = self.now_us + self.rng.u64(0..500_000),
            _ => {}
        }
    }

    fn step(&mut self, index: usize) {
        let elsewhere: usize = self.durable.rows.len();
        let node = &mut self.nodes[index];
        if node.resting.is_some() && node.orders.is_empty() {
            return;
        }
        if !node.orders.is_empty() {
            node.machine.request_yield();
        }
        let own = node.machine.set_aside();
        node.machine.note_elsewhere(elsewhere.saturating_sub(own.parked + own.waiting));
        let input = node.input.take().unwrap_or(Input::Head(self.head));
        let action = node.machine.step(input, self.now_us);
        self.trace.push(format!("{index} {action:?}"));
        let input = self.act(index, action);
        self.nodes[index].input = input;
    }

    fn act(&mut self, index: usize, action: Action) -> Option<Input> {
        match action {
            Action::Fetch(after) => Some(self.fetch(index, after)),
            Action::Handle(range) => {
                let batch: Vec<_> = self.nodes[index].page[range].iter().map(|event| event.position).collect();
                if let State::BackingOff { until_us, reason: Some(_) } = self.nodes[index].machine.state(self.now_us) {
                    assert_eq!(batch.len(), 1, "a world that is not ready is tried with one event");
                    assert!(until_us <= self.now_us, "and not before its time");
                }
                Some(self.handle(index, &batch))
            }
            Action::Recall(position) => {
                if self.rng.u32(0..50) == 0 {
                    return Some(Input::ReadFailed { halt: None });
                }
                self.nodes[index].recalled = Some(position);
                Some(Input::Recalled(self.durable.rows[&position].clone()))
            }
            Action::Rehandle => {
                let position = self.nodes[index].recalled.take().unwrap();
                Some(self.handle(index, &[position]))
            }
            Action::Commit(commit) => Some(self.commit(index, &commit)),
            Action::Wait { after, until_us } => {
                if after.is_none_or(|after| after >= self.head) {
                    self.nodes[index].resting = Some(until_us);
                }
                None
            }
            Action::Yielded => Some(self.obey(index)),
        }
    }

    fn fetch(&mut self, index: usize, after: Position) -> Input {
        if self.rng.u32(0..50) == 0 {
            return Input::ReadFailed { halt: None };
        }
        let limit = self.rng.usize(1..40);
        let from = self.log.partition_point(|event| event.position <= after);
        let to = self.log.partition_point(|event| event.position <= self.head);
        let complete = to.saturating_sub(from) <= limit;
        let read = &self.log[from..to.min(from + limit).max(from)];
        let through = if complete { self.head } else { read.last().unwrap().position };
        let layout = Layout::of(&self.policy);
        let share = Share { partition: index as u32, count: layout.partitions, key: layout.key };
        let events = EventBatch::new(read.iter().filter(|event| share.takes(event)).cloned().collect());
        self.nodes[index].page = events.clone();
        Input::Fetched(Page { events, through, complete, head: self.head, ..Page::default() })
    }

    fn handle(&mut self, index: usize, batch: &[Position]) -> Input {
        let answer = handler::handle(self, batch);
        let node = &mut self.nodes[index];
        match &answer {
            Input::Handled(_) => node.staged.extend(batch),
            Input::Lost(_) => {
                node.tried = node.staged.is_empty().then(|| (batch[0], 0, 1)).filter(|_| batch.len() == 1);
                node.staged.clear();
            }
            Input::Failed(error, _) => node.tried = handler::counted(error, batch),
            _ => {}
        }
        match answer {
            Input::Handled(_) => Input::Handled(Staged { events: node.staged.len(), bytes: 0 }),
            other => other,
        }
    }

    /// Commits, unless the simulated store fails.
    fn commit(&mut self, index: usize, commit: &Commit) -> Input {
        let node = &mut self.nodes[index];
        let staged = std::mem::take(&mut node.staged);
        let tried = node.tried.take().filter(|_| commit.attempted);
        match self.rng.u32(0..60) {
            0 => return Input::CommitFailed(CommitFailure::Unavailable),
            1 if self.policy.partitions > 1 => return Input::CommitFailed(CommitFailure::Conflict),
            2 if !staged.is_empty() && self.rng.u32(0..20) == 0 => {
                return Input::CommitFailed(CommitFailure::Storm("too much follows".into()));
            }
            _ => {}
        }
        let refused = |position: &&Position| !self.fixed && self.moods[*position] == Mood::Refused;
        if staged.iter().any(|position| refused(&position)) {
            self.nodes[index].tried = (staged.len() == 1).then(|| (staged[0], 0, 1));
            return Input::CommitFailed(CommitFailure::Refused("refused".into()));
        }
        self.durable.commit(index, commit, &staged, tried);
        Input::Committed
    }

    /// Does what the operator wants, at a boundary.
    fn obey(&mut self, index: usize) -> Input {
        let node = &mut self.nodes[index];
        assert!(node.staged.is_empty(), "nothing is staged at a boundary");
        node.resting = None;
        for order in std::mem::take(&mut node.orders) {
            let node = &mut self.nodes[index];
            let sequences = node.machine.sequences();
            match order {
                Order::Pause => drop(node.machine.step(Input::Pause, self.now_us)),
                Order::Resume => {
                    if let Action::Commit(commit) = node.machine.step(Input::Resume, self.now_us) {
                        let answer = self.commit(index, &commit);
                        self.nodes[index].machine.step(answer, self.now_us);
                    }
                }
                Order::Retry => drop(node.machine.step(Input::Force(sequences), self.now_us)),
                Order::Discard => {
                    let Some(sequence) = sequences.first().cloned() else { continue };
                    let position = node.machine.head_of(&sequence).unwrap();
                    let action = node.machine.step(Input::Discard(vec![(sequence, position)]), self.now_us);
                    let Action::Commit(commit) = action else { panic!("{action:?} is not a commit") };
                    let answer = self.commit(index, &commit);
                    self.nodes[index].machine.step(answer, self.now_us);
                }
            }
        }
        Input::GoOn
    }
}

impl Node {
    fn order(&mut self, order: Order) {
        self.orders.push(order);
        self.resting = None;
    }
}
