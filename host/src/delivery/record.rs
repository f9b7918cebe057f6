//! What is kept of a plugin as a whole: the content of its record in the store, as JSON.
//!
//! A plugin that has always had one partition without a key of its own, began at the beginning and was never paused has none. Keys that are
//! not known here are kept as they are.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::layout::{Layout, Settled};
pub(super) use super::past::Abandoned;
use super::policy::Subscription;
use super::start;
use super::status::Status;
use crate::clock::rfc3339;
use crate::event::{Category, Filter, PluginName, Position};
use crate::store::retention::Kept;
use crate::store::{CommitError, Owner, PluginChange, PluginRecord, Progress, Store, StoreError};

/// How often a change is tried that meets another one.
const TRIES_MAX: usize = 5;

/// The content of a plugin's record.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    /// Which generation of its data is live.
    #[serde(default)]
    pub(super) generation: u32,
    /// Whether an operator has paused it.
    #[serde(default)]
    pub(super) paused: bool,
    /// How its events are shared among partitions; none while there has only been one, without a key of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) layout: Option<Layout>,
    /// Whether set-aside events are written down under the key of a layout before.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) rekey: bool,
    /// Layouts before, as far as they matter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) before: Vec<Settled>,
    /// The generation that is made next; never one that there was.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) next_generation: u32,
    /// After which position the live generation began, where that is not to be found out again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) began: Option<Position>,
    /// SHA-256 of the component that is live, in hex; empty for native handlers.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) component: String,
    /// Through which lifts the live generation's events went when it began; empty for none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) lifts: String,
    /// Before which position events were removed when the live generation began to be built; none where it had all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) removed_before: Option<Position>,
    /// Which stored events the live generation was handed from its first one on; none where that may have been any, or
    /// changed since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) filter: Option<Filter>,
    /// How far the live generation had come when it became live: up to there it took over what was set aside, and came to
    /// later events by itself. None where it was not built beside another one, or became live before this was written down,
    /// until a rollback finds it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) taken_over: Option<Settled>,
    /// What a rollback returns to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) previous: Option<Previous>,
    /// The last one that a rollback would have returned to and that retention dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) dropped: Option<Dropped>,
    /// The generation that is built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) building: Option<Building>,
    /// What other generations had settled when this one became live and had not come as far, the latest first: handled
    /// here, it emits nothing. Of several that had settled an event the first one says what became of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "one_or_more")]
    pub(super) abandoned: Vec<Abandoned>,
    /// What runs instead of what is installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) instead: Option<Instead>,
    /// What others keep there.
    #[serde(flatten)]
    pub(super) rest: Map<String, Value>,
}

/// What was live before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Previous {
    pub(super) generation: u32,
    pub(super) component: String,
    /// The layout of that generation, where it is another than the live one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) layout: Option<Layout>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) before: Vec<Settled>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) began: Option<Position>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) lifts: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) removed_before: Option<Position>,
    /// Which stored events it was handed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) filter: Option<Filter>,
    /// How far it had come when it became live first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) taken_over: Option<Settled>,
}

/// A generation that was kept to return to, and that retention dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// Its number.
    pub generation: u32,
    /// Of which category it alone held back what was to go.
    pub category: String,
    /// When: microseconds since the Unix epoch.
    pub at_us: u64,
}

/// In the middle of a sentence.
impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { generation, category, at_us } = self;
        let at = rfc3339(*at_us);
        write!(
            f,
            "the state before, generation {generation}, was dropped at {at}, as it alone held back what retention "
        )?;
        write!(f, "lets go of category {category}")
    }
}

/// A generation that is built.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Building {
    pub(super) generation: u32,
    /// SHA-256 of the component that builds it, in hex.
    pub(super) component: String,
    /// After which position it began.
    pub(super) after: Position,
    /// When: microseconds since the Unix epoch.
    pub(super) started_us: u64,
    /// Why, for people.
    pub(super) reason: String,
    pub(super) layout: Layout,
    /// Through which lifts its events go.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) lifts: String,
    /// Before which position events were removed when it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) removed_before: Option<Position>,
    /// Which stored events it was handed from its first one on; none where that may have been any, or changed since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) filter: Option<Filter>,
}

