//! A store in use, as a source of files.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;

use super::BackupError;
use super::folders::{self, Found};
use super::pour::{Source, Visit};
use crate::store::StoreError;
use crate::store::embedded::{Backup, EmbeddedStore};

/// What a store holds now, and what stands beside it in folders of its data directory.
#[derive(Debug)]
pub struct Live {
    backup: Backup,
    folders: Vec<Found>,
    directory: Option<PathBuf>,
}

impl Live {
    /// Takes hold of what a store is now. Blocks as [`EmbeddedStore::backup`] does.
    ///
    /// # Errors
    /// When the disk fails, or has no room for a copy of the plugins' state.
    pub fn of(store: Arc<EmbeddedStore>) -> Result<Self, StoreError> {
        let directory = store.directory().map(ToOwned::to_owned);
        let backup = store.backup()?;
        let listed = directory.as_deref().map_or(Ok(Vec::new()), folders::list);
        let folders = listed
            .map_err(|error| StoreError::ReadFailed { reason: format!("folders of the data directory: {error}") })?;
        Ok(Self { backup, folders, directory })
    }

    /// Position of the last event in it.
    #[must_use]
    pub const fn head(&self) -> u64 {
        self.backup.head().0
    }

    /// Bytes that are still to be handed over.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.backup.bytes() + self.folders.iter().map(|found| found.bytes).sum::<u64>()
    }
}

impl Source for Live {
    fn each(&mut self, visit: &mut Visit<'_>) -> Result<(), BackupError> {
        while let Some(mut file) = self.backup.next_file()? {
            let (name, bytes) = (file.name().to_owned(), file.length());
            visit(&name, bytes, &mut file)?;
        }
        for Found { name, path, .. } in self.folders.drain(..) {
            // Files of plugins come and go.
            let file = match File::open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => opened.map_err(BackupError::reading(&path))?,
            };
            let bytes = file.metadata().map_err(BackupError::reading(&path))?.len();
            visit(&name, bytes, &mut file.take(bytes))?;
        }
        Ok(())
    }

    fn place(&self) -> String {
        self.directory.as_ref().map_or_else(|| "the store".to_owned(), |path| path.display().to_string())
    }
}
