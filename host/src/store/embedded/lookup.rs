//! Finding events by their names in all parts of a view, newest first.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use super::hot::HotPostings;
use super::key::{Key, Kind};
use super::layered::Layered;
use super::postings::{Concat, Postings};
use super::run::{Probe, Run, id_bytes};
use super::view::View;
use crate::event::{Position, StreamName, Version};
use crate::store::{Direction, StoreError, StreamHead};

/// Where a stream ends, of what is not above `head`.
pub(super) fn stream_head(view: &View, stream: &StreamName, head: Position) -> Result<Option<StreamHead>, StoreError> {
    let name = stream.as_str();
    for generation in view.newest_first() {
        if let Some(found) = generation.data().index.stream_head(name, head) {
            return Ok(Some(found));
        }
    }
    if let Some(found) = view.heads.get(name) {
        return Ok(Some(found));
    }
    let key = Key::new(Kind::Stream, name.as_bytes());
    let probe = Probe::new(view.store_id, &key);
    first_of(view.runs.iter().rev(), |run| run.stream_head(probe))
}

/// Where the event with this id stands, committed or not.
pub(super) fn position_of(view: &View, id: Uuid) -> Result<Option<Position>, StoreError> {
    for generation in view.newest_first() {
        if let Some(position) = generation.data().index.position_of(id) {
            return Ok(Some(position));
        }
    }
    let key = id_bytes(id);
    let probe = Probe::of_bytes(view.store_id, &key);
    first_of(view.runs.iter().rev(), |run| run.position_of(probe))
}

fn first_of<'a, T>(
    mut runs: impl Iterator<Item = &'a Arc<Run>>,
    look: impl Fn(&Arc<Run>) -> Result<Option<T>, StoreError>,
) -> Result<Option<T>, StoreError> {
    runs.find_map(|run| look(run).transpose()).transpose()
}

/// Position of the first event of a stream whose version is above `after`; none if there is none.
pub(super) fn first_above(view: &View, stream: &StreamName, after: Version) -> Result<Option<Position>, StoreError> {
    let name = stream.as_str();
    let mut found = None;
    for generation in view.newest_first() {
        let data = generation.data();
        match data.index.stream_head(name, Position(u64::MAX)) {
            None => {}
            Some(head) if head.version <= after => return Ok(found),
            Some(_) => match data.index.first_above(name, after) {
                Some((position, true)) => found = Some(position),
                Some((position, false)) => return Ok(Some(position)),
                None => return Ok(found),
            },
        }
    }
    let key = Key::new(Kind::Stream, name.as_bytes());
    let probe = Probe::new(view.store_id, &key);
    for run in view.runs.iter().rev() {
        match run.stream_head(probe)? {
            None => {}
            Some(head) if head.version <= after => break,
            Some(_) => found = run.first_position_after_version(probe, after)?.or(found),
        }
    }
    Ok(found)
}

/// The positions of a name in all parts that hold positions above `after` and below `below`.
pub(super) fn postings(
    view: &Arc<View>,
    kind: Kind,
    name: &str,
    (after, below): (Position, Position),
    direction: Direction,
) -> Box<dyn Postings> {
    let key = Key::new(kind, name.as_bytes());
    let runs: Vec<_> = view
        .runs
        .iter()
        .filter(|run| run.range().1 > after && run.range().0 < below)
        .map(|run| Part::Run(Arc::clone(run)))
        .collect();
    let hot = view.newest_first().rev().filter(|generation| generation.after.next() < below);
    let hot = hot.map(|generation| {
        let (generation, name) = (Arc::clone(generation), name.into());
        Part::Hot(HotPostings { generation, kind, name, direction })
    });
    let mut parts: Vec<_> = runs.into_iter().chain(hot).collect();
    if direction == Direction::Backwards {
        parts.reverse();
    }
    let store_id = view.store_id;
    let mut lists = parts.into_iter().filter_map(move |part| match part {
        Part::Hot(postings) => Some(Box::new(postings) as Box<dyn Postings>),
        Part::Run(run) => {
            let found = run.postings(Probe::new(store_id, &key), direction);
            found.map(|postings| Box::new(postings) as Box<dyn Postings>)
        }
    });
    Box::new(Concat::new(move |_| Ok(lists.next())))
}

