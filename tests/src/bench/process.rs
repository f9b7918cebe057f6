//! What the process used so far, and what is on the disk. Figures of the process are Linux's own.

use std::path::Path;
use std::time::Duration;
use std::{fs, io};

/// Length of the kernel's clock ticks, the same on every common Linux.
const TICK: Duration = Duration::from_millis(10);

/// What the process used so far, all threads together; zeros where the system does not tell.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    /// Bytes sent to the disk, counted by whole pages as they become dirty.
    pub written_bytes: u64,
    /// Memory in use now.
    pub resident_bytes: u64,
    /// Most memory in use at a time.
    pub peak_bytes: u64,
    /// Processor time, in user code and in the kernel.
    pub cpu: Duration,
}

impl Figures {
    /// The figures now.
    #[must_use]
    pub fn now() -> Self {
        let io = fs::read_to_string("/proc/self/io").unwrap_or_default();
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self {
            written_bytes: value(&io, "write_bytes:"),
            resident_bytes: value(&status, "VmRSS:") << 10,
            peak_bytes: value(&status, "VmHWM:") << 10,
            cpu: cpu_time(std::process::id()),
        }
    }
}

/// Memory that a process has in use now, in bytes; zero where the system does not tell.
#[must_use]
pub fn resident_bytes(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    value(&status, "VmRSS:") << 10
}

/// Processor time that a process used so far, all threads together, in user code and in the kernel; zero where the
/// system does not tell.
#[must_use]
pub fn cpu_time(process: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The fields after the program's name, which may itself hold spaces.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
    TICK * fields.skip(11).take(2).filter_map(|field| field.parse::<u32>().ok()).sum::<u32>()
}

fn value(text: &str, name: &str) -> u64 {
    let rest = text.lines().find_map(|line| line.strip_prefix(name));
    rest.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Bytes of the files in a directory whose names pass `filter`.
///
/// # Errors
/// When it cannot be read.
pub fn directory_bytes(directory: &Path, filter: impl Fn(&str) -> bool) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if filter(&entry.file_name().to_string_lossy()) {
            match entry.metadata() {
                Ok(metadata) => bytes += metadata.len(),
                // Removed in the meantime.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(bytes)
}

/// Whether a directory is in memory, where syncs cost nothing and figures mean nothing.
#[must_use]
pub fn is_memory(directory: &Path) -> bool {
    let Ok(directory) = directory.canonicalize() else { return false };
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        Some((fields.next()?, fields.next()?))
    });
    let around = mounts.filter(|(place, _)| directory.starts_with(place));
    around.max_by_key(|(place, _)| place.len()).is_some_and(|(_, kind)| matches!(kind, "tmpfs" | "ramfs"))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn linux_tells_what_the_process_uses() {
        let figures = Figures::now();
        assert!(figures.resident_bytes > 100_000 && figures.peak_bytes >= figures.resident_bytes);
        assert!(!is_memory(Path::new("/proc")));
    }
}
