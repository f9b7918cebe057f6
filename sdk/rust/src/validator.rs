//! The role of a component that holds commands against rules before they are decided.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;

use crate::bindings::tidemill::plugin::types::Payload;
use crate::validator_bindings::exports::tidemill::plugin::validator as contract;
use crate::{Config, Error, typed};

/// Rules that commands are held against.
///
/// A component that exports them ([`export_validator!`](crate::export_validator!)) is pure: it sees the command and its
/// configuration, nothing else. It lies in the folder `validators` of the plugins directory.
///
/// ```
/// use tidemill_sdk::{CheckedCommand, Config, Error, FieldError, Validator, export_validator};
///
/// struct Limit {
///     cents_max: u64,
/// }
///
/// #[derive(serde::Deserialize)]
/// struct Withdraw {
///     cents: u64,
/// }
///
/// impl Validator for Limit {
///     fn new(config: Config) -> Result<Self, Error> {
///         Ok(Self { cents_max: config.get_or("cents_max", 100_000)? })
///     }
///
///     fn validate(&self, command: &CheckedCommand) -> Vec<FieldError> {
///         match command.json::<Withdraw>() {
///             Ok(Withdraw { cents }) if cents > self.cents_max => {
///                 vec![FieldError::new("/cents", "too-large", format!("at most {} at a time", self.cents_max))]
///             }
///             Ok(_) => Vec::new(),
///             Err(error) => vec![FieldError::new("", "malformed", error.to_string())],
///         }
///     }
/// }
///
/// export_validator!(Limit);
/// ```
pub trait Validator: Sized {
    /// The rules, as they are configured. Made once for each instance.
    ///
    /// # Errors
    /// When they are configured wrongly: no command is decided then.
    fn new(config: Config) -> Result<Self, Error>;

    /// What is wrong with a command; nothing where it may be decided.
    fn validate(&self, command: &CheckedCommand) -> Vec<FieldError>;
}

/// A command that is about to be decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckedCommand {
    /// Its identity.
    pub id: String,
    /// The kind of aggregate that it is for, such as `account`.
    pub aggregate: String,
    /// Which one.
    pub key: String,
    /// What is wanted, such as `Withdraw`.
    pub command_type: String,
    /// With what, as it was sent.
    pub data: Vec<u8>,
    /// Its metadata, such as `correlation_id` and `actor`.
    pub metadata: BTreeMap<String, String>,
    /// When it is checked: microseconds since the Unix epoch.
    pub timestamp_us: u64,
}

impl CheckedCommand {
    /// Its data, decoded.
    ///
    /// # Errors
    /// When they are not JSON of that shape.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        typed::decode_json(&self.command_type, &self.data)
    }
}

/// A place in a command's data, and what is wrong there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// A JSON pointer such as `/cents`; empty for the whole.
    pub path: String,
    /// What kind of fault it is, for programs.
    pub code: String,
    /// What is wrong, for people.
    pub message: String,
}

impl FieldError {
    /// What is wrong at a place.
    #[must_use]
    pub fn new(path: impl Into<String>, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), code: code.into(), message: message.into() }
    }
}

/// The rules of an instance. Called by [`export_validator!`](crate::export_validator!) only.
///
/// # Panics
/// When they are configured wrongly.
#[doc(hidden)]
#[must_use]
#[expect(clippy::panic, reason = "there is no answer without rules; it is told as a fault with its message")]
pub fn new_validator<V: Validator>() -> V {
    V::new(Config).unwrap_or_else(|error| panic!("the validator is configured wrongly: {error}"))
}

/// What the exported `validate` does. Called by [`export_validator!`](crate::export_validator!) only.
#[doc(hidden)]
pub fn validate_command<V: Validator>(
    validator: &V,
    command: contract::CheckedCommand,
) -> Result<(), Vec<contract::FieldError>> {
    let contract::CheckedCommand { id, aggregate, key, command_type, data, metadata, timestamp_us } = command;
    let data = match data {
        Payload::Json(text) => text.into_bytes(),
        Payload::Binary(bytes) => bytes,
    };
    let metadata = metadata.into_iter().collect();
    let command = CheckedCommand { id, aggregate, key, command_type, data, metadata, timestamp_us };
    let told = |FieldError { path, code, message }| contract::FieldError { path, code, message };
    match validator.validate(&command) {
        errors if errors.is_empty() => Ok(()),
        errors => Err(errors.into_iter().map(told).collect()),
    }
}

/// Makes a crate a component that holds commands against rules: exports a type that implements [`Validator`].
#[macro_export]
macro_rules! export_validator {
    ($validator:ty) => {
        const _: () = {
            ::std::thread_local! {
                /// The instance's rules.
                static RULES: $validator = $crate::new_validator();
            }

            struct Component;

            impl $crate::validator_bindings::exports::tidemill::plugin::validator::Guest for Component {
                fn validate(
                    command: $crate::validator_bindings::exports::tidemill::plugin::validator::CheckedCommand,
                ) -> ::core::result::Result<
                    (),
                    ::std::vec::Vec<$crate::validator_bindings::exports::tidemill::plugin::validator::FieldError>,
                > {
                    RULES.with(|rules| $crate::validate_command(rules, command))
                }
            }

            #[cfg(target_arch = "wasm32")]
            $crate::validator_bindings::export_validator_component!(
                Component with_types_in $crate::validator_bindings
            );
        };
    };
}
