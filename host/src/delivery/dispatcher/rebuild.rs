//! A generation that is built beside the live one: a second set of partitions, which is quiet, never ahead of the
//! live one, and takes over what that one has set aside. When it has come as far it becomes live (`finish`).

mod finish;
mod pace;
mod patience;
mod shown;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use finish::FINISH_WITHIN;
use pace::Pace;
use patience::Patience;

use super::begin;
use super::beside::{Beside, bare_rows};
use super::command::{CommandError, Order, Rebuild};
use super::group::{Group, Live};
use super::partitions::{Around, Launch, Partitions, Version, ask};
use super::task::blocking;
use crate::delivery::layout::{Layout, Settled};
use crate::delivery::machine::Elsewhere;
use crate::delivery::policy::Subscription;
use crate::delivery::record::{Abandoned, Building, Edit, Instead, Record, noted};
use crate::delivery::start;
use crate::delivery::status::{RebuildStatus, SetAside, State, Status};
use crate::error::with_sources;
use crate::event::{PluginName, Position};
use crate::store::{Owner, Progress, StoreError};

/// Positions by which a generation may be behind when the live one is stopped for it: about a batch.
const NEAR: u64 = 1024;
/// Wait before what failed is tried again, in microseconds.
const AGAIN_US: u64 = 1_000_000;

/// What builds a generation.
pub(super) struct Builder {
    building: Building,
    /// None while its partitions run.
    version: Option<Version>,
    partitions: Option<Partitions>,
    status: Arc<watch::Sender<Status>>,
    /// How far each partition may go.
    limits: Vec<watch::Sender<Position>>,
    /// When it began, and where, in this process.
    since: Option<(u64, Position)>,
    /// How fast it comes on.
    pace: Pace,
    /// How long it has been near.
    patience: Patience,
    /// When the events that are left were counted last: microseconds since the Unix epoch.
    counted_us: u64,
    /// What failed is not tried before: microseconds since the Unix epoch.
    not_before_us: u64,
    /// Has what was settled meanwhile handled here, too, while the live one goes on.
    releasing: Option<JoinHandle<Result<(), CommandError>>>,
    /// How long the live one may be stopped for it the next time.
    finish_within: Duration,
    /// Why it could not become live when that was tried last.
    held_up: Option<String>,
    /// Why its partitions could not be started when that was tried last.
    not_started: Option<String>,
}

impl Builder {
    fn new(building: Building, version: Version) -> Self {
        let limits = (0..building.layout.partitions).map(|_| watch::Sender::new(Position::START)).collect();
        Self {
            building,
            version: Some(version),
            partitions: None,
            status: Arc::new(watch::Sender::new(Status::default())),
            limits,
            since: None,
            pace: Pace::default(),
            patience: Patience::default(),
            counted_us: 0,
            not_before_us: 0,
            releasing: None,
            finish_within: FINISH_WITHIN,
            held_up: None,
            not_started: None,
        }
    }

    /// Stops its partitions; what they have built stays.
    pub(super) async fn stop(mut self) {
        self.rest().await;
    }

    /// Stops its partitions, which may be started again.
    async fn rest(&mut self) {
        self.releasing = None;
        if let Some(partitions) = self.partitions.take() {
            self.version = Some(partitions.stop().await);
        }
    }

    /// Ends what has stopped it.
    pub(super) async fn resume(&mut self, plugin: &PluginName) -> Result<(), CommandError> {
        for orders in self.senders() {
            ask(plugin, &orders, Order::Resume).await?;
        }
        Ok(())
    }

    fn senders(&self) -> Vec<tokio::sync::mpsc::Sender<Order>> {
        self.partitions.as_ref().map(Partitions::senders).unwrap_or_default()
    }

