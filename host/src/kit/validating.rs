//! Fixtures of what holds commands against rules: it is asked about each, as the bus asks it before a command is decided.
//!
//! It is asked about every command of a fixture, whichever its manifest names in `commands`: which those are is for the
//! bus.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::command::command;
use super::fixture::{Fixture, Then};
use super::recorded::{Call, Given};
use super::report::{Difference, Report, compare};
use super::run::text;
use super::subject::Traced;
use super::wrapped::Disturbance;
use super::{CameOf, KitError, Written};
use crate::clock::{Clock as _, ManualClock, Stopwatch};
use crate::command::{Asked, Command, Subject, Validate};
use crate::event::Category;
use crate::plugin::{InstallError, Loader, Proposed};
use crate::runtime::InstanceOptions;

/// Which aggregate a command is for that does not say.
const KEY: &str = "1";

/// A component that holds commands against rules, with its manifest.
pub(super) struct Validating {
    loader: Arc<dyn Loader>,
    component: Vec<u8>,
    path: Box<Path>,
    options: InstanceOptions,
    code: Arc<dyn Validate>,
}

impl Validating {
    pub(super) fn new(proposed: &Proposed<'_>, loader: Arc<dyn Loader>) -> Result<Self, KitError> {
        let options = proposed.bare_options();
        let code = load(&*loader, proposed.component_path, proposed.component, options.clone())?;
        Ok(Self { loader, component: proposed.component.into(), path: proposed.component_path.into(), options, code })
    }

    /// Asks it about every command, a second time where it is to be disturbed: the same must come of it.
    pub(super) fn run(&self, file: &Path, fixture: &Fixture, disturbance: Disturbance) -> Result<Traced, KitError> {
        let code = self.configured(fixture)?;
        let clock = ManualClock::default();
        let again = disturbance.twice || disturbance.crash;
        let (mut calls, mut differences, mut outcomes) = (Vec::new(), Vec::new(), Vec::new());
        for (index, written) in fixture.when.iter().enumerate() {
            let command = addressed(index, written, &clock).map_err(|reason| KitError::NotAFixture {
                file: file.into(),
                reason: format!("command {index} of `when`: {reason}"),
            })?;
            let watch = Stopwatch::start();
            let came = ask(&*code, &command, clock.now_us());
            let us = u64::try_from(watch.elapsed().as_micros()).unwrap_or(u64::MAX);
            if again && ask(&*code, &command, clock.now_us()) != came {
                let what = format!("of command {index} of `when` it says something else when it is asked again");
                differences.push(Difference { what, expected: None, found: None });
            }
            calls.push(Call { us, memory_bytes: code.memory_bytes(), ..call(index, &command, &came) });
            outcomes.push(came);
        }
        let found = Then { outcomes: Some(outcomes), ..Then::default() };
        differences.splice(0..0, compare(&fixture.then, &found));
        let report = Report { differences, found, settled: true, ..Report::about(file, fixture) }.measured(&calls);
        Ok(Traced { report, calls })
    }

    /// Its code with the fixture's settings over those of the manifest: they are read once, so it is loaded anew.
    fn configured(&self, fixture: &Fixture) -> Result<Arc<dyn Validate>, KitError> {
        if fixture.config.is_empty() {
            return Ok(Arc::clone(&self.code));
        }
        let mut options = self.options.clone();
        options.config.extend(fixture.config.iter().map(|(key, value)| (key.clone(), text(value))));
        load(&*self.loader, &self.path, &self.component, options)
    }
}

fn load(
    loader: &dyn Loader,
    path: &Path,
    component: &[u8],
    options: InstanceOptions,
) -> Result<Arc<dyn Validate>, KitError> {
    let refused = |reason| InstallError::Load { component: path.into(), reason };
    Ok(loader.load_validator(component, options).map_err(refused)?)
}

/// A command with the aggregate that it is for.
fn addressed(index: usize, written: &Written, clock: &ManualClock) -> Result<Command, String> {
    let mut written = written.clone();
    let mut part = |name: &str| {
        let taken = written.take(name);
        let text = |taken: Value| taken.as_str().map(str::to_owned).ok_or(format!("`{name}` is {taken}; it is a text"));
        taken.map(text).transpose()
    };
    let aggregate =
        part("aggregate")?.ok_or("`aggregate` is missing; it says to which kind of aggregate it is sent")?;
    let key = part("key")?.unwrap_or_else(|| KEY.to_owned());
    let category = Category::new(aggregate).map_err(|error| format!("`aggregate`: {error}"))?;
    command(index, &written, (category, key), clock)
}

fn ask(code: &dyn Validate, command: &Command, timestamp_us: u64) -> CameOf {
    let Command { aggregate, key, id, command_type, data, content_type, metadata, .. } = command.clone();
    let asked = Asked { id, command_type, data, content_type, metadata, timestamp_us };
    CameOf::checked(code.validate(&Subject { aggregate: aggregate.as_str(), key: &key, asked: &asked }))
}

fn call(index: usize, command: &Command, came: &CameOf) -> Call {
    let given = Given { index, event_type: command.command_type.clone(), stream: None };
    let (outcome, reason) = match (&came.errors, &came.error) {
        (Some(errors), _) if errors.is_empty() => ("accepted", None),
        (Some(errors), _) => {
            let told: Vec<_> = errors.iter().map(ToString::to_string).collect();
            ("refused", Some(told.join("; ")))
        }
        (None, error) => {
            ("failed", Some(format!("{}: {}", error.as_deref().unwrap_or_default(), came.reason.concat())))
        }
    };
    Call { reason, ..Call::of(given, outcome) }
}
