//! The way of a command: its outcome is looked for, else it is decided, and the outcome appended.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};

use super::aggregate::{Asked, Faulted, Stage};
use super::checks::Checks;
use super::claims::{Claims, Decider};
use super::deadline::{Deadline, Progress};
use super::error::CommandError;
use super::lanes::{self, Lanes};
use super::places::{self, Places};
use super::queue::{Queue, QueueOptions};
use super::record;
use super::request::Command;
use super::shard::{Source, Unsaved};
use super::snapshots::{SnapshotInfo, Snapshots, Wish};
use super::waiting;
use super::{Failure, Outcome, Settled};
use crate::access::Denied;
use crate::clock::{Clock, Stopwatch};
use crate::delivery::{Evidence, Fault};
use crate::event::{EventType, ExpectedVersion, NewEvent, Position, StreamName, Version};
use crate::store::{AppendError, AppendRequest, AsyncStore, Store, StreamExpectation};

/// Most commands under way at a time.
const COMMANDS_MAX: usize = 1024;
/// Most that look at an aggregate at a time.
const LOOKS_MAX: usize = 4;
/// Most events that one command leads to.
const DECIDED_EVENTS_MAX: usize = 1024;
/// Largest outcome: payloads, names and metadata of its events, in bytes.
const DECIDED_BYTES_MAX: usize = 4 << 20;

/// Whether who asks may append what was decided.
pub type Allow = Arc<dyn Fn(&AppendRequest) -> Result<(), Denied> + Send + Sync>;

/// Carries commands out. Cheap to clone; clones share what is under way.
#[derive(Clone)]
pub struct Commands(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) log: AsyncStore,
    pub(super) claims: Claims,
    checks: Arc<Checks>,
    clock: Arc<dyn Clock>,
    lanes: Lanes,
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
    digest: String,
    stream: StreamName,
    answer: watch::Receiver<Option<Answer>>,
}

type Answer = Result<Settled, CommandError>;

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

/// A command on its way.
struct Task {
    commands: Commands,
    command: Command,
    stream: StreamName,
    digest: String,
    allow: Allow,
    deadline: Arc<Deadline>,
}

/// What deciding has come to.
enum Plan {
    /// It has an outcome already.
    Settled(Settled),
    /// This is to be appended.
    Append(Box<Proposal>),
}

struct Proposal {
    request: AppendRequest,
    outcome: Proposed,
    /// The version that it was decided at.
    version: Version,
    /// What no snapshot stands for.
    unsaved: Unsaved,
}

enum Proposed {
    Events(Vec<EventType>),
    Nothing(Outcome),
}

impl Commands {
    /// Commands over a log, for aggregates that are claimed.
    #[must_use]
    pub fn new(log: AsyncStore, claims: Claims, clock: Arc<dyn Clock>) -> Self {
        Self::held_to(log, claims, clock, Arc::default())
    }

    /// The same, for commands that are held to schemas and validators.
    #[must_use]
    pub fn held_to(log: AsyncStore, claims: Claims, clock: Arc<dyn Clock>, checks: Arc<Checks>) -> Self {
        Self::queueing(log, claims, clock, checks, QueueOptions::default())
    }

