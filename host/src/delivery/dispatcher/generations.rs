//! How another generation becomes live: one change of the record, after the set-aside events of the generation say
//! which of them emit nothing any more. Those rows are written first, and may be written again: they say the same
//! until the record changes, as nobody handles anything meanwhile. Only what differs is written, and only that is read
//! with its evidence, so the plugin does not stand still for long however much it has set aside.

use std::collections::BTreeMap;

use super::beside::bare_rows;
use super::command::CommandError;
use super::passed::brought_to;
use crate::delivery::key::Sequence;
use crate::delivery::layout::{Layout, Settled};
use crate::delivery::past::{Abandoned, is_first};
use crate::delivery::record::{Edit, Instead, Previous, Record, Stored, change};
use crate::event::{PluginName, Position};
use crate::store::{DeadLetter, DeadLetterChange, Owner, Progress, Store, StoreError, UnitOfWork};

/// Most set-aside events that are written in one commit.
const ROWS_WRITTEN: usize = 1024;
/// Bytes of them, about, after which a commit is made.
const BYTES_WRITTEN: usize = 4 << 20;

/// Makes a generation that was built as far as the live one live, with the component that built it; `limits` says how
/// far that is, for each partition. What was live can be returned to. Blocks.
///
/// What the live one had settled beyond that, under a layout before or as another generation, is not lost: the new one
/// handles it when it comes there, as after a rollback, and what is set aside of it is not taken over now.
pub(super) fn make_live(
    live: &Owner,
    generation: u32,
    limits: &[Position],
    store: &dyn Store,
) -> Result<(), CommandError> {
    let plugin = &live.plugin;
    let built = Owner { plugin: plugin.clone(), generation };
    let before = Stored::read(plugin, store)?.record.before;
    let later = Later {
        reached: reached(&built, limits, store)?,
        settled: before.iter().map(Settled::reach).max().unwrap_or_default(),
    };
    let lowest = later.reached.iter().min().copied().unwrap_or_default();
    let mut rows = Rows::of(&built, store);
    take_over(live, &later, &mut rows)?;
    rows.write()?;
    let edit = |record: &Record| {
        // What it takes over may lie behind the last event of its own: no version that listens to more is handed that anew.
        let progress = come_to(&built, &later.reached, store)?;
        let building = record.building.clone().filter(|building| building.generation == generation);
        let building = building.ok_or_else(|| CommandError::NotRebuilding { plugin: plugin.clone() })?;
        let instead = record.instead.clone().filter(|instead| instead.run == building.component);
        let key = record.layout.as_ref().map(|layout| layout.key.clone()).unwrap_or_default();
        let rekey = record.rekey || key != building.layout.key;
        let taken_over = Some(Settled { layout: building.layout.clone(), checkpoints: later.reached.clone() });
        let layout = building.layout.noted();
        let next = Record {
            generation,
            component: building.component,
            lifts: building.lifts,
            began: Some(building.after),
            removed_before: building.removed_before,
            filter: building.filter,
            taken_over,
            layout,
            rekey,
            before: Vec::new(),
            previous: Some(record.live()),
            building: None,
            abandoned: record.settled_beyond(lowest),
            instead,
            ..record.clone()
        };
        Ok::<_, CommandError>(Some(Edit { progress, ..next.into() }))
    };
    change(plugin, store, edit).map(|_| ())
}

/// What is to be written so that every partition stands where it has come to.
fn come_to(owner: &Owner, reached: &[Position], store: &dyn Store) -> Result<Vec<(u32, u32, Progress)>, StoreError> {
    let partitions = (0..).zip(reached);
    let behind = partitions.map(|(partition, reached)| {
        let stored = store.progress(owner, partition)?.unwrap_or_default();
        Ok(brought_to(owner, partition, *reached, stored))
    });
    behind.filter_map(Result::transpose).collect()
}

