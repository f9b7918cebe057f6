//! Torn records, which are dropped, and damaged ones, which are not.

use super::*;

/// A recycled slot: an older, longer journal stands below the records.
fn recycled(payloads: &[&[u8]]) -> (SimDisk, JournalWriter) {
    let (disk, mut old) = journal(&[]);
    (0..40).for_each(|number| put(&mut old, &[number; 90]));
    let mut writer = start(&disk, 2);
    payloads.iter().for_each(|payload| put(&mut writer, payload));
    (disk, writer)
}

const LIVE_2: Live = Live { floor: 2, ..LIVE };

#[test]
fn a_record_torn_at_any_byte_is_dropped_and_written_over() {
    let last: Vec<u8> = (0..=255).cycle().take(700).collect();
    let next: [&[u8]; 4] = [b"", b"short", &[5; 690], &[6; 2_000]];
    for kept in 0..3 {
        let records = [b"one".as_slice(), b"two", b"three"];
        let (before, _) = recycled(&records[..kept]);
        let (after, _) = recycled(&[&records[..kept], &[&last]].concat());
        let (before, after) = (bytes(&before), bytes(&after));
        let begin = 4096 + 64 * kept;
        for cut in 0..40 + last.len() {
            let torn = [&after[..begin + cut], &before[begin + cut..]].concat();
            if torn == after {
                continue;
            }
            let disk = disk_of(&torn);
            let found = replayed(&disk, LIVE_2).unwrap();
            let mut writer = match &found {
                None => start(&disk, 2),
                Some((tail, _)) => JournalWriter::resume(&disk, tail, OPTIONS).unwrap(),
            };
            let mut expected: Vec<_> = records[..kept].iter().map(|record| record.to_vec()).collect();
            assert_eq!(found.map(|(_, found)| found).unwrap_or_default(), expected, "cut at {cut}");
            for payload in [next[cut % next.len()], b"more"] {
                put(&mut writer, payload);
                expected.push(payload.to_vec());
                assert_eq!(replayed(&disk, LIVE_2).unwrap().unwrap().1, expected, "cut at {cut}");
            }
        }
    }
}

#[test]
fn every_flipped_bit_is_found_or_means_nothing() {
    let records: [&[u8]; 4] = [b"one", &[2; 100], b"", b"four"];
    let (disk, writer) = recycled(&records);
    let whole = bytes(&disk);
    let last = usize::try_from(writer.bytes()).unwrap() - 64;
    let disk = disk_of(&whole);
    let (mut found, mut meaningless) = (0, 0);
    for at in 0..last + 64 {
        for bit in 0..8 {
            file(&disk).write(at as u64, &[whole[at] ^ (1 << bit)]).unwrap();
            match replayed(&disk, LIVE_2) {
                Err(StoreError::CorruptedFile { file, .. }) if at < last => {
                    assert_eq!(file, "journal-0");
                    found += 1;
                }
                Err(StoreError::NotAStore { .. }) if at < 8 => found += 1,
                Ok(Some((_, read))) if at >= last && read == records[..3] => found += 1,
                Ok(Some((_, read))) if read == records => meaningless += 1,
                other => panic!("bit {bit} of byte {at}: {other:?}"),
            }
        }
        file(&disk).write(at as u64, &whole[at..=at]).unwrap();
    }
    let said = 4096 + records.iter().map(|record| 40 + record.len()).sum::<usize>();
    assert_eq!(found, 8 * said);
    assert_eq!(meaningless, 8 * (last + 64 - said), "what lies between records");
}

#[test]
fn damage_is_said_with_file_and_offset() {
    let (disk, _) = journal(&[b"one", b"two", b"three"]);
    file(&disk).write(4096 + 64 + 41, b"W").unwrap();
    let error = replayed(&disk, LIVE).unwrap_err().to_string();
    assert!(error.contains("journal-0") && error.contains("byte 4160") && error.contains("byte 4224"), "{error}");
}

#[test]
fn a_record_behind_a_damaged_one_is_evidence_even_when_it_is_torn() {
    let (disk, _) = journal(&[b"one", b"two", b"three"]);
    file(&disk).write(4096 + 64 + 41, b"W").unwrap();
    file(&disk).write(4096 + 128 + 41, b"H").unwrap();
    assert!(matches!(replayed(&disk, LIVE), Err(StoreError::CorruptedFile { .. })));
}

#[test]
fn a_lost_first_record_is_damage_only_if_others_follow() {
    for (records, damaged) in [(1, false), (2, true)] {
        let (disk, _) = recycled(&[b"one".as_slice(), b"two"][..records]);
        // The write was lost: the old journal's first record stands there still.
        let (old, _) = recycled(&[]);
        file(&disk).write(4096, &bytes(&old)[4096..4096 + 64]).unwrap();
        let found = replayed(&disk, LIVE_2);
        if damaged {
            assert!(matches!(found, Err(StoreError::CorruptedFile { .. })));
        } else {
            assert!(found.unwrap().is_none());
        }
    }
}

/// A store went on, its files were kept, it was set back by a backup, and is given the files as data: what
/// they hold verifies, but it is not at its place.
#[test]
fn bytes_of_a_journal_inside_a_payload_are_no_records() {
    let (later, _) = journal(&[b"one", b"two", b"three", b"four", b"five", b"six", b"seven"]);
    let copy = bytes(&later)[4096..].to_vec();
    let (disk, mut writer) = journal(&[b"one"]);
    writer.append(&[&[0; 24], &copy]).unwrap();
    file(&disk).write(writer.bytes() - 64, &[1; 64]).unwrap();
    let (tail, found) = replayed(&disk, LIVE).unwrap().unwrap();
    assert_eq!(found, [b"one"]);
    let mut writer = JournalWriter::resume(&disk, &tail, OPTIONS).unwrap();
    put(&mut writer, b"two");
    assert_eq!(payloads(&disk), [b"one", b"two"]);
}

#[test]
fn a_journal_of_another_store_is_none_of_this() {
    let (disk, _) = journal(&[b"one", b"two"]);
    assert!(replayed(&disk, Live { seed: SEED + 1, floor: 0 }).unwrap().is_none());
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(records in vec(any::<u8>(), 0..2_000), length in any::<u32>()) {
        let (disk, mut writer) = journal(&[b"one"]);
        put(&mut writer, &records);
        file(&disk).write(4096 + 4, &length.to_le_bytes()).unwrap();
        let refused = matches!(replayed(&disk, LIVE), Err(StoreError::CorruptedFile { .. }));
        prop_assert!(length == 3 || refused);
        file(&disk).write(4096, &records).unwrap();
        let _ = replayed(&disk, LIVE);
    }
}
