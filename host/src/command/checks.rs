//! What commands are held to before they are decided: the JSON Schema of their type, then validators, in their order.
//!
//! Both are put here by whoever watches the plugins directory, and read for each command that has no outcome yet. While
//! they are not known, nothing is decided: a command must not slip through because a file is broken.

use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::aggregate::{Asked, Faulted};
use super::error::CommandError;
use super::request::Command;
use crate::event::Pattern;
use crate::schema::{Allowance, CommandSchemas, FieldError, TypeSchema, Unfit};
use crate::store::HeavyTurn;

/// Most errors of one command that are told.
const ERRORS_MAX: usize = 64;

/// Code that holds a command against rules of its own. Cheap to share.
pub trait Validate: Send + Sync + 'static {
    /// What is wrong with a command; nothing where it may be decided. Blocks.
    ///
    /// # Errors
    /// When the code does not answer.
    fn validate(&self, subject: &Subject<'_>) -> Result<Vec<FieldFault>, Faulted>;

    /// Memory that it has after its last call, in bytes; 0 where it has none of its own.
    fn memory_bytes(&self) -> usize {
        0
    }
}

/// A command that is to be decided.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The kind of aggregate.
    pub aggregate: &'a str,
    /// Which one of them.
    pub key: &'a str,
    /// The command.
    pub asked: &'a Asked,
}

/// A place in a command's data, and what is wrong there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldFault {
    /// A JSON pointer; empty for the whole.
    pub pointer: String,
    /// What kind of fault it is, for programs; `invalid` where a component does not say.
    pub code: String,
    /// What is wrong, for people.
    pub message: String,
}

/// A validator as it is installed.
#[derive(Clone)]
pub struct Validator {
    /// Its name.
    pub name: String,
    /// Which commands it is asked of, as `aggregate:Type`.
    pub commands: Arc<[Pattern]>,
    /// Its code.
    pub code: Arc<dyn Validate>,
}

impl Validator {
    fn takes(&self, named: &str) -> bool {
        self.commands.iter().any(|pattern| pattern.matches(named))
    }
}

/// What commands are held to. Shared by whoever sets it and the bus.
#[derive(Default)]
pub struct Checks(RwLock<Held>);

#[derive(Clone)]
struct Held {
    schemas: Known<Arc<CommandSchemas>>,
    validators: Known<Arc<[Bounded]>>,
}

/// A validator that so many ask at a time as there are processors; more would only hold threads.
#[derive(Clone)]
struct Bounded {
    validator: Validator,
    places: Arc<Semaphore>,
}

/// What is known, or why it is not.
type Known<T> = Result<T, String>;

impl Default for Held {
    fn default() -> Self {
        Self { schemas: Ok(Arc::default()), validators: Ok(Arc::new([])) }
    }
}

impl std::fmt::Debug for Checks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Checks")
    }
}

impl Checks {
    /// Puts other schemas in place; none known, with the reason, only where there were none before.
    pub fn set_schemas(&self, schemas: Result<CommandSchemas, String>) {
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        held.schemas = schemas.map(Arc::new);
    }

    /// Puts other validators in place, in the order in which they are asked.
    pub fn set_validators(&self, validators: Result<Vec<Validator>, String>) {
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let bounded = |validator| Bounded { validator, places: Arc::new(Semaphore::new(processors)) };
        held.validators = validators.map(|all| all.into_iter().map(bounded).collect());
    }

    /// What such a command is held to; none where nothing is.
    pub(super) fn of(&self, command: &Command) -> Result<Option<Rules>, CommandError> {
        let held = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        let unknown = |what: &str| {
            let what = what.to_owned();
            move |reason| CommandError::ChecksUnknown { what, reason }
        };
        let schemas = held.schemas.map_err(unknown("the schemas of commands"))?;
        let all = held.validators.map_err(unknown("the validators of commands"))?;
        let named = format!("{}:{}", command.aggregate, command.command_type);
        let validators: Vec<_> = all.iter().filter(|bounded| bounded.validator.takes(&named)).cloned().collect();
        let has_schema = schemas.get(command.aggregate.as_str(), &command.command_type).is_some();
        Ok((has_schema || !validators.is_empty()).then_some(Rules { schemas, validators }))
    }
}

#[cfg(test)]
impl Checks {
    /// Why schemas, and why validators, are not known, where they are not.
    pub(crate) fn unknown(&self) -> [Option<String>; 2] {
        let held = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        [held.schemas.err(), held.validators.err()]
    }
}

