//! The task behind a dispatcher.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tracing::{error, info, warn};

use super::{Command, CommandError, Redelivery, Setup};
use crate::clock::Clock;
use crate::delivery::effects::Effects;
use crate::delivery::handler::{EventBatch, HandleError, Handled, Handler};
use crate::delivery::machine::{Action, Commit, CommitFailure, Input, Machine, Page, Staged};
use crate::delivery::policy::{Start, Subscription};
use crate::delivery::start;
use crate::delivery::status::{Counters, State, Status};
use crate::error::{ErrorClass, with_sources};
use crate::event::{PluginName, Position};
use crate::store::{
    CommitError, DeadLetter, DeadLetterChange, Owner, Progress, ReadRequest, Store, StoreError, UnitOfWork,
};

/// Most events read at a time.
const FETCH_EVENTS_MAX: usize = 1024;
/// Most payload bytes read at a time; also bounds what one call of the handler is given.
const FETCH_BYTES_MAX: usize = 4 << 20;
/// Wait before the stored progress is read again after the store failed.
const PROGRESS_RETRY: Duration = Duration::from_secs(1);

/// One plugin's delivery.
struct Task {
    plugin: PluginName,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    commands: mpsc::Receiver<Command>,
    head: watch::Receiver<Position>,
    status: watch::Sender<Status>,
    machine: Machine,
    subscription: Subscription,
    /// None while a call has it.
    handler: Option<Box<dyn Handler>>,
    effects: Effects,
    page: EventBatch,
    counters: Counters,
    reported: State,
    /// A command that ended a wait.
    held: Option<Command>,
}

/// Drives a plugin until it is told to stop.
pub(super) async fn run(
    setup: Setup,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    commands: mpsc::Receiver<Command>,
    status: watch::Sender<Status>,
) {
    // Whoever waits for the end waits for this: the store and the handler are let go of before.
    drop(drive(setup, store, clock, commands, status).await);
}

/// Drives a plugin; answers where its commands came from, when all else that it had is dropped.
async fn drive(
    mut setup: Setup,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    mut commands: mpsc::Receiver<Command>,
    status: watch::Sender<Status>,
) -> mpsc::Receiver<Command> {
    let Some(progress) = stored_progress(&mut setup, &store, &mut commands).await else {
        status.send_replace(Status { state: State::Stopped, ..Status::default() });
        return commands;
    };
    let plugin = setup.plugin;
    let seed = plugin.as_str().bytes().fold(0, |seed: u64, byte| seed.wrapping_mul(31).wrapping_add(byte.into()));
    let mut task = Task {
        machine: Machine::new(setup.policy, setup.component_digest, progress, seed),
        effects: Effects::new(plugin.clone(), Arc::clone(&store), setup.granted),
        head: store.watch_head(),
        handler: Some(setup.handler),
        subscription: setup.subscription,
        page: EventBatch::new(Vec::new()),
        counters: Counters::default(),
        reported: State::Running,
        held: None,
        plugin,
        store,
        clock,
        commands,
        status,
    };
    task.drive().await;
    task.publish(Some(State::Stopped));
    task.commands
}

/// The stored progress, or where to begin. Waits while the store fails; none when told to stop meanwhile.
async fn stored_progress(
    setup: &mut Setup,
    store: &Arc<dyn Store>,
    commands: &mut mpsc::Receiver<Command>,
) -> Option<Progress> {
    loop {
        let (plugin, start) = (setup.plugin.clone(), setup.subscription.start);
        let (name, from) = (plugin.clone(), Arc::clone(store));
        let read = blocking(move || match from.progress(&name.into(), 0)? {
            Some(progress) => Ok((progress, false)),
            None => {
                let checkpoint = start::resolve(start, &*from)?;
                Ok((Progress { checkpoint, ..Progress::default() }, start != Start::Beginning))
            }
        });
        let error = match read.await {
            Ok((progress, false)) => return Some(progress),
            // A start that depends on the moment must not move at the next start of the process.
            Ok((progress, true)) => match settle_start(&plugin, store, progress).await {
                Ok(progress) => return Some(progress),
                Err(error) => error.to_string(),
            },
            Err(error) => error.to_string(),
        };
        error!(%plugin, error, "progress cannot be read; trying again");
        tokio::select! {
            () = tokio::time::sleep(PROGRESS_RETRY) => {}
            command = commands.recv() => match command {
                None | Some(Command::Stop) => return None,
                Some(Command::Swap(newer, answer)) => {
                    *setup = *newer;
                    let _ = answer.send(());
                }
                // Dropping it answers that nobody drives the plugin.
                Some(Command::Redeliver(..) | Command::Discard(..)) => {}
            },
        }
    }
}

