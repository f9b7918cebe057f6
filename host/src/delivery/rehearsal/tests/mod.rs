//! Rehearsals over the memory store with native handlers.

mod replaying;
mod scratches;
mod shadowing;
mod verifying;

use std::ops::ControlFlow;
use std::sync::Arc;

use super::*;
use crate::clock::ManualClock;
use crate::delivery::{
    Backoff, Effects, EventBatch, Evidence, Failure, Fault, HandleError, Handled, Handler, PartitionStatus, Permit,
    Policy, Setup, Start, Status, Subscription, Verdict,
};
use crate::event::{Category, EventType, NewEvent, Pattern, PluginName, Position, RecordedEvent, StreamName};
use crate::store::memory::MemoryStore;
use crate::store::{
    AppendRequest, DeadLetter, DeadLetterChange, Owner, Progress, ReadRequest, StateChange, UnitOfWork,
};

/// What a handler says about one event.
type Answer = Result<(), HandleError>;

/// A handler made of a closure over single events.
struct Each<F>(F);

impl<F> Handler for Each<F>
where
    F: FnMut(&RecordedEvent, &mut Effects) -> Answer + Send + 'static,
{
    fn handle(&mut self, batch: EventBatch, mut effects: Effects) -> Handled {
        let failed = batch.iter().enumerate().find_map(|(index, event)| match (self.0)(event, &mut effects) {
            Ok(()) => None,
            Err(HandleError::Failure(failure)) => Some(HandleError::Failure(Failure { index, ..failure })),
            Err(fault) => Some(fault),
        });
        Handled { effects, outcome: failed.map_or(Ok(()), Err), evidence: Evidence::default() }
    }
}

fn refused(verdict: Verdict) -> HandleError {
    HandleError::Failure(Failure { index: 0, verdict, reason: "no".into() })
}

fn trapped() -> HandleError {
    HandleError::Fault { fault: Fault::Trap, reason: "trap".into() }
}

fn plugin() -> PluginName {
    PluginName::new("p").unwrap()
}

fn types(names: &[&str]) -> Vec<Pattern> {
    names.iter().map(|name| Pattern::new(*name).unwrap()).collect()
}

fn setup<F>(handle: F) -> Setup
where
    F: FnMut(&RecordedEvent, &mut Effects) -> Answer + Send + 'static,
{
    Setup {
        plugin: plugin(),
        subscription: Subscription::default(),
        policy: Policy {
            batch_events_max: 8,
            max_attempts: 3,
            backoff: Backoff { initial_ms: 3_600_000, max_ms: 3_600_000, jitter: false },
            ..Policy::default()
        },
        append: Permit::of(types(&["*"])),
        component_digest: "digest".into(),
        manifest_digest: String::new(),
        handlers: vec![Box::new(Each(handle))],
    }
}

/// Adds to the number under a key.
fn add(effects: &mut Effects, key: &str, by: u64) -> Answer {
    let number = effects.state_get(key).unwrap().map_or(0, |bytes| String::from_utf8(bytes).unwrap().parse().unwrap());
    effects.state_set(key, (number + by).to_string().into()).unwrap();
    Ok(())
}

/// Counts events by type.
fn count(event: &RecordedEvent, effects: &mut Effects) -> Answer {
    add(effects, event.event_type.as_str(), 1)
}

fn new_event(event_type: &str) -> NewEvent {
    NewEvent::json(EventType::new(event_type).unwrap(), "{}")
}

/// A log, and a stage over it.
struct World {
    store: Arc<MemoryStore>,
    stage: Stage,
}

impl World {
    /// One event for each word, of that type, in the stream after the colon if there is one.
    fn of(words: &str) -> Self {
        let clock = Arc::new(ManualClock::at(1_000_000));
        let store = Arc::new(MemoryStore::new(clock.clone()));
        let events = words.split_whitespace().map(|word| match word.split_once(':') {
            Some((event_type, stream)) => new_event(event_type).on(StreamName::new(stream).unwrap()),
            None => new_event(word),
        });
        store.append(AppendRequest::unconditional(events.collect())).wait().unwrap();
        Self { stage: Stage::new(store.clone(), clock), store }
    }

    /// Commits as live delivery would.
    fn commit(&self, revision: u64, checkpoint: u64, state: &[(&str, &str)], dead: &[u64]) {
        let change = |(key, value): &(&str, &str)| StateChange { key: (*key).into(), value: Some((*value).into()) };
        let letter = |position: &u64| DeadLetter { position: Position(*position), ..DeadLetter::default() };
        let work = UnitOfWork {
            owner: plugin().into(),
            partition: 0,
            progress: Progress { revision, checkpoint: Position(checkpoint), ..Progress::default() },
            state: state.iter().map(change).collect(),
            events: Vec::new(),
            dead_letters: dead.iter().map(|position| DeadLetterChange::Put(letter(position))).collect(),
        };
        self.store.commit(work).wait().unwrap();
    }

