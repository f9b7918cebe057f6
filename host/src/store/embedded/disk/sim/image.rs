//! Which of the unsynced changes an image keeps.

use super::pages::Pages;
use super::replay::{Base, Fate, FileChange, Layer, Replay, Snapshot};

const SECTOR_BYTES: u64 = 512;

/// What a crash leaves of what was not synced. What was synced is always there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Nothing of it.
    NothingUnsynced,
    /// All of it.
    Everything,
    /// Every change is kept or lost by chance, writes sector by sector, in any combination.
    Random,
    /// All of it, but of the last write only the first bytes, their number by chance.
    TornLast,
    /// All of it but the lengths that were set; a write beyond the end still makes a file longer.
    LostSetLen,
    /// All of it, but no file is longer than it was when it was last synced.
    LostGrowth,
}

impl Plan {
    /// Every plan, for sweeps.
    pub const ALL: [Self; 6] =
        [Self::NothingUnsynced, Self::Everything, Self::Random, Self::TornLast, Self::LostSetLen, Self::LostGrowth];
}

/// Makes one image.
pub(super) struct Picker {
    plan: Plan,
    random: fastrand::Rng,
    /// Probability that something is kept, in [`Plan::Random`].
    keep: f64,
    last_write: Option<usize>,
}

impl Picker {
    pub(super) fn new(plan: Plan, seed: u64, replay: &Replay) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let keep = random.choice([0.1, 0.5, 0.9]).unwrap_or(0.5);
        Self { plan, random, keep, last_write: replay.last_write }
    }

    /// The disk as it may be found.
    pub(super) fn image(mut self, replay: &Replay) -> Snapshot {
        let mut names = replay.names.base.clone();
        for layer in &replay.names.above {
            if self.keeps(layer) {
                names.apply(&layer.change);
            }
        }
        let files = names.0.values().filter_map(|file| Some((*file, self.file(*file, replay)?))).collect();
        Snapshot { names, files }
    }

    fn file(&mut self, file: u64, replay: &Replay) -> Option<Pages> {
        let layers = replay.files.get(&file)?;
        let mut pages = layers.base.clone();
        let mut settled_bytes = pages.len();
        for layer in &layers.above {
            if layer.fate == Fate::Settled {
                pages.apply(&layer.change);
                settled_bytes = settled_length(settled_bytes, &layer.change);
            } else {
                self.put(layer, &mut pages);
            }
        }
        if self.plan == Plan::LostGrowth && pages.len() > settled_bytes {
            pages.apply(&FileChange::SetLen { bytes: settled_bytes });
        }
        Some(pages)
    }

    /// Makes what is kept of an unsynced change.
    fn put(&mut self, layer: &Layer<FileChange>, pages: &mut Pages) {
        match &layer.change {
            FileChange::Write { offset, bytes } if self.plan == Plan::TornLast => {
                let kept = if self.last_write == Some(layer.operation) {
                    self.random.usize(..bytes.len())
                } else {
                    bytes.len()
                };
                write(pages, *offset, bytes.get(..kept).unwrap_or_default());
            }
            // A third of the writes in parts, so that whole ones in a strange order are frequent too.
            FileChange::Write { offset, bytes } if self.plan == Plan::Random && self.random.u8(..3) == 0 => {
                self.put_sectors(*offset, bytes, pages);
            }
            FileChange::SetLen { .. } if self.plan == Plan::LostSetLen => {}
            change => {
                if self.keeps(layer) {
                    pages.apply(change);
                }
            }
        }
    }

    fn put_sectors(&mut self, offset: u64, bytes: &[u8], pages: &mut Pages) {
        let (mut offset, mut rest) = (offset, bytes);
        while !rest.is_empty() {
            let room = usize::try_from(SECTOR_BYTES - offset % SECTOR_BYTES).unwrap_or(rest.len());
            let (sector, after) = rest.split_at(room.min(rest.len()));
            if self.random.f64() < self.keep {
                write(pages, offset, sector);
            }
            offset += sector.len() as u64;
            rest = after;
        }
    }

    fn keeps<C>(&mut self, layer: &Layer<C>) -> bool {
        layer.fate == Fate::Settled
            || match self.plan {
                Plan::NothingUnsynced => false,
                Plan::Random => self.random.f64() < self.keep,
                Plan::Everything | Plan::TornLast | Plan::LostSetLen | Plan::LostGrowth => true,
            }
    }
}

fn write(pages: &mut Pages, offset: u64, bytes: &[u8]) {
    if !bytes.is_empty() {
        pages.write(offset, bytes).expect("it was written before, when it was made");
    }
}

/// The length of a file of `bytes` after a change.
fn settled_length(bytes: u64, change: &FileChange) -> u64 {
    match change {
        FileChange::SetLen { bytes } => *bytes,
        FileChange::Write { offset, bytes: written } => bytes.max(offset.saturating_add(written.len() as u64)),
    }
}
