//! How much state an owner has: what the file says, and what the journals that are not sealed make of it.
//!
//! A journal's overlay counts the values it holds while it takes them over. What of the layers below they hide is
//! looked up by whoever asks, once for each key of a journal, and kept there: so the writer never looks anything up.
//! A seal changes nothing of it: what lies below a journal is the same before and after.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::hot::Generation;
use super::overlay::OwnerChanges;
use super::shared::Shared;
use super::state::Moment;
use crate::store::{Owner, StateSize, StoreError};

/// What a journal's changes of an owner's state come to. Whoever looks keys up takes note of it beside those that read
/// the journal: one that is sealed is never locked for a change.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    /// Keys with a value here.
    held: StateSize,
    /// What the changed keys have below, but for the unknown ones.
    hidden: StateSize,
    /// Changed keys of which it is not known what they have below.
    unknown: Vec<String>,
}

impl Tally {
    /// Takes note of a changed key, where `before` is the change that it takes the place of; `is_lowest` where there is
    /// nothing below.
    pub(super) fn note(
        &mut self,
        key: &str,
        value: Option<&Vec<u8>>,
        before: Option<&Option<Vec<u8>>>,
        is_lowest: bool,
    ) {
        let of = |value: &Vec<u8>| StateSize::of_entry(key.len(), value.len());
        let counted = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        counted.held += value.map(of).unwrap_or_default();
        match before {
            Some(before) => counted.held -= before.as_ref().map(of).unwrap_or_default(),
            None if is_lowest => {}
            None => counted.unknown.push(key.to_owned()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How much state an owner has.
pub(super) fn state_size(shared: &Shared, owner: &Owner) -> Result<StateSize, StoreError> {
    // Of two that look the same keys up, the second would take them for known.
    let _alone = shared.sizing();
    let view = shared.view();
    let file = shared.state.moment()?;
    let floor = file.journal_floor()?;
    // What was sealed between these two looks is in the file, and still in the view.
    let layers: Vec<_> = view.newest_first().take_while(|generation| generation.sequence >= floor).collect();
    let (mut size, mut hidden) = (StateSize::default(), StateSize::default());
    let mut above = layers.as_slice();
    while let Some((layer, below)) = above.split_first() {
        if let Some(found) = of_layer(layer, &Below { layers: below, file: &file, owner })? {
            size += found.held;
            hidden += found.hidden;
            if found.is_lowest {
                size -= hidden;
                return Ok(size);
            }
        }
        above = below;
    }
    size += file.state_size(owner)?;
    size -= hidden;
    Ok(size)
}

/// What one layer says of an owner.
struct OfLayer {
    held: StateSize,
    hidden: StateSize,
    is_lowest: bool,
}

/// What a layer says, all at one moment; none where it says nothing of the owner.
fn of_layer(layer: &Generation, below: &Below<'_>) -> Result<Option<OfLayer>, StoreError> {
    let (held, is_lowest, unknown) = {
        let data = layer.data();
        let Some(changes) = data.overlay.owner(below.owner) else { return Ok(None) };
        let mut counted = changes.tally.lock();
        (counted.held, changes.dropped, std::mem::take(&mut counted.unknown))
    };
    let found = unknown.iter().map(|key| below.size(key)).sum::<Result<StateSize, _>>();
    let data = layer.data();
    let Some(changes) = data.overlay.owner(below.owner) else { return Ok(None) };
    let mut counted = changes.tally.lock();
    if changes.dropped && !is_lowest {
        // All of it went meanwhile.
        return Ok(Some(OfLayer { held: counted.held, hidden: counted.hidden, is_lowest: true }));
    }
    match found {
        Ok(found) => counted.hidden += found,
        Err(error) => {
            counted.unknown.extend(unknown);
            return Err(error);
        }
    }
    Ok(Some(OfLayer { held, hidden: counted.hidden, is_lowest }))
}

/// What lies below a layer, of one owner.
struct Below<'a> {
    layers: &'a [&'a Arc<Generation>],
    file: &'a Moment,
    owner: &'a Owner,
}

impl Below<'_> {
    /// What a key has there. These layers stand still.
    fn size(&self, key: &str) -> Result<StateSize, StoreError> {
        let of = |value: &Vec<u8>| StateSize::of_entry(key.len(), value.len());
        for layer in self.layers {
            let data = layer.data();
            let Some(changes) = data.overlay.owner(self.owner) else { continue };
            let OwnerChanges { state, dropped, .. } = changes;
            match state.get(key) {
                Some(value) => return Ok(value.as_ref().map(of).unwrap_or_default()),
                None if *dropped => return Ok(StateSize::default()),
                None => {}
            }
        }
        Ok(self.file.state(self.owner, key)?.as_ref().map(of).unwrap_or_default())
    }
}
