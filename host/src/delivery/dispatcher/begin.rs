//! From what is stored of a plugin to where its partitions begin.

use super::beside::bare_rows;
use crate::delivery::key::Sequence;
use crate::delivery::layout::{Change, Layout, Settled};
use crate::delivery::machine::{BEHIND, Row};
use crate::delivery::policy;
use crate::delivery::record::{Record, Stored, noted, still};
use crate::delivery::start;
use crate::error::with_sources;
use crate::event::{PluginName, Position};
use crate::store::{CommitError, DeadLetter, Owner, PluginChange, Progress, Store, StoreError};

use super::rekey::key_anew;

/// Through which lifts the events of a state went that was built through several: no chain is called so, and only
/// building it anew ends it.
const MIXED_LIFTS: &str = "mixed";

/// Where a plugin's partitions begin.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) stored: Stored,
    pub(super) owner: Owner,
    /// Of each partition.
    pub(super) progress: Vec<Progress>,
    /// The set-aside events of each partition, in position order.
    pub(super) rows: Vec<Vec<Row>>,
}

/// Finds out where the partitions of a layout begin; writes it down where it must not move. Blocks.
///
/// # Errors
/// Why not, in one line; it may succeed later.
pub(super) fn begin(
    plugin: &PluginName,
    layout: &Layout,
    subscription: &policy::Subscription,
    component: &str,
    store: &dyn Store,
) -> Result<Begun, String> {
    let said = |error: StoreError| with_sources(&error);
    let mut stored = Stored::read(plugin, store).map_err(said)?;
    let owner = Owner { plugin: plugin.clone(), generation: stored.record.generation };
    let known = progress_of(&owner, &stored.record, store).map_err(said)?;
    let known_none = known.is_none();
    let (record, progress) = match known {
        None => {
            let (record, progress) =
                first(&stored.record, layout, start::resolve(subscription.start, store).map_err(said)?);
            let moved = subscription.start != policy::Start::Beginning || layout.partitions > 1;
            (record, if moved { progress } else { Vec::new() })
        }
        Some((old, progress)) => laid_out(&owner, &stored.record, layout, (&old, progress), store).map_err(said)?,
    };
    let record = record.with_component(component);
    let record = handed(&owner, record, known_none, subscription, store).map_err(said)?;
    let record = without_abandoned(&owner, record, (layout.partitions, progress.as_slice()), store).map_err(said)?;
    if record != stored.record || !progress.is_empty() {
        stored = write(&owner, &stored, record, &progress, store).map_err(|error| with_sources(&error))?;
    }
    if stored.record.rekey {
        key_anew(&owner, &layout.key, store)?;
        let record = Record { rekey: false, ..stored.record.clone() };
        stored = write(&owner, &stored, record, &[], store).map_err(|error| with_sources(&error))?;
    }
    let progress = progress_rows(&owner, layout.partitions, store).map_err(said)?;
    let rows = rows(&owner, layout.partitions, store).map_err(said)?;
    Ok(Begun { stored, owner, progress, rows })
}

/// Notes what its generation is handed from now on: which events, and through which lifts. Blocks.
fn handed(
    owner: &Owner,
    mut record: Record,
    began_never: bool,
    subscription: &policy::Subscription,
    store: &dyn Store,
) -> Result<Record, StoreError> {
    let filter = &subscription.filter;
    record.filter = if began_never { noted(filter) } else { still(record.filter, filter) };
    if record.lifts != subscription.lifts {
        let fresh = is_empty(owner, began_never, store)?;
        record.lifts = if fresh { subscription.lifts.clone() } else { MIXED_LIFTS.to_owned() };
    }
    Ok(record)
}

/// Whether nothing was made of any event yet: none was handled, or no state came of it. Blocks.
fn is_empty(owner: &Owner, began_never: bool, store: &dyn Store) -> Result<bool, StoreError> {
    Ok(began_never || store.state_scan(owner, "", None, 1)?.entries.is_empty())
}

/// Where a generation that is built stands: its progress and its rows. What the live one has set aside waits for what
/// becomes of it there, what was discarded there is left out; what neither was is tried at once. Blocks.
pub(super) fn built(
    owner: &Owner,
    live: &Owner,
    partitions: u32,
    store: &dyn Store,
) -> Result<(Vec<Progress>, Vec<Vec<Row>>), StoreError> {
    let mut rows = rows(owner, partitions, store)?;
    for rows in &mut rows {
        let mut kept = Vec::with_capacity(rows.len());
        for row in rows.drain(..) {
            match store.dead_letter(live, row.position)? {
                Some(other) if other.is_discarded() => {}
                Some(_) => kept.push(Row { held: true, due_us: None, ..row }),
                None => kept.push(Row { held: false, due_us: Some(0), ..row }),
            }
        }
        *rows = kept;
    }
    Ok((progress_rows(owner, partitions, store)?, rows))
}

fn progress_rows(owner: &Owner, partitions: u32, store: &dyn Store) -> Result<Vec<Progress>, StoreError> {
    let progress = (0..partitions).map(|partition| store.progress(owner, partition));
    progress.map(|progress| progress.map(Option::unwrap_or_default)).collect()
}

