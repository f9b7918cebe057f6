//! One group: proposals that share a transaction. What each comes to is decided on its own, against the
//! log with what the group has decided so far; one that is refused does not hurt the others.

use std::collections::HashMap;
use std::mem;

use uuid::Uuid;

use super::failure::contain_read;
use super::index::Entry;
use super::reads;
use super::shared::Shared;
use crate::event::{NewEvent, PluginName, Position, RecordedEvent, StreamName, Version};
use crate::store::decide::{self, Decision, LogView};
use crate::store::{
    AppendError, AppendRequest, Appended, CommitError, Committed, Progress, Reply, StoreError, UnitOfWork,
};

/// A submitted write.
#[derive(Debug)]
pub(super) enum Proposal {
    Append(AppendRequest, Reply<Result<Appended, AppendError>>),
    Commit(Box<UnitOfWork>, Reply<Result<Committed, CommitError>>),
}

/// What a proposal came to, kept until the group is on stable storage.
#[derive(Debug)]
enum Answer {
    Append(Reply<Result<Appended, AppendError>>, Result<Appended, AppendError>),
    Commit(Reply<Result<Committed, CommitError>>, Result<Committed, CommitError>),
}

/// The proposals of one transaction, decided.
#[derive(Debug)]
pub(super) struct Group {
    /// Head of the log before the group.
    start: Position,
    timestamp_us: u64,
    /// To be written; they are in the index already.
    pub(super) events: Vec<RecordedEvent>,
    /// To be written, without their events.
    pub(super) works: Vec<UnitOfWork>,
    answers: Vec<Answer>,
}

impl Group {
    /// An empty group that follows the event at `start`.
    pub(super) const fn new(start: Position, timestamp_us: u64) -> Self {
        Self { start, timestamp_us, events: Vec::new(), works: Vec::new(), answers: Vec::new() }
    }

    /// Position of the last event decided so far.
    pub(super) fn last(&self) -> Position {
        self.events.last().map_or(self.start, |event| event.position)
    }

    /// Whether there is nothing to write.
    pub(super) const fn is_empty(&self) -> bool {
        self.events.is_empty() && self.works.is_empty()
    }

    /// How many proposals it holds.
    pub(super) const fn len(&self) -> usize {
        self.answers.len()
    }

    /// Decides a proposal. `progress` is that of all plugins, and is changed by units of work.
    pub(super) fn decide(&mut self, shared: &Shared, proposal: Proposal, progress: &mut HashMap<PluginName, Progress>) {
        let answer = match proposal {
            Proposal::Append(request, reply) => Answer::Append(reply, self.decide_append(shared, request)),
            Proposal::Commit(work, reply) => Answer::Commit(reply, self.decide_commit(shared, *work, progress)),
        };
        self.answers.push(answer);
    }

    fn decide_append(&mut self, shared: &Shared, request: AppendRequest) -> Result<Appended, AppendError> {
        match decide::decide(&View { shared, group: self }, request, self.last(), self.timestamp_us)? {
            Decision::Repeat(appended) => Ok(appended),
            Decision::Write(events) => {
                let appended = decide::appended(&events);
                self.take(shared, events);
                Ok(appended)
            }
        }
    }

    fn decide_commit(
        &mut self,
        shared: &Shared,
        mut work: UnitOfWork,
        progress: &mut HashMap<PluginName, Progress>,
    ) -> Result<Committed, CommitError> {
        decide::check_fence(&work, progress.get(&work.plugin))?;
        let appended = self.decide_events(shared, mem::take(&mut work.events)).map_err(|error| match error {
            AppendError::Store(error) => CommitError::Store(error),
            error => CommitError::Append(error),
        })?;
        progress.insert(work.plugin.clone(), work.progress.clone());
        self.works.push(work);
        Ok(Committed { appended })
    }

    fn decide_events(&mut self, shared: &Shared, events: Vec<NewEvent>) -> Result<Option<Appended>, AppendError> {
        if events.is_empty() {
            return Ok(None);
        }
        let view = View { shared, group: self };
        let decision = decide::decide_work(&view, events, self.last(), self.timestamp_us)?;
        self.take(shared, decision.write);
        Ok(decision.appended)
    }

    /// Adds decided events to the group and to the index, so that later proposals see them.
    fn take(&mut self, shared: &Shared, events: Vec<RecordedEvent>) {
        let mut index = shared.index_mut();
        for event in &events {
            let added = index.add(&Entry::of(event));
            assert!(added.is_ok(), "decided against this very index: {added:?}");
        }
        drop(index);
        self.events.extend(events);
    }

    /// Tells everybody what became of their proposals.
    pub(super) fn answer(self) {
        for answer in self.answers {
            match answer {
                Answer::Append(reply, result) => reply.send(result),
                Answer::Commit(reply, result) => reply.send(result),
            }
        }
    }

    /// Takes everything back, and tells everybody that nothing of it is stored.
    pub(super) fn refuse(self, shared: &Shared, error: &StoreError) {
        let mut index = shared.index_mut();
        for event in self.events.iter().rev() {
            index.undo(&Entry::of(event));
        }
        drop(index);
        for answer in self.answers {
            match answer {
                Answer::Append(reply, _) => reply.send(Err(error.clone().into())),
                Answer::Commit(reply, _) => reply.send(Err(error.clone().into())),
            }
        }
    }
}

impl Proposal {
    /// Answers it without deciding it.
    pub(super) fn refuse(self, error: StoreError) {
        match self {
            Self::Append(_, reply) => reply.send(Err(error.into())),
            Self::Commit(_, reply) => reply.send(Err(error.into())),
        }
    }

    /// Events it brings.
    pub(super) fn events(&self) -> usize {
        match self {
            Self::Append(request, _) => request.events.len(),
            Self::Commit(work, _) => work.events.len(),
        }
    }
}

/// The log as a proposal of the group sees it.
struct View<'a> {
    shared: &'a Shared,
    group: &'a Group,
}

impl LogView for View<'_> {
    fn stream_version(&self, stream: &StreamName) -> Version {
        self.shared.index().stream_version(stream.as_str(), Position(u64::MAX))
    }

    fn find(&self, id: Uuid) -> Result<Option<RecordedEvent>, StoreError> {
        let Some(position) = self.shared.index().position(id) else { return Ok(None) };
        match position.0.checked_sub(self.group.start.0 + 1) {
            Some(ahead) => Ok(usize::try_from(ahead).ok().and_then(|ahead| self.group.events.get(ahead).cloned())),
            None => contain_read(|| reads::event_at(self.shared, position)).map(Some),
        }
    }
}
