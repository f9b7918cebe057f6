//! Scans of state, beside a writer that goes on.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::super::disk::sim::SimDisk;
use super::super::disk::{Disk, DiskFile, Open};
use super::super::state::FILE;
use super::clock;
use crate::store::embedded::{EmbeddedStore, OpenOptions};
use crate::store::{Owner, Progress, StateChange, Store, UnitOfWork};

/// Longest that something may take that must come.
const DEADLINE: Duration = Duration::from_secs(120);

/// Name of the thread that scans.
const SCANNING: &str = "scanning";

/// A disk on which the next read of the state file by who scans waits for a word, when it is told so.
#[derive(Debug)]
struct Halting {
    below: SimDisk,
    halt: Arc<Mutex<Option<Halt>>>,
}

/// Tells that it has come to the read, and waits.
type Halt = (Sender<()>, Receiver<()>);

#[derive(Debug)]
struct HaltingFile {
    below: Arc<dyn DiskFile>,
    halt: Arc<Mutex<Option<Halt>>>,
}

impl Disk for Halting {
    fn open(&self, name: &str, how: Open) -> io::Result<Arc<dyn DiskFile>> {
        let below = self.below.open(name, how)?;
        Ok(if name == FILE { Arc::new(HaltingFile { below, halt: Arc::clone(&self.halt) }) } else { below })
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.below.list()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.below.remove(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.below.rename(from, to)
    }

    fn sync(&self) -> io::Result<()> {
        self.below.sync()
    }

    fn path(&self, name: &str) -> String {
        self.below.path(name)
    }
}

impl DiskFile for HaltingFile {
    fn len(&self) -> io::Result<u64> {
        self.below.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let halt = || self.halt.lock().unwrap().take();
        if thread::current().name() == Some(SCANNING)
            && let Some((reached, released)) = halt()
        {
            reached.send(()).unwrap();
            // It is released by that the test ends, too.
            let _ = released.recv();
        }
        self.below.read(offset, out)
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.below.write(offset, bytes)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.below.set_len(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.below.sync()
    }
}

fn owner() -> Owner {
    "p".parse().unwrap()
}

/// The values of so many keys from `first` on.
fn work(revision: u64, first: usize, count: usize) -> UnitOfWork {
    let change = |number: usize| StateChange { key: format!("k{number:05}"), value: Some(vec![b'v'; 1000]) };
    UnitOfWork {
        owner: owner(),
        partition: 0,
        progress: Progress { revision, ..Progress::default() },
        state: (first..first + count).map(change).collect(),
        events: Vec::new(),
        dead_letters: Vec::new(),
    }
}

fn keys(store: &EmbeddedStore, prefix: &str, limit: usize) -> Vec<String> {
    let (mut keys, mut after) = (Vec::new(), None::<String>);
    loop {
        let page = store.state_scan(&owner(), prefix, after.as_deref(), limit).unwrap();
        assert!(page.entries.len() <= limit);
        keys.extend(page.entries.into_iter().map(|(key, _)| key));
        match page.next {
            Some(next) => after = Some(next),
            None => return keys,
        }
    }
}

#[test]
fn a_scan_that_waits_for_the_disk_holds_up_no_commit() {
    let disk = SimDisk::new();
    let options = OpenOptions { journal_bytes_max: 64 << 10, cache_bytes: 1 << 20, ..OpenOptions::new("") };
    let filled = EmbeddedStore::open_on(Arc::new(disk.clone()), &options, clock()).unwrap();
    for round in 0..100 {
        filled.commit(work(round as u64 + 1, round * 40, 40)).wait().unwrap();
    }
    drop(filled);
    let halt = Arc::new(Mutex::new(None));
    let halting = Halting { below: disk, halt: Arc::clone(&halt) };
    let store = Arc::new(EmbeddedStore::open_on(Arc::new(halting), &options, clock()).unwrap());
    let ((reached, at_read), (release, released)) = (channel(), channel());
    *halt.lock().unwrap() = Some((reached, released));
    let scan = {
        let store = Arc::clone(&store);
        move || store.state_scan(&owner(), "", None, 10_000).unwrap().entries.len()
    };
    let scanning = thread::Builder::new().name(SCANNING.to_owned()).spawn(scan).unwrap();
    at_read.recv_timeout(DEADLINE).expect("the scan reads the file");
    let (done, committed) = channel();
    let committing = thread::spawn({
        let store = Arc::clone(&store);
        move || done.send(store.commit(work(101, 4000, 1)).wait().is_ok())
    });
    assert_eq!(committed.recv_timeout(DEADLINE), Ok(true), "the commit waits for the scan");
    drop(release);
    assert!(scanning.join().unwrap() > 0);
    committing.join().unwrap().unwrap();
}

#[test]
fn pages_of_any_size_have_every_key_once_however_much_was_removed_last() {
    let disk = SimDisk::new();
    let options = OpenOptions::new("");
    let store = EmbeddedStore::open_on(Arc::new(disk.clone()), &options, clock()).unwrap();
    store.commit(work(1, 0, 3000)).wait().unwrap();
    drop(store);
    let store = EmbeddedStore::open_on(Arc::new(disk), &options, clock()).unwrap();
    let mut removal = work(2, 100, 2500);
    removal.state.iter_mut().for_each(|change| change.value = None);
    store.commit(removal).wait().unwrap();
    let left: Vec<_> = (0..100).chain(2600..3000).map(|number| format!("k{number:05}")).collect();
    for limit in [1, 2, 99, 100, 101, 1000, 5000] {
        assert_eq!(keys(&store, "", limit), left, "{limit} at a time");
    }
    assert_eq!(keys(&store, "k0009", 3), left[90..100]);
    assert_eq!(keys(&store, "k01", 3), [""; 0]);
    assert_eq!(store.state_scan(&owner(), "", None, 0).unwrap().entries, []);
}

#[test]
fn values_larger_than_what_is_copied_at_once_are_all_there() {
    let store = EmbeddedStore::open_on(Arc::new(SimDisk::new()), &OpenOptions::new(""), clock()).unwrap();
    let mut large = work(1, 0, 6);
    large.state.iter_mut().for_each(|change| change.value = Some(vec![b'v'; 300 << 10]));
    store.commit(large).wait().unwrap();
    for limit in [1, 2, 10] {
        assert_eq!(keys(&store, "k", limit).len(), 6, "{limit} at a time");
    }
}
