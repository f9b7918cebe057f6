//! Who decides for which category.
//!
//! Written by whoever runs plugins, read for each command. A category has one decider at a time; a second one is
//! refused while the first is there.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;

use thiserror::Error;
use tokio::sync::watch;

use super::aggregate::AggregateCode;
use super::counts::{AggregateCounts, Counts};
use super::desk::Desk;
use super::error::CommandError;
use super::policy::AggregatePolicy;
use super::shard::Shard;
use super::suspects::Unfit;
use crate::delivery::Permit;
use crate::event::{Category, PluginName, StreamName};
use crate::nearest::nearest;
use crate::schema::Chain;

/// Most instances of one component that decide side by side.
const SHARDS_MAX: usize = 8;

/// All that is to be known of who decides.
#[derive(Clone)]
pub struct AggregateSetup {
    /// The plugin.
    pub plugin: PluginName,
    /// For which streams.
    pub category: Category,
    /// SHA-256 of its component, in hex; empty for native code.
    pub digest: String,
    /// Event types that it may append.
    pub append: Permit,
    /// What lifts the events of its aggregates.
    pub chain: Arc<Chain>,
    /// Its code.
    pub code: Arc<dyn AggregateCode>,
    /// How commands are carried out.
    pub policy: AggregatePolicy,
}

impl fmt::Debug for AggregateSetup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AggregateSetup")
            .field("plugin", &self.plugin)
            .field("category", &self.category)
            .finish_non_exhaustive()
    }
}

/// Somebody else decides for the category.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "plugins {plugin} and {holder} both claim aggregate {category}, and {holder} has it; take one of them away, or give \
     it another [aggregate] category"
)]
pub struct Taken {
    /// Who was refused.
    pub plugin: PluginName,
    /// Who decides.
    pub holder: PluginName,
    /// For what.
    pub category: Category,
}

/// A claim as others see it.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// The aggregate.
    pub category: Category,
    /// The plugin that decides.
    pub plugin: PluginName,
    /// SHA-256 of its component, in hex.
    pub digest: String,
    /// What has become of its commands.
    pub counts: AggregateCounts,
}

/// Who decides for which category. Cheap to clone; clones share it.
#[derive(Clone, Default)]
pub struct Claims(Arc<Shared>);

#[derive(Default)]
struct Shared {
    held: Mutex<Held>,
    /// Counts changes.
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct Held {
    deciders: BTreeMap<Category, Arc<Decider>>,
    /// Kept while the process lives, so that counters do not go back.
    counts: BTreeMap<Category, Arc<Counts>>,
    /// Why it is not known what lifts events, where it is not: whoever would decide waits for that.
    unlifted: Option<String>,
}

/// Who decides, with the instances that do.
pub(super) struct Decider {
    pub(super) setup: AggregateSetup,
    pub(super) counts: Arc<Counts>,
    /// Aggregates in memory.
    hot: Arc<AtomicU64>,
    /// Snapshots of its aggregates that are to be dropped.
    pub(super) unfit: Arc<Unfit>,
    shards: Vec<Desk>,
}

impl Claims {
    /// Lets a plugin decide for a category. What it decided for before is let go of; commands that are being decided
    /// go on with the code they began with.
    ///
    /// # Errors
    /// When another plugin decides for it: nothing is changed then.
    pub fn claim(&self, setup: AggregateSetup) -> Result<(), Taken> {
        let mut held = self.lock();
        let AggregateSetup { plugin, category, .. } = &setup;
        if let Some(other) = held.deciders.get(category).filter(|other| other.setup.plugin != *plugin) {
            let holder = other.setup.plugin.clone();
            return Err(Taken { plugin: plugin.clone(), holder, category: category.clone() });
        }
        held.release(plugin);
        let category = category.clone();
        let counts = Arc::clone(held.counts.entry(category.clone()).or_default());
        held.deciders.insert(category, Arc::new(Decider::new(setup, counts)));
        drop(held);
        self.changed();
        Ok(())
    }

    /// Takes a plugin's claims away.
    pub fn release(&self, plugin: &PluginName) {
        self.lock().release(plugin);
        self.changed();
    }

    /// Waits until nobody decides for a category.
    pub async fn free(&self, category: &Category) {
        // Before the look, so that no change after it goes unseen.
        let mut changes = self.0.changes.subscribe();
        while self.get(category).is_some() {
            // The sender lives in `self`.
            let _ = changes.changed().await;
        }
    }

    /// Who decides for what.
    #[must_use]
    pub fn list(&self) -> Vec<Claimed> {
        let held = self.lock();
        let claimed = |(category, decider): (&Category, &Arc<Decider>)| Claimed {
            category: category.clone(),
            plugin: decider.setup.plugin.clone(),
            digest: decider.setup.digest.clone(),
            counts: decider.counts.read(decider.hot.load(Ordering::Relaxed)),
        };
        held.deciders.iter().map(claimed).collect()
    }

    /// Who decides for a category.
    pub(super) fn get(&self, category: &Category) -> Option<Arc<Decider>> {
        self.lock().deciders.get(category).cloned()
    }

    /// Notes why it is not known what lifts events, or that it is: nobody decides while it is not.
    pub fn set_unlifted(&self, reason: Option<String>) {
        self.lock().unlifted = reason;
    }

    /// What is told where nobody decides for a category: somebody may once it is known what lifts events.
    pub(super) fn unclaimed(&self, aggregate: Category) -> CommandError {
        let held = self.lock();
        if let Some(reason) = held.unlifted.clone() {
            return CommandError::ChecksUnknown { what: "the upcasters".to_owned(), reason };
        }
        let known = held.others_in_words(&aggregate);
        CommandError::UnknownAggregate { aggregate, known }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) {
        self.0.changes.send_modify(|changes| *changes = changes.wrapping_add(1));
    }
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Claims").field(&self.lock().deciders.keys().collect::<Vec<_>>()).finish()
    }
}

impl Held {
    fn release(&mut self, plugin: &PluginName) {
        self.deciders.retain(|_, decider| decider.setup.plugin != *plugin);
    }

    /// For what else than a category there is somebody who decides, in words. It may have found somebody since it was
    /// looked for.
    fn others_in_words(&self, but: &Category) -> String {
        let names: Vec<_> = self.deciders.keys().filter(|one| *one != but).map(Category::as_str).collect();
        match nearest(but.as_str(), &names) {
            _ if names.is_empty() => "none does for any".into(),
            Some(meant) => format!("did you mean {meant}? those that do are for {}", names.join(", ")),
            None => format!("those that do are for {}", names.join(", ")),
        }
    }
}

impl Decider {
    fn new(setup: AggregateSetup, counts: Arc<Counts>) -> Self {
        let shards = available_parallelism().map_or(1, NonZeroUsize::get).min(SHARDS_MAX);
        let hot_max = setup.policy.hot.div_ceil(shards);
        let (hot, unfit) = (Arc::<AtomicU64>::default(), Arc::<Unfit>::default());
        let shard = || Desk::new(Shard::new(hot_max, Arc::clone(&counts), Arc::clone(&hot), Arc::clone(&unfit)));
        Self { shards: (0..shards).map(|_| shard()).collect(), setup, counts, hot, unfit }
    }

    /// The instance that a stream's aggregate lives in.
    pub(super) fn shard(&self, stream: &StreamName) -> &Desk {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(stream);
        let index = usize::try_from(hash % self.shards.len() as u64).unwrap_or(0);
        #[expect(clippy::indexing_slicing, reason = "it is the rest of a division by the length")]
        &self.shards[index]
    }
}
