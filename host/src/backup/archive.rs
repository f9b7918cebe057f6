//! A backup that was written, as a source of files.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use super::manifest::MANIFEST_FILE;
use super::pour::{Source, Visit};
use super::{BackupError, BackupManifest};

/// Bytes read at once.
const READ_BYTES: usize = 256 << 10;

/// A backup on disk.
#[derive(Debug)]
pub enum Archive {
    /// A directory.
    Directory(PathBuf),
    /// A tar file.
    Tar(TarStream<BufReader<File>>),
}

impl Archive {
    /// Opens the backup at a place.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn open(place: &Path) -> Result<Self, BackupError> {
        let data = fs::metadata(place).map_err(BackupError::reading(place))?;
        if data.is_dir() {
            return Ok(Self::Directory(place.to_owned()));
        }
        let file = File::open(place).map_err(BackupError::reading(place))?;
        Ok(Self::Tar(TarStream::new(BufReader::with_capacity(READ_BYTES, file), place.display().to_string())))
    }
}

impl Source for Archive {
    fn each(&mut self, visit: &mut Visit<'_>) -> Result<(), BackupError> {
        match self {
            Self::Directory(root) => each_of_directory(root, visit),
            Self::Tar(tar) => tar.each(visit),
        }
    }

    fn place(&self) -> String {
        match self {
            Self::Directory(root) => root.display().to_string(),
            Self::Tar(tar) => tar.place(),
        }
    }
}

/// Hands over what the manifest names, and then that. What else is in the directory is passed over.
fn each_of_directory(root: &Path, visit: &mut Visit<'_>) -> Result<(), BackupError> {
    let place = root.display().to_string();
    let text = match fs::read(root.join(MANIFEST_FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let reason = format!("there is no {MANIFEST_FILE} in it, the last file of a whole one");
            return Err(BackupError::NotABackup { place, reason });
        }
        read => read.map_err(BackupError::reading(&root.join(MANIFEST_FILE)))?,
    };
    for entry in &BackupManifest::decode(&text, &place)?.files {
        let path = root.join(&entry.name);
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let (file, reason) = (entry.name.clone(), "it is missing".to_owned());
                return Err(BackupError::Changed { place, file, reason });
            }
            opened => opened.map_err(BackupError::reading(&path))?,
        };
        let bytes = file.metadata().map_err(BackupError::reading(&path))?.len();
        visit(&entry.name, bytes, &mut file.take(bytes))?;
    }
    visit(MANIFEST_FILE, text.len() as u64, &mut text.as_slice())
}

/// A backup that comes as a tar.
pub struct TarStream<R: Read> {
    tar: tar::Archive<R>,
    place: String,
}

impl<R: Read> std::fmt::Debug for TarStream<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TarStream").field("place", &self.place).finish_non_exhaustive()
    }
}

impl<R: Read> TarStream<R> {
    /// Reads from `input`, which is `place` in messages.
    pub fn new(input: R, place: String) -> Self {
        Self { tar: tar::Archive::new(input), place }
    }
}

impl<R: Read> Source for TarStream<R> {
    fn each(&mut self, visit: &mut Visit<'_>) -> Result<(), BackupError> {
        let place = self.place.clone();
        let mut begun = false;
        // The first bytes tell whether it is a tar at all; what goes wrong later is damage.
        let failed = |error: io::Error, begun: bool| match error.kind() {
            _ if !begun => BackupError::NotABackup { place: place.clone(), reason: error.to_string() },
            _ if error.raw_os_error().is_some() => {
                BackupError::ReadFailed { what: place.clone(), reason: error.to_string() }
            }
            // What follows a file is neither another nor the end.
            _ => BackupError::CutOff { place: place.clone(), reason: error.to_string() },
        };
        for entry in self.tar.entries().map_err(|error| failed(error, false))? {
            let mut entry = entry.map_err(|error| failed(error, begun))?;
            begun = true;
            let name = entry.path().map_err(|error| failed(error, true))?.to_string_lossy().into_owned();
            let bytes = entry.size();
            if entry.header().entry_type() != tar::EntryType::Regular {
                let reason = "it is not a plain file".to_owned();
                return Err(BackupError::Changed { place: place.clone(), file: name, reason });
            }
            visit(&name, bytes, &mut entry)?;
        }
        Ok(())
    }

    fn place(&self) -> String {
        self.place.clone()
    }
}