/// Forgets generations that were left once all that they had settled is passed; `begun` is where the partitions begin
/// that are laid out anew, if they are.
fn without_abandoned(
    owner: &Owner,
    record: Record,
    (partitions, begun): (u32, &[Progress]),
    store: &dyn Store,
) -> Result<Record, StoreError> {
    if record.abandoned.is_empty() {
        return Ok(record);
    }
    let stored = if begun.is_empty() { progress_rows(owner, partitions, store)? } else { Vec::new() };
    let lowest = begun.iter().chain(&stored).map(|progress| progress.checkpoint).min().unwrap_or_default();
    Ok(record.come_past(lowest))
}

/// The layout that is stored, with the progress of its partitions; none when the plugin never began.
fn progress_of(
    owner: &Owner,
    record: &Record,
    store: &dyn Store,
) -> Result<Option<(Layout, Vec<Progress>)>, StoreError> {
    let layout = record.layout.clone().unwrap_or_else(Layout::single);
    let progress = (0..layout.partitions).map(|partition| store.progress(owner, partition));
    let progress = progress.collect::<Result<Vec<_>, _>>()?;
    if progress.iter().all(Option::is_none) {
        return Ok(None);
    }
    Ok(Some((layout, progress.into_iter().map(Option::unwrap_or_default).collect())))
}

/// A plugin that never began.
fn first(record: &Record, layout: &Layout, checkpoint: Position) -> (Record, Vec<Progress>) {
    let began = Some(checkpoint).filter(|checkpoint| *checkpoint > Position::START);
    // Of the very first generation that goes without saying.
    let nothing = || Settled { layout: Layout::single(), checkpoints: vec![Position::START] };
    let taken_over = record.taken_over.clone().or_else(|| (record.generation > 0).then(nothing));
    let progress = Progress { checkpoint, ..Progress::default() };
    let partitions = usize::try_from(layout.partitions).unwrap_or(usize::MAX);
    let layout = layout.clone().noted();
    let record = Record { layout, before: Vec::new(), began, taken_over, ..record.clone() };
    (record, vec![progress; partitions])
}

/// Goes over to a layout, where it is another than before; progress is what is to be written.
fn laid_out(
    owner: &Owner,
    record: &Record,
    layout: &Layout,
    (old, progress): (&Layout, Vec<Progress>),
    store: &dyn Store,
) -> Result<(Record, Vec<Progress>), StoreError> {
    let rekey = record.rekey || old.key != layout.key;
    if old.shares_as(layout) {
        let noted = if rekey { Some(layout.clone()) } else { record.layout.clone() };
        return Ok((Record { layout: noted, rekey, ..record.clone() }, Vec::new()));
    }
    let stored = (0..layout.partitions).map(|partition| store.progress(owner, partition));
    let stored = stored.map(|progress| progress.map(Option::unwrap_or_default)).collect::<Result<Vec<_>, _>>()?;
    let of = |position: Position| {
        let event = store.event_at(position).ok()??;
        Some(layout.key.partition_of(&event, layout.partitions))
    };
    let Change { before, progress } = old.change(&record.before, &progress, &stored, of);
    tracing::info!(
        plugin = %owner.plugin, partitions_before = old.partitions, partitions = layout.partitions,
        key = %layout.key, "partitions laid out anew"
    );
    Ok((Record { layout: Some(layout.clone()), before, rekey, ..record.clone() }, progress))
}

/// Writes the record and where the partitions stand.
fn write(
    owner: &Owner,
    stored: &Stored,
    record: Record,
    progress: &[Progress],
    store: &dyn Store,
) -> Result<Stored, CommitError> {
    let count = |layout: &Option<Layout>| layout.as_ref().map_or(1, |layout| layout.partitions);
    let gone = if progress.is_empty() { 0..0 } else { count(&record.layout)..count(&stored.record.layout) };
    let generation = owner.generation;
    let change = PluginChange {
        plugin: owner.plugin.clone(),
        record: stored.next(&record),
        progress: (0..).zip(progress).map(|(partition, progress)| (generation, partition, progress.clone())).collect(),
        progress_removed: gone.map(|partition| (generation, partition)).collect(),
        generations_dropped: stored.record.dropped_by(&record),
    };
    store.change_plugin(change).wait()?;
    Ok(Stored { revision: stored.revision + 1, record })
}

/// Every set-aside event, by the partition of its key, without discarded ones. Their evidence is not read.
fn rows(owner: &Owner, partitions: u32, store: &dyn Store) -> Result<Vec<Vec<Row>>, StoreError> {
    let mut rows: Vec<Vec<Row>> = (0..partitions).map(|_| Vec::new()).collect();
    for letter in bare_rows(store, owner) {
        let letter = letter?;
        if letter.is_discarded() {
            continue;
        }
        let row = row(&letter);
        let partition = usize::try_from(row.sequence.partition(partitions)).unwrap_or_default();
        if let Some(rows) = rows.get_mut(partition) {
            rows.push(row);
        }
    }
    Ok(rows)
}

fn row(letter: &DeadLetter) -> Row {
    // What was never tried is handed over as soon as it is the first of its key.
    let due_us = if letter.kind == BEHIND { Some(0) } else { letter.due_us };
    let sequence = Sequence::of_row(letter.key.as_deref(), letter.position);
    Row { sequence, position: letter.position, due_us, held: false }
}
