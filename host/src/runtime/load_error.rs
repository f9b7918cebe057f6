//! Why a component is not loaded.

use thiserror::Error;

use super::contract::{PACKAGE_VERSION, UPCASTER, VALIDATOR};
use super::fault::Failed;
use super::mismatch;
use crate::delivery::Fault;
use crate::document::grant;
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
    #[error("it imports {import}, which the host does not offer; {advice}")]
    MissingImport {
        /// The import's name.
        import: String,
        /// What it could be, what there is, what to do.
        advice: String,
    },
    /// It imports a function that the interface does not have.
    #[error("it imports function {function:?} of {interface}, which the host does not offer; {advice}")]
    MissingFunction {
        /// The interface's name.
        interface: String,
        /// The function's name.
        function: String,
        /// What it could be, what there is, what to do.
        advice: String,
    },
    /// It imports HTTP, and its plugin is granted none.
    #[error(
        "it imports {import}, and is granted no HTTP; to allow it, write in its manifest what it may reach, such as {}",
        grant("http", ["https://api.example.com/v1/"])
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
    #[error(
        "an import has another type than the host's: {reason}; build it against tidemill:plugin@{PACKAGE_VERSION}, \
         whose wit/ and SDK `tidemill new` writes"
    )]
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
    #[error("it exports both {one} and {other}, two roles of which a component plays one; build a component for each")]
    TwoRoles {
        /// One of them.
        one: String,
        /// The other.
        other: String,
    },
    /// It exports nothing that makes it a plugin.
    #[error("it exports {exports}, which makes it no plugin: {advice}")]
    NoRole {
        /// What it exports.
        exports: String,
        /// What it may be instead, and what makes a plugin.
        advice: String,
    },
    /// It uses an interface that is outside the promise of the contract.
    #[error(
        "it uses {interface}, which is unstable: it may change or go in any version of the host; to run it all the \
         same, write unstable = ['{interface}'] at the beginning of its manifest"
    )]
    Unstable {
        /// The interface's name.
        interface: String,
    },
    /// It uses an interface that is outside that promise, and that this host does not have.
    #[error(
        "it uses {interface}, an unstable interface that this host does not have; {there_is}: build it without, or run \
         the version of the host that it was built for"
    )]
    NoUnstable {
        /// The interface's name.
        interface: String,
        /// What there is instead.
        there_is: String,
    },
    /// It lifts events, and lies where plugins do.
    #[error(
        "it exports {export}, so it lifts events for all: put it into the folder `upcasters` of the plugins directory"
    )]
    Misplaced {
        /// The export.
        export: String,
    },
    /// It lies among upcasters, and could act.
    #[error(
        "it imports {import}: what an upcaster makes of an event follows from that event alone; build it for the world upcaster-plugin"
    )]
    Impure {
        /// The import's name.
        import: String,
    },
    /// It lies among upcasters, and is none.
    #[error("it exports {exports}, which makes no upcaster: {advice}")]
    NoUpcaster {
        /// What it exports.
        exports: String,
        /// What it may be instead, and what makes one.
        advice: String,
    },
    /// It holds commands against rules, and lies where plugins do.
    #[error(
        "it exports {export}, so it holds commands against rules: put it into the folder `validators` of the plugins \
         directory"
    )]
    MisplacedValidator {
        /// The export.
        export: String,
    },
    /// It lies among validators, and could act.
    #[error(
        "it imports {import}: what a validator says of a command follows from that command and its configuration alone; \
         build it for the world `validator-plugin`"
    )]
    ImpureValidator {
        /// The import's name.
        import: String,
    },
    /// It lies among validators, and is none.
    #[error("it exports {exports}, which makes no validator: {advice}")]
    NoValidator {
        /// What it exports.
        exports: String,
        /// What it may be instead, and what makes one.
        advice: String,
    },
    /// It exports something under the right name with another type.
    #[error(
        "its export {export} has another type than the contract's: {reason}; build it against \
         tidemill:plugin@{PACKAGE_VERSION}, whose wit/ and SDK `tidemill new` writes"
    )]
    MismatchedExport {
        /// The export's name.
        export: String,
        /// What differs.
        reason: String,
    },
    /// It failed when it was tried: while starting, or in a function that is called then.
    #[error("it failed when it was tried ({stage}): {}: {reason}", .fault.as_str())]
    Trial {
        /// What it was doing: `start`, or the function, such as `describe`.
        stage: &'static str,
        /// How it failed.
        fault: Fault,
        /// Why, and where to look.
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
    /// Nothing of what it exports makes it a plugin.
    pub(super) fn no_role(exports: &[String]) -> Self {
        Self::NoRole { exports: listed(exports), advice: mismatch::no_role(exports) }
    }

    /// Nothing of what it exports makes it an upcaster.
    pub(crate) fn no_upcaster(exports: &[String]) -> Self {
        Self::NoUpcaster { exports: listed(exports), advice: mismatch::not_among(UPCASTER, exports) }
    }

    /// Nothing of what it exports makes it a validator.
    pub(crate) fn no_validator(exports: &[String]) -> Self {
        Self::NoValidator { exports: listed(exports), advice: mismatch::not_among(VALIDATOR, exports) }
    }

    /// It failed at a stage of its trial.
    pub(super) fn trial(stage: &'static str, failed: &Failed) -> Self {
        let reason = match failed.fault {
            Fault::Trap => format!("{}; {}", failed.told(), where_to_look(stage, &failed.evidence.stderr_tail)),
            _ => failed.told(),
        };
        Self::Trial { stage, fault: failed.fault, reason }
    }

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
            | Self::NoUnstable { .. }
            | Self::Misplaced { .. }
            | Self::Impure { .. }
            | Self::NoUpcaster { .. }
            | Self::MisplacedValidator { .. }
            | Self::ImpureValidator { .. }
            | Self::NoValidator { .. }
            | Self::MismatchedExport { .. }
            | Self::Trial { .. } => ErrorClass::Invalid,
            Self::NotGranted { .. } | Self::HttpNotGranted { .. } | Self::Unstable { .. } => ErrorClass::Denied,
            Self::Engine { .. } => ErrorClass::Bug,
        }
    }
}

