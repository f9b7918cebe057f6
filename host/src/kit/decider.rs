//! A component that decides commands, ready to be given fixtures.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::deciding::{Decided, Deciding, Took};
use super::fixture::{Appended, Fixture};
use super::recorded::{Call, Given};
use super::report::{Report, compare};
use super::run::runtime;
use super::subject::Traced;
use super::wrapped::Disturbance;
use super::{CameOf, KitError};
use crate::command::AggregateSetup;
use crate::event::{Category, NameError};
use crate::plugin::{Loaded, Proposed, Runnable};

/// Its category, where neither its manifest nor its name gives one: nobody else decides here.
const CATEGORY: &str = "aggregate";

/// A component that decides commands, with its manifest.
pub(super) struct Decider {
    loaded: Arc<dyn Loaded>,
    setup: AggregateSetup,
}

impl Decider {
    pub(super) fn new(proposed: &Proposed<'_>, runnable: Runnable) -> Result<Self, KitError> {
        let Runnable { loaded, setup, options } = runnable;
        let code = loaded.aggregate(options);
        let code = code.ok_or_else(|| KitError::Host { reason: "it decides nothing after all".into() })?;
        let policy = proposed.manifest.aggregate.clone();
        let named = policy.category.clone().map_or_else(|| Category::new(proposed.name.as_str()), Ok);
        let category = named.or_else(|_| Category::new(CATEGORY)).map_err(odd)?;
        let (plugin, digest, append) = (proposed.name.clone(), setup.component_digest, setup.append);
        Ok(Self {
            loaded,
            setup: AggregateSetup { plugin, category, digest, append, code, policy, chain: Arc::default() },
        })
    }

    pub(super) fn loaded(&self) -> &dyn Loaded {
        &*self.loaded
    }

    /// Sends the commands of a fixture to it.
    pub(super) fn run(&self, file: &Path, fixture: &Fixture, disturbance: Disturbance) -> Result<Traced, KitError> {
        let deciding = Deciding::new(file, self.setup.clone(), disturbance).map_err(odd)?;
        let Decided { found, missing, cost, took } = runtime()?.block_on(deciding.run(fixture))?;
        let outcomes = found.outcomes.iter().flatten().zip(&fixture.when).zip(took).enumerate();
        let calls = outcomes.map(|(index, ((came, command), Took { us, memory_bytes }))| Call {
            us,
            memory_bytes,
            ..call(index, command, came)
        });
        let calls = calls.collect();
        let report = Report {
            differences: missing.into_iter().chain(compare(&fixture.then, &found)).collect(),
            found,
            settled: true,
            handler_us: cost.us(),
            memory_peak_bytes: cost.memory_peak_bytes(),
            ..Report::about(file, fixture)
        };
        Ok(Traced { report, calls })
    }
}

/// A command, and what came of it.
fn call(index: usize, command: &Value, came: &CameOf) -> Call {
    let name = command.get("command").and_then(Value::as_str).unwrap_or_default();
    let given = Given { index, event_type: name.to_owned(), stream: None };
    let Some(events) = &came.events else {
        let outcome = if came.rejection.is_some() { "rejected" } else { "failed" };
        let code = came.rejection.as_ref().or(came.error.as_ref()).map(String::as_str).unwrap_or_default();
        let reason = Some(format!("{code}: {}", came.reason.concat()));
        return Call { reason, ..Call::of(given, outcome) };
    };
    if came.repeated {
        return Call::of(given, "repeated");
    }
    let appended = events.iter().map(|event| Appended {
        cause: index,
        event_type: event.event_type.clone(),
        stream: None,
        tags: event.tags.clone(),
        schema_version: event.schema_version,
        metadata: event.metadata.clone(),
        data: event.data.clone(),
    });
    Call { appended: appended.collect(), ..Call::of(given, "accepted") }
}

fn odd(error: NameError) -> KitError {
    KitError::Host { reason: error.to_string() }
}
