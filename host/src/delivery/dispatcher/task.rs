//! The task of one partition.

mod about;
mod ahead;
mod commit;
mod orders;

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tracing::{error, info, warn};

use ahead::Ahead;

use super::beside::{Beside, Found};
use super::command::Order;
use super::redrive::Redrives;
use crate::clock::{Clock, Stopwatch};
use crate::delivery::cost::{self, Cost};
use crate::delivery::effects::Effects;
use crate::delivery::handler::{EventBatch, Fault, HandleError, Handled, Handler, Usage};
use crate::delivery::key::Share;
use crate::delivery::machine::{Action, Input, Machine, Page, Staged};
use crate::delivery::quiet::Quiet;
use crate::delivery::shared_state::{SharedState, Turn};
use crate::delivery::status::{Counters, PartitionStatus, State, Status};
use crate::delivery::storm::Storms;
use crate::error::ErrorClass;
use crate::event::{Filter, PluginName, Position};
use crate::store::{AsyncStore, Owner, ReadPage, Store, StoreError};

/// What the partitions of a plugin have in common.
pub(super) struct Common {
    pub(super) plugin: PluginName,
    pub(super) owner: Owner,
    pub(super) store: Arc<dyn Store>,
    /// The same, for commits.
    pub(super) writes: AsyncStore,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) status: Arc<watch::Sender<Status>>,
    pub(super) filter: Filter,
    /// How many events each partition has set aside.
    pub(super) set_aside: Vec<AtomicUsize>,
    /// None where there is one partition only.
    pub(super) shared: Option<Arc<SharedState>>,
    pub(super) storms: Storms,
    /// What another generation has to do with this one.
    pub(super) beside: Beside,
}

impl Common {
    /// Which generation is built, where one is: the live one has none in the log.
    fn building(&self) -> Option<u32> {
        self.beside.is_rebuild().then_some(self.owner.generation)
    }

    /// Shows that a partition has ended with the thread that called its handler: the runtime goes down, or the host has
    /// a fault.
    fn thread_is_gone<T>(&self, partition: u32) -> Option<T> {
        let reason = "the thread of its delivery is gone; replace the component, or start the host anew";
        error!(plugin = %self.plugin, generation = self.building(), partition, reason, "delivery halted");
        self.status.send_modify(|status| status.halt(partition, reason));
        None
    }
}

/// One partition's delivery.
pub(super) struct Task {
    common: Arc<Common>,
    share: Share,
    orders: mpsc::Receiver<Order>,
    head: watch::Receiver<Position>,
    machine: Machine,
    /// None where it was lost when it was warmed up.
    handler: Option<Box<dyn Handler>>,
    effects: Effects,
    /// Held by a unit while partitions take turns.
    turn: Option<Turn>,
    page: EventBatch,
    ahead: Option<Ahead>,
    /// Which events of the page emit nothing.
    page_quiet: Quiet,
    /// The set-aside event that is handed over again.
    recalled: EventBatch,
    /// Whether that one emits nothing.
    recalled_quiet: bool,
    /// How often it was tried before.
    recalled_tries: u32,
    redrives: Redrives,
    counters: Counters,
    cost: Cost,
    /// What the handler had used before: it may have run elsewhere.
    used_before: Usage,
    reported: State,
    /// An order that ended a wait.
    held: Option<Order>,
}

/// Runs blocking store access on a thread for it.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work).await.map_err(read_panicked).flatten()
}

fn read_panicked(_: tokio::task::JoinError) -> StoreError {
    StoreError::ReadFailed { reason: "the reading thread panicked".into() }
}