/// While the plugins directory holds one component, another one runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Instead {
    /// SHA-256 of the component that runs, in hex.
    pub run: String,
    /// SHA-256 of the one in the directory, in hex.
    pub of: String,
    /// Whether that one was building its state and this was cancelled; otherwise the plugin was rolled back.
    #[serde(default, skip_serializing_if = "is_false")]
    pub cancelled: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// What is written down of the filter that a generation begins with: nothing of one that asks nothing, or that would not
/// read back as it is.
pub(super) fn noted(filter: &Filter) -> Option<Filter> {
    let read = serde_json::to_value(filter).and_then(serde_json::from_value::<Filter>);
    read.ok().filter(|read| read == filter && !read.is_all())
}

/// What is known of the events that a generation was handed when it goes on with a filter: nothing once that is another.
pub(super) fn still(known: Option<Filter>, filter: &Filter) -> Option<Filter> {
    known.filter(|known| known == filter)
}

/// Generations that were left: a single one is written without a list.
mod one_or_more {
    use serde::{Deserialize, Deserializer, Serialize as _, Serializer};

    use super::Abandoned;

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        One(Abandoned),
        More(Vec<Abandoned>),
    }

    pub(super) fn serialize<S: Serializer>(abandoned: &[Abandoned], serializer: S) -> Result<S::Ok, S::Error> {
        match abandoned {
            [one] => one.serialize(serializer),
            more => more.serialize(serializer),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Abandoned>, D::Error> {
        Ok(match Written::deserialize(deserializer)? {
            Written::One(one) => vec![one],
            Written::More(more) => more,
        })
    }
}

impl Record {
    /// The number of a generation that there never was.
    fn unused_generation(&self) -> u32 {
        self.next_generation.max(self.generation + 1)
    }

    /// What is left of it when all that the plugin keeps is removed: that its generations had these numbers.
    pub(super) fn forgotten(&self) -> Self {
        let generation = self.unused_generation();
        Self { generation, next_generation: generation + 1, ..Self::default() }
    }

    /// Whether it says nothing of a plugin but the numbers of its generations.
    pub(super) fn is_blank(&self) -> bool {
        let Self { generation, next_generation, .. } = *self;
        *self == Self { generation, next_generation, ..Self::default() }
    }

    /// The same, with a generation that is being built, whatever was built before.
    pub(super) fn building(&self, building: Building) -> Self {
        let generation = self.unused_generation();
        let building = Some(Building { generation, ..building });
        Self { building, next_generation: generation + 1, ..self.clone() }
    }

    /// The same, with another component live on the same state.
    pub(super) fn with_component(&self, component: &str) -> Self {
        if component.is_empty() || self.component == component {
            return self.clone();
        }
        let previous =
            (!self.component.is_empty()).then(|| Previous { layout: None, before: Vec::new(), ..self.live() });
        let instead = self.instead.clone().filter(|instead| instead.run == component);
        Self { component: component.into(), previous, instead, ..self.clone() }
    }

    /// What is live, as what a rollback returns to.
    pub(super) fn live(&self) -> Previous {
        Previous {
            generation: self.generation,
            component: self.component.clone(),
            layout: self.layout.clone(),
            before: self.before.clone(),
            began: self.began,
            lifts: self.lifts.clone(),
            removed_before: self.removed_before,
            filter: self.filter.clone(),
            taken_over: self.taken_over.clone(),
        }
    }

    /// The generation that is kept for nothing but to be returned to.
    fn kept(&self) -> Option<u32> {
        let previous = self.previous.as_ref().map(|previous| previous.generation)?;
        let is_abandoned = self.abandoned.iter().any(|abandoned| abandoned.generation == previous);
        (previous != self.generation && !is_abandoned).then_some(previous)
    }

    /// Every generation that is kept.
    pub(super) fn generations(&self) -> BTreeSet<u32> {
        let previous = self.previous.as_ref().map(|previous| previous.generation);
        let building = self.building.as_ref().map(|building| building.generation);
        let abandoned = self.abandoned.iter().map(|abandoned| abandoned.generation);
        [Some(self.generation), previous, building].into_iter().flatten().chain(abandoned).collect()
    }

    /// The generations that go when the record becomes another.
    pub(super) fn dropped_by(&self, next: &Self) -> Vec<u32> {
        self.generations().difference(&next.generations()).copied().collect()
    }
}

/// A record with its revision in the store: 0 while there is none.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Stored {
    pub(super) revision: u64,
    pub(super) record: Record,
}

