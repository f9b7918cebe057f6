//! Puts a plugin into a plugins directory: whole, or not at all.
//!
//! All files are written into a hidden folder of the directory, which no host looks at, synced, and renamed in one
//! step; what is there under the name is exchanged in one step, too. A crash leaves what was there or what was to come,
//! and at worst a hidden folder beside it. Only a validator lies beside its manifest in a folder of others: where both are
//! replaced, or come anew, a crash may leave the manifest alone, and never beside another version's component.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use thiserror::Error;

use super::Kind;
use crate::error::ErrorClass;
use crate::event::PluginName;
use crate::plugin::Manifest;
use crate::plugin::source::{RESERVED_FOLDERS, UPCASTERS_FOLDER, VALIDATORS_FOLDER};

const MANIFEST: &str = "plugin.toml";
/// The component's file, where the manifest names none.
const COMPONENT: &str = "plugin.wasm";
/// What others may do with the folder.
const FOLDER_MODE: u32 = 0o755;
/// What others may do with a file.
const FILE_MODE: u32 = 0o644;

/// Why a plugin was not put in place. What was there is as it was.
#[derive(Debug, Error)]
pub enum PlaceError {
    /// There is something under the name.
    #[error("there is a plugin {name} already, in {}; to put this in its place, say --replace", path.display())]
    There {
        /// The plugin.
        name: PluginName,
        /// Its folder or its component.
        path: PathBuf,
    },
    /// What is under the name is of another kind, and never gives way.
    #[error(
        "the name {name} is that of {}, which is of another kind and does not give way: give another name by --name, or \
         take it away by `tidemill plugins rm {name}`",
        path.display()
    )]
    Taken {
        /// The name.
        name: PluginName,
        /// What has it.
        path: PathBuf,
    },
    /// The directory cannot be written to.
    #[error("the plugins directory {} cannot be written to", path.display())]
    Files {
        /// The directory.
        path: PathBuf,
        /// The system's words.
        #[source]
        source: io::Error,
    },
}

impl PlaceError {
    /// What kind of thing went wrong.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::There { .. } | Self::Taken { .. } => ErrorClass::Conflict,
            Self::Files { .. } => ErrorClass::Unavailable,
        }
    }
}

impl Kind {
    /// Where a component of this name lies among its like, and where its manifest would; none for a plugin.
    fn among_its_like(self, directory: &Path, name: &PluginName) -> Option<(PathBuf, Option<PathBuf>)> {
        let file = |folder: &str, end: &str| directory.join(folder).join(format!("{name}.{end}"));
        match self {
            Self::Plugin => None,
            Self::Upcaster => Some((file(UPCASTERS_FOLDER, "wasm"), None)),
            Self::Validator => Some((file(VALIDATORS_FOLDER, "wasm"), Some(file(VALIDATORS_FOLDER, "toml")))),
        }
    }
}

/// What is under a plugin's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Present {
    /// What it is.
    pub kind: Kind,
    /// Its folder, or its bare component, or its component among its like.
    pub path: PathBuf,
    /// Where its manifest is; none without one.
    pub manifest: Option<PathBuf>,
}

impl Present {
    /// Looks for what has that name in a directory: a folder that holds something, or a component.
    #[must_use]
    pub fn find(directory: &Path, name: &PluginName) -> Option<Self> {
        let folder = directory.join(name.as_str());
        let [component, beside] = [".wasm", ".toml"].map(|end| directory.join(format!("{name}{end}")));
        let is_file = |path: &PathBuf| path.is_file();
        if !RESERVED_FOLDERS.contains(&name.as_str()) && holds_something(&folder) {
            let manifest = Some(folder.join(MANIFEST)).filter(is_file);
            return Some(Self { kind: Kind::Plugin, path: folder, manifest });
        }
        let among = |kind: Kind| {
            let (path, manifest) = kind.among_its_like(directory, name).filter(|(path, _)| path.is_file())?;
            Some(Self { kind, path, manifest: manifest.filter(is_file) })
        };
        let bare = || Self { kind: Kind::Plugin, path: component.clone(), manifest: Some(beside).filter(is_file) };
        among(Kind::Upcaster).or_else(|| among(Kind::Validator)).or_else(|| component.exists().then(bare))
    }

