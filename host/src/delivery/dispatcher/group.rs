//! The task behind a dispatcher: starts the partitions, replaces them, and passes commands on.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tracing::{error, info};

use super::begin::{Begun, begin};
use super::command::{Command, CommandError, Lines, Order, Redriven, Retry};
use super::task::{self, Common, blocking};
use super::{COMMANDS_MAX, Setup};
use crate::clock::Clock;
use crate::delivery::effects::Effects;
use crate::delivery::handler::Handler;
use crate::delivery::key::{Sequence, Share};
use crate::delivery::layout::{Layout, Settled};
use crate::delivery::machine::{Machine, Row, Start};
use crate::delivery::policy::Policy;
use crate::delivery::record::{Record, Stored};
use crate::delivery::shared_state::SharedState;
use crate::delivery::status::{PartitionStatus, State, Status};
use crate::event::{Pattern, PluginName, Position};
use crate::store::{Owner, PluginChange, Progress, Store};

/// Wait before what is stored is read again after the store failed.
const BEGIN_RETRY: Duration = Duration::from_secs(1);

/// One plugin's delivery.
struct Group {
    plugin: PluginName,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    commands: mpsc::Receiver<Command>,
    status: Arc<watch::Sender<Status>>,
    /// Who waits for the handlers to be replaced.
    swaps: Vec<oneshot::Sender<()>>,
    /// Whether the handlers have failed at nothing yet.
    fresh: bool,
}

/// The partitions that run.
struct Running {
    stored: Stored,
    owner: Owner,
    partitions: Vec<(mpsc::Sender<Order>, JoinHandle<()>)>,
}

/// Drives a plugin until it is told to stop.
pub(super) async fn run(
    setup: Setup,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    commands: mpsc::Receiver<Command>,
    status: watch::Sender<Status>,
) {
    let (plugin, status) = (setup.plugin.clone(), Arc::new(status));
    let group = Group { plugin, store, clock, commands, status, swaps: Vec::new(), fresh: false };
    // Whoever waits for the end waits for this: the store and the handlers are let go of before.
    drop(group.drive(setup).await);
}

impl Group {
    /// Drives the plugin; answers where its commands came from, when all else that it had is dropped.
    async fn drive(mut self, mut setup: Setup) -> mpsc::Receiver<Command> {
        while let Some(mut running) = self.begin(setup).await {
            let next = self.pass_on(&mut running).await;
            running.stop().await;
            match next {
                Some(next) => setup = next,
                None => return self.commands,
            }
            self.fresh = true;
        }
        self.status.send_modify(|status| status.state = State::Stopped);
        self.commands
    }

    /// Starts the partitions. Waits while the store fails; none when told to stop meanwhile.
    async fn begin(&mut self, mut setup: Setup) -> Option<Running> {
        loop {
            setup.policy.partitions = u32::try_from(setup.handlers.len()).unwrap_or(u32::MAX).max(1);
            let (plugin, store) = (self.plugin.clone(), Arc::clone(&self.store));
            let (layout, start) = (Layout::of(&setup.policy), setup.subscription.start);
            let begun = tokio::task::spawn_blocking(move || begin(&plugin, &layout, start, &*store)).await;
            let reason = match begun {
                Ok(Ok(begun)) => {
                    let running = self.start(setup, begun);
                    // Whether anybody still waits for an answer does not matter.
                    for answer in self.swaps.drain(..) {
                        let _ = answer.send(());
                    }
                    return Some(running);
                }
                Ok(Err(reason)) => reason,
                Err(_) => "the reading thread panicked".into(),
            };
            error!(plugin = %self.plugin, error = reason, "what is stored cannot be read; trying again");
            let reason = format!("what is stored of it cannot be read; trying again: {reason}");
            self.status.send_modify(|status| status.state = State::Halted { reason });
            tokio::select! {
                () = tokio::time::sleep(BEGIN_RETRY) => {}
                command = self.commands.recv() => match command {
                    None | Some(Command::Stop) => return None,
                    Some(Command::Swap(newer, answer)) => {
                        setup = *newer;
                        self.fresh = true;
                        self.swaps.push(answer);
                    }
                    // Dropping it answers that nobody drives the plugin.
                    Some(Command::Pause(..) | Command::Retry(..) | Command::Discard(..)) => {}
                },
            }
        }
    }

