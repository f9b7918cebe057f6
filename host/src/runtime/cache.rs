//! Compiled artefacts on disk, so that a restart does not compile again, and shares them with the page cache.
//!
//! *`<component SHA-256>-<engine compatibility>.cwasm` -> artefact (format 2); written after a compile;
//! mapped at load; grows with each component version and engine release; trimmed to the newest
//! [`ENTRIES_MAX`] by the writer.*
//!
//! An entry is the artefact, which is an ELF file, then the SHA-256 of the entry's key and artefact, then `MAGIC`:
//! what reads ELF does not look behind the sections. The engine takes a damaged artefact without complaint, so none
//! is mapped unless the hash fits, and the key is in the hash so that a renamed entry does not pass for another. This
//! is not protection against somebody who can write in the directory: it is the host's own, mode 0700.
//!
//! An entry that is mapped must not change. So none is ever written in place: a new one is written beside and moved
//! there, and trimming removes names; what is mapped of the old file stays until the last component of it goes.

use std::fs::{self, DirBuilder, File};
use std::hash::{Hash, Hasher};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};
use wasmtime::component::Component;
use xxhash_rust::xxh3::Xxh3Default;

/// Last bytes of an entry; the last of them is the format.
const MAGIC: &[u8; 8] = b"TMCWASM\x02";
/// Bytes of a SHA-256.
const HASH_BYTES: usize = 32;
/// Bytes behind the artefact.
const TRAILER_BYTES: usize = HASH_BYTES + MAGIC.len();
/// Bytes of an entry that are hashed at a time.
const READ_BYTES: usize = 64 << 10;
/// Entries kept.
const ENTRIES_MAX: usize = 256;
/// How the names of entries begin that are being written.
const UNFINISHED_PREFIX: &str = ".tmp";
/// How old one is when nobody writes it any more: its writer was killed. Younger ones may be those of another process
/// that uses the directory; an entry is written in seconds, so an hour is far beyond that.
const UNFINISHED_AGE_MAX: Duration = Duration::from_secs(60 * 60);

/// A directory of compiled artefacts.
#[derive(Debug)]
pub(super) struct Cache {
    dir: PathBuf,
    compatibility: String,
}

impl Cache {
    /// Opens the directory, and makes it if it is not there. Removes what writers that were killed have left in it.
    pub(super) fn open(dir: PathBuf, engine: &wasmtime::Engine) -> io::Result<Self> {
        let mut builder = DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.recursive(true).create(&dir)?;
        let mut hasher = Xxh3Default::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        for left in left_unfinished(&dir)? {
            // Another process may have been quicker.
            if let Err(error) = fs::remove_file(&left)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(path = %left.display(), %error, "unfinished compile cache entry cannot be removed");
            }
        }
        Ok(Self { dir, compatibility: format!("{:016x}", hasher.finish()) })
    }

    /// The component with this digest, if a sound artefact of it is there.
    pub(super) fn get(&self, engine: &wasmtime::Engine, digest: &str) -> Option<Component> {
        let key = self.key(digest);
        let path = self.dir.join(&key);
        let loaded = match is_sound(&key, &path) {
            Ok(true) => map(engine, &path).map_err(|error| format!("{error:#}")),
            Ok(false) => Err("its checksum does not fit".into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => Err(error.to_string()),
        };
        loaded
            .inspect_err(|reason| {
                tracing::warn!(path = %path.display(), reason, "compile cache entry cannot be used; compiling anew");
            })
            .ok()
    }

    /// Keeps a component's artefact, and gives the component of what was kept. A cache that cannot be written costs a
    /// compile at the next start, nothing else, and is only warned of.
    pub(super) fn put(&self, engine: &wasmtime::Engine, digest: &str, artefact: &[u8]) -> Option<Component> {
        let key = self.key(digest);
        if let Err(error) = self.replace(&key, artefact).and_then(|()| self.trim()) {
            tracing::warn!(dir = %self.dir.display(), %error, "compile cache entry cannot be written");
            return None;
        }
        // Read back and hashed: a disk that does not keep what it took is found here.
        self.get(engine, digest)
    }

    /// Writes an entry beside its place and moves it there, so that no reader meets half of one, and none that is
    /// mapped changes.
    fn replace(&self, key: &str, artefact: &[u8]) -> io::Result<()> {
        let mut file = tempfile::Builder::new().prefix(UNFINISHED_PREFIX).tempfile_in(&self.dir)?;
        file.write_all(artefact)?;
        file.write_all(&keyed(key).chain_update(artefact).finalize())?;
        file.write_all(MAGIC)?;
        file.persist(self.dir.join(key))?;
        Ok(())
    }

    fn trim(&self) -> io::Result<()> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            if entry.path().extension().is_some_and(|extension| extension == "cwasm") {
                entries.push((entry.metadata()?.modified()?, entry.path()));
            }
        }
        entries.sort_unstable();
        let surplus = entries.len().saturating_sub(ENTRIES_MAX);
        entries.iter().take(surplus).try_for_each(|(_, path)| fs::remove_file(path))
    }

    fn key(&self, digest: &str) -> String {
        format!("{digest}-{}.cwasm", self.compatibility)
    }
}

