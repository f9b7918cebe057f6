//! What a crash may leave of a disk: the recorded operations replayed, and what was unsynced kept or lost.
//!
//! Files and the table of names are each a [`Layers`]: a base that is on the disk for sure, and the changes
//! above it since the last sync, in order. A sync makes the changes part of the base. A file's sync that
//! *failed* leaves them in doubt for good: they may be on the disk or not, and no later sync settles that,
//! though later changes over them may be settled.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::pages::Pages;

/// Names of the directory, and the file each stands for.
#[derive(Clone, Debug, Default)]
pub(super) struct Names(pub(super) BTreeMap<String, u64>);

/// All that a disk holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Snapshot {
    pub(super) names: Names,
    pub(super) files: BTreeMap<u64, Pages>,
}

/// One recorded operation.
#[derive(Clone, Debug)]
pub(super) enum Operation {
    /// It failed and changed nothing.
    Nothing,
    Name(NameChange),
    File(u64, FileChange),
    SyncFile(u64, Synced),
    SyncNames(Synced),
}

#[derive(Clone, Debug)]
pub(super) enum NameChange {
    Create { name: String, file: u64 },
    Remove { name: String, file: u64 },
    Rename { from: String, to: String, file: u64 },
}

#[derive(Clone, Debug)]
pub(super) enum FileChange {
    Write { offset: u64, bytes: Arc<[u8]> },
    SetLen { bytes: u64 },
}

/// What became of a sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Synced {
    Done,
    /// Answered, not done.
    Dropped,
    Failed,
}

/// What changes are made to.
pub(super) trait Base: Clone {
    type Change;

    fn apply(&mut self, change: &Self::Change);
}

impl Base for Names {
    type Change = NameChange;

    /// A change may have lost the one it builds on: it touches names only while they stand for its file.
    fn apply(&mut self, change: &NameChange) {
        match change {
            NameChange::Create { name, file } => {
                self.0.insert(name.clone(), *file);
            }
            NameChange::Remove { name, file } => self.forget(name, *file),
            NameChange::Rename { from, to, file } => {
                self.forget(from, *file);
                self.0.insert(to.clone(), *file);
            }
        }
    }
}

impl Names {
    fn forget(&mut self, name: &str, file: u64) {
        if self.0.get(name) == Some(&file) {
            self.0.remove(name);
        }
    }
}

impl Base for Pages {
    type Change = FileChange;

    fn apply(&mut self, change: &FileChange) {
        let applied = match change {
            FileChange::Write { offset, bytes } => self.write(*offset, bytes),
            FileChange::SetLen { bytes } => self.set_len(*bytes),
        };
        applied.expect("it was applied before, when it was made");
    }
}

/// Whether a change is on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Not synced yet.
    Pending,
    /// Its sync failed.
    Doubtful,
    /// Synced, above one that is doubtful.
    Settled,
}

/// A change above a base.
#[derive(Debug)]
pub(super) struct Layer<C> {
    pub(super) change: C,
    pub(super) fate: Fate,
    /// Number of the operation.
    pub(super) operation: usize,
}

/// What is on the disk for sure, and what may be.
#[derive(Debug)]
pub(super) struct Layers<B: Base> {
    pub(super) base: B,
    pub(super) above: Vec<Layer<B::Change>>,
}

impl<B: Base> Layers<B> {
    const fn new(base: B) -> Self {
        Self { base, above: Vec::new() }
    }

    fn push(&mut self, change: B::Change, operation: usize) {
        self.above.push(Layer { change, fate: Fate::Pending, operation });
    }

    fn sync(&mut self, synced: Synced) {
        let fate = match synced {
            Synced::Dropped => return,
            Synced::Done => Fate::Settled,
            Synced::Failed => Fate::Doubtful,
        };
        for layer in self.above.iter_mut().filter(|layer| layer.fate == Fate::Pending) {
            layer.fate = fate;
        }
        let settled = self.above.iter().take_while(|layer| layer.fate == Fate::Settled).count();
        for layer in self.above.drain(..settled) {
            self.base.apply(&layer.change);
        }
    }
}

/// A disk after its first so many operations; goes forward only.
#[derive(Debug)]
pub(super) struct Replay {
    pub(super) operations: usize,
    pub(super) names: Layers<Names>,
    pub(super) files: BTreeMap<u64, Layers<Pages>>,
    /// Number of the last write.
    pub(super) last_write: Option<usize>,
}

impl Replay {
    pub(super) fn new(start: &Snapshot) -> Self {
        let files = start.files.iter().map(|(file, pages)| (*file, Layers::new(pages.clone())));
        Self { operations: 0, names: Layers::new(start.names.clone()), files: files.collect(), last_write: None }
    }

    /// Replays the next operation.
    pub(super) fn advance(&mut self, operation: &Operation) {
        match operation {
            Operation::Nothing => {}
            Operation::Name(change) => {
                if let NameChange::Create { file, .. } = change {
                    self.files.insert(*file, Layers::new(Pages::default()));
                }
                self.names.push(change.clone(), self.operations);
            }
            Operation::File(file, change) => {
                if matches!(change, FileChange::Write { .. }) {
                    self.last_write = Some(self.operations);
                }
                let operation = self.operations;
                self.file(*file).push(change.clone(), operation);
            }
            Operation::SyncFile(file, synced) => self.file(*file).sync(*synced),
            // Names are no pages that the system could take for clean: the next sync settles them.
            Operation::SyncNames(Synced::Failed) => {}
            Operation::SyncNames(synced) => self.names.sync(*synced),
        }
        self.operations += 1;
    }

    fn file(&mut self, file: u64) -> &mut Layers<Pages> {
        self.files.entry(file).or_insert_with(|| Layers::new(Pages::default()))
    }
}