    fn start(&self, setup: Setup, begun: Begun) -> Running {
        let Begun { stored, owner, progress, rows } = begun;
        let checkpoints = (0..).zip(&progress);
        let shown = checkpoints.map(|(partition, progress)| PartitionStatus {
            partition,
            checkpoint: progress.checkpoint,
            ..PartitionStatus::default()
        });
        self.status.send_modify(|status| status.begin(shown.collect()));
        let lowest = progress.iter().map(|progress| progress.checkpoint).min().unwrap_or_default();
        let settled = stored.record.before.iter().filter(|before| before.reach() > lowest).cloned().collect();
        let common = Arc::new(Common {
            plugin: self.plugin.clone(),
            owner: owner.clone(),
            store: Arc::clone(&self.store),
            clock: Arc::clone(&self.clock),
            status: Arc::clone(&self.status),
            filter: setup.subscription.filter,
            set_aside: rows.iter().map(|rows| AtomicUsize::new(rows.len())).collect(),
            shared: (setup.policy.partitions > 1).then(|| Arc::new(SharedState::default())),
        });
        let starter = Starter {
            common,
            layout: Layout::of(&setup.policy),
            policy: setup.policy,
            component_digest: setup.component_digest,
            granted: setup.granted,
            settled,
            paused: stored.record.paused,
            fresh: self.fresh,
        };
        let mut handlers = setup.handlers.into_iter();
        let partitions = (0..).zip(progress).zip(rows);
        let partitions = partitions
            .map(|((partition, progress), rows)| starter.start(partition, progress, rows, handlers.next()))
            .collect();
        let Starter { component_digest, layout, .. } = starter;
        info!(plugin = %self.plugin, component_digest, partitions = layout.partitions, "delivery runs");
        Running { stored, owner, partitions }
    }

    /// Passes commands on, until there is something else to run, or nothing.
    async fn pass_on(&mut self, running: &mut Running) -> Option<Setup> {
        loop {
            match self.commands.recv().await? {
                Command::Stop => return None,
                Command::Swap(setup, answer) => {
                    self.swaps.push(answer);
                    return Some(*setup);
                }
                Command::Pause(paused, answer) => {
                    let _ = answer.send(self.set_paused(running, paused).await);
                }
                Command::Retry(retry, answer) => {
                    let asked = running.retry(self.plugin.clone(), Arc::clone(&self.store), retry);
                    tokio::spawn(async move { answer.send(asked.await) });
                }
                Command::Discard(position, answer) => {
                    let asked = running.discard(self.plugin.clone(), Arc::clone(&self.store), position);
                    tokio::spawn(async move { answer.send(asked.await) });
                }
            }
        }
    }

    /// Writes down whether the plugin is paused, and has its partitions do so.
    async fn set_paused(&self, running: &mut Running, paused: bool) -> Result<(), CommandError> {
        let stored = &running.stored;
        if stored.record.paused != paused {
            let record = Record { paused, ..stored.record.clone() };
            let change = PluginChange {
                plugin: self.plugin.clone(),
                record: stored.next(&record),
                progress: Vec::new(),
                progress_removed: Vec::new(),
                generations_dropped: Vec::new(),
            };
            self.store.change_plugin(change).await.map_err(CommandError::Commit)?;
            running.stored = Stored { revision: stored.revision + 1, record };
        }
        for (orders, _) in &running.partitions {
            let order = |answer| if paused { Order::Pause(answer) } else { Order::Resume(answer) };
            ask(&self.plugin, orders, order).await?;
        }
        Ok(())
    }
}

/// What every partition is started with.
struct Starter {
    common: Arc<Common>,
    layout: Layout,
    policy: Policy,
    component_digest: String,
    granted: Arc<[Pattern]>,
    settled: Vec<Settled>,
    paused: bool,
    fresh: bool,
}

impl Starter {
    fn start(
        &self,
        partition: u32,
        progress: Progress,
        rows: Vec<Row>,
        handler: Option<Box<dyn Handler>>,
    ) -> (mpsc::Sender<Order>, JoinHandle<()>) {
        let Common { plugin, owner, store, shared, .. } = &*self.common;
        let effects = Effects::new(owner.clone(), Arc::clone(store), Arc::clone(&self.granted))
            .causation_depth_max(self.policy.causation_depth_max);
        let effects = match shared {
            Some(shared) => effects.sharing(Arc::clone(shared), partition),
            None => effects,
        };
        let seed = plugin.as_str().bytes().fold(0, |seed: u64, byte| seed.wrapping_mul(31).wrapping_add(byte.into()));
        let machine = Machine::new(Start {
            policy: self.policy.clone(),
            component_digest: self.component_digest.clone(),
            progress,
            rows,
            settled: self.settled.clone(),
            paused: self.paused,
            fresh: self.fresh,
            seed: seed.wrapping_add(partition.into()),
        });
        let Layout { partitions: count, key } = self.layout.clone();
        let (orders, receiver) = mpsc::channel(COMMANDS_MAX);
        let parts = (machine, handler, effects);
        let task = task::Task::new(Arc::clone(&self.common), Share { partition, count, key }, parts, receiver);
        (orders, tokio::spawn(task.run()))
    }
}