impl Task {
    /// A partition that goes on from where its machine stands.
    pub(super) fn new(
        common: Arc<Common>,
        share: Share,
        (machine, handler, effects): (Machine, Option<Box<dyn Handler>>, Effects),
        orders: mpsc::Receiver<Order>,
    ) -> Self {
        let used_before = handler.as_ref().map(|handler| handler.usage()).unwrap_or_default();
        Self {
            head: common.beside.limit(share.partition).unwrap_or_else(|| common.store.watch_head()),
            common,
            share,
            orders,
            machine,
            handler,
            effects,
            turn: None,
            page: EventBatch::default(),
            ahead: None,
            page_quiet: Quiet::Nothing,
            recalled: EventBatch::default(),
            recalled_quiet: false,
            recalled_tries: 0,
            redrives: Redrives::default(),
            counters: Counters::default(),
            cost: Cost::default(),
            used_before,
            reported: State::Running,
            held: None,
        }
    }

    /// Delivers until told to stop; gives the handler back, unless its thread is gone.
    pub(super) async fn run(mut self) -> Option<Box<dyn Handler>> {
        let mut action = self.next(Input::GoOn);
        loop {
            let input = match action {
                Action::Handle(_) | Action::Rehandle => {
                    self.take_turn().await;
                    let (common, partition) = (Arc::clone(&self.common), self.share.partition);
                    match tokio::task::spawn_blocking(move || self.hand_over(action)).await {
                        Ok(handed_over) => (self, action) = handed_over,
                        Err(_) => return common.thread_is_gone(partition),
                    }
                    continue;
                }
                Action::Fetch(after) => Some(self.fetch(after).await),
                Action::Recall(position) => Some(self.recall(position).await),
                Action::Commit(commit) => Some(self.commit(commit).await.0),
                // Nothing is staged.
                Action::Wait { after, until_us } => {
                    self.turn = None;
                    // A unit that nothing came of has ended.
                    self.effects.take_reads();
                    self.wait(after, until_us).await
                }
                Action::Yielded if self.orders.is_closed() && self.orders.is_empty() => None,
                Action::Yielded => {
                    self.turn = None;
                    self.obey().await
                }
            };
            match input {
                Some(input) => action = self.next(input),
                None => break,
            }
        }
        self.redrives.interrupt("the plugin was stopped or replaced");
        self.end_reading().await;
        self.show(State::Stopped);
        self.handler
    }

    /// What to do next, by what came of the last.
    fn next(&mut self, input: Input) -> Action {
        if !self.orders.is_empty() || self.orders.is_closed() {
            self.machine.request_yield();
        }
        let action = self.step(input);
        // What a commit is about is shown when it is durable.
        if !matches!(action, Action::Commit(_)) {
            let state = self.publish();
            self.redrives.settle(&mut self.machine, &state);
        }
        action
    }

    /// Calls the handler, on this thread, until something else is to be done. To change threads for each call would
    /// cost more than a small call does.
    fn hand_over(mut self, mut action: Action) -> (Self, Action) {
        loop {
            let input = match action {
                Action::Handle(range) => {
                    self.effects.hush(self.page_quiet.clone());
                    let batch = self.page.slice(range);
                    let tried = self.tried(&batch);
                    self.handle(batch, tried)
                }
                Action::Rehandle => {
                    self.effects.hush(Quiet::all(self.recalled_quiet));
                    self.handle(self.recalled.clone(), self.recalled_tries)
                }
                other => return (self, other),
            };
            action = self.next(input);
            if self.needs_turn() {
                return (self, action);
            }
        }
    }

    /// Whether partitions may take turns, and a unit begins.
    fn needs_turn(&self) -> bool {
        self.turn.is_none() && self.common.shared.is_some() && self.effects.shares_new_unit()
    }

    async fn take_turn(&mut self) {
        if self.needs_turn()
            && let Some(shared) = &self.common.shared
        {
            self.turn = shared.turn().await;
        }
    }

