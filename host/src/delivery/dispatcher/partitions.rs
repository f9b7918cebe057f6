//! The partitions of one generation, running: started with a version, and stopped with it given back.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::beside::Beside;
use super::command::{CommandError, Order};
use super::task::{self, Common};
use super::{COMMANDS_MAX, Setup};
use crate::clock::Clock;
use crate::delivery::effects::Effects;
use crate::delivery::handler::Handler;
use crate::delivery::key::Share;
use crate::delivery::layout::{Layout, Settled};
use crate::delivery::machine::{Machine, Row, Start, VersionId};
use crate::delivery::permit::Permit;
use crate::delivery::policy::{Policy, Subscription};
use crate::delivery::shared_state::SharedState;
use crate::delivery::status::Status;
use crate::delivery::storm::Storms;
use crate::event::PluginName;
use crate::store::{AsyncStore, Owner, Progress, Store};

/// What a plugin's delivery lives on.
#[derive(Clone)]
pub(super) struct Around {
    pub(super) plugin: PluginName,
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<dyn Clock>,
}

/// A version of a plugin, as a [`Setup`] says it; its handlers come and go.
pub(super) struct Version {
    pub(super) subscription: Subscription,
    pub(super) policy: Policy,
    pub(super) append: Permit,
    pub(super) component_digest: String,
    manifest_digest: String,
    /// Of each partition; none where its thread is gone.
    handlers: Vec<Option<Box<dyn Handler>>>,
}

impl From<Setup> for Version {
    fn from(setup: Setup) -> Self {
        let Setup { plugin: _, subscription, mut policy, append, component_digest, manifest_digest, handlers } = setup;
        policy.partitions = u32::try_from(handlers.len()).unwrap_or(u32::MAX).max(1);
        let handlers = handlers.into_iter().map(Some).collect();
        Self { subscription, policy, append, component_digest, manifest_digest, handlers }
    }
}

impl Version {
    /// Has its handlers make what their first calls would make.
    pub(super) async fn warm_up(&mut self) {
        let handlers = std::mem::take(&mut self.handlers);
        let count = handlers.len();
        let warm = tokio::task::spawn_blocking(move || {
            let mut handlers = handlers;
            for handler in handlers.iter_mut().flatten() {
                // Reported by the panic's hook; the first call does the same again, and counts it.
                let _ = catch_unwind(AssertUnwindSafe(|| handler.warm_up()));
            }
            handlers
        });
        // The runtime is going down when it does not come back: each partition tells that it has none.
        self.handlers = warm.await.unwrap_or_else(|_| (0..count).map(|_| None).collect());
    }

    /// How it shares events among partitions.
    pub(super) fn layout(&self) -> Layout {
        Layout::of(&self.policy)
    }
}

/// Where a generation's partitions begin.
pub(super) struct Launch {
    pub(super) owner: Owner,
    /// Of each partition.
    pub(super) progress: Vec<Progress>,
    /// The set-aside events of each partition, in position order.
    pub(super) rows: Vec<Vec<Row>>,
    /// Layouts before, as far as they matter.
    pub(super) settled: Vec<Settled>,
    pub(super) paused: bool,
    /// Whether the handlers have failed at nothing yet.
    pub(super) fresh: bool,
    pub(super) beside: Beside,
}

/// Where a partition takes orders, and its task, which gives the handler back.
type Started = (mpsc::Sender<Order>, JoinHandle<Option<Box<dyn Handler>>>);

/// The partitions that run.
pub(super) struct Partitions {
    /// What they run, without its handlers.
    pub(super) version: Version,
    tasks: Vec<Started>,
}

