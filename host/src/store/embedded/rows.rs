//! Reads of what plugins keep: the changes that journals hold, newest first, over the state file.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::fences::Fenced;
use super::hot::HotData;
use super::layered::Layered;
use super::open;
use super::overlay::OwnerChanges;
use super::shared::Shared;
use super::state::Part;
use super::view::View;
use crate::event::{PluginName, Position};
use crate::store::{DeadLetter, Owner, PluginRecord, Progress, StoreError};

/// A layer of rows.
type Rows<'a, K, V> = Box<dyn Iterator<Item = Result<(K, Option<V>), StoreError>> + 'a>;

/// How far a partition has come.
pub(super) fn progress(shared: &Shared, owner: &Owner, partition: u32) -> Result<Option<Progress>, StoreError> {
    let view = shared.view();
    match newest(&view, owner, |changes| changes.progress.get(&partition).cloned()) {
        Some(progress) => Ok(progress),
        None => shared.state.progress(owner, partition),
    }
}

/// How far a source was followed.
pub(super) fn tracking(shared: &Shared, source: &str) -> Result<Option<u64>, StoreError> {
    let view = shared.view();
    match view.newest_first().find_map(|generation| generation.data().overlay.tracking(source)) {
        Some(position) => Ok(Some(position)),
        None => shared.state.tracking(source),
    }
}

/// How far every partition of a plugin has come, in order.
pub(super) fn plugin_progress(shared: &Shared, plugin: &PluginName) -> Result<Vec<(Owner, u32, Progress)>, StoreError> {
    let view = shared.view();
    let stored = shared.state.all_progress()?.into_iter().filter(|(owner, ..)| owner.plugin == *plugin);
    let mut rows: BTreeMap<_, _> = stored.map(|(owner, partition, progress)| ((owner, partition), progress)).collect();
    for generation in view.newest_first().rev() {
        let data = generation.data();
        for (owner, changes) in data.overlay.owners().filter(|(owner, _)| owner.plugin == *plugin) {
            rows.retain(|(found, _), _| !changes.dropped || found != owner);
            for (partition, progress) in &changes.progress {
                match progress {
                    Some(progress) => drop(rows.insert((owner.clone(), *partition), progress.clone())),
                    None => drop(rows.remove(&(owner.clone(), *partition))),
                }
            }
        }
    }
    Ok(rows.into_iter().map(|((owner, partition), progress)| (owner, partition, progress)).collect())
}

/// What is known of a plugin as a whole.
pub(super) fn plugin_record(shared: &Shared, plugin: &PluginName) -> Result<Option<PluginRecord>, StoreError> {
    let view = shared.view();
    let changed = view.newest_first().find_map(|generation| generation.data().overlay.record(plugin).cloned());
    match changed {
        Some(record) => Ok(Some(record)),
        None => shared.state.record(plugin),
    }
}

/// Every plugin with progress or a record, in name order.
pub(super) fn plugins(shared: &Shared) -> Result<Vec<PluginName>, StoreError> {
    let fences = open::fences(&shared.state, &shared.view())?;
    let name = |row: &Fenced| match row {
        Fenced::Progress(owner, _) => Some(owner.plugin.clone()),
        Fenced::Record(plugin) => Some(plugin.clone()),
        Fenced::Tracking(_) => None,
    };
    Ok(fences.rows().filter_map(name).collect::<BTreeSet<_>>().into_iter().collect())
}

/// The value under a key of a plugin's state.
pub(super) fn state_get(shared: &Shared, owner: &Owner, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let view = shared.view();
    match newest(&view, owner, |changes| changes.state.get(key).cloned()) {
        Some(value) => Ok(value),
        None => shared.state.state(owner, key),
    }
}

/// Dead letters of a plugin above a position.
pub(super) fn dead_letters(
    shared: &Shared,
    owner: &Owner,
    after: Position,
    (limit, part): (usize, Part),
) -> Result<Vec<DeadLetter>, StoreError> {
    with_dead_letters(shared, owner, (after, part), |letters| letters.take(limit).collect())
}

/// One dead letter of a plugin.
pub(super) fn dead_letter(
    shared: &Shared,
    owner: &Owner,
    position: Position,
) -> Result<Option<DeadLetter>, StoreError> {
    let before = Position(position.0.saturating_sub(1));
    with_dead_letters(shared, owner, (before, Part::Whole), |letters| letters.next().transpose())
        .map(|letter| letter.filter(|letter| letter.position == position))
}

/// How many dead letters a plugin has, without discarded ones. Counts them: their number is what operators are to keep small.
pub(super) fn dead_letter_count(shared: &Shared, owner: &Owner) -> Result<u64, StoreError> {
    let one = |letter: &DeadLetter| u64::from(!letter.is_discarded());
    let all = (Position::START, Part::WithoutEvidence);
    with_dead_letters(shared, owner, all, |letters| letters.map(|letter| letter.map(|it| one(&it))).sum())
}

fn with_dead_letters<T>(
    shared: &Shared,
    owner: &Owner,
    (after, part): (Position, Part),
    read: impl FnOnce(&mut dyn Iterator<Item = Result<DeadLetter, StoreError>>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let Some(first) = after.0.checked_add(1).map(Position) else { return read(&mut std::iter::empty()) };
    let view = shared.view();
    let data: Vec<_> = view.newest_first().map(|generation| generation.data()).collect();
    let (changed, dropped) = layers(&data, owner, |changes| -> Rows<'_, _, _> {
        let letters = changes.dead_letters.range(first..);
        Box::new(letters.map(move |(position, letter)| Ok((*position, letter.clone().map(|letter| part.of(letter))))))
    });
    let stored: Rows<'_, _, _> = if dropped {
        Box::new(std::iter::empty())
    } else {
        Box::new(shared.state.dead_letters_from(owner, first, part)?)
    };
    let letters = Layered::new(changed.into_iter().chain([stored]));
    read(&mut letters.map(|row| row.map(|(_, letter)| letter)))
}

/// The newest journal's answer about a row of an owner, if any has one: none within for a row that is not there.
fn newest<T>(view: &Arc<View>, owner: &Owner, look: impl Fn(&OwnerChanges) -> Option<Option<T>>) -> Option<Option<T>> {
    view.newest_first().find_map(|generation| {
        let data = generation.data();
        let changes = data.overlay.owner(owner)?;
        look(changes).or(changes.dropped.then_some(None))
    })
}

/// The changes of an owner in each journal, newest first, and whether they hide all that the file has.
fn layers<'a, T>(
    data: &'a [impl std::ops::Deref<Target = HotData>],
    owner: &Owner,
    rows: impl Fn(&'a OwnerChanges) -> T,
) -> (Vec<T>, bool) {
    let mut layers = Vec::new();
    for changes in data.iter().filter_map(|data| data.overlay.owner(owner)) {
        layers.push(rows(changes));
        if changes.dropped {
            return (layers, true);
        }
    }
    (layers, false)
}
