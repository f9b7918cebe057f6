//! The book, as a test reads it: what stands on its pages, and running that.
//!
//! Owns how samples are marked ([`Page`]), a reader's shell ([`Session`]) and what counts as the same output
//! ([`differs`]). It does not know which pages there are; `tests/tests/book.rs` does.
//!
//! A page is read from top to bottom, as by somebody who does what it says, in one folder:
//!
//! | fence | is |
//! |---|---|
//! | `console` | commands after `$ `, each with what it prints below it; `…` stands for any text, alone on a line for any lines |
//! | `LANGUAGE file=PATH` | a file to be written, in the folder that the commands have gone to |
//! | `LANGUAGE append=PATH` | what comes at the end of that file |
//! | `toml manifest` | part of a manifest, which has to be understood |
//! | `sh install` | what is installed once; not run, but held to what the SDKs say |
//! | `text` | neither |
//!
//! What no page is followed for, such as code of a README, stands under its language alone; in the book itself that is a fault.
//!
//! A command whose output is not shown has to succeed. It fails when a line that begins with `error` is shown, and only then.

mod compare;
mod page;
mod session;

pub use compare::differs;
pub use page::{Exchange, Page, Sample, Shown};
pub use session::Session;
