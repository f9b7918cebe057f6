//! Damaged and foreign files: found by verifying, and never a wrong answer.

use proptest::prelude::*;

use super::*;
use crate::event::Position;
use crate::store::Direction;
use crate::store::embedded::disk::{DiskFile, Open};
use crate::store::embedded::postings::Postings;

const EVENTS: u64 = 900;

fn sampled() -> (MemoryDisk, Model) {
    let (disk, model) = (MemoryDisk::default(), sample(EVENTS));
    write(&disk, "r", &model, 1, EVENTS);
    (disk, model)
}

fn verify(run: &Run) -> Result<(), StoreError> {
    run.verify(&mut |_, _, _| Ok(()))
}

/// Every lookup of an open run is right or an error of damage; answers how many were errors.
fn look_up(run: &Arc<Run>, model: &Model) -> usize {
    let mut failed = 0;
    for (key, positions) in model {
        let probe = Probe::new(STORE_ID, key);
        let first = match stamp(key, positions.len() as u64) {
            None => {
                run.position_of(probe).map(|found| assert_eq!(found, Some(Position(positions[positions.len() - 1]))))
            }
            Some(stamp) => run.stream_head(probe).map(|head| {
                let head = head.unwrap();
                assert_eq!((head.version, head.deleted), (stamp.version, stamp.deleted));
                assert_eq!(head.position, Position(*positions.last().unwrap()));
            }),
        };
        let mut list = run.postings(probe, Direction::Forwards).unwrap();
        let list = list.seek(positions[0]).map(|found| assert_eq!(found, Some(positions[0])));
        failed += [first, list].into_iter().filter_map(Result::err).inspect(assert_names_the_file).count();
    }
    failed
}

fn assert_names_the_file(error: &StoreError) {
    assert!(matches!(error, StoreError::CorruptedFile { file, .. } if file == "r"), "{error}");
}

