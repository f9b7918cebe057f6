//! The role of a validator: a component that holds one command at a time against rules, and can do nothing else.
//!
//! Instances are made as they are needed, kept between calls, at most as many as are asked at a time, and dropped after
//! any fault. A call has the time, the fuel and the memory of a batch.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use wasmtime::component::ComponentExportIndex;

use super::LoadError;
use super::bindings::{CheckedCommand, FieldError, Payload, Validate as ValidateExport};
use super::component::InstanceOptions;
use super::engine::EngineInner;
use super::fault::Failed;
use super::instance::{self, Instance, Linked};
use super::text::{REASON_BYTES_MAX, cut};
use super::trial::Export;
use crate::command::{Asked, Faulted, FieldFault, Stage, Subject, Validate};
use crate::delivery::{Evidence, Fault};
use crate::event::{NAME_BYTES_MAX, Position};

/// Most instances that are kept while nobody calls them.
const IDLE_MAX: usize = 8;
/// Most errors of one command that are taken.
const ERRORS_MAX: usize = 64;

/// A loaded component that holds commands against rules. Shared by all commands.
pub(super) struct Validator {
    /// Keeps the ticker going: without it no deadline would ever come.
    _engine: Arc<EngineInner>,
    linked: Linked,
    validate: ComponentExportIndex,
    options: Arc<InstanceOptions>,
    idle: Mutex<Vec<Running>>,
}

/// A started instance.
struct Running {
    instance: Instance,
    validate: ValidateExport,
}

impl Validator {
    /// Tries a component.
    pub(super) fn load(
        engine: Arc<EngineInner>,
        linked: Linked,
        export: Export,
        options: InstanceOptions,
    ) -> Result<Self, LoadError> {
        let options = Arc::new(options);
        let trial = |Failed { fault, reason, .. }| LoadError::Trial { stage: "start", fault, reason };
        let mut instance = begin(&linked, &options).map_err(trial)?;
        let found = instance.function(&export.index);
        let validate: ValidateExport = found.map_err(|error| export.mismatched(&error))?;
        let idle = Mutex::new(vec![Running { instance, validate }]);
        Ok(Self { _engine: engine, linked, validate: export.index, options, idle })
    }

    /// An instance to call: one that is idle, or a fresh one.
    fn taken(&self) -> Result<Running, Failed> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(running) = idle {
            return Ok(running);
        }
        let mut instance = begin(&self.linked, &self.options)?;
        match instance.function(&self.validate) {
            Ok(validate) => Ok(Running { instance, validate }),
            Err(error) => Err(Failed::of_one(&error, instance.store.data_mut())),
        }
    }

    /// Keeps an instance for the next call, unless there are enough, or its memory is nearly full.
    fn keep(&self, running: Running) {
        let full = running.instance.store.data().limiter.memory_bytes() > self.options.limits.memory_bytes / 4 * 3;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if !full && idle.len() < IDLE_MAX {
            idle.push(running);
        }
    }

    /// Calls the component. The instance goes after any fault.
    fn call(&self, command: CheckedCommand<'_>) -> Result<Result<(), Vec<FieldError>>, Failed> {
        let mut running = self.taken()?;
        let store = &mut running.instance.store;
        store.data_mut().begin_call_at(command.timestamp_us, Position(command.timestamp_us));
        let validate = running.validate;
        let called = catch_unwind(AssertUnwindSafe(|| instance::call(store, validate, (command,))));
        let called =
            called.unwrap_or_else(|_| Err(wasmtime::format_err!("the engine panicked; the host's log has more")));
        match called {
            Ok((answer,)) => {
                running.instance.store.data_mut().output.end_call();
                self.keep(running);
                Ok(answer)
            }
            Err(error) => Err(Failed::of_one(&error, running.instance.store.data_mut())),
        }
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
}

fn begin(linked: &Linked, options: &Arc<InstanceOptions>) -> Result<Instance, Failed> {
    let store = Instance::store(linked, Arc::clone(options));
    Instance::start(store, linked).map_err(|(mut store, error)| Failed::of_one(&error, store.data_mut()))
}

fn fault(FieldError { path, code, message }: FieldError) -> FieldFault {
    FieldFault {
        pointer: cut(path, REASON_BYTES_MAX),
        code: cut(code, NAME_BYTES_MAX),
        message: cut(message, REASON_BYTES_MAX),
    }
}
