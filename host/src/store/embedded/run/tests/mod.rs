//! Runs against a map, damaged, and measured.

mod damage;
mod measure;
mod memory_disk;
mod model;

use std::collections::BTreeMap;
use std::sync::Arc;

use memory_disk::MemoryDisk;

use super::writer::RunSummary;
use super::*;
use crate::event::{Position, Version};
use crate::store::StoreError;
use crate::store::embedded::disk::Disk;
use crate::store::embedded::key::{Key, Kind};

const STORE_ID: u128 = 0x0123_4567_89ab_cdef_1111_2222_3333_4444;

/// Keys with their positions. Streams have dense versions, so a list tells them.
type Model = BTreeMap<Key, Vec<u64>>;

fn options(first: u64, last: u64) -> RunOptions {
    RunOptions { store_id: STORE_ID, first: Position(first), last: Position(last), level: 3, keys_max: 100 }
}

/// Whether a stream is deleted, decided by its name.
fn is_deleted(key: &Key) -> bool {
    key.as_bytes().len().is_multiple_of(2)
}

fn stamp(key: &Key, events: u64) -> Option<Stamp> {
    let stream = key.as_bytes()[0] == Kind::Stream as u8;
    stream.then(|| Stamp { version: Version(events), deleted: is_deleted(key) })
}

/// Writes what a model has within `first..=last`.
fn write(disk: &dyn Disk, name: &str, model: &Model, first: u64, last: u64) -> RunSummary {
    let mut writer = RunWriter::create(disk, name, options(first, last)).unwrap();
    for (key, positions) in model {
        let start = positions.partition_point(|position| *position < first);
        let end = positions.partition_point(|position| *position <= last);
        if start < end {
            writer.push(key.as_bytes(), &positions[start..end], stamp(key, end as u64)).unwrap();
        }
    }
    writer.finish().unwrap()
}

fn open(disk: &dyn Disk, name: &str) -> Result<Arc<Run>, StoreError> {
    Run::open(disk, name, STORE_ID).map(Arc::new)
}

/// A model with all kinds of keys; some lists span many pages.
fn sample(events: u64) -> Model {
    let mut model = Model::new();
    let long_tag = Key::new(Kind::Tag, &[b'x'; 255]);
    for position in 1..=events {
        let number = position.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let id = uuid::Uuid::from_u128(u128::from(number) << 64 | u128::from(position));
        let stream = if position % 3 == 0 { "hot-1".to_owned() } else { format!("order-{}", number % (events / 4)) };
        let category = stream.split('-').next().unwrap().to_owned();
        let tag = format!("{}{}", "t".repeat((number % 200) as usize), number >> 40 & 0xff);
        for key in [
            Key::id(id),
            Key::new(Kind::Type, b"Happened"),
            Key::new(Kind::Category, category.as_bytes()),
            Key::new(Kind::Stream, stream.as_bytes()),
            Key::new(Kind::Tag, tag.as_bytes()),
        ] {
            model.entry(key).or_default().push(position);
        }
        if position % 2 == 1 {
            model.entry(long_tag.clone()).or_default().push(position);
        }
    }
    model
}
