//! Histories of rebuilds, rollbacks, swaps, halts, other numbers of partitions, retries and discards, by versions that do
//! not listen to the same, with crashes of the disk at any of its operations, over the real store; and a disk that is full
//! in the middle of a rebuild.
//!
//! What is right of each event follows from what was told. One that every version listens to is handled and emitted once;
//! one that was discarded before anything was emitted of it is neither, ever, and no state that is built later has one that
//! was discarded. Of one that a version has passed over without listening, while it was live, nothing may have been emitted,
//! and never twice.
//!
//! `TIDEMILL_HISTORIES` sets how many, `TIDEMILL_HISTORIES_SEED` the first one's seed; a failure prints the steps
//! that led to it. Threads are real, so that a seed fixes what is done and not how it interleaves.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicU32, Ordering};

use super::rebuilding::{begin, echoed_once, fold, gated, listening, state};
use super::*;
use crate::delivery::record::{Record, Stored};
use crate::delivery::{Key, Policy, Rebuild, forget_passed, generations, live_owner};
use crate::store::embedded::disk::sim::{Fault, On, Plan, SimDisk};
use crate::store::embedded::{EmbeddedStore, OpenOptions};

const HISTORIES: u64 = 60;
const STEPS: usize = 25;
const STREAMS: [char; 4] = ['a', 'b', 'c', 'd'];
/// What a step waits for delivery at most: not how long anything takes.
const A_MOMENT: Duration = Duration::from_millis(20);

