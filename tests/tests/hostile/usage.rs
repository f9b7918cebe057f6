//! What a process holds, by Linux's own account.

use std::fs;

use tidemill_tests::bench::resident_bytes;

/// What a process holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// Threads.
    pub(crate) threads: usize,
    /// Open files, sockets and the like.
    pub(crate) files: usize,
    /// Memory in use.
    pub(crate) resident_bytes: u64,
}

impl Usage {
    /// What memory may grow by over all rounds, in bytes: what one guest may hold. Much of it is the allocator's.
    pub(crate) const GROWTH_MAX: u64 = 64 << 20;

    /// What a process holds now.
    pub(crate) fn of(process: u32) -> Self {
        let count = |what: &str| fs::read_dir(format!("/proc/{process}/{what}")).unwrap().count();
        Self { threads: count("task"), files: count("fd"), resident_bytes: resident_bytes(process) }
    }
}
