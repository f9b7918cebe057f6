//! The task behind a dispatcher: starts the partitions, replaces them, and passes commands on.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tracing::{error, info, warn};

use super::Setup;
use super::begin::{Begun, begin};
use super::beside::Beside;
use super::command::{Command, CommandError, Order, Swap};
use super::generations::{check_return, roll_back};
use super::partitions::{Around, Launch, Partitions, Version, ask};
use super::passed::note_passed;
use super::rebuild::Builder;
use crate::clock::Clock;
use crate::delivery::layout::Settled;
use crate::delivery::record::{self, Edit, Record, Stored};
use crate::delivery::status::{State, Status};
use crate::event::Position;
use crate::store::{Owner, Store, StoreError};

/// Wait before what is stored is read again after the store failed.
const BEGIN_RETRY: Duration = Duration::from_secs(1);
/// How often a generation that is built is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Why a state should be built anew.
const LIFTS_CHANGED: &str = "the upcasters that its events go through have changed since its state began";

/// One plugin's delivery.
pub(super) struct Group {
    pub(super) around: Around,
    pub(super) commands: mpsc::Receiver<Command>,
    /// A command that came while nothing could carry it out: it is the next one.
    pub(super) kept: Option<Command>,
    pub(super) status: Arc<watch::Sender<Status>>,
    /// Who is answered when the partitions run again.
    answers: Vec<Box<dyn FnOnce() + Send + Sync>>,
    /// Whether the handlers have failed at nothing yet.
    pub(super) fresh: bool,
    /// What builds a generation beside the live one.
    pub(super) builder: Option<Builder>,
    /// Since when nothing is handled, because a generation becomes live.
    pub(super) held_up_since_us: Option<u64>,
    /// How long nothing was handled for that in all the times that it was tried with that generation, in microseconds.
    pub(super) held_up_us: u64,
}

/// The live generation, running.
pub(super) struct Live {
    pub(super) stored: Stored,
    pub(super) owner: Owner,
    pub(super) partitions: Partitions,
}

/// The live generation at rest.
pub(super) struct Rested {
    pub(super) owner: Owner,
    pub(super) version: Version,
}

/// What follows when the partitions have stopped.
enum Next {
    Stop,
    /// This version; whether it has failed at nothing yet.
    Swap(Version, bool),
    /// The generation that is built becomes live.
    Finish,
    /// This version and its state become live again, in place of an installed one.
    RollBack(Version, String, Answer),
}

type Answer = tokio::sync::oneshot::Sender<Result<(), CommandError>>;

/// Drives a plugin until it is told to stop.
pub(super) async fn run(
    setup: Setup,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    commands: mpsc::Receiver<Command>,
    status: watch::Sender<Status>,
) {
    let around = Around { plugin: setup.plugin.clone(), store, clock };
    let group = Group::new(around, commands, status);
    // Whoever waits for the end waits for this: the store and the handlers are let go of before.
    drop(group.drive(setup.into()).await);
}

impl Group {
    /// A plugin that nothing was begun of.
    pub(super) fn new(around: Around, commands: mpsc::Receiver<Command>, status: watch::Sender<Status>) -> Self {
        Self {
            around,
            commands,
            kept: None,
            status: Arc::new(status),
            answers: Vec::new(),
            fresh: false,
            builder: None,
            held_up_since_us: None,
            held_up_us: 0,
        }
    }

    /// Drives the plugin; answers where its commands came from, when all else that it had is dropped.
    async fn drive(mut self, mut version: Version) -> mpsc::Receiver<Command> {
        while let Some(mut live) = self.begin(version).await {
            let next = self.pass_on(&mut live).await;
            if matches!(next, Next::Finish) {
                self.held_up_since_us = Some(self.around.clock.now_us());
            }
            if !matches!(next, Next::Stop) {
                self.status.send_modify(|status| status.filter = None);
            }
            let Live { owner, partitions, .. } = live;
            let rested = Rested { owner, version: partitions.stop().await };
            self.fresh = matches!(next, Next::Swap(_, true));
            version = match next {
                Next::Finish => self.finish(rested).await,
                Next::RollBack(version, installed, answer) => self.roll_back(rested, version, installed, answer).await,
                Next::Stop | Next::Swap(..) => {
                    if let Some(builder) = self.builder.take() {
                        builder.stop().await;
                    }
                    match next {
                        Next::Swap(version, _) => version,
                        _ => {
                            let partitions = self.status.borrow().partitions.clone();
                            note_passed(&self.around, rested.owner, partitions).await;
                            return self.commands;
                        }
                    }
                }
            };
        }
        if let Some(builder) = self.builder.take() {
            builder.stop().await;
        }
        self.status.send_modify(|status| status.state = State::Stopped);
        self.commands
    }

    /// The next command; none when nobody can give one any more.
    pub(super) async fn command(&mut self) -> Option<Command> {
        match self.kept.take() {
            None => self.commands.recv().await,
            kept => kept,
        }
    }