/// Refuses to return where there is nothing to return to.
pub(super) fn check_return(plugin: &PluginName, record: &Record, component: &str) -> Result<(), CommandError> {
    let plugin = plugin.clone();
    match &record.previous {
        _ if record.building.is_some() => Err(CommandError::Rebuilding { plugin }),
        None => Err(CommandError::NothingBefore { plugin, dropped: record.dropped.clone() }),
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
    let record = with_taken_over(plugin, Stored::read(plugin, store)?.record, store)?;
    check_return(plugin, &record, component)?;
    let mut past = record.before.clone();
    past.push(settled);
    if let Some(previous) = record.previous.as_ref().filter(|previous| previous.generation != record.generation) {
        let target = Owner { plugin: plugin.clone(), generation: previous.generation };
        agree(&target, &record.left(past.clone()), store)?;
    }
    let edit = |record: &Record| {
        check_return(plugin, record, component)?;
        let record = with_taken_over(plugin, record.clone(), store)?;
        let previous = record.previous.clone();
        Ok::<_, CommandError>(previous.map(|previous| returned(&record, previous, &past, installed).into()))
    };
    change(plugin, store, edit).map(|_| ())
}

/// The same record where it tells how far the live generation had come when it became live. Where that was not written down
/// it was no further than the one that is returned to has come: that one was live until then, or has come past it since.
fn with_taken_over(plugin: &PluginName, record: Record, store: &dyn Store) -> Result<Record, StoreError> {
    let previous = record.previous.as_ref().filter(|previous| previous.generation != record.generation);
    let Some(previous) = previous.filter(|_| record.taken_over.is_none() && !is_first(record.generation)) else {
        return Ok(record);
    };
    let target = Owner { plugin: plugin.clone(), generation: previous.generation };
    let layout = previous.layout.clone().unwrap_or_else(Layout::single);
    let progress = (0..layout.partitions).map(|partition| store.progress(&target, partition));
    let checkpoints = progress.map(|progress| progress.map(|it| it.unwrap_or_default().checkpoint));
    let checkpoints = checkpoints.collect::<Result<Vec<_>, StoreError>>()?;
    Ok(Record { taken_over: Some(Settled { layout, checkpoints }), ..record })
}

/// The record when what was live before is live again.
fn returned(record: &Record, previous: Previous, past: &[Settled], installed: &str) -> Record {
    let run = previous.component.clone();
    let instead = (run != installed).then(|| Instead { run, of: installed.into(), cancelled: false });
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
    let Previous { generation, layout, before, began, lifts, removed_before, filter, taken_over, .. } = previous;
    let last = record.left(past.to_vec());
    // What the one that is returned to had settled it knows itself.
    let others = record.abandoned.iter().filter(|other| other.generation != generation).cloned();
    let abandoned = [last].into_iter().chain(others).collect();
    Record { generation, layout, before, began, lifts, removed_before, filter, taken_over, abandoned, ..common }
}

/// How far each partition of a generation that was built has come. It may have been further than the live one is since
/// that began anew, which passes over once more what it had not written down.
fn reached(built: &Owner, limits: &[Position], store: &dyn Store) -> Result<Vec<Position>, StoreError> {
    let partitions = (0..).zip(limits);
    let stored = partitions.map(|(partition, limit)| {
        let progress = store.progress(built, partition)?;
        Ok(progress.map_or(*limit, |progress| progress.checkpoint.max(*limit)))
    });
    stored.collect()
}

/// What the live generation had settled under layouts before, and the one that was built handles when it comes there: it
/// does not take over what is set aside of it.
struct Later {
    /// How far each partition of the one that was built has come.
    reached: Vec<Position>,
    /// Nothing beyond this was settled so.
    settled: Position,
}

impl Later {
    /// Whether a set-aside event of the live one is so.
    fn has(&self, row: &DeadLetter) -> bool {
        let count = u32::try_from(self.reached.len()).unwrap_or(u32::MAX);
        let partition = Sequence::of_row(row.key.as_deref(), row.position).partition(count);
        let reached = usize::try_from(partition).ok().and_then(|partition| self.reached.get(partition));
        row.position <= self.settled && reached.is_some_and(|reached| row.position > *reached)
    }
}

/// Has the rows of a generation that was built say what those of the live one say, but for those that it will come to.
fn take_over(live: &Owner, later: &Later, rows: &mut Rows<'_>) -> Result<(), CommandError> {
    let store = rows.store;
    let built = rows.owner.clone();
    let mut others = bare_rows(store, live).filter(|row| !row.as_ref().is_ok_and(|row| later.has(row)));
    let mut other = others.next().transpose()?;
    for row in bare_rows(store, &built) {
        let row = row?;
        // What is not there yet.
        while let Some(missing) = other.take_if(|other| other.position < row.position) {
            rows.put_same(live, &missing)?;
            other = others.next().transpose()?;
        }
        match other.take_if(|other| other.position == row.position) {
            Some(same) => {
                if same != row {
                    rows.put_same(live, &same)?;
                }
                other = others.next().transpose()?;
            }
            // What is set aside here alone was handled by the live one, and has emitted.
            None if !row.quiet => rows.put(&built, row.position, |row| DeadLetter { quiet: true, ..row })?,
            None => {}
        }
    }
    while let Some(missing) = other {
        rows.put_same(live, &missing)?;
        other = others.next().transpose()?;
    }
    Ok(())
}

/// Has the rows of a generation that is returned to agree with those of the one that is left: what was discarded there is
/// so here, and what was handled there emits nothing any more. That one came to some by itself, and had the others as it
/// took them over, whatever it was handed of the log. What was discarded there and handled here stays in this state, but
/// the row says so to those that are built of it.
fn agree(target: &Owner, left: &Abandoned, store: &dyn Store) -> Result<(), CommandError> {
    let of_left = left.owner(&target.plugin);
    let others = bare_rows(store, &of_left).map(|row| row.map(|row| (row.position, (row.is_discarded(), row.quiet))));
    let mut others = others.collect::<Result<BTreeMap<_, _>, _>>()?;
    let mut rows = Rows::of(target, store);
    for row in bare_rows(store, target) {
        let row = row?;
        let quiet = match others.remove(&row.position) {
            Some((true, _)) if !row.is_discarded() => {
                rows.put_same(&of_left, &row)?;
                continue;
            }
            Some((_, quiet)) => quiet,
            None if row.quiet => true,
            None => store.event_at(row.position)?.is_some_and(|event| left.tells_of(&event)),
        };
        if quiet != row.quiet {
            rows.put(target, row.position, |row| DeadLetter { quiet, ..row })?;
        }
    }
    for (position, _) in others.into_iter().filter(|(_, (is_discarded, _))| *is_discarded) {
        rows.put(&of_left, position, |row| row)?;
    }
    rows.write()
}

/// Changes of the set-aside events of a generation that nobody drives, written some at a time.
struct Rows<'a> {
    owner: Owner,
    store: &'a dyn Store,
    changes: Vec<DeadLetterChange>,
    bytes: usize,
}

