//! What must hold of a store after a crash, whatever the disk made of it.

use std::collections::{BTreeMap, HashMap};

use super::workload::{self, Acknowledged, BATCH, PARTITION, PLUGINS, SOURCE, STREAMS, TAGS, TRACES, TYPES, What};
use crate::event::{Filter, NewEvent, Position, Query, RecordedEvent, StreamName, Tag};
use crate::store::{Direction, Owner, ReadRequest, Store, Tracking};

/// Checks a store that was opened after a crash, of which `acknowledged` had happened before.
pub(super) fn check(store: &dyn Store, acknowledged: &[Acknowledged]) -> Result<(), String> {
    let events = read(store, Query::default(), Direction::Forwards)?;
    dense(store, &events)?;
    nothing_lost(store, &events, acknowledged)?;
    whole_batches(&events)?;
    source_as_told(store, &events)?;
    indexes_agree(store, &events)?;
    for plugin in PLUGINS {
        state_is_a_fold(store, &events, plugin)?;
    }
    Ok(())
}

fn require(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn read(store: &dyn Store, query: Query, direction: Direction) -> Result<Vec<RecordedEvent>, String> {
    let request = ReadRequest { query, direction, limit: usize::MAX, bytes_max: usize::MAX, ..ReadRequest::default() };
    store.read(&request).map(|page| page.events).map_err(text)
}

fn dense(store: &dyn Store, events: &[RecordedEvent]) -> Result<(), String> {
    let mut versions: HashMap<&StreamName, u64> = HashMap::new();
    let mut time_us = 0;
    let horizon = store.removals().max();
    let mut position = Position::START;
    for event in events {
        // What is missing is removed, and that it was of the one category shows by the versions of all others.
        let dense = event.position == position.next() || (event.position > position && event.position <= horizon);
        require(dense, || format!("position {position} is followed by {}", event.position))?;
        position = event.position;
        require(event.timestamp_us >= time_us, || format!("time goes back at {position}"))?;
        time_us = event.timestamp_us;
        let expected = event.stream.as_ref().map_or(0, |stream| {
            let version = versions.entry(stream).or_default();
            // Of a stream that is removed from, what is left begins anywhere.
            *version = if *version == 0 && is_trace(stream) { event.version.0 } else { *version + 1 };
            *version
        });
        require(event.version.0 == expected, || format!("version {} at {position}, not {expected}", event.version))?;
    }
    for name in STREAMS {
        let stream = StreamName::new(name).unwrap();
        let head = store.stream_head(&stream).map_err(text)?.map_or(0, |head| head.version.0);
        let expected = versions.get(&stream).copied().unwrap_or_default();
        require(head == expected, || format!("head of {name} is {head}, not {expected}"))?;
    }
    for name in TRACES {
        let stream = StreamName::new(name).unwrap();
        let head = store.stream_head(&stream).map_err(text)?.map_or(0, |head| head.version.0);
        let kept = versions.get(&stream).copied();
        require(kept.is_none_or(|kept| kept == head), || format!("head of {name} is {head}, not {kept:?}"))?;
    }
    let (head, last) = (store.head(), position);
    require(head == last || (head > last && head < horizon), || format!("head is {head}, the last event {last}"))
}

/// The source is where the last event tells that was appended along with it.
fn source_as_told(store: &dyn Store, events: &[RecordedEvent]) -> Result<(), String> {
    let told = events.iter().rev().find_map(Tracking::of).map(|tracking| tracking.position);
    let stored = store.tracking(SOURCE).map_err(text)?;
    require(stored == told, || format!("the source is at {stored:?}, the last event tells {told:?}"))
}

fn nothing_lost(store: &dyn Store, events: &[RecordedEvent], acknowledged: &[Acknowledged]) -> Result<(), String> {
    let removals = store.removals();
    trace_heads(store, acknowledged)?;
    for Acknowledged { what, .. } in acknowledged {
        match what {
            What::Appended(first, appended) => {
                for (event, position) in appended.iter().zip(first.0..) {
                    let index = events.partition_point(|event| event.position < Position(position));
                    let stored = events.get(index).filter(|event| event.position == Position(position));
                    if removals.removes(event.stream.as_ref().map(StreamName::as_str), Position(position)) {
                        let gone = stored.is_none() && store.event(event.id).map_err(text)?.is_none();
                        require(gone, || format!("the removed event at {position} is there"))?;
                        continue;
                    }
                    let same = stored.is_some_and(|stored| event.same_content(stored));
                    require(same, || format!("the acknowledged event at {position} is {stored:?}"))?;
                    let by_id = store.event(event.id).map_err(text)?.map(|event| event.position);
                    require(by_id == Some(Position(position)), || format!("by id, {position} is at {by_id:?}"))?;
                }
            }
            What::Removed(before) => {
                let horizon = removals.horizon(workload::trace_category().as_str());
                require(horizon >= *before, || format!("the horizon is {horizon}, was {before}"))?;
            }
            What::Committed(plugin, revision) => {
                let stored = store.progress(plugin, PARTITION).map_err(text)?.map_or(0, |progress| progress.revision);
                require(stored >= *revision, || format!("{plugin} is at revision {stored}, was at {revision}"))?;
            }
        }
    }
    Ok(())
}

/// Streams that are removed from have come at least as far as was acknowledged.
fn trace_heads(store: &dyn Store, acknowledged: &[Acknowledged]) -> Result<(), String> {
    for name in TRACES {
        let stream = StreamName::new(name).unwrap();
        let of_stream = |what: &Acknowledged| match &what.what {
            What::Appended(_, events) => events.iter().filter(|event| event.stream.as_ref() == Some(&stream)).count(),
            What::Committed(..) | What::Removed(_) => 0,
        };
        let least = acknowledged.iter().map(of_stream).sum::<usize>() as u64;
        let head = store.stream_head(&stream).map_err(text)?.map_or(0, |head| head.version.0);
        require(head >= least, || format!("head of {name} is {head}, was {least}"))?;
    }
    Ok(())
}

fn is_trace(stream: &StreamName) -> bool {
    TRACES.contains(&stream.as_str())
}

fn whole_batches(events: &[RecordedEvent]) -> Result<(), String> {
    let mut batches: BTreeMap<&str, usize> = BTreeMap::new();
    for batch in events.iter().filter_map(|event| event.metadata.get(BATCH)) {
        *batches.entry(batch).or_default() += 1;
    }
    for (batch, found) in batches {
        let count = batch.split_once('/').and_then(|(_, count)| count.parse().ok());
        require(count == Some(found), || format!("{found} events of batch {batch}"))?;
    }
    Ok(())
}

/// Every read by index gives what looking at every event gives, in both directions.
fn indexes_agree(store: &dyn Store, events: &[RecordedEvent]) -> Result<(), String> {
    let types = TYPES.iter().map(|name| Filter { types: workload::patterns(&[name]), ..Filter::default() });
    let streams =
        STREAMS.iter().chain(&TRACES).map(|name| Filter { streams: workload::patterns(&[name]), ..Filter::default() });
    let tags = TAGS.iter().map(|name| Filter { tags: vec![Tag::new(*name).unwrap()], ..Filter::default() });
    let category = Filter { streams: workload::patterns(&["order-*"]), ..Filter::default() };
    let both =
        Filter { types: workload::patterns(&["P*"]), tags: vec![Tag::new(TAGS[1]).unwrap()], ..category.clone() };
    for filter in types.chain(streams).chain(tags).chain([category, both]) {
        let mut expected: Vec<_> = events.iter().filter(|event| filter.matches(event)).map(position).collect();
        for direction in [Direction::Forwards, Direction::Backwards] {
            let found: Vec<_> = read(store, Query::from(filter.clone()), direction)?.iter().map(position).collect();
            require(found == expected, || format!("{filter:?} gives {found:?}, not {expected:?}"))?;
            expected.reverse();
        }
    }
    Ok(())
}

fn position(event: &RecordedEvent) -> u64 {
    event.position.0
}

/// What a plugin keeps is what follows from the events up to its checkpoint, and from nothing else.
fn state_is_a_fold(store: &dyn Store, events: &[RecordedEvent], name: &str) -> Result<(), String> {
    let plugin: Owner = name.parse().unwrap();
    let checkpoint = store.progress(&plugin, PARTITION).map_err(text)?.unwrap_or_default().checkpoint;
    require(checkpoint <= store.head(), || format!("{name} stands at {checkpoint}, beyond the log"))?;
    let seen: Vec<_> = events.iter().filter(|event| event.position <= checkpoint).collect();
    for key in &TYPES[..3] {
        let expected = seen.iter().filter(|event| event.event_type.as_str() == *key).count() as u64;
        let stored = store.state_get(&plugin, key).map_err(text)?.map_or(0, |value| workload::count(&value));
        require(stored == expected, || format!("{name} counted {stored} of {key}, not {expected}, at {checkpoint}"))?;
    }
    let paid: Vec<_> = seen.iter().filter(|event| event.event_type.as_str() == TYPES[1]).collect();
    if name == PLUGINS[0] {
        let echoes: Vec<_> = events.iter().filter(|event| event.event_type.as_str() == TYPES[3]).collect();
        let same = echoes.iter().zip(&paid).all(|(echo, paid)| echo.data == paid.position.to_string().as_bytes());
        require(same && echoes.len() == paid.len(), || format!("{} echoes of {}", echoes.len(), paid.len()))
    } else {
        let letters = store.dead_letters(&plugin, Position(0), usize::MAX).map_err(text)?;
        let expected: Vec<_> = paid.iter().map(|event| workload::letter(event.position)).collect();
        require(letters == expected, || format!("{} dead letters of {}", letters.len(), expected.len()))
    }
}

/// The store takes events, and finds them.
pub(super) fn check_writable(store: &dyn Store) -> Result<(), String> {
    let event = NewEvent::json(crate::event::EventType::new("After").unwrap(), "1");
    let id = event.id;
    let appended = store.append(crate::store::AppendRequest::unconditional(vec![event])).wait().map_err(text)?;
    require(appended.first_position() == store.head(), || "the event after the crash is not the last".to_owned())?;
    let found = store.event(id).map_err(text)?;
    require(found.is_some(), || "the event after the crash is not found".to_owned())
}
