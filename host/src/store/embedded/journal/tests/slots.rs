//! Files that are slots, that are not yet, and that are not.

use super::*;

fn header() -> Vec<u8> {
    let (disk, _) = journal(&[]);
    bytes(&disk)
}

#[test]
fn slots_are_found_by_name() {
    let disk = SimDisk::new();
    for name in ["journal-10", "journal-2", "journal-02", "journal-", "journal-x", "journal-99999999999", "lock"] {
        disk.open(name, Open::New).unwrap();
    }
    assert_eq!(super::slots(&disk).unwrap(), [2, 10]);
}

#[test]
fn a_slot_that_is_missing_or_unfinished_is_empty_and_can_be_used() {
    assert!(replayed(&SimDisk::new(), LIVE).unwrap().is_none());
    let header = header();
    for cut in (0..40).chain([header.len()]) {
        for lost in [&header[..cut], &[&header[..cut], &vec![0; header.len() - cut]].concat()] {
            let disk = disk_of(lost);
            assert!(replayed(&disk, LIVE).unwrap().is_none(), "cut at {cut}");
            put(&mut start(&disk, 1), b"one");
            assert_eq!(payloads(&disk), [b"one"]);
        }
    }
}

#[test]
fn a_file_of_somebody_else_is_refused_and_left_alone() {
    for foreign in [b"mine".to_vec(), vec![7; 5_000], vec![0; 5_000]] {
        let disk = disk_of(&foreign);
        let error = replayed(&disk, LIVE).unwrap_err();
        assert!(matches!(&error, StoreError::NotAStore { path, .. } if path.ends_with("journal-0")), "{error}");
        assert!(matches!(JournalWriter::start(&disk, FIRST, OPTIONS), Err(JournalError::Broken(_))));
        assert_eq!(bytes(&disk), foreign);
    }
}

#[test]
fn a_newer_format_is_refused_as_such() {
    let mut newer = header();
    newer[8] = 2;
    let check = xxhash_rust::xxh3::xxh3_64(&newer[..12]).to_le_bytes();
    newer[12..16].copy_from_slice(&check[..4]);
    let error = replayed(&disk_of(&newer), LIVE).unwrap_err();
    assert!(matches!(&error, StoreError::NewerFormat { found: 2, known: 1, .. }), "{error}");
    assert!(error.to_string().contains("simulated has format 2"), "{error}");
}

#[test]
fn the_bytes_are_as_drawn() {
    let (disk, writer) = journal(&[b"one"]);
    assert_eq!(writer.bytes(), 4096 + 64);
    let bytes = bytes(&disk);
    assert_eq!(&bytes[..12], b"TMjournl\x01\0\0\0");
    let record = &bytes[4096..4096 + 43];
    assert_eq!(&record[..8], b"TMjr\x03\0\0\0");
    assert_eq!(&record[8..24], [1_u64.to_le_bytes(), 0_u64.to_le_bytes()].concat());
    let check = xxhash_rust::xxh3::xxh3_64_with_seed(&[&record[..24], &4096_u64.to_le_bytes()].concat(), SEED);
    assert_eq!(&record[24..32], check.to_le_bytes());
    assert_eq!(&record[32..40], xxhash_rust::xxh3::xxh3_64_with_seed(b"one", check).to_le_bytes());
    assert_eq!(&record[40..], b"one");
}
