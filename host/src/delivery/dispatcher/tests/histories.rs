//! Histories of rebuilds, rollbacks, swaps, halts, other numbers of partitions and retries, with crashes of the disk at
//! any of its operations, over the real store; and a disk that is full in the middle of a rebuild.
//!
//! `TIDEMILL_HISTORIES` sets how many, `TIDEMILL_HISTORIES_SEED` the first one's seed; a failure prints the steps
//! that led to it. Threads are real, so that a seed fixes what is done and not how it interleaves.

use std::fmt::Display;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicU32, Ordering};

use super::rebuilding::{begin, echoed_once, fold, gated, state};
use super::*;
use crate::delivery::{Key, Policy, Rebuild, generations};
use crate::store::embedded::disk::sim::{Fault, On, Plan, SimDisk};
use crate::store::embedded::{EmbeddedStore, OpenOptions};

const HISTORIES: u64 = 30;
const STEPS: usize = 25;
const STREAMS: [char; 4] = ['a', 'b', 'c', 'd'];
/// What a step waits for delivery at most: not how long anything takes.
const A_MOMENT: Duration = Duration::from_millis(20);

/// The versions of the plugin, by digest: which numbers each refuses, as a remainder of a divisor.
const VERSIONS: [(&str, Option<(u32, u32)>); 5] =
    [("mended", None), ("one", Some((11, 3))), ("two", Some((7, 5))), ("three", Some((3, 1))), (HALTS, Some((17, 9)))];
/// The version that stops the plugin at what it refuses.
const HALTS: &str = "halts";

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// A plugin over a disk.
struct World {
    rng: fastrand::Rng,
    disk: SimDisk,
    store: Arc<dyn Store>,
    dispatcher: Dispatcher,
    partitions: u32,
    /// The stream of each number that is appended.
    appended: Vec<char>,
    /// Operations of the disk at the last acknowledged append: no crash is before it.
    acknowledged: usize,
}

fn open(disk: &SimDisk) -> Arc<dyn Store> {
    let options = OpenOptions { journal_bytes_max: 64 << 10, cache_bytes: 1 << 20, ..OpenOptions::new("") };
    Arc::new(EmbeddedStore::open_on(Arc::new(disk.clone()), &options, Arc::new(SystemClock)).unwrap())
}

