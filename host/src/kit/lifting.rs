//! Fixtures of what lifts events: each is asked of the chain, as a reader or a handler would have it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::KitError;
use super::fixture::{Fixture, Lifted, Refused, Then};
use super::recorded::{Call, Given};
use super::report::{Difference, Report, compare};
use super::run::json_or_text;
use super::subject::Traced;
use super::world::{event, everything, ids, set};
use super::wrapped::Disturbance;
use crate::clock::{Clock, ManualClock, Stopwatch};
use crate::error::with_sources;
use crate::event::RecordedEvent;
use crate::plugin::{LoadedUpcaster, Loader, read_component};
use crate::runtime::Anatomy;
use crate::schema::{Chain, Step, rules};
use crate::store::memory::MemoryStore;
use crate::store::{AppendRequest, Store, StoreError};

/// Every step, checked as a whole.
pub(super) struct Lifting(Chain);

/// What became of one event; why nothing did, in the lift's own words: where it is written is another place elsewhere.
type Became = Result<Vec<RecordedEvent>, String>;

impl Lifting {
    pub(super) fn of_component(path: &Path, component: &[u8], loader: &dyn Loader) -> Result<Self, KitError> {
        Self::of_steps(path, steps(path, component, loader)?)
    }

    /// A component, and what lies in a folder, but for copies of the component.
    pub(super) fn of_component_with(
        path: &Path,
        component: &[u8],
        others: &Path,
        loader: &dyn Loader,
    ) -> Result<Self, KitError> {
        let mut all = steps(path, component, loader)?;
        let own = Anatomy::digest(component);
        for file in files(others)? {
            all.extend(read(&file, loader)?.into_iter().filter(|step| step.identity != own));
        }
        Self::of_steps(path, all)
    }

    /// A file of rules, a component, or all of both in a folder.
    pub(super) fn of_files(place: &Path, loader: &dyn Loader) -> Result<Self, KitError> {
        let mut all = Vec::new();
        for file in files(place)? {
            all.extend(read(&file, loader)?);
        }
        Self::of_steps(place, all)
    }

    fn of_steps(place: &Path, steps: Vec<Step>) -> Result<Self, KitError> {
        let no_chain = |reason: String| KitError::NoChain { place: place.into(), reason };
        if steps.is_empty() {
            return Err(no_chain("it holds no lift, in no .toml and no .wasm".into()));
        }
        Chain::new(steps).map(Self).map_err(|error| no_chain(error.to_string()))
    }

    /// Lifts every event, a second time where it is to be disturbed: the same must come of it.
    pub(super) fn run(&self, file: &Path, fixture: &Fixture, disturbance: Disturbance) -> Result<Traced, KitError> {
        let again = disturbance.twice || disturbance.crash;
        let (mut calls, mut differences, mut lifted, mut refused) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (index, stored) in stored(file, fixture)?.iter().enumerate() {
            let watch = Stopwatch::start();
            let became = self.lift(stored);
            let us = u64::try_from(watch.elapsed().as_micros()).unwrap_or(u64::MAX);
            if again && self.lift(stored) != became {
                let what = format!("event {index} of `when` became something else when it was lifted again");
                differences.push(Difference { what, expected: None, found: None });
            }
            calls.push(Call { us, memory_bytes: self.0.memory_bytes(), ..call(index, stored, &became) });
            match became {
                Ok(events) => lifted.extend(events.iter().map(|event| lifted_of(index, event))),
                Err(reason) => refused.push(Refused { event: index, reason: vec![reason] }),
            }
        }
        let found = Then { lifted: Some(lifted), refused: Some(refused), ..Then::default() };
        differences.splice(0..0, compare(&fixture.then, &found));
        let report = Report { differences, found, settled: true, ..Report::about(file, fixture) }.measured(&calls);
        Ok(Traced { report, calls })
    }

    fn lift(&self, event: &RecordedEvent) -> Became {
        let lifted = self.0.lift(event).map_err(|error| error.reason)?;
        Ok(lifted.unwrap_or_else(|| vec![event.clone()]))
    }
}

