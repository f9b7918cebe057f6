//! Writing, looking up and merging against a map.

use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;

use super::*;
use crate::store::embedded::key::Head;
use crate::store::embedded::postings::Postings;
use crate::store::embedded::run::keys::KeySummary;
use crate::store::{Direction, Removals};

fn any_key() -> impl Strategy<Value = Key> {
    let name = prop_oneof!["[ab]{1,4}", "[a-c]{200,255}", "order-[0-9]{1,3}"];
    let kind = prop_oneof![Just(Kind::Type), Just(Kind::Category), Just(Kind::Stream), Just(Kind::Tag)];
    prop_oneof![
        any::<[u8; 16]>().prop_map(|id| Key::new(Kind::Id, &id)),
        (kind, name).prop_map(|(kind, name)| Key::new(kind, name.as_bytes())),
    ]
}

/// Lists short and long, dense and wide, within 1..=LAST.
fn any_positions() -> impl Strategy<Value = Vec<u64>> {
    prop_oneof![
        6 => btree_set(1..=LAST, 1..4).prop_map(|set| set.into_iter().collect()),
        2 => btree_set(1..=LAST, 1..300).prop_map(|set| set.into_iter().collect()),
        1 => (1..LAST / 2, 1..20_000_u64, 1..100_u64).prop_map(|(first, count, step)| {
            (0..count).map(|at| first + at * step).take_while(|position| *position <= LAST).collect()
        }),
    ]
}

const LAST: u64 = 1 << 20;

fn any_model() -> impl Strategy<Value = Model> {
    btree_map(any_key(), any_positions(), 0..120)
}

fn probe(key: &Key) -> Probe<'_> {
    Probe::new(STORE_ID, key)
}

fn nearest(positions: &[u64], bound: u64, direction: Direction) -> Option<u64> {
    match direction {
        Direction::Forwards => positions.get(positions.partition_point(|position| *position < bound)).copied(),
        Direction::Backwards => positions[..positions.partition_point(|position| *position <= bound)].last().copied(),
    }
}

fn check_list(run: &Arc<Run>, key: &Key, positions: &[u64], bounds: &[u64]) {
    for direction in [Direction::Forwards, Direction::Backwards] {
        let mut list = run.postings(probe(key), direction).expect("no false negatives");
        let mut bounds = bounds.to_vec();
        bounds.sort_unstable();
        if direction == Direction::Backwards {
            bounds.reverse();
        }
        for bound in bounds {
            assert_eq!(list.seek(bound).unwrap(), nearest(positions, bound, direction), "{bound} {direction:?}");
        }
        let mut list = run.postings(probe(key), direction).unwrap();
        let (mut bound, mut stepped) = (if direction == Direction::Forwards { 0 } else { u64::MAX }, Vec::new());
        while let Some(position) = list.seek(bound).unwrap() {
            stepped.push(position);
            bound = if direction == Direction::Forwards { position + 1 } else { position - 1 };
        }
        if direction == Direction::Backwards {
            stepped.reverse();
        }
        assert!(stepped == positions, "all positions, each once, {direction:?}");
    }
}

fn check_stream(run: &Arc<Run>, key: &Key, positions: &[u64], bounds: &[u64]) {
    let last = Position(*positions.last().unwrap());
    let head = Head { version: Version(positions.len() as u64), position: last, deleted: is_deleted(key) };
    assert_eq!(run.stream_head(probe(key)).unwrap(), Some(head));
    for bound in bounds.iter().map(|bound| bound % (positions.len() as u64 + 2)) {
        let expected = positions.get(bound as usize).map(|position| Position(*position));
        assert_eq!(run.first_position_after_version(probe(key), Version(bound)).unwrap(), expected);
    }
}

fn check(run: &Arc<Run>, model: &Model, bounds: &[u64]) {
    for (key, positions) in model {
        check_list(run, key, positions, bounds);
        match stamp(key, 1) {
            Some(_) => check_stream(run, key, positions, bounds),
            None => assert_eq!(run.position_of(probe(key)).unwrap(), Some(Position(positions[positions.len() - 1]))),
        }
    }
    check_keys(run, model);
    check_verify(run, model);
    assert_eq!(run.key_count(), model.len() as u64);
    assert_eq!(run.posting_count(), model.values().map(|list| list.len() as u64).sum::<u64>());
}

fn check_keys(run: &Arc<Run>, model: &Model) {
    let middle = model.keys().nth(model.len() / 2);
    for prefix in [Key::new(Kind::Stream, b""), Key::new(Kind::Tag, b"a"), Key::new(Kind::Stream, b"order-1")] {
        for after in [None, middle, model.keys().find(|key| **key > prefix)] {
            let matches =
                |key: &&Key| key.as_bytes().starts_with(prefix.as_bytes()) && after.is_none_or(|after| *key > after);
            let expected: Vec<_> = model
                .keys()
                .filter(matches)
                .map(|key| {
                    let list = &model[key];
                    let head = stamp(key, list.len() as u64).map(|stamp| Head {
                        version: stamp.version,
                        position: Position(*list.last().unwrap()),
                        deleted: stamp.deleted,
                    });
                    KeySummary { key: key.as_bytes().into(), count: list.len() as u64, head }
                })
                .collect();
            assert_eq!(run.keys(&prefix, after).collect::<Result<Vec<_>, _>>().unwrap(), expected);
        }
    }
}

