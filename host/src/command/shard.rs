//! An instance with the aggregates that it holds in memory, and how they come there.
//!
//! An aggregate is brought up to its stream's end each time it is used: one that is in memory takes in what was
//! appended since, whoever did. So nothing has to be told to it; what it decided is handed to it ahead, if that follows.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use uuid::Uuid;

use super::aggregate::{AggregateHost, Faulted, Handle};
use super::claims::AggregateSetup;
use super::counts::Counts;
use super::error::{CommandError, LeftOut};
use super::history::{Until, apply, take_in};
use super::policy::AggregatePolicy;
use super::seen::Seen;
use super::snapshot::{self, Snapshot};
use super::suspects::{Deadly, Suspects, Unfit, note_in};
use crate::clock::Stopwatch;
use crate::event::{Filter, Position, RecordedEvent, StreamName, Version};
use crate::store::{ReadPage, ReadRequest, Store, StoreError};

/// Why a snapshot is left out of which the code dies.
const DIES: &str = "the code fails when it loads it";

/// An instance with aggregates.
pub(super) struct Shard {
    host: Option<Box<dyn AggregateHost>>,
    hot: HashMap<StreamName, Hot>,
    hot_max: usize,
    /// The same by their last use: the first was not used for longest.
    by_use: BTreeMap<u64, StreamName>,
    /// Counts uses.
    uses: u64,
    /// Where code failed to give a snapshot, and at which version.
    tried: HashMap<StreamName, Version>,
    suspects: Suspects,
    deadly: Deadly,
    /// Where snapshots are noted that are to be dropped.
    unfit: Arc<Unfit>,
    counts: Arc<Counts>,
    /// Aggregates in memory, of all shards together.
    in_memory: Arc<AtomicU64>,
}

/// An aggregate in memory.
#[derive(Clone, Debug)]
pub(super) struct Hot {
    pub(super) handle: Handle,
    /// Up to where it has taken in its stream.
    pub(super) version: Version,
    pub(super) position: Position,
    /// Of what types its events are, as they are stored.
    pub(super) seen: Seen,
    /// What no snapshot of it stands for.
    pub(super) unsaved: Unsaved,
    /// How long it has taken in events ahead of its next use, in nanoseconds.
    pub(super) ahead_ns: u64,
    /// The event that must follow next, as it decided on it: whether deciding changed the state, nobody knows.
    pub(super) awaits: Option<Uuid>,
    /// The version of the snapshot that it was made of, or of the last one that was taken of it since: that is as good or
    /// as bad. None if it was made of its events alone.
    pub(super) made_of: Option<Version>,
    /// The snapshot that was not loaded when it was made, if that was why it was made of events.
    pub(super) not_loaded: Option<NotLoaded>,
    used: u64,
}

/// A snapshot of this code, schema and history, which the code does not load.
#[derive(Clone, Debug)]
pub(super) struct NotLoaded {
    pub(super) version: Version,
    /// What the code says, or how it failed.
    reason: String,
}

impl From<NotLoaded> for LeftOut {
    fn from(NotLoaded { version, reason }: NotLoaded) -> Self {
        Self::Unloadable(version, reason)
    }
}

/// What the snapshot of an aggregate comes to.
pub(super) enum Restored {
    /// The aggregate.
    Made(Hot),
    /// None fits and lies within.
    None,
    /// One would, and does not load.
    Not {
        not_loaded: NotLoaded,
        /// Whether the instance died of it.
        is_dead: bool,
    },
}

impl Hot {
    fn at(handle: Handle, (version, position): (Version, Position), seen: Seen) -> Self {
        let unsaved = Unsaved::default();
        let (ahead_ns, awaits, made_of, not_loaded) = (0, None, None, None);
        Self { handle, version, position, seen, unsaved, ahead_ns, awaits, made_of, not_loaded, used: 0 }
    }
}

/// What there is of an aggregate since a snapshot of it was asked for or is known.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Unsaved {
    /// The version that it stands at.
    since: Version,
    /// How long handing over what followed has taken, in nanoseconds.
    taking_in_ns: u64,
    /// Where the first event stands that followed.
    first: Option<Position>,
    /// Whether that was removed since: what is in memory is all that stands for it.
    is_cut: bool,
}