impl<'a> Rows<'a> {
    fn of(owner: &Owner, store: &'a dyn Store) -> Self {
        Self { owner: owner.clone(), store, changes: Vec::new(), bytes: 0 }
    }

    /// Puts what another generation says of an event.
    fn put_same(&mut self, other: &Owner, row: &DeadLetter) -> Result<(), CommandError> {
        self.put(other, row.position, |row| row)
    }

    /// Puts what a generation says of an event, changed.
    fn put(
        &mut self,
        from: &Owner,
        position: Position,
        change: impl FnOnce(DeadLetter) -> DeadLetter,
    ) -> Result<(), CommandError> {
        let Some(row) = self.store.dead_letter(from, position)? else { return Ok(()) };
        self.bytes += row.stderr_tail.len() + row.backtrace.len() + row.reason.len();
        self.changes.push(DeadLetterChange::Put(change(row)));
        if self.changes.len() < ROWS_WRITTEN && self.bytes < BYTES_WRITTEN {
            return Ok(());
        }
        self.write()
    }

    /// Writes what is not written yet.
    fn write(&mut self) -> Result<(), CommandError> {
        self.bytes = 0;
        let dead_letters = std::mem::take(&mut self.changes);
        if dead_letters.is_empty() {
            return Ok(());
        }
        let progress = self.store.progress(&self.owner, 0)?.unwrap_or_default();
        let work = UnitOfWork {
            owner: self.owner.clone(),
            partition: 0,
            progress: Progress { revision: progress.revision + 1, ..progress },
            state: Vec::new(),
            events: Vec::new(),
            dead_letters,
        };
        self.store.commit(work).wait()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::SystemClock;
    use crate::delivery::record::Edit;
    use crate::event::{EventType, Filter, NewEvent, Pattern};
    use crate::store::AppendRequest;
    use crate::store::memory::MemoryStore;

    /// So many that they are read in several pages.
    const ROWS: u64 = 10_000;

    fn owner(generation: u32) -> Owner {
        Owner { plugin: PluginName::new("p").unwrap(), generation }
    }

    fn row(position: u64, reason: &str) -> DeadLetter {
        let stderr_tail = format!("evidence of {reason}");
        DeadLetter { position: Position(position), reason: reason.into(), stderr_tail, ..DeadLetter::default() }
    }

    fn keep(store: &dyn Store, owner: &Owner, rows: impl Iterator<Item = DeadLetter>) {
        let work = UnitOfWork {
            owner: owner.clone(),
            partition: 0,
            progress: Progress { revision: 1, ..Progress::default() },
            state: Vec::new(),
            events: Vec::new(),
            dead_letters: rows.map(DeadLetterChange::Put).collect(),
        };
        store.commit(work).wait().unwrap();
    }

    fn revision(store: &dyn Store, owner: &Owner) -> u64 {
        store.progress(owner, 0).unwrap().unwrap().revision
    }

    #[test]
    fn of_many_rows_only_those_that_differ_are_written() {
        let store = MemoryStore::new(Arc::new(SystemClock));
        let (live, built) = (owner(0), owner(1));
        keep(&store, &live, (1..=ROWS).filter(|at| *at != 77).map(|at| row(at, "refused")));
        // One is not taken over yet, one was tried since, one is set aside here alone.
        let of_built = (1..=ROWS).filter(|at| *at != 9_999);
        keep(&store, &built, of_built.map(|at| row(at, if at == 5_000 { "before" } else { "refused" })));
        let nothing = Later { reached: vec![Position(ROWS)], settled: Position::START };
        let mut rows = Rows::of(&built, &store);
        take_over(&live, &nothing, &mut rows).unwrap();
        rows.write().unwrap();
        assert_eq!(revision(&store, &built), 2, "one commit");
        for at in 1..=ROWS {
            let found = store.dead_letter(&built, Position(at)).unwrap();
            assert_eq!(found, Some(DeadLetter { quiet: at == 77, ..row(at, "refused") }), "{at}");
        }
        take_over(&live, &nothing, &mut rows).unwrap();
        rows.write().unwrap();
        assert_eq!(revision(&store, &built), 2, "nothing differs");
    }

    #[test]
    fn what_was_settled_under_a_layout_before_and_is_come_to_later_is_not_taken_over() {
        let store = MemoryStore::new(Arc::new(SystemClock));
        let (live, built) = (owner(0), owner(1));
        keep(&store, &live, (1..=9).map(|at| row(at, "refused")));
        let later = Later { reached: vec![Position(3)], settled: Position(6) };
        let mut rows = Rows::of(&built, &store);
        take_over(&live, &later, &mut rows).unwrap();
        rows.write().unwrap();
        let kept = store.dead_letters(&built, Position::START, 10).unwrap();
        assert_eq!(kept.iter().map(|row| row.position.0).collect::<Vec<_>>(), [1, 2, 3, 7, 8, 9]);
    }

    #[test]
    fn what_is_returned_to_is_loud_in_what_the_other_was_never_handed_and_did_not_take_over() {
        let store = MemoryStore::new(Arc::new(SystemClock));
        let target = owner(0);
        let event = |event_type: &str| NewEvent::json(EventType::new(event_type).unwrap(), "1");
        let events = ["B", "B", "A", "B"].map(event).into();
        store.append(AppendRequest::unconditional(events)).wait().unwrap();
        keep(&store, &target, (1..=4).map(|at| row(at, "refused")));
        // It took over the first; the others it came to by itself, but was handed no B.
        let filter = Filter { types: vec![Pattern::new("A").unwrap()], ..Filter::default() };
        let to = |position| Settled { layout: Layout::single(), checkpoints: vec![Position(position)] };
        let quiet = |filter: Option<Filter>| {
            let left = Abandoned { generation: 1, settled: vec![to(4)], filter, taken_over: Some(to(1)) };
            agree(&target, &left, &store).unwrap();
            let rows = store.dead_letters(&target, Position::START, 10).unwrap();
            rows.into_iter().filter(|row| row.quiet).map(|row| row.position.0).collect::<Vec<_>>()
        };
        assert_eq!(quiet(Some(filter)), [1, 3]);
        assert_eq!(quiet(None), [1, 2, 3, 4], "of what is not known it is safer so");
    }

    #[test]
    fn how_far_one_had_come_that_became_live_before_that_was_written_down_a_rollback_finds_out() {
        let store = MemoryStore::new(Arc::new(SystemClock));
        let plugin = owner(0).plugin;
        let events = ["B"; 3].map(|event_type| NewEvent::json(EventType::new(event_type).unwrap(), "1"));
        store.append(AppendRequest::unconditional(events.into())).wait().unwrap();
        let to = |position| Settled { layout: Layout::single(), checkpoints: vec![Position(position)] };
        // The first one has come to 1, the one that was built beside it to 3, and was handed no B.
        let filter = Some(Filter { types: vec![Pattern::new("A").unwrap()], ..Filter::default() });
        let previous = Some(Previous { component: "one".into(), ..Record::default().live() });
        let record = Record { generation: 1, component: "two".into(), filter, previous, ..Record::default() };
        let at = |generation, checkpoint| {
            (generation, 0, Progress { checkpoint: Position(checkpoint), ..Progress::default() })
        };
        let edit = |_: &Record| {
            let (record, progress) = (record.clone(), vec![at(0, 1), at(1, 3)]);
            Ok::<_, CommandError>(Some(Edit { record, progress, dropped: Vec::new() }))
        };
        change(&plugin, &store, edit).unwrap();
        roll_back(&plugin, "one", to(3), "two", &store).unwrap();
        let returned = Stored::read(&plugin, &store).unwrap().record;
        assert_eq!((returned.generation, &returned.taken_over), (0, &None));
        assert_eq!(returned.previous.unwrap().taken_over, Some(to(1)));
        let left = returned.abandoned.first().unwrap();
        let tells = (1..=3).filter(|at| left.tells_of(&store.event_at(Position(*at)).unwrap().unwrap()));
        assert_eq!(tells.collect::<Vec<_>>(), [1], "the others it was never handed");
        roll_back(&plugin, "two", to(3), "two", &store).unwrap();
        let forth = Stored::read(&plugin, &store).unwrap().record;
        assert_eq!((forth.generation, forth.taken_over), (1, Some(to(1))));
        assert_eq!(forth.abandoned.first().unwrap().taken_over, None, "of the first one it goes without saying");
    }

    #[test]
    fn a_commit_of_rows_is_bounded_by_their_bytes() {
        let store = MemoryStore::new(Arc::new(SystemClock));
        let (live, built) = (owner(0), owner(1));
        let large = "x".repeat(BYTES_WRITTEN / 3);
        keep(&store, &live, (1..=7).map(|at| row(at, &large)));
        let nothing = Later { reached: vec![Position(ROWS)], settled: Position::START };
        let mut rows = Rows::of(&built, &store);
        take_over(&live, &nothing, &mut rows).unwrap();
        rows.write().unwrap();
        let count = store.dead_letter_count(&built).unwrap();
        assert_eq!((count, revision(&store, &built)), (7, 4), "two of them are more than is written at once");
    }
}
