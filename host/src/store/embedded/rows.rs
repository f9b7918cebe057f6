//! Reads of what plugins keep: the changes that journals hold, newest first, over the state file.

use std::sync::Arc;

use super::hot::HotData;
use super::layered::Layered;
use super::open;
use super::overlay::PluginChanges;
use super::shared::Shared;
use super::view::View;
use crate::event::{PluginName, Position};
use crate::store::page::StatePageBuilder;
use crate::store::{DeadLetter, Progress, StatePage, StoreError};

/// A layer of rows.
type Rows<'a, K, V> = Box<dyn Iterator<Item = Result<(K, Option<V>), StoreError>> + 'a>;

/// How far a plugin has come.
pub(super) fn progress(shared: &Shared, plugin: &PluginName) -> Result<Option<Progress>, StoreError> {
    let view = shared.view();
    match newest(&view, plugin, |changes| Some(changes.progress.clone())) {
        Some(progress) => Ok(Some(progress)),
        None => shared.state.progress(plugin),
    }
}

/// Every plugin with progress, in name order.
pub(super) fn plugins(shared: &Shared) -> Result<Vec<PluginName>, StoreError> {
    let mut names: Vec<_> = open::all_progress(&shared.state, &shared.view())?.into_keys().collect();
    names.sort_unstable();
    Ok(names)
}

/// The value under a key of a plugin's state.
pub(super) fn state_get(shared: &Shared, plugin: &PluginName, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let view = shared.view();
    match newest(&view, plugin, |changes| changes.state.get(key).cloned()) {
        Some(value) => Ok(value),
        None => shared.state.state(plugin, key),
    }
}

/// A page of a plugin's state.
pub(super) fn state_scan(
    shared: &Shared,
    plugin: &PluginName,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<StatePage, StoreError> {
    let start = after.filter(|after| *after > prefix).unwrap_or(prefix);
    let view = shared.view();
    let data: Vec<_> = view.newest_first().map(|generation| generation.data()).collect();
    let changed = layers(&data, plugin, |changes| -> Rows<'_, _, _> {
        Box::new(changes.state_from(start).map(|(key, value)| Ok((key.clone(), value.clone()))))
    });
    let stored: Rows<'_, _, _> = Box::new(shared.state.state_from(plugin, start)?);
    let mut page = StatePageBuilder::new(limit);
    for row in Layered::new(changed.into_iter().chain([stored])) {
        let (key, value) = row?;
        if !key.starts_with(prefix) {
            break;
        }
        if after != Some(key.as_str()) && !page.offer(&key, &value) {
            break;
        }
    }
    Ok(page.finish())
}

/// Dead letters of a plugin above a position.
pub(super) fn dead_letters(
    shared: &Shared,
    plugin: &PluginName,
    after: Position,
    limit: usize,
) -> Result<Vec<DeadLetter>, StoreError> {
    with_dead_letters(shared, plugin, after, |letters| letters.take(limit).collect())
}

/// One dead letter of a plugin.
pub(super) fn dead_letter(
    shared: &Shared,
    plugin: &PluginName,
    position: Position,
) -> Result<Option<DeadLetter>, StoreError> {
    let before = Position(position.0.saturating_sub(1));
    with_dead_letters(shared, plugin, before, |letters| letters.next().transpose())
        .map(|letter| letter.filter(|letter| letter.position == position))
}

/// How many dead letters a plugin has. Counts them: their number is what operators are to keep small.
pub(super) fn dead_letter_count(shared: &Shared, plugin: &PluginName) -> Result<u64, StoreError> {
    with_dead_letters(shared, plugin, Position::START, |letters| letters.map(|letter| letter.map(|_| 1)).sum())
}

fn with_dead_letters<T>(
    shared: &Shared,
    plugin: &PluginName,
    after: Position,
    read: impl FnOnce(&mut dyn Iterator<Item = Result<DeadLetter, StoreError>>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let Some(first) = after.0.checked_add(1).map(Position) else { return read(&mut std::iter::empty()) };
    let view = shared.view();
    let data: Vec<_> = view.newest_first().map(|generation| generation.data()).collect();
    let changed = layers(&data, plugin, |changes| -> Rows<'_, _, _> {
        Box::new(changes.dead_letters.range(first..).map(|(position, letter)| Ok((*position, letter.clone()))))
    });
    let stored: Rows<'_, _, _> = Box::new(shared.state.dead_letters_from(plugin, first)?);
    let letters = Layered::new(changed.into_iter().chain([stored]));
    read(&mut letters.map(|row| row.map(|(_, letter)| letter)))
}

/// The newest journal's answer about a plugin's changes, if any has one.
fn newest<T>(view: &Arc<View>, plugin: &PluginName, look: impl Fn(&PluginChanges) -> Option<T>) -> Option<T> {
    view.newest_first().find_map(|generation| generation.data().overlay.plugin(plugin).and_then(&look))
}

/// The changes of a plugin in each journal, newest first.
fn layers<'a, T>(
    data: &'a [impl std::ops::Deref<Target = HotData>],
    plugin: &PluginName,
    rows: impl Fn(&'a PluginChanges) -> T,
) -> Vec<T> {
    data.iter().filter_map(|data| data.overlay.plugin(plugin)).map(rows).collect()
}