impl Unsaved {
    /// Whether an aggregate at a version is to have another one. One whose events were removed while it was in memory, and
    /// that is used since, is to go on: so it is, however few they were, unless none is ever to be written.
    pub(super) const fn is_due(&self, policy: &AggregatePolicy, version: Version) -> bool {
        let (every, after_ns) = (policy.snapshot_every, policy.snapshot_after_ms.saturating_mul(1_000_000));
        let events = version.0.saturating_sub(self.since.0);
        (every > 0 && events >= every)
            || (after_ns > 0 && events > 0 && self.taking_in_ns >= after_ns)
            || (self.is_cut && (every > 0 || after_ns > 0))
    }

    /// Takes note of events that followed, of which the first stands at a position.
    pub(super) fn note(&mut self, first: Position) {
        self.first = self.first.or(Some(first));
    }

    /// Takes note that the events before a position are removed.
    pub(super) fn note_removed(&mut self, before: Position) {
        self.is_cut = self.first.is_some_and(|first| first < before);
    }

    pub(super) fn of(since: Version) -> Self {
        Self { since, ..Self::default() }
    }

    const fn add(&mut self, taking_in_ns: u64) {
        self.taking_in_ns = self.taking_in_ns.saturating_add(taking_in_ns);
    }
}

/// What failed on an aggregate.
struct Failed {
    error: Box<CommandError>,
    /// The version of the snapshot that it was made of, if it was.
    made_of: Option<Version>,
}

impl From<CommandError> for Failed {
    fn from(error: CommandError) -> Self {
        Self { error: Box::new(error), made_of: None }
    }
}

impl Failed {
    fn on(hot: &Hot, error: CommandError) -> Self {
        Self { made_of: hot.made_of, ..Self::from(error) }
    }
}

/// What loading and asking need to know.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) setup: &'a AggregateSetup,
    pub(super) store: &'a dyn Store,
    pub(super) stream: &'a StreamName,
    /// What follows the category in its name.
    pub(super) key: &'a str,
    /// What is dropped once nobody waits for it any more; none where it goes on all the same.
    pub(super) awaited: Option<&'a Weak<()>>,
}

impl Source<'_> {
    /// Refuses to go on with what nobody waits for: nobody hears that.
    pub(super) fn check_awaited(&self) -> Result<(), CommandError> {
        match self.awaited {
            Some(awaited) if awaited.strong_count() == 0 => Err(CommandError::LooksTaken),
            _ => Ok(()),
        }
    }

    pub(super) fn faulted(&self, faulted: Faulted) -> CommandError {
        let Self { setup, stream, .. } = self;
        tracing::warn!(
            plugin = %setup.plugin, %stream, stage = faulted.stage.as_str(), fault = faulted.fault.as_str(),
            reason = faulted.reason, stderr = faulted.evidence.stderr_tail, backtrace = faulted.evidence.backtrace,
            "an aggregate failed"
        );
        CommandError::Faulted { plugin: setup.plugin.clone(), faulted: Box::new(faulted) }
    }
}

impl Shard {
    pub(super) fn new(hot_max: usize, counts: Arc<Counts>, in_memory: Arc<AtomicU64>, unfit: Arc<Unfit>) -> Self {
        Self {
            host: None,
            hot: HashMap::new(),
            hot_max: hot_max.max(1),
            by_use: BTreeMap::new(),
            uses: 0,
            tried: HashMap::new(),
            suspects: Suspects::default(),
            deadly: Deadly::default(),
            unfit,
            counts,
            in_memory,
        }
    }