async fn settle_start(
    plugin: &PluginName,
    store: &Arc<dyn Store>,
    mut progress: Progress,
) -> Result<Progress, CommitError> {
    progress.revision = 1;
    let work = UnitOfWork {
        owner: plugin.into(),
        partition: 0,
        progress: progress.clone(),
        state: Vec::new(),
        events: Vec::new(),
        dead_letters: Vec::new(),
    };
    store.commit(work).await.map(|_| progress)
}

/// Runs blocking store access on a thread for it.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let panicked = |_| StoreError::ReadFailed { reason: "the reading thread panicked".into() };
    tokio::task::spawn_blocking(work).await.map_err(panicked).flatten()
}

impl Task {
    async fn drive(&mut self) {
        let mut input = Input::Resume;
        loop {
            if !self.commands.is_empty() || self.commands.is_closed() {
                self.machine.request_yield();
            }
            let action = self.step(input);
            self.publish(None);
            input = match action {
                Action::Fetch(after) => self.fetch(after).await,
                Action::Handle(range) => {
                    let batch = self.page.slice(range);
                    self.handle(batch).await
                }
                Action::Commit(commit) => self.commit(commit).await.0,
                Action::Wait { after, until_us } => match self.wait(after, until_us).await {
                    Some(input) => input,
                    None => return,
                },
                Action::Yielded if self.commands.is_closed() && self.commands.is_empty() => return,
                Action::Yielded => match self.obey().await {
                    Some(input) => input,
                    None => return,
                },
            };
        }
    }

    async fn fetch(&mut self, after: Position) -> Input {
        let store = Arc::clone(&self.store);
        let query = self.subscription.filter.clone().into();
        let limit = FETCH_EVENTS_MAX;
        let request = ReadRequest { query, after, limit, bytes_max: FETCH_BYTES_MAX, ..ReadRequest::default() };
        match blocking(move || store.read(&request)).await {
            Ok(page) => {
                let positions = page.events.iter().map(|event| event.position).collect();
                self.page = EventBatch::new(page.events);
                Input::Fetched(Page { positions, through: page.through, complete: page.complete, head: page.head })
            }
            Err(error) => {
                error!(plugin = %self.plugin, after = after.0, %error, "events cannot be read");
                let broken = matches!(error.class(), ErrorClass::Corrupted | ErrorClass::Bug);
                Input::FetchFailed { halt: broken.then(|| error.to_string()) }
            }
        }
    }

    /// Calls the handler. A panic takes the staged effects with it.
    async fn handle(&mut self, batch: EventBatch) -> Input {
        let fresh = self.effects.fresh();
        let mut effects = std::mem::replace(&mut self.effects, fresh);
        let Some(mut handler) = self.handler.take() else {
            return Input::HandlerGone;
        };
        let call = tokio::task::spawn_blocking(move || {
            effects.begin_call(batch.clone());
            let handled = catch_unwind(AssertUnwindSafe(|| handler.handle(batch, effects)));
            (handler, handled)
        });
        match call.await {
            Ok((handler, handled)) => {
                self.handler = Some(handler);
                match handled {
                    Ok(handled) => self.handled(handled),
                    Err(panic) => self.panicked(panic.as_ref()),
                }
            }
            Err(_) => Input::HandlerGone,
        }
    }

    fn handled(&mut self, handled: Handled) -> Input {
        self.effects = handled.effects;
        match handled.outcome {
            Ok(()) => Input::Handled(Staged { events: self.effects.event_count(), bytes: self.effects.staged_bytes() }),
            Err(error) => {
                self.effects.discard_call();
                self.counters.faults += u64::from(matches!(error, HandleError::Fault { .. }));
                Input::Failed(error, handled.evidence)
            }
        }
    }

