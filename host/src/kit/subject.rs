//! What is under test: something that handles events, decides commands, holds them against rules, or lifts events.

use std::path::Path;
use std::sync::Arc;

use super::KitError;
use super::decider::Decider;
use super::fixture::{Fixture, Then};
use super::lifting::Lifting;
use super::recorded::Call;
use super::report::Report;
use super::run::Handling;
use super::validating::Validating;
use super::wrapped::Disturbance;
use crate::event::Filter;
use crate::plugin::{Kind, Loader, Proposed, SecretResolver, runnable};
use crate::runtime::{Description, Role};

/// A component with its manifest, or rules, ready to be given fixtures.
pub struct Kit(Subject);

enum Subject {
    Handling(Box<Handling>),
    Deciding(Box<Decider>),
    Lifting(Lifting),
    Checking(Box<Validating>),
}

/// A fixture that was run event by event.
#[derive(Clone, Debug)]
pub struct Traced {
    /// What came of it, whole.
    pub report: Report,
    /// Each call of the plugin.
    pub calls: Vec<Call>,
}

impl Kit {
    /// Loads a component as the host would. Blocks: it is compiled.
    ///
    /// # Errors
    /// When the host would not run it.
    pub fn new(
        proposed: &Proposed<'_>,
        loader: Arc<dyn Loader>,
        secrets: Box<dyn SecretResolver>,
    ) -> Result<Self, KitError> {
        match Kind::of_component(proposed.component) {
            Kind::Upcaster => {
                let lifting = Lifting::of_component(proposed.component_path, proposed.component, &*loader)?;
                return Ok(Self(Subject::Lifting(lifting)));
            }
            Kind::Validator => return Ok(Self(Subject::Checking(Box::new(Validating::new(proposed, loader)?)))),
            Kind::Plugin => {}
        }
        let runnable = runnable(proposed, None, &*loader, &*secrets)?;
        Ok(Self(match runnable.loaded.roles().contains(&Role::Aggregate) {
            true => Subject::Deciding(Box::new(Decider::new(proposed, runnable)?)),
            false => Subject::Handling(Box::new(Handling::new(proposed, runnable, secrets))),
        }))
    }

    /// Loads what lifts events: a component or a file of rules, or a folder of them, as one chain. Blocks: components are
    /// compiled.
    ///
    /// # Errors
    /// When a file cannot be read, or they are no chain.
    pub fn upcasters(place: &Path, loader: &dyn Loader) -> Result<Self, KitError> {
        Lifting::of_files(place, loader).map(Subject::Lifting).map(Self)
    }

    /// Loads a component that lifts events and what lies in a folder, rules and other components, as one chain. Blocks:
    /// components are compiled.
    ///
    /// # Errors
    /// When a file cannot be read, or they are no chain.
    pub fn upcaster_with(
        proposed: &Proposed<'_>,
        others: impl AsRef<Path>,
        loader: &dyn Loader,
    ) -> Result<Self, KitError> {
        let Proposed { component, component_path: path, .. } = *proposed;
        Lifting::of_component_with(path, component, others.as_ref(), loader).map(Subject::Lifting).map(Self)
    }

    /// How the component introduces itself, if it does.
    #[must_use]
    pub fn description(&self) -> Option<&Description> {
        match &self.0 {
            Subject::Handling(handling) => handling.loaded().description(),
            Subject::Deciding(deciding) => deciding.loaded().description(),
            Subject::Lifting(_) | Subject::Checking(_) => None,
        }
    }

    /// Whether it reaches nothing outside.
    #[must_use]
    pub fn is_replayable(&self) -> bool {
        match &self.0 {
            Subject::Handling(handling) => handling.loaded().replayable(),
            Subject::Deciding(_) | Subject::Lifting(_) | Subject::Checking(_) => true,
        }
    }

    /// Which events it is handed; none when it handles none.
    #[must_use]
    pub const fn filter(&self) -> Option<&Filter> {
        match &self.0 {
            Subject::Handling(handling) => Some(&handling.filter),
            Subject::Deciding(_) | Subject::Lifting(_) | Subject::Checking(_) => None,
        }
    }

