//! The clients: tasks that append, each waiting for one answer at a time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tidemill::event::{ExpectedVersion, Filter, NewEvent, Position, Query, Tag};
use tidemill::store::{AppendCondition, AppendRequest, StreamExpectation};
use tokio::runtime::Runtime;

use super::{Latencies, Target, Workload};

/// Events in each append of [`fill`].
const FILL_BATCH: u64 = 1000;

/// What appends ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Guard {
    /// Nothing.
    #[default]
    None,
    /// Every stream is at the version that the client knows.
    Version,
    /// Nobody appended under the first event's tag after the head that the client read just before.
    Tag,
    /// No event ever carried a tag that none carries: a unique name.
    UnusedTag,
}

/// How much is appended at once, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Tasks that append.
    pub appenders: usize,
    /// Events in each append.
    pub batch: u64,
    /// What they ask for.
    pub guard: Guard,
    /// How long they append before it counts.
    pub warm_up: Duration,
    /// How long it counts.
    pub turn: Duration,
}

/// What happened in one turn.
#[derive(Clone, Debug, Default)]
pub struct Turn {
    /// Events whose answer came.
    pub events: u64,
    /// Appends whose condition did not hold; they were repeated without one.
    pub conflicts: u64,
    /// How long it was.
    pub length: Duration,
    /// How long each append waited for its answer.
    pub latencies: Latencies,
    /// Events per commit, the warm-up included; not a number when the target does not tell.
    pub group: f64,
}

impl Turn {
    /// Events per second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.events as f64 / self.length.as_secs_f64()
    }

    /// Becomes the other one if that was faster: what else the machine does only ever makes a turn slower.
    pub fn keep_best(&mut self, other: Self) {
        if self.length.is_zero() || other.rate() > self.rate() {
            *self = other;
        }
    }

    fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.conflicts += other.conflicts;
        self.latencies.merge(&other.latencies);
    }
}

/// Lets appenders append for one turn, and waits until all have their answers.
///
/// # Errors
/// When an append fails for another reason than its condition.
pub fn drive(
    runtime: &Runtime,
    target: &Arc<impl Target>,
    workload: &Arc<Workload>,
    load: &Load,
) -> anyhow::Result<Turn> {
    let (head, groups) = (target.head()?, target.groups());
    let begin = Instant::now() + load.warm_up;
    let append = |_| runtime.spawn(append(Arc::clone(target), Arc::clone(workload), *load, begin));
    let tasks: Vec<_> = (0..load.appenders).map(append).collect();
    let mut turn = Turn { length: load.turn, ..Turn::default() };
    for task in tasks {
        turn.add(&runtime.block_on(task)??);
    }
    let groups = groups.zip(target.groups()).map_or(f64::NAN, |(before, after)| (after - before) as f64);
    turn.group = (target.head()? - head) as f64 / groups;
    Ok(turn)
}

/// Appends so many events in batches of 1,000, drawing each while the one before is written; answers how long each
/// took.
///
/// # Errors
/// When an append fails.
pub fn fill(runtime: &Runtime, target: &impl Target, workload: &Workload, events: u64) -> anyhow::Result<Latencies> {
    let mut latencies = Latencies::default();
    let draw = |left: u64| {
        let numbers = workload.take(FILL_BATCH.min(left));
        AppendRequest::unconditional(numbers.map(|n| workload.event(n)).collect())
    };
    let (mut left, mut next) = (events, draw(events));
    while left > 0 {
        left -= next.events.len() as u64;
        let sent = Instant::now();
        let append = target.append(next);
        let (appended, drawn) = runtime.block_on(async { tokio::join!(biased; append, async { draw(left) }) });
        anyhow::ensure!(appended?, "an append without condition cannot conflict");
        latencies.add(sent.elapsed());
        next = drawn;
    }
    Ok(latencies)
}

async fn append(target: Arc<impl Target>, workload: Arc<Workload>, load: Load, begin: Instant) -> anyhow::Result<Turn> {
    let end = begin + load.turn;
    let mut turn = Turn::default();
    let mut next = Some(draw(&workload, &load));
    while let Some(mut request) = next.take() {
        if let Some(condition) = &mut request.condition
            && load.guard == Guard::Tag
        {
            condition.after = Position(target.head()?);
        }
        let repeat = (load.guard != Guard::None).then(|| AppendRequest::unconditional(request.events.clone()));
        let sent = Instant::now();
        // The first is polled first, which sends it; then this task has time to draw the next.
        let draw_next = async { (sent < end).then(|| draw(&workload, &load)) };
        let (appended, drawn) = tokio::join!(biased; target.append(request), draw_next);
        next = drawn;
        if !appended? {
            turn.conflicts += 1;
            let repeated = target.append(repeat.unwrap_or_default()).await?;
            anyhow::ensure!(repeated, "an append without condition cannot conflict");
        }
        let answered = Instant::now();
        if begin <= answered && answered < end {
            turn.events += load.batch;
            turn.latencies.add(answered - sent);
        }
    }
    Ok(turn)
}

fn draw(workload: &Workload, load: &Load) -> AppendRequest {
    let numbers = workload.take(load.batch);
    let first = numbers.start;
    let events: Vec<_> = numbers.clone().map(|n| workload.event(n)).collect();
    let none_with = |tags: Vec<Tag>| {
        let fail_if_match = Query::from(Filter { tags, ..Filter::default() });
        Some(AppendCondition { fail_if_match, after: Position::START })
    };
    let mut request = AppendRequest::unconditional(Vec::new());
    match load.guard {
        Guard::None => {}
        Guard::Version => {
            // One round puts one event on a stream; of a batch that reaches into the next, that is left out.
            let known = workload.version_before(first);
            let in_round = |(_, n): &(&NewEvent, u64)| workload.version_before(*n) == known;
            let expect = |(event, _): (&NewEvent, u64)| {
                let stream = event.stream.clone()?;
                Some(StreamExpectation { stream, expected: ExpectedVersion::Exact(known) })
            };
            request.expected = events.iter().zip(numbers).filter(in_round).filter_map(expect).collect();
        }
        Guard::Tag => request.condition = none_with(events.first().map(|event| event.tags.clone()).unwrap_or_default()),
        Guard::UnusedTag => request.condition = none_with(vec![workload.unused_tag(first)]),
    }
    request.events = events;
    request
}
