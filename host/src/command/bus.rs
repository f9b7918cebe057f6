//! The bus: who sends a command is told its outcome, once it has one; [`Task`] is the way there.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, watch};

use super::checks::Checks;
use super::claims::Claims;
use super::deadline::{Deadline, Progress};
use super::error::CommandError;
use super::ids::Ids;
use super::lanes::Lanes;
use super::places::{self, Places};
use super::queue::{Queue, QueueOptions};
use super::record;
use super::request::Command;
use super::snapshots::{SnapshotPage, Snapshots};
use super::task::Task;
use super::{Failure, Settled};
use crate::access::Denied;
use crate::clock::{Clock, Stopwatch};
use crate::event::{ACCEPTED_STREAM, Position, StreamName};
use crate::store::{AppendRequest, AsyncStore, Store};

/// Most commands under way at a time.
const COMMANDS_MAX: usize = 1024;
/// Most that look at an aggregate at a time.
const LOOKS_MAX: usize = 4;

/// Whether who asks may append what was decided.
pub type Allow = Arc<dyn Fn(&AppendRequest) -> Result<(), Denied> + Send + Sync>;

/// Carries commands out. Cheap to clone; clones share what is under way.
#[derive(Clone)]
pub struct Commands(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) log: AsyncStore,
    pub(super) claims: Claims,
    pub(super) checks: Arc<Checks>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) lanes: Lanes,
    /// Those of commands that are under way, or are being accepted.
    pub(super) ids: Ids,
    under_way: Mutex<HashMap<String, UnderWay>>,
    places: Places,
    pub(super) snapshots: Snapshots,
    pub(super) queue: Queue,
    /// Places for those that look at an aggregate, each on an instance of its own.
    pub(super) looks: Arc<Semaphore>,
}

/// A command that is being decided.
#[derive(Clone)]
struct UnderWay {
    stream: StreamName,
    answer: watch::Receiver<Option<Answer>>,
}

pub(super) type Answer = Result<Settled, CommandError>;

/// How far a command has come.
#[derive(Clone, Debug, PartialEq)]
pub enum Status {
    /// It is being decided, against this stream.
    UnderWay(StreamName),
    /// It was accepted, and waits.
    Queued {
        /// The stream that it will be decided against.
        stream: StreamName,
        /// Position at which it was accepted.
        position: Position,
    },
    /// It has an outcome.
    Settled(Box<Settled>),
    /// It was accepted, and given up.
    Failed(Box<Failure>),
}

impl Commands {
    /// Commands over a log, for aggregates that are claimed.
    #[must_use]
    pub fn new(log: AsyncStore, claims: Claims, clock: Arc<dyn Clock>) -> Self {
        Self::queueing(log, claims, clock, Arc::default(), QueueOptions::default())
    }

    /// The same, for commands that are held to schemas and validators, with another queue than the usual one.
    #[must_use]
    pub fn queueing(
        log: AsyncStore,
        claims: Claims,
        clock: Arc<dyn Clock>,
        checks: Arc<Checks>,
        queue: QueueOptions,
    ) -> Self {
        let lanes = Lanes::default();
        let snapshots = Snapshots::new(log.clone(), claims.clone(), lanes.clone());
        Self(Arc::new(Inner {
            log,
            claims,
            checks,
            clock,
            lanes,
            ids: Ids::default(),
            under_way: Mutex::default(),
            places: Places::new(COMMANDS_MAX),
            snapshots,
            queue: Queue::new(queue),
            looks: Arc::new(Semaphore::new(LOOKS_MAX)),
        }))
    }

    /// Decides a command, and appends what follows; answers when that is durable. One that was sent before is answered
    /// with the outcome that it had, or is about to have, if whoever sends it now may append that. It goes on when nobody
    /// waits for the answer any more.
    ///
    /// # Errors
    /// When there is no outcome. A rejection is one.
    pub async fn send(&self, command: Command, allow: Allow) -> Answer {
        command.check_id_of_client()?;
        let deadline = self.deadline(&command, None);
        self.send_within(command, allow, deadline, false).await
    }

    /// The same for one that was accepted at a time, from which its deadline is counted.
    pub(super) async fn send_since(&self, command: Command, allow: Allow, since_us: u64) -> Answer {
        let deadline = self.deadline(&command, Some(since_us));
        self.send_within(command, allow, deadline, true).await
    }

    async fn send_within(&self, command: Command, allow: Allow, deadline: Deadline, is_of_queue: bool) -> Answer {
        let stream = command.check()?;
        let digest = record::digest(&command);
        let deadline = Arc::new(deadline);
        loop {
            let (mut answer, first) = self.enter(Task {
                commands: self.clone(),
                command: command.clone(),
                stream: stream.clone(),
                digest: digest.clone(),
                allow: Arc::clone(&allow),
                deadline: Arc::clone(&deadline),
                is_of_queue,
            })?;
            // An error means that the task has panicked.
            let told = async {
                let told = answer.wait_for(Option::is_some).await.ok().and_then(|answer| answer.clone());
                told.unwrap_or(Err(CommandError::Panicked))
            };
            // Who is first has its deadline held by the task.
            let settled = match if first { told.await } else { deadline.joined(told).await? } {
                // That is of who was first, and nothing came of it.
                Err(error) if !first && error.is_of_sender() => continue,
                settled => settled?,
            };
            let repeated = settled.repeated || !first;
            if repeated {
                record::as_appended(&command, &settled).map_or(Ok(()), |request| allow(&request))?;
            }
            return Ok(Settled { repeated, ..settled });
        }
    }