/// Echoes and remembers what it does not refuse; now and then it asks for a moment.
fn version(digest: &str, partitions: u32) -> Setup {
    let (digest, refuses) = *VERSIONS.iter().find(|(name, _)| *name == digest).unwrap();
    let calls = Arc::new(AtomicU32::new(0));
    let handler = || -> Box<dyn Handler> {
        let calls = Arc::clone(&calls);
        Box::new(Each(move |event: &RecordedEvent, effects: &mut Effects| {
            if calls.fetch_add(1, Ordering::Relaxed) % 23 == 22 {
                return Err((Verdict::Retry { after_ms: Some(1) }, "a moment".into()));
            }
            if refuses.is_some_and(|(divisor, rest)| data(event) % divisor == rest) {
                let verdict = if digest == HALTS { Verdict::Stop } else { Verdict::Reject };
                return Err((verdict, "refused".into()));
            }
            remember_by_stream(event, effects);
            effects.append(event.position, echo(event)).unwrap();
            Ok(())
        }))
    };
    let handlers = (0..partitions).map(|_| handler()).collect();
    let one = setup(|_, _| Ok(()));
    let policy = Policy { partitions, key: Some(Key::Stream), ..one.policy };
    Setup { subscription: only("N"), component_digest: digest.into(), policy, handlers, ..one }
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let disk = SimDisk::new();
        let store = open(&disk);
        let partitions = rng.u32(1..=2);
        let dispatcher = start(version("mended", partitions), &store);
        Self { rng, disk, store, dispatcher, partitions, appended: Vec::new(), acknowledged: 0 }
    }

    fn any_version(&mut self) -> Setup {
        let (digest, _) = *self.rng.choice(&VERSIONS).unwrap();
        self.version(digest)
    }

    fn version(&self, digest: &str) -> Setup {
        version(digest, self.partitions)
    }

    fn live(&self) -> String {
        generations(&plugin(), &*self.store).unwrap().component
    }

    /// Says what a step came to. A command may be refused, but is always answered.
    fn told<T>(what: impl Display, answer: Result<T, CommandError>) {
        match answer {
            Ok(_) => println!("{what}"),
            Err(error) => println!("{what}: {error}"),
        }
    }

    async fn append(&mut self) {
        let first = self.appended.len() as u32;
        let streams: Vec<char> = (0..self.rng.usize(1..30)).map(|_| *self.rng.choice(&STREAMS).unwrap()).collect();
        append_to(&self.store, first, &streams.iter().collect::<String>()).await;
        self.acknowledged = self.disk.operations();
        self.appended.extend(streams);
        println!("append {first}..{}", self.appended.len());
    }

    async fn let_it_run(&mut self) {
        let head = self.store.head().0;
        let wanted = Position(self.rng.u64(0..=head));
        let mut watch = self.dispatcher.watch();
        let far = |status: &Status| match &status.rebuild {
            Some(rebuild) => rebuild.position >= wanted,
            None => status.checkpoint >= wanted,
        };
        let reached = tokio::time::timeout(A_MOMENT, watch.wait_for(far)).await.is_ok();
        println!("run to {wanted}: {}", if reached { "reached" } else { "a moment" });
    }

    async fn rebuild(&mut self) {
        let setup = self.any_version();
        let what = format!("rebuild by {}", setup.component_digest);
        Self::told(what, self.dispatcher.rebuild(setup, begin(&self.live())).await);
    }

    async fn roll_back(&mut self) {
        let Some(previous) = generations(&plugin(), &*self.store).unwrap().previous else { return };
        let what = format!("roll back to {}", previous.component);
        Self::told(what, self.dispatcher.roll_back(self.version(&previous.component), &self.live()).await);
    }

    async fn swap(&mut self) {
        self.partitions = self.rng.u32(1..=3);
        let setup = self.any_version();
        let what = format!("swap in {}, in {} partitions", setup.component_digest, self.partitions);
        Self::told(what, self.dispatcher.swap(setup).await);
        // What was built began with the partitions of before.
        self.go_on().await;
    }

    /// Has what was being built go on.
    async fn go_on(&self) {
        let Some(building) = generations(&plugin(), &*self.store).unwrap().building else { return };
        let setup = self.version(&building.component);
        let what = format!("go on with the rebuild by {}", building.component);
        Self::told(what, self.dispatcher.rebuild(setup, Rebuild::GoOn).await);
    }

    /// The machine stops somewhere since the last acknowledged append, and begins again on what is left.
    async fn crash(&mut self) {
        let operation = self.rng.usize(self.acknowledged..=self.disk.operations());
        let plan = *self.rng.choice(&Plan::ALL).unwrap();
        self.disk = self.disk.crash_image(operation, plan, self.rng.u64(..));
        self.store = open(&self.disk);
        self.acknowledged = 0;
        let known = generations(&plugin(), &*self.store).unwrap();
        // Most often what ran runs again; or the file was replaced meanwhile.
        let setup = if !known.component.is_empty() && self.rng.bool() {
            self.version(&known.component)
        } else {
            self.any_version()
        };
        println!("crash after operation {operation}, {plan:?}; {} starts on {known:?}", setup.component_digest);
        self.dispatcher = start(setup, &self.store);
        self.go_on().await;
    }

    async fn step(&mut self) {
        match self.rng.u32(0..20) {
            0..=5 => self.append().await,
            6..=10 => self.let_it_run().await,
            11..=12 => self.rebuild().await,
            13 => Self::told("cancel", self.dispatcher.cancel_rebuild().await),
            14 => self.roll_back().await,
            15 => self.swap().await,
            16 => Self::told("retry", self.dispatcher.retry_dead_letters(Retry::All).await),
            17 => {
                Self::told("pause", self.dispatcher.pause().await);
                Self::told("resume", self.dispatcher.resume().await);
            }
            _ => self.crash().await,
        }
    }

    /// With a version that refuses nothing, and what is set aside handed over again, everything is handled once.
    async fn check(mut self) {
        match generations(&plugin(), &*self.store).unwrap().building {
            // What halts never becomes live.
            Some(building) if building.component == HALTS || self.rng.bool() => {
                Self::told("cancel", self.dispatcher.cancel_rebuild().await);
            }
            _ => self.go_on().await,
        }
        let head = || self.store.head();
        // A crash may have left a pause behind whose end was not written down.
        Self::told("resume", self.dispatcher.resume().await);
        until(&self.dispatcher, |status| status.rebuild.is_none()).await;
        self.dispatcher.swap(self.version("mended")).await.unwrap();
        until(&self.dispatcher, |status| status.checkpoint >= head()).await;
        Self::told("retry", self.dispatcher.retry_dead_letters(Retry::All).await);
        until(&self.dispatcher, |status| status.set_aside.parked + status.set_aside.waiting == 0).await;
        until(&self.dispatcher, |status| status.checkpoint >= head()).await;
        let expected = fold((0..).zip(self.appended.iter().copied()));
        assert_eq!(state(&self.store), expected);
        echoed_once(&self.store, 0..self.appended.len() as u32);
        self.dispatcher.stop().await;
    }
}

#[tokio::test]
async fn promise_10_rebuilds_rollbacks_and_crashes_in_any_order_lose_and_double_nothing() {
    let first = number("TIDEMILL_HISTORIES_SEED", 1);
    for seed in first..first + number("TIDEMILL_HISTORIES", HISTORIES) {
        println!("seed {seed}");
        let mut world = World::new(seed);
        for _ in 0..STEPS {
            world.step().await;
        }
        world.check().await;
    }
}

#[tokio::test]
async fn a_disk_that_is_full_in_the_middle_of_a_rebuild_leaves_the_live_state_and_then_it_goes_on() {
    let disk = SimDisk::new();
    let store = open(&disk);
    append_to(&store, 0, &"a".repeat(400)).await;
    let dispatcher = start(gated("one", &[], u32::MAX, &Arc::default()), &store);
    until(&dispatcher, |status| status.checkpoint >= store.head()).await;
    let live = state(&store);
    let gate = Arc::default();
    dispatcher.rebuild(gated("two", &[], 200, &gate), begin("one")).await.unwrap();
    let middle = Position(100);
    until(&dispatcher, |status| status.rebuild.as_ref().is_some_and(|rebuild| rebuild.position >= middle)).await;
    disk.inject(Fault::lasting(On::Write, 0, ErrorKind::StorageFull));
    gate.store(true, Ordering::Relaxed);
    let holds = |status: &Status| status.rebuild.as_ref().is_some_and(|it| it.state != State::Running);
    until(&dispatcher, holds).await;
    assert_eq!((dispatcher.status().generation, state(&store)), (0, live));
    disk.heal();
    until(&dispatcher, |status| status.generation == 1 && status.rebuild.is_none()).await;
    append_to(&store, 400, "aaa").await;
    until(&dispatcher, |status| status.checkpoint >= store.head()).await;
    assert_eq!(state(&store), fold((0..403).map(|number| (number, 'a'))));
    echoed_once(&store, 0..403);
    dispatcher.stop().await;
}