    /// What has that name and gives way to a component of that kind; none where nothing has it.
    ///
    /// # Errors
    /// When it does not give way.
    pub fn giving_way(
        directory: &Path,
        name: &PluginName,
        kind: Kind,
        replace: bool,
    ) -> Result<Option<Self>, PlaceError> {
        match Self::find(directory, name) {
            Some(present) if present.kind != kind => Err(PlaceError::Taken { name: name.clone(), path: present.path }),
            Some(present) if !replace => Err(PlaceError::There { name: name.clone(), path: present.path }),
            present => Ok(present),
        }
    }

    /// Whether it is what a host would look at: a component, or a folder with a manifest or a `.wasm` file.
    #[must_use]
    pub fn is_installed(&self) -> bool {
        let is_wasm = |entry: fs::DirEntry| entry.path().extension().is_some_and(|end| end == "wasm");
        self.manifest.is_some()
            || self.path.is_file()
            || fs::read_dir(&self.path).is_ok_and(|entries| entries.flatten().any(is_wasm))
    }

    /// Takes it away: out of sight in one step, then deleted. A component that lies by itself goes before its manifest. Blocks
    /// until that is on disk.
    ///
    /// # Errors
    /// When the directory cannot be written to; what is there is as it was then, if it can be brought back.
    pub fn remove(&self, directory: &Path) -> Result<(), PlaceError> {
        let failed = |source| PlaceError::Files { path: directory.into(), source };
        let aside = tempfile::Builder::new().prefix(".removed-").tempdir_in(directory).map_err(failed)?;
        let beside = self.manifest.as_ref().filter(|manifest| !manifest.starts_with(&self.path));
        let mut moved = Vec::new();
        let taken = [Some(&self.path), beside].into_iter().flatten().try_for_each(|path| {
            let target = aside.path().join(path.file_name().unwrap_or_default());
            fs::rename(path, &target)?;
            moved.push((target, path));
            path.parent().map_or(Ok(()), sync)
        });
        if let Err(error) = taken {
            // Manifests before components, as they came. What cannot go back is kept out of sight, and not deleted.
            if moved.iter().rev().filter(|(target, path)| fs::rename(target, path).is_err()).count() > 0 {
                let _ = aside.keep();
            }
            return Err(failed(error));
        }
        aside.close().and_then(|()| sync(directory)).map_err(failed)
    }
}

fn holds_something(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
}

/// What is put in place.
#[derive(Clone, Copy, Debug)]
pub struct Placing<'a> {
    /// The plugins directory; made if it is not there.
    pub directory: &'a Path,
    /// The plugin's name.
    pub name: &'a PluginName,
    /// What it is.
    pub kind: Kind,
    /// Its component.
    pub component: &'a [u8],
    /// Its manifest, which reads; what has none needs none.
    pub manifest: &'a str,
    /// Whether what is there under the name gives way. Other files of its folder are kept.
    pub replace: bool,
}

