//! Compiled artefacts on disk, so that a restart does not compile again.
//!
//! *`<component SHA-256>-<engine compatibility>.cwasm` -> artefact (format 1); written after a compile;
//! read at load; grows with each component version and engine release; trimmed to the newest
//! [`ENTRIES_MAX`] by the writer.*
//!
//! An entry is `MAGIC`, then the SHA-256 of the entry's key and artefact, then the artefact. The engine
//! takes a damaged artefact without complaint, so nothing reaches it unless the hash fits, and the key is
//! in the hash so that a renamed entry does not pass for another. This is not protection against somebody
//! who can write in the directory: it is the host's own, mode 0700.

use std::fs::{self, DirBuilder};
use std::hash::{Hash, Hasher};
use std::io::{self, Write};
use std::path::PathBuf;

use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;
use wasmtime::component::Component;
use xxhash_rust::xxh3::Xxh3Default;

/// First bytes of an entry; the last of them is the format.
const MAGIC: &[u8; 8] = b"TMCWASM\x01";
/// Bytes of a SHA-256.
const HASH_BYTES: usize = 32;
/// Entries kept.
const ENTRIES_MAX: usize = 256;

/// A directory of compiled artefacts.
#[derive(Debug)]
pub(super) struct Cache {
    dir: PathBuf,
    compatibility: String,
}

impl Cache {
    /// Opens the directory, and makes it if it is not there.
    pub(super) fn open(dir: PathBuf, engine: &wasmtime::Engine) -> io::Result<Self> {
        let mut builder = DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.recursive(true).create(&dir)?;
        let mut hasher = Xxh3Default::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(Self { dir, compatibility: format!("{:016x}", hasher.finish()) })
    }

    /// The component with this digest, if a sound artefact of it is there.
    pub(super) fn get(&self, engine: &wasmtime::Engine, digest: &str) -> Option<Component> {
        let key = self.key(digest);
        let path = self.dir.join(&key);
        let entry = match fs::read(&path) {
            Ok(entry) => entry,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "compile cache entry cannot be read; compiling anew");
                return None;
            }
        };
        let loaded = match artefact(&key, &entry) {
            Some(artefact) => deserialize(engine, artefact).map_err(|error| format!("{error:#}")),
            None => Err("its checksum does not fit".into()),
        };
        loaded
            .inspect_err(|reason| {
                tracing::warn!(path = %path.display(), reason, "compile cache entry is damaged; compiling anew");
            })
            .ok()
    }

    /// Keeps a component's artefact. A cache that cannot be written costs a compile at the next start,
    /// nothing else, and is only warned of.
    pub(super) fn put(&self, digest: &str, artefact: &[u8]) {
        let key = self.key(digest);
        if let Err(error) = self.replace(&key, artefact).and_then(|()| self.trim()) {
            tracing::warn!(dir = %self.dir.display(), %error, "compile cache entry cannot be written");
        }
    }

    /// Writes an entry beside its place and moves it there, so that no reader meets half of one.
    fn replace(&self, key: &str, artefact: &[u8]) -> io::Result<()> {
        let mut file = NamedTempFile::new_in(&self.dir)?;
        file.write_all(MAGIC)?;
        file.write_all(&checksum(key, artefact))?;
        file.write_all(artefact)?;
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

fn checksum(key: &str, artefact: &[u8]) -> [u8; HASH_BYTES] {
    Sha256::new().chain_update(key).chain_update([0]).chain_update(artefact).finalize().into()
}

/// The artefact in an entry, if it is the one that was written under this key.
fn artefact<'a>(key: &str, entry: &'a [u8]) -> Option<&'a [u8]> {
    let (stored, artefact) = entry.strip_prefix(MAGIC)?.split_first_chunk::<HASH_BYTES>()?;
    (*stored == checksum(key, artefact)).then_some(artefact)
}

/// Hands a verified artefact to the engine: one of this cache, or of a compiling process.
#[expect(unsafe_code, reason = "precompiled code can only be loaded by an unsafe call; see the safety note")]
pub(super) fn deserialize(engine: &wasmtime::Engine, artefact: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: the bytes must come from the engine's own compiler. They do: either `artefact` has verified that
    // they are, byte for byte, what this module wrote under this key in a directory that only the host can
    // write to; or a process that the host started, of a program that its operator named, has just answered
    // them, complete by length and hash. Another release or configuration of the engine has another key, and the engine checks
    // its own version header as well.
    unsafe { Component::deserialize(engine, artefact) }
}
