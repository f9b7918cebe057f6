//! The data directory: whose it is, what lies in it that does not belong there, and the disk under it.

use std::fs::{self, Metadata};
use std::path::Path;
use std::time::Duration;

use indicatif::HumanBytes;

use super::check::{Area, Check};
use crate::cli::disk::{self, FileSystem, SyncSpeed};
use crate::config::{CONFIG_NAME, default_keys_file};

/// Bytes below which a disk is full in a moment: two journals are 64 MiB.
const FREE_BYTES_WRONG: u64 = 256 << 20;
/// Bytes below which it is time to think of more.
const FREE_BYTES_UNUSUAL: u64 = 2 << 30;
/// How long syncs are measured.
const SYNC_TIME: Duration = Duration::from_millis(300);
/// A sync that takes longer makes every append slow.
const SYNC_SLOW: Duration = Duration::from_millis(20);
/// A sync that is quicker did not reach a disk.
const SYNC_UNBELIEVABLE: Duration = Duration::from_micros(3);
/// What a data directory holds beside the files of the log.
const FOLDERS: [&str; 4] = ["cache", "candidates", "components", "plugins"];

/// Looks at everything.
pub(super) fn checks(directory: &Path) -> Vec<Check> {
    let mut checks = owner(directory);
    checks.extend(left_overs(directory));
    let found = disk::file_system(directory);
    checks.extend(found.iter().map(|found| kind(found, directory)));
    checks.extend(found.iter().map(|found| room(found, directory)));
    checks.push(match disk::sync_speed(directory, SYNC_TIME) {
        Ok(speed) => syncs(speed),
        Err(error) => Check::wrong(
            Area::Disk,
            format!("{} cannot be written: {error}", directory.display()),
            "let the user that runs the server write there",
        ),
    });
    checks
}

/// Whether the server's user owns it, and nobody else can write to it.
#[cfg(unix)]
fn owner(directory: &Path) -> Vec<Check> {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(metadata) = fs::metadata(directory) else { return Vec::new() };
    let (place, owner, user) = (directory.display(), metadata.uid(), rustix::process::geteuid().as_raw());
    let mut checks = Vec::new();
    if owner == user || user == 0 {
        checks.push(Check::ok(Area::Data, format!("{place} belongs to user {owner}")));
    } else {
        let what = format!("{place} belongs to user {owner}, and this is user {user}");
        checks.push(Check::unusual(Area::Data, what, "run the server and its tools as the user that owns its data"));
    }
    if metadata.mode() & 0o002 != 0 {
        let what = format!("everybody can write to {place}");
        checks.push(Check::wrong(Area::Data, what, format!("`chmod o-w {place}`")));
    }
    let others = |metadata: &Metadata| metadata.uid() != owner;
    let strange: Vec<_> = names(directory, |entry| entry.metadata().is_ok_and(|metadata| others(&metadata)));
    if !strange.is_empty() {
        let what = format!("in {place} some files belong to other users: {}", strange.join(", "));
        let advice = format!("they were made by a command that another user ran; `chown -R {owner} {place}`");
        checks.push(Check::wrong(Area::Data, what, advice));
    }
    checks
}

#[cfg(not(unix))]
fn owner(_: &Path) -> Vec<Check> {
    Vec::new()
}

/// Names in a directory, in order.
fn names(directory: &Path, is_wanted: impl Fn(&fs::DirEntry) -> bool) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten().filter(is_wanted);
    let mut names: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Files that no store makes, and what a restore that was stopped has left beside it.
fn left_overs(directory: &Path) -> Vec<Check> {
    let place = directory.display();
    let strange = names(directory, |entry| !is_known(&entry.file_name().to_string_lossy()));
    let mut checks = Vec::new();
    if !strange.is_empty() {
        let what = format!("in {place} there is what no store makes: {}", strange.join(", "));
        checks.push(Check::unusual(Area::Data, what, "keep a data directory for the store alone; move them elsewhere"));
    }
    let Ok(whole) = directory.canonicalize() else { return checks };
    if let (Some(parent), Some(name)) = (whole.parent(), whole.file_name()) {
        let prefix = format!(".{}.", name.to_string_lossy());
        let begun = names(parent, |entry| entry.file_name().to_string_lossy().starts_with(&prefix));
        if !begun.is_empty() {
            let what =
                format!("beside {place} there is what a restore or backup left unfinished: {}", begun.join(", "));
            checks.push(Check::unusual(Area::Data, what, "if none runs now, remove it: it only takes room"));
        }
    }
    checks
}

/// Whether a store may have made it.
fn is_known(name: &str) -> bool {
    let is_log = name.starts_with("journal-") || name.ends_with(".segment") || name.ends_with(".index");
    let is_setting = name == CONFIG_NAME || default_keys_file(Path::new("")).as_os_str() == name;
    is_log || is_setting || name == "lock" || name.starts_with("state.redb") || FOLDERS.contains(&name)
}

