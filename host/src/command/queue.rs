//! Commands that are accepted first and decided later: the queue, which is a stream of the log.
//!
//! An accepted command is an event before anybody is told so. One task reads them in their order and lets the bus decide
//! them, those of one aggregate one after the other. What has become of a command is in the log under its id, so one that
//! was decided before a crash is found decided after it, however far back the task begins to read; its checkpoint only
//! saves time.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures::FutureExt as _;
use tokio::task::{JoinHandle, JoinSet};
use uuid::Uuid;

use super::bus::{Allow, Commands};
use super::error::CommandError;
use super::patience::Patience;
use super::places::Place;
use super::queue_checkpoint::{self, Noted};
use super::queue_open::Open;
use super::queue_turns::{Aside, Waiting};
use super::record::Stamp;
use super::request::Command;
use super::tally::Tally;
use super::waiting::{self, Accepted, TakenUp, Why};
use super::{Status, logged, record};
use crate::access::Denied;
use crate::clock::Stopwatch;
use crate::delivery::{Backoff, Envelope, find_accepted};
use crate::event::{ACCEPTED_STREAM, Filter, Pattern, Position, RecordedEvent, StreamName};
use crate::measure::Counter;
use crate::store::{AppendError, AppendRequest, ReadRequest, Store, StoreError};

/// Time between two notes of how far the queue has come.
const NOTE_EVERY: Duration = Duration::from_secs(1);
/// Most commands that are read again at a time, and bytes of them.
const AGAIN_EVENTS: usize = 1000;
const AGAIN_BYTES: usize = 4 << 20;

/// How the queue works.
#[derive(Clone, Debug)]
pub struct QueueOptions {
    /// Most commands to a kind of aggregate that wait; more are refused.
    pub waiting_max: u64,
    /// How often a command is tried whose component, or whose surroundings, fail.
    pub attempts_max: u32,
    /// Waits between those.
    pub backoff: Backoff,
}

impl Default for QueueOptions {
    fn default() -> Self {
        let backoff = Backoff { initial_ms: 100, max_ms: 10_000, jitter: true };
        Self { waiting_max: 100_000, attempts_max: 8, backoff }
    }
}

/// What has become of queued commands, since the process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueCounts {
    /// Accepted.
    pub accepted: u64,
    /// Settled with an outcome.
    pub settled: u64,
    /// Given up.
    pub failed: u64,
    /// Tried again.
    pub retried: u64,
}

/// Where queued commands are counted.
pub(super) struct Queue {
    pub(super) options: QueueOptions,
    accepted: Counter,
    settled: Counter,
    failed: Counter,
    retried: Counter,
    /// How many of the stream are settled; [`UNKNOWN`] before its checkpoint was read.
    done: AtomicU64,
    /// How many of it were read, in the same way.
    read: AtomicU64,
    /// Those that were read and are not settled, by kinds of aggregates.
    tally: Arc<Tally>,
    /// Whether the row was dropped that says which are settled.
    is_dropped: AtomicBool,
}

const UNKNOWN: u64 = u64::MAX;

impl Queue {
    pub(super) fn new(options: QueueOptions) -> Self {
        let [accepted, settled, failed, retried] = std::array::from_fn(|_| Counter::default());
        let [done, read] = std::array::from_fn(|_| AtomicU64::new(UNKNOWN));
        let (tally, is_dropped) = (Arc::default(), AtomicBool::new(false));
        Self { options, accepted, settled, failed, retried, done, read, tally, is_dropped }
    }

    /// Has the row written again that was dropped, if the queue is worked off.
    pub(super) fn note_again(&self) {
        self.is_dropped.store(true, Ordering::Relaxed);
    }

    /// Notes how far it has come.
    fn note(&self, open: &Open) {
        self.read.store(open.read_through().0, Ordering::Relaxed);
        self.done.store(open.done(), Ordering::Relaxed);
    }
}

/// The task that decides what was accepted. Dropping it ends it; what is being decided then goes on.
#[derive(Debug)]
pub struct QueueTask(JoinHandle<()>);