    /// Everything that the store can show.
    fn dump(&self) -> String {
        let (store, owner) = (&*self.store, Owner::from(plugin()));
        let request = ReadRequest { limit: usize::MAX, bytes_max: usize::MAX, ..ReadRequest::default() };
        format!(
            "{:#?}",
            (
                (store.head(), store.read(&request).unwrap(), store.counts().unwrap(), store.event_types().unwrap()),
                (store.streams("", None, 1000).unwrap(), store.plugins().unwrap()),
                (
                    store.plugin_record(&plugin()).unwrap(),
                    [0, 1, 2].map(|partition| store.progress(&owner, partition).unwrap())
                ),
                (
                    store.state_scan(&owner, "", None, 1000).unwrap(),
                    store.dead_letters(&owner, Position::START, 1000).unwrap()
                ),
            )
        )
    }

    /// Runs something and holds it to having changed nothing.
    fn unchanged<T>(&self, work: impl FnOnce(&Stage) -> T) -> T {
        let before = self.dump();
        let result = work(&self.stage);
        assert_eq!(self.dump(), before, "a rehearsal changes nothing");
        result
    }

    fn replay(&self, setup: Setup) -> ReplayReport {
        self.unchanged(|stage| replay(stage, setup, Asked::default(), &mut on).unwrap())
    }

    fn shadow(&self, live: Setup, candidate: Setup) -> ShadowReport {
        let asked = Asked { to: Some(self.store.head()), ..Asked::default() };
        self.unchanged(|stage| shadow(stage, running(live), candidate, asked, &mut on).unwrap())
    }
}

/// A version whose delivery shows nothing yet.
fn running(setup: Setup) -> Live {
    Live { setup, status: Status::default() }
}

fn on(_: RehearsalProgress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn range(from: u64, to: u64) -> Asked {
    Asked { from: Some(Position(from)), to: Some(Position(to)), ..Asked::default() }
}

#[test]
fn ranges_that_are_none_are_refused_by_name() {
    let world = World::of("A A A");
    let said = |setup, asked| replay(&world.stage, setup, asked, &mut on).unwrap_err().to_string();
    assert!(said(setup(count), range(3, 2)).starts_with("no event stands from 3 to 2"));
    assert!(said(setup(count), range(0, 2)).contains("positions begin at 1"));
    assert!(said(setup(count), range(1, 4)).contains("the range goes up to 4, and the log to 3"));
    let from_9 = Asked { from: Some(Position(9)), ..Asked::default() };
    assert!(said(setup(count), from_9).contains("the range goes up to 9, and the log to 3"));
    let mut at_end = setup(count);
    at_end.subscription.start = Start::End;
    assert!(said(at_end, Asked::default()).contains("give --from"));
    let asked = Asked::default();
    let error = shadow(&world.stage, running(setup(count)), setup(count), asked, &mut on).unwrap_err();
    assert!(error.to_string().contains("has settled nothing from 1 on yet, its checkpoint is 0"), "{error}");
}

#[test]
fn it_tells_how_far_it_is_and_can_be_cancelled() {
    let words = "A ".repeat(100);
    let world = World::of(&words);
    let mut told = Vec::new();
    let report = replay(&world.stage, setup(count), range(11, 90), &mut |progress| {
        told.push(progress);
        ControlFlow::Continue(())
    });
    assert_eq!(report.unwrap().events, 80);
    assert_eq!((told[0].position, told[0].events, told[0].to), (Position(18), 8, Position(90)));
    let last = told.last().unwrap();
    assert_eq!((last.position, last.events, last.seconds_left), (Position(90), 80, Some(0)));
    let mut calls = 0;
    let cancelled = replay(&world.stage, setup(count), Asked::default(), &mut |_| {
        calls += 1;
        if calls == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(matches!(cancelled, Err(RehearsalError::Cancelled)) && calls == 3);
}

#[test]
fn state_that_grows_without_end_ends_the_rehearsal() {
    let world = World::of(&"A ".repeat(100));
    let stage = Stage { scratch_bytes_max: 20_000, ..world.stage.clone() };
    let hoard = |event: &RecordedEvent, effects: &mut Effects| {
        effects.state_set(&event.position.to_string(), vec![b'x'; 1000]).unwrap();
        Ok(())
    };
    let error = replay(&stage, setup(hoard), Asked::default(), &mut on).unwrap_err();
    assert!(error.to_string().contains("more than 20000 bytes"), "{error}");
}

#[tokio::test]
async fn a_job_runs_beside_and_ends_when_it_is_dropped() {
    let (ended, mut end) = tokio::sync::oneshot::channel();
    let job = Job::<()>::start(move |tell| {
        let mut progress = RehearsalProgress::default();
        while tell(progress).is_continue() {
            progress.events += 1;
            std::thread::yield_now();
        }
        let _ = ended.send(());
        Err(RehearsalError::Cancelled)
    });
    let mut job = job.unwrap();
    while job.progress().events == 0 {
        tokio::task::yield_now().await;
    }
    assert!(end.try_recv().is_err(), "it goes on while somebody waits");
    drop(job);
    end.await.unwrap();
    job = Job::start(|_| panic!("a mistake of the host")).unwrap();
    assert!(job.outcome().await.unwrap_err().to_string().contains("panicked"));
}
