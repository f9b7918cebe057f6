//! Commands that are accepted first and decided later: the queue, which is a stream of the log.
//!
//! An accepted command is an event before anybody is told so. One task reads them in their order and lets the bus decide
//! them, those of one aggregate one after the other. What has become of a command is in the log under its id, so one that
//! was decided before a crash is found decided after it, however far back the task begins to read; its checkpoint only
//! saves time.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::{JoinHandle, JoinSet};

use super::bus::{Allow, Commands};
use super::error::CommandError;
use super::queue_checkpoint::{self, Checkpoint};
use super::request::Command;
use super::waiting::{self, Accepted};
use super::{Status, record};
use crate::access::Denied;
use crate::delivery::{Backoff, Envelope, find_accepted};
use crate::event::{ACCEPTED_STREAM, Filter, Pattern, RecordedEvent, StreamName, Version};
use crate::measure::Counter;
use crate::store::{AppendError, AppendRequest, StoreError};

/// Most commands that were read and are not settled yet: a part of those that the bus decides at a time.
const READ_MAX: usize = 256;
/// Most commands that were read behind one that is not settled.
const VERSIONS_MAX: usize = 100_000;
/// Time between two notes of how far the queue has come.
const NOTE_EVERY: Duration = Duration::from_secs(1);

/// How the queue works.
#[derive(Clone, Debug)]
pub struct QueueOptions {
    /// Most commands that wait; more are refused.
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
}

const UNKNOWN: u64 = u64::MAX;

