//! What goes wrong on a simulated disk, and when.

use std::io;

/// Which calls a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// Every call that changes something or syncs, in the order in which they are recorded.
    Change,
    /// Opening a file, a new one included.
    Open,
    /// Reading bytes.
    Read,
    /// Writing bytes.
    Write,
    /// Setting a file's length.
    SetLen,
    /// Syncing a file or the directory.
    Sync,
    /// Removing or renaming a file.
    Rename,
}

/// One thing that goes wrong.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Which calls are counted.
    pub on: On,
    /// The call that fails; 0 is the first after the fault was injected.
    pub nth: u64,
    /// Whether all later ones fail too.
    pub lasting: bool,
    /// What they fail with.
    pub error: io::ErrorKind,
    /// How many bytes of a failing write are written all the same, at most.
    pub written_bytes: usize,
}

impl Fault {
    /// The `nth` call fails, counted from 0; one that writes writes nothing.
    #[must_use]
    pub const fn once(on: On, nth: u64, error: io::ErrorKind) -> Self {
        Self { on, nth, lasting: false, error, written_bytes: 0 }
    }

    /// The `nth` call and all after it fail.
    #[must_use]
    pub const fn lasting(on: On, nth: u64, error: io::ErrorKind) -> Self {
        Self { lasting: true, ..Self::once(on, nth, error) }
    }
}

/// A call that fails.
pub(super) struct Struck {
    pub(super) error: io::Error,
    pub(super) written_bytes: usize,
}

/// The faults of a disk.
#[derive(Debug)]
pub(super) struct Faults {
    /// With how many calls each has seen.
    injected: Vec<(Fault, u64)>,
    /// Bytes that all files together may have.
    pub(super) room_bytes: u64,
    drop_syncs: f64,
    random: fastrand::Rng,
}

impl Default for Faults {
    fn default() -> Self {
        Self { injected: Vec::new(), room_bytes: u64::MAX, drop_syncs: 0.0, random: fastrand::Rng::with_seed(0) }
    }
}

impl Faults {
    pub(super) fn inject(&mut self, fault: Fault) {
        self.injected.push((fault, 0));
    }

    pub(super) fn drop_syncs(&mut self, probability: f64, seed: u64) {
        self.drop_syncs = probability;
        self.random = fastrand::Rng::with_seed(seed);
    }

    /// Counts a call that is of the kinds `on`, and tells whether it fails.
    pub(super) fn strike(&mut self, on: &[On]) -> Option<Struck> {
        let mut struck = None;
        for (fault, seen) in self.injected.iter_mut().filter(|(fault, _)| on.contains(&fault.on)) {
            if *seen == fault.nth || (fault.lasting && *seen > fault.nth) {
                let error = io::Error::new(fault.error, "a fault of the simulated disk");
                struck = Some(Struck { error, written_bytes: fault.written_bytes });
            }
            *seen += 1;
        }
        struck
    }

    /// Whether this sync is to be answered without being done.
    pub(super) fn drops_sync(&mut self) -> bool {
        self.drop_syncs > 0.0 && self.random.f64() < self.drop_syncs
    }
}
