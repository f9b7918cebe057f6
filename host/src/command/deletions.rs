//! Drops the snapshots of streams that are deleted, whoever deletes them: they hold what was in the events.
//!
//! A task follows the tombstones in the log. How far it has come is a row among the snapshots, under the name of the
//! tombstones' type, which no aggregate's stream has. *Key: `$stream-deleted` -> value: position (8 bytes, big-endian).*
//! Written with what is dropped, and now and then; read when the task begins; one row. It only saves time: what is passed
//! again is dropped already. Where retention took tombstones before they were seen, every snapshot's stream is looked up.

use std::convert::Infallible;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::bus::Commands;
use super::error::CommandError;
use super::snapshot;
use super::snapshots::{SnapshotPage, Snapshots};
use crate::event::{Filter, Pattern, Position, StreamName, TOMBSTONE_TYPE};
use crate::store::{StateChange, Store, StoreError};

/// Tombstones after which it is noted that they were passed.
const NOTE_EVERY: usize = 1000;
/// How long to wait when the log cannot be read or written.
const PAUSE: Duration = Duration::from_secs(1);
/// Snapshots whose streams are looked up at a time.
const PAGE: usize = 100;

/// The task that drops them. Dropping it ends it.
#[derive(Debug)]
pub struct DeletionsTask(JoinHandle<()>);

impl DeletionsTask {
    /// Ends it.
    pub fn stop(&self) {
        self.0.abort();
    }
}

impl Drop for DeletionsTask {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Commands {
    /// Begins to drop the snapshots of streams that are deleted, or were. Must be called within a tokio runtime.
    #[must_use]
    pub fn follow_deletions(&self) -> DeletionsTask {
        let rows = self.0.snapshots.clone();
        DeletionsTask(tokio::spawn(async move {
            loop {
                let Err(error) = follow(&rows).await;
                tracing::warn!(%error, "snapshots of deleted streams may still be there; tried again");
                tokio::time::sleep(PAUSE).await;
            }
        }))
    }
}

/// Follows the tombstones, as long as the store answers.
async fn follow(rows: &Snapshots) -> Result<Infallible, CommandError> {
    let begun = rows.log().run(checkpoint).await?;
    let tombstones = Filter { types: vec![Pattern::literal(TOMBSTONE_TYPE)?], ..Filter::default() };
    let mut feed = rows.log().subscribe(tombstones, begun);
    let (mut passed, mut removed_before) = (0, None);
    loop {
        let page = feed.next_page().await?;
        passed += page.len();
        let mut deleted: Vec<_> = page.into_iter().filter_map(|tombstone| tombstone.stream).collect();
        let some_unseen = feed.removed_before() > removed_before;
        if some_unseen {
            deleted.extend(listed(rows).await?);
            removed_before = feed.removed_before();
        }
        let mut changes = with_snapshots(rows, deleted).await?;
        if !changes.is_empty() || some_unseen || passed >= NOTE_EVERY {
            let through = feed.through().0.to_be_bytes().to_vec();
            changes.push(StateChange { key: TOMBSTONE_TYPE.to_owned(), value: Some(through) });
            rows.change(changes).await?;
            passed = 0;
        }
    }
}

/// Where to go on. Blocks.
fn checkpoint(store: &dyn Store) -> Result<Position, StoreError> {
    // From the beginning, where that is damaged.
    let row = snapshot::row(store, TOMBSTONE_TYPE)?.and_then(Result::ok);
    let position = row.and_then(|row| row.try_into().ok()).map(|bytes| Position(u64::from_be_bytes(bytes)));
    Ok(position.unwrap_or_default())
}

/// What drops the snapshots of those streams that have one.
async fn with_snapshots(rows: &Snapshots, streams: Vec<StreamName>) -> Result<Vec<StateChange>, CommandError> {
    let look = move |store: &dyn Store| {
        let mut changes: Vec<StateChange> = Vec::new();
        for stream in streams {
            let key = stream.as_str().to_owned();
            if changes.iter().all(|change| change.key != key) && snapshot::row(store, &key)?.is_some() {
                changes.push(StateChange { key, value: None });
            }
        }
        Ok::<_, StoreError>(changes)
    };
    Ok(rows.log().run(look).await?)
}

/// The deleted ones among all streams that have a snapshot.
async fn listed(rows: &Snapshots) -> Result<Vec<StreamName>, CommandError> {
    let (mut deleted, mut after) = (Vec::new(), None);
    loop {
        let SnapshotPage { snapshots, damaged, next } = rows.list(String::new(), after, PAGE).await?;
        let whole = snapshots.into_iter().map(|found| found.stream);
        let streams: Vec<_> = whole.chain(damaged.into_iter().map(|found| found.stream)).collect();
        let look = move |store: &dyn Store| {
            let mut deleted = Vec::new();
            for stream in streams {
                if store.stream_head(&stream)?.is_some_and(|head| head.deleted) {
                    deleted.push(stream);
                }
            }
            Ok::<_, StoreError>(deleted)
        };
        deleted.extend(rows.log().run(look).await?);
        after = next;
        if after.is_none() {
            return Ok(deleted);
        }
    }
}
