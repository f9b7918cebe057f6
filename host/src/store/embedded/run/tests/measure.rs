//! What lookups and merges cost. Run by hand, in release, on a quiet machine.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::Instant;

use uuid::Uuid;

use super::*;
use crate::store::embedded::disk::{DiskFile, Open};
use crate::store::embedded::postings::Postings;
use crate::store::{Direction, Removals};

/// Files of a directory, as plain as can be.
#[derive(Debug)]
struct Directory(PathBuf);

#[derive(Debug)]
struct PlainFile(File);

impl Disk for Directory {
    fn open(&self, name: &str, how: Open) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = File::options();
        options.read(true).write(true).create_new(how == Open::New);
        Ok(Arc::new(PlainFile(options.open(self.0.join(name))?)))
    }
    fn list(&self) -> io::Result<Vec<String>> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.0.join(name))
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.0.join(from), self.0.join(to))
    }
    fn sync(&self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }
    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl DiskFile for PlainFile {
    fn len(&self) -> io::Result<u64> {
        self.0.metadata().map(|metadata| metadata.len())
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }
    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }
    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }
    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

const EVENTS: u64 = 2_000_000;
const RUNS: u64 = 8;

/// The keys of an event: one of a million streams, of 100,000 tags, of 4 types, a random id.
fn keys_of(position: u64) -> [Key; 5] {
    let mut random = fastrand::Rng::with_seed(position);
    let stream = format!("order-{}", random.u32(..1_000_000));
    [
        Key::id(Uuid::from_u128(random.u128(..))),
        Key::new(Kind::Type, [&b"Placed"[..], b"Paid", b"Sent", b"Closed"][random.usize(..4)]),
        Key::new(Kind::Category, b"order"),
        Key::new(Kind::Stream, stream.as_bytes()),
        Key::new(Kind::Tag, format!("customer:{}", random.u32(..100_000)).as_bytes()),
    ]
}

/// Writes a run of a range; `versions` counts the events of streams before it.
fn write_range(disk: &Directory, first: u64, last: u64, versions: &mut BTreeMap<Key, u64>) -> (Arc<Run>, f64) {
    let mut postings: Vec<_> = (first..=last).flat_map(|at| keys_of(at).map(|key| (key, at))).collect();
    postings.sort_unstable();
    let lists: Vec<(Key, Vec<u64>, Option<Stamp>)> = postings
        .chunk_by(|a, b| a.0 == b.0)
        .map(|list| {
            let key = list[0].0.clone();
            let stamp = (key.as_bytes()[0] == Kind::Stream as u8).then(|| {
                let version = versions.entry(key.clone()).or_default();
                *version += list.len() as u64;
                Stamp { version: Version(*version), deleted: false }
            });
            (key, list.iter().map(|(_, at)| *at).collect(), stamp)
        })
        .collect();
    let (name, start) = (format!("{first}-{last}"), Instant::now());
    let keys_max = lists.len() as u64;
    let mut writer = RunWriter::create(disk, &name, RunOptions { keys_max, level: 0, ..options(first, last) }).unwrap();
    for (key, list, stamp) in &lists {
        writer.push(key.as_bytes(), list, *stamp).unwrap();
    }
    writer.finish().unwrap();
    let seconds = start.elapsed().as_secs_f64();
    (open(disk, &name).unwrap(), lists.len() as f64 / seconds)
}

/// Seconds that this thread has run so far: what others on the machine take does not count.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

/// Nanoseconds of each of `times` calls: the best of some short rounds, as others share the machine.
fn nanos(times: u64, mut call: impl FnMut(u64)) -> f64 {
    let round = times.div_ceil(16);
    let mut best = f64::MAX;
    for from in (0..times).step_by(round as usize) {
        let start = Instant::now();
        (from..(from + round).min(times)).for_each(&mut call);
        best = best.min(start.elapsed().as_nanos() as f64 / round as f64);
    }
    best
}

