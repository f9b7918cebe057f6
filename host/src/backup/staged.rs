//! Where something is made: under a temporary name beside its place, which it gets when it is whole.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempDir};

use super::sink::sync_directory;
use super::{BackupError, DirectorySink, Sink, TarSink};

/// Bytes written at once.
const WRITE_BYTES: usize = 256 << 10;

/// A place at which nothing is yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A directory to be made, or an empty one.
    Directory(PathBuf),
    /// A tar file to be made.
    Tar(PathBuf),
}

impl Destination {
    /// Where to write a backup: a tar if the name ends in `.tar`, else a directory.
    #[must_use]
    pub fn named(place: &Path) -> Self {
        let is_tar = place.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("tar"));
        if is_tar { Self::Tar(place.to_owned()) } else { Self::Directory(place.to_owned()) }
    }

    fn path(&self) -> &Path {
        let (Self::Directory(path) | Self::Tar(path)) = self;
        path
    }

    /// Checks that nothing is there.
    ///
    /// # Errors
    /// When something is.
    pub fn check(&self) -> Result<(), BackupError> {
        let path = self.path();
        let occupied = |what| Err(BackupError::Occupied { place: path.display().to_string(), what });
        match (fs::symlink_metadata(path), self) {
            (Err(error), _) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            (Err(error), _) => Err(BackupError::reading(path)(error)),
            (Ok(_), Self::Tar(_)) => occupied("is there already"),
            (Ok(data), Self::Directory(_)) if !data.is_dir() => occupied("is there already, and not a directory"),
            (Ok(_), Self::Directory(_)) => match fs::read_dir(path).map_err(BackupError::reading(path))?.next() {
                None => Ok(()),
                Some(_) => occupied("is not empty"),
            },
        }
    }

    /// Begins to make it.
    ///
    /// # Errors
    /// When something is there, or the directory around it cannot be written.
    pub fn stage(&self) -> Result<Staged, BackupError> {
        self.check()?;
        let path = self.path();
        let around = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        fs::create_dir_all(around).map_err(BackupError::writing(around))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let prefix = format!(".{name}.");
        let mut builder = tempfile::Builder::new();
        builder.prefix(&prefix).suffix(".partial");
        let making = match self {
            Self::Directory(_) => builder.tempdir_in(around).map(Making::Directory),
            Self::Tar(_) => builder.tempfile_in(around).map(Making::Tar),
        };
        let making = making.map_err(BackupError::writing(around))?;
        Ok(Staged { making, place: path.to_owned(), around: around.to_owned() })
    }
}

/// Something that is being made. Dropped before [`Self::keep`] it leaves nothing; a kill leaves what begins with a dot
/// and ends with `.partial`.
#[derive(Debug)]
pub struct Staged {
    making: Making,
    place: PathBuf,
    around: PathBuf,
}

#[derive(Debug)]
enum Making {
    Directory(TempDir),
    Tar(NamedTempFile),
}

impl Staged {
    /// Where it is made.
    #[must_use]
    pub fn path(&self) -> &Path {
        match &self.making {
            Making::Directory(directory) => directory.path(),
            Making::Tar(file) => file.path(),
        }
    }

    /// Lets `fill` put files into it, all of which last then.
    ///
    /// # Errors
    /// What `fill` answers, or when they cannot be synced.
    pub fn fill<T>(&self, fill: impl FnOnce(&mut dyn Sink) -> Result<T, BackupError>) -> Result<T, BackupError> {
        match &self.making {
            Making::Directory(directory) => fill(&mut DirectorySink::new(directory.path())),
            Making::Tar(file) => {
                let mut out = BufWriter::with_capacity(WRITE_BYTES, file.as_file());
                let place = self.place.display().to_string();
                let filled = fill(&mut TarSink::new(&mut out, place))?;
                let synced = out.flush().and_then(|()| File::sync_all(file.as_file()));
                synced.map_err(BackupError::writing(&self.place))?;
                Ok(filled)
            }
        }
    }

    /// Gives it its name.
    ///
    /// # Errors
    /// When something is there by now, or it cannot be renamed. Nothing of it is left then.
    pub fn keep(self) -> Result<(), BackupError> {
        let Self { making, place, around } = self;
        let failed = BackupError::writing(&place);
        match making {
            // Only an empty directory gives way.
            Making::Directory(directory) => {
                fs::rename(directory.path(), &place).map_err(&failed)?;
                let _ = directory.keep();
            }
            Making::Tar(file) => {
                file.persist_noclobber(&place).map_err(|error| failed(error.error))?;
            }
        }
        sync_directory(&around).map_err(BackupError::writing(&around))
    }
}
