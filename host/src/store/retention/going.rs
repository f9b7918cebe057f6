//! Who still needs events that a policy lets go: whoever has not come past them and would be handed them, or has set them
//! aside.
//!
//! What a plugin would be handed is what it asks for today. Of what nobody knows it is anything.

use std::collections::BTreeSet;

use super::{Needed, of_category};
use crate::event::{Category, Filter, PluginName, Position, Query};
use crate::store::{Owner, ReadRequest, SNAPSHOTS_OWNER, Store, StoreError};

/// Dead letters read at a time, without their evidence.
const LETTERS_READ: usize = 256;

/// A plugin, as whoever knows its files and its record tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reader {
    /// The plugin.
    pub plugin: PluginName,
    /// How far it has looked; none of one that is not installed.
    pub looked: Option<Position>,
    /// Which events it may be handed: what any of these matches; all where none are given.
    pub filters: Option<Vec<Filter>>,
    /// Revision of its record, where they were read; 0 without one. With another one they may be others.
    pub revision: u64,
}

/// A generation of a plugin's data that is only kept to return to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The generation.
    pub owner: Owner,
    /// Which events it was handed; any where none is given.
    pub filter: Option<Filter>,
}

/// What is known of plugins, beside what the store holds of their progress.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// The plugins.
    pub readers: Vec<Reader>,
    /// The generations that they only keep to return to.
    pub kept: Vec<Kept>,
}

impl Known {
    /// Whether the same may be handed to the same, however far those have looked.
    pub(super) fn tells_as(&self, other: &Self) -> bool {
        let told = |known: &Self| -> Vec<_> {
            let told = |reader: &Reader| (reader.plugin.clone(), reader.revision, reader.filters.clone());
            known.readers.iter().map(told).collect()
        };
        self.kept == other.kept && told(self) == told(other)
    }
}

/// Events of a category before a position: what a policy lets go.
pub(super) struct Going<'a> {
    pub(super) category: &'a Category,
    pub(super) before: Position,
    pub(super) store: &'a dyn Store,
}

impl Going<'_> {
    /// The plugin that is furthest behind.
    pub(super) fn needed(&self, readers: &[Reader], kept: &[Kept]) -> Result<Option<Needed>, StoreError> {
        let known = self.store.plugins()?;
        let others = readers.iter().map(|reader| &reader.plugin).filter(|plugin| !known.contains(plugin));
        // Snapshots hold nothing back: an aggregate that has none for what goes ends with its events, as the policy says.
        let plugins = known.iter().chain(others).filter(|plugin| plugin.as_str() != SNAPSHOTS_OWNER);
        let mut lowest: Option<Needed> = None;
        for plugin in plugins {
            let reader = readers.iter().find(|reader| reader.plugin == *plugin);
            let Some(from) = self.needed_by(plugin, reader, kept)? else { continue };
            if lowest.as_ref().is_none_or(|lowest| from < lowest.from) {
                lowest = Some(Needed { plugin: plugin.clone(), from, kept: None });
            }
        }
        Ok(lowest)
    }

    /// The first event that a plugin still needs: of what it is handed, what follows the checkpoint that is furthest behind
    /// of all its generations, and what they have set aside. How far it has come by what can be seen of it may be ahead of
    /// what is stored.
    fn needed_by(
        &self,
        plugin: &PluginName,
        reader: Option<&Reader>,
        kept: &[Kept],
    ) -> Result<Option<Position>, StoreError> {
        let mut progress = self.store.plugin_progress(plugin)?;
        let looked = reader.and_then(|reader| reader.looked);
        // One that is gone and never handled anything needs nothing.
        if looked.is_none() && progress.is_empty() {
            return Ok(None);
        }
        progress.retain(|(owner, ..)| kept.iter().all(|kept| kept.owner != *owner));
        let owners: BTreeSet<_> = progress.iter().map(|(owner, ..)| owner).collect();
        let stored = progress.iter().map(|(_, _, progress)| progress.checkpoint).min().unwrap_or_default();
        // What is seen is that of the generation that is live.
        let checkpoint = if owners.len() > 1 { stored } else { stored.max(looked.unwrap_or_default()) };
        let filters = reader.and_then(|reader| reader.filters.as_deref());
        let mut needed = self.first_event(filters, checkpoint)?;
        for owner in owners {
            needed = [needed, self.first_letter(owner)?].into_iter().flatten().min();
        }
        Ok(needed)
    }

    /// The same of the generations that are only kept, of all plugins.
    pub(super) fn needed_by_kept(&self, kept: &[Kept]) -> Result<Option<Needed>, StoreError> {
        let mut lowest: Option<Needed> = None;
        for Kept { owner, filter } in kept {
            let progress = self.store.plugin_progress(&owner.plugin)?;
            let own = progress.iter().filter(|(of, ..)| of == owner).map(|(_, _, progress)| progress.checkpoint);
            let event = match own.min() {
                Some(checkpoint) => self.first_event(filter.as_ref().map(std::slice::from_ref), checkpoint)?,
                None => None,
            };
            let Some(from) = [event, self.first_letter(owner)?].into_iter().flatten().min() else { continue };
            if lowest.as_ref().is_none_or(|lowest| from < lowest.from) {
                lowest = Some(Needed { plugin: owner.plugin.clone(), from, kept: Some(owner.generation) });
            }
        }
        Ok(lowest)
    }

    /// The first of these events after a position that any of some filters matches, or of all without filters.
    fn first_event(&self, filters: Option<&[Filter]>, after: Position) -> Result<Option<Position>, StoreError> {
        let Some(filters) = filters else { return self.first_of(&Filter::all(), after) };
        let mut first: Option<Position> = None;
        for filter in filters {
            first = first.into_iter().chain(self.first_of(filter, after)?).min();
        }
        Ok(first)
    }

    /// The first of these events after a position that a filter matches. Of one with too many names it may be one that it
    /// does not match.
    fn first_of(&self, filter: &Filter, after: Position) -> Result<Option<Position>, StoreError> {
        let own = of_category(self.category);
        let both = filter.and(&own);
        if both.is_none() || after.next() >= self.before {
            return Ok(None);
        }
        let query = Query::from(both);
        let query = if query.validate().is_ok() { query } else { own.into() };
        let mut request = ReadRequest { query, after, before: Some(self.before), limit: 1, ..ReadRequest::default() };
        loop {
            let page = self.store.read(&request)?;
            match page.events.first() {
                Some(event) => return Ok(Some(event.position)),
                None if page.complete => return Ok(None),
                None => request.after = page.through,
            }
        }
    }

    /// The first of these events that an owner has set aside, whatever it is handed today. What was discarded is not
    /// needed.
    fn first_letter(&self, owner: &Owner) -> Result<Option<Position>, StoreError> {
        let gone_before = self.store.removals().horizon(self.category.as_str());
        let mut after = Position(gone_before.0.saturating_sub(1));
        loop {
            let letters = self.store.bare_dead_letters(owner, after, LETTERS_READ)?;
            let Some(last) = letters.last() else { return Ok(None) };
            after = last.position;
            for letter in letters.iter().filter(|letter| !letter.is_discarded()) {
                if letter.position >= self.before {
                    return Ok(None);
                }
                let stream = self.store.event_at(letter.position)?.and_then(|event| event.stream);
                if stream.is_some_and(|stream| stream.category() == self.category.as_str()) {
                    return Ok(Some(letter.position));
                }
            }
        }
    }
}