impl Placing<'_> {
    /// Writes it; answers the plugin's folder, or where its component lies among its like. Blocks until it is on disk.
    ///
    /// # Errors
    /// When there is something under the name that is not to be replaced, or when the directory cannot be written to.
    pub fn place(&self) -> Result<PathBuf, PlaceError> {
        let failed = |source| PlaceError::Files { path: self.directory.into(), source };
        let present = Present::giving_way(self.directory, self.name, self.kind, self.replace)?;
        match self.kind.among_its_like(self.directory, self.name) {
            Some((component, manifest)) => {
                self.place_among(&component, manifest.as_deref()).map_err(failed)?;
                Ok(component)
            }
            None => self.place_folder(present),
        }
    }

    fn place_folder(&self, present: Option<Present>) -> Result<PathBuf, PlaceError> {
        let failed = |source| PlaceError::Files { path: self.directory.into(), source };
        let there = |path| PlaceError::There { name: self.name.clone(), path };
        let folder = self.directory.join(self.name.as_str());
        let old = present.as_ref().filter(|present| present.path == folder);
        let staged = self.stage(old.map(|present| &*present.path)).map_err(failed)?;
        if old.is_some() {
            exchange(staged.path(), &folder).map_err(failed)?;
        } else {
            // A folder that came between, and holds something, is not renamed over.
            fs::rename(staged.path(), &folder).map_err(|error| match error.kind() {
                io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists => there(folder.clone()),
                _ => failed(error),
            })?;
            let _ = staged.keep();
        }
        if let (Some(bare), None) = (&present, old) {
            // Two of one name is what a host tells and does not load: a crash here is seen.
            fs::remove_file(&bare.path).map_err(failed)?;
            bare.manifest.as_ref().map_or(Ok(()), fs::remove_file).map_err(failed)?;
        }
        sync(self.directory).map_err(failed)?;
        Ok(folder)
    }

    /// Writes a component among its like, and its manifest, if that is another: never does one lie there beside the
    /// other's old one.
    fn place_among(&self, component: &Path, manifest: Option<&Path>) -> io::Result<()> {
        let folder = component.parent().unwrap_or(self.directory);
        fs::create_dir_all(folder)?;
        let written = |bytes: &[u8]| {
            let mode = fs::Permissions::from_mode(FILE_MODE);
            let mut file = tempfile::Builder::new().prefix(".placed-").permissions(mode).tempfile_in(folder)?;
            file.write_all(bytes)?;
            file.as_file().sync_all()?;
            Ok::<_, io::Error>(file.into_temp_path())
        };
        let wanted = self.manifest.as_bytes();
        let is_other = |path: &&Path| fs::read(path).map_or(!wanted.is_empty(), |found| found != wanted);
        let manifest = manifest.filter(is_other).map(|path| written(wanted).map(|file| (file, path))).transpose()?;
        let code = written(self.component)?;
        let aside = folder.join(format!(".{}.old", self.name));
        let manifest = manifest.as_ref().map(|(file, path)| (&**file, *path));
        let code: &Path = &code;
        for (from, to) in renames((code, component), manifest, &aside) {
            fs::rename(from, to).inspect_err(|_| {
                // With the manifest as it was, so is the component.
                if manifest.is_some_and(|(_, path)| path == to) {
                    let _ = fs::rename(&aside, component);
                }
            })?;
            sync(folder)?;
        }
        match fs::remove_file(&aside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        sync(folder)
    }

    /// A hidden folder with everything in it, on disk.
    fn stage(&self, old: Option<&Path>) -> io::Result<tempfile::TempDir> {
        fs::create_dir_all(self.directory)?;
        let mode = fs::Permissions::from_mode(FOLDER_MODE);
        let prefix = format!(".{}-", self.name);
        let staged = tempfile::Builder::new().prefix(&prefix).permissions(mode).tempdir_in(self.directory)?;
        let component = component_of(self.manifest).unwrap_or_else(|| COMPONENT.into());
        if let Some(old) = old {
            let before = fs::read_to_string(old.join(MANIFEST)).ok().and_then(|text| component_of(&text));
            let is_own = |name: &OsStr| {
                let is_component = Path::new(name).extension().is_some_and(|end| end == "wasm");
                is_component
                    || name == MANIFEST
                    || name == &*component
                    || before.as_deref().is_some_and(|own| name == own)
            };
            keep(old, staged.path(), &is_own)?;
        }
        write(&staged.path().join(MANIFEST), self.manifest.as_bytes())?;
        write(&staged.path().join(component), self.component)?;
        sync(staged.path())?;
        Ok(staged)
    }
}

/// The renames that put a component in place, and its manifest, each with the file that was written for it. Where both
/// come, the old component goes aside before: a crash leaves a manifest without a component, which a host tells of and
/// does not take.
fn renames<'a>(
    code: (&'a Path, &'a Path),
    manifest: Option<(&'a Path, &'a Path)>,
    aside: &'a Path,
) -> impl Iterator<Item = (&'a Path, &'a Path)> {
    let (_, component) = code;
    let old = Some((component, aside)).filter(|_| manifest.is_some() && component.exists());
    old.into_iter().chain(manifest).chain([code])
}

/// What a manifest calls its component's file, if it does.
fn component_of(manifest: &str) -> Option<String> {
    Manifest::parse(MANIFEST, manifest).ok()?.component
}