    fn panicked(&mut self, panic: &(dyn std::any::Any + Send)) -> Input {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
        error!(plugin = %self.plugin, panic = text, "the handler panicked");
        self.counters.faults += 1;
        Input::Lost(format!("the handler panicked: {text}"))
    }

    async fn event_at(&mut self, position: Position) -> Result<EventBatch, StoreError> {
        let store = Arc::clone(&self.store);
        let after = Position(position.0.saturating_sub(1));
        let request = ReadRequest { after, limit: 1, ..ReadRequest::default() };
        let page = blocking(move || store.read(&request)).await?;
        match page.events.first() {
            Some(event) if event.position == position => Ok(EventBatch::new(page.events)),
            _ => Err(StoreError::Corrupted { position, reason: "the event of a dead letter is not there".into() }),
        }
    }

    async fn commit(&mut self, commit: Commit) -> (Input, Option<CommitError>) {
        let (state, events) = self.effects.take();
        let (emitted, handled) = (events.len() as u64, commit.handled);
        let work = UnitOfWork {
            owner: self.owner(),
            partition: 0,
            progress: commit.progress.clone(),
            state,
            events,
            dead_letters: commit.dead_letters.clone(),
        };
        match self.store.commit(work).await {
            Ok(_) => {
                self.counters.handled += handled;
                self.counters.emitted += emitted;
                self.counters.commits += 1;
                self.report(&commit);
                (Input::Committed, None)
            }
            Err(error) => {
                self.effects.reset();
                let reason = with_sources(&error);
                warn!(plugin = %self.plugin, error = reason, "nothing of a unit of work was committed");
                (Input::CommitFailed(commit_failure(&error, reason)), Some(error))
            }
        }
    }

    /// Logs and counts what a commit says about failures.
    fn report(&mut self, commit: &Commit) {
        if !commit.attempted {
            return;
        }
        self.counters.retried += 1;
        for change in &commit.dead_letters {
            let DeadLetterChange::Put(letter) = change else { continue };
            self.counters.parked += 1;
            warn!(
                plugin = %self.plugin, position = letter.position.0, attempt = letter.attempts, kind = letter.kind,
                reason = letter.reason, "event set aside as a dead letter"
            );
        }
        if let Some(failing) = &commit.progress.failing {
            warn!(
                plugin = %self.plugin, position = failing.position.0, attempt = failing.attempts,
                reason = failing.reason, "attempt failed"
            );
        }
    }

    /// Waits for a head beyond `after`, a time or a command. None when nobody can command any more.
    async fn wait(&mut self, after: Option<Position>, until_us: Option<u64>) -> Option<Input> {
        let now_us = self.clock.now_us();
        let due = until_us.map(|until_us| Duration::from_micros(until_us.saturating_sub(now_us)));
        tokio::select! {
            head = head_beyond(&mut self.head, after) => Some(Input::Head(head)),
            () = sleep(due) => Some(Input::Due),
            command = self.commands.recv() => {
                self.held = Some(command?);
                self.machine.request_yield();
                Some(Input::Due)
            }
        }
    }

    /// Carries out the commands that wait. None when told to stop.
    async fn obey(&mut self) -> Option<Input> {
        while let Some(command) = self.held.take().or_else(|| self.commands.try_recv().ok()) {
            // Whether anybody still waits for an answer does not matter.
            match command {
                Command::Stop => return None,
                Command::Swap(setup, answer) => {
                    self.swap(*setup).await;
                    let _ = answer.send(());
                }
                Command::Redeliver(position, answer) => {
                    let _ = answer.send(self.redeliver(position).await);
                }
                Command::Discard(position, answer) => {
                    let _ = answer.send(self.discard(position).await);
                }
            }
        }
        Some(Input::Resume)
    }

    async fn swap(&mut self, setup: Setup) {
        let (store, owner) = (Arc::clone(&self.store), self.owner());
        // What is stored decides: another runner may have gone on from there.
        let stored = blocking(move || store.progress(&owner, 0)).await.ok().flatten();
        info!(plugin = %self.plugin, component_digest = setup.component_digest, "handler replaced");
        self.effects = Effects::new(self.plugin.clone(), Arc::clone(&self.store), setup.granted);
        self.handler = Some(setup.handler);
        self.subscription = setup.subscription;
        self.page = EventBatch::new(Vec::new());
        self.step(Input::Replaced(setup.policy, setup.component_digest, stored));
    }

