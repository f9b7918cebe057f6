//! One command on its way: held to what such commands are held to, decided, appended; again where that is worth it.

use std::sync::Arc;
use std::time::Duration;

use super::aggregate::Asked;
use super::bus::{Allow, Answer, Commands};
use super::checks::Rules;
use super::claims::Decider;
use super::deadline::{Deadline, Progress};
use super::decision::{Proposal, Proposed, checked};
use super::desk::Tell;
use super::error::CommandError;
use super::lanes;
use super::record::{self, Outcome, Settled, Stamp};
use super::request::Command;
use super::shard::{Shard, Source, Unsaved};
use super::snapshots::Wish;
use super::transient::Transient;
use super::{logged, waiting};
use crate::clock::Stopwatch;
use crate::event::{NewEvent, StreamName, Version};
use crate::store::{AppendError, Appended, AsyncStore, Store, heavy_turn};

/// Most bytes of events that wait in memory for the aggregate that decided them.
const OWN_BYTES_MAX: usize = 4 << 10;

/// A command on its way.
pub(super) struct Task {
    pub(super) commands: Commands,
    pub(super) command: Command,
    pub(super) stream: StreamName,
    pub(super) digest: String,
    pub(super) allow: Allow,
    pub(super) deadline: Arc<Deadline>,
    /// Whether it is the queue that has it decided.
    pub(super) is_of_queue: bool,
}

/// What was found in the log, or decided.
enum Found {
    Before((String, Settled)),
    Now(Proposal),
}

/// What deciding has come to.
enum Plan {
    /// It had an outcome already, and this is the digest of what asked for it.
    Before((String, Settled)),
    /// It was decided, and this is what the store says.
    Decided(Box<Made>, Result<Appended, AppendError>),
}

/// A decision that was handed to the store.
struct Made {
    outcome: Proposed,
    version: Version,
    unsaved: Unsaved,
    /// The events, for the aggregate that decided on them; none if they are too large to wait for it.
    own: Option<Vec<NewEvent>>,
}

impl Task {
    /// Settles the command, which came when `began` did, at its turn.
    pub(super) async fn run(self, began: Stopwatch, mut place: lanes::Place) -> Answer {
        let at_its_turn = async {
            place.turn().await;
            self.settle().await
        };
        let answer = match self.deadline.bound(at_its_turn).await {
            Err(late @ CommandError::Expired { .. }) => self.late(late).await,
            answer => answer,
        };
        logged::answer(&self.command, &self.stream, &answer);
        let Some(decider) = self.decider() else { return answer };
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
        answer
    }

    /// What is true of a command that came to its deadline, after which nothing is begun for it: it may have an outcome
    /// from before, or be one that was accepted and goes on.
    pub(super) async fn late(&self, late: CommandError) -> Answer {
        let (id, digest, is_of_queue) = (self.command.id.clone(), self.digest.clone(), self.is_of_queue);
        let look = move |store: &dyn Store| match record::find(store, &id)? {
            Some(found) => Ok((Some(found), false)),
            None if is_of_queue => Ok((None, false)),
            None => waiting::refuse_taken(store, &id, &digest).map(|accepted| (None, accepted.is_some())),
        };
        match (self.commands.0.log.run(look).await?, late) {
            ((Some(found), _), _) => self.same(found),
            ((None, true), CommandError::Expired { deadline_ms, .. }) => {
                Err(CommandError::Expired { deadline_ms, progress: Progress::Queued })
            }
            ((None, _), late) => Err(late),
        }
    }

    fn decider(&self) -> Option<Arc<Decider>> {
        self.commands.0.claims.get(&self.command.aggregate)
    }

    /// Tries until it is settled, or fails in a way that is not worth another try, or often enough.
    async fn settle(&self) -> Answer {
        let (mut attempts, mut is_checked) = (0, false);
        loop {
            attempts += 1;
            let error = match self.attempt(attempts, &mut is_checked).await {
                Ok(settled) => return Ok(settled),
                Err(error) => error,
            };
            let (Some(class), Some(decider)) = (Transient::of(&error), self.decider()) else { return Err(error) };
            let policy = &decider.setup.policy;
            if attempts > policy.retries || !class.is_borne(policy.retry_on.as_deref()) {
                return Err(error);
            }
            self.deadline.enter(Progress::Waiting)?;
            let wait_us = policy.backoff.wait_us(attempts, &mut fastrand::Rng::new());
            tokio::time::sleep(Duration::from_micros(wait_us)).await;
            if class == Transient::Conflict {
                decider.counts.decided_again.add(1);
            }
        }
    }