/// Takes over what is neither the manifest nor a component, such as files of secrets: by another name of the same file, so
/// that its mode, its owner and all else stay, and a link stays a link.
fn keep(from: &Path, to: &Path, is_own: &dyn Fn(&OsStr) -> bool) -> io::Result<()> {
    let was = fs::metadata(from)?;
    fs::set_permissions(to, was.permissions())?;
    match chown(to, Some(was.uid()), Some(was.gid())) {
        // Only root may give things away; then the folder is of who installs.
        Err(error) if error.kind() != io::ErrorKind::PermissionDenied => return Err(error),
        _ => {}
    }
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if is_own(&entry.file_name()) {
            continue;
        }
        let kept = match entry.file_type()?.is_dir() {
            true => fs::create_dir(&target).and_then(|()| keep(&path, &target, &|_| false)),
            false => fs::hard_link(&path, &target),
        };
        kept.map_err(|error| io::Error::new(error.kind(), format!("{} cannot be kept: {error}", path.display())))?;
    }
    sync(to)
}

/// Exchanges two folders in one step, where the file system can; else in two, with the first out of sight between.
fn exchange(new: &Path, old: &Path) -> io::Result<()> {
    match renameat_with(CWD, new, CWD, old, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTSUP) => {
            let aside = new.with_extension("old");
            fs::rename(old, &aside)?;
            fs::rename(new, old).inspect_err(|_| drop(fs::rename(&aside, old)))?;
            fs::rename(&aside, new)
        }
        Err(error) => Err(error.into()),
    }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placing<'a>(directory: &'a Path, name: &'a PluginName, component: &'a [u8], replace: bool) -> Placing<'a> {
        Placing { directory, name, kind: Kind::Plugin, component, manifest: "# mine\n", replace }
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_plugin_is_put_in_place_once_and_nothing_else_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let plugins = directory.path().join("plugins");
        let name = PluginName::new("billing").unwrap();
        let folder = placing(&plugins, &name, b"one", false).place().unwrap();
        assert_eq!(
            (names(&plugins), names(&folder)),
            (vec!["billing".into()], vec!["plugin.toml".into(), "plugin.wasm".into()])
        );
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o755);
        let again = placing(&plugins, &name, b"two", false).place().unwrap_err();
        assert_eq!(again.class(), ErrorClass::Conflict);
        assert_eq!(fs::read(folder.join("plugin.wasm")).unwrap(), b"one");
        assert_eq!(names(&plugins), ["billing"]);
    }

    #[test]
    fn what_gives_way_leaves_its_other_files() {
        let directory = tempfile::tempdir().unwrap();
        let name = PluginName::new("billing").unwrap();
        let folder = directory.path().join("billing");
        fs::create_dir_all(folder.join("deep")).unwrap();
        for (file, text) in [("old.wasm", "old"), ("plugin.toml", "# old"), ("salt.txt", "salt"), ("deep/x.wasm", "x")]
        {
            fs::write(folder.join(file), text).unwrap();
        }
        assert!(Present::find(directory.path(), &name).unwrap().manifest.is_some());
        placing(directory.path(), &name, b"new", true).place().unwrap();
        assert_eq!(names(&folder), ["deep", "plugin.toml", "plugin.wasm", "salt.txt"]);
        assert_eq!(fs::read(folder.join("plugin.wasm")).unwrap(), b"new");
        assert_eq!(fs::read(folder.join("deep/x.wasm")).unwrap(), b"x");
        assert_eq!(names(directory.path()), ["billing"]);
    }

    #[test]
    fn what_is_kept_is_the_same_file_with_its_mode_and_links_stay_links() {
        let directory = tempfile::tempdir().unwrap();
        let name = PluginName::new("billing").unwrap();
        let folder = directory.path().join("billing");
        fs::create_dir_all(folder.join("deep")).unwrap();
        fs::set_permissions(folder.join("deep"), fs::Permissions::from_mode(0o700)).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o750)).unwrap();
        fs::write(folder.join("plugin.toml"), "component = \"bill.bin\"").unwrap();
        fs::write(folder.join("bill.bin"), "old").unwrap();
        fs::write(folder.join("deep/salt"), "salt").unwrap();
        fs::set_permissions(folder.join("deep/salt"), fs::Permissions::from_mode(0o400)).unwrap();
        std::os::unix::fs::symlink("deep/salt", folder.join("link")).unwrap();
        let before = fs::metadata(folder.join("deep/salt")).unwrap();
        for manifest in ["component = \"bill.bin\"", "component = \"other.bin\"", "# mine\n"] {
            Placing { manifest, ..placing(directory.path(), &name, b"new", true) }.place().unwrap();
            let after = fs::metadata(folder.join("deep/salt")).unwrap();
            assert_eq!((after.ino(), after.mode() & 0o777, after.nlink()), (before.ino(), 0o400, 1), "{manifest}");
            assert_eq!(fs::read_link(folder.join("link")).unwrap(), Path::new("deep/salt"));
            let component = component_of(manifest).unwrap_or_else(|| COMPONENT.into());
            assert_eq!(fs::read(folder.join(&component)).unwrap(), b"new");
            let mut there = vec!["deep".to_owned(), "link".into(), "plugin.toml".into(), component];
            there.sort();
            assert_eq!(names(&folder), there, "{manifest}");
        }
        for (path, mode) in [(folder.clone(), 0o750), (folder.join("deep"), 0o700)] {
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, mode, "{}", path.display());
        }
        assert_eq!(names(directory.path()), ["billing"]);
    }

    #[test]
    fn what_is_no_plugin_is_a_file_among_its_like_and_is_found_and_taken_away_there() {
        for (kind, folder, files) in [
            (Kind::Upcaster, "upcasters", &["cents.wasm"][..]),
            (Kind::Validator, "validators", &["cents.toml", "cents.wasm"]),
        ] {
            let directory = tempfile::tempdir().unwrap();
            let name = PluginName::new("cents").unwrap();
            let place = |kind: Kind, component: &[u8], replace: bool| {
                Placing { kind, ..placing(directory.path(), &name, component, replace) }.place()
            };
            let path = place(kind, b"one", false).unwrap();
            assert_eq!(path, directory.path().join(folder).join("cents.wasm"));
            assert!(matches!(place(kind, b"two", false), Err(PlaceError::There { .. })));
            let taken = place(Kind::Plugin, b"two", true).unwrap_err().to_string();
            assert!(taken.contains("--name") && !taken.contains("--replace"), "{taken}");
            place(kind, b"two", true).unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"two");
            assert_eq!(names(&directory.path().join(folder)), files);
            Present::find(directory.path(), &name).unwrap().remove(directory.path()).unwrap();
            assert_eq!(Present::find(directory.path(), &name), None);
            assert_eq!(names(&directory.path().join(folder)).len(), 0);
        }
    }

    #[test]
    fn a_validator_and_its_manifest_never_lie_beside_another_version_of_each_other() {
        for steps in 0..=3 {
            let directory = tempfile::tempdir().unwrap();
            let path = |file: &str| directory.path().join(file);
            for file in ["it.wasm", "it.toml"] {
                fs::write(path(file), "old").unwrap();
                fs::write(path(&format!(".new-{file}")), "new").unwrap();
            }
            let [code, manifest] = ["it.wasm", "it.toml"].map(|file| (path(&format!(".new-{file}")), path(file)));
            let manifest = (manifest.0.as_path(), manifest.1.as_path());
            let aside = path(".it.old");
            for (from, to) in renames((code.0.as_path(), code.1.as_path()), Some(manifest), &aside).take(steps) {
                fs::rename(from, to).unwrap();
            }
            let there = ["it.toml", "it.wasm"].map(|file| fs::read_to_string(path(file)).ok());
            let [manifest, component] = there.each_ref().map(Option::as_deref);
            assert!(component.is_none() || component == manifest, "{steps} steps: {there:?}");
            assert_eq!(component == Some("new"), steps == 3, "{steps} steps: {there:?}");
        }
    }

    #[test]
    fn a_validator_takes_the_manifest_that_comes_with_it_and_leaves_nothing_aside() {
        let directory = tempfile::tempdir().unwrap();
        let name = PluginName::new("limit").unwrap();
        let place = |manifest, component| {
            let placing = placing(directory.path(), &name, component, true);
            Placing { kind: Kind::Validator, manifest, ..placing }.place().unwrap();
        };
        let folder = directory.path().join("validators");
        let read = |file: &str| fs::read_to_string(folder.join(file)).unwrap();
        place("", b"one");
        assert_eq!(names(&folder), ["limit.wasm"]);
        // As a crash leaves it.
        fs::write(folder.join(".limit.old"), "older").unwrap();
        for (manifest, component) in [("# a", &b"two"[..]), ("# a", b"three"), ("# b", b"four"), ("", b"five")] {
            place(manifest, component);
            assert_eq!(names(&folder), ["limit.toml", "limit.wasm"]);
            assert_eq!((read("limit.toml").as_str(), read("limit.wasm").as_bytes()), (manifest, component));
        }
    }

    #[test]
    fn a_folder_that_is_no_plugin_is_not_taken_for_one() {
        let directory = tempfile::tempdir().unwrap();
        for (folder, file) in [("validators", "a.wasm"), ("upcasters", "a.wasm"), ("schemas", "A.1.json")] {
            fs::create_dir(directory.path().join(folder)).unwrap();
            fs::write(directory.path().join(folder).join(file), "").unwrap();
            assert_eq!(Present::find(directory.path(), &PluginName::new(folder).unwrap()), None);
        }
        let (name, folder) = (PluginName::new("notes").unwrap(), directory.path().join("notes"));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("salt.txt"), "").unwrap();
        let is_installed = || Present::find(directory.path(), &name).unwrap().is_installed();
        assert!(!is_installed(), "a folder of something else");
        fs::write(folder.join("any.wasm"), "").unwrap();
        assert!(is_installed());
    }

    #[test]
    fn what_cannot_be_taken_away_whole_stays_whole() {
        let directory = tempfile::tempdir().unwrap();
        let [component, manifest] = ["billing.wasm", "billing.toml"].map(|file| directory.path().join(file));
        fs::write(&component, "code").unwrap();
        // Somebody else takes its manifest away meanwhile.
        let present = Present { kind: Kind::Plugin, path: component.clone(), manifest: Some(manifest) };
        present.remove(directory.path()).unwrap_err();
        assert_eq!(fs::read(&component).unwrap(), b"code");
        assert_eq!(names(directory.path()), ["billing.wasm"]);
    }

    #[test]
    fn a_plugin_is_taken_away_whole() {
        let directory = tempfile::tempdir().unwrap();
        let name = PluginName::new("billing").unwrap();
        let find = || Present::find(directory.path(), &name);
        placing(directory.path(), &name, b"one", false).place().unwrap();
        fs::write(directory.path().join("billing/salt.txt"), "salt").unwrap();
        find().unwrap().remove(directory.path()).unwrap();
        assert_eq!((find(), names(directory.path()).len()), (None, 0));
        for file in ["billing.wasm", "billing.toml", "other.wasm"] {
            fs::write(directory.path().join(file), "").unwrap();
        }
        find().unwrap().remove(directory.path()).unwrap();
        assert_eq!(names(directory.path()), ["other.wasm"]);
    }

    #[test]
    fn a_bare_component_gives_way_to_a_folder() {
        let directory = tempfile::tempdir().unwrap();
        let name = PluginName::new("billing").unwrap();
        for file in ["billing.wasm", "billing.toml"] {
            fs::write(directory.path().join(file), "").unwrap();
        }
        placing(directory.path(), &name, b"new", false).place().unwrap_err();
        placing(directory.path(), &name, b"new", true).place().unwrap();
        assert_eq!(names(directory.path()), ["billing"]);
    }

    #[test]
    fn the_component_is_called_what_the_manifest_calls_it() {
        let directory = tempfile::tempdir().unwrap();
        let name = PluginName::new("billing").unwrap();
        let manifest = "component = \"bill.wasm\"";
        let folder = Placing { manifest, ..placing(directory.path(), &name, b"x", false) }.place().unwrap();
        assert_eq!(names(&folder), ["bill.wasm", "plugin.toml"]);
    }
}
