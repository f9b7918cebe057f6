//! SQLite with the tables and indexes that an event store on it needs.
//!
//! One connection writes, behind a group commit of ours: a transaction per group. Another connection reads. `WAL`, `synchronous=FULL`, a page cache of 64 MiB
//! as our own store has, statements prepared once.

use std::path::Path;

use rusqlite::{CachedStatement, Connection, Params, Row, params};
use tidemill::event::{EventType, NewEvent, StreamName, Tag, Version};
use tidemill::store::{AppendCondition, AppendRequest};
use tidemill_tests::bench::{Page, Reading, Sink};
use uuid::Uuid;

const SETTINGS: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA cache_size = -65536;
    PRAGMA mmap_size = 4294967296;
";
const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS events (
        position INTEGER PRIMARY KEY,
        id BLOB NOT NULL UNIQUE,
        type TEXT NOT NULL,
        stream TEXT,
        version INTEGER NOT NULL,
        tags TEXT NOT NULL,
        data BLOB NOT NULL
    );
    CREATE UNIQUE INDEX IF NOT EXISTS by_stream ON events (stream, version);
    CREATE INDEX IF NOT EXISTS by_type ON events (type);
    CREATE TABLE IF NOT EXISTS tags (
        tag TEXT NOT NULL,
        position INTEGER NOT NULL,
        PRIMARY KEY (tag, position)
    ) WITHOUT ROWID;
";
const COLUMNS: &str = "SELECT position, id, type, stream, version, tags, data FROM events";

fn connect(path: &Path) -> anyhow::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.execute_batch(SETTINGS)?;
    let durable: (String, u8) = connection.query_row(
        "SELECT journal_mode, synchronous FROM pragma_journal_mode, pragma_synchronous",
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    anyhow::ensure!(durable == ("wal".to_owned(), 2), "SQLite is not as durable as asked: {durable:?}");
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

/// The connection that writes: one transaction per group.
#[derive(Debug)]
pub struct SqliteSink {
    connection: Connection,
    head: u64,
}

impl SqliteSink {
    /// Opens a database, making it if it is not there.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let connection = connect(path)?;
        connection.execute_batch(TABLES)?;
        let head = connection.query_row("SELECT coalesce(max(position), 0) FROM events", [], |row| row.get(0))?;
        Ok(Self { connection, head })
    }

    fn append(&mut self, request: &AppendRequest) -> anyhow::Result<bool> {
        for expectation in &request.expected {
            if !expectation.expected.holds(Version(self.version(&expectation.stream)?)) {
                return Ok(false);
            }
        }
        if let Some(condition) = &request.condition
            && self.matches(condition)?
        {
            return Ok(false);
        }
        request.events.iter().try_for_each(|event| self.insert(event))?;
        Ok(true)
    }

    fn insert(&mut self, event: &NewEvent) -> anyhow::Result<()> {
        self.head += 1;
        let version = event.stream.as_ref().map(|stream| self.version(stream)).transpose()?.map_or(0, |last| last + 1);
        let stream = event.stream.as_ref().map(StreamName::as_str);
        let tags: Vec<_> = event.tags.iter().map(Tag::as_str).collect();
        let row = params![
            self.head,
            event.id.as_bytes(),
            event.event_type.as_str(),
            stream,
            version,
            tags.join("\n"),
            event.data,
        ];
        self.prepared("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)")?.execute(row)?;
        for tag in tags {
            self.prepared("INSERT OR IGNORE INTO tags VALUES (?, ?)")?.execute(params![tag, self.head])?;
        }
        Ok(())
    }

    fn version(&self, stream: &StreamName) -> anyhow::Result<u64> {
        let mut last = self.prepared("SELECT coalesce(max(version), 0) FROM events WHERE stream = ?")?;
        Ok(last.query_row([stream.as_str()], |row| row.get(0))?)
    }

    /// Whether a condition on one tag is violated; the benchmarks ask no others.
    fn matches(&self, condition: &AppendCondition) -> anyhow::Result<bool> {
        let tags: Vec<_> = condition.fail_if_match.items.iter().flat_map(|item| &item.tags).collect();
        let [tag] = tags.as_slice() else { anyhow::bail!("a condition on {} tags", tags.len()) };
        let mut any = self.prepared("SELECT 1 FROM tags WHERE tag = ? AND position > ? LIMIT 1")?;
        Ok(any.exists(params![tag.as_str(), condition.after.0])?)
    }

    fn prepared(&self, sql: &str) -> anyhow::Result<CachedStatement<'_>> {
        Ok(self.connection.prepare_cached(sql)?)
    }
}

impl Sink for SqliteSink {
    fn commit(&mut self, group: &[AppendRequest]) -> anyhow::Result<Vec<bool>> {
        self.prepared("BEGIN IMMEDIATE")?.execute([])?;
        let held = group.iter().map(|request| self.append(request)).collect::<anyhow::Result<_>>()?;
        self.prepared("COMMIT")?.execute([])?;
        Ok(held)
    }
}

/// A connection that reads.
#[derive(Debug)]
pub struct SqliteReader(Connection);

/// What a reader gets of an event.
#[expect(dead_code, reason = "reading is what is measured")]
struct Stored {
    position: u64,
    id: Uuid,
    event_type: String,
    stream: Option<String>,
    version: u64,
    tags: Vec<String>,
    data: Vec<u8>,
}

impl SqliteReader {
    /// Opens a database that a [`SqliteSink`] made.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        Ok(Self(connect(path)?))
    }

    fn read(&self, rest: &str, params: impl Params) -> anyhow::Result<Vec<Stored>> {
        let mut statement = self.0.prepare_cached(&format!("{COLUMNS} {rest}"))?;
        Ok(statement.query_map(params, stored)?.collect::<Result<_, _>>()?)
    }

    fn page(&self, rest: &str, params: impl Params, after: u64) -> anyhow::Result<Page> {
        let events = self.read(rest, params)?;
        Ok(Page { events: events.len(), through: events.last().map_or(after, |event| event.position) })
    }
}

fn stored(row: &Row<'_>) -> rusqlite::Result<Stored> {
    Ok(Stored {
        position: row.get(0)?,
        id: Uuid::from_bytes(row.get(1)?),
        event_type: row.get(2)?,
        stream: row.get(3)?,
        version: row.get(4)?,
        tags: row.get_ref(5)?.as_str()?.split('\n').map(str::to_owned).collect(),
        data: row.get(6)?,
    })
}

impl Reading for SqliteReader {
    fn scan(&self, after: u64, limit: usize) -> anyhow::Result<Page> {
        self.page("WHERE position > ? ORDER BY position LIMIT ?", params![after, limit], after)
    }

    fn by_type(&self, event_type: &EventType, after: u64, limit: usize) -> anyhow::Result<Page> {
        let rest = "WHERE type = ? AND position > ? ORDER BY position LIMIT ?";
        self.page(rest, params![event_type.as_str(), after, limit], after)
    }

    fn by_stream(&self, stream: &StreamName) -> anyhow::Result<usize> {
        Ok(self.read("WHERE stream = ? ORDER BY version", [stream.as_str()])?.len())
    }

    fn by_tag(&self, tag: &Tag) -> anyhow::Result<usize> {
        let rest = "WHERE position IN (SELECT position FROM tags WHERE tag = ?) ORDER BY position";
        Ok(self.read(rest, [tag.as_str()])?.len())
    }

    fn by_id(&self, id: Uuid) -> anyhow::Result<Option<usize>> {
        Ok(Some(self.read("WHERE id = ?", params![id.as_bytes()])?.len()))
    }
}