fn is(file: &Path, ending: &str) -> bool {
    file.extension().is_some_and(|found| found == ending)
}

/// Rules and components: a file, or those of a folder.
fn files(place: &Path) -> Result<Vec<PathBuf>, KitError> {
    let unreadable = |error: std::io::Error| KitError::unreadable(place, &error);
    if !fs::metadata(place).map_err(unreadable)?.is_dir() {
        return Ok(vec![place.to_owned()]);
    }
    let entries = fs::read_dir(place).map_err(unreadable)?;
    let files = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>();
    let mut files = files.map_err(unreadable)?;
    files.retain(|file| is(file, "toml") || is(file, "wasm"));
    files.sort();
    Ok(files)
}

fn read(file: &PathBuf, loader: &dyn Loader) -> Result<Vec<Step>, KitError> {
    let unreadable = |error: std::io::Error| KitError::unreadable(file, &error);
    if !is(file, "toml") {
        return steps(file, &read_component(file).map_err(unreadable)?, loader);
    }
    let text = fs::read_to_string(file).map_err(unreadable)?;
    let no_chain = |reason: String| KitError::NoChain { place: file.clone(), reason };
    rules::read(&file.display().to_string(), &text).map_err(|error| no_chain(error.to_string()))
}

fn steps(path: &Path, component: &[u8], loader: &dyn Loader) -> Result<Vec<Step>, KitError> {
    let no_chain = |reason: String| KitError::NoChain { place: path.into(), reason };
    let loaded = loader.load_upcaster(component).map_err(|error| no_chain(with_sources(&error)))?;
    let LoadedUpcaster { lifts, upcast } = loaded;
    let (origin, identity) = (path.display().to_string(), Anatomy::digest(component));
    let step = |lift| Step { lift, origin: origin.clone(), identity: identity.clone(), upcast: Arc::clone(&upcast) };
    Ok(lifts.into_iter().map(step).collect())
}

/// The events as a log has them.
fn stored(file: &Path, fixture: &Fixture) -> Result<Vec<RecordedEvent>, KitError> {
    let clock = Arc::new(ManualClock::default());
    let store = MemoryStore::new(Arc::clone(&clock) as Arc<dyn Clock>);
    for (index, (written, id)) in fixture.when.iter().zip(ids()).enumerate() {
        let bad = |reason: String| KitError::NotAFixture {
            file: file.into(),
            reason: format!("event {index} of `when`: {reason}"),
        };
        let (event, time_us) = event(written, id).map_err(bad)?;
        set(&clock, time_us).map_err(bad)?;
        let request = AppendRequest::unconditional(vec![event]);
        store.append(request).wait().map_err(|error| bad(error.to_string()))?;
    }
    let failed = |error: StoreError| KitError::Host { reason: error.to_string() };
    Ok(store.read(&everything()).map_err(failed)?.events)
}

fn lifted_of(index: usize, event: &RecordedEvent) -> Lifted {
    Lifted {
        event: index,
        event_type: event.event_type.to_string(),
        schema_version: event.schema_version,
        data: json_or_text(&event.data),
    }
}

fn call(index: usize, event: &RecordedEvent, became: &Became) -> Call {
    let given = Given {
        index,
        event_type: format!("{} {}", event.event_type, event.schema_version),
        stream: event.stream.as_ref().map(ToString::to_string),
    };
    let made = |event: &RecordedEvent| super::Appended {
        cause: index,
        event_type: format!("{} {}", event.event_type, event.schema_version),
        stream: None,
        tags: Vec::new(),
        schema_version: event.schema_version,
        metadata: BTreeMap::new(),
        data: json_or_text(&event.data),
    };
    match became {
        Ok(events) => Call { appended: events.iter().map(made).collect(), ..Call::of(given, "lifted") },
        Err(reason) => Call { reason: Some(reason.clone()), ..Call::of(given, "refused") },
    }
}