    /// Brings an aggregate up to the end of its stream, and does something with it. After an error the aggregate, and
    /// after a fault the instance, is made anew; and so is an aggregate that decided what does not follow in its stream.
    /// Where the error may be of the snapshot that it was made of, it is made of its events, and the work is done again.
    /// Blocks.
    pub(super) fn with<T>(
        &mut self,
        source: &Source<'_>,
        mut work: impl FnMut(&mut dyn AggregateHost, &mut Hot) -> Result<T, CommandError>,
    ) -> Result<T, CommandError> {
        let done = self.current(source).and_then(|hot| self.work_on(source, hot, &mut work));
        let done = done.or_else(|failed| self.without_snapshot(source, failed, &mut work));
        done.map_err(|mut error| {
            if let CommandError::HistoryGone { is_refused, .. } = &mut error {
                *is_refused = true;
                self.counts.history_gone.note(error.clone().discreet_of_snapshot("").to_string());
            }
            error
        })
    }

    /// Does with an aggregate that is made of its events alone what failed on one that was made of a snapshot, if that may be
    /// why. What does not fail then says that the snapshot does not fit, though it loads: it is left out, and is to be
    /// dropped. What fails again does not come of it, nor what fails where the events were removed; that is found out once for
    /// each snapshot, as it takes as long as the history is.
    fn without_snapshot<T>(
        &mut self,
        source: &Source<'_>,
        Failed { error, made_of }: Failed,
        work: impl FnOnce(&mut dyn AggregateHost, &mut Hot) -> Result<T, CommandError>,
    ) -> Result<T, CommandError> {
        let suspected = made_of.filter(|_| error.may_be_of_state());
        let Some(version) = suspected.filter(|version| self.suspects.may_look(source.stream, *version)) else {
            return Err(*error);
        };
        let hot = match self.of_events(source) {
            Ok(hot) => hot,
            Err(other) => {
                // Time, memory, the store and what lifts events say nothing of the snapshot.
                let is_cleared =
                    other.error.may_be_of_state() || matches!(*other.error, CommandError::HistoryGone { .. });
                self.suspects.note(source.stream, version, is_cleared);
                return Err(*error);
            }
        };
        let done = self.work_on(source, hot, work).map_err(|failed| *failed.error);
        // What failed to take in the events took them in without the snapshot, whatever came then.
        // Of what fails otherwise, only the code says something of the snapshot: the store does not.
        match done.as_ref().err().filter(|_| !error.is_of_events()) {
            Some(again) => self.suspects.note(source.stream, version, again.may_be_of_state()),
            None => {
                left_out_unfit(source, version, &error, &self.counts);
                self.unfit.note(source.stream, version);
            }
        }
        done
    }

    /// An aggregate that has taken in all of its stream, and no snapshot.
    fn of_events(&mut self, source: &Source<'_>) -> Result<Hot, Failed> {
        self.counts.loaded.add(1);
        let host = self.host.get_or_insert_with(|| source.setup.code.host());
        let made = begun(&mut **host, source);
        let mut hot = self.usable_after(made)?;
        let taken = self.take_in(source, &mut hot);
        self.kept_if(hot, taken)
    }

    /// Throws the instance away if what was done with it failed so.
    fn usable_after<T>(&mut self, done: Result<T, CommandError>) -> Result<T, CommandError> {
        done.inspect_err(|error| {
            if is_of_instance(error) {
                self.reset();
            }
        })
    }

    /// Has an aggregate that is in memory take in the events that follow, if they do. What fails comes up when it is
    /// used. Blocks.
    pub(super) fn advance(&mut self, source: &Source<'_>, events: Vec<RecordedEvent>) {
        let follows = |hot: &Hot| events.first().is_some_and(|event| event.version == hot.version.next());
        if !self.hot.get(source.stream).is_some_and(follows) {
            return;
        }
        let Some(hot) = self.take(source.stream) else { return };
        let _ = self.work_on(source, hot, |host, hot| {
            let began = Stopwatch::start();
            let taken = apply(host, source, hot, events);
            hot.unsaved.add(began.elapsed_ns());
            hot.ahead_ns += began.elapsed_ns();
            taken
        });
    }

    /// An aggregate that has taken in all of its stream.
    fn current(&mut self, source: &Source<'_>) -> Result<Hot, Failed> {
        if let Some(mut hot) = self.take(source.stream) {
            let taken = self.take_in(source, &mut hot);
            if hot.awaits.is_none() {
                return self.kept_if(hot, taken);
            }
            // What it says of the events that came instead says nothing of them.
            self.let_go(hot, taken.err().as_ref());
        }
        let loaded = self.load(source);
        let mut hot = self.usable_after(loaded)?;
        let taken = self.take_in(source, &mut hot);
        self.kept_if(hot, taken)
    }

