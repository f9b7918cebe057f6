//! The file that keys are kept in.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, fchown};
use std::path::{Path, PathBuf};

use thiserror::Error;
use tokio_rustls::rustls::crypto::ring;

use crate::access::{KeyError, Keys, KeysError, Secret};
use crate::error::ErrorClass;

/// Where keys are kept. One that is not there holds none; a directory that is not there is made with the first key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeysFile(PathBuf);

/// What went wrong with a keys file.
#[derive(Debug, Error)]
pub enum KeysFileError {
    /// The system refuses it.
    #[error("keys file {path} cannot be {done}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What was to be done.
        done: &'static str,
        /// The system's words.
        #[source]
        source: io::Error,
    },
    /// What stands in it will not do.
    #[error("keys file {path}: {reason}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        reason: KeysError,
    },
    /// A key was refused.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl KeysFileError {
    /// What kind of thing went wrong.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Io { .. } => ErrorClass::Unavailable,
            Self::Content { .. } => ErrorClass::Invalid,
            Self::Key(error) => error.class(),
        }
    }
}

/// A secret of 256 random bits from the system.
///
/// # Errors
/// When the system has none to give.
pub fn new_secret() -> io::Result<Secret> {
    let mut bytes = [0; 32];
    let filled = ring::default_provider().secure_random.fill(&mut bytes);
    filled.map_err(|_| io::Error::other("the system gives no random numbers"))?;
    Ok(Secret::of_bytes(&bytes))
}

impl KeysFile {
    /// The file at a path.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The keys in it; none when there is no such file.
    ///
    /// # Errors
    /// When it cannot be read, or will not do.
    pub fn read(&self) -> Result<Option<Keys>, KeysFileError> {
        let text = match fs::read_to_string(&self.0) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.failed("read", error)),
        };
        let keys = Keys::parse(&text);
        keys.map(Some).map_err(|reason| KeysFileError::Content { path: self.0.clone(), reason })
    }

    /// Changes the keys, after whoever changes them already. The file is replaced whole. Its owner alone may read it,
    /// who is the one of the file before or of its directory, if that can be. Nothing is written if the change fails.
    ///
    /// # Errors
    /// When the file cannot be read or written, or the change fails.
    pub fn change<T, E: From<KeysFileError>>(&self, change: impl FnOnce(&mut Keys) -> Result<T, E>) -> Result<T, E> {
        let folder = match self.0.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let locked = fs::create_dir_all(folder).and_then(|()| File::open(folder)).and_then(|held| {
            held.lock()?;
            Ok(held)
        });
        let _held = locked.map_err(|error| self.failed("written", error))?;
        let mut keys = self.read()?.unwrap_or_default();
        let done = change(&mut keys)?;
        self.write(folder, &keys).map_err(|error| self.failed("written", error))?;
        Ok(done)
    }

    fn write(&self, folder: &Path, keys: &Keys) -> io::Result<()> {
        // Made with mode 0600.
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        let owner = fs::metadata(&self.0).or_else(|_| fs::metadata(folder))?;
        // Only root may: then the server can read what root has written. Others write what is their own.
        let _ = fchown(&file, Some(owner.uid()), Some(owner.gid()));
        file.write_all(keys.render().as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(&self.0)?;
        File::open(folder)?.sync_all()
    }

    fn failed(&self, done: &'static str, source: io::Error) -> KeysFileError {
        KeysFileError::Io { path: self.0.clone(), done, source }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::access::{NewKey, Scope};

    fn new(name: &str) -> NewKey {
        let name = name.parse().unwrap();
        NewKey { name, scopes: vec![Scope::Read], streams: vec![], types: vec![], created: String::new() }
    }

    #[test]
    fn keys_are_kept_for_their_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = KeysFile::at(folder.path().join("made/keys.toml"));
        assert!(file.read().unwrap().is_none());
        let add = |name| file.change(|keys| Ok::<_, KeysFileError>(keys.add(new(name), &new_secret().unwrap())?));
        add("a").unwrap();
        add("b").unwrap();
        assert_eq!(add("a").unwrap_err().class(), ErrorClass::Conflict);
        let names = |keys: &Keys| keys.iter().map(|key| key.name.to_string()).collect::<Vec<_>>();
        assert_eq!(names(&file.read().unwrap().unwrap()), ["a", "b"]);
        assert_eq!(fs::metadata(file.path()).unwrap().permissions().mode() & 0o777, 0o600);
        assert_ne!(new_secret().unwrap(), new_secret().unwrap());
        fs::write(file.path(), "[[key]]\nname = 1").unwrap();
        let told = file.read().unwrap_err().to_string();
        assert!(told.contains("keys.toml") && told.contains("line 2"), "{told}");
    }
}
