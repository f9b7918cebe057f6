//! Where files are put: a directory, or a tar.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};

use super::BackupError;

/// Takes files, one after the other.
pub trait Sink {
    /// Puts a file of so many bytes.
    ///
    /// # Errors
    /// When it cannot be written, or `content` cannot be read.
    fn put(&mut self, name: &str, bytes: u64, content: &mut dyn Read) -> Result<(), BackupError>;

    /// Sees to it that all of it lasts.
    ///
    /// # Errors
    /// When that fails.
    fn finish(&mut self) -> Result<(), BackupError>;
}

/// Puts files below a directory that is there, and synced one by one.
#[derive(Debug)]
pub struct DirectorySink {
    root: PathBuf,
    folders: BTreeSet<PathBuf>,
}

impl DirectorySink {
    /// Puts files below `root`.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), folders: BTreeSet::from([root.to_owned()]) }
    }

    /// Makes the folders that lead to a file.
    fn make_way(&mut self, path: &Path) -> Result<(), BackupError> {
        for folder in path.ancestors().skip(1).take_while(|folder| *folder != self.root) {
            self.folders.insert(folder.to_owned());
        }
        let folder = path.parent().unwrap_or(&self.root);
        fs::create_dir_all(folder).map_err(BackupError::writing(folder))
    }
}

impl Sink for DirectorySink {
    fn put(&mut self, name: &str, _: u64, content: &mut dyn Read) -> Result<(), BackupError> {
        let plain = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
        if name.is_empty() || !plain {
            let reason = "its name leads out of the backup".to_owned();
            return Err(BackupError::WriteFailed { what: format!("{name:?}"), reason });
        }
        let path = self.root.join(name);
        self.make_way(&path)?;
        let written = File::create_new(&path).and_then(|mut file| {
            io::copy(content, &mut file)?;
            file.sync_all()
        });
        written.map_err(BackupError::writing(&path))
    }

    fn finish(&mut self) -> Result<(), BackupError> {
        self.folders.iter().rev().try_for_each(|folder| sync_directory(folder).map_err(BackupError::writing(folder)))
    }
}

/// Makes the entries of a directory last.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
}

/// Writes a tar, in the format of GNU, which files above 8 GiB need.
pub struct TarSink<W: Write> {
    tar: tar::Builder<W>,
    /// For messages.
    place: String,
}

impl<W: Write> std::fmt::Debug for TarSink<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TarSink").field("place", &self.place).finish_non_exhaustive()
    }
}

impl<W: Write> TarSink<W> {
    /// Writes to `out`, which is `place` in messages.
    pub fn new(out: W, place: String) -> Self {
        Self { tar: tar::Builder::new(out), place }
    }

    /// What is written to.
    pub fn get_ref(&self) -> &W {
        self.tar.get_ref()
    }
}

impl<W: Write> Sink for TarSink<W> {
    fn put(&mut self, name: &str, bytes: u64, content: &mut dyn Read) -> Result<(), BackupError> {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes);
        header.set_mode(0o600);
        header.set_entry_type(tar::EntryType::Regular);
        let put = self.tar.append_data(&mut header, name, content);
        put.map_err(|error| BackupError::WriteFailed { what: self.place.clone(), reason: error.to_string() })
    }

    fn finish(&mut self) -> Result<(), BackupError> {
        let finished = self.tar.finish().and_then(|()| self.tar.get_mut().flush());
        finished.map_err(|error| BackupError::WriteFailed { what: self.place.clone(), reason: error.to_string() })
    }
}
