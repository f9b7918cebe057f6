//! The state of an aggregate as of some point, and what changed it between two.
//!
//! It is made on an instance of its own, from the newest snapshot that lies before the point and the events up to it;
//! what decides commands is not touched.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use super::aggregate::AggregateHost;
use super::bus::Commands;
use super::claims::Decider;
use super::error::CommandError;
use super::history::{Until, apply_apart, check_whole, take_in};
use super::shard::{Hot, Restored, Source, begun, left_out_unfit, page_at, restored};
use crate::clock::rfc3339;
use crate::event::{Category, EventType, Position, RecordedEvent, StreamName, Version};
use crate::store::{ReadPage, Store};

/// Most stored events between two points that are compared at a time.
const EVENTS_MAX: usize = 1000;
/// Most that is told of them at a time, in bytes of JSON, but for what the last one changed.
const CHANGES_BYTES_MAX: usize = 4 << 20;
/// States that are looked at for that, in bytes.
const STATES_BYTES_MAX: usize = 256 << 20;
/// Largest state that is shown, in bytes.
const STATE_BYTES_MAX: usize = 16 << 20;
/// How long who looks waits for a place.
const PLACE_WAIT: Duration = Duration::from_secs(10);

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
    /// At a time, with what was stored at it: microseconds since the Unix epoch.
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
    /// At the last event that is compared.
    pub to: Version,
    /// Each event between as it is today, in order: each that a stored one became, if any. Where those take too much, the
    /// last of them stands for the rest.
    pub events: Vec<Change>,
    /// Whether that is all of them: else go on from the version that this comes to.
    pub complete: bool,
}

/// What one event changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The stored event.
    pub id: Uuid,
    /// Its type today.
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
            Self::Time(time_us) => Until { before_us: Some(time_us.saturating_add(1)), ..Until::default() },
        }
    }
}

/// Whether one point is known to come after another, as they are of one kind.
const fn is_after(one: Point, other: Point) -> bool {
    match (one, other) {
        (Point::Version(one), Point::Version(other)) => one.0 > other.0,
        (Point::Position(one), Point::Position(other)) => one.0 > other.0,
        (Point::Time(one), Point::Time(other)) => one > other,
        _ => false,
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now => f.write_str("now"),
            Self::Version(version) => write!(f, "version {version}"),
            Self::Position(position) => write!(f, "position {position}"),
            Self::Time(time_us) => write!(f, "the time {}", rfc3339(*time_us)),
        }
    }
}

impl Commands {
    /// The state of an aggregate as of a point. `aggregate` is whose code makes it: that of the stream's category unless
    /// it is said.
    ///
    /// # Errors
    /// When nobody decides for such aggregates, there was none at that point, its code has no snapshots, or too many look
    /// at aggregates for too long.
    pub async fn state_at(
        &self,
        stream: StreamName,
        aggregate: Option<Category>,
        point: Point,
    ) -> Result<StateAt, CommandError> {
        let (decider, key) = self.decider_of(&stream, aggregate)?;
        let look = move |store: &dyn Store, awaited: &Weak<()>| {
            let awaited = Some(awaited);
            let source = Source { setup: &decider.setup, store, stream: &stream, key: &key, awaited };
            with(&source, point, &decider, |mut host, hot| {
                if hot.version == Version::START {
                    return Err(CommandError::NoSuchAggregate { stream: stream.clone(), point: point.to_string() });
                }
                let state = state(&mut *host, &source, &hot)?;
                let (schema, aggregate) = (decider.setup.code.snapshot_schema(), decider.setup.category.clone());
                let (version, position) = (hot.version, hot.position);
                Ok(StateAt { aggregate, stream: stream.clone(), version, position, schema, state })
            })
        };
        self.look(look).await
    }

