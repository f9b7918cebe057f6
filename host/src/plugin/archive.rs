//! The bytes of components that are live, were live before or build a generation, `DIR/DIGEST.wasm`, and the manifests
//! under which plugins ran them last, `DIR/DIGEST.PLUGIN.toml`, whose first line is the digest of the rest. One from before
//! that line was written is taken as it is.
//!
//! A file is written aside, synced and renamed before a plugin's record names it, and goes when no record does. One that
//! is damaged counts as gone, and is written anew when its component is there again.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::{fs, io};

use super::Manifest;
use super::candidates::replace_file;
use super::source::digest_of;
use crate::delivery::generations;
use crate::event::PluginName;
use crate::store::{Store, StoreError};

/// Before the digest of a manifest that is kept: a comment to whoever reads the file.
const DIGEST_MARK: &str = "# sha256 of what follows: ";

/// Which components are kept for which plugin.
type Used = BTreeMap<PluginName, BTreeSet<String>>;

/// Components by their digest.
pub(super) struct Archive {
    /// None where nothing is kept.
    directory: Option<PathBuf>,
    /// None until it is looked at first.
    used: Mutex<Option<Used>>,
}

impl Archive {
    /// Those in a directory, which is made when there is something to keep.
    pub(super) const fn new(directory: Option<PathBuf>) -> Self {
        Self { directory, used: Mutex::new(None) }
    }

    /// Where a component is, if it is kept whole. Blocks.
    pub(super) fn find(&self, digest: &str) -> Option<PathBuf> {
        let path = self.directory.as_ref()?.join(format!("{digest}.wasm"));
        let whole = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            bytes => bytes.is_ok_and(|bytes| digest_of(&bytes) == digest),
        };
        if !whole {
            tracing::warn!(path = %path.display(), "a component that is kept is damaged, and counts as gone");
        }
        whole.then_some(path)
    }

    /// Keeps a component for a plugin. Blocks.
    pub(super) fn keep(
        &self,
        plugin: &PluginName,
        digest: &str,
        bytes: impl FnOnce() -> io::Result<Vec<u8>>,
        store: &dyn Store,
    ) -> io::Result<()> {
        let Some(directory) = &self.directory else { return Ok(()) };
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(used) = self.look(&mut used, store) {
            used.entry(plugin.clone()).or_default().insert(digest.to_owned());
        }
        if self.find(digest).is_some() {
            return Ok(());
        }
        fs::create_dir_all(directory)?;
        replace_file(&directory.join(format!("{digest}.wasm")), &bytes()?)
    }

    /// Keeps the manifest under which a plugin runs a component: the text of its file, if that still says so. Blocks.
    pub(super) fn keep_manifest(
        &self,
        plugin: &PluginName,
        digest: &str,
        file: &Path,
        manifest: &Manifest,
    ) -> io::Result<()> {
        let Some(path) = self.manifest_path(plugin, digest) else { return Ok(()) };
        match text_of(file, manifest)? {
            Some(text) => replace_file(&path, sealed(&text).as_bytes()),
            None => Ok(()),
        }
    }

    /// The manifest under which a plugin ran a component last, if it is kept whole. Blocks.
    pub(super) fn manifest(&self, plugin: &PluginName, digest: &str) -> Option<Manifest> {
        let path = self.manifest_path(plugin, digest)?;
        let manifest = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            file => file.ok().and_then(|file| Manifest::parse("plugin.toml", unsealed(&file)?).ok()),
        };
        if manifest.is_none() {
            tracing::warn!(path = %path.display(), "a manifest that is kept is damaged, and counts as gone");
        }
        manifest
    }

    fn manifest_path(&self, plugin: &PluginName, digest: &str) -> Option<PathBuf> {
        Some(self.directory.as_ref()?.join(format!("{digest}.{plugin}.toml")))
    }

    /// Lets go of what no record names any more; of this plugin's, what is `in_use` stays too: its record may not name
    /// it yet. Blocks.
    pub(super) fn tidy(
        &self,
        plugin: &PluginName,
        in_use: impl IntoIterator<Item = String>,
        store: &dyn Store,
    ) -> Result<(), StoreError> {
        let mut named = named(plugin, store)?;
        named.extend(in_use);
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(used) = self.look(&mut used, store) {
            used.insert(plugin.clone(), named);
            self.sweep(used);
        }
        Ok(())
    }

    /// What is used; at the first look what all records name. None when that cannot be read: nothing goes then.
    fn look<'a>(&self, used: &'a mut Option<Used>, store: &dyn Store) -> Option<&'a mut Used> {
        if used.is_none() {
            let names = store.plugins().ok()?;
            let read: Result<Used, _> =
                names.into_iter().map(|name| named(&name, store).map(|digests| (name, digests))).collect();
            *used = Some(read.ok()?);
        }
        used.as_mut()
    }

    /// Removes the files that are not used. One that stays behind does no harm.
    fn sweep(&self, used: &Used) {
        let entries = self.directory.as_ref().and_then(|directory| fs::read_dir(directory).ok());
        for path in entries.into_iter().flatten().flatten().map(|entry| entry.path()) {
            let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
            let digest = name.split('.').next().unwrap_or_default();
            if !used.values().any(|digests| digests.contains(digest)) {
                let _ = fs::remove_file(&path);
            }
        }
    }
}