impl Partitions {
    /// Starts them; they show what they do in `status`.
    pub(super) fn start(
        mut version: Version,
        launch: Launch,
        around: &Around,
        status: &Arc<watch::Sender<Status>>,
    ) -> Self {
        let mut handlers = std::mem::take(&mut version.handlers).into_iter();
        let starter = Starter {
            common: Arc::new(Common {
                plugin: around.plugin.clone(),
                owner: launch.owner,
                store: Arc::clone(&around.store),
                writes: AsyncStore::new(Arc::clone(&around.store)),
                clock: Arc::clone(&around.clock),
                status: Arc::clone(status),
                filter: version.subscription.filter.clone(),
                set_aside: launch.rows.iter().map(|rows| AtomicUsize::new(rows.len())).collect(),
                shared: (version.policy.partitions > 1).then(|| Arc::new(SharedState::default())),
                storms: Storms::new(version.policy.causation_events_max),
                beside: launch.beside,
            }),
            version: &version,
            settled: launch.settled,
            paused: launch.paused,
            fresh: launch.fresh,
        };
        let partitions = (0..).zip(launch.progress).zip(launch.rows);
        let make = |((partition, progress), rows)| starter.make(partition, progress, rows, handlers.next().flatten());
        let mut tasks: Vec<_> = partitions.map(make).collect();
        let begun = tasks.iter_mut().map(|(_, task)| task.first_status()).collect();
        // All at once: nobody sees some of them, or what they have set aside as handled.
        status.send_modify(|status| status.begin(begun));
        let tasks = tasks.into_iter().map(|(orders, task)| (orders, tokio::spawn(task.run()))).collect();
        Self { version, tasks }
    }

    /// Has every partition finish or roll back what is in flight, and waits for them.
    pub(super) async fn stop(self) -> Version {
        let Self { mut version, tasks } = self;
        for (orders, _) in &tasks {
            // A task that takes no more orders has ended.
            let _ = orders.send(Order::Stop).await;
        }
        for (_, task) in tasks {
            // A task that panicked has been reported by the runtime; there is nothing left to stop.
            version.handlers.push(task.await.unwrap_or_default());
        }
        version
    }

    /// Where each partition takes orders.
    pub(super) fn senders(&self) -> Vec<mpsc::Sender<Order>> {
        self.tasks.iter().map(|(orders, _)| orders.clone()).collect()
    }
}

/// What every partition is started with.
struct Starter<'a> {
    common: Arc<Common>,
    version: &'a Version,
    settled: Vec<Settled>,
    paused: bool,
    fresh: bool,
}

impl Starter<'_> {
    fn make(
        &self,
        partition: u32,
        progress: Progress,
        rows: Vec<Row>,
        handler: Option<Box<dyn Handler>>,
    ) -> (mpsc::Sender<Order>, task::Task) {
        let Common { plugin, owner, store, shared, beside, .. } = &*self.common;
        let effects = Effects::new(owner.clone(), Arc::clone(store), self.version.append.clone())
            .causation_depth_max(self.version.policy.causation_depth_max)
            .state_bytes_max(self.version.policy.state_bytes_max)
            .dispatching(self.version.policy.dispatch.clone());
        let effects = match shared {
            Some(shared) => effects.sharing(Arc::clone(shared), partition),
            None => effects,
        };
        let seed = plugin.as_str().bytes().fold(0, |seed: u64, byte| seed.wrapping_mul(31).wrapping_add(byte.into()));
        let machine = Machine::new(Start {
            policy: self.version.policy.clone(),
            version: VersionId {
                component: self.version.component_digest.clone(),
                manifest: self.version.manifest_digest.clone(),
                lifts: self.version.subscription.lifts.clone(),
            },
            progress,
            rows,
            settled: self.settled.clone(),
            paused: self.paused,
            rebuilding: beside.is_rebuild(),
            fresh: self.fresh,
            seed: seed.wrapping_add(partition.into()),
        });
        let Layout { partitions: count, key } = self.version.layout();
        let (orders, receiver) = mpsc::channel(COMMANDS_MAX);
        let parts = (machine, handler, effects);
        (orders, task::Task::new(Arc::clone(&self.common), Share { partition, count, key }, parts, receiver))
    }
}

/// Tells a partition something, and waits for its answer.
pub(super) async fn ask<T>(
    plugin: &PluginName,
    orders: &mpsc::Sender<Order>,
    order: impl FnOnce(oneshot::Sender<T>) -> Order,
) -> Result<T, CommandError> {
    let stopped = || CommandError::Stopped { plugin: plugin.clone() };
    let (sender, answer) = oneshot::channel();
    orders.send(order(sender)).await.map_err(|_| stopped())?;
    answer.await.map_err(|_| stopped())
}
