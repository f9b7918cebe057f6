//! `tidemill.toml`: where it stands, and what it says.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::setting::Setting;
use crate::document::{Document, DocumentError, Known};
use crate::error::ErrorClass;

/// The file's name in a data directory.
pub const CONFIG_NAME: &str = "tidemill.toml";
/// The file that is read when the data directory has none.
pub const SYSTEM_CONFIG: &str = "/etc/tidemill/tidemill.toml";
/// Largest file, in bytes: far more than all settings take.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Why the file is not taken.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file that was asked for is not there.
    #[error("there is no file {}; --config (TIDEMILL_CONFIG) names it", .file.display())]
    Missing {
        /// The file.
        file: PathBuf,
    },
    /// Nobody says where profiles would be.
    #[error("profiles stand below $XDG_CONFIG_HOME or $HOME, and neither is set; use --server")]
    Homeless,
    /// There are no profiles.
    #[error("there is no file {}; write it, with a table for each profile, such as [prod] and server = \"http://…\"", .file.display())]
    NoProfiles {
        /// The file that would have them.
        file: PathBuf,
    },
    /// There are others.
    #[error("{}: {reason}", .file.display())]
    UnknownProfile {
        /// The file that has the others.
        file: PathBuf,
        /// The nearest of them, or all.
        reason: String,
    },
    /// It is there, and cannot be read.
    #[error("{} cannot be read as settings", .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// The system's words.
        #[source]
        source: io::Error,
    },
    /// It says something that it may not say.
    #[error(transparent)]
    Document(#[from] DocumentError),
}

impl ConfigError {
    /// What kind of thing went wrong.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::Missing { .. } | Self::Homeless | Self::NoProfiles { .. } | Self::UnknownProfile { .. } => {
                ErrorClass::NotFound
            }
            Self::Unreadable { .. } => ErrorClass::Unavailable,
            Self::Document(error) => error.class(),
        }
    }
}

/// What a file says of one setting.
#[derive(Clone, Debug)]
pub(super) struct Said {
    /// What clap knows the setting by.
    pub(super) id: String,
    /// What its flag would be given.
    pub(super) texts: Vec<OsString>,
    /// Line, from 1.
    pub(super) line: usize,
}

/// The file to read, with its text: the one asked for, else that of the data directory, else the system's.
pub(super) fn find(asked: Option<&Path>, data: &Path) -> Result<Option<(PathBuf, String)>, ConfigError> {
    if let Some(file) = asked {
        let text = text_of(file)?.ok_or_else(|| ConfigError::Missing { file: file.to_owned() })?;
        return Ok(Some((file.to_owned(), text)));
    }
    for file in [data.join(CONFIG_NAME), PathBuf::from(SYSTEM_CONFIG)] {
        if let Some(text) = text_of(&file)? {
            return Ok(Some((file, text)));
        }
    }
    Ok(None)
}

/// The text of a file; none when it is not there.
pub(super) fn text_of(file: &Path) -> Result<Option<String>, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { file: file.to_owned(), source };
    let opened = match File::open(file) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        opened => opened.map_err(unreadable)?,
    };
    let mut text = String::new();
    opened.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        let words = format!("it has more than {FILE_BYTES_MAX} bytes, which no settings need");
        return Err(unreadable(io::Error::new(io::ErrorKind::FileTooLarge, words)));
    }
    Ok(Some(text))
}

/// Reads what a file says. One that was found in the data directory `own` cannot name another.
pub(super) fn read(
    file: &Path,
    text: &str,
    settings: &[Setting],
    own: Option<&Path>,
) -> Result<Vec<Said>, ConfigError> {
    let name = file.display().to_string();
    let keys: Vec<&str> = settings.iter().map(Setting::key).collect();
    let (document, table) = Document::parse(&name, text, &[])?;
    let root = document.root(table.get_ref(), &Known::table("", &keys, &[]))?;
    let folder = file.parent().unwrap_or(Path::new(""));
    let mut said = Vec::new();
    for setting in settings {
        let Some(value) = root.get(setting.key()) else { continue };
        if own.is_some() && setting.key() == "data" {
            return Err(value
                .bad("nothing here: this file was found in the data directory; give --data instead")
                .into());
        }
        let texts = setting.texts(&value, folder)?.into_iter().map(OsString::from).collect();
        said.push(Said { id: setting.id().to_owned(), texts, line: value.line() });
    }
    Ok(said)
}