    /// The same, with another queue than the usual one.
    #[must_use]
    pub fn queueing(
        log: AsyncStore,
        claims: Claims,
        clock: Arc<dyn Clock>,
        checks: Arc<Checks>,
        queue: QueueOptions,
    ) -> Self {
        let snapshots = Snapshots::new(log.clone(), claims.clone());
        Self(Arc::new(Inner {
            log,
            claims,
            checks,
            clock,
            lanes: Lanes::default(),
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
        self.send_within(command, allow, deadline).await
    }

    /// The same for one that was accepted at a time, from which its deadline is counted.
    pub(super) async fn send_since(&self, command: Command, allow: Allow, since_us: u64) -> Answer {
        let deadline = self.deadline(&command, Some(since_us));
        self.send_within(command, allow, deadline).await
    }

    async fn send_within(&self, command: Command, allow: Allow, deadline: Deadline) -> Answer {
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
            })?;
            // An error means that the task has panicked.
            let settled = answer.wait_for(Option::is_some).await.ok().and_then(|answer| answer.clone());
            let settled = match settled.unwrap_or(Err(CommandError::Panicked)) {
                // That is of who was first, and nothing came of it.
                Err(CommandError::Denied(_)) if !first => continue,
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

    /// Snapshots of streams whose names begin so, in the order of names, strictly after a stream if given, and the
    /// stream to go on after.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn snapshots(
        &self,
        prefix: String,
        after: Option<String>,
        limit: usize,
    ) -> Result<(Vec<SnapshotInfo>, Option<String>), CommandError> {
        self.0.snapshots.list(prefix, after, limit).await
    }

    /// Drops the snapshot of a stream; says whether there was one. It is written again when it is due. One that stands for
    /// removed events is dropped by `force` only.
    ///
    /// # Errors
    /// When it is needed, or the store cannot be read or written.
    pub async fn drop_snapshot(&self, stream: &StreamName, force: bool) -> Result<bool, CommandError> {
        self.0.snapshots.drop_one(stream, force).await
    }

    /// Joins the same command that is under way, or begins it.
    fn enter(&self, task: Task) -> Result<(watch::Receiver<Option<Answer>>, bool), CommandError> {
        let Task { command, stream, digest, .. } = &task;
        let mut under_way = self.under_way();
        match under_way.get(&command.id) {
            Some(other) if other.digest != *digest => {
                return Err(CommandError::IdTaken { id: command.id.clone() });
            }
            Some(same) => return Ok((same.answer.clone(), false)),
            None => {}
        }
        let place = self.take_place(command)?;
        // Now, as tasks begin in any order.
        let (began, in_lane) = (Stopwatch::start(), self.0.lanes.enter(stream));
        let (tell, answer) = watch::channel(None);
        let entry = UnderWay { digest: digest.clone(), stream: stream.clone(), answer: answer.clone() };
        under_way.insert(command.id.clone(), entry);
        let left = Left { commands: self.clone(), id: command.id.clone() };
        tokio::spawn(async move {
            let _place = place;
            let settled = task.run(began, in_lane).await;
            drop(left);
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
        let task = Task { commands: self.clone(), command, stream, digest, allow, deadline };
        if self.0.claims.get(&task.command.aggregate).is_none() {
            return task.unclaimed().await.map(drop);
        }
        task.deadline.bound(task.check()).await.map(drop)
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

impl Task {
    /// Settles the command, which came when `began` did, at its turn.
    async fn run(self, began: Stopwatch, mut place: lanes::Place) -> Answer {
        let at_its_turn = async {
            place.turn().await;
            self.settle().await
        };
        let answer = self.deadline.bound(at_its_turn).await;
        let Command { aggregate, id, command_type, .. } = &self.command;
        let Some(decider) = self.commands.0.claims.get(aggregate) else { return answer };
        let counts = &decider.counts;
        let counter = match &answer {
            Ok(Settled { repeated: true, .. }) => &counts.repeated,
            Ok(Settled { outcome: Outcome::Accepted(_), .. }) => &counts.accepted,
            Ok(Settled { outcome: Outcome::Rejected(_), .. }) => &counts.rejected,
            Err(CommandError::Refused { .. } | CommandError::UnknownType { .. }) => &counts.invalid,
            Err(CommandError::Expired { .. }) => &counts.expired,
            Err(error) if error.fault().is_some() => &counts.faulted,
            Err(_) => &counts.refused,
        };
        counter.add(1);
        counts.times.record(began.elapsed_ns());
        let correlation_id = self.command.metadata.get(crate::event::metadata_key::CORRELATION_ID).unwrap_or(id);
        match &answer {
            Ok(Settled { repeated, version, outcome, .. }) => {
                let rejection = match outcome {
                    Outcome::Rejected(rejection) => Some(rejection.code.as_str()),
                    Outcome::Accepted(_) => None,
                };
                tracing::debug!(command = id, command_type, stream = %self.stream, correlation_id, repeated, %version, rejection, "command settled");
            }
            Err(error) => {
                tracing::info!(command = id, command_type, stream = %self.stream, correlation_id, %error, "command without outcome");
            }
        }
        answer
    }

    /// Decides until the stream stands still meanwhile, or often enough.
    async fn settle(&self) -> Answer {
        if let Some(settled) = self.check().await? {
            return Ok(settled);
        }
        let mut attempts = 0;
        loop {
            let Some(decider) = self.commands.0.claims.get(&self.command.aggregate) else {
                return self.unclaimed().await;
            };
            attempts += 1;
            let proposal = match self.plan(&decider).await? {
                Plan::Settled(settled) => return Ok(settled),
                Plan::Append(proposal) => proposal,
            };
            if matches!(proposal.outcome, Proposed::Events(_)) {
                (self.allow)(&proposal.request)?;
            }
            self.deadline.enter(Progress::Appending)?;
            let Proposal { request, outcome, version, unsaved } = *proposal;
            let appended = self.commands.0.log.append(request).await.map_err(CommandError::from);
            let appended = match appended {
                Ok(appended) => appended,
                Err(error) if error.is_conflict() => {
                    decider.counts.decided_again.add(1);
                    if attempts > decider.setup.policy.retries {
                        return Err(CommandError::Contended { stream: self.stream.clone(), attempts });
                    }
                    self.deadline.enter(Progress::Waiting)?;
                    let wait_us = decider.setup.policy.backoff.wait_us(attempts, &mut fastrand::Rng::new());
                    tokio::time::sleep(Duration::from_micros(wait_us)).await;
                    continue;
                }
                // Somebody else's event has the id that follows from the command's.
                Err(CommandError::Append(AppendError::IdConflict { .. } | AppendError::PartlyStored { .. })) => {
                    return Err(CommandError::IdTaken { id: self.command.id.clone() });
                }
                Err(error) => return Err(error),
            };
            return Ok(match outcome {
                Proposed::Events(types) => {
                    let settled = record::accepted(&self.command, &self.stream, types, appended);
                    self.wish_snapshot(&decider, settled.version, unsaved);
                    settled
                }
                Proposed::Nothing(outcome) => Settled {
                    id: self.command.id.clone(),
                    command_type: self.command.command_type.clone(),
                    stream: self.stream.clone(),
                    version,
                    position: appended.last_position(),
                    outcome,
                    repeated: false,
                },
            });
        }
    }

    /// What is known of a command that nobody decides.
    async fn unclaimed(&self) -> Answer {
        let id = self.command.id.clone();
        match self.commands.0.log.run(move |store| record::find(store, &id)).await? {
            Some(found) => self.same(found),
            None => {
                self.deadline.enter(Progress::Waiting)?;
                let (aggregate, known) = (self.command.aggregate.clone(), self.commands.0.claims.in_words());
                Err(CommandError::UnknownAggregate { aggregate, known })
            }
        }
    }

    fn same(&self, (digest, settled): (String, Settled)) -> Answer {
        if digest == self.digest { Ok(settled) } else { Err(CommandError::IdTaken { id: self.command.id.clone() }) }
    }

    /// Holds the command to what such commands are held to, unless it has an outcome: that is answered then.
    async fn check(&self) -> Result<Option<Settled>, CommandError> {
        let Some(decider) = self.commands.0.claims.get(&self.command.aggregate) else { return Ok(None) };
        let (rules, unknown) = (self.commands.0.checks.of(&self.command), unknown_type(&decider, &self.command));
        if matches!(rules, Ok(None)) && unknown.is_none() {
            return Ok(None);
        }
        let (command, deadline) = (self.command.clone(), Arc::clone(&self.deadline));
        let timestamp_us = self.commands.0.clock.now_us();
        let places = match &rules {
            Ok(Some(rules)) => rules.places().await,
            Ok(None) | Err(_) => Vec::new(),
        };
        let checked = self.commands.0.log.run(move |store| {
            // Held as long as the validators are asked, also when nobody waits for that any more.
            let _places = places;
            if let Some(found) = record::find(store, &command.id)? {
                return Ok(Some(found));
            }
            deadline.enter(Progress::Checked)?;
            if let Some(error) = unknown {
                return Err(error);
            }
            if let Some(rules) = rules? {
                rules.hold(&command, &asked(&command, timestamp_us))?;
            }
            deadline.enter(Progress::Waiting)?;
            Ok(None)
        });
        checked.await?.map(|found| self.same(found)).transpose()
    }

    /// Looks for an outcome, else decides, on a blocking thread.
    async fn plan(&self, decider: &Arc<Decider>) -> Result<Plan, CommandError> {
        let desk = decider.shard(&self.stream);
        let (decider, clock) = (Arc::clone(decider), Arc::clone(&self.commands.0.clock));
        let (command, stream, digest) = (self.command.clone(), self.stream.clone(), self.digest.clone());
        let (deadline, log) = (Arc::clone(&self.deadline), Arc::clone(self.commands.0.log.store()));
        let planned = desk.run(move |shard| {
            let (began, timestamp_us, store) = (Stopwatch::start(), clock.now_us(), &*log);
            if let Some(found) = record::find(store, &command.id)? {
                return Ok(Found::Before(found));
            }
            waiting::refuse_given_up(store, &command.id, &digest)?;
            deadline.enter(Progress::Deciding)?;
            let source = Source { setup: &decider.setup, store, stream: &stream, key: &command.key };
            let planned = shard.with(&source, |host, hot| {
                check_expected(&command, &stream, hot.version)?;
                let asked = asked(&command, timestamp_us);
                let decided = host.decide(hot.handle, &asked).map_err(|faulted| source.faulted(faulted))?;
                // Within, so that code that decides what makes no sense is not kept.
                let decided = match decided {
                    Ok(events) => Ok(checked(&decider, &source, events)?),
                    Err(rejection) => Err(rejection),
                };
                Ok((decided, hot.version, hot.unsaved))
            });
            decider.counts.decide_times.record(began.elapsed_ns());
            let (decided, version, unsaved) = planned?;
            let proposal = match decided {
                Ok(events) if events.is_empty() => {
                    let outcome = Outcome::Accepted(Vec::new());
                    let event = record::kept(&command, &digest, (&stream, version), None);
                    let condition = command.condition.clone();
                    let request = AppendRequest { condition, ..AppendRequest::unconditional(vec![event]) };
                    Proposal { request, outcome: Proposed::Nothing(outcome), version, unsaved }
                }
                Ok(events) => propose(&command, &digest, (&stream, version), events, unsaved),
                Err(rejection) => {
                    let event = record::kept(&command, &digest, (&stream, version), Some(&rejection));
                    let outcome = Proposed::Nothing(Outcome::Rejected(rejection));
                    Proposal { request: AppendRequest::unconditional(vec![event]), outcome, version, unsaved }
                }
            };
            Ok::<_, CommandError>(Found::Now(Box::new(proposal)))
        });
        match planned.await? {
            Found::Before(found) => self.same(found).map(Plan::Settled),
            Found::Now(mut proposal) => {
                proposal.request.by_host = true;
                Ok(Plan::Append(proposal))
            }
        }
    }

    /// Has a snapshot written when the last one is old enough.
    fn wish_snapshot(&self, decider: &Decider, version: Version, unsaved: Unsaved) {
        if unsaved.is_due(&decider.setup.policy, version) {
            let Command { aggregate, key, .. } = &self.command;
            let wish = Wish { category: aggregate.clone(), key: key.clone(), stream: self.stream.clone() };
            self.commands.0.snapshots.wish(wish);
        }
    }
}

/// What was found in the log, or decided.
enum Found {
    Before((String, Settled)),
    Now(Box<Proposal>),
}

/// The error of a command whose type is not among those that its manifest lists.
fn unknown_type(decider: &Decider, command: &Command) -> Option<CommandError> {
    let known: Vec<_> = decider.setup.policy.commands.as_ref()?.iter().map(String::as_str).collect();
    let given = command.command_type.as_str();
    (!known.contains(&given)).then(|| CommandError::UnknownType {
        aggregate: command.aggregate.clone(),
        unknown: crate::nearest::unknown("command type", given, &known),
    })
}

fn asked(command: &Command, timestamp_us: u64) -> Asked {
    Asked {
        id: command.id.clone(),
        command_type: command.command_type.clone(),
        data: command.data.clone(),
        content_type: command.content_type.clone(),
        metadata: command.metadata.clone(),
        timestamp_us,
    }
}

fn check_expected(command: &Command, stream: &StreamName, version: Version) -> Result<(), CommandError> {
    if command.expected.holds(version) {
        return Ok(());
    }
    let (stream, expected) = (stream.clone(), command.expected);
    Err(AppendError::WrongExpectedVersion { stream, expected, actual: version }.into())
}

/// Holds what was decided against bounds and grants.
fn checked(decider: &Decider, source: &Source<'_>, events: Vec<NewEvent>) -> Result<Vec<NewEvent>, CommandError> {
    let plugin = &decider.setup.plugin;
    let (count, bytes) = (events.len(), events.iter().map(NewEvent::size_bytes).sum::<usize>());
    if count > DECIDED_EVENTS_MAX || bytes > DECIDED_BYTES_MAX {
        return Err(source.faulted(bad_reply(format!(
            "it decided on {count} events of {bytes} bytes; at most {DECIDED_EVENTS_MAX} events of {DECIDED_BYTES_MAX} \
             bytes may follow from one command"
        ))));
    }
    for (index, event) in events.iter().enumerate() {
        if let Err(reason) = event.validate() {
            return Err(source.faulted(bad_reply(format!("event {index} of its decision: {reason}"))));
        }
        if !decider.may_append(event.event_type.as_str()) {
            let error = CommandError::NotGranted { plugin: plugin.clone(), event_type: event.event_type.clone() };
            tracing::warn!(%plugin, stream = %source.stream, reason = %error, "plugin was denied something");
            return Err(error);
        }
    }
    Ok(events)
}

fn bad_reply(reason: String) -> Faulted {
    Faulted { stage: Stage::Decide, fault: Fault::BadReply, reason, evidence: Evidence::default() }
}

fn propose(
    command: &Command,
    digest: &str,
    (stream, version): (&StreamName, Version),
    mut events: Vec<NewEvent>,
    unsaved: Unsaved,
) -> Proposal {
    let types = events.iter().map(|event| event.event_type.clone()).collect();
    record::complete(command, digest, stream, &mut events);
    let expected = StreamExpectation { stream: stream.clone(), expected: ExpectedVersion::Exact(version) };
    let (expected, condition) = (vec![expected], command.condition.clone());
    let request = AppendRequest { expected, condition, ..AppendRequest::unconditional(events) };
    Proposal { request, outcome: Proposed::Events(types), version, unsaved }
}