    async fn fetch(&mut self, after: Position) -> Input {
        let read = match self.page(after).await {
            Ok(page) => self.look(after, page).await,
            Err(error) => Err(error),
        };
        match read {
            Ok((page, (carried, quiet))) => {
                if !page.complete {
                    self.read_ahead(page.through);
                }
                self.page = EventBatch::new(page.events);
                self.page_quiet = quiet.clone();
                let (events, complete) = (self.page.clone(), page.complete);
                Input::Fetched(Page { events, through: page.through, complete, head: page.head, carried, quiet })
            }
            Err(error) => self.read_failed(&error, "events cannot be read"),
        }
    }

    /// What another generation has to do with a page.
    async fn look(&mut self, after: Position, mut page: ReadPage) -> Result<(ReadPage, Found), StoreError> {
        let beside = self.common.beside.clone();
        beside.cut(&mut page, *self.head.borrow());
        if matches!(beside, Beside::Nobody) {
            return Ok((page, Found::default()));
        }
        let store = Arc::clone(&self.common.store);
        blocking(move || beside.look(&*store, after, &page).map(|found| (page, found))).await
    }

    fn read_failed(&self, error: &StoreError, what: &str) -> Input {
        error!(plugin = %self.common.plugin, partition = self.share.partition, %error, what);
        let broken = matches!(error.class(), ErrorClass::Corrupted | ErrorClass::Bug);
        Input::ReadFailed { halt: broken.then(|| format!("{what}: {error}")) }
    }

    /// Reads a set-aside event and its row.
    async fn recall(&mut self, position: Position) -> Input {
        let (store, owner) = (Arc::clone(&self.common.store), self.common.owner.clone());
        let read = blocking(move || {
            let corrupted = |reason: &str| StoreError::Corrupted { position, reason: reason.into() };
            let row = store.dead_letter(&owner, position)?.ok_or_else(|| corrupted("its dead letter is not there"))?;
            let event = store.event_at(position)?;
            event.map(|event| (row, event)).ok_or_else(|| corrupted("the event of a dead letter is not there"))
        });
        match read.await {
            Ok((row, event)) => {
                self.recalled_quiet = row.quiet || self.common.beside.is_rebuild();
                self.recalled = EventBatch::new(vec![event]);
                self.recalled_tries = row.attempts.saturating_add(row.faults);
                Input::Recalled(row)
            }
            Err(error) => self.read_failed(&error, "a dead letter cannot be read"),
        }
    }

    /// Calls the handler with a batch whose first event was tried so often before. A panic takes the staged effects
    /// with it.
    fn handle(&mut self, batch: EventBatch, tried: u32) -> Input {
        let about = self.call(&batch, tried);
        let Some(handler) = self.handler.as_mut() else {
            return Input::HandlerGone;
        };
        let fresh = self.effects.fresh();
        let mut effects = std::mem::replace(&mut self.effects, fresh);
        effects.begin_call(batch.clone());
        let began = Stopwatch::start();
        let called = about.run(|| cost::call(&mut **handler, batch, effects, &*self.common.clock));
        match &called.handled {
            Ok(Handled { outcome: Err(error), .. }) => about.failed(error),
            Ok(_) => {}
            Err(_) => about.panicked(),
        }
        self.counters.batch_times.record(began.elapsed_ns());
        self.cost.count(&called, handler.usage().since(self.used_before));
        match called.handled {
            Ok(handled) => self.handled(handled),
            Err(panic) => self.panicked(panic.as_ref()),
        }
    }

    fn handled(&mut self, handled: Handled) -> Input {
        self.effects = handled.effects;
        match handled.outcome {
            Ok(()) => {
                self.counters.answers.handled += 1;
                Input::Handled(Staged { events: self.effects.event_count(), bytes: self.effects.staged_bytes() })
            }
            Err(error) => {
                self.effects.discard_call();
                match &error {
                    HandleError::Fault { fault, .. } => self.counters.faults.count(*fault),
                    HandleError::Failure(failure) => self.counters.answers.count(failure.verdict),
                }
                Input::Failed(error, handled.evidence)
            }
        }
    }