/// The type that every version listens to, and one that only some do.
const HEARD_BY_ALL: &str = "N";
const HEARD_BY_SOME: &str = "M";
const ALL: &[&str] = &[HEARD_BY_ALL, HEARD_BY_SOME];
/// A version of the plugin, by its digest: what it listens to, and which numbers it refuses, as a remainder of a divisor.
type Version = (&'static str, &'static [&'static str], Option<(u32, u32)>);
const VERSIONS: [Version; 5] = [
    ("mended", ALL, None),
    ("one", &[HEARD_BY_ALL], Some((11, 3))),
    ("two", ALL, Some((7, 5))),
    ("three", &[HEARD_BY_ALL], Some((3, 1))),
    (HALTS, &[HEARD_BY_ALL], Some((17, 9))),
];
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
    /// The stream and the type of each number that is appended.
    appended: Vec<(char, &'static str)>,
    /// The numbers that were discarded, and whether they had been emitted by then.
    discarded: BTreeMap<u32, bool>,
    /// The generation that was seen live last.
    seen: u32,
    /// The generations that became live by a rollback.
    returned_to: BTreeSet<u32>,
    /// Of which numbers each generation may emit nothing, though none emitted them before. Those that it passed over
    /// without listening, or that the one did beside which it was built.
    passed_over: BTreeMap<u32, BTreeSet<u32>>,
    /// Operations of the disk at the last acknowledged append or discard: no crash is before it.
    acknowledged: usize,
}

fn open(disk: &SimDisk) -> Arc<dyn Store> {
    open_with(disk, 64 << 10)
}

/// With journals of so many bytes.
fn open_with(disk: &SimDisk, journal_bytes_max: u64) -> Arc<dyn Store> {
    let options = OpenOptions { journal_bytes_max, cache_bytes: 1 << 20, ..OpenOptions::new("") };
    Arc::new(EmbeddedStore::open_on(Arc::new(disk.clone()), &options, Arc::new(SystemClock)).unwrap())
}

/// Echoes and remembers what it does not refuse; now and then it asks for a moment.
fn version(digest: &str, partitions: u32) -> Setup {
    let (digest, types, refuses) = *VERSIONS.iter().find(|(name, ..)| *name == digest).unwrap();
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
    listening(Setup { component_digest: digest.into(), policy, handlers, ..one }, types)
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let disk = SimDisk::new();
        let store = open(&disk);
        let partitions = rng.u32(1..=2);
        let dispatcher = start(version("mended", partitions), &store);
        Self {
            rng,
            disk,
            store,
            dispatcher,
            partitions,
            appended: Vec::new(),
            discarded: BTreeMap::new(),
            seen: 0,
            returned_to: BTreeSet::new(),
            passed_over: BTreeMap::new(),
            acknowledged: 0,
        }
    }

    fn any_version(&mut self) -> Setup {
        let (digest, ..) = *self.rng.choice(&VERSIONS).unwrap();
        self.version(digest)
    }

    fn version(&self, digest: &str) -> Setup {
        version(digest, self.partitions)
    }

    fn live(&self) -> String {
        generations(&plugin(), &*self.store).unwrap().component
    }

    fn record(&self) -> Record {
        Stored::read(&plugin(), &*self.store).unwrap().record
    }

    /// Every number that is appended, with its stream and type.
    fn numbered(&self) -> impl Iterator<Item = (u32, char, &'static str)> {
        (0..).zip(&self.appended).map(|(number, (stream, event_type))| (number, *stream, *event_type))
    }

    /// Notes what has become live since the last time: one generation, or another before it whose rebuild had not ended
    /// when the next one was asked for.
    fn look(&mut self) {
        let Record { generation, component, previous, .. } = self.record();
        if let Some(before) = previous.filter(|_| generation != self.seen) {
            self.was_live(before.generation, &before.component);
        }
        self.was_live(generation, &component);
    }

    /// Notes that a version was live, on a generation that was built beside the one seen before if it is another.
    fn was_live(&mut self, generation: u32, component: &str) {
        if generation != self.seen {
            self.share_passed_over(self.seen, generation);
            self.seen = generation;
        }
        let passes_over = VERSIONS.iter().any(|(digest, types, _)| *digest == component && types.len() < ALL.len());
        if passes_over {
            let passed: Vec<_> = self.numbered().filter(|(_, _, it)| *it == HEARD_BY_SOME).map(|(it, ..)| it).collect();
            self.passed_over.entry(generation).or_default().extend(passed);
        }
    }

    fn share_passed_over(&mut self, from: u32, to: u32) {
        let passed = self.passed_over.get(&from).cloned().unwrap_or_default();
        self.passed_over.entry(to).or_default().extend(passed);
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
        let streams: String = (0..self.rng.usize(1..30)).map(|_| *self.rng.choice(&STREAMS).unwrap()).collect();
        let event_type = if self.rng.u32(0..4) == 0 { HEARD_BY_SOME } else { HEARD_BY_ALL };
        append_as(&self.store, event_type, first, &streams).await;
        self.acknowledged = self.disk.operations();
        self.appended.extend(streams.chars().map(|stream| (stream, event_type)));
        println!("append {first}..{} of {event_type}", self.appended.len());
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
        self.look();
        let before = self.record();
        let Some(previous) = &before.previous else { return };
        let answer = self.dispatcher.roll_back(self.version(&previous.component), &self.live()).await;
        let what = format!("roll back to {}", previous.component);
        if answer.is_ok() {
            self.returned(&before);
        }
        Self::told(what, answer);
    }

    /// Notes a rollback. What is live now emits what the one that was left was never handed. Where nobody knows what that
    /// was it emits nothing that that one had passed.
    fn returned(&mut self, before: &Record) {
        let Record { generation, previous, .. } = self.record();
        let Some(left) = previous.filter(|left| left.generation != generation) else { return };
        self.was_live(left.generation, &left.component);
        let is_known = left.generation == before.generation && before.filter.is_some();
        if !is_known {
            self.share_passed_over(left.generation, generation);
        }
        self.returned_to.insert(generation);
        self.seen = generation;
    }

    /// An operator gives up what is set aside.
    async fn discard(&mut self) {
        let owner = live_owner(&plugin(), &*self.store).unwrap();
        let letters = self.store.dead_letters(&owner, Position::START, 10_000).unwrap();
        let set_aside: Vec<_> = letters.iter().filter(|it| !it.is_discarded()).map(|it| it.position).collect();
        let Some(position) = self.rng.choice(&set_aside).copied() else { return };
        let number = data(&self.store.event_at(position).unwrap().unwrap());
        let answer = self.dispatcher.discard_dead_letter(position).await;
        if answer.is_ok() {
            self.acknowledged = self.disk.operations();
            let was_emitted = echoes(&self.store).iter().any(|echo| data(echo) == number);
            self.discarded.entry(number).or_insert(was_emitted);
        }
        Self::told(format!("discard {number}"), answer);
    }

    /// What retention does before it looks what is needed, while everything runs.
    async fn forget(&self) {
        let store = Arc::clone(&self.store);
        let forgotten = tokio::task::spawn_blocking(move || forget_passed(&plugin(), &*store)).await.unwrap();
        Self::told("forget what is passed", forgotten.map_err(CommandError::from));
    }

    async fn swap(&mut self) {
        self.partitions = self.rng.u32(1..=3);
        let setup = self.any_version();
        let what = format!("swap in {}, in {} partitions", setup.component_digest, self.partitions);
        Self::told(what, self.dispatcher.swap(setup).await);
        self.look();
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
        let component = setup.component_digest.clone();
        self.dispatcher = start(setup, &self.store);
        until(&self.dispatcher, |status| status.component == component).await;
        self.look();
        self.go_on().await;
    }

    async fn step(&mut self) {
        match self.rng.u32(0..23) {
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
            18..=19 => self.discard().await,
            20 => self.forget().await,
            _ => self.crash().await,
        }
        self.look();
    }

    /// With a version that refuses nothing, and what is set aside handed over again, everything is handled once that was
    /// neither discarded nor passed over; in a state that is built anew also what was passed over.
    async fn check(mut self) {
        match generations(&plugin(), &*self.store).unwrap().building {
            // What halts never becomes live.
            Some(building) if building.component == HALTS || self.rng.bool() => {
                Self::told("cancel", self.dispatcher.cancel_rebuild().await);
            }
            _ => self.go_on().await,
        }
        // A crash may have left a pause behind whose end was not written down.
        Self::told("resume", self.dispatcher.resume().await);
        until(&self.dispatcher, |status| status.rebuild.is_none()).await;
        self.look();
        self.dispatcher.swap(self.version("mended")).await.unwrap();
        self.look();
        let head = || self.store.head();
        until(&self.dispatcher, |status| status.checkpoint >= head()).await;
        Self::told("retry", self.dispatcher.retry_dead_letters(Retry::All).await);
        let is_through = |status: &Status| status.set_aside.parked + status.set_aside.waiting == 0;
        until(&self.dispatcher, is_through).await;
        until(&self.dispatcher, |status| status.checkpoint >= head()).await;
        self.check_state(false);
        self.dispatcher.rebuild(self.version("mended"), begin("mended")).await.unwrap();
        let live = self.seen;
        let is_built = |status: &Status| status.generation != live && status.rebuild.is_none();
        until(&self.dispatcher, |status| is_built(status) && is_through(status)).await;
        self.check_state(true);
        self.check_echoes();
        self.dispatcher.stop().await;
    }

    /// Asserts that the live state has every number once, in order, but those that are discarded there; of what only some
    /// versions listen to, any if not all.
    fn check_state(&self, all: bool) {
        let owner = live_owner(&plugin(), &*self.store).unwrap();
        let letters = self.store.dead_letters(&owner, Position::START, 10_000).unwrap();
        assert!(letters.iter().all(DeadLetter::is_discarded), "{letters:?}");
        let number = |letter: &DeadLetter| data(&self.store.event_at(letter.position).unwrap().unwrap());
        let discarded: BTreeSet<_> = letters.iter().map(number).collect();
        let by_nobody = discarded.iter().find(|number| !self.discarded.contains_key(number));
        assert_eq!(by_nobody, None, "nobody discarded it");
        let state = state(&self.store);
        let numbers = state.values().flat_map(|numbers| numbers.split_whitespace());
        let handled: BTreeSet<u32> = numbers.map(|number| number.parse().unwrap()).collect();
        // A state that was returned to keeps what it had handled of what was discarded meanwhile.
        let keeps = |number: u32| !all && self.returned_to.contains(&self.seen) && handled.contains(&number);
        let is_due = |number: u32, event_type: &str| {
            if discarded.contains(&number) {
                return keeps(number);
            }
            all || event_type == HEARD_BY_ALL || handled.contains(&number)
        };
        let due = self.numbered().filter(|(number, _, it)| is_due(*number, it));
        assert_eq!(state, fold(due.map(|(number, stream, _)| (number, stream))));
        let given_up = |number: u32| self.discarded.contains_key(&number) && !discarded.contains(&number);
        let missing = self.numbered().find(|(number, _, it)| *it == HEARD_BY_ALL && given_up(*number));
        assert_eq!(missing, None, "it was discarded");
    }

    /// Asserts that each number is emitted once, but those that were discarded or passed over.
    fn check_echoes(&self) {
        let mut times = BTreeMap::<u32, u32>::new();
        for echo in echoes(&self.store) {
            *times.entry(data(&echo)).or_default() += 1;
        }
        let passed_over = self.passed_over.get(&self.seen).cloned().unwrap_or_default();
        for (number, ..) in self.numbered() {
            let times = times.get(&number).copied().unwrap_or_default();
            match self.discarded.get(&number) {
                Some(was_emitted) => assert_eq!(times, u32::from(*was_emitted), "{number}, which was discarded"),
                None if passed_over.contains(&number) => assert!(times <= 1, "{number}: {times} times"),
                None => assert_eq!(times, 1, "{number}"),
            }
        }
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
    // Nothing is sealed: a seal that the fault hits closes the state's file, which cannot be opened before that is over.
    let store = open_with(&disk, 4 << 20);
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