fn check_verify(run: &Arc<Run>, model: &Model) {
    let mut expected =
        model.iter().flat_map(|(key, list)| (1..).zip(list).map(move |(at, position)| (key, at, *position)));
    run.verify(&mut |key, position, head| {
        let (model_key, at, model_position) = expected.next().unwrap();
        assert_eq!((key, position.0), (model_key.as_bytes(), model_position));
        assert_eq!(head.map(|head| (head.version.0, head.position)), stamp(model_key, at).map(|_| (at, position)));
        let deleted = at == model[model_key].len() as u64 && is_deleted(model_key);
        assert!(head.is_none_or(|head| head.deleted == deleted));
        Ok(())
    })
    .unwrap();
    assert_eq!(expected.next(), None);
}

fn any_bounds() -> impl Strategy<Value = Vec<u64>> {
    vec(prop_oneof![1..=LAST, Just(0), Just(u64::MAX)], 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_run_is_the_map_it_was_written_from(model in any_model(), bounds in any_bounds(), absent in vec(any_key(), 20)) {
        let disk = MemoryDisk::default();
        let summary = write(&disk, "r", &model, 1, LAST);
        let run = open(&disk, "r").unwrap();
        assert_eq!((run.range(), run.level(), run.bytes()), ((Position(1), Position(LAST)), 3, summary.bytes));
        check(&run, &model, &bounds);
        for key in absent.iter().filter(|key| !model.contains_key(key)) {
            assert_eq!(run.position_of(probe(key)).unwrap(), None);
            assert_eq!(run.stream_head(probe(key)).unwrap(), None);
            assert_eq!(run.first_position_after_version(probe(key), Version(0)).unwrap(), None);
            if let Some(mut list) = run.postings(probe(key), Direction::Forwards) {
                assert_eq!(list.seek(0).unwrap(), None);
            }
        }
    }

    #[test]
    fn merged_runs_are_the_whole_map(model in any_model(), cuts in btree_set(2..=LAST, 0..7), bounds in any_bounds()) {
        let disk = MemoryDisk::default();
        let starts: Vec<_> = std::iter::once(1).chain(cuts).collect();
        let ends = starts.iter().skip(1).map(|start| start - 1).chain([LAST]);
        let runs: Vec<_> = starts.iter().zip(ends).map(|(first, last)| {
            let name = format!("r{first}");
            write(&disk, &name, &model, *first, last);
            open(&disk, &name).unwrap()
        }).collect();
        let writer = RunWriter::create(&disk, "merged", options(1, LAST)).unwrap();
        merge(&runs, writer, &Removals::default(), &|| true).unwrap();
        write(&disk, "whole", &model, 1, LAST);
        check(&open(&disk, "merged").unwrap(), &model, &bounds);
        prop_assert!(disk.bytes("merged") == disk.bytes("whole"), "merging gives the same bytes as writing at once");
    }
}

#[test]
fn long_lists_span_pages_and_are_found_by_version() {
    let (disk, model) = (MemoryDisk::default(), sample(30_000));
    write(&disk, "r", &model, 1, 30_000);
    let run = open(&disk, "r").unwrap();
    let hot = Key::new(Kind::Stream, b"hot-1");
    check(&run, &model, &[1, 2, 3, 9_999, 15_000, 29_999, 30_000, 30_001]);
    for version in (0..10_000).step_by(37) {
        let found = run.first_position_after_version(probe(&hot), Version(version)).unwrap();
        assert_eq!(found, Some(Position(3 * (version + 1))));
    }
}

#[test]
fn a_merge_stops_when_told() {
    let (disk, model) = (MemoryDisk::default(), sample(2_000));
    write(&disk, "a", &model, 1, 1_000);
    write(&disk, "b", &model, 1_001, 2_000);
    let runs = [open(&disk, "a").unwrap(), open(&disk, "b").unwrap()];
    let asked = std::cell::Cell::new(0);
    let writer = RunWriter::create(&disk, "m", options(1, 2_000)).unwrap();
    let stopped = merge(&runs, writer, &Removals::default(), &|| asked.replace(asked.get() + 1) < 2);
    assert!(matches!(stopped, Err(StoreError::ShuttingDown)));
    assert_eq!(asked.get(), 3);
    assert!(open(&disk, "m").is_err(), "what was left behind does not open");
}

#[test]
fn a_gap_in_the_versions_of_a_stream_is_not_merged() {
    let disk = MemoryDisk::default();
    for (name, first, version) in [("a", 1, 1), ("b", 11, 3)] {
        let mut writer = RunWriter::create(&disk, name, options(first, first + 9)).unwrap();
        let stamp = Stamp { version: Version(version), deleted: false };
        writer.push(Key::new(Kind::Stream, b"s-1").as_bytes(), &[first], Some(stamp)).unwrap();
        writer.finish().unwrap();
    }
    let runs = [open(&disk, "a").unwrap(), open(&disk, "b").unwrap()];
    let error = merge(&runs, RunWriter::create(&disk, "m", options(1, 20)).unwrap(), &Removals::default(), &|| true)
        .unwrap_err();
    assert!(error.to_string().contains("b is corrupted: stream \"s-1\": its versions have a gap"), "{error}");
}

#[test]
#[should_panic(expected = "keys rise")]
fn keys_out_of_order_are_our_mistake() {
    let mut writer = RunWriter::create(&MemoryDisk::default(), "r", options(1, 9)).unwrap();
    writer.push(b"\x01b", &[1], None).unwrap();
    writer.push(b"\x01a", &[1], None).unwrap();
}