    async fn redeliver(&mut self, position: Position) -> Result<Redelivery, CommandError> {
        let letter = self.dead_letter(position).await?;
        let batch = self.event_at(position).await?;
        self.step(Input::Redeliver(letter));
        let answer = self.handle(batch).await;
        let outcome = match &answer {
            Input::Failed(HandleError::Failure(failure), _) => still_failing(&failure.reason),
            Input::Failed(HandleError::Fault { reason, .. }, _) | Input::Lost(reason) => still_failing(reason),
            Input::HandlerGone => return Err(CommandError::Stopped { plugin: self.plugin.clone() }),
            _ => Redelivery::Handled,
        };
        self.commit_at_boundary(answer).await?;
        info!(plugin = %self.plugin, position = position.0, ?outcome, "dead letter handed over again");
        Ok(outcome)
    }

    async fn discard(&mut self, position: Position) -> Result<(), CommandError> {
        self.dead_letter(position).await?;
        self.commit_at_boundary(Input::Discard(position)).await?;
        warn!(plugin = %self.plugin, position = position.0, "dead letter discarded: its event stays unhandled");
        Ok(())
    }

    async fn dead_letter(&mut self, position: Position) -> Result<DeadLetter, CommandError> {
        let (store, owner) = (Arc::clone(&self.store), self.owner());
        let letter = blocking(move || store.dead_letter(&owner, position)).await?;
        letter.ok_or_else(|| CommandError::NoSuchDeadLetter { plugin: self.plugin.clone(), position })
    }

    /// Feeds an input whose answer is a commit, and carries that out.
    async fn commit_at_boundary(&mut self, input: Input) -> Result<(), CommandError> {
        let Action::Commit(commit) = self.step(input) else { return Ok(()) };
        let (input, error) = self.commit(commit).await;
        self.step(input);
        error.map_or(Ok(()), |error| Err(CommandError::Commit(error)))
    }

    fn owner(&self) -> Owner {
        Owner::from(&self.plugin)
    }

    fn step(&mut self, input: Input) -> Action {
        self.machine.step(input, self.clock.now_us())
    }

    /// Shows the delivery as it is.
    fn publish(&mut self, ended: Option<State>) {
        let state = ended.unwrap_or_else(|| self.machine.state(self.clock.now_us()));
        if state != self.reported
            && let State::Halted { reason } = &state
        {
            error!(plugin = %self.plugin, reason, "delivery halted: replace the component, or restart, to go on");
        }
        self.reported = state.clone();
        self.status.send_replace(Status {
            state,
            checkpoint: self.machine.settled(),
            failing: self.machine.progress().failing.clone(),
            counters: self.counters,
        });
    }
}

fn still_failing(reason: &str) -> Redelivery {
    Redelivery::StillFailing { reason: reason.into() }
}

/// Resolves when the head is beyond `after`; never when there is none, or the store is gone.
async fn head_beyond(head: &mut watch::Receiver<Position>, after: Option<Position>) -> Position {
    let Some(after) = after else { return std::future::pending().await };
    let reached = head.wait_for(|head| *head > after).await.map(|head| *head);
    match reached {
        Ok(head) => head,
        Err(_) => std::future::pending().await,
    }
}

/// Resolves after a wait; never when there is none.
async fn sleep(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}

fn commit_failure(error: &CommitError, reason: String) -> CommitFailure {
    match (error, error.class()) {
        (CommitError::Fenced { .. }, _) => CommitFailure::Broken(reason),
        // A store that failed to write takes nothing more until it is opened again.
        (CommitError::Store(StoreError::WriteFailed { .. }), _) => CommitFailure::Broken(reason),
        (_, ErrorClass::Conflict | ErrorClass::Invalid | ErrorClass::NotFound | ErrorClass::Denied) => {
            CommitFailure::Refused(reason)
        }
        (_, ErrorClass::Corrupted | ErrorClass::Bug) => CommitFailure::Broken(reason),
        (_, ErrorClass::Unavailable) => CommitFailure::Unavailable,
    }
}