enum Part {
    Run(Arc<Run>),
    Hot(HotPostings),
}

/// How many events not above `head` have each name of a kind that begins with `prefix`; none when there are
/// more than `max` names. For types and categories.
pub(super) fn counts(
    view: &View,
    kind: Kind,
    prefix: &str,
    head: Position,
    max: usize,
) -> Result<Option<BTreeMap<Box<str>, u64>>, StoreError> {
    let mut counts: BTreeMap<Box<str>, u64> = BTreeMap::new();
    for generation in view.newest_first() {
        for (name, count) in generation.data().index.counts(kind, prefix, head) {
            *counts.entry(name).or_default() += count;
        }
        if counts.len() > max {
            return Ok(None);
        }
    }
    let key = Key::new(kind, prefix.as_bytes());
    for run in &view.runs {
        for item in run.keys(&key, None) {
            let item = item?;
            *counts.entry(name(&item.key)).or_default() += item.count;
            if counts.len() > max {
                return Ok(None);
            }
        }
    }
    Ok(Some(counts))
}

/// Position of the event of a category that has so many newer ones in it, of what is not above `head`; none
/// if there is none, or it is removed.
pub(super) fn nth_newest(
    view: &View,
    category: &str,
    mut newer: u64,
    head: Position,
) -> Result<Option<Position>, StoreError> {
    let horizon = view.removals.horizon(category);
    let kept = |position: Position| (position >= horizon).then_some(position);
    for generation in view.newest_first() {
        match generation.data().index.nth_newest(category, newer, head) {
            Ok(position) => return Ok(kept(position)),
            Err(count) => newer -= count,
        }
    }
    let key = Key::new(Kind::Category, category.as_bytes());
    let probe = Probe::new(view.store_id, &key);
    for run in view.runs.iter().rev().take_while(|run| run.range().1 >= horizon) {
        let count = run.count_through(probe, run.range().1)?;
        match count.checked_sub(newer + 1) {
            Some(nth) => return Ok(run.nth(probe, nth)?.and_then(kept)),
            None => newer -= count,
        }
    }
    Ok(None)
}

/// Streams whose names begin with `prefix`, strictly after `after` if given, in name order, as at `head`.
pub(super) fn streams(
    view: &View,
    prefix: &str,
    after: Option<&str>,
    head: Position,
) -> impl Iterator<Item = Result<(Box<str>, StreamHead), StoreError>> {
    let after = after.map(Box::<str>::from);
    let hot = view.newest_first().map(|generation| {
        let streams = generation.data().index.streams(prefix, head);
        let rows = streams.into_iter().map(|(name, head)| Ok((name, Some(head))));
        Box::new(rows) as Box<dyn Iterator<Item = Result<_, _>>>
    });
    let from = Key::new(Kind::Stream, prefix.as_bytes());
    let past = after.as_ref().map(|after| Key::new(Kind::Stream, after.as_bytes()));
    let runs = view.runs.iter().rev().map(|run| {
        let rows = run.keys(&from, past.as_ref());
        let rows = rows.map(|item| item.map(|item| (name(&item.key), item.head)));
        Box::new(rows) as Box<dyn Iterator<Item = Result<_, _>>>
    });
    let layers: Vec<_> = hot.chain(runs).collect();
    Layered::new(layers).filter(move |row| match (row, &after) {
        (Ok((name, _)), Some(after)) => name > after,
        _ => true,
    })
}

fn name(key: &[u8]) -> Box<str> {
    String::from_utf8_lossy(key.get(1..).unwrap_or_default()).into()
}