    /// What each event between two points changed: the first of them, as many as are told at a time.
    ///
    /// # Errors
    /// As [`Self::state_at`], and when the second point comes before the first.
    pub async fn changes(
        &self,
        stream: StreamName,
        aggregate: Option<Category>,
        (from, to): (Point, Point),
    ) -> Result<Changed, CommandError> {
        let (decider, key) = self.decider_of(&stream, aggregate)?;
        let backwards = move || CommandError::Backwards { from: from.to_string(), to: to.to_string() };
        if is_after(from, to) {
            return Err(backwards());
        }
        let look = move |store: &dyn Store, awaited: &Weak<()>| {
            let awaited = Some(awaited);
            let source = Source { setup: &decider.setup, store, stream: &stream, key: &key, awaited };
            with(&source, from, &decider, |mut host, hot| {
                if !is_within(&source, &hot, to.until())? {
                    return Err(backwards());
                }
                let before = shown(&state(&mut *host, &source, &hot)?);
                let changed = Changed { from: hot.version, to: hot.version, events: Vec::new(), complete: false };
                Walk { host, source, hot, before, steps: 0, bytes: 0, looked_at: 0, changed }.until(to.until())
            })
        };
        self.look(look).await
    }

    /// Runs a look when there is a place for it, which it holds until its end. Where whoever asked is gone before, as what
    /// it is handed tells, it ends early.
    async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&dyn Store, &Weak<()>) -> Result<T, CommandError> + Send + 'static,
    ) -> Result<T, CommandError> {
        let place = place(&self.0.looks, PLACE_WAIT).await?;
        // Dropped with this future.
        let waits = Arc::new(());
        let awaited = Arc::downgrade(&waits);
        let held = move |store: &dyn Store| {
            let _place = place;
            look(store, &awaited)
        };
        let looked = self.0.log.run(held).await;
        drop(waits);
        looked
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
        let decider = self.0.claims.get(&aggregate).ok_or_else(|| self.0.claims.unclaimed(aggregate))?;
        let key = stream.as_str().split_once('-').map_or("", |(_, key)| key).to_owned();
        Ok((decider, key))
    }
}

/// A place to look, if there is one in time.
async fn place(looks: &Arc<Semaphore>, wait: Duration) -> Result<OwnedSemaphorePermit, CommandError> {
    let place = tokio::time::timeout(wait, Arc::clone(looks).acquire_owned()).await;
    place.map_err(|_| CommandError::LooksTaken)?.map_err(|_| CommandError::Panicked)
}

/// Does something with the aggregate as of a point, in an instance of its own. Where the error may be of the snapshot that
/// it was made of, it is made of its events, and that is done again: as when a command is decided, but for the snapshot,
/// which stays. Who looks changes nothing.
fn with<T>(
    source: &Source<'_>,
    point: Point,
    decider: &Decider,
    work: impl Fn(Box<dyn AggregateHost>, Hot) -> Result<T, CommandError>,
) -> Result<T, CommandError> {
    let (mut host, mut hot) = made(source, point, decider)?;
    let made_of = hot.made_of;
    let looked = take_in(&mut *host, source, &mut hot, point.until()).and_then(|()| work(host, hot));
    let (error, version) = match (looked, made_of) {
        (Err(error), Some(version)) if error.may_be_of_state() => (error, version),
        (looked, _) => return looked,
    };
    let Ok((host, hot)) = of_events(source, point) else { return Err(error) };
    let again = work(host, hot);
    if again.is_ok() {
        left_out_unfit(source, version, &error, &decider.counts);
    }
    again
}

/// The aggregate as its newest snapshot before a point has it, or without events.
fn made(source: &Source<'_>, point: Point, decider: &Decider) -> Result<(Box<dyn AggregateHost>, Hot), CommandError> {
    let mut host = source.setup.code.host();
    let hot = match restored(&mut *host, source, point.until(), &decider.counts, |_| None)? {
        Restored::Made(hot) => hot,
        Restored::None => begun(&mut *host, source)?,
        Restored::Not { not_loaded, is_dead } => {
            if is_dead {
                host = source.setup.code.host();
            }
            let mut hot = begun(&mut *host, source)?;
            hot.not_loaded = Some(not_loaded);
            hot
        }
    };
    Ok((host, hot))
}

/// The aggregate as of a point, made of its events alone.
fn of_events(source: &Source<'_>, point: Point) -> Result<(Box<dyn AggregateHost>, Hot), CommandError> {
    let mut host = source.setup.code.host();
    let mut hot = begun(&mut *host, source)?;
    take_in(&mut *host, source, &mut hot, point.until())?;
    Ok((host, hot))
}

/// Whether all that an aggregate has taken in lies within a point, as far as that is known.
fn is_within(source: &Source<'_>, hot: &Hot, until: Until) -> Result<bool, CommandError> {
    if !until.reaches(hot.version, hot.position) {
        return Ok(false);
    }
    let Some(before_us) = until.before_us else { return Ok(true) };
    Ok(page_at(source, hot.position)?.events.first().is_none_or(|event| event.timestamp_us < before_us))
}