fn kind(found: &FileSystem, directory: &Path) -> Check {
    let (kind, place) = (&found.kind, directory.display());
    if found.is_memory {
        let what = format!("{place} is in memory ({kind}): nothing there survives a restart of the machine");
        return Check::unusual(Area::Disk, what, "give a directory on a disk by --data, unless it is for a test");
    }
    if found.is_network {
        let what = format!("{place} is reached over a network or by a program ({kind})");
        let advice = "locks and syncs may not keep their promises there; a local disk does";
        return Check::unusual(Area::Disk, what, advice);
    }
    Check::ok(Area::Disk, format!("{place} is on {kind}"))
}

fn room(found: &FileSystem, directory: &Path) -> Check {
    let (free, total) = (HumanBytes(found.free_bytes), HumanBytes(found.total_bytes));
    let what = format!("{free} of {total} are free under {}", directory.display());
    let advice =
        "make room, or let old events go by `serve --retention`; when it is full, writes fail until there is room";
    match found.free_bytes {
        ..FREE_BYTES_WRONG => Check::wrong(Area::Disk, what, advice),
        FREE_BYTES_WRONG..FREE_BYTES_UNUSUAL => Check::unusual(Area::Disk, what, advice),
        _ => Check::ok(Area::Disk, what),
    }
}

fn syncs(speed: SyncSpeed) -> Check {
    let what =
        format!("the disk makes {:.0} small writes a second last, each in {:.0?}", speed.per_second, speed.median);
    if speed.median > SYNC_SLOW {
        return Check::unusual(
            Area::Disk,
            what,
            "every commit waits for a sync; a disk of flash is a hundred times faster",
        );
    }
    if speed.median < SYNC_UNBELIEVABLE {
        let advice =
            "no disk is so fast: after a power cut what was acknowledged may be gone; look at its mount options";
        return Check::unusual(Area::Disk, what, advice);
    }
    Check::ok(Area::Disk, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::check::State;

    fn ext4(free_bytes: u64) -> FileSystem {
        let kind = "ext4".to_owned();
        FileSystem { kind, is_memory: false, is_network: false, free_bytes, total_bytes: 1 << 40 }
    }

    #[test]
    fn a_disk_that_is_full_slow_or_none_is_told_with_what_to_do() {
        let place = Path::new("/d");
        let speed = |median| syncs(SyncSpeed { per_second: 1.0, median });
        for (check, state) in [
            (room(&ext4(1 << 40), place), State::Ok),
            (room(&ext4(1 << 30), place), State::Unusual),
            (room(&ext4(1 << 20), place), State::Wrong),
            (kind(&ext4(0), place), State::Ok),
            (kind(&FileSystem { is_memory: true, ..ext4(0) }, place), State::Unusual),
            (kind(&FileSystem { is_network: true, ..ext4(0) }, place), State::Unusual),
            (speed(Duration::from_micros(200)), State::Ok),
            (speed(Duration::from_millis(30)), State::Unusual),
            (speed(Duration::from_nanos(300)), State::Unusual),
        ] {
            assert_eq!(check.state, state, "{check:?}");
            assert_eq!(check.advice.is_some(), state != State::Ok, "{check:?}");
        }
    }

    #[test]
    fn what_does_not_belong_there_is_named() {
        let parent = tempfile::tempdir().unwrap();
        let pond = parent.path().join("pond");
        for folder in ["cache", "plugins", "../.pond.Xy12"] {
            fs::create_dir_all(pond.join(folder)).unwrap();
        }
        for file in ["lock", "state.redb", "journal-0", "1.segment", "1-9.index"] {
            fs::write(pond.join(file), "").unwrap();
        }
        let told = |checks: Vec<Check>| checks.into_iter().map(|check| check.what).collect::<Vec<_>>();
        let found = told(left_overs(&pond));
        assert!(found.len() == 1 && found[0].ends_with(".pond.Xy12"), "{found:?}");
        fs::write(pond.join("notes.txt"), "").unwrap();
        let found = told(left_overs(&pond));
        assert!(found.len() == 2 && found[0].ends_with("no store makes: notes.txt"), "{found:?}");
    }

    #[cfg(unix)]
    #[test]
    fn a_directory_that_everybody_can_write_to_is_wrong() {
        use std::os::unix::fs::PermissionsExt as _;
        let pond = tempfile::tempdir().unwrap();
        assert!(owner(pond.path()).iter().all(|check| check.state == State::Ok));
        fs::set_permissions(&pond, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(owner(pond.path()).iter().any(|check| check.state == State::Wrong));
    }
}
