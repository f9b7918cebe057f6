//! How another generation becomes live: one change of the record, after the set-aside events of the generation say
//! which of them emit nothing any more. Those rows are written first, and may be written again: they say the same
//! until the record changes, as nobody handles anything meanwhile.

use std::collections::BTreeMap;

use super::beside::each_row;
use super::command::CommandError;
use crate::delivery::layout::Settled;
use crate::delivery::record::{Abandoned, Instead, Previous, Record, Stored, change};
use crate::event::{PluginName, Position, RecordedEvent};
use crate::store::{
    CommitError, DeadLetter, DeadLetterChange, Owner, Progress, ReadRequest, Store, StoreError, UnitOfWork,
};

/// Set-aside events that are written in one commit.
const ROWS_WRITTEN: usize = 64;

/// Makes a generation that was built as far as the live one live, with the component that built it. What was live can
/// be returned to. Blocks.
pub(super) fn make_live(live: &Owner, generation: u32, store: &dyn Store) -> Result<(), CommandError> {
    let plugin = &live.plugin;
    let built = Owner { plugin: plugin.clone(), generation };
    let rows = all_rows(live, store)?;
    // What is set aside here alone was handled by the live one, and has emitted.
    let mut changes = rows.clone();
    each_row(store, &built, Position::START, Position(u64::MAX), |row| {
        let position = row.position;
        changes.entry(position).or_insert(DeadLetter { quiet: true, ..row });
    })?;
    write_rows(&built, changes, store)?;
    let edit = |record: &Record| {
        let building = record.building.clone().filter(|building| building.generation == generation);
        let building = building.ok_or_else(|| CommandError::NotRebuilding { plugin: plugin.clone() })?;
        let instead = record.instead.clone().filter(|instead| instead.run == building.component);
        let key = record.layout.as_ref().map(|layout| layout.key.clone()).unwrap_or_default();
        let rekey = record.rekey || key != building.layout.key;
        let layout = building.layout.noted();
        let next = Record {
            generation,
            component: building.component,
            lifts: building.lifts,
            began: Some(building.after),
            layout,
            rekey,
            before: Vec::new(),
            previous: Some(record.live()),
            building: None,
            abandoned: None,
            instead,
            ..record.clone()
        };
        Ok::<_, CommandError>(Some(next.into()))
    };
    change(plugin, store, edit).map(|_| ())
}

/// Refuses to return where there is nothing to return to.
pub(super) fn check_return(plugin: &PluginName, record: &Record, component: &str) -> Result<(), CommandError> {
    let plugin = plugin.clone();
    match &record.previous {
        _ if record.building.is_some() => Err(CommandError::Rebuilding { plugin }),
        None => Err(CommandError::NothingBefore { plugin }),
        Some(previous) if previous.component != component => Err(CommandError::Replaced { plugin }),
        Some(_) => Ok(()),
    }
}

/// Makes the component, and the generation, that were live before live again. `settled` is what the live generation
/// has come to, `installed` the component in the plugins directory. Blocks.
pub(super) fn roll_back(
    plugin: &PluginName,
    component: &str,
    settled: Settled,
    installed: &str,
    store: &dyn Store,
) -> Result<(), CommandError> {
    let record = Stored::read(plugin, store)?.record;
    check_return(plugin, &record, component)?;
    let mut past = record.before.clone();
    past.push(settled);
    let previous = record.previous.as_ref().map_or(record.generation, |previous| previous.generation);
    if previous != record.generation {
        let owner = |generation| Owner { plugin: plugin.clone(), generation };
        hush(&owner(previous), &owner(record.generation), &past, store)?;
    }
    let edit = |record: &Record| {
        check_return(plugin, record, component)?;
        Ok::<_, CommandError>(
            record.previous.clone().map(|previous| returned(record, previous, &past, installed).into()),
        )
    };
    change(plugin, store, edit).map(|_| ())
}

/// The record when what was live before is live again.
fn returned(record: &Record, previous: Previous, past: &[Settled], installed: &str) -> Record {
    let run = previous.component.clone();
    let instead = (run != installed).then(|| Instead { run, of: installed.into() });
    let same_state = previous.generation == record.generation;
    let left = Previous {
        layout: record.layout.clone().filter(|_| !same_state),
        before: if same_state { Vec::new() } else { record.before.clone() },
        ..record.live()
    };
    let common = Record { component: previous.component, previous: Some(left), instead, ..record.clone() };
    if same_state {
        return common;
    }
    let Previous { generation, layout, before, began, lifts, .. } = previous;
    let abandoned = Some(Abandoned { generation: record.generation, settled: past.to_vec() });
    Record { generation, layout, before, began, lifts, abandoned, ..common }
}

/// Marks the set-aside events of a generation that another one has handled since: they emit nothing any more.
fn hush(target: &Owner, left: &Owner, past: &[Settled], store: &dyn Store) -> Result<(), CommandError> {
    let still = all_rows(left, store)?;
    let mut changes = BTreeMap::new();
    for row in all_rows(target, store)?.into_values() {
        let position = row.position;
        let quiet = match still.get(&position) {
            Some(other) => other.quiet,
            None => {
                row.quiet || event_at(position, store)?.is_some_and(|event| past.iter().any(|it| it.covers(&event)))
            }
        };
        if quiet != row.quiet {
            changes.insert(position, DeadLetter { quiet, ..row });
        }
    }
    Ok(write_rows(target, changes, store)?)
}

fn event_at(position: Position, store: &dyn Store) -> Result<Option<RecordedEvent>, StoreError> {
    let after = Position(position.0.saturating_sub(1));
    let page = store.read(&ReadRequest { after, limit: 1, ..ReadRequest::default() })?;
    Ok(page.events.into_iter().find(|event| event.position == position))
}

fn all_rows(owner: &Owner, store: &dyn Store) -> Result<BTreeMap<Position, DeadLetter>, StoreError> {
    let mut rows = BTreeMap::new();
    each_row(store, owner, Position::START, Position(u64::MAX), |row| drop(rows.insert(row.position, row)))?;
    Ok(rows)
}

/// Writes set-aside events of a generation that nobody drives.
fn write_rows(owner: &Owner, rows: BTreeMap<Position, DeadLetter>, store: &dyn Store) -> Result<(), CommitError> {
    let rows: Vec<_> = rows.into_values().map(DeadLetterChange::Put).collect();
    for rows in rows.chunks(ROWS_WRITTEN) {
        let progress = store.progress(owner, 0)?.unwrap_or_default();
        let work = UnitOfWork {
            owner: owner.clone(),
            partition: 0,
            progress: Progress { revision: progress.revision + 1, ..progress },
            state: Vec::new(),
            events: Vec::new(),
            dead_letters: rows.to_vec(),
        };
        store.commit(work).wait()?;
    }
    Ok(())
}
