//! Damaged, cut, foreign and missing files: found by verification, refused by reads, never a panic.

use proptest::prelude::*;
use xxhash_rust::xxh3::xxh3_64;

use super::*;
use crate::store::embedded::disk::Disk;

fn open_error(bytes: Vec<u8>) -> StoreError {
    let (disk, _) = written(&events(1..=3, 10));
    let name = file_name(Position(1), 0);
    disk.put(&name, bytes);
    verified(&disk, &name).map(|(summary, _)| summary).unwrap_err()
}

fn whole() -> Vec<u8> {
    written(&events(1..=3, 10)).0.bytes(&file_name(Position(1), 0))
}

/// Changes bytes of the header and makes its checksum right again.
fn with_header(change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut bytes = whole();
    change(&mut bytes[..36]);
    let checksum = xxh3_64(&bytes[..36]);
    bytes[36..44].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

#[test]
fn every_flipped_bit_is_found_and_never_served() {
    let events = events(1..=21, 200);
    let (disk, summary) = written(&events);
    assert!(summary.blocks > 1);
    let name = file_name(summary.first, 0);
    let whole = disk.bytes(&name);
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        disk.put(&name, bytes);
        let error = verified(&disk, &name).map(|(summary, _)| summary).unwrap_err();
        assert!(
            matches!(
                error,
                StoreError::Corrupted { .. } | StoreError::CorruptedFile { .. } | StoreError::NotAStore { .. }
            ),
            "bit {bit}: {error}"
        );
        let (served, error) = scan(&mut cursor(&disk, vec![summary.clone()]), 1..=21);
        assert!(error.is_some(), "bit {bit} is not found by reads");
        assert_eq!(served, events[..served.len()], "bit {bit}");
    }
}

/// A block that goes bad while others of the file are read: what is whole is served, the block is not.
#[test]
fn a_bad_block_is_refused_with_its_position() {
    let events = events(1..=100, 256);
    let (disk, summary) = written(&events);
    let file = disk.file(&file_name(Position(1), 0));
    let mut cursor = cursor(&disk, vec![summary]);
    let bad = cursor.block_at(Position(50)).map(|block| block.first()).unwrap();
    let (served, _) = scan(&mut cursor, 1..=100);
    let at = file.bytes.read().unwrap().windows(8).position(|bytes| bytes == 500_u64.to_le_bytes()).unwrap();
    file.bytes.write().unwrap()[at] ^= 1;
    assert_eq!(served, events);
    for _ in 0..2 {
        let (served, error) = scan(&mut cursor, 1..=100);
        assert_eq!(served, events[..served.len()]);
        assert!(matches!(error, Some(StoreError::Corrupted { position, .. }) if position == bad), "{error:?}");
    }
    assert!(cursor.event(Position(100)).is_ok());
    let error = verified(&disk, &file_name(Position(1), 0)).map(|(summary, _)| summary).unwrap_err();
    assert!(matches!(error, StoreError::Corrupted { position, .. } if position == bad), "{error}");
}

#[test]
fn a_cut_or_longer_file_is_refused() {
    let whole = whole();
    for bytes in 0..whole.len() {
        let error = open_error(whole[..bytes].to_vec());
        assert!(matches!(error, StoreError::CorruptedFile { .. }), "{bytes} bytes: {error}");
    }
    let longer = [&whole[..], &[0]].concat();
    assert!(matches!(open_error(longer), StoreError::CorruptedFile { .. }));
    assert!(open_error(Vec::new()).to_string().contains("it is empty"));
}

#[test]
fn files_of_others_are_told_as_such() {
    let foreign = open_error(vec![b'x'; 5_000]);
    assert!(matches!(foreign, StoreError::NotAStore { .. }), "{foreign}");
    let other_store = open_error(with_header(|header| header[12] ^= 1)).to_string();
    assert!(other_store.contains("it belongs to another store"), "{other_store}");
    // Ids that the host gives follow from it.
    assert!(!other_store.contains("0f1e2d3c4b5a697"), "{other_store}");
    let newer = open_error(with_header(|header| header[8] = 3));
    assert!(matches!(newer, StoreError::NewerFormat { found: 3, known: 2, .. }), "{newer}");
    let other_first = open_error(with_header(|header| header[28] = 9));
    assert!(matches!(other_first, StoreError::CorruptedFile { .. }), "{other_first}");
}

