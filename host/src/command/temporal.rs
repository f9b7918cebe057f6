//! The state of an aggregate as of some point, and what changed it between two.
//!
//! It is made on an instance of its own, from the newest snapshot that lies before the point and the events up to it;
//! what decides commands is not touched.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::aggregate::AggregateHost;
use super::bus::Commands;
use super::claims::Decider;
use super::error::CommandError;
use super::shard::{Hot, Source, Until, apply, load, take_in};
use crate::event::{Category, EventType, Filter, Position, RecordedEvent, StreamName, Version};
use crate::store::{ReadRequest, Store};

/// Most events between two points that are compared.
const EVENTS_MAX: usize = 1000;

/// A point in the life of an aggregate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Point {
    /// Now.
    #[default]
    Now,
    /// When its stream had come to a version.
    Version(Version),
    /// When the log had come to a position.
    Position(Position),
    /// Before a time: microseconds since the Unix epoch.
    Time(u64),
}

/// An aggregate as of some point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateAt {
    /// Which kind of aggregate.
    pub aggregate: Category,
    /// Its stream.
    pub stream: StreamName,
    /// The last event that is in it.
    pub version: Version,
    /// That event's position.
    pub position: Position,
    /// Version of what `state` holds.
    pub schema: u32,
    /// The state, as snapshots have it.
    pub state: Vec<u8>,
}

/// What changed an aggregate between two points.
#[derive(Clone, Debug, PartialEq)]
pub struct Changed {
    /// The aggregate at the first one.
    pub from: Version,
    /// At the other.
    pub to: Version,
    /// Each event between, in order.
    pub events: Vec<Change>,
}

/// What one event changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The event.
    pub id: Uuid,
    /// Its type.
    pub event_type: EventType,
    /// Its version.
    pub version: Version,
    /// Its position.
    pub position: Position,
    /// When it was stored: microseconds since the Unix epoch.
    pub timestamp_us: u64,
    /// What of the state is other than before.
    pub changes: Vec<Touched>,
}

/// A part of the state that changed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Touched {
    /// Where, as a JSON pointer (RFC 6901).
    pub path: String,
    /// What was there; none when nothing was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// What is there now; none when nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

impl Point {
    fn until(self) -> Until {
        match self {
            Self::Now => Until::default(),
            Self::Version(version) => Until { version: Some(version), ..Until::default() },
            Self::Position(position) => {
                Until { before: Some(Position(position.0.saturating_add(1))), ..Until::default() }
            }
            Self::Time(time_us) => Until { time_us: Some(time_us), ..Until::default() },
        }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now => f.write_str("now"),
            Self::Version(version) => write!(f, "version {version}"),
            Self::Position(position) => write!(f, "position {position}"),
            Self::Time(time_us) => write!(f, "that time ({time_us} us since 1970)"),
        }
    }
}

impl Commands {
    /// The state of an aggregate as of a point. `aggregate` is whose code makes it: that of the stream's category unless
    /// it is said.
    ///
    /// # Errors
    /// When nobody decides for such aggregates, there was none at that point, or its code has no snapshots.
    pub async fn state_at(
        &self,
        stream: StreamName,
        aggregate: Option<Category>,
        point: Point,
    ) -> Result<StateAt, CommandError> {
        let (decider, key) = self.decider_of(&stream, aggregate)?;
        let look = move |store: &dyn Store| {
            let source = Source { setup: &decider.setup, store, stream: &stream, key: &key };
            let mut host = decider.setup.code.host();
            let hot = at(&mut *host, &source, point, &decider)?;
            if hot.version == Version::START {
                return Err(CommandError::NoSuchAggregate { stream: stream.clone(), point: point.to_string() });
            }
            let state = state(&mut *host, &source, &hot)?;
            let (schema, aggregate) = (decider.setup.code.snapshot_schema(), decider.setup.category.clone());
            let (version, position) = (hot.version, hot.position);
            Ok(StateAt { aggregate, stream: stream.clone(), version, position, schema, state })
        };
        self.look(look).await
    }

    /// What each event between two points changed.
    ///
    /// # Errors
    /// As [`Self::state_at`]; and when there are too many events between.
    pub async fn changes(
        &self,
        stream: StreamName,
        aggregate: Option<Category>,
        (from, to): (Point, Point),
    ) -> Result<Changed, CommandError> {
        let (decider, key) = self.decider_of(&stream, aggregate)?;
        let look = move |store: &dyn Store| {
            let source = Source { setup: &decider.setup, store, stream: &stream, key: &key };
            let mut host = decider.setup.code.host();
            let mut hot = at(&mut *host, &source, from, &decider)?;
            let begun = hot.version;
            let mut before = shown(&state(&mut *host, &source, &hot)?);
            let mut events = Vec::new();
            for event in between(store, &stream, &hot, to.until())? {
                apply(&mut *host, &source, &mut hot, std::slice::from_ref(&event))?;
                let after = shown(&state(&mut *host, &source, &hot)?);
                let mut changes = Vec::new();
                compare(&mut String::new(), Some(&before), Some(&after), &mut changes);
                before = after;
                let (version, position, timestamp_us) = (event.version, event.position, event.timestamp_us);
                events.push(Change {
                    id: event.id,
                    event_type: event.event_type,
                    version,
                    position,
                    timestamp_us,
                    changes,
                });
            }
            Ok(Changed { from: begun, to: hot.version, events })
        };
        self.look(look).await
    }