impl QueueTask {
    /// Ends it.
    pub fn stop(&self) {
        self.0.abort();
    }
}

impl Drop for QueueTask {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A command as it was accepted.
pub(super) struct Job {
    command: Command,
    /// Event types that may follow; any, where there are none.
    types: Vec<Pattern>,
    /// Under which its outcome may be in the log.
    digests: Vec<String>,
    /// When it was accepted, and where.
    since_us: u64,
    position: Position,
    by_plugin: bool,
}

impl Job {
    pub(super) fn of(event: &RecordedEvent) -> Option<Self> {
        let envelope = Envelope::of(event)?;
        let by_plugin = envelope.is_of_plugin();
        let (command, types) = waiting::command(event, envelope);
        let digests = record::digests_of_accepted(&command);
        Some(Self { command, types, digests, since_us: event.timestamp_us, position: event.position, by_plugin })
    }
}

impl Commands {
    /// Accepts a command that is decided later: it is in the log when this answers. Who sends it may lead to events of
    /// these types only, if any are given. One that has an outcome is answered with that.
    ///
    /// # Errors
    /// When it is no command, nobody decides for such aggregates, it does not fit what such commands are held to, its id
    /// is that of another, it was given up, too many to such aggregates wait, or the store fails.
    pub async fn accept(&self, command: Command, types: Vec<Pattern>) -> Result<TakenUp, CommandError> {
        command.check_id_of_client()?;
        let stream = command.check()?;
        let digest = record::digest(&command);
        // Until it is in the log, where it is found from then on.
        let taken = || CommandError::IdTaken { id: command.id.clone(), for_now: true };
        let _in_use = self.0.ids.take(&command.id, &digest).ok_or_else(taken)?;
        if let Some(known) = self.known(&command, &stream, &digest).await? {
            return Ok(known);
        }
        self.hold(&command, &stream).await?;
        let stamp = Stamp { ids: self.0.log.store().own_ids(), digest: &digest };
        let event = waiting::event(&command, stamp, &types)?;
        let request = AppendRequest { by_host: true, ..AppendRequest::unconditional(vec![event]) };
        let appended = match self.0.log.append(request).await {
            Ok(appended) => appended,
            // Another client was quicker.
            Err(AppendError::IdConflict { .. }) => {
                return Err(CommandError::IdTaken { id: command.id, for_now: false });
            }
            Err(error) => return Err(error.into()),
        };
        if !appended.repeated {
            self.0.queue.accepted.add(1);
        }
        let (position, repeated) = (appended.last_position(), appended.repeated);
        logged::queued(&command, &stream, position, repeated);
        Ok(TakenUp::Waits(Accepted { id: command.id, stream, position, repeated }))
    }

    /// Begins to decide what was accepted, when `ready` says that those who decide are there. Must be called within a
    /// tokio runtime.
    #[must_use]
    pub fn work(&self, ready: impl Future<Output = ()> + Send + 'static) -> QueueTask {
        let commands = self.clone();
        QueueTask(tokio::spawn(async move {
            ready.await;
            commands.work_off().await;
        }))
    }

    /// What has become of queued commands.
    #[must_use]
    pub fn queue_counts(&self) -> QueueCounts {
        let Queue { accepted, settled, failed, retried, .. } = &self.0.queue;
        QueueCounts { accepted: accepted.get(), settled: settled.get(), failed: failed.get(), retried: retried.get() }
    }

    /// What is known of a command that was sent before; else makes sure that there is room.
    async fn known(
        &self,
        command: &Command,
        stream: &StreamName,
        digest: &str,
    ) -> Result<Option<TakenUp>, CommandError> {
        let (id, stream, digest, commands) = (command.id.clone(), stream.clone(), digest.to_owned(), self.clone());
        let aggregate = command.aggregate.clone();
        let look = move |store: &dyn Store| {
            if let Some((known, settled)) = record::find(store, &id)? {
                let taken = || CommandError::IdTaken { id: id.clone(), for_now: false };
                return if known == digest { Ok(Some(TakenUp::Settled(Box::new(settled)))) } else { Err(taken()) };
            }
            if let Some(event) = waiting::refuse_taken(store, &id, &digest)? {
                return Ok(Some(TakenUp::Waits(Accepted { id, stream, position: event.position, repeated: true })));
            }
            let Queue { options, read, tally, .. } = &commands.0.queue;
            // What was not read yet may be of any kind.
            let (waiting, max) = (behind(store, read)? + tally.of(&aggregate), options.waiting_max);
            if waiting >= max { Err(CommandError::QueueFull { aggregate, max }) } else { Ok(None) }
        };
        self.0.log.run(look).await
    }

