//! One group: proposals that share a record of the journal and its sync. What each comes to is decided on its
//! own, against the log with what the group has decided so far; one that is refused does not hurt the others.

use std::mem;
use std::sync::Arc;

use uuid::Uuid;

use super::activity::Counting;
use super::fences::{Fences, Undo};
use super::hot::{Entry, Generation};
use super::lookup;
use super::overlay::Work;
use super::plan;
use super::reads;
use super::view::View;
use crate::clock::Stopwatch;
use crate::event::{NewEvent, Position, Query, RecordedEvent, StreamName};
use crate::store::decide::{self, Decision, LogView};
use crate::store::{
    AppendError, AppendRequest, Appended, CommitError, Committed, PluginChange, Reply, StoreError, StreamHead,
    UnitOfWork,
};

/// A submitted write.
#[derive(Debug)]
pub(super) enum Proposal {
    /// With the time of its submission.
    Append(AppendRequest, Reply<Result<Appended, AppendError>>, Stopwatch),
    Commit(Box<UnitOfWork>, Reply<Result<Committed, CommitError>>),
    Change(Box<PluginChange>, Reply<Result<(), CommitError>>),
    /// Writes nothing: is there anybody who would?
    Ping(Reply<Result<(), StoreError>>),
}

/// What a proposal came to, kept until the group is on stable storage.
#[derive(Debug)]
enum Answer {
    Append(Reply<Result<Appended, AppendError>>, Result<Appended, AppendError>, Stopwatch),
    Commit(Reply<Result<Committed, CommitError>>, Result<Committed, CommitError>),
    Change(Reply<Result<(), CommitError>>, Result<(), CommitError>),
    Ping(Reply<Result<(), StoreError>>),
}

/// The proposals of one record, decided.
pub(super) struct Group {
    view: Arc<View>,
    /// Head of the log before the group.
    pub(super) start: Position,
    timestamp_us: u64,
    /// To be written; they are in the newest index already.
    pub(super) events: Vec<RecordedEvent>,
    /// To be written, without their events.
    pub(super) works: Vec<Work>,
    /// Takes back what they did to the fences, oldest first.
    undo: Vec<Undo>,
    answers: Vec<Answer>,
}

impl Group {
    /// An empty group that follows the event at `start`.
    pub(super) fn new(view: Arc<View>, start: Position, timestamp_us: u64) -> Self {
        let (events, works, undo, answers) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { view, start, timestamp_us, events, works, undo, answers }
    }

    /// Position of the last event decided so far.
    pub(super) fn last(&self) -> Position {
        self.events.last().map_or(self.start, |event| event.position)
    }

    /// The journal it goes to.
    pub(super) fn active(&self) -> &Arc<Generation> {
        self.view.active()
    }

    /// Whether there is nothing to write.
    pub(super) const fn is_empty(&self) -> bool {
        self.events.is_empty() && self.works.is_empty()
    }

    /// How many proposals it holds.
    pub(super) const fn len(&self) -> usize {
        self.answers.len()
    }

    /// Decides a proposal. `fences` are those after the group so far.
    pub(super) fn decide(&mut self, proposal: Proposal, fences: &mut Fences) {
        let answer = match proposal {
            Proposal::Append(request, reply, since) => {
                Answer::Append(reply, self.decide_append(request, fences), since)
            }
            Proposal::Commit(work, reply) => Answer::Commit(reply, self.decide_commit(*work, fences)),
            Proposal::Change(change, reply) => Answer::Change(reply, self.decide_work(Work::Plugin(*change), fences)),
            Proposal::Ping(reply) => Answer::Ping(reply),
        };
        self.answers.push(answer);
    }

    fn decide_append(&mut self, request: AppendRequest, fences: &mut Fences) -> Result<Appended, AppendError> {
        match decide::decide(&self.with(fences), request, self.last(), self.timestamp_us)? {
            Decision::Repeat(appended) => Ok(appended),
            Decision::Write(events, tracking) => {
                let appended = decide::appended(&events);
                if let Some(tracking) = tracking {
                    self.add(Work::Tracking(tracking), fences);
                }
                self.take(events);
                Ok(appended)
            }
        }
    }

    fn decide_commit(&mut self, mut work: UnitOfWork, fences: &mut Fences) -> Result<Committed, CommitError> {
        let events = mem::take(&mut work.events);
        let work = Work::Unit(work);
        fences.check(&work)?;
        let appended = self.decide_events(events, fences).map_err(|error| match error {
            AppendError::Store(error) => CommitError::Store(error),
            error => CommitError::Append(error),
        })?;
        self.decide_work(work, fences)?;
        Ok(Committed { appended })
    }