#[test]
fn a_missing_or_exchanged_file_is_refused() {
    let (disk, summary) = written(&events(1..=3, 10));
    let name = file_name(Position(1), 0);
    disk.remove(&name).unwrap();
    let error = cursor(&disk, vec![summary.clone()]).event(Position(1)).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains(&name) && error.contains("missing"), "{error}");
    write(&disk, &events(1..=3, 11)).unwrap();
    let error = cursor(&disk, vec![summary]).event(Position(1)).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains(&name) && error.contains("manifest"), "{error}");
}

/// Verification does not trust checksums alone: what was written wrongly is found too.
#[test]
fn a_wrong_leaf_under_right_checksums_is_found() {
    let disk = MemoryDisk::default();
    let mut writer = SegmentWriter::create(&disk, "s", STORE, Position(1), false).unwrap();
    for event in events(1..=9, 100) {
        let mut raw = Vec::new();
        encoding::encode(&event, &mut raw);
        if event.position == Position(6) {
            raw[100] ^= 1;
        }
        writer.push(Slot::Event(&raw)).unwrap();
    }
    writer.finish().unwrap();
    let error = verified(&disk, "s").map(|(summary, _)| summary).unwrap_err();
    assert!(matches!(error, StoreError::Corrupted { position: Position(6), .. }), "{error}");
}

#[test]
fn a_wrong_sum_under_right_checksums_is_found() {
    // Last position, last time, payload bytes, root; the number of blocks and bytes are found at opening.
    for offset in [8, 24, 40, 56] {
        let mut bytes = whole();
        let trailer = bytes.len() - 112;
        bytes[trailer + 8 + offset] ^= 1;
        let checksum = xxh3_64(&bytes[trailer..trailer + 104]);
        bytes[trailer + 104..].copy_from_slice(&checksum.to_le_bytes());
        let error = open_error(bytes);
        assert!(
            matches!(error, StoreError::CorruptedFile { .. } | StoreError::Corrupted { .. }),
            "summary byte {offset}: {error}"
        );
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
        trailer in proptest::collection::vec(any::<u8>(), 80),
    ) {
        let _ = open_error(bytes.clone());
        // Behind a right header and under right checksums.
        let mut file = whole()[..44].to_vec();
        file.extend_from_slice(&bytes);
        let start = file.len();
        file.extend_from_slice(b"TIDESEGZ\x01\0\0\0\0\0\0\0");
        file.extend_from_slice(&trailer);
        file.extend_from_slice(&xxh3_64(&bytes).to_le_bytes());
        let checksum = xxh3_64(&file[start..]);
        file.extend_from_slice(&checksum.to_le_bytes());
        let _ = open_error(file);
    }

    /// A directory of any content, under right checksums and a trailer that fits it.
    #[test]
    fn an_arbitrary_directory_never_panics(words in proptest::collection::vec(0..200_u32, 2..12), blocks in 0..400_usize) {
        let words = &words[..words.len() / 2 * 2];
        let directory: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let mut file = whole()[..44].to_vec();
        file.resize(44 + blocks, 7);
        let stated = SegmentSummary {
            first: Position(1),
            last: Position(150),
            first_timestamp_us: 0,
            last_timestamp_us: 0,
            blocks: (words.len() / 2) as u64,
            payload_bytes: 0,
            file_bytes: (file.len() + directory.len() + 112) as u64,
            root: [0; 32],
        };
        file.extend_from_slice(&directory);
        file.extend_from_slice(&super::super::format::trailer(&stated, &directory));
        let _ = open_error(file);
    }
}