    fn panicked(&mut self, panic: &(dyn Any + Send)) -> Input {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
        error!(plugin = %self.common.plugin, partition = self.share.partition, panic = text, "the handler panicked");
        self.counters.faults.count(Fault::Trap);
        Input::Lost(format!("the handler panicked: {text}"))
    }

    /// Waits for a head beyond `after`, a time or an order. None when nobody can order any more.
    async fn wait(&mut self, after: Option<Position>, until_us: Option<u64>) -> Option<Input> {
        let due = until_us.map(|until_us| self.common.clock.sleep_until(until_us));
        tokio::select! {
            head = head_beyond(&mut self.head, after) => Some(Input::Head(head)),
            () = sleep(due) => Some(Input::Due),
            order = self.orders.recv() => {
                self.held = Some(order?);
                self.machine.request_yield();
                Some(Input::Due)
            }
        }
    }

    fn step(&mut self, input: Input) -> Action {
        let index = usize::try_from(self.share.partition).unwrap_or_default();
        let all: usize = self.common.set_aside.iter().map(|rows| rows.load(Ordering::Relaxed)).sum();
        let own = self.common.set_aside.get(index);
        self.machine.note_elsewhere(all - own.map_or(0, |own| own.load(Ordering::Relaxed)).min(all));
        let action = self.machine.step(input, self.common.clock.now_us());
        if let Some(own) = own {
            let set_aside = self.machine.set_aside();
            own.store(set_aside.parked + set_aside.waiting, Ordering::Relaxed);
        }
        action
    }

    /// Shows the delivery as it is.
    fn publish(&mut self) -> State {
        let state = self.machine.state(self.common.clock.now_us());
        self.show(state.clone());
        state
    }

    fn show(&mut self, state: State) {
        self.enter(state);
        let partition = self.status();
        self.common.status.send_modify(|status| status.update(partition));
    }

    /// The partition as it begins: one that halted before is not shown as running until its first step.
    pub(super) fn first_status(&mut self) -> PartitionStatus {
        self.enter(self.machine.state(self.common.clock.now_us()));
        self.status()
    }

    /// Counts and logs a state that is another than before.
    fn enter(&mut self, state: State) {
        if state != self.reported {
            self.counters.count_state(&state);
            self.log(&state);
            self.reported = state;
        }
    }

    /// The partition as it is, in the state that was reported last.
    fn status(&self) -> PartitionStatus {
        PartitionStatus {
            partition: self.share.partition,
            state: self.reported.clone(),
            checkpoint: self.machine.settled(),
            failing: self.machine.progress().failing.clone(),
            set_aside: self.machine.set_aside(),
            counters: self.counters,
            cost: self.cost,
        }
    }

    fn log(&self, state: &State) {
        let (plugin, partition) = (&self.common.plugin, self.share.partition);
        let generation = self.common.building();
        let way_out = match generation {
            None => "do what the reason says; if it does not say, replace the component, or resume the plugin",
            Some(_) => {
                "the live state goes on; do what the reason says; if it does not say, replace the component, resume the \
                 plugin, or cancel the rebuild"
            }
        };
        match state {
            State::Halted { reason } => error!(%plugin, generation, partition, reason, way_out, "delivery halted"),
            State::Quarantined { reason } => {
                error!(%plugin, generation, partition, reason, way_out, "delivery quarantined");
            }
            State::Paused => info!(%plugin, generation, partition, "delivery paused"),
            State::Running if matches!(self.reported, State::BackingOff { reason: None, .. }) => {}
            State::Running => info!(%plugin, generation, partition, "delivery resumed"),
            State::Stopped => info!(%plugin, generation, partition, "delivery stopped"),
            State::BackingOff { reason: Some(reason), .. } => {
                if !matches!(self.reported, State::BackingOff { reason: Some(_), .. }) {
                    warn!(%plugin, generation, partition, reason, "delivery waits for what its handler waits for");
                }
            }
            State::BackingOff { .. } => {}
        }
    }
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