/// What a trap at a stage is in an author's words; `said` is what it wrote to stderr.
fn where_to_look(stage: &str, said: &str) -> String {
    let ended = match stage {
        "start" => "it panicked, aborted or exited as it started, before its first call".to_owned(),
        function => format!("its `{function}` panicked, aborted or exited"),
    };
    if said.trim().is_empty() {
        format!("{ended}, and wrote nothing to stderr: have it write there what fails")
    } else {
        ended
    }
}

/// The names of exports, for people.
fn listed(exports: &[String]) -> String {
    if exports.is_empty() { "nothing".to_owned() } else { exports.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::Evidence;

    #[test]
    fn a_trap_in_the_trial_is_told_in_the_words_of_an_author() {
        let told = |stage, fault, said: &str| {
            let evidence = Evidence { stderr_tail: said.into(), ..Evidence::default() };
            LoadError::trial(stage, &Failed { fault, reason: "unreachable".into(), evidence }).to_string()
        };
        let described = told("describe", Fault::Trap, "");
        let words = "(describe): trap: unreachable; its `describe` panicked, aborted or exited, and wrote nothing";
        assert!(described.contains(words), "{described}");
        let started = told("start", Fault::Trap, "Traceback:\nKeyError: 'a'\n");
        let words = "unreachable; it said: KeyError: 'a'; it panicked, aborted or exited as it started";
        assert!(started.contains(words) && !started.contains("nothing"), "{started}");
        // Its reason holds those words already.
        let panicked = told("lifts", Fault::Trap, "panicked at a.rs:1:1:\nno\nnote: run with `RUST_BACKTRACE=1`");
        assert!(
            !panicked.contains("it said") && panicked.ends_with("its `lifts` panicked, aborted or exited"),
            "{panicked}"
        );
        assert!(!told("start", Fault::Deadline, "").contains("panicked"));
    }
}