    /// What it is, for people.
    #[must_use]
    pub const fn title(&self) -> &'static str {
        match &self.0 {
            Subject::Handling(_) => "a subscriber",
            Subject::Deciding(_) => "an aggregate",
            Subject::Lifting(_) => "an upcaster",
            Subject::Checking(_) => "a validator",
        }
    }

    /// What a fixture that is blessed expects where it says nothing: all that is not for people.
    #[must_use]
    pub fn unsaid(&self) -> Then {
        match &self.0 {
            Subject::Handling(_) => Then {
                state: Some(Default::default()),
                appended: Some(Vec::new()),
                dispatched: Some(Vec::new()),
                dead_letters: Some(Vec::new()),
                ..Then::default()
            },
            Subject::Deciding(_) => {
                Then { state: Some(Default::default()), outcomes: Some(Vec::new()), ..Then::default() }
            }
            Subject::Checking(_) => Then { outcomes: Some(Vec::new()), ..Then::default() },
            Subject::Lifting(_) => Then { lifted: Some(Vec::new()), refused: Some(Vec::new()), ..Then::default() },
        }
    }

    /// Runs a fixture, and says what came of it. Blocks.
    ///
    /// # Errors
    /// When its events are none, its settings do not fit the manifest, or it speaks of another role.
    pub fn run(&self, file: &Path, fixture: &Fixture, disturbance: Disturbance) -> Result<Report, KitError> {
        self.check_parts(file, fixture)?;
        let Traced { mut report, .. } = match &self.0 {
            Subject::Handling(handling) => handling.run(file, fixture, disturbance),
            Subject::Deciding(deciding) => deciding.run(file, fixture, disturbance),
            Subject::Lifting(lifting) => lifting.run(file, fixture, disturbance),
            Subject::Checking(validating) => validating.run(file, fixture, disturbance),
        }?;
        keep_what_is_said(&mut report.found, &fixture.then);
        Ok(report)
    }

    /// Runs a fixture with every event in a call of its own, and says what came of each. Blocks. It may expect
    /// nothing.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn trace(&self, file: &Path, fixture: &Fixture) -> Result<Traced, KitError> {
        self.check_parts(file, fixture)?;
        match &self.0 {
            Subject::Handling(handling) => handling.trace(file, fixture),
            Subject::Deciding(deciding) => deciding.run(file, fixture, Disturbance::default()),
            Subject::Lifting(lifting) => lifting.run(file, fixture, Disturbance::default()),
            Subject::Checking(validating) => validating.run(file, fixture, Disturbance::default()),
        }
    }

    /// Refuses parts of a fixture that are of another role: they would be passed over.
    fn check_parts(&self, file: &Path, fixture: &Fixture) -> Result<(), KitError> {
        let known: &[&str] = match &self.0 {
            Subject::Handling(_) => {
                &["state", "appended", "dispatched", "dead_letters", "waits", "queries", "log", "stopped"]
            }
            Subject::Deciding(_) => &["state", "outcomes"],
            Subject::Lifting(_) => &["lifted", "refused"],
            Subject::Checking(_) => &["outcomes"],
        };
        let then = serde_json::to_value(&fixture.then).unwrap_or_default();
        let said = then.as_object().into_iter().flat_map(|then| then.keys());
        let mut strange = said.filter(|part| !known.contains(&part.as_str())).map(|part| format!("then.{part}"));
        let lifts = matches!(self.0, Subject::Lifting(_));
        let remembers = !lifts && !matches!(self.0, Subject::Checking(_));
        let others =
            [(lifts && !fixture.config.is_empty(), "config"), (!remembers && !fixture.given.is_empty(), "given")];
        let other = others.into_iter().find(|(is_strange, _)| *is_strange).map(|(_, part)| part.to_owned());
        let Some(part) = strange.next().or(other) else { return self.check_queries(file, fixture) };
        let known = known.join("`, `");
        let reason = format!("`{part}` is not of {}, for which `then` has `{known}`", self.title());
        Err(KitError::NotAFixture { file: file.into(), reason })
    }

    /// Refuses queries that nobody answers.
    fn check_queries(&self, file: &Path, fixture: &Fixture) -> Result<(), KitError> {
        let answers = match &self.0 {
            Subject::Handling(handling) => handling.loaded().roles().contains(&Role::Projection),
            Subject::Deciding(_) | Subject::Lifting(_) | Subject::Checking(_) => false,
        };
        if answers || fixture.then.queries.is_none() {
            return Ok(());
        }
        let reason =
            "`then.queries`: it answers no queries, as it exports no `projection`; build it for a world that has \
                      one, such as `described-projection-plugin`"
                .into();
        Err(KitError::NotAFixture { file: file.into(), reason })
    }
}

/// Leaves out what a fixture does not speak of, but for what is a difference unless it is said.
fn keep_what_is_said(found: &mut Then, said: &Then) {
    fn keep<T>(found: &mut Option<T>, said: bool) {
        if !said {
            *found = None;
        }
    }
    keep(&mut found.state, said.state.is_some());
    keep(&mut found.appended, said.appended.is_some());
    keep(&mut found.dispatched, said.dispatched.is_some());
    keep(&mut found.dead_letters, said.dead_letters.is_some());
    keep(&mut found.waits, said.waits.is_some());
    keep(&mut found.log, said.log.is_some());
    let faulted = found.outcomes.iter().flatten().any(|came| came.error.is_some());
    keep(&mut found.outcomes, said.outcomes.is_some() || faulted);
    keep(&mut found.lifted, said.lifted.is_some());
    let refused = found.refused.iter().flatten().next().is_some();
    keep(&mut found.refused, said.refused.is_some() || refused);
}
