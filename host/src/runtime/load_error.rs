//! Why a component is not loaded.

use thiserror::Error;

use crate::delivery::Fault;
use crate::error::ErrorClass;

/// Why a component is not loaded. Nothing of it stays; whatever ran before goes on.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LoadError {
    /// The file is too large to compile.
    #[error("the component has {bytes} bytes; at most {bytes_max} are compiled: strip it, or build it for release")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The bound.
        bytes_max: usize,
    },
    /// The bytes are not WebAssembly.
    #[error("not WebAssembly: it begins with {found}, a binary component with \"\\0asm\"; is the file complete?")]
    NotWasm {
        /// The first bytes.
        found: String,
    },
    /// The file is a core module.
    #[error(
        "a core module, not a component: build for the target wasm32-wasip2, or wrap it with \
         `wasm-tools component new`"
    )]
    CoreModule,
    /// The bytes do not make a valid component.
    #[error(
        "not a valid component: {reason}; the file is damaged or cut short, or it needs a WebAssembly feature that \
         is off here (threads, memory64, gc, exceptions, component-model async)"
    )]
    Invalid {
        /// What the compiler found.
        reason: String,
    },
    /// Compiling it takes more than it may.
    #[error("compiling it was stopped: {reason}; make it smaller, split its largest functions, or strip it")]
    CompileLimit {
        /// What it took too much of.
        reason: String,
    },
    /// It imports what the host does not have.
    #[error("it imports {import}, which the host does not offer; there is {offered}")]
    MissingImport {
        /// The import's name.
        import: String,
        /// What it could import.
        offered: String,
    },
    /// It imports a function that the interface does not have.
    #[error("it imports function {function:?} of {interface}, which the host does not offer; there is {offered}")]
    MissingFunction {
        /// The interface's name.
        interface: String,
        /// The function's name.
        function: String,
        /// The interface's functions.
        offered: String,
    },
    /// It imports HTTP, and its plugin is granted none.
    #[error(
        "it imports {import}, and is granted no HTTP; to allow it, write in its manifest what it may reach, such as \
         [grants] http = [\"https://api.example.com/v1/\"]"
    )]
    HttpNotGranted {
        /// The import's name.
        import: String,
    },
    /// It imports sockets.
    #[error("it imports {import}: plugins have no network but granted HTTP; build it without sockets, with wasi:http")]
    NotGranted {
        /// The import's name.
        import: String,
    },
    /// It imports something under the right name with another type.
    #[error("an import has another type than the host's: {reason}; build it against the host's wit/ files")]
    MismatchedImport {
        /// Which, and what differs.
        reason: String,
    },
    /// It decides commands, and imports something by which it could act.
    #[error(
        "it decides commands and imports {import}: what it decides must follow from events and command alone; build it \
         for the world `aggregate-plugin`"
    )]
    NotPure {
        /// The import's name.
        import: String,
    },
    /// It exports two roles of which a component can play one.
    #[error("it exports both {one} and {other}; build a component for each")]
    TwoRoles {
        /// One of them.
        one: String,
        /// The other.
        other: String,
    },
    /// It exports nothing that makes it a plugin.
    #[error(
        "it exports {exports}, none of which makes it a plugin; a subscriber exports tidemill:plugin/subscriber@0.1.0 \
         or tidemill:plugin/bulk-subscriber@0.1.0, what decides commands exports tidemill:plugin/aggregate@0.1.0"
    )]
    NoRole {
        /// What it exports.
        exports: String,
    },
    /// It exports something under the right name with another type.
    #[error(
        "its export {export} has another type than the contract's: {reason}; build it against the host's wit/ files"
    )]
    MismatchedExport {
        /// The export's name.
        export: String,
        /// What differs.
        reason: String,
    },
    /// It failed when it was tried: while starting, or in `describe`.
    #[error("it failed when it was tried ({stage}): {}: {reason}", .fault.as_str())]
    Trial {
        /// What it was doing: `start` or `describe`.
        stage: &'static str,
        /// How it failed.
        fault: Fault,
        /// Why.
        reason: String,
    },
    /// The engine failed. Not the component's fault, whatever is in it.
    #[error("the engine failed on it: {reason}; please report this, with the component")]
    Engine {
        /// What it said.
        reason: String,
    },
}

impl LoadError {
    /// What kind of thing went wrong.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::TooLarge { .. }
            | Self::NotWasm { .. }
            | Self::CoreModule
            | Self::Invalid { .. }
            | Self::CompileLimit { .. }
            | Self::MissingImport { .. }
            | Self::MissingFunction { .. }
            | Self::MismatchedImport { .. }
            | Self::NotPure { .. }
            | Self::TwoRoles { .. }
            | Self::NoRole { .. }
            | Self::MismatchedExport { .. }
            | Self::Trial { .. } => ErrorClass::Invalid,
            Self::NotGranted { .. } | Self::HttpNotGranted { .. } => ErrorClass::Denied,
            Self::Engine { .. } => ErrorClass::Bug,
        }
    }
}