/// What one command is held to.
#[derive(Clone)]
pub(super) struct Rules {
    schemas: Arc<CommandSchemas>,
    validators: Vec<Bounded>,
}

impl Rules {
    /// Waits for a place at each validator. They are taken in one order by all, so nobody waits in a circle.
    pub(super) async fn places(&self) -> Vec<OwnedSemaphorePermit> {
        let mut taken = Vec::new();
        for Bounded { places, .. } in &self.validators {
            // Never closed.
            taken.extend(Arc::clone(places).acquire_owned().await);
        }
        taken
    }

    /// Whether it may take much to hold a command to its schema, as far as its size tells.
    pub(super) fn may_be_heavy(&self, command: &Command) -> bool {
        self.schema(command).is_some_and(|schema| schema.may_be_heavy(&command.data))
    }

    /// Holds a command to its schema, at its turn, which ends with that; false where it needs one and has none. Blocks.
    pub(super) fn hold_to_schema(&self, command: &Command, turn: Option<HeavyTurn>) -> Result<bool, CommandError> {
        let Some(schema) = self.schema(command) else { return Ok(true) };
        let found = match turn {
            None if self.may_be_heavy(command) => match schema.check(&command.data, &mut Allowance::light()) {
                Ok(()) => Vec::new(),
                Err(Unfit::Wrong(errors)) => errors,
                Err(Unfit::TooMuch) => return Ok(false),
            },
            turn => {
                let checked = schema.check_data(&command.data);
                drop(turn);
                checked.err().unwrap_or_default()
            }
        };
        let fault =
            |error: FieldError| FieldFault { pointer: error.path, code: "schema".into(), message: error.reason };
        refused("its schema", found.into_iter().map(fault).collect())?;
        Ok(true)
    }

    fn schema(&self, command: &Command) -> Option<&TypeSchema> {
        self.schemas.get(command.aggregate.as_str(), &command.command_type)
    }

    /// Asks the validators. The first that finds something ends it. Blocks.
    pub(super) fn ask(&self, command: &Command, asked: &Asked) -> Result<(), CommandError> {
        let aggregate = command.aggregate.as_str();
        let subject = Subject { aggregate, key: &command.key, asked };
        for Bounded { validator: Validator { name, code, .. }, .. } in &self.validators {
            let found = code.validate(&subject).map_err(|faulted| failed(name, command, faulted))?;
            refused(&format!("validator {name}"), found)?;
        }
        Ok(())
    }
}

fn refused(by: &str, mut errors: Vec<FieldFault>) -> Result<(), CommandError> {
    if errors.is_empty() {
        return Ok(());
    }
    errors.truncate(ERRORS_MAX);
    Err(CommandError::Refused { by: by.to_owned(), errors })
}

fn failed(validator: &str, command: &Command, faulted: Faulted) -> CommandError {
    tracing::warn!(
        validator,
        command = command.id,
        command_type = command.command_type,
        fault = faulted.fault.as_str(),
        reason = faulted.reason,
        stderr = faulted.evidence.stderr_tail,
        backtrace = faulted.evidence.backtrace,
        "a validator failed"
    );
    CommandError::ValidatorFailed { validator: validator.to_owned(), faulted: Box::new(faulted) }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    struct Agrees;

    impl Validate for Agrees {
        fn validate(&self, _: &Subject<'_>) -> Result<Vec<FieldFault>, Faulted> {
            Ok(Vec::new())
        }
    }

    #[tokio::test]
    async fn only_so_many_ask_a_validator_at_a_time() {
        let validator =
            |name: &str| Validator { name: name.into(), commands: Arc::new([Pattern::all()]), code: Arc::new(Agrees) };
        let checks = Checks::default();
        checks.set_validators(Ok(vec![validator("a"), validator("b")]));
        let held = checks.0.read().unwrap().clone();
        let rules = Rules { schemas: Arc::default(), validators: held.validators.unwrap().to_vec() };
        let mut taken = vec![rules.places().await];
        while let Some(places) = rules.places().now_or_never() {
            assert_eq!(places.len(), 2);
            taken.push(places);
            assert!(taken.len() < 100_000, "there is a bound");
        }
        drop(taken.pop());
        assert!(rules.places().now_or_never().is_some());
    }
}