/// The text of a manifest's file, if it says this: one that is not there says what is so by itself. Blocks.
pub(super) fn text_of(file: &Path, manifest: &Manifest) -> io::Result<Option<String>> {
    let text = match fs::read_to_string(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        text => text?,
    };
    let says_this = Manifest::parse("plugin.toml", &text).is_ok_and(|said| said == *manifest);
    Ok(says_this.then_some(text))
}

/// A text behind its digest.
fn sealed(text: &str) -> String {
    format!("{DIGEST_MARK}{}\n{text}", digest_of(text.as_bytes()))
}

/// The text behind its digest, if it is that one's; all of a file that has none.
fn unsealed(file: &str) -> Option<&str> {
    let Some(sealed) = file.strip_prefix(DIGEST_MARK) else { return Some(file) };
    let (digest, text) = sealed.split_once('\n')?;
    (digest == digest_of(text.as_bytes())).then_some(text)
}

fn named(plugin: &PluginName, store: &dyn Store) -> Result<BTreeSet<String>, StoreError> {
    Ok(generations(plugin, store)?.components().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::SystemClock;
    use crate::store::memory::MemoryStore;

    #[test]
    fn what_is_kept_stays_until_nobody_names_it() {
        let directory = tempfile::tempdir().unwrap();
        let store = MemoryStore::new(Arc::new(SystemClock));
        let archive = Archive::new(Some(directory.path().join("components")));
        let a = digest_of(b"bytes");
        let (one, other) = (PluginName::new("one").unwrap(), PluginName::new("other").unwrap());
        archive.keep(&one, &a, || Ok(b"bytes".to_vec()), &store).unwrap();
        archive.keep(&other, &a, || Err(io::Error::other("it is there")), &store).unwrap();
        assert_eq!(fs::read(archive.find(&a).unwrap()).unwrap(), b"bytes");
        archive.tidy(&one, [], &store).unwrap();
        assert!(archive.find(&a).is_some(), "the other uses it");
        archive.tidy(&other, [a.clone()], &store).unwrap();
        assert!(archive.find(&a).is_some(), "it is in use");
        archive.tidy(&other, [], &store).unwrap();
        assert_eq!(archive.find(&a), None);
        assert_eq!(Archive::new(None).find(&a), None);
    }

    #[test]
    fn what_is_damaged_counts_as_gone_and_is_kept_anew() {
        let directory = tempfile::tempdir().unwrap();
        let store = MemoryStore::new(Arc::new(SystemClock));
        let archive = Archive::new(Some(directory.path().into()));
        let (one, digest) = (PluginName::new("one").unwrap(), digest_of(b"bytes"));
        let keep = || archive.keep(&one, &digest, || Ok(b"bytes".to_vec()), &store).unwrap();
        keep();
        let path = archive.find(&digest).unwrap();
        for damaged in [&b""[..], b"byte", b"bites"] {
            fs::write(&path, damaged).unwrap();
            assert_eq!(archive.find(&digest), None);
            keep();
            assert_eq!(fs::read(archive.find(&digest).unwrap()).unwrap(), b"bytes");
        }
    }

    #[test]
    fn the_manifest_of_what_ran_is_kept_with_it() {
        let directory = tempfile::tempdir().unwrap();
        let store = MemoryStore::new(Arc::new(SystemClock));
        let archive = Archive::new(Some(directory.path().join("components")));
        let (one, other) = (PluginName::new("one").unwrap(), PluginName::new("other").unwrap());
        archive.keep(&one, "a", || Ok(b"bytes".to_vec()), &store).unwrap();
        let file = directory.path().join("plugin.toml");
        let text = "# why\n[grants]\nappend = [\"X\"]";
        fs::write(&file, text).unwrap();
        let manifest = Manifest::parse("plugin.toml", text).unwrap();
        archive.keep_manifest(&one, "a", &file, &manifest).unwrap();
        archive.keep_manifest(&one, "a", &file, &Manifest::default()).unwrap();
        let kept = || archive.manifest(&one, "a");
        assert_eq!(kept(), Some(manifest.clone()), "a file that says something else by now is not meant");
        let path = archive.manifest_path(&one, "a").unwrap();
        let whole = fs::read_to_string(&path).unwrap();
        for damaged in ["[grants", DIGEST_MARK, &whole.replace("\"X\"", "\"*\""), &format!("{whole}\n")] {
            fs::write(&path, damaged).unwrap();
            assert_eq!(kept(), None, "{damaged}");
        }
        for undamaged in [whole.as_str(), text] {
            fs::write(&path, undamaged).unwrap();
            assert_eq!(kept().as_ref(), Some(&manifest), "also one from before there were digests: {undamaged}");
        }
        archive.keep_manifest(&other, "a", &directory.path().join("none.toml"), &Manifest::default()).unwrap();
        assert_eq!(archive.manifest(&other, "a"), Some(Manifest::default()));
        archive.tidy(&one, [], &store).unwrap();
        assert_eq!((archive.manifest(&one, "a"), archive.manifest(&other, "a")), (None, None));
    }
}