    /// Starts its partitions where they stand.
    async fn start(&mut self, around: &Around, live: &Owner, now_us: u64) -> Result<(), StoreError> {
        let owner = self.owner(live);
        let (store, of, beside, count) =
            (Arc::clone(&around.store), owner.clone(), live.clone(), self.building.layout.partitions);
        let (progress, rows) = blocking(move || begin::built(&of, &beside, count, &*store)).await?;
        let Some(version) = self.version.take() else { return Ok(()) };
        let lowest = progress.iter().map(|progress| progress.checkpoint).min().unwrap_or_default();
        self.since.get_or_insert((now_us, lowest));
        self.pace = Pace::default();
        let limits = self.limits.iter().map(watch::Sender::subscribe).collect();
        let beside = Beside::Live { owner: live.clone(), limits };
        let launch = Launch { owner, progress, rows, settled: Vec::new(), paused: false, fresh: false, beside };
        self.partitions = Some(Partitions::start(version, launch, around, &self.status));
        Ok(())
    }

    /// Notes whether its partitions could be started; if not, that is tried again.
    fn note_start(&mut self, plugin: &PluginName, started: Result<(), StoreError>, now_us: u64) {
        self.not_started = None;
        if let Err(error) = started {
            error!(%plugin, %error, "a rebuild cannot be gone on with; trying again");
            self.not_started = Some(with_sources(&error));
            self.put_off(now_us, AGAIN_US);
        }
    }

    fn owner(&self, live: &Owner) -> Owner {
        Owner { plugin: live.plugin.clone(), generation: self.building.generation }
    }

    /// Lets each partition go as far as the live one has come.
    fn raise(&self, live: &[Position]) {
        for (limit, live) in self.limits.iter().zip(live) {
            limit.send_if_modified(|limit| {
                let further = *live > *limit;
                *limit = (*limit).max(*live);
                further
            });
        }
    }

    /// Whether every partition has come so close to where it may go.
    fn is_within(&self, distance: u64) -> bool {
        let status = self.status.borrow();
        let at = status.partitions.iter().map(|partition| partition.checkpoint.0.saturating_add(distance));
        let all = status.partitions.len() == self.limits.len();
        all && at.zip(&self.limits).all(|(at, limit)| at >= limit.borrow().0)
    }

    /// Has what the live one has settled since it was taken over handled here, too, and waits for it. What was discarded
    /// there goes: its row comes over when this generation is made live.
    fn release(&self, around: &Around, live: &Owner) -> impl Future<Output = Result<(), CommandError>> + Send + use<> {
        let SetAside { parked, waiting, .. } = self.status.borrow().set_aside;
        let (senders, store, plugin) = (self.senders(), Arc::clone(&around.store), around.plugin.clone());
        let live = live.clone();
        async move {
            if parked + waiting == 0 {
                return Ok(());
            }
            let elsewhere = blocking(move || {
                let mut elsewhere = Elsewhere::default();
                for row in bare_rows(&*store, &live) {
                    let row = row?;
                    let rows = if row.is_discarded() { &mut elsewhere.discarded } else { &mut elsewhere.held };
                    rows.insert(row.position);
                }
                Ok(elsewhere)
            });
            let elsewhere = elsewhere.await?;
            for orders in senders {
                ask(&plugin, &orders, |answer| Order::Release(elsewhere.clone(), answer)).await??;
            }
            Ok(())
        }
    }

    /// Whether most of what was settled meanwhile is done here, too; begins that first.
    async fn is_released(&mut self, around: &Around, live: &Owner, now_us: u64) -> bool {
        let Some(task) = self.releasing.take_if(|task| task.is_finished()) else {
            if self.releasing.is_none() {
                self.releasing = Some(tokio::spawn(self.release(around, live)));
            }
            return false;
        };
        let failure = match task.await {
            Ok(Ok(())) => return true,
            Ok(Err(error)) => with_sources(&error),
            Err(_) => "the task that takes over what is set aside panicked".into(),
        };
        self.hold_up(around, failure, now_us);
        false
    }