#[test]
#[ignore = "measures; takes some seconds in release"]
fn costs() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Directory(directory.path().to_owned());
    let mut versions = BTreeMap::new();
    let step = EVENTS / RUNS;
    let mut runs = Vec::new();
    for at in 0..RUNS {
        let (run, rate) = write_range(&disk, at * step + 1, (at + 1) * step, &mut versions);
        println!("write: {:.2} M keys/s, {:.1} bytes/event", rate / 1e6, run.bytes() as f64 / step as f64);
        runs.push(run);
    }
    let entries: u64 = runs.iter().map(|run| run.key_count()).sum();
    let options = RunOptions { keys_max: entries, level: 1, ..options(1, EVENTS) };
    let (start, cpu) = (Instant::now(), cpu_seconds());
    let summary =
        merge(&runs, RunWriter::create(&disk, "merged", options).unwrap(), &Removals::default(), &|| true).unwrap();
    let (seconds, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    println!(
        "merge: {:.2} M entries/s ({:.2} M per second of its thread), {:.2} M postings/s, {:.0} MB/s, {:.1} bytes/event",
        entries as f64 / seconds / 1e6,
        entries as f64 / cpu / 1e6,
        summary.postings as f64 / seconds / 1e6,
        summary.bytes as f64 / seconds / 1e6,
        summary.bytes as f64 / EVENTS as f64
    );
    let start = Instant::now();
    let run = open(&disk, "merged").unwrap();
    println!("open: {:.1} ms", start.elapsed().as_secs_f64() * 1e3);
    let again = nanos(16, |_| drop(open(&disk, "merged").unwrap()));
    println!("open again: {:.1} ms", again / 1e6);
    look_up(&run);
    let start = Instant::now();
    run.verify(&mut |_, _, _| Ok(())).unwrap();
    println!("verify: {:.2} M postings/s", summary.postings as f64 / start.elapsed().as_secs_f64() / 1e6);
}

fn look_up(run: &Arc<Run>) {
    let mut random = fastrand::Rng::with_seed(0);
    let absent: Vec<_> = (0..1 << 20).map(|_| id_bytes(Uuid::from_u128(random.u128(..)))).collect();
    let mut passed = 0;
    let hash = nanos(1 << 20, |at| {
        std::hint::black_box(Probe::of_bytes(STORE_ID, &absent[at as usize]));
    });
    let filter = nanos(1 << 20, |at| {
        passed += u64::from(run.may_contain(Probe::of_bytes(STORE_ID, &absent[at as usize])));
    });
    println!("absent: hash {hash:.0} ns, hash and filter {filter:.0} ns, {:.2} % pass", passed as f64 / 10_485.76);
    let keys: Vec<_> = (0..160_000).map(|_| keys_of(random.u64(1..=EVENTS))).collect();
    let mut page = [0; 4096];
    let mut pages = fastrand::Rng::with_seed(1);
    let read = nanos(160_000, |_| run.read_pages(pages.usize(..run.fences().len()), &mut page).unwrap());
    let fence = nanos(160_000, |at| {
        std::hint::black_box(run.fences().page_of(keys[at as usize][0].as_bytes(), 0));
    });
    let checksum = nanos(160_000, |at| {
        std::hint::black_box(xxhash_rust::xxh3::xxh3_64_with_seed(&page, at));
    });
    println!("parts: read of a page {read:.0} ns, checksum {checksum:.0} ns, search of the fences {fence:.0} ns");
    let id = nanos(160_000, |at| {
        run.position_of(Probe::new(STORE_ID, &keys[at as usize][0])).unwrap().unwrap();
    });
    let head = nanos(160_000, |at| {
        run.stream_head(Probe::new(STORE_ID, &keys[at as usize][3])).unwrap().unwrap();
    });
    let version = nanos(160_000, |at| {
        let probe = Probe::new(STORE_ID, &keys[at as usize][3]);
        run.first_position_after_version(probe, Version(0)).unwrap().unwrap();
    });
    let tag = nanos(160_000, |at| walk(run, &keys[at as usize][4], Direction::Backwards, 1));
    println!("present: id {id:.0} ns, head {head:.0} ns, version {version:.0} ns, last of a tag {tag:.0} ns");
    for direction in [Direction::Forwards, Direction::Backwards] {
        let list = nanos(1, |_| walk(run, &keys[0][1], direction, EVENTS / 5));
        println!("list of a type, {direction:?}: {:.2} ns a position", list / (EVENTS / 5) as f64);
    }
    let mut count = 0;
    let all = nanos(1, |_| count = run.keys(&Key::new(Kind::Stream, b"order-1"), None).count());
    println!("streams by prefix: {:.0} ns each of {count}", all / count as f64);
}

fn walk(run: &Arc<Run>, key: &Key, direction: Direction, steps: u64) {
    let mut list = run.postings(Probe::new(STORE_ID, key), direction).unwrap();
    let mut bound = if direction == Direction::Forwards { 0 } else { u64::MAX };
    for _ in 0..steps {
        let found = list.seek(bound).unwrap().unwrap();
        bound = if direction == Direction::Forwards { found + 1 } else { found - 1 };
    }
}
