//! Reading all layers again while the server runs: what has changed, and what of it counts at once.

use std::ffi::OsString;
use std::fmt;

use super::ServeOptions;
use super::layers::{Effective, Layers};

/// What was read again.
#[derive(Debug)]
pub struct Reread {
    /// The settings as the server takes them.
    pub options: ServeOptions,
    /// How much to log.
    pub log: String,
    /// The settings with their origins.
    pub layers: Layers,
}

/// Reads the layers from the program's arguments, or says what is wrong with them.
pub type ReadLayers = fn(&[OsString]) -> Result<Reread, String>;

/// A setting that has another value than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its name in the file.
    pub key: String,
    /// What it was, for people.
    pub from: String,
    /// What it is.
    pub to: String,
    /// Whether it counts at once; else it waits for a restart.
    pub is_reloaded: bool,
}

/// What is needed to read the layers again.
#[derive(Clone)]
pub struct Reload {
    arguments: Vec<OsString>,
    read: ReadLayers,
    /// What the server runs on: at the start, and what has been reloaded since.
    running: Vec<Effective>,
}

impl fmt::Debug for Reload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reload").field("settings", &self.running.len()).finish_non_exhaustive()
    }
}

impl Reload {
    /// For a server that was started with these arguments and runs on these settings.
    #[must_use]
    pub fn new(arguments: Vec<OsString>, read: ReadLayers, running: &Layers) -> Self {
        Self { arguments, read, running: running.settings.clone() }
    }

    /// Reads all layers. What waits for a restart is told each time, until it runs or is taken back.
    ///
    /// # Errors
    /// What is wrong with the file; nothing has changed then.
    pub fn again(&mut self) -> Result<(Reread, Vec<Change>), String> {
        let reread = (self.read)(&self.arguments)?;
        let mut changes = Vec::new();
        for (running, wanted) in self.running.iter_mut().zip(&reread.layers.settings) {
            if running.texts == wanted.texts {
                continue;
            }
            let is_reloaded = wanted.setting.is_reloaded();
            let key = wanted.setting.key().to_owned();
            changes.push(Change { key, from: running.shown(), to: wanted.shown(), is_reloaded });
            if is_reloaded {
                running.clone_from(wanted);
            }
        }
        Ok((reread, changes))
    }
}