    fn kept_if(&mut self, hot: Hot, done: Result<(), CommandError>) -> Result<Hot, Failed> {
        match done {
            Ok(()) => Ok(hot),
            Err(error) => {
                let failed = Failed::on(&hot, error);
                self.let_go(hot, Some(&failed.error));
                Err(failed)
            }
        }
    }

    /// Hands over what followed in its stream.
    fn take_in(&mut self, source: &Source<'_>, hot: &mut Hot) -> Result<(), CommandError> {
        let host = self.host.get_or_insert_with(|| source.setup.code.host());
        let began = Stopwatch::start();
        let taken = take_in(&mut **host, source, hot, Until::default());
        hot.unsaved.add(began.elapsed_ns());
        taken
    }

    fn work_on<T>(
        &mut self,
        source: &Source<'_>,
        mut hot: Hot,
        work: impl FnOnce(&mut dyn AggregateHost, &mut Hot) -> Result<T, CommandError>,
    ) -> Result<T, Failed> {
        let host = self.host.get_or_insert_with(|| source.setup.code.host());
        let done = work(&mut **host, &mut hot).map_err(|error| Failed::on(&hot, error));
        match &done {
            _ if host.is_full() => self.reset(),
            Ok(_) => self.keep(source.stream, hot),
            Err(failed) => self.let_go(hot, Some(&failed.error)),
        }
        done
    }

    /// Lets an aggregate go that failed, and the instance if that failed.
    fn let_go(&mut self, hot: Hot, error: Option<&CommandError>) {
        match error {
            Some(error) if is_of_instance(error) => self.reset(),
            _ => drop(self.drop_one(hot.handle)),
        }
    }

    /// The state of an aggregate, to be kept; none where its code has no snapshots. Whether that succeeds or not, the
    /// next one is due as many events later as if it had. Blocks.
    pub(super) fn snapshot(&mut self, source: &Source<'_>) -> Result<Option<Snapshot>, CommandError> {
        let mut tried = None;
        let taken = self.with(source, |host, hot| {
            tried = Some(hot.version);
            hot.unsaved = Unsaved::of(hot.version);
            let bytes = host.snapshot(hot.handle).map_err(|faulted| source.faulted(faulted))?;
            if bytes.is_some() && hot.made_of.is_some() {
                hot.made_of = Some(hot.version);
            }
            Ok(bytes.map(|bytes| Snapshot::of(source.setup, hot, bytes)))
        });
        match (&taken, tried) {
            (Ok(_), _) => drop(self.tried.remove(source.stream)),
            (Err(_), Some(version)) => note_in(&mut self.tried, source.stream, version),
            (Err(_), None) => {}
        }
        taken
    }

    /// Makes an aggregate from its snapshot, or without events. Code that dies of a snapshot is started anew, and gets
    /// the events; it is not handed that one each time.
    fn load(&mut self, source: &Source<'_>) -> Result<Hot, CommandError> {
        self.counts.loaded.add(1);
        let host = self.host.get_or_insert_with(|| source.setup.code.host());
        let known = |version| self.deadly.known(source.stream, version);
        let mut hot = match restored(&mut **host, source, Until::default(), &self.counts, known)? {
            Restored::Made(hot) => hot,
            Restored::None => begun(&mut **host, source)?,
            Restored::Not { not_loaded, is_dead } => {
                if is_dead {
                    self.deadly.note(source.stream, not_loaded.clone());
                    self.reset();
                }
                let host = self.host.get_or_insert_with(|| source.setup.code.host());
                Hot { not_loaded: Some(not_loaded), ..begun(&mut **host, source)? }
            }
        };
        let tried = self.tried.get(source.stream).copied().unwrap_or_default();
        hot.unsaved.since = hot.unsaved.since.max(tried);
        Ok(hot)
    }