    /// Notes why it cannot go on now; it is tried again.
    fn hold_up(&mut self, around: &Around, reason: String, now_us: u64) {
        warn!(plugin = %around.plugin, reason, "a rebuilt generation is not live yet; trying again");
        self.held_up = Some(reason);
        self.put_off(now_us, AGAIN_US);
    }

    /// Lets the live one go on for so long.
    const fn put_off(&mut self, now_us: u64, for_us: u64) {
        self.not_before_us = now_us.saturating_add(for_us);
    }
}

impl Group {
    /// Begins to build a generation, or goes on with it.
    pub(super) async fn rebuild(
        &mut self,
        live: &mut Live,
        version: Version,
        how: Rebuild,
    ) -> Result<(), CommandError> {
        let plugin = self.around.plugin.clone();
        let (layout, subscription, component) =
            (version.layout(), version.subscription.clone(), version.component_digest.clone());
        if !layout.shares_as(&live.partitions.version.layout()) {
            return Err(CommandError::Replaced { plugin });
        }
        match how {
            Rebuild::Begin { live: meant, .. } if meant != live.partitions.version.component_digest => {
                return Err(CommandError::Replaced { plugin });
            }
            Rebuild::Begin { from, reason, .. } => {
                self.begin_rebuild(live, (subscription, layout), component, (from, reason)).await?;
                self.held_up_us = 0;
            }
            Rebuild::GoOn => {
                // What it has built may go.
                if let Some(builder) = &mut self.builder {
                    builder.rest().await;
                }
                self.go_on(live, component, (subscription, layout)).await?;
            }
        }
        if let Some(builder) = self.builder.take() {
            builder.stop().await;
        }
        if let Some(building) = live.stored.record.building.clone() {
            self.builder = Some(Builder::new(building, version));
            self.drive_builder(live).await;
        }
        Ok(())
    }

    async fn begin_rebuild(
        &mut self,
        live: &mut Live,
        (Subscription { filter, start, lifts }, layout): (Subscription, Layout),
        component: String,
        (from, reason): (Option<Position>, String),
    ) -> Result<(), CommandError> {
        let plugin = self.around.plugin.clone();
        let head = self.checkpoints().into_iter().min().unwrap_or_default();
        let store = Arc::clone(&self.around.store);
        let after = match from {
            Some(from) if from == Position::START || from > head.next() => {
                return Err(CommandError::NoSuchStart { plugin, from, head });
            }
            Some(from) => Position(from.0.saturating_sub(1)),
            None => {
                let (began, store) = (live.stored.record.began, Arc::clone(&store));
                let after = blocking(move || start::again(began, start, &*store)).await?;
                after.ok_or_else(|| CommandError::StartUnknown { plugin: plugin.clone() })?
            }
        };
        let heard = noted(&filter);
        let removed_before = blocking(move || start::removed_after(filter, after, &*store)).await?;
        warn_of_removed(&plugin, removed_before);
        let started_us = self.around.clock.now_us();
        let (generation, filter) = (0, heard);
        let building =
            Building { generation, component, after, started_us, reason, layout, lifts, removed_before, filter };
        info!(%plugin, component_digest = building.component, from = after.next().0, reason = building.reason, "rebuild begins");
        let edit = move |record: &Record| match record.building {
            Some(_) => Err(CommandError::Rebuilding { plugin: plugin.clone() }),
            None => Ok(Some(with_generation(record, building.clone()))),
        };
        self.change(live, edit).await
    }

