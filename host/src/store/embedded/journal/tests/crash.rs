//! Journals in recycled slots, cut off by crashes at every operation, again and again.

use super::*;
use crate::store::embedded::disk::sim::Plan;

/// What was answered, told apart from what is on the disk.
#[derive(Clone, Debug, Default)]
struct Ledger {
    /// Payloads of each journal from sequence 1 on; all but the last are full.
    journals: Vec<Vec<Vec<u8>>>,
    /// The record that was being written: it may be there.
    unanswered: Option<Vec<u8>>,
    /// Lowest sequence that is not sealed.
    floor: u64,
}

/// Where a run was when so many operations were done.
struct Run {
    disk: SimDisk,
    marks: Vec<(usize, Ledger)>,
}

fn payload(random: &mut fastrand::Rng) -> Vec<u8> {
    let bytes_max = if random.u8(..4) == 0 { 3_000 } else { 150 };
    let mut payload = vec![0; random.usize(..bytes_max)];
    random.fill(&mut payload);
    payload
}

impl Run {
    fn mark(&mut self, ledger: &Ledger) {
        self.marks.push((self.disk.operations(), ledger.clone()));
    }

    /// What was known just after so many operations.
    fn ledger_at(&self, operations: usize) -> &Ledger {
        &self.marks.iter().rev().find(|(at, _)| *at <= operations).unwrap().1
    }

    /// Writes some records into the last journal, or one more, each in the slot of an earlier one.
    fn go_on(disk: SimDisk, mut ledger: Ledger, tail: Option<Tail>, random: &mut fastrand::Rng) -> Self {
        let mut run = Self { disk, marks: Vec::new() };
        run.mark(&ledger);
        let mut writer = match tail {
            Some(tail) => JournalWriter::resume(&run.disk, &tail, OPTIONS).unwrap(),
            None => run.rotate(&mut ledger),
        };
        for _ in 0..random.usize(2..12) {
            if random.u8(..5) == 0 && writer.records() > 0 {
                writer = run.rotate(&mut ledger);
            }
            let payload = payload(random);
            ledger.unanswered = Some(payload.clone());
            run.mark(&ledger);
            put(&mut writer, &payload);
            ledger.unanswered = None;
            ledger.journals.last_mut().unwrap().push(payload);
            run.mark(&ledger);
        }
        run
    }

    /// Seals all journals but the last, and starts one in a slot that is free then.
    fn rotate(&mut self, ledger: &mut Ledger) -> JournalWriter {
        let last = ledger.journals.len() as u64;
        if ledger.journals.last().is_none_or(|records| !records.is_empty()) {
            ledger.journals.push(Vec::new());
        }
        ledger.floor = last.max(1);
        self.mark(ledger);
        let sequence = ledger.journals.len() as u64;
        let slot = u32::try_from(sequence % 2).unwrap();
        JournalWriter::start(&self.disk, Place { slot, sequence }, OPTIONS).unwrap()
    }
}

/// Recovers a disk; answers what is wrong, or the tail of the last journal.
fn recover(disk: &SimDisk, ledger: &mut Ledger) -> Result<Option<Tail>, String> {
    let live = Live { seed: SEED, floor: ledger.floor };
    let mut readers = Vec::new();
    for slot in super::slots(disk).unwrap() {
        readers.extend(JournalReader::open(disk, slot, live).map_err(|error| error.to_string())?);
    }
    readers.sort_by_key(JournalReader::sequence);
    let (mut last, mut found) = (None, Vec::new());
    for reader in readers {
        let sequence = reader.sequence();
        let mut payloads = Vec::new();
        let visited = reader.replay(|_, payload| {
            payloads.push(payload.to_vec());
            Ok(())
        });
        last = Some(visited.map_err(|error| error.to_string())?);
        found.push((sequence, payloads));
    }
    let expected = (1..)
        .zip(ledger.journals.clone())
        .filter(|(sequence, records)| *sequence >= ledger.floor && !records.is_empty());
    let expected: Vec<(u64, Vec<Vec<u8>>)> = expected.collect();
    if found == expected {
        ledger.unanswered = None;
    } else {
        let unanswered = ledger.unanswered.take().ok_or("records are missing, or there are others")?;
        ledger.journals.last_mut().ok_or("there was no journal yet")?.push(unanswered);
        let expected =
            (1..).zip(&ledger.journals).filter(|(sequence, records)| *sequence >= ledger.floor && !records.is_empty());
        if !expected.eq(found.iter().map(|(sequence, payloads)| (*sequence, payloads))) {
            return Err("records are missing, or there are others".to_owned());
        }
    }
    let newest = ledger.journals.len() as u64;
    Ok(last.filter(|tail| tail.place.sequence == newest))
}

/// Crashes a run at every operation, and runs on from some of the images; answers how many images there
/// were, and what was wrong with some.
fn sweep(run: &Run, depth: u32, random: &mut fastrand::Rng) -> (u64, Vec<String>) {
    let (mut images, mut wrong) = (0, Vec::new());
    for operations in run.marks[0].0..=run.disk.operations() {
        for plan in Plan::ALL {
            let seed = random.u64(..);
            let image = run.disk.crash_image(operations, plan, seed);
            let mut ledger = run.ledger_at(operations).clone();
            images += 1;
            match recover(&image, &mut ledger) {
                Err(reason) => {
                    let operation = run.disk.describe(operations.saturating_sub(1));
                    wrong.push(format!("{plan:?} after {operations} ({operation}), seed {seed}: {reason}"));
                }
                Ok(tail) if depth > 0 && random.u8(..12) == 0 => {
                    let (more, also) = sweep(&Run::go_on(image, ledger, tail, random), depth - 1, random);
                    images += more;
                    wrong.extend(also);
                }
                Ok(_) => {}
            }
        }
    }
    (images, wrong)
}

fn first_run(random: &mut fastrand::Rng, drop_syncs: f64) -> Run {
    let disk = SimDisk::new();
    disk.drop_syncs(drop_syncs, random.u64(..));
    Run::go_on(disk, Ledger { floor: 1, ..Ledger::default() }, None, random)
}

#[test]
fn no_crash_loses_an_answered_record_or_shows_another() {
    let mut images = 0;
    for seed in 0..12 {
        let mut random = fastrand::Rng::with_seed(seed);
        let run = first_run(&mut random, 0.0);
        let (more, wrong) = sweep(&run, 2, &mut random);
        assert!(wrong.is_empty(), "workload {seed}: {wrong:#?}");
        images += more;
    }
    assert!(images > 20_000, "{images}");
}

#[test]
fn a_disk_that_drops_syncs_is_caught() {
    let caught = (0..100).filter(|seed| {
        let mut random = fastrand::Rng::with_seed(*seed);
        let run = first_run(&mut random, 0.02);
        !sweep(&run, 0, &mut random).1.is_empty()
    });
    let caught = caught.count();
    assert!(caught >= 10, "{caught} of 100 workloads");
}