impl Stored {
    /// Reads a plugin's record. Blocks.
    pub(super) fn read(plugin: &PluginName, store: &dyn Store) -> Result<Self, StoreError> {
        let Some(stored) = store.plugin_record(plugin)? else { return Ok(Self::default()) };
        let record = serde_json::from_str(&stored.content).map_err(|error| StoreError::CorruptedRow {
            what: format!("the record of plugin {plugin}"),
            reason: error.to_string(),
        })?;
        Ok(Self { revision: stored.revision, record })
    }

    /// What is stored when the record becomes `record`.
    pub(super) fn next(&self, record: &Record) -> PluginRecord {
        let content = serde_json::to_string(record);
        // Texts and numbers always serialise.
        PluginRecord { revision: self.revision + 1, content: content.unwrap_or_default() }
    }
}

/// What a record becomes, and the progress that is set with it.
pub(super) struct Edit {
    pub(super) record: Record,
    pub(super) progress: Vec<(u32, u32, Progress)>,
    /// Generations that go, beside those that the record names no more.
    pub(super) dropped: Vec<u32>,
}

impl From<Record> for Edit {
    fn from(record: Record) -> Self {
        Self { record, progress: Vec::new(), dropped: Vec::new() }
    }
}

/// Changes a plugin's record, and drops the generations that it names no more; tried again when another change comes
/// between. An edit of none leaves it as it is. Blocks.
pub(super) fn change<E: From<CommitError>>(
    plugin: &PluginName,
    store: &dyn Store,
    mut edit: impl FnMut(&Record) -> Result<Option<Edit>, E>,
) -> Result<Stored, E> {
    let mut tries = 1..=TRIES_MAX;
    loop {
        let stored = Stored::read(plugin, store).map_err(CommitError::from)?;
        let Some(Edit { record, progress, dropped }) = edit(&stored.record)? else { return Ok(stored) };
        let mut generations_dropped = stored.record.dropped_by(&record);
        generations_dropped.extend(dropped);
        let change = PluginChange {
            plugin: plugin.clone(),
            record: stored.next(&record),
            progress,
            progress_removed: Vec::new(),
            generations_dropped,
        };
        match store.change_plugin(change).wait() {
            Ok(()) => return Ok(Stored { revision: stored.revision + 1, record }),
            Err(CommitError::Fenced { .. }) if tries.next().is_some() => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Which components and generations a plugin has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Generations {
    /// The generation of its data that is live.
    pub live: u32,
    /// SHA-256 of the component that is live, in hex; empty when none ever was.
    pub component: String,
    /// Through which lifts the events of its data went when it began; empty for none.
    #[serde(skip)]
    pub lifts: String,
    /// What a rollback returns to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous: Option<Generation>,
    /// Why there is nothing to return to, where retention dropped that.
    #[serde(skip)]
    pub dropped: Option<Dropped>,
    /// What is built.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub building: Option<Generation>,
    /// What runs instead of what is installed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instead: Option<Instead>,
}

/// One generation of a plugin's data with the component that made it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Generation {
    /// Its number.
    pub generation: u32,
    /// SHA-256 of the component, in hex.
    pub component: String,
}

impl Generations {
    /// Every component that is kept for the plugin.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        let others = self.previous.iter().chain(&self.building).map(|other| other.component.as_str());
        others.chain([self.component.as_str()]).filter(|component| !component.is_empty())
    }
}

/// Which components and generations a plugin has. Blocks.
///
/// # Errors
/// When the store cannot be read.
pub fn generations(plugin: &PluginName, store: &dyn Store) -> Result<Generations, StoreError> {
    let Record { generation: live, component, lifts, previous, dropped, building, instead, .. } =
        Stored::read(plugin, store)?.record;
    let previous = previous.map(|it| Generation { generation: it.generation, component: it.component });
    let building = building.map(|it| Generation { generation: it.generation, component: it.component });
    Ok(Generations { live, component, lifts, previous, dropped, building, instead })
}

/// Before which position events were removed that a plugin's state would lack if it were built anew, from where the
/// plugin began; none where all are there, or where it began is not known. Blocks.
///
/// # Errors
/// When the store cannot be read.
pub fn removed_from_history(
    plugin: &PluginName,
    subscription: &Subscription,
    store: &dyn Store,
) -> Result<Option<Position>, StoreError> {
    let began = Stored::read(plugin, store)?.record.began;
    match start::again(began, subscription.start, store)? {
        Some(after) => start::removed_after(subscription.filter.clone(), after, store),
        None => Ok(None),
    }
}

/// Forgets generations that were left once the live one has come past all that they had settled, also while it runs: it
/// asks nothing about what it has passed. Blocks.
///
/// # Errors
/// When the store cannot be read or written.
pub fn forget_passed(plugin: &PluginName, store: &dyn Store) -> Result<(), CommitError> {
    let edit = |record: &Record| {
        let next = as_far_as_it_is(plugin, record, store)?;
        Ok::<_, CommitError>((next != *record).then(|| next.into()))
    };
    change(plugin, store, edit).map(|_| ())
}

/// The generation that a plugin keeps only to return to, if it keeps one. Blocks.
///
/// # Errors
/// When the store cannot be read.
pub fn kept_generation(plugin: &PluginName, store: &dyn Store) -> Result<Option<Kept>, StoreError> {
    let record = as_far_as_it_is(plugin, &Stored::read(plugin, store)?.record, store)?;
    let owner = record.kept().map(|generation| Owner { plugin: plugin.clone(), generation });
    let filter = record.previous.and_then(|previous| previous.filter);
    Ok(owner.map(|owner| Kept { owner, filter }))
}

/// Which stored events a plugin may be handed, but for a generation that it only keeps to return to: what any of these
/// filters matches. None where they may be any. `running` is its delivery, where it runs: before that has begun, nobody knows
/// what it will ask for. What is written down counts beside it, as either may be older. With it comes the revision of the
/// record. Blocks.
///
/// # Errors
/// When the store cannot be read.
pub fn listened_to(
    plugin: &PluginName,
    running: Option<&Status>,
    store: &dyn Store,
) -> Result<(u64, Option<Vec<Filter>>), StoreError> {
    let Stored { revision, record } = Stored::read(plugin, store)?;
    let Record { generation, component, filter, building, abandoned, .. } = record;
    let live: Vec<Option<Filter>> = match running {
        Some(Status { filter: None, .. }) => vec![None],
        Some(status) if status.generation == generation && status.component == component => {
            let written = filter.filter(|written| status.filter.as_ref() != Some(written));
            [status.filter.clone()].into_iter().chain(written.map(Some)).collect()
        }
        // What is written down is of another one than what runs, or nothing runs.
        _ => vec![filter],
    };
    let building = building.map(|building| building.filter);
    let abandoned = abandoned.into_iter().map(|abandoned| abandoned.filter);
    Ok((revision, live.into_iter().chain(building).chain(abandoned).collect()))
}

/// Drops the generation that a plugin keeps only to return to, if it is this one still; says whether it was. Then there
/// is nothing to return to, and the record says why: the generation alone held back what retention lets go of `category`.
/// Blocks.
///
/// # Errors
/// When the store cannot be read or written.
pub fn drop_kept(owner: &Owner, category: &Category, now_us: u64, store: &dyn Store) -> Result<bool, CommitError> {
    let mut is_dropped = false;
    let edit = |record: &Record| {
        let record = as_far_as_it_is(&owner.plugin, record, store)?;
        is_dropped = record.kept() == Some(owner.generation);
        let dropped = Dropped { generation: owner.generation, category: category.to_string(), at_us: now_us };
        Ok::<_, CommitError>(is_dropped.then(|| Record { previous: None, dropped: Some(dropped), ..record }.into()))
    };
    change(&owner.plugin, store, edit)?;
    Ok(is_dropped)
}

/// Notes which component the plugins directory holds: what runs instead of another one ends with that one. Blocks.
///
/// # Errors
/// When the store cannot be read or written.
pub fn note_installed(plugin: &PluginName, component: &str, store: &dyn Store) -> Result<(), CommitError> {
    end_instead(plugin, |instead| instead.of != component, store)
}

/// Lets the component in the plugins directory run, though it was rolled back or its rebuild cancelled. Blocks.
///
/// # Errors
/// When the store cannot be read or written.
pub fn let_installed_run(plugin: &PluginName, store: &dyn Store) -> Result<(), CommitError> {
    end_instead(plugin, |_| true, store)
}

/// Nothing runs any more instead of what is installed, where that holds.
fn end_instead(plugin: &PluginName, is_over: impl Fn(&Instead) -> bool, store: &dyn Store) -> Result<(), CommitError> {
    let edit = |record: &Record| {
        let ended = record.instead.as_ref().is_some_and(&is_over);
        Ok::<_, CommitError>(ended.then(|| Record { instead: None, ..record.clone() }.into()))
    };
    change(plugin, store, edit).map(|_| ())
}

/// The live generation of a plugin's data. Blocks.
///
/// # Errors
/// When the store cannot be read.
pub fn live_owner(plugin: &PluginName, store: &dyn Store) -> Result<Owner, StoreError> {
    let generation = Stored::read(plugin, store)?.record.generation;
    Ok(Owner { plugin: plugin.clone(), generation })
}

/// How far a plugin has come, whether it runs or not: the lowest checkpoint of its partitions. None when it
/// never began. Blocks.
///
/// # Errors
/// When the store cannot be read.
pub fn stored_checkpoint(plugin: &PluginName, store: &dyn Store) -> Result<Option<Position>, StoreError> {
    checkpoint_of(plugin, &Stored::read(plugin, store)?.record, store)
}

/// The record as it is when it is written anew: without the generations that the live one has come past. Blocks.
fn as_far_as_it_is(plugin: &PluginName, record: &Record, store: &dyn Store) -> Result<Record, StoreError> {
    let checkpoint = checkpoint_of(plugin, record, store)?.unwrap_or_default();
    Ok(record.come_past(checkpoint))
}

/// The lowest checkpoint of the live generation's partitions; none when it never began. Blocks.
fn checkpoint_of(plugin: &PluginName, record: &Record, store: &dyn Store) -> Result<Option<Position>, StoreError> {
    let owner = Owner { plugin: plugin.clone(), generation: record.generation };
    let partitions = record.layout.as_ref().map_or(1, |layout| layout.partitions);
    let progress = (0..partitions).map(|partition| store.progress(&owner, partition));
    let checkpoints = progress.map(|progress| Ok(progress?.map(|progress| progress.checkpoint)));
    let checkpoints = checkpoints.collect::<Result<Vec<_>, StoreError>>()?;
    Ok(checkpoints.into_iter().flatten().min())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::SystemClock;
    use crate::event::Pattern;
    use crate::store::memory::MemoryStore;

    #[test]
    fn a_filter_is_known_for_as_long_as_it_stays_the_same_and_reads_back() {
        let of = |types: Vec<Pattern>| Filter { types, ..Filter::default() };
        let (one, other) = (of(vec![Pattern::new("A").unwrap()]), of(vec![Pattern::new("B").unwrap()]));
        assert_eq!(noted(&one), Some(one.clone()));
        assert_eq!(still(noted(&one), &one), Some(one.clone()));
        assert_eq!(still(still(noted(&one), &other), &one), None, "what it was handed meanwhile is not known");
        for unknown in [Filter::all(), of(vec![Pattern::none()]), of(vec![Pattern::literal("A*").unwrap()])] {
            assert_eq!(noted(&unknown), None, "{unknown:?}");
        }
    }

    #[test]
    fn what_a_plugin_may_be_handed_is_known_of_all_its_generations_or_it_is_anything() {
        let store = MemoryStore::new(Arc::new(SystemClock));
        let plugin = PluginName::new("p").unwrap();
        let of = |name: &str| Filter { types: vec![Pattern::new(name).unwrap()], ..Filter::default() };
        let running = Status { filter: Some(of("Running")), ..Status::default() };
        let beside = |running: Option<&Status>, record: &Record| {
            change(&plugin, &store, |_| Ok::<_, CommitError>(Some(record.clone().into()))).unwrap();
            listened_to(&plugin, running, &store).unwrap().1
        };
        let told = |record: Record| beside(Some(&running), &record);
        let own = Record { filter: Some(of("Own")), ..Record::default() };
        assert_eq!(told(own.clone()), Some(vec![of("Running"), of("Own")]));
        assert_eq!(told(Record::default()), Some(vec![of("Running")]));
        assert_eq!(told(Record { filter: running.filter.clone(), ..Record::default() }), Some(vec![of("Running")]));
        assert_eq!(beside(Some(&Status::default()), &own), None, "it has not begun");
        assert_eq!(beside(None, &own), Some(vec![of("Own")]), "nothing runs");
        for other in [Record { generation: 1, ..own.clone() }, Record { component: "other".into(), ..own.clone() }] {
            assert_eq!(told(other.clone()), Some(vec![of("Own")]), "what runs is not that one yet");
            assert_eq!(told(Record { filter: None, ..other }), None);
        }
        let left = |filter| vec![Abandoned { generation: 1, settled: Vec::new(), filter, taken_over: None }];
        let both = Record { abandoned: left(Some(of("Left"))), ..own.clone() };
        assert_eq!(told(both), Some(vec![of("Running"), of("Own"), of("Left")]));
        assert_eq!(told(Record { abandoned: left(None), ..own }), None);
    }

    #[test]
    fn what_others_keep_in_it_stays() {
        let record: Record = serde_json::from_str(r#"{"paused":true,"other":{"x":1}}"#).unwrap();
        assert!(record.paused && record.generation == 0 && record.layout.is_none());
        let next = Stored { revision: 3, record: record.clone() }.next(&record);
        assert_eq!(next.revision, 4);
        assert_eq!(next.content, r#"{"generation":0,"paused":true,"other":{"x":1}}"#);
        assert_eq!(serde_json::from_str::<Record>(&next.content).unwrap(), record);
    }

    #[test]
    fn generations_that_were_left_read_back_whether_one_or_more() {
        let left = |generation| {
            let settled = Settled { layout: Layout::single(), checkpoints: vec![Position(7)] };
            Abandoned { generation, settled: vec![settled], filter: None, taken_over: None }
        };
        let text = |record: &Record| Stored::default().next(record).content;
        let one = Record { abandoned: vec![left(3)], ..Record::default() };
        let before =
            r#""abandoned":{"generation":3,"settled":[{"layout":{"partitions":1,"key":"stream"},"checkpoints":[7]}]}"#;
        assert!(text(&one).contains(before), "{}", text(&one));
        let filter = noted(&Filter { types: vec![Pattern::new("A*").unwrap()], ..Filter::default() });
        assert!(filter.is_some());
        let taken_over = Some(Settled { layout: Layout::single(), checkpoints: vec![Position(5)] });
        let two = Abandoned { filter, taken_over: taken_over.clone(), ..left(4) };
        let two = Record { abandoned: vec![two, left(3)], taken_over, ..Record::default() };
        for record in [one, two] {
            assert_eq!(serde_json::from_str::<Record>(&text(&record)).unwrap(), record);
        }
    }
}