    /// Runs a look when there is a place for it, which it holds until its end: whoever asked may be gone before.
    async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&dyn Store) -> Result<T, CommandError> + Send + 'static,
    ) -> Result<T, CommandError> {
        let place = Arc::clone(&self.0.looks).acquire_owned().await.map_err(|_| CommandError::Panicked)?;
        let held = move |store: &dyn Store| {
            let _place = place;
            look(store)
        };
        self.0.log.run(held).await
    }

    fn decider_of(
        &self,
        stream: &StreamName,
        aggregate: Option<Category>,
    ) -> Result<(Arc<Decider>, String), CommandError> {
        let aggregate = match aggregate {
            Some(aggregate) => aggregate,
            None => Category::new(stream.category())?,
        };
        let known = || self.0.claims.in_words();
        let decider = self.0.claims.get(&aggregate);
        let decider = decider.ok_or_else(|| CommandError::UnknownAggregate { aggregate, known: known() })?;
        let key = stream.as_str().split_once('-').map_or("", |(_, key)| key).to_owned();
        Ok((decider, key))
    }
}

/// The aggregate as of a point.
fn at(host: &mut dyn AggregateHost, source: &Source<'_>, point: Point, decider: &Decider) -> Result<Hot, CommandError> {
    let mut hot = load(host, source, point.until(), &decider.counts)?;
    take_in(host, source, &mut hot, point.until())?;
    Ok(hot)
}

fn state(host: &mut dyn AggregateHost, source: &Source<'_>, hot: &Hot) -> Result<Vec<u8>, CommandError> {
    let state = host.snapshot(hot.handle).map_err(|faulted| source.faulted(faulted))?;
    state.ok_or_else(|| CommandError::NoState { plugin: source.setup.plugin.clone() })
}

/// The events after an aggregate's version, up to a point.
fn between(
    store: &dyn Store,
    stream: &StreamName,
    hot: &Hot,
    until: Until,
) -> Result<Vec<RecordedEvent>, CommandError> {
    let mut request = ReadRequest {
        query: Filter::stream(stream).into(),
        after: hot.position,
        after_version: hot.version,
        before: until.before,
        until_us: until.time_us,
        limit: EVENTS_MAX + 1,
        ..ReadRequest::default()
    };
    let mut events = Vec::new();
    loop {
        let page = store.read(&request)?;
        let (complete, through) = (page.complete, page.through);
        let within = |event: &RecordedEvent| until.version.is_none_or(|until| event.version <= until);
        let found = page.events.len();
        events.extend(page.events.into_iter().take_while(within));
        if events.len() > EVENTS_MAX {
            return Err(CommandError::TooFarApart { max: EVENTS_MAX });
        }
        let past = until.version.is_some_and(|until| events.last().is_some_and(|event| event.version >= until));
        if complete || past || found == 0 && through == request.after {
            return Ok(events);
        }
        request.after = through;
    }
}

/// A state as JSON; what is none is shown as text, as far as it is one.
fn shown(state: &[u8]) -> Value {
    serde_json::from_slice(state).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(state).into_owned()))
}

/// Notes where two values differ, at the deepest place in objects.
fn compare(path: &mut String, before: Option<&Value>, after: Option<&Value>, changes: &mut Vec<Touched>) {
    if let (Some(Value::Object(old)), Some(Value::Object(new))) = (before, after) {
        let added = new.keys().filter(|key| !old.contains_key(*key));
        for key in old.keys().chain(added) {
            let length = path.len();
            path.push('/');
            path.push_str(&key.replace('~', "~0").replace('/', "~1"));
            compare(path, old.get(key), new.get(key), changes);
            path.truncate(length);
        }
    } else if before != after {
        changes.push(Touched { path: path.clone(), before: before.cloned(), after: after.cloned() });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn compared(before: Value, after: Value) -> Value {
        let mut changes = Vec::new();
        compare(&mut String::new(), Some(&before), Some(&after), &mut changes);
        serde_json::to_value(changes).unwrap()
    }

    #[test]
    fn differences_are_told_where_they_are() {
        assert_eq!(compared(json!({"a": 1}), json!({"a": 1})), json!([]));
        assert_eq!(
            compared(json!({"a": {"b/c": 1, "d": [1]}, "e": 0}), json!({"a": {"b/c": 2, "d": [1]}, "f": null})),
            json!([
                { "path": "/a/b~1c", "before": 1, "after": 2 },
                { "path": "/e", "before": 0 },
                { "path": "/f", "after": null },
            ])
        );
        assert_eq!(compared(json!(1), json!([1])), json!([{ "path": "", "before": 1, "after": [1] }]));
    }
}