    /// Starts the partitions. Waits while the store fails; none when told to stop meanwhile.
    async fn begin(&mut self, mut version: Version) -> Option<Live> {
        loop {
            let (plugin, store) = (self.around.plugin.clone(), Arc::clone(&self.around.store));
            let (layout, subscription) = (version.layout(), version.subscription.clone());
            let component = version.component_digest.clone();
            let begun =
                tokio::task::spawn_blocking(move || begin(&plugin, &layout, &subscription, &component, &*store));
            let reason = match begun.await {
                Ok(Ok(begun)) => {
                    let live = self.start(version, begun);
                    self.answers.drain(..).for_each(|answer| answer());
                    return Some(live);
                }
                Ok(Err(reason)) => reason,
                Err(_) => "the reading thread panicked".into(),
            };
            error!(plugin = %self.around.plugin, error = reason, "what is stored cannot be read; trying again");
            let reason = format!("what is stored of it cannot be read; trying again: {reason}");
            self.status.send_modify(|status| status.state = State::Halted { reason });
            tokio::select! {
                () = tokio::time::sleep(BEGIN_RETRY) => {}
                command = self.command() => match command {
                    None | Some(Command::Stop) => return None,
                    Some(Command::Swap(swap, answer)) => match self.checked(&version, &swap) {
                        Ok(()) => {
                            self.fresh |= swap.fresh;
                            version = swap.setup.into();
                            self.answer_when_begun(move || drop(answer.send(Ok(()))));
                        }
                        Err(error) => drop(answer.send(Err(error))),
                    },
                    // Dropping it answers that nobody drives the plugin.
                    Some(_) => {}
                },
            }
        }
    }

    fn start(&mut self, version: Version, begun: Begun) -> Live {
        let Begun { stored, owner, progress, rows } = begun;
        let lowest = progress.iter().map(|progress| progress.checkpoint).min().unwrap_or_default();
        let settled = stored.record.before.iter().filter(|before| before.reach() > lowest).cloned().collect();
        let beside = match &*stored.record.abandoned {
            [] => Beside::Nobody,
            abandoned => Beside::Abandoned { plugin: owner.plugin.clone(), abandoned: abandoned.into() },
        };
        let (paused, fresh) = (stored.record.paused, self.fresh);
        let removed_before = stored.record.removed_before;
        let launch = Launch { owner: owner.clone(), progress, rows, settled, paused, fresh, beside };
        let due = (stored.record.lifts != version.subscription.lifts).then(|| LIFTS_CHANGED.to_owned());
        let partitions = Partitions::start(version, launch, &self.around, &self.status);
        let (component, count) = (partitions.version.component_digest.clone(), partitions.version.policy.partitions);
        info!(plugin = %owner, component_digest = component, partitions = count, "delivery runs");
        let (pause_us, filter) = (self.pause_ended(), partitions.version.subscription.filter.clone());
        self.status.send_modify(|status| {
            (status.generation, status.component, status.filter) = (owner.generation, component, Some(filter));
            status.removed_before = removed_before;
            status.rebuild_due = due;
            status.rebuild_pause_us = pause_us.or(status.rebuild_pause_us);
        });
        let live = Live { stored, owner, partitions };
        self.show_rebuild(&live.stored.record);
        live
    }

    /// Counts the pause that ends now, if there is one; answers how long all were for what became live, or did not yet.
    pub(super) fn pause_ended(&mut self) -> Option<u64> {
        let since_us = self.held_up_since_us.take()?;
        let paused_us = self.around.clock.now_us().saturating_sub(since_us);
        self.held_up_us = self.held_up_us.saturating_add(paused_us);
        Some(self.held_up_us)
    }

    /// Passes commands on, until there is something else to run, or nothing.
    async fn pass_on(&mut self, live: &mut Live) -> Next {
        loop {
            tokio::select! {
                command = self.command() => {
                    let Some(command) = command else { return Next::Stop };
                    if let Some(next) = self.obey(live, command).await {
                        return next;
                    }
                }
                () = tokio::time::sleep(LOOK_EVERY), if self.builder.is_some() => {
                    if self.look(live).await {
                        return Next::Finish;
                    }
                }
            }
        }
    }