    /// Waits until no command is under way.
    pub async fn idle(&self) {
        self.0.places.idle().await;
    }

    /// Lets everything through, for callers that may do all.
    #[must_use]
    pub fn allow_all() -> Allow {
        Arc::new(|_: &AppendRequest| Ok(()))
    }

    /// How far a command has come; none when there is none of that id, or its outcome was removed.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn status(&self, id: &str) -> Result<Option<Status>, CommandError> {
        let under_way = self.under_way().get(id).map(|under_way| under_way.stream.clone());
        let id = id.to_owned();
        let look = move |store: &dyn Store| match (record::find(store, &id)?, under_way) {
            (Some((_, settled)), _) => Ok(Some(Status::Settled(Box::new(settled)))),
            (None, Some(stream)) => Ok(Some(Status::UnderWay(stream))),
            (None, None) => Self::accepted_status(store, &id).map_err(CommandError::from),
        };
        self.0.log.run(look).await
    }

    /// Who decides for what.
    #[must_use]
    pub fn claims(&self) -> &Claims {
        &self.0.claims
    }

    /// Snapshots of streams whose names begin so, in the order of names, strictly after a stream if given.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn snapshots(
        &self,
        prefix: String,
        after: Option<String>,
        limit: usize,
    ) -> Result<SnapshotPage, CommandError> {
        self.0.snapshots.list(prefix, after, limit).await
    }

    /// Drops the snapshot of a stream; says whether there was one. It is written again when it is due. One that stands for
    /// removed events, or that is damaged where events were removed, is dropped by `force` only.
    ///
    /// # Errors
    /// When it is needed, or the store cannot be read or written.
    pub async fn drop_snapshot(&self, stream: &StreamName, force: bool) -> Result<bool, CommandError> {
        let is_dropped = self.0.snapshots.drop_one(stream, force).await?;
        if is_dropped && stream.as_str() == ACCEPTED_STREAM {
            self.0.queue.note_again();
        }
        Ok(is_dropped)
    }

    /// Joins the same command that is under way, or begins it.
    fn enter(&self, task: Task) -> Result<(watch::Receiver<Option<Answer>>, bool), CommandError> {
        let Task { command, stream, digest, .. } = &task;
        let taken = || CommandError::IdTaken { id: command.id.clone(), for_now: true };
        let in_use = self.0.ids.take(&command.id, digest).ok_or_else(taken)?;
        let mut under_way = self.under_way();
        if let Some(same) = under_way.get(&command.id) {
            return Ok((same.answer.clone(), false));
        }
        let place = self.take_place(command)?;
        // Now, as tasks begin in any order.
        let (began, in_lane) = (Stopwatch::start(), self.0.lanes.enter(stream));
        let (tell, answer) = watch::channel(None);
        let entry = UnderWay { stream: stream.clone(), answer: answer.clone() };
        under_way.insert(command.id.clone(), entry);
        let left = Left { commands: self.clone(), id: command.id.clone() };
        tokio::spawn(async move {
            let _place = place;
            let settled = task.run(began, in_lane).await;
            // Before anybody is told: who is told that nothing came of it may use the id for another one.
            drop((left, in_use));
            tell.send_replace(Some(settled));
        });
        Ok((answer, true))
    }

    fn take_place(&self, command: &Command) -> Result<places::Place, CommandError> {
        let busy = |under_way| CommandError::Busy { aggregate: command.aggregate.clone(), under_way };
        self.0.places.take(&command.aggregate).map_err(busy)
    }

    /// Holds a command to what such commands are held to, without deciding it.
    ///
    /// # Errors
    /// When it does not fit, nobody decides for such aggregates, or too many of them are under way.
    pub(super) async fn hold(&self, command: &Command, stream: &StreamName) -> Result<(), CommandError> {
        let _place = self.take_place(command)?;
        let (command, stream, allow) = (command.clone(), stream.clone(), Self::allow_all());
        let deadline = Arc::new(self.deadline(&command, None));
        let digest = record::digest(&command);
        let task = Task { commands: self.clone(), command, stream, digest, allow, deadline, is_of_queue: false };
        if self.0.claims.get(&task.command.aggregate).is_none() {
            return task.unclaimed().await.map(drop);
        }
        match task.deadline.bound(task.check()).await {
            Err(CommandError::Expired { deadline_ms, .. }) if self.under_way().contains_key(&task.command.id) => {
                Err(CommandError::Expired { deadline_ms, progress: Progress::Joined })
            }
            Err(late @ CommandError::Expired { .. }) => task.late(late).await.map(drop),
            checked => checked.map(drop),
        }
    }

    /// The deadline of a command: its own, else what its manifest says; counted from now, or from a time.
    fn deadline(&self, command: &Command, since_us: Option<u64>) -> Deadline {
        let usual = || self.0.claims.get(&command.aggregate)?.setup.policy.deadline_ms;
        Deadline::new(Arc::clone(&self.0.clock), command.deadline_ms.or_else(usual), since_us)
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<String, UnderWay>> {
        self.0.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Commands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Commands").field("claims", &self.0.claims).finish_non_exhaustive()
    }
}

/// Takes a command off what is under way, also when its task panics.
struct Left {
    commands: Commands,
    id: String,
}

impl Drop for Left {
    fn drop(&mut self) {
        self.commands.under_way().remove(&self.id);
    }
}