    /// Forgets an aggregate, which is made anew when it is needed. Says whether the instance is still there.
    fn forget(&mut self, stream: &StreamName) -> bool {
        self.take(stream).is_none_or(|hot| self.drop_one(hot.handle))
    }

    fn take(&mut self, stream: &StreamName) -> Option<Hot> {
        let hot = self.hot.remove(stream)?;
        self.by_use.remove(&hot.used);
        self.in_memory.fetch_sub(1, Ordering::Relaxed);
        Some(hot)
    }

    fn keep(&mut self, stream: &StreamName, hot: Hot) {
        if self.hot.len() >= self.hot_max
            && let Some((_, oldest)) = self.by_use.pop_first()
            && !self.forget(&oldest)
        {
            // The instance is gone, and with it the one to be kept.
            return;
        }
        self.uses += 1;
        self.by_use.insert(self.uses, stream.clone());
        self.hot.insert(stream.clone(), Hot { used: self.uses, ..hot });
        self.in_memory.fetch_add(1, Ordering::Relaxed);
    }

    /// Says whether the instance is still there: one that cannot even let go is not worth keeping.
    fn drop_one(&mut self, handle: Handle) -> bool {
        let lets_go = self.host.as_mut().is_none_or(|host| host.forget(handle).is_ok());
        if !lets_go {
            self.reset();
        }
        lets_go
    }

    /// Throws the instance away, with all that it holds.
    pub(super) fn reset(&mut self) {
        self.host = None;
        self.in_memory.fetch_sub(self.hot.len() as u64, Ordering::Relaxed);
        self.hot.clear();
        self.by_use.clear();
    }
}

/// Tells of a snapshot that loads, but of which the code came to an error that its events do not lead to.
pub(super) fn left_out_unfit(source: &Source<'_>, version: Version, error: &CommandError, counts: &Counts) {
    let reason = match error {
        CommandError::Misfit { reason, .. } => reason.as_str(),
        CommandError::Faulted { faulted, .. } => faulted.reason.as_str(),
        _ => "",
    };
    tracing::warn!(
        plugin = %source.setup.plugin, stream = %source.stream, %version, reason,
        "a snapshot loads but does not fit, and was left out: what failed of it succeeds with the events alone; raise the \
         snapshot schema when what a state holds changes"
    );
    counts.snapshots_left_out.note(told(source, Some(version), "it loads, but does not fit"));
}

/// What is told of a snapshot that was left out, without words of the code, which has seen events.
fn told(source: &Source<'_>, version: Option<Version>, why: &str) -> String {
    let at = version.map_or_else(String::new, |version| format!(" at version {version}"));
    format!("the snapshot of stream {}{at}: {why}", source.stream)
}

/// An aggregate as its snapshot has it, if there is one that fits and lies within, and is not known not to load.
pub(super) fn restored(
    host: &mut dyn AggregateHost,
    source: &Source<'_>,
    until: Until,
    counts: &Counts,
    known: impl FnOnce(Version) -> Option<NotLoaded>,
) -> Result<Restored, CommandError> {
    let found = match snapshot::read(source.store, source.stream)? {
        None => return Ok(Restored::None),
        Some(Ok(found)) => found,
        Some(Err(error)) => {
            tracing::warn!(stream = %source.stream, %error, "a damaged snapshot was left out");
            counts.snapshots_left_out.note(told(source, None, "it is damaged"));
            return Ok(Restored::None);
        }
    };
    let left_out = |why: &str| counts.snapshots_left_out.note(told(source, Some(found.version), why));
    match usable(source, &found, until)? {
        Ok(false) => return Ok(Restored::None),
        Ok(true) => {}
        Err(reason) => {
            left_out(reason);
            tracing::info!(stream = %source.stream, reason, "a snapshot was left out");
            return Ok(Restored::None);
        }
    }
    if let Some(not_loaded) = known(found.version) {
        left_out(DIES);
        return Ok(Restored::Not { not_loaded, is_dead: false });
    }
    loaded(host, source, found, counts)
}