    fn decide_work(&mut self, work: Work, fences: &mut Fences) -> Result<(), CommitError> {
        fences.check(&work)?;
        self.add(work, fences);
        Ok(())
    }

    /// Adds what was decided.
    fn add(&mut self, work: Work, fences: &mut Fences) {
        self.undo.push(fences.apply(&work));
        self.works.push(work);
    }

    fn decide_events(&mut self, events: Vec<NewEvent>, fences: &Fences) -> Result<Option<Appended>, AppendError> {
        if events.is_empty() {
            return Ok(None);
        }
        let decision = decide::decide_work(&self.with(fences), events, self.last(), self.timestamp_us)?;
        self.take(decision.write);
        Ok(decision.appended)
    }

    /// Adds decided events to the group and to the index, so that later proposals see them.
    fn take(&mut self, events: Vec<RecordedEvent>) {
        let mut data = self.view.active().data_mut();
        for event in &events {
            let added = data.index.add(&Entry::of(event), &self.view.removals);
            assert!(added.is_ok(), "decided against this very index: {added:?}");
        }
        drop(data);
        self.events.extend(events);
    }

    /// Tells everybody what became of their proposals.
    pub(super) fn answer(self, counting: &Counting) {
        if !self.events.is_empty() {
            counting.commit_events.record(self.events.len() as u64);
        }
        let now = Stopwatch::start();
        for answer in self.answers {
            match answer {
                Answer::Append(reply, result, since) => {
                    if result.is_ok() {
                        counting.append.record(now.since_ns(since));
                    }
                    reply.send(result);
                }
                Answer::Commit(reply, result) => reply.send(result),
                Answer::Change(reply, result) => reply.send(result),
                Answer::Ping(reply) => reply.send(Ok(())),
            }
        }
    }

    /// Takes everything back, and tells everybody that nothing of it is stored.
    pub(super) fn refuse(self, error: &StoreError, fences: &mut Fences) {
        self.undo.into_iter().rev().for_each(|undo| fences.undo(undo));
        let mut data = self.view.active().data_mut();
        for event in self.events.iter().rev() {
            data.index.undo(&Entry::of(event));
        }
        drop(data);
        for answer in self.answers {
            match answer {
                Answer::Append(reply, ..) => reply.send(Err(error.clone().into())),
                Answer::Commit(reply, _) => reply.send(Err(error.clone().into())),
                Answer::Change(reply, _) => reply.send(Err(error.clone().into())),
                Answer::Ping(reply) => reply.send(Err(error.clone())),
            }
        }
    }

    const fn with<'a>(&'a self, fences: &'a Fences) -> Deciding<'a> {
        Deciding { group: self, fences }
    }

    /// An event of the group; none if it stands before the group.
    fn own(&self, position: Position) -> Option<&RecordedEvent> {
        let ahead = position.0.checked_sub(self.start.0 + 1)?;
        self.events.get(usize::try_from(ahead).ok()?)
    }
}

impl Proposal {
    /// Answers it without deciding it.
    pub(super) fn refuse(self, error: StoreError) {
        match self {
            Self::Append(_, reply, _) => reply.send(Err(error.into())),
            Self::Commit(_, reply) => reply.send(Err(error.into())),
            Self::Change(_, reply) => reply.send(Err(error.into())),
            Self::Ping(reply) => reply.send(Err(error)),
        }
    }

    /// Events it brings.
    pub(super) fn events(&self) -> usize {
        match self {
            Self::Append(request, ..) => request.events.len(),
            Self::Commit(work, _) => work.events.len(),
            Self::Change(..) | Self::Ping(_) => 0,
        }
    }
}

/// The log as a proposal of the group sees it.
struct Deciding<'a> {
    group: &'a Group,
    fences: &'a Fences,
}

impl LogView for Deciding<'_> {
    fn stream_head(&self, stream: &StreamName) -> Result<Option<StreamHead>, StoreError> {
        lookup::stream_head(&self.group.view, stream, Position(u64::MAX))
    }

    fn find(&self, id: Uuid) -> Result<Option<RecordedEvent>, StoreError> {
        let Some(position) = lookup::position_of(&self.group.view, id)? else { return Ok(None) };
        match self.group.own(position) {
            Some(event) => Ok(Some(event.clone())),
            None => reads::event_at(&self.group.view, position),
        }
    }

    fn last_match(&self, query: &Query, after: Position) -> Result<Option<Position>, StoreError> {
        let group = self.group;
        plan::last_match(&group.view, query, (after, group.last()), |position| group.own(position).cloned())
    }

    fn tracking(&self, source: &str) -> Result<Option<u64>, StoreError> {
        Ok(self.fences.tracking(source))
    }
}
