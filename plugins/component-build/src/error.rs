//! Why guests could not be built.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

use crate::TARGET;

/// Why guests could not be built; the text says what to do.
#[derive(Debug)]
pub enum BuildError {
    /// Cargo sets this variable for build scripts; it is not there.
    NotABuildScript {
        /// The variable.
        variable: &'static str,
    },
    /// No `Cargo.toml` with a `[workspace]` above the calling package.
    NoWorkspace {
        /// Where the search began.
        from: PathBuf,
    },
    /// `OUT_DIR` does not lie in a cargo target directory.
    NoTargetDirectory {
        /// The value of `OUT_DIR`.
        out_dir: PathBuf,
    },
    /// The compiler has no standard library for the guests' target.
    TargetMissing {
        /// Where it would be.
        library: PathBuf,
    },
    /// The inner cargo failed; its own messages came before.
    Cargo {
        /// How it ended.
        status: ExitStatus,
    },
    /// Cargo succeeded, but a component is not where it should be.
    ComponentMissing {
        /// The component's name.
        name: String,
        /// Where it should be.
        path: PathBuf,
    },
    /// A file or program could not be used.
    Io {
        /// What was being done.
        doing: &'static str,
        /// To which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl BuildError {
    pub(crate) fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { doing, path, source }
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotABuildScript { variable } => {
                write!(f, "{variable} is not set; component-build works only in a build script that cargo runs")
            }
            Self::NoWorkspace { from } => {
                write!(f, "no Cargo.toml with [workspace] in {} or above it", from.display())
            }
            Self::NoTargetDirectory { out_dir } => {
                write!(f, "cannot tell the target directory from OUT_DIR {}", out_dir.display())
            }
            Self::TargetMissing { library } => write!(
                f,
                "plugins are compiled for {TARGET}, which is not installed (no {}): run `rustup target add {TARGET}`",
                library.display()
            ),
            Self::Cargo { status } => {
                write!(f, "building the plugins for {TARGET} failed ({status}); the compiler's messages are above")
            }
            Self::ComponentMissing { name, path } => write!(
                f,
                "component `{name}` was not built as {}: its target needs `crate-type = [\"cdylib\"]`",
                path.display()
            ),
            Self::Io { doing, path, .. } => write!(f, "{doing} {} failed", path.display()),
        }
    }
}

impl Error for BuildError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
