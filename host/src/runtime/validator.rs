//! The role of a validator: a component that holds one command at a time against rules, and can do nothing else.
//!
//! All commands ask it, on instances of a [`Pool`]. A call has the time, the fuel and the memory of a batch.

use std::sync::Arc;

use super::LoadError;
use super::bindings::{CheckedCommand, FieldError, Payload, ValidateParams, ValidateResults};
use super::component::InstanceOptions;
use super::engine::EngineInner;
use super::fault::Failed;
use super::instance::{self, Linked};
use super::pool::{Pool, Running};
use super::text::{REASON_BYTES_MAX, cut};
use super::trial::Export;
use crate::command::{Asked, Faulted, FieldFault, Stage, Subject, Validate};
use crate::delivery::{Evidence, Fault};
use crate::event::{NAME_BYTES_MAX, Position};

/// Most errors of one command that are taken.
const ERRORS_MAX: usize = 64;

/// A loaded component that holds commands against rules. Shared by all commands.
pub(super) struct Validator {
    /// Keeps the ticker going: without it no deadline would ever come.
    _engine: Arc<EngineInner>,
    pool: Pool<ValidateParams<'static>, ValidateResults>,
}

impl Validator {
    /// Tries a component.
    pub(super) fn load(
        engine: Arc<EngineInner>,
        linked: Linked,
        export: Export,
        options: InstanceOptions,
    ) -> Result<Self, LoadError> {
        let validator = Self { _engine: engine, pool: Pool::new(linked, options, export.index, Failed::of_one) };
        let mut instance = validator.pool.start().map_err(|failed| LoadError::trial("start", &failed))?;
        let function = instance.function(&export.index).map_err(|error| export.mismatched(&error))?;
        validator.pool.keep(Running { instance, function });
        Ok(validator)
    }

    fn call(&self, command: CheckedCommand<'_>) -> Result<Result<(), Vec<FieldError>>, Failed> {
        self.pool.call(|store, validate| {
            store.data_mut().begin_call_at(command.timestamp_us, Position(command.timestamp_us));
            let (answer,) = instance::call(store, validate, (command,))?;
            Ok(answer)
        })
    }
}

impl Validate for Validator {
    fn validate(&self, subject: &Subject<'_>) -> Result<Vec<FieldFault>, Faulted> {
        let Subject { aggregate, key, asked } = *subject;
        let Asked { id, command_type, data, content_type, metadata, timestamp_us } = asked;
        let metadata: Vec<_> = metadata.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let json = content_type.is_none().then(|| std::str::from_utf8(data).ok()).flatten();
        let command = CheckedCommand {
            id,
            aggregate,
            key,
            command_type,
            data: json.map_or(Payload::Binary(data), Payload::Json),
            metadata: &metadata,
            timestamp_us: *timestamp_us,
        };
        let answer = self.call(command).map_err(|Failed { fault, reason, evidence }| Faulted {
            stage: Stage::Validate,
            fault,
            reason,
            evidence,
        })?;
        match answer {
            Ok(()) => Ok(Vec::new()),
            Err(errors) if errors.is_empty() => Err(Faulted {
                stage: Stage::Validate,
                fault: Fault::BadReply,
                reason: "it refuses the command without saying what is wrong".into(),
                evidence: Evidence::default(),
            }),
            Err(errors) => Ok(errors.into_iter().take(ERRORS_MAX).map(fault).collect()),
        }
    }

    fn memory_bytes(&self) -> usize {
        self.pool.memory_bytes()
    }
}

fn fault(FieldError { path, code, message }: FieldError) -> FieldFault {
    FieldFault {
        pointer: cut(path, REASON_BYTES_MAX),
        code: cut(code, NAME_BYTES_MAX),
        message: cut(message, REASON_BYTES_MAX),
    }
}
