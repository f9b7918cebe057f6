//! The crash sweep: a workload on a simulated disk, the disk as it may be found after a crash at every one of
//! its operations, and what must hold of the store that is opened on it.
//!
//! `TIDEMILL_CRASH_IMAGES` sets how many images are looked at (20,000 unless told), `TIDEMILL_CRASH_SEED` the
//! seed. A failure prints what makes it happen again.

mod check;
mod workload;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

use workload::Acknowledged;

use super::super::disk::sim::{Plan, SimDisk};
use super::open_on;
use crate::store::StoreError;
use crate::store::embedded::EmbeddedStore;

/// Journals so small that a workload seals and merges.
const JOURNAL_BYTES: u64 = 6 << 10;
const STEPS: usize = 60;
const PLANS: [Plan; 5] = [Plan::NothingUnsynced, Plan::Everything, Plan::Random, Plan::TornLast, Plan::LostSetLen];

/// A workload that ran.
struct Ran {
    disk: SimDisk,
    acknowledged: Vec<Acknowledged>,
}

impl Ran {
    fn new(seed: u64, prepare: impl FnOnce(&SimDisk)) -> Self {
        let disk = SimDisk::new();
        prepare(&disk);
        let acknowledged = match open_on(&disk, JOURNAL_BYTES) {
            Ok(store) => workload::run(&store, seed, STEPS, &|| disk.operations()),
            Err(_) => Vec::new(),
        };
        Self { disk, acknowledged }
    }

    /// What must be there after a crash at an operation.
    fn acknowledged_by(&self, operation: usize) -> &[Acknowledged] {
        let count = self.acknowledged.partition_point(|acknowledged| acknowledged.operations <= operation);
        &self.acknowledged[..count]
    }
}

/// Opens an image, checks it, and, if it holds up, does so again with the image of a crash in its recovery.
fn check_image(ran: &Ran, operation: usize, plan: Plan, seed: u64) -> Result<(), String> {
    let image = ran.disk.crash_image(operation, plan, seed);
    let acknowledged = ran.acknowledged_by(operation);
    check_disk(&image, acknowledged)?;
    if seed.is_multiple_of(4) {
        let again = fastrand::Rng::with_seed(seed).usize(..=image.operations());
        check_disk(&image.crash_image(again, Plan::Random, seed), acknowledged)
            .map_err(|what| format!("after a second crash at operation {again} of the recovery: {what}"))?;
    }
    Ok(())
}

fn check_disk(disk: &SimDisk, acknowledged: &[Acknowledged]) -> Result<(), String> {
    let checked = catch_unwind(AssertUnwindSafe(|| {
        let store = open_on(disk, JOURNAL_BYTES).map_err(|error: StoreError| format!("it does not open: {error}"))?;
        check::check(&store, acknowledged)?;
        check_sound(&store)?;
        check::check_writable(&store)
    }));
    checked.unwrap_or_else(|_| Err("it panics".to_owned()))
}

/// Every byte is what it should be, and the index says what the log says.
fn check_sound(store: &EmbeddedStore) -> Result<(), String> {
    let report = store.verify(&mut |_| ()).map_err(|error| error.to_string())?;
    match report.problems.first() {
        None => Ok(()),
        Some(problem) => Err(format!("verifying finds {problem:?}")),
    }
}

/// The sweep would be worth little if its workload did not come to what it is about.
#[test]
fn the_workload_seals_merges_and_compacts() {
    let disk = SimDisk::new();
    let store = open_on(&disk, JOURNAL_BYTES).unwrap();
    workload::run(&store, 1, 4 * STEPS, &|| disk.operations());
    super::settle(&store);
    super::eventually("something is compacted and merged", || {
        let sizes = store.sizes().unwrap();
        sizes.stubs > 0 && sizes.runs_by_level.len() > 1
    });
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn every_crash_image_keeps_the_promises() {
    let images = number("TIDEMILL_CRASH_IMAGES", 20_000) as usize;
    let seed = number("TIDEMILL_CRASH_SEED", 1);
    let (checked, workloads) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                while checked.load(Ordering::Relaxed) < images {
                    let seed = seed.wrapping_add(workloads.fetch_add(1, Ordering::Relaxed) as u64);
                    let ran = Ran::new(seed, |_| ());
                    for operation in 0..=ran.disk.operations() {
                        let plan = PLANS[(operation + seed as usize) % PLANS.len()];
                        let image_seed = seed.wrapping_mul(1_000_003).wrapping_add(operation as u64);
                        if let Err(what) = check_image(&ran, operation, plan, image_seed) {
                            let after = ran.disk.describe(operation.saturating_sub(1));
                            panic!("workload {seed}, {plan:?} after operation {operation} ({after}): {what}");
                        }
                        if checked.fetch_add(1, Ordering::Relaxed) >= images {
                            return;
                        }
                    }
                }
            });
        }
    });
    assert!(checked.load(Ordering::Relaxed) >= images);
}

/// The first of the images of some workloads that fails. It ends there: redb may bring the process down over
/// what a lying disk left of its pages, and each image more is a chance of that.
fn first_failure(prepare: impl Fn(&SimDisk, u64), spoil: impl Fn(&mut Ran)) -> Result<(), String> {
    for seed in 100..112 {
        let mut ran = Ran::new(seed, |disk| prepare(disk, seed));
        spoil(&mut ran);
        for operation in (0..=ran.disk.operations()).step_by(3) {
            let plan = if operation % 2 == 0 { Plan::NothingUnsynced } else { Plan::Random };
            check_image(&ran, operation, plan, operation as u64)
                .map_err(|what| format!("workload {seed}, {plan:?} after operation {operation}: {what}"))?;
        }
    }
    Ok(())
}

#[test]
fn the_sweep_catches_a_disk_that_drops_two_percent_of_its_syncs() {
    assert_eq!(first_failure(|_, _| (), |_| ()), Ok(()), "an honest disk");
    assert!(first_failure(|disk, seed| disk.drop_syncs(0.02, seed), |_| ()).is_err());
}

#[test]
fn the_sweep_catches_an_answer_before_the_commit() {
    // As if each answer had come before the sync and the write that it is about.
    let early = |ran: &mut Ran| {
        for acknowledged in &mut ran.acknowledged {
            acknowledged.operations = acknowledged.operations.saturating_sub(2);
        }
    };
    assert!(first_failure(|_, _| (), early).is_err());
}

#[test]
fn the_sweep_catches_a_checkpoint_before_its_effects() {
    let disk = SimDisk::new();
    let store = open_on(&disk, JOURNAL_BYTES).unwrap();
    workload::run(&store, 7, STEPS, &|| disk.operations());
    assert_eq!(check::check(&store, &[]), Ok(()));
    workload::commit_checkpoint_alone(&store);
    let found = check::check(&store, &[]).unwrap_err();
    assert!(found.contains("counted") || found.contains("echoes"), "{found}");
}