/// An aggregate as the code has it by a snapshot.
fn loaded(
    host: &mut dyn AggregateHost,
    source: &Source<'_>,
    found: Snapshot,
    counts: &Counts,
) -> Result<Restored, CommandError> {
    let (version, position) = (found.version, found.position);
    let left_out = |why: &str| counts.snapshots_left_out.note(told(source, Some(version), why));
    let (reason, is_dead) = match host.restore(source.key, &found.bytes) {
        Ok(Ok(handle)) => {
            let (unsaved, made_of) = (Unsaved::of(version), Some(version));
            return Ok(Restored::Made(Hot { unsaved, made_of, ..Hot::at(handle, (version, position), found.seen) }));
        }
        Ok(Err(reason)) => {
            left_out("it does not load");
            tracing::info!(stream = %source.stream, reason, "a snapshot was left out: it does not load");
            (reason, false)
        }
        Err(faulted) => {
            left_out(DIES);
            let reason = format!("{}: {}", faulted.fault.as_str(), faulted.reason);
            let error = source.faulted(faulted);
            if !error.is_of_snapshot() {
                return Err(error);
            }
            (reason, true)
        }
    };
    Ok(Restored::Not { not_loaded: NotLoaded { version, reason }, is_dead })
}

/// Whether an instance is not to be used any more after an error.
const fn is_of_instance(error: &CommandError) -> bool {
    matches!(error, CommandError::Faulted { .. } | CommandError::NotGranted { .. })
}

/// An aggregate without events.
pub(super) fn begun(host: &mut dyn AggregateHost, source: &Source<'_>) -> Result<Hot, CommandError> {
    let handle = host.make(source.key).map_err(|faulted| source.faulted(faulted))?;
    Ok(Hot::at(handle, (Version::START, Position::START), Seen::default()))
}

/// Whether a snapshot lies within a point, if this code made it of this history: its event is where it says, or was
/// removed.
fn usable(source: &Source<'_>, found: &Snapshot, until: Until) -> Result<Result<bool, &'static str>, CommandError> {
    if !found.is_of(source.setup) {
        return Ok(Err("another component, schema or chain of upcasters made it"));
    }
    if !until.reaches(found.version, found.position) {
        return Ok(Ok(false));
    }
    let page = page_at(source, found.position)?;
    Ok(match page.events.first() {
        Some(event) if event.version == found.version => {
            Ok(until.before_us.is_none_or(|before_us| event.timestamp_us < before_us))
        }
        // When a removed event was stored is not known.
        None if page.removed_before.is_some_and(|before| before > found.position) => Ok(until.before_us.is_none()),
        Some(_) | None => Err("it is of another history"),
    })
}

/// The event of a stream at a position, as a page.
pub(super) fn page_at(source: &Source<'_>, position: Position) -> Result<ReadPage, StoreError> {
    source.store.read(&ReadRequest {
        query: Filter::stream(source.stream).into(),
        after: Position(position.0.saturating_sub(1)),
        before: Some(position.next()),
        limit: 1,
        ..ReadRequest::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_that_was_not_used_for_longest_goes_first() {
        let (counts, in_memory) = (Arc::new(Counts::default()), Arc::<AtomicU64>::default());
        let mut shard = Shard::new(3, counts, Arc::clone(&in_memory), Arc::default());
        let name = |number: u64| StreamName::new(format!("s-{number}")).unwrap();
        let hot = |number: u64| Hot::at(Handle(number), (Version(1), Position(number)), Seen::default());
        (1..=3).for_each(|number| shard.keep(&name(number), hot(number)));
        let used = shard.take(&name(1)).unwrap();
        shard.keep(&name(1), used);
        (4..=5).for_each(|number| shard.keep(&name(number), hot(number)));
        let held: Vec<_> = (1..=5).filter(|number| shard.hot.contains_key(&name(*number))).collect();
        assert_eq!((held, shard.by_use.len()), (vec![1, 4, 5], 3));
        assert_eq!(in_memory.load(Ordering::Relaxed), 3);
        shard.reset();
        assert_eq!((shard.hot.len(), shard.by_use.len(), in_memory.load(Ordering::Relaxed)), (0, 0, 0));
    }
}