fn state(host: &mut dyn AggregateHost, source: &Source<'_>, hot: &Hot) -> Result<Vec<u8>, CommandError> {
    let state = host.snapshot(hot.handle).map_err(|faulted| source.faulted(faulted))?;
    let state = state.ok_or_else(|| CommandError::NoState { plugin: source.setup.plugin.clone() })?;
    match state.len() {
        bytes if bytes > STATE_BYTES_MAX => {
            let stream = source.stream.clone();
            Err(CommandError::StateTooLarge { stream, version: hot.version, bytes, bytes_max: STATE_BYTES_MAX })
        }
        _ => Ok(state),
    }
}

/// An aggregate that goes from event to event.
struct Walk<'a> {
    host: Box<dyn AggregateHost>,
    source: Source<'a>,
    hot: Hot,
    /// Its state as of the last one.
    before: Value,
    /// Stored events so far.
    steps: usize,
    /// What the changes take.
    bytes: usize,
    /// What the states took.
    looked_at: usize,
    changed: Changed,
}

impl Walk<'_> {
    /// Goes on up to a point, or until there is enough to tell.
    fn until(mut self, until: Until) -> Result<Changed, CommandError> {
        let mut request = until.after(&self.source, &self.hot);
        loop {
            let ReadPage { mut events, through, complete, removed_before, .. } = self.source.store.read(&request)?;
            let is_beyond = until.cut(&mut events);
            for event in events {
                if self.is_full() {
                    return Ok(self.changed);
                }
                self.source.check_awaited()?;
                self.step(event)?;
            }
            if complete || is_beyond {
                check_whole(&self.source, &self.hot, until, removed_before)?;
                return Ok(Changed { complete: true, ..self.changed });
            }
            request.after = through;
        }
    }

    const fn is_full(&self) -> bool {
        self.steps >= EVENTS_MAX || is_enough(self.bytes, self.looked_at)
    }

    /// Takes in a stored event, and notes what each event changes that it is today. Where that comes to too much before the
    /// last of them, what the rest changes is noted as if the last did.
    fn step(&mut self, event: RecordedEvent) -> Result<(), CommandError> {
        let Self { host, source, hot, before, steps, bytes, looked_at, changed } = self;
        *steps += 1;
        changed.to = event.version;
        apply_apart(&mut **host, source, hot, event, |host, hot, event, left| {
            source.check_awaited()?;
            if left > 0 && is_enough(*bytes, *looked_at) {
                return Ok(());
            }
            let after = state(host, source, hot)?;
            *looked_at += after.len();
            let after = shown(&after);
            let mut changes = Vec::new();
            compare(&mut String::new(), Some(&*before), Some(&after), &mut changes);
            *before = after;
            *bytes += changes.iter().map(Touched::size_bytes).sum::<usize>();
            changed.events.push(Change::by(event, changes));
            Ok(())
        })
    }
}

/// Whether no more is told at a time: of changes that take so much, of states that took so much.
const fn is_enough(bytes: usize, looked_at: usize) -> bool {
    bytes >= CHANGES_BYTES_MAX || looked_at >= STATES_BYTES_MAX
}

impl Change {
    fn by(event: &RecordedEvent, changes: Vec<Touched>) -> Self {
        let RecordedEvent { id, version, position, timestamp_us, .. } = *event;
        Self { id, event_type: event.event_type.clone(), version, position, timestamp_us, changes }
    }
}

impl Touched {
    fn size_bytes(&self) -> usize {
        let size = |value: &Option<Value>| value.as_ref().map_or(0, |value| value.to_string().len());
        self.path.len() + size(&self.before) + size(&self.after)
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
    use crate::error::ErrorClass;

    #[tokio::test]
    async fn who_finds_no_place_is_told_so_in_bounded_time() {
        let (looks, wait) = (Arc::new(Semaphore::new(1)), Duration::from_millis(1));
        let taken = place(&looks, wait).await.unwrap();
        let error = place(&looks, wait).await.unwrap_err();
        assert!(matches!(error, CommandError::LooksTaken), "{error}");
        assert_eq!(error.class(), ErrorClass::Unavailable);
        drop(taken);
        drop(place(&looks, wait).await.unwrap());
    }

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