    async fn go_on(
        &mut self,
        live: &mut Live,
        component: String,
        (Subscription { filter, lifts, .. }, layout): (Subscription, Layout),
    ) -> Result<(), CommandError> {
        let (plugin, store) = (self.around.plugin.clone(), Arc::clone(&self.around.store));
        let before = live.stored.record.building.as_ref().map(|building| building.generation);
        let edit = move |record: &Record| match &record.building {
            None => Err(CommandError::NotRebuilding { plugin: plugin.clone() }),
            Some(building) if building.component != component => Err(CommandError::Replaced { plugin: plugin.clone() }),
            Some(building)
                if building.layout == layout && building.lifts == lifts && building.filter == noted(&filter) =>
            {
                Ok(None)
            }
            // What is built shares its events otherwise, or sees others: it begins anew, over the log as it is now.
            Some(building) => {
                let removed_before = start::removed_after(filter.clone(), building.after, &*store)?;
                let (layout, lifts, filter) = (layout.clone(), lifts.clone(), noted(&filter));
                let building = Building { layout, lifts, removed_before, filter, ..building.clone() };
                Ok(Some(with_generation(record, building)))
            }
        };
        self.change(live, edit).await?;
        let begun = live.stored.record.building.as_ref().filter(|building| Some(building.generation) != before);
        if let Some(Building { after, removed_before, .. }) = begun {
            info!(plugin = %self.around.plugin, from = after.next().0, "rebuild begins anew: it is handed other events");
            warn_of_removed(&self.around.plugin, *removed_before);
        }
        Ok(())
    }

    /// Ends a rebuild.
    pub(super) async fn cancel(&mut self, live: &mut Live) -> Result<(), CommandError> {
        if let Some(builder) = &mut self.builder {
            builder.rest().await;
        }
        let plugin = self.around.plugin.clone();
        let edit = move |record: &Record| {
            let none = || CommandError::NotRebuilding { plugin: plugin.clone() };
            let building = record.building.as_ref().ok_or_else(none)?;
            let other = building.component != record.component;
            let (run, of) = (record.component.clone(), building.component.clone());
            let instead = other.then_some(Instead { run, of, cancelled: true });
            let instead = instead.or_else(|| record.instead.clone());
            Ok(Some(Record { building: None, instead, ..record.clone() }.into()))
        };
        self.change(live, edit).await?;
        self.builder = None;
        self.show_rebuild(&live.stored.record);
        info!(plugin = %self.around.plugin, "rebuild cancelled");
        Ok(())
    }

    /// Starts what builds, if it does not run; tried again later when the store fails.
    async fn drive_builder(&mut self, live: &mut Live) {
        let now_us = self.around.clock.now_us();
        let checkpoints = self.checkpoints();
        if let Some(builder) = self.builder.as_mut().filter(|builder| builder.partitions.is_none()) {
            builder.raise(&checkpoints);
            if builder.not_before_us <= now_us {
                let started = builder.start(&self.around, &live.owner, now_us).await;
                builder.note_start(&self.around.plugin, started, now_us);
            }
        }
        self.show_rebuild(&live.stored.record);
    }

    /// Looks how far what is built has come; whether it is time to make it live.
    pub(super) async fn look(&mut self, live: &mut Live) -> bool {
        self.drive_builder(live).await;
        let (checkpoints, now_us) = (self.checkpoints(), self.around.clock.now_us());
        let passes_over = self.passes_over(&live.stored.record);
        let Some(builder) = &mut self.builder else { return false };
        let near = builder.partitions.is_some() && builder.is_within(NEAR);
        builder.raise(&checkpoints);
        let reach = builder.reach(now_us);
        if !near || passes_over {
            builder.patience = Patience::default();
            return false;
        }
        let Some(reach) = reach else {
            builder.patience.rest();
            return false;
        };
        if builder.not_before_us > now_us {
            return false;
        }
        let reach = builder.allowed(&self.around.plugin, reach, now_us);
        let soon = builder.is_within(reach) || builder.leaves_at_most(reach, &self.around, now_us).await;
        soon && builder.is_released(&self.around, &live.owner, now_us).await
    }