#[test]
fn every_flipped_bit_is_found_by_verifying() {
    let (disk, _) = sampled();
    let run = open(&disk, "r").unwrap();
    verify(&run).unwrap();
    // All bits of the ends and of one byte in seven of the rest: all parts, in reasonable time.
    let bytes = disk.bytes("r").len();
    for at in (0..bytes).filter(|at| *at < 64 || *at + 64 >= bytes || at % 7 == 0) {
        let bit = 1_u8 << (at / 7 % 8);
        disk.change("r", |bytes| bytes[at] ^= bit);
        assert_names_the_file(&verify(&run).expect_err("a flipped bit is found"));
        disk.change("r", |bytes| bytes[at] ^= bit);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_flipped_bit_never_gives_a_wrong_answer(at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let (disk, model) = sampled();
        let opened_before = open(&disk, "r").unwrap();
        let at = at.index(disk.bytes("r").len());
        disk.change("r", |bytes| bytes[at] ^= 1_u8 << bit);
        let failed = look_up(&opened_before, &model);
        match open(&disk, "r") {
            Ok(run) => prop_assert_eq!(look_up(&run, &model), failed),
            Err(error) => assert_names_the_file(&error),
        }
    }

    #[test]
    fn a_cut_or_longer_file_does_not_open(by in 1..5_000_usize, longer in any::<bool>()) {
        let (disk, _) = sampled();
        disk.change("r", |bytes| {
            let len = if longer { bytes.len() + by } else { bytes.len().saturating_sub(by) };
            bytes.resize(len, 0);
        });
        assert_names_the_file(&open(&disk, "r").unwrap_err());
    }

    #[test]
    fn swapped_pages_are_refused(a in 1..7_usize, b in 1..7_usize) {
        prop_assume!(a != b);
        let (disk, model) = sampled();
        let run = open(&disk, "r").unwrap();
        assert!(run.fences().len() > 6);
        disk.change("r", |bytes| {
            for at in 0..4096 {
                bytes.swap(a * 4096 + at, b * 4096 + at);
            }
        });
        prop_assert!(look_up(&run, &model) > 0);
        assert_names_the_file(&verify(&run).unwrap_err());
    }

    #[test]
    fn arbitrary_entries_never_panic(body in proptest::collection::vec(any::<u8>(), 0..200), left in 0..20_u16) {
        let entries = page::Entries { rest: &body, left };
        let page = page::Page { earlier: 0, entries };
        let _ = page.find(b"\x03stream").map(|piece| piece.map(|piece| reader::head_of(&piece, (1, 1_000))));
        let mut entries = entries;
        while let Ok(Some(entry)) = entries.next() {
            for stream in [false, true] {
                let _ = entry.piece(stream).map(|piece| (piece.positions((1, u64::MAX), |_| {}), piece.first_version()));
            }
        }
    }
}

#[test]
fn what_is_wrong_is_said() {
    let (disk, _) = sampled();
    let error = Run::open(&disk, "r", 5).unwrap_err().to_string();
    assert!(error.contains("belongs to another store"), "{error}");
    assert!(!error.contains("0123"), "the id is the store's secret: {error}");
    disk.change("r", |bytes| bytes[4096 + 100] ^= 1);
    let error = verify(&open(&disk, "r").unwrap()).unwrap_err().to_string();
    assert!(error.contains("page 0 at byte 4096: the checksum does not match"), "{error}");
    disk.change("r", |bytes| bytes[0] = b'x');
    let error = open(&disk, "r").unwrap_err().to_string();
    assert!(error.contains("the header: it does not begin as an index run"), "{error}");
    disk.change("r", |bytes| bytes.truncate(10));
    let error = open(&disk, "r").unwrap_err().to_string();
    assert!(error.contains("cut off"), "{error}");
}

#[test]
fn a_newer_format_is_refused() {
    let (disk, _) = sampled();
    disk.change("r", |bytes| {
        bytes[8] = 2;
        let checksum = xxhash_rust::xxh3::xxh3_64(&bytes[..4088]);
        bytes[4088..4096].copy_from_slice(&checksum.to_le_bytes());
    });
    let error = open(&disk, "r").unwrap_err();
    assert!(matches!(error, StoreError::NewerFormat { found: 2, known: 1, .. }), "{error}");
}

/// A file whose trailer is forged to name a size. Its checksum is right, so only the sums can tell.
#[test]
fn forged_sizes_do_not_allocate() {
    let (disk, _) = sampled();
    let seed = {
        let bytes = disk.bytes("r");
        u64::from_le_bytes(bytes[4088..4096].try_into().unwrap()).wrapping_sub(1)
    };
    for field in 0..3 {
        for size in [0, 1 << 20, 1 << 60, u64::MAX] {
            let (disk, _) = sampled();
            disk.change("r", |bytes| {
                let trailer = bytes.len() - 64;
                let at = trailer + 8 * field;
                bytes[at..at + 8].copy_from_slice(&u64::to_le_bytes(size));
                let checksum = xxhash_rust::xxh3::xxh3_64_with_seed(&bytes[trailer..trailer + 56], seed);
                bytes[trailer + 56..].copy_from_slice(&checksum.to_le_bytes());
            });
            let error = open(&disk, "r").unwrap_err().to_string();
            assert!(error.contains("the sizes of its parts do not add up"), "{error}");
        }
    }
}

#[test]
fn an_error_of_the_disk_is_no_damage() {
    #[derive(Debug)]
    struct Failing(Arc<dyn DiskFile>);
    impl DiskFile for Failing {
        fn len(&self) -> std::io::Result<u64> {
            self.0.len()
        }
        fn read(&self, _: u64, _: &mut [u8]) -> std::io::Result<()> {
            Err(std::io::Error::other("broken"))
        }
        fn write(&self, _: u64, _: &[u8]) -> std::io::Result<()> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn set_len(&self, _: u64) -> std::io::Result<()> {
            Ok(())
        }
        fn sync(&self) -> std::io::Result<()> {
            Ok(())
        }
    }
    #[derive(Debug)]
    struct FailingDisk(MemoryDisk);
    impl Disk for FailingDisk {
        fn open(&self, name: &str, how: Open) -> std::io::Result<Arc<dyn DiskFile>> {
            Ok(Arc::new(Failing(self.0.open(name, how)?)))
        }
        fn list(&self) -> std::io::Result<Vec<String>> {
            self.0.list()
        }
        fn remove(&self, name: &str) -> std::io::Result<()> {
            self.0.remove(name)
        }
        fn rename(&self, from: &str, to: &str) -> std::io::Result<()> {
            self.0.rename(from, to)
        }
        fn sync(&self) -> std::io::Result<()> {
            self.0.sync()
        }
        fn path(&self, name: &str) -> String {
            self.0.path(name)
        }
    }
    let disk = FailingDisk(sampled().0);
    let error = open(&disk, "r").unwrap_err();
    assert!(matches!(&error, StoreError::ReadFailed { reason } if reason.contains("broken")), "{error}");
    let error = RunWriter::create(&disk, "new", options(1, 2)).unwrap().finish().unwrap_err();
    assert!(matches!(&error, StoreError::DiskFull { reason } if reason.starts_with("new: ")), "{error}");
}