/// Entries whose writers were killed.
fn left_unfinished(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut left = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let unfinished = entry.file_name().to_string_lossy().starts_with(UNFINISHED_PREFIX);
        // One that is gone by now was moved to its place.
        let age = entry.metadata().and_then(|metadata| metadata.modified()).ok().and_then(|at| at.elapsed().ok());
        if unfinished && age.is_some_and(|age| age > UNFINISHED_AGE_MAX) {
            left.push(entry.path());
        }
    }
    Ok(left)
}

/// The hash of an entry, before its artefact.
fn keyed(key: &str) -> Sha256 {
    Sha256::new().chain_update(key).chain_update([0])
}

/// Whether an entry is the one that was written under this key. It is read through once and never held whole.
fn is_sound(key: &str, path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let Some(artefact_bytes) = file.metadata()?.len().checked_sub(TRAILER_BYTES as u64) else { return Ok(false) };
    let mut hash = keyed(key);
    let mut artefact = BufReader::with_capacity(READ_BYTES, (&mut file).take(artefact_bytes));
    loop {
        let read = artefact.fill_buf()?;
        if read.is_empty() {
            break;
        }
        hash.update(read);
        let bytes = read.len();
        artefact.consume(bytes);
    }
    let mut trailer = Vec::with_capacity(TRAILER_BYTES);
    file.take(TRAILER_BYTES as u64).read_to_end(&mut trailer)?;
    Ok(trailer.strip_suffix(MAGIC).is_some_and(|stored| *stored == *hash.finalize()))
}

/// Hands a verified entry to the engine, which maps it: what is not used of it takes no memory, and what is can be
/// taken back by the system at any time.
#[expect(unsafe_code, reason = "precompiled code can only be loaded by an unsafe call; see the safety note")]
fn map(engine: &wasmtime::Engine, path: &Path) -> wasmtime::Result<Component> {
    // SAFETY: the bytes must come from the engine's own compiler, and stay as they are while they are mapped. They
    // come from it: `is_sound` has just verified that they are, byte for byte, what this module wrote under this key
    // in a directory that only the host can write to; if the entry was replaced since, then by another that this
    // module wrote whole. Another release or configuration of the engine has another key, and the engine checks its
    // own version header as well. They stay: no file with an entry's name is ever opened for writing, only replaced
    // or removed, which leaves a mapped file as it is; the mapping is private. As with every program that runs from a
    // disk, one that fails under it ends the process.
    unsafe { Component::deserialize_file(engine, path) }
}

/// Hands an artefact in memory to the engine: one of a compiling process, where no cache keeps it.
#[expect(unsafe_code, reason = "precompiled code can only be loaded by an unsafe call; see the safety note")]
pub(super) fn deserialize(engine: &wasmtime::Engine, artefact: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: the bytes must come from the engine's own compiler. They do: a process that the host started, of a
    // program that its operator named, has just answered them, complete by length and hash. The engine checks its own
    // version header as well.
    unsafe { Component::deserialize(engine, artefact) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::SystemTime;

    use super::*;
    use crate::runtime::engine::config;

    #[test]
    fn what_killed_writers_left_is_removed_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| File::create(dir.path().join(name)).unwrap();
        file(".tmpwritten");
        for old in [".tmpleft", "0-0.cwasm", "of-somebody-else"] {
            file(old).set_modified(SystemTime::UNIX_EPOCH).unwrap();
        }
        Cache::open(dir.path().to_owned(), &wasmtime::Engine::new(&config()).unwrap()).unwrap();
        let names = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let kept = [".tmpwritten", "0-0.cwasm", "of-somebody-else"].map(String::from);
        assert_eq!(names.collect::<BTreeSet<_>>(), BTreeSet::from(kept));
    }
}