    /// Checks, decides and appends once. Checks that a command has passed hold for all attempts.
    async fn attempt(&self, attempts: u32, is_checked: &mut bool) -> Answer {
        if !*is_checked && let Some(settled) = self.check().await? {
            return Ok(settled);
        }
        *is_checked = true;
        let Some(decider) = self.decider() else { return self.unclaimed().await };
        let planned = self.plan(&decider).await;
        if let Some(version) = decider.unfit.take(&self.stream) {
            self.commands.0.snapshots.drop_unfit(&self.stream, version).await;
        }
        let (Made { outcome, version, unsaved, own }, appended) = match planned? {
            Plan::Before(found) => return self.same(found),
            Plan::Decided(made, appended) => (*made, appended),
        };
        let appended = match appended {
            Ok(appended) => appended,
            // Who comes with a version is refused before it is decided, so the stream moved since.
            Err(AppendError::WrongExpectedVersion { .. }) => {
                return Err(CommandError::Contended { stream: self.stream.clone(), attempts });
            }
            // Somebody else's event has the id that follows from the command's.
            Err(AppendError::IdConflict { .. } | AppendError::PartlyStored { .. }) => return Err(self.id_taken()),
            Err(error) => return Err(outcome.refused(&self.source(&decider), error)),
        };
        let settled = match outcome {
            Proposed::Events(types) => {
                self.advance(&decider, own, &appended);
                record::accepted(&self.command, &self.stream, types, appended)
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
        };
        self.wish_snapshot(&decider, settled.version, unsaved);
        Ok(settled)
    }

    fn source<'a>(&'a self, decider: &'a Decider) -> Source<'a> {
        let store = &**self.commands.0.log.store();
        Source { setup: &decider.setup, store, stream: &self.stream, key: &self.command.key, awaited: None }
    }

    /// What is known of a command that nobody decides.
    pub(super) async fn unclaimed(&self) -> Answer {
        let (id, digest) = (self.command.id.clone(), self.digest.clone());
        match self.commands.0.log.run(move |store| waiting::known(store, &id, &digest)).await? {
            Some(found) => self.same(found),
            None => {
                self.deadline.enter(Progress::Waiting)?;
                Err(self.commands.0.claims.unclaimed(self.command.aggregate.clone()))
            }
        }
    }

    fn same(&self, (digest, settled): (String, Settled)) -> Answer {
        if digest == self.digest { Ok(settled) } else { Err(self.id_taken()) }
    }

    fn id_taken(&self) -> CommandError {
        CommandError::IdTaken { id: self.command.id.clone(), for_now: false }
    }

    /// Holds the command to what such commands are held to, unless it has an outcome: that is answered then.
    pub(super) async fn check(&self) -> Result<Option<Settled>, CommandError> {
        let Some(decider) = self.decider() else { return Ok(None) };
        let (rules, unknown) = (self.commands.0.checks.of(&self.command), unknown_type(&decider, &self.command));
        if matches!(rules, Ok(None)) && unknown.is_none() {
            return Ok(None);
        }
        let (mut is_held, mut places) = (false, Vec::new());
        if let Ok(Some(rules)) = &rules {
            // Before it has places at validators: who waits for a turn keeps nobody from them.
            if unknown.is_none() && rules.may_be_heavy(&self.command) {
                if let Some(found) = self.hold_to_schema(rules).await? {
                    return self.same(found).map(Some);
                }
                is_held = true;
            }
            places = rules.places().await;
        }
        let (command, digest, deadline) = (self.command.clone(), self.digest.clone(), Arc::clone(&self.deadline));
        let timestamp_us = self.commands.0.clock.now_us();
        let checked = self.commands.0.log.run(move |store| {
            // Held as long as the validators are asked, also when nobody waits for that any more.
            let _places = places;
            if let Some(found) = waiting::known(store, &command.id, &digest)? {
                return Ok(Some(found));
            }
            deadline.enter(Progress::Checked)?;
            if let Some(error) = unknown {
                return Err(error);
            }
            if let Some(rules) = rules? {
                if !is_held {
                    rules.hold_to_schema(&command, None)?;
                }
                rules.ask(&command, &asked(&command, timestamp_us))?;
            }
            deadline.enter(Progress::Waiting)?;
            Ok(None)
        });
        checked.await?.map(|found| self.same(found)).transpose()
    }

    /// Holds the command to its schema, at its turn if that takes much, unless it has an outcome: that is answered then.
    async fn hold_to_schema(&self, rules: &Rules) -> Result<Option<(String, Settled)>, CommandError> {
        let mut turn = None;
        loop {
            let (rules, command, digest) = (rules.clone(), self.command.clone(), self.digest.clone());
            let deadline = Arc::clone(&self.deadline);
            let held = self.commands.0.log.run(move |store| {
                if let Some(found) = waiting::known(store, &command.id, &digest)? {
                    return Ok((Some(found), true));
                }
                deadline.enter(Progress::Checked)?;
                let is_held = rules.hold_to_schema(&command, turn)?;
                deadline.enter(Progress::Waiting)?;
                Ok::<_, CommandError>((None, is_held))
            });
            match held.await? {
                (found, true) => return Ok(found),
                (_, false) => turn = Some(heavy_turn().await),
            }
        }
    }

    /// Looks for an outcome, else decides, on a blocking thread, which hands what was decided to the store itself: this
    /// task is woken when the store has answered, and not before.
    async fn plan(&self, decider: &Arc<Decider>) -> Result<Plan, CommandError> {
        let desk = decider.shard(&self.stream);
        let (decider, clock) = (Arc::clone(decider), Arc::clone(&self.commands.0.clock));
        let (command, stream, digest) = (self.command.clone(), self.stream.clone(), self.digest.clone());
        let (deadline, allow) = (Arc::clone(&self.deadline), Arc::clone(&self.allow));
        let log = Arc::clone(self.commands.0.log.store());
        let decide = move |shard: &mut Shard| {
            let (began, timestamp_us, store) = (Stopwatch::start(), clock.now_us(), &*log);
            let stamp = Stamp { ids: store.own_ids(), digest: &digest };
            if let Some(found) = waiting::known(store, &command.id, &digest)? {
                return Ok(Found::Before(found));
            }
            deadline.enter(Progress::Deciding)?;
            let source = Source { setup: &decider.setup, store, stream: &stream, key: &command.key, awaited: None };
            let planned = shard.with(&source, |host, hot| {
                // As a value: the aggregate is none the worse for it.
                if let Err(refused) = check_expected(&command, &stream, hot.version) {
                    return Ok(Err(refused));
                }
                let asked = asked(&command, timestamp_us);
                let decided = host.decide(hot.handle, &asked).map_err(|faulted| source.faulted(faulted))?;
                // Within, so that code that decides what makes no sense is not kept.
                let decided = match decided {
                    Ok(events) => Ok(checked(&decider, &source, &command, events)?),
                    Err(rejection) => Err(rejection),
                };
                let first_id = record::event_id(stamp.ids, &command.id, 0);
                hot.unsaved.note_removed(store.removals().horizon(decider.setup.category.as_str()));
                hot.awaits = matches!(&decided, Ok(events) if !events.is_empty()).then_some(first_id);
                Ok(Ok((decided, hot.version, hot.unsaved, std::mem::take(&mut hot.ahead_ns))))
            });
            let ahead_ns =
                planned.as_ref().ok().and_then(|planned| planned.as_ref().ok()).map_or(0, |(.., ahead_ns)| *ahead_ns);
            decider.counts.decide_times.record(began.elapsed_ns() + ahead_ns);
            let (decided, version, unsaved, _) = planned??;
            Ok(Found::Now(Proposal::of(&command, stamp, (&stream, version), decided, unsaved)))
        };
        let (deadline, log) = (Arc::clone(&self.deadline), self.commands.0.log.clone());
        desk.begin(move |shard, tell| match decide(shard) {
            Ok(Found::Now(proposal)) => submit(&log, proposal, &allow, &deadline, tell),
            Ok(Found::Before(found)) => drop(tell.send(Ok(Plan::Before(found)))),
            Err(error) => drop(tell.send(Err(error))),
        })
        .await
    }

    /// Has the aggregate take in what it decided, before it is used again.
    fn advance(&self, decider: &Arc<Decider>, own: Option<Vec<NewEvent>>, appended: &Appended) {
        let Some(events) = own.map(|events| record::recorded(events, appended)) else { return };
        let (stream, key) = (self.stream.clone(), self.command.key.clone());
        // What lies on the decider's own desk must keep neither it nor the store.
        let (by, log) = (Arc::downgrade(decider), Arc::downgrade(self.commands.0.log.store()));
        decider.shard(&self.stream).leave(move |shard| {
            let (Some(by), Some(log)) = (by.upgrade(), log.upgrade()) else { return };
            let source = Source { setup: &by.setup, store: &*log, stream: &stream, key: &key, awaited: None };
            shard.advance(&source, events);
        });
    }

    /// Has a snapshot written when the last one is old enough, or retention took what came since.
    fn wish_snapshot(&self, decider: &Decider, version: Version, unsaved: Unsaved) {
        if unsaved.is_due(&decider.setup.policy, version) {
            let Command { aggregate, key, .. } = &self.command;
            let wish = Wish { category: aggregate.clone(), key: key.clone(), stream: self.stream.clone() };
            self.commands.0.snapshots.wish(wish);
        }
    }
}

/// Has what was decided appended, if who sent the command may append it, and the deadline has not passed; tells what the
/// store says of it.
fn submit(log: &AsyncStore, proposal: Proposal, allow: &Allow, deadline: &Deadline, tell: Tell<Plan>) {
    let Proposal { request, outcome, version, unsaved } = proposal;
    let allowed = if matches!(outcome, Proposed::Events(_)) { allow(&request).map_err(Into::into) } else { Ok(()) };
    if let Err(error) = allowed.and_then(|()| deadline.enter(Progress::Appending)) {
        // Nobody may wait any more.
        let _ = tell.send(Err(error));
        return;
    }
    let own = is_small(&request.events).then(|| request.events.clone());
    let made = Box::new(Made { outcome, version, unsaved, own });
    log.append_then(request, |appended| drop(tell.send(Ok(Plan::Decided(made, appended)))));
}

/// Whether events are handed to the aggregate that they are of without reading them again.
fn is_small(events: &[NewEvent]) -> bool {
    events.iter().map(NewEvent::size_bytes).sum::<usize>() <= OWN_BYTES_MAX
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