impl Running {
    /// Has every partition finish or roll back what is in flight, and waits for them.
    async fn stop(self) {
        for (orders, _) in &self.partitions {
            // A task that takes no more orders has ended.
            let _ = orders.send(Order::Stop).await;
        }
        for (_, task) in self.partitions {
            // A task that panicked has been reported by the runtime; there is nothing left to stop.
            let _ = task.await;
        }
    }

    /// Has set-aside events handed over again.
    fn retry(
        &self,
        plugin: PluginName,
        store: Arc<dyn Store>,
        retry: Retry,
    ) -> impl Future<Output = Result<Redriven, CommandError>> + use<> {
        let (partitions, owner) = (self.senders(), self.owner.clone());
        async move {
            let (sequence, head) = match retry {
                Retry::All => {
                    let mut sum = Redriven::default();
                    let asked =
                        partitions.iter().map(|orders| ask(&plugin, orders, |answer| Order::Retry(Lines::All, answer)));
                    for redriven in futures::future::join_all(asked).await {
                        sum = sum.plus(redriven??);
                    }
                    let empty = sum.sequences == 0;
                    return if empty { Err(CommandError::NothingSetAside { plugin }) } else { Ok(sum) };
                }
                Retry::Key(key) => (Sequence::Key(key.as_str().into()), None),
                Retry::Position(position) => (sequence_of(&plugin, &owner, store, position).await?, Some(position)),
            };
            let orders = orders_of(&plugin, &partitions, &sequence)?;
            ask(&plugin, orders, |answer| Order::Retry(Lines::One(sequence, head), answer)).await?
        }
    }

    /// Has a set-aside event dropped.
    fn discard(
        &self,
        plugin: PluginName,
        store: Arc<dyn Store>,
        position: Position,
    ) -> impl Future<Output = Result<(), CommandError>> + use<> {
        let (partitions, owner) = (self.senders(), self.owner.clone());
        async move {
            let sequence = sequence_of(&plugin, &owner, store, position).await?;
            let orders = orders_of(&plugin, &partitions, &sequence)?;
            ask(&plugin, orders, |answer| Order::Discard(sequence, position, answer)).await?
        }
    }

    fn senders(&self) -> Vec<mpsc::Sender<Order>> {
        self.partitions.iter().map(|(orders, _)| orders.clone()).collect()
    }
}

/// Where the partition of a sequence takes orders.
fn orders_of<'a>(
    plugin: &PluginName,
    partitions: &'a [mpsc::Sender<Order>],
    sequence: &Sequence,
) -> Result<&'a mpsc::Sender<Order>, CommandError> {
    let count = u32::try_from(partitions.len()).unwrap_or(u32::MAX);
    let index = usize::try_from(sequence.partition(count)).unwrap_or_default();
    partitions.get(index).ok_or_else(|| CommandError::Stopped { plugin: plugin.clone() })
}

/// What a set-aside event keeps the order of.
async fn sequence_of(
    plugin: &PluginName,
    owner: &Owner,
    store: Arc<dyn Store>,
    position: Position,
) -> Result<Sequence, CommandError> {
    let owner = owner.clone();
    let letter = blocking(move || store.dead_letter(&owner, position)).await?;
    let letter = letter.ok_or_else(|| CommandError::NoSuchDeadLetter { plugin: plugin.clone(), position })?;
    Ok(Sequence::of_row(letter.key.as_deref(), position))
}

async fn ask<T>(
    plugin: &PluginName,
    orders: &mpsc::Sender<Order>,
    order: impl FnOnce(oneshot::Sender<T>) -> Order,
) -> Result<T, CommandError> {
    let stopped = || CommandError::Stopped { plugin: plugin.clone() };
    let (sender, answer) = oneshot::channel();
    orders.send(order(sender)).await.map_err(|_| stopped())?;
    answer.await.map_err(|_| stopped())
}
