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

/// What a component says of a field, made what clients rely on: a JSON pointer, a code and words.
fn fault(FieldError { path, code, message }: FieldError) -> FieldFault {
    let or = |text: String, usual: &str| if text.trim().is_empty() { usual.to_owned() } else { text };
    FieldFault {
        pointer: pointer(&cut(path, REASON_BYTES_MAX)),
        code: or(cut(code, NAME_BYTES_MAX), "invalid"),
        message: or(cut(message, REASON_BYTES_MAX), "the validator does not say what is wrong here"),
    }
}

/// A path as a JSON pointer (RFC 6901): one that is none lacks the slash that it begins with, or means each `~` as it is
/// that escapes nothing.
fn pointer(path: &str) -> String {
    let mut pointer = String::new();
    if !path.is_empty() && !path.starts_with('/') {
        pointer.push('/');
    }
    let mut letters = path.chars().peekable();
    while let Some(letter) = letters.next() {
        pointer.push(letter);
        if letter == '~' && !matches!(letters.peek(), Some('0' | '1')) {
            pointer.push('0');
        }
    }
    pointer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_pointer_whatever_a_component_says() {
        for (path, is) in [
            ("", ""),
            ("/", "/"),
            ("/lines/0/a~1b~0", "/lines/0/a~1b~0"),
            ("guest", "/guest"),
            ("lines/0", "/lines/0"),
            ("/a~b~", "/a~0b~0"),
        ] {
            assert_eq!(pointer(path), is);
        }
    }

    #[test]
    fn what_a_component_leaves_empty_has_a_code_and_words() {
        let said = |code: &str, message: &str| {
            fault(FieldError { path: "guest".into(), code: code.into(), message: message.into() })
        };
        let FieldFault { pointer, code, message } = said("", " ");
        assert_eq!((pointer.as_str(), code.as_str()), ("/guest", "invalid"));
        assert!(message.contains("does not say"), "{message}");
        let FieldFault { code, message, .. } = said("too-large", "at most 3");
        assert_eq!((code.as_str(), message.as_str()), ("too-large", "at most 3"));
    }
}
