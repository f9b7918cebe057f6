//! From what is stored of a plugin to where its partitions begin.

use crate::delivery::key::Sequence;
use crate::delivery::layout::{Change, Layout};
use crate::delivery::machine::{BEHIND, Row};
use crate::delivery::policy;
use crate::delivery::record::{Record, Stored};
use crate::delivery::start;
use crate::error::with_sources;
use crate::event::{PluginName, Position};
use crate::store::{CommitError, DeadLetter, Owner, PluginChange, Progress, ReadRequest, Store, StoreError};

/// Set-aside events read at a time: with their evidence they are some hundred KiB.
const ROWS_READ: usize = 256;

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
    from: policy::Start,
    store: &dyn Store,
) -> Result<Begun, String> {
    let said = |error: StoreError| with_sources(&error);
    let mut stored = Stored::read(plugin, store).map_err(said)?;
    let owner = Owner { plugin: plugin.clone(), generation: stored.record.generation };
    let (record, progress) = match progress_of(&owner, &stored.record, store).map_err(said)? {
        None => first(&stored.record, layout, start::resolve(from, store).map_err(said)?),
        Some((old, progress)) => laid_out(&owner, &stored.record, layout, (&old, progress), store).map_err(said)?,
    };
    let moved = from != policy::Start::Beginning || layout.partitions > 1;
    if record != stored.record || (progress.iter().all(|progress| progress.revision == 0) && moved) {
        stored = write(&owner, &stored, record, &progress, store).map_err(|error| with_sources(&error))?;
    }
    let progress = (0..layout.partitions).map(|partition| store.progress(&owner, partition));
    let progress = progress.map(|progress| progress.map(Option::unwrap_or_default));
    let progress = progress.collect::<Result<_, _>>().map_err(said)?;
    let rows = rows(&owner, layout.partitions, store).map_err(said)?;
    Ok(Begun { stored, owner, progress, rows })
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
    let kept = (layout.partitions > 1).then(|| layout.clone());
    let progress = Progress { checkpoint, ..Progress::default() };
    let partitions = usize::try_from(layout.partitions).unwrap_or(usize::MAX);
    (Record { layout: kept, before: Vec::new(), ..record.clone() }, vec![progress; partitions])
}

/// Goes over to a layout, where it is another than before.
fn laid_out(
    owner: &Owner,
    record: &Record,
    layout: &Layout,
    (old, progress): (&Layout, Vec<Progress>),
    store: &dyn Store,
) -> Result<(Record, Vec<Progress>), StoreError> {
    if old.shares_as(layout) {
        return Ok((record.clone(), progress));
    }
    let stored = (0..layout.partitions).map(|partition| store.progress(owner, partition));
    let stored = stored.map(|progress| progress.map(Option::unwrap_or_default)).collect::<Result<Vec<_>, _>>()?;
    let of = |position: Position| {
        let after = Position(position.0.saturating_sub(1));
        let page = store.read(&ReadRequest { after, limit: 1, ..ReadRequest::default() }).ok()?;
        let event = page.events.first().filter(|event| event.position == position)?;
        Some(layout.key.partition_of(event, layout.partitions))
    };
    let Change { before, progress } = old.change(&record.before, &progress, &stored, of);
    tracing::info!(
        plugin = %owner.plugin, partitions_before = old.partitions, partitions = layout.partitions,
        key = %layout.key, "partitions laid out anew"
    );
    Ok((Record { layout: Some(layout.clone()), before, ..record.clone() }, progress))
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
    let gone = count(&record.layout)..count(&stored.record.layout);
    let generation = owner.generation;
    let change = PluginChange {
        plugin: owner.plugin.clone(),
        record: stored.next(&record),
        progress: (0..).zip(progress).map(|(partition, progress)| (generation, partition, progress.clone())).collect(),
        progress_removed: gone.map(|partition| (generation, partition)).collect(),
        generations_dropped: Vec::new(),
    };
    store.change_plugin(change).wait()?;
    Ok(Stored { revision: stored.revision + 1, record })
}

/// Every set-aside event, by the partition of its key. Their evidence is not kept.
fn rows(owner: &Owner, partitions: u32, store: &dyn Store) -> Result<Vec<Vec<Row>>, StoreError> {
    let mut rows: Vec<Vec<Row>> = (0..partitions).map(|_| Vec::new()).collect();
    let mut after = Position::START;
    loop {
        let page = store.dead_letters(owner, after, ROWS_READ)?;
        let Some(last) = page.last() else { return Ok(rows) };
        after = last.position;
        for row in page.iter().map(row) {
            let partition = usize::try_from(row.sequence.partition(partitions)).unwrap_or_default();
            if let Some(rows) = rows.get_mut(partition) {
                rows.push(row);
            }
        }
    }
}

fn row(letter: &DeadLetter) -> Row {
    // What was never tried is handed over as soon as it is the first of its key.
    let due_us = if letter.kind == BEHIND { Some(0) } else { letter.due_us };
    let sequence = Sequence::of_row(letter.key.as_deref(), letter.position);
    Row { sequence, position: letter.position, due_us }
}