    /// Carries a command out, or answers for what the partitions must stop.
    async fn obey(&mut self, live: &mut Live, command: Command) -> Option<Next> {
        let plugin = self.around.plugin.clone();
        let building = live.stored.record.building.is_some();
        match command {
            Command::Stop => return Some(Next::Stop),
            Command::Swap(swap, answer) => match self.checked(&live.partitions.version, &swap) {
                Ok(()) => {
                    self.answer_when_begun(move || drop(answer.send(Ok(()))));
                    let fresh = swap.fresh;
                    return Some(Next::Swap(self.ready(live, swap.setup.into()).await, fresh));
                }
                Err(error) => drop(answer.send(Err(error))),
            },
            // Whether anybody still waits for an answer does not matter.
            Command::Pause(paused, answer) => drop(answer.send(self.set_paused(live, paused).await)),
            Command::Retry(_, answer) if building => drop(answer.send(Err(CommandError::Rebuilding { plugin }))),
            Command::Discard(_, answer) if building => drop(answer.send(Err(CommandError::Rebuilding { plugin }))),
            Command::Retry(retry, answer) => {
                let store = Arc::clone(&self.around.store);
                let asked = live.partitions.retry((plugin, live.owner.clone()), store, retry);
                tokio::spawn(async move { answer.send(asked.await) });
            }
            Command::Discard(letters, answer) => {
                let store = Arc::clone(&self.around.store);
                let asked = live.partitions.discard((plugin, live.owner.clone()), store, letters);
                tokio::spawn(async move { answer.send(asked.await) });
            }
            Command::Rebuild(setup, how, answer) => {
                drop(answer.send(self.rebuild(live, (*setup).into(), how).await));
            }
            Command::CancelRebuild(answer) => drop(answer.send(self.cancel(live).await)),
            Command::RollBack(setup, installed, answer) => {
                match check_return(&plugin, &live.stored.record, &setup.component_digest) {
                    Ok(()) => return Some(Next::RollBack((*setup).into(), installed, answer)),
                    Err(error) => drop(answer.send(Err(error))),
                }
            }
        }
        None
    }

    /// Refuses a swap that was meant for another version.
    fn checked(&self, live: &Version, swap: &Swap) -> Result<(), CommandError> {
        let meant = swap.over.as_ref().is_none_or(|over| *over == live.component_digest);
        meant.then_some(()).ok_or_else(|| CommandError::Replaced { plugin: self.around.plugin.clone() })
    }

    /// Does beforehand, while the old version goes on, what a new one needs to take over: its instances, and its name in
    /// the record. Whatever fails here is done, or told, when it begins.
    async fn ready(&mut self, live: &mut Live, mut version: Version) -> Version {
        if version.layout().shares_as(&live.partitions.version.layout()) {
            let component = version.component_digest.clone();
            let edit = move |record: &Record| {
                let next = record.with_component(&component);
                Ok((next != *record).then(|| next.into()))
            };
            if let Err(error) = self.change(live, edit).await {
                warn!(plugin = %self.around.plugin, %error, "a version could not be noted before it takes over");
            }
        }
        version.warm_up().await;
        version
    }

    /// Writes down whether the plugin is paused, and has its partitions do so. What ends a halt of the live generation
    /// ends one of what is built, too.
    async fn set_paused(&mut self, live: &mut Live, paused: bool) -> Result<(), CommandError> {
        let edit = move |record: &Record| {
            let other = record.paused != paused;
            Ok(other.then(|| Record { paused, ..record.clone() }.into()))
        };
        self.change(live, edit).await?;
        for orders in live.partitions.senders() {
            let order = |answer| if paused { Order::Pause(answer) } else { Order::Resume(answer) };
            ask(&self.around.plugin, &orders, order).await?;
        }
        match &mut self.builder {
            Some(builder) if !paused => builder.resume(&self.around.plugin).await,
            _ => Ok(()),
        }
    }

    /// Changes the plugin's record.
    pub(super) async fn change(
        &mut self,
        live: &mut Live,
        edit: impl FnMut(&Record) -> Result<Option<Edit>, CommandError> + Send + 'static,
    ) -> Result<(), CommandError> {
        let (plugin, store) = (self.around.plugin.clone(), Arc::clone(&self.around.store));
        let changed = tokio::task::spawn_blocking(move || record::change(&plugin, &*store, edit)).await;
        live.stored = changed.unwrap_or_else(|_| Err(panicked().into()))?;
        Ok(())
    }

    /// Makes what was live before live again. Answers what is to run then: that, or what ran if it failed.
    async fn roll_back(&mut self, live: Rested, version: Version, installed: String, answer: Answer) -> Version {
        let (plugin, store) = (self.around.plugin.clone(), Arc::clone(&self.around.store));
        let settled = Settled { layout: live.version.layout(), checkpoints: self.checkpoints() };
        let component = version.component_digest.clone();
        let done =
            tokio::task::spawn_blocking(move || roll_back(&plugin, &component, settled, &installed, &*store)).await;
        match done.unwrap_or_else(|_| Err(panicked().into())) {
            Ok(()) => {
                info!(plugin = %self.around.plugin, component_digest = version.component_digest, "rolled back");
                self.answer_when_begun(move || drop(answer.send(Ok(()))));
                self.fresh = true;
                version
            }
            Err(error) => {
                self.answer_when_begun(move || drop(answer.send(Err(error))));
                live.version
            }
        }
    }

    /// How far each partition of the live generation has come.
    pub(super) fn checkpoints(&self) -> Vec<Position> {
        self.status.borrow().partitions.iter().map(|partition| partition.checkpoint).collect()
    }

    fn answer_when_begun(&mut self, answer: impl FnOnce() + Send + Sync + 'static) {
        self.answers.push(Box::new(answer));
    }
}

/// A thread that reads or writes is gone.
pub(super) fn panicked() -> StoreError {
    StoreError::ReadFailed { reason: "the thread that asks the store panicked".into() }
}