    /// How many accepted commands are not settled. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn waiting(&self, store: &dyn Store) -> Result<u64, StoreError> {
        behind(store, &self.0.queue.done)
    }

    /// The position of the first accepted command that is not known to be settled, which the queue reads again after a
    /// crash; none where all are. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn first_waiting(store: &dyn Store) -> Result<Option<Position>, StoreError> {
        let query = Filter::stream(&StreamName::from_stored(ACCEPTED_STREAM)).into();
        let after = queue_checkpoint::read(store)?.all.position;
        let mut request = ReadRequest { query, after, limit: 1, ..ReadRequest::default() };
        loop {
            let page = store.read(&request)?;
            match page.events.first() {
                Some(event) => return Ok(Some(event.position)),
                None if page.complete => return Ok(None),
                None => request.after = page.through,
            }
        }
    }

    async fn work_off(self) {
        let begun = self.begin().await;
        let query = Filter::stream(&StreamName::from_stored(ACCEPTED_STREAM));
        let mut feed = self.0.log.subscribe(query, begun.all.position);
        let open = Open::after(begun.clone()).counted_in(Arc::clone(&self.0.queue.tally));
        let (mut open, mut running, mut noted) = (open, JoinSet::new(), begun);
        let mut given_back = open.given_back();
        let mut notes = tokio::time::interval(NOTE_EVERY);
        // Since when reading on, and reading again, has failed. What was read goes on meanwhile.
        let (mut on_failed, mut again_failed): (Option<Stopwatch>, Option<Stopwatch>) = (None, None);
        loop {
            if rest_after(again_failed).is_zero() {
                again_failed = self.read_again(&mut open).await;
            }
            self.0.queue.note(&open);
            for (waiting, place) in open.begin() {
                let (stream, version) = (waiting.stream.clone(), waiting.version);
                let carried = AssertUnwindSafe(self.clone().carry_out(waiting, place, open.aside())).catch_unwind();
                running.spawn(async move { (stream, version, carried.await.is_ok()) });
            }
            tokio::select! {
                // None is aborted, and what panics within is caught there.
                Some(Ok((stream, version, is_settled))) = running.join_next() => if is_settled {
                    open.settle(&stream, version);
                } else {
                    tracing::error!(
                        %stream, %version,
                        "the host made a mistake with an accepted command; those behind it go on, and it is tried again \
                         after a restart"
                    );
                    open.pass_over(&stream);
                },
                event = async { rested(on_failed).await; feed.next().await }, if open.has_room() => {
                    on_failed = None;
                    match event {
                        Ok(event) => open.read(&event),
                        Err(error) => {
                            tracing::warn!(%error, "accepted commands cannot be read; tried again");
                            on_failed = Some(Stopwatch::start());
                        }
                    }
                }
                () = rested(again_failed), if open.again().is_some() => {}
                () = given_back.next(), if open.has_ready() => {}
                _ = notes.tick() => self.note(&open, &mut noted).await,
            }
        }
    }

    /// Notes which are settled, if more are than was noted, or that was dropped.
    async fn note(&self, open: &Open, noted: &mut Noted) {
        let (now, is_dropped) = (open.noted(), self.0.queue.is_dropped.swap(false, Ordering::Relaxed));
        if now == *noted && !is_dropped {
            return;
        }
        match queue_checkpoint::write(&self.0.snapshots, &now).await {
            Ok(()) => *noted = now,
            Err(error) => {
                tracing::debug!(%error, "how far the queue has come was not noted");
                self.0.queue.is_dropped.fetch_or(is_dropped, Ordering::Relaxed);
            }
        }
    }

    /// Reads a page of what was read and not held, if there is room for it. Measures since when that failed, if it did.
    async fn read_again(&self, open: &mut Open) -> Option<Stopwatch> {
        let (category, after, before) = open.again()?;
        let query = Filter::stream(&StreamName::from_stored(ACCEPTED_STREAM)).into();
        let (before, limit, bytes_max) = (Some(before), AGAIN_EVENTS, AGAIN_BYTES);
        let request = ReadRequest { query, after, before, limit, bytes_max, ..ReadRequest::default() };
        match self.0.log.run(move |store| store.read(&request)).await {
            Ok(page) => {
                open.read_again(&category, &page.events, page.through, page.complete);
                None
            }
            Err(error) => {
                tracing::warn!(%error, "accepted commands cannot be read again; tried again");
                Some(Stopwatch::start())
            }
        }
    }

    /// Where to go on, as soon as the store answers.
    async fn begin(&self) -> Noted {
        let mut told = String::new();
        loop {
            let error = match self.0.log.run(queue_checkpoint::read).await {
                Ok(found) => return found,
                Err(error) => error.to_string(),
            };
            if error != told {
                tracing::error!(
                    error,
                    "no accepted command is decided, as it cannot be read which are settled; tried again"
                );
                told = error;
            }
            tokio::time::sleep(NOTE_EVERY).await;
        }
    }

    /// Settles one command, or gives it up.
    async fn carry_out(self, Waiting { event, version, stream, .. }: Waiting, mut place: Place, aside: Aside) {
        let options = &self.0.queue.options;
        let (mut attempts, mut waits, mut before) = (0, 0, None);
        // Read for each try, as many may wait for their next one.
        while let Some(job) = self.load(event).await {
            // Whatever happens, those behind have their turn.
            let attempt = AssertUnwindSafe(self.attempt(&job)).catch_unwind().await;
            let Err(error) = attempt.unwrap_or(Err(CommandError::Panicked)) else { return };
            waits += 1;
            let decider = self.0.claims.get(&job.command.aggregate);
            let named = decider.as_ref().and_then(|decider| decider.setup.policy.retry_on.as_deref());
            let patience = Patience::aside(&error, named, || aside.put(&stream));
            attempts += u32::from(patience != Patience::Endless);
            if patience == Patience::None || (patience == Patience::Some && attempts >= options.attempts_max) {
                let is_late = matches!(error, CommandError::Expired { .. });
                let before = before.as_ref().filter(|_| is_late);
                match self.give_up(&job, &stream, Why { error: &error, before, attempts }).await {
                    Ok(()) => return,
                    Err(error) => {
                        tracing::warn!(%error, command = job.command.id, "a failure was not noted; tried again");
                    }
                }
            } else if patience == Patience::Some {
                before = Some(error);
            }
            self.0.queue.retried.add(1);
            let wait_us = options.backoff.wait_us(waits, &mut fastrand::Rng::new());
            drop(job);
            place = place.rest(Duration::from_micros(wait_us)).await;
        }
        tracing::warn!(%stream, %version, "an accepted command was removed before it was decided");
    }

    /// A command as it was accepted, as soon as the store answers; none when it is gone.
    async fn load(&self, event: Uuid) -> Option<Job> {
        loop {
            match self.0.log.run(move |store| store.event(event)).await {
                Ok(event) => return event.as_ref().and_then(Job::of),
                Err(error) => {
                    tracing::warn!(%error, "an accepted command cannot be read; tried again");
                    tokio::time::sleep(NOTE_EVERY).await;
                }
            }
        }
    }

    /// Has a command decided, unless it is settled: that it is counts, however late it is by now.
    async fn attempt(&self, job: &Job) -> Result<(), CommandError> {
        if self.is_settled(job).await? {
            return Ok(());
        }
        match self.send_since(job.command.clone(), only(job.types.clone()), job.since_us).await {
            Ok(_) => {
                self.0.queue.settled.add(1);
                Ok(())
            }
            Err(CommandError::IdTaken { .. }) if self.is_second(job).await? => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn is_settled(&self, job: &Job) -> Result<bool, StoreError> {
        let (id, digests) = (job.command.id.clone(), job.digests.clone());
        self.0.log.run(move |store| waiting::is_settled(store, &id, &digests)).await
    }

    /// Whether it is one of those that plugins send under one id because of several events: only the first is decided.
    async fn is_second(&self, job: &Job) -> Result<bool, StoreError> {
        let id = job.command.id.clone();
        let first = self.0.log.run(move |store| find_accepted(store, &id)).await?;
        let of_plugin =
            |(event, envelope): &(RecordedEvent, Envelope)| event.position < job.position && envelope.is_of_plugin();
        Ok(job.by_plugin && first.as_ref().is_some_and(of_plugin))
    }

    /// Notes that a command failed, unless it is settled, at its turn: whoever sends it as well sees the note before it is
    /// decided, or has it settled before. Where somebody else's event has the id of the note, it is given up without.
    pub(super) async fn give_up(&self, job: &Job, stream: &StreamName, why: Why<'_>) -> Result<(), CommandError> {
        let mut place = self.0.lanes.enter(stream);
        place.turn().await;
        if self.is_settled(job).await? {
            return Ok(());
        }
        let ids = self.0.log.store().own_ids();
        let event = waiting::failed(ids, &job.command, stream, why);
        let request = AppendRequest { by_host: true, ..AppendRequest::unconditional(vec![event]) };
        match self.0.log.append(request).await {
            Ok(_) => logged::given_up(&job.command, stream, why),
            // It would be so for ever, so it ends here, and what was noted of the queue says that it is settled.
            Err(AppendError::IdConflict { position, .. }) => {
                logged::given_up_unsaid(&job.command, stream, why, position);
            }
            Err(error) => return Err(error.into()),
        }
        self.0.queue.failed.add(1);
        Ok(())
    }

    /// What an accepted command has come to that has no outcome. Blocks.
    pub(super) fn accepted_status(store: &dyn Store, id: &str) -> Result<Option<Status>, StoreError> {
        if let Some(failure) = waiting::find_failure(store, id)? {
            return Ok(Some(Status::Failed(Box::new(failure))));
        }
        let Some((event, envelope)) = find_accepted(store, id)? else { return Ok(None) };
        if queue_checkpoint::read(store)?.is_settled(event.version) {
            return Ok(record::find(store, id)?.map(|(_, settled)| Status::Settled(Box::new(settled))));
        }
        let stream = super::request::stream_of(&envelope.aggregate, &envelope.key).ok();
        Ok(stream.map(|stream| Status::Queued { stream, position: event.position }))
    }
}

/// What is left of the wait after something failed, if it did.
fn rest_after(failed: Option<Stopwatch>) -> Duration {
    failed.map_or(Duration::ZERO, |failed| NOTE_EVERY.saturating_sub(failed.elapsed()))
}

/// Waits for what is left of it.
async fn rested(failed: Option<Stopwatch>) {
    let rest = rest_after(failed);
    if !rest.is_zero() {
        tokio::time::sleep(rest).await;
    }
}

/// How many events of the queue's stream come behind so many, or behind its checkpoint where that is not known. Blocks.
fn behind(store: &dyn Store, count: &AtomicU64) -> Result<u64, StoreError> {
    let stream = StreamName::from_stored(ACCEPTED_STREAM);
    let last = store.stream_head(&stream)?.map_or(0, |head| head.version.0);
    let count = match count.load(Ordering::Relaxed) {
        UNKNOWN => queue_checkpoint::read(store)?.all.version.0,
        count => count,
    };
    Ok(last.saturating_sub(count))
}

/// Lets events of these types through; all, if there are none.
fn only(types: Vec<Pattern>) -> Allow {
    Arc::new(move |request: &AppendRequest| {
        let beyond = |event: &&crate::event::NewEvent| {
            !types.is_empty() && !types.iter().any(|pattern| pattern.matches(event.event_type.as_str()))
        };
        match request.events.iter().find(beyond) {
            None => Ok(()),
            Some(event) => Err(Denied::Beyond { event_type: event.event_type.to_string() }),
        }
    })
}