impl Queue {
    pub(super) fn new(options: QueueOptions) -> Self {
        let [accepted, settled, failed, retried] = std::array::from_fn(|_| Counter::default());
        Self { options, accepted, settled, failed, retried, done: AtomicU64::new(UNKNOWN) }
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

/// A command that was read.
struct Job {
    event: RecordedEvent,
    envelope: Envelope,
}

/// Commands that were read and are not settled.
#[derive(Default)]
struct Open {
    /// Versions in the queue's stream, with whether they are settled.
    versions: BTreeMap<Version, (bool, Checkpoint)>,
    unsettled: usize,
    /// Those that wait behind one of their aggregate that is being decided.
    lanes: HashMap<StreamName, VecDeque<Job>>,
}

impl Commands {
    /// Accepts a command that is decided later: it is in the log when this answers. Who sends it may lead to events of
    /// these types only, if any are given.
    ///
    /// # Errors
    /// When it is no command, nobody decides for such aggregates, it does not fit what such commands are held to, its id
    /// is that of another, too many wait, or the store fails.
    pub async fn accept(&self, command: Command, types: Vec<Pattern>) -> Result<Accepted, CommandError> {
        let stream = command.check()?;
        let digest = record::digest(&command);
        if let Some(known) = self.accepted_before(&command, &stream, &digest).await? {
            return Ok(known);
        }
        self.hold(&command, &stream).await?;
        let event = waiting::event(&command, &digest, &types)?;
        let request = AppendRequest { by_host: true, ..AppendRequest::unconditional(vec![event]) };
        let appended = match self.0.log.append(request).await {
            Ok(appended) => appended,
            // Another client was quicker.
            Err(AppendError::IdConflict { .. }) => return Err(CommandError::IdTaken { id: command.id }),
            Err(error) => return Err(error.into()),
        };
        if !appended.repeated {
            self.0.queue.accepted.add(1);
        }
        Ok(Accepted { id: command.id, stream, position: appended.last_position(), repeated: appended.repeated })
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
    async fn accepted_before(
        &self,
        command: &Command,
        stream: &StreamName,
        digest: &str,
    ) -> Result<Option<Accepted>, CommandError> {
        let (id, stream, digest, commands) = (command.id.clone(), stream.clone(), digest.to_owned(), self.clone());
        let look = move |store: &dyn crate::store::Store| {
            let settled = record::find(store, &id)?.map(|(digest, settled)| (digest, settled.position));
            let accepted = find_accepted(store, &id)?.map(|(event, envelope)| (envelope.digest, event.position));
            if let Some((known, position)) = settled.or(accepted) {
                let same = known == digest;
                return if same {
                    Ok(Some(Accepted { id, stream, position, repeated: true }))
                } else {
                    Err(CommandError::IdTaken { id })
                };
            }
            let max = commands.0.queue.options.waiting_max;
            if commands.waiting(store)? >= max { Err(CommandError::QueueFull { max }) } else { Ok(None) }
        };
        self.0.log.run(look).await
    }

    /// How many accepted commands are not settled. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn waiting(&self, store: &dyn crate::store::Store) -> Result<u64, StoreError> {
        let stream = StreamName::from_stored(ACCEPTED_STREAM);
        let last = store.stream_head(&stream)?.map_or(0, |head| head.version.0);
        let done = match self.0.queue.done.load(Ordering::Relaxed) {
            UNKNOWN => queue_checkpoint::read(store)?.version.0,
            done => done,
        };
        Ok(last.saturating_sub(done))
    }

    async fn work_off(self) {
        let mut checkpoint = self.begin().await;
        self.0.queue.done.store(checkpoint.version.0, Ordering::Relaxed);
        let query = Filter::stream(&StreamName::from_stored(ACCEPTED_STREAM));
        let mut feed = self.0.log.subscribe(query, checkpoint.position);
        let (mut open, mut running, mut noted) = (Open::default(), JoinSet::new(), checkpoint);
        let mut notes = tokio::time::interval(NOTE_EVERY);
        loop {
            tokio::select! {
                Some(done) = running.join_next() => {
                    // Tasks are never aborted here; one that panicked is settled for good by the next start.
                    let Ok((stream, version)) = done else { continue };
                    self.0.queue.done.fetch_add(1, Ordering::Relaxed);
                    checkpoint = open.settle(version).unwrap_or(checkpoint);
                    if let Some(job) = open.next(&stream) {
                        running.spawn(self.clone().carry_out(job, stream));
                    }
                }
                event = feed.next(), if open.has_room() => match event {
                    Ok(event) => {
                        if let Some((job, stream)) = open.read(event) {
                            running.spawn(self.clone().carry_out(job, stream));
                        }
                    }
                    Err(error) => {
                        tracing::warn!(%error, "accepted commands cannot be read; tried again");
                        tokio::time::sleep(NOTE_EVERY).await;
                    }
                },
                _ = notes.tick() => if checkpoint != noted {
                    match queue_checkpoint::write(&self.0.snapshots, checkpoint).await {
                        Ok(()) => noted = checkpoint,
                        Err(error) => tracing::debug!(%error, "how far the queue has come was not noted"),
                    }
                },
            }
        }
    }

    /// Where to go on, as soon as the store answers.
    async fn begin(&self) -> Checkpoint {
        loop {
            match self.0.log.run(|store| queue_checkpoint::read(store)).await {
                Ok(found) => return found,
                Err(error) => {
                    tracing::warn!(%error, "how far the queue has come cannot be read; tried again");
                    tokio::time::sleep(NOTE_EVERY).await;
                }
            }
        }
    }

    /// Settles one command, or gives it up; answers whose turn is next.
    async fn carry_out(self, Job { event, envelope }: Job, stream: StreamName) -> (StreamName, Version) {
        let (version, since_us) = (event.version, event.timestamp_us);
        // A plugin may send one command because of several events; only the first is decided.
        let by_plugin = envelope.digest.is_empty();
        let (command, types) = waiting::command(&event, envelope);
        let options = &self.0.queue.options;
        let (mut attempts, mut waits) = (0, 0);
        loop {
            let error = match self.attempt(&command, only(types.clone()), since_us).await {
                Ok(()) => break,
                Err(CommandError::IdTaken { .. }) if by_plugin => break,
                Err(error) => error,
            };
            waits += 1;
            let patience = patience(&error);
            attempts += u32::from(patience != Patience::Endless);
            if patience == Patience::None || (patience == Patience::Some && attempts >= options.attempts_max) {
                match self.give_up(&command, &stream, &error, attempts).await {
                    Ok(()) => break,
                    Err(error) => tracing::warn!(%error, command = command.id, "a failure was not noted; tried again"),
                }
            }
            self.0.queue.retried.add(1);
            let wait_us = options.backoff.wait_us(waits, &mut fastrand::Rng::new());
            tokio::time::sleep(Duration::from_micros(wait_us)).await;
        }
        (stream, version)
    }

    /// Has a command decided, unless it was given up before.
    async fn attempt(&self, command: &Command, allow: Allow, since_us: u64) -> Result<(), CommandError> {
        let id = command.id.clone();
        if self.0.log.run(move |store| waiting::find_failure(store, &id)).await?.is_some() {
            return Ok(());
        }
        self.send_since(command.clone(), allow, since_us).await?;
        self.0.queue.settled.add(1);
        Ok(())
    }

    async fn give_up(
        &self,
        command: &Command,
        stream: &StreamName,
        error: &CommandError,
        attempts: u32,
    ) -> Result<(), CommandError> {
        let event = waiting::failed(command, stream, error, attempts);
        let request = AppendRequest { by_host: true, ..AppendRequest::unconditional(vec![event]) };
        self.0.log.append(request).await?;
        self.0.queue.failed.add(1);
        let Command { id, command_type, metadata, .. } = command;
        let correlation_id = metadata.get(crate::event::metadata_key::CORRELATION_ID).unwrap_or(id);
        tracing::warn!(command = id, command_type, %stream, correlation_id, attempts, %error, "an accepted command was given up");
        Ok(())
    }

    /// What an accepted command has come to that has no outcome. Blocks.
    pub(super) fn accepted_status(store: &dyn crate::store::Store, id: &str) -> Result<Option<Status>, StoreError> {
        if let Some(failure) = waiting::find_failure(store, id)? {
            return Ok(Some(Status::Failed(Box::new(failure))));
        }
        let Some((event, envelope)) = find_accepted(store, id)? else { return Ok(None) };
        let stream = super::request::stream_of(&envelope.aggregate, &envelope.key).ok();
        Ok(stream.map(|stream| Status::Queued { stream, position: event.position }))
    }
}

impl Open {
    /// Whether another command may be read.
    fn has_room(&self) -> bool {
        self.unsettled < READ_MAX && self.versions.len() < VERSIONS_MAX
    }

    /// Takes a command in; answers it when nothing of its aggregate is before it.
    fn read(&mut self, event: RecordedEvent) -> Option<(Job, StreamName)> {
        let (version, checkpoint) = (event.version, Checkpoint { position: event.position, version: event.version });
        let read = Envelope::of(&event).and_then(|envelope| {
            let stream = super::request::stream_of(&envelope.aggregate, &envelope.key).ok()?;
            Some((envelope, stream))
        });
        // What no host wrote so is no command, and is passed over.
        self.versions.insert(version, (read.is_none(), checkpoint));
        let (envelope, stream) = read?;
        self.unsettled += 1;
        let job = Job { event, envelope };
        match self.lanes.get_mut(&stream) {
            Some(lane) => {
                lane.push_back(job);
                None
            }
            None => {
                self.lanes.insert(stream.clone(), VecDeque::new());
                Some((job, stream))
            }
        }
    }

    /// Notes that a command is settled; answers up to where all are, if that has moved.
    fn settle(&mut self, version: Version) -> Option<Checkpoint> {
        self.unsettled = self.unsettled.saturating_sub(1);
        if let Some((settled, _)) = self.versions.get_mut(&version) {
            *settled = true;
        }
        let mut moved = None;
        while let Some(first) = self.versions.first_entry().filter(|first| first.get().0) {
            moved = Some(first.remove().1);
        }
        moved
    }

    /// The next command of an aggregate.
    fn next(&mut self, stream: &StreamName) -> Option<Job> {
        let next = self.lanes.get_mut(stream).and_then(VecDeque::pop_front);
        if next.is_none() {
            self.lanes.remove(stream);
        }
        next
    }
}

/// How long an error is borne.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Patience {
    /// It will be the same for ever.
    None,
    /// Somebody may mend it.
    Some,
    /// It is the host's, and says nothing of the command.
    Endless,
}

fn patience(error: &CommandError) -> Patience {
    match error {
        CommandError::Faulted { .. }
        | CommandError::NotGranted { .. }
        | CommandError::Misfit { .. }
        | CommandError::Unlifted { .. }
        | CommandError::ValidatorFailed { .. }
        | CommandError::ChecksUnknown { .. }
        | CommandError::UnknownAggregate { .. }
        | CommandError::Contended { .. }
        | CommandError::Panicked => Patience::Some,
        CommandError::Busy { .. }
        | CommandError::QueueFull { .. }
        | CommandError::Store(_)
        | CommandError::Append(AppendError::Store(_)) => Patience::Endless,
        CommandError::Invalid(_)
        | CommandError::IdTaken { .. }
        | CommandError::Denied(_)
        | CommandError::HistoryGone { .. }
        | CommandError::NoState { .. }
        | CommandError::NoSuchAggregate { .. }
        | CommandError::StateTooLarge { .. }
        | CommandError::UnknownType { .. }
        | CommandError::Refused { .. }
        | CommandError::Expired { .. }
        | CommandError::TooMuchToKeep
        | CommandError::Append(_) => Patience::None,
    }
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
