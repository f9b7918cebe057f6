//! What the disk under a directory is like: its kind, what is free, and how fast it syncs.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use crate::clock::Stopwatch;

/// Bytes that are written before each sync: what a small commit takes.
const BLOCK_BYTES: usize = 4 << 10;
/// Blocks of the file that is written over and over.
const BLOCKS: u64 = 1024;

/// How fast a disk makes small writes last.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct SyncSpeed {
    /// Syncs a second, one after the other.
    pub(super) per_second: f64,
    /// The time within which half of them were done.
    pub(super) median: Duration,
}

/// A file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileSystem {
    /// Its kind, such as ext4; a number in hex when it is none that is known here.
    pub(super) kind: String,
    /// Whether it is in memory, where nothing lasts and a sync costs nothing.
    pub(super) is_memory: bool,
    /// Whether it is reached over a network, where locks and syncs may not be what they promise.
    pub(super) is_network: bool,
    /// Bytes that this user may still write.
    pub(super) free_bytes: u64,
    /// Bytes of all of it.
    pub(super) total_bytes: u64,
}

/// Measures the disk under a directory, by a file in it that is removed again: blocks of 4 KiB are written over,
/// each followed by a sync, for as long as `time`.
pub(super) fn sync_speed(directory: &Path, time: Duration) -> io::Result<SyncSpeed> {
    let mut file = tempfile::tempfile_in(directory)?;
    for _ in 0..BLOCKS {
        file.write_all(&[1; BLOCK_BYTES])?;
    }
    file.sync_all()?;
    let (all, mut times) = (Stopwatch::start(), Vec::new());
    while times.is_empty() || all.elapsed() < time {
        let one = Stopwatch::start();
        write_block(&file, times.len() as u64 % BLOCKS)?;
        file.sync_data()?;
        times.push(one.elapsed());
    }
    let per_second = times.len() as f64 / all.elapsed().as_secs_f64();
    times.sort_unstable();
    Ok(SyncSpeed { per_second, median: times.get(times.len() / 2).copied().unwrap_or_default() })
}

#[cfg(unix)]
fn write_block(file: &File, block: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, &[2; BLOCK_BYTES], block * BLOCK_BYTES as u64)
}

#[cfg(not(unix))]
fn write_block(mut file: &File, block: u64) -> io::Result<()> {
    use std::io::Seek as _;
    file.seek(io::SeekFrom::Start(block * BLOCK_BYTES as u64))?;
    file.write_all(&[2; BLOCK_BYTES])
}

/// Looks at the file system under a path; none where the system does not tell.
#[cfg(target_os = "linux")]
pub(super) fn file_system(path: &Path) -> Option<FileSystem> {
    let stat = rustix::fs::statfs(path).ok()?;
    // The number is signed on some machines; what is known of it is its 32 bits.
    let magic = stat.f_type as u32;
    let (kind, is_memory, is_network) = kind(magic);
    let block = u64::try_from(stat.f_bsize).ok()?;
    Some(FileSystem {
        kind: kind.map_or_else(|| format!("{magic:#x}"), str::to_owned),
        is_memory,
        is_network,
        free_bytes: stat.f_bavail.saturating_mul(block),
        total_bytes: stat.f_blocks.saturating_mul(block),
    })
}

#[cfg(not(target_os = "linux"))]
pub(super) fn file_system(_: &Path) -> Option<FileSystem> {
    None
}

/// Name of a kind of file system (magic numbers of `statfs(2)`), and whether it is in memory or over a network.
#[cfg(target_os = "linux")]
const fn kind(magic: u32) -> (Option<&'static str>, bool, bool) {
    match magic {
        0xef53 => (Some("ext4"), false, false),
        0x5846_5342 => (Some("xfs"), false, false),
        0x9123_683e => (Some("btrfs"), false, false),
        0x2fc1_2fc1 => (Some("zfs"), false, false),
        0xf2f5_2010 => (Some("f2fs"), false, false),
        0x794c_7630 => (Some("overlay"), false, false),
        0x0102_1994 => (Some("tmpfs"), true, false),
        0x8584_58f6 => (Some("ramfs"), true, false),
        0x6969 => (Some("nfs"), false, true),
        0xff53_4d42 => (Some("cifs"), false, true),
        0xfe53_4d42 => (Some("smb2"), false, true),
        0x0102_1997 => (Some("9p"), false, true),
        0x6573_5546 => (Some("fuse"), false, true),
        0x00c3_6400 => (Some("ceph"), false, true),
        _ => (None, false, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_measured_and_left_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let speed = sync_speed(directory.path(), Duration::ZERO).unwrap();
        assert!(speed.per_second > 0.0 && speed.median > Duration::ZERO, "{speed:?}");
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0);
        assert!(sync_speed(&directory.path().join("none"), Duration::ZERO).is_err());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_system_has_a_kind_and_room() {
        let found = file_system(Path::new("/proc/self/fd")).unwrap();
        assert_eq!((found.kind.as_str(), found.is_memory), ("0x9fa0", false));
        let found = file_system(&std::env::temp_dir()).unwrap();
        assert!(found.total_bytes >= found.free_bytes && found.total_bytes > 0, "{found:?}");
        assert_eq!(file_system(Path::new("/nowhere/at/all")), None);
    }
}