    /// Whether the live one goes on over what was settled before, by itself under another layout or by another
    /// generation: it comes past that first. Where nothing goes on, by a halt, a pause or a wait, that is not waited for:
    /// what becomes live then goes on over it as the live one would have.
    fn passes_over(&self, record: &Record) -> bool {
        let before = record.before.iter().map(Settled::reach);
        let reach = before.chain(record.abandoned.iter().map(Abandoned::reach)).max().unwrap_or_default();
        let status = self.status.borrow();
        status.partitions.iter().any(|one| one.state == State::Running && one.checkpoint < reach)
    }

    /// Shows what is built.
    pub(super) fn show_rebuild(&self, record: &Record) {
        let target = self.checkpoints().into_iter().min().unwrap_or_default();
        let built = self.builder.as_ref().map(|builder| builder.shown(target, self.around.clock.now_us()));
        let rebuild = built.or_else(|| Some(RebuildStatus { target, ..RebuildStatus::of(record.building.as_ref()?) }));
        self.status.send_if_modified(|status| {
            let news = status.rebuild != rebuild;
            status.rebuild = rebuild;
            news
        });
    }
}

/// Tells that a state is built without events that it would have been made of.
fn warn_of_removed(plugin: &PluginName, removed_before: Option<Position>) {
    if let Some(Position(removed_before)) = removed_before {
        warn!(%plugin, removed_before, "retention has removed events that the state would be built of; it does without");
    }
}

/// A record with a fresh generation that is built, in place of any other, and where that begins.
fn with_generation(record: &Record, building: Building) -> Edit {
    let (after, count) = (building.after, building.layout.partitions);
    let record = record.building(building);
    let generation = record.building.as_ref().map(|building| building.generation).unwrap_or_default();
    let begin = |partition| (generation, partition, Progress { checkpoint: after, ..Progress::default() });
    Edit { record, progress: (0..count).map(begin).collect(), dropped: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::{Counters, PartitionStatus, Permit, Policy, Setup};

    pub(super) fn setup() -> Setup {
        Setup {
            plugin: PluginName::new("p").unwrap(),
            subscription: Subscription::default(),
            policy: Policy::default(),
            append: Permit::default(),
            component_digest: String::new(),
            manifest_digest: String::new(),
            handlers: Vec::new(),
        }
    }

    /// What builds a generation from the beginning, in one partition.
    pub(super) fn builder() -> Builder {
        let building = Building {
            generation: 1,
            component: String::new(),
            after: Position::START,
            started_us: 1,
            reason: "asked for".into(),
            layout: Layout::single(),
            lifts: String::new(),
            removed_before: None,
            filter: None,
        };
        Builder::new(building, setup().into())
    }

    #[test]
    fn positions_that_are_passed_and_events_that_are_handled_are_two_rates() {
        let mut builder = builder();
        builder.since = Some((0, Position::START));
        let counters = Counters { handled: 6, ..Counters::default() };
        let partition = PartitionStatus { checkpoint: Position(1000), counters, ..PartitionStatus::default() };
        builder.status.send_modify(|status| status.begin(vec![partition]));
        let shown = builder.shown(Position(3000), 2_000_000);
        assert_eq!((shown.rate, shown.events_per_second), (500, 3));
    }

    #[test]
    fn why_it_could_not_be_started_is_told_until_it_is() {
        let plugin = setup().plugin;
        let mut builder = builder();
        let failed = || Err(StoreError::ReadFailed { reason: "the disk is away".into() });
        let told = |builder: &Builder| builder.shown(Position(9), 5).held_up;
        builder.note_start(&plugin, failed(), 5);
        assert!(told(&builder).is_some_and(|reason| reason.contains("the disk is away")));
        builder.note_start(&plugin, Ok(()), 5 + AGAIN_US);
        assert_eq!(told(&builder), None);
        // Why it could not become live is told until that is tried again.
        builder.held_up = Some("the rest took too long".into());
        builder.note_start(&plugin, failed(), 5);
        builder.note_start(&plugin, Ok(()), 5 + AGAIN_US);
        assert_eq!(told(&builder).as_deref(), Some("the rest took too long"));
    }
}
