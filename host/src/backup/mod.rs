//! Backups: what a store holds at one moment, as a directory or a tar file, and what is checked when one is read.
//!
//! A backup is the files of a data directory, and last a manifest of them, `BACKUP.json`: the format, the head, and
//! name, length and SHA-256 of each file. Since it is written last, what lacks it was cut off. There are two kinds of
//! [`Source`], a [`Live`] store and an [`Archive`], and two kinds of [`Sink`], a directory and a tar; a backup and a
//! restore are a source poured into a sink ([`write()`], [`read()`]), and every file is hashed on its way, whichever it is.
//!
//! It does not decide what belongs to a moment: that is `store::embedded::Backup`. What is written goes to a temporary
//! name beside its place ([`Staged`]), is synced, and renamed when it is whole.

mod archive;
mod error;
mod folders;
mod live;
mod manifest;
mod pour;
mod restore;
mod sink;
mod staged;
#[cfg(test)]
mod tests;

pub use archive::{Archive, TarStream};
pub use error::BackupError;
pub use live::Live;
pub use manifest::{BackupManifest, FileEntry, MANIFEST_FILE};
pub use pour::{Moved, Source, Visit, read, write};
pub use restore::{Restored, restore};
pub use sink::{DirectorySink, Sink, TarSink};
pub use staged::{Destination, Staged};
