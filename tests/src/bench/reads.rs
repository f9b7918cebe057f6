//! Reads of a filled store, one thread, warm: whole events, taken apart into what a caller gets.

use std::time::Instant;

use tidemill::event::{EventType, StreamName, Tag};
use uuid::Uuid;

use super::{Latencies, Workload, id_of};

/// Events per page of a scan.
const PAGE_EVENTS: usize = 1000;
/// Most pages of one kind of scan.
const PAGES_MAX: u64 = 2000;
/// Reads of each other kind.
const READS: u64 = 10_000;

/// Part of the events that a read asked for.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// How many.
    pub events: usize,
    /// The position to go on after.
    pub through: u64,
}

/// Something that reads.
pub trait Reading {
    /// Events after a position, in order.
    ///
    /// # Errors
    /// When they cannot be read, here and in the others.
    fn scan(&self, after: u64, limit: usize) -> anyhow::Result<Page>;

    /// Events of one type after a position, in order.
    ///
    /// # Errors
    /// As above.
    fn by_type(&self, event_type: &EventType, after: u64, limit: usize) -> anyhow::Result<Page>;

    /// How many events a stream has, having read them.
    ///
    /// # Errors
    /// As above.
    fn by_stream(&self, stream: &StreamName) -> anyhow::Result<usize>;

    /// How many events carry a tag, having read them.
    ///
    /// # Errors
    /// As above.
    fn by_tag(&self, tag: &Tag) -> anyhow::Result<usize>;

    /// How many events have an id, having read them; none when it has no such read.
    ///
    /// # Errors
    /// As above.
    fn by_id(&self, id: Uuid) -> anyhow::Result<Option<usize>>;
}

/// One kind of read, measured.
#[derive(Clone, Debug, Default)]
pub struct ReadFigures {
    /// What was read.
    pub what: &'static str,
    /// How long each read took; none when there is no such read.
    pub latencies: Latencies,
    /// How many events were read in all.
    pub events: u64,
}

impl ReadFigures {
    /// Events per second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.events as f64 / self.latencies.total().as_secs_f64()
    }

    /// Becomes the other one if that was faster.
    pub fn keep_best(&mut self, other: Self) {
        if self.what.is_empty() || other.rate() > self.rate() {
            *self = other;
        }
    }

    /// Events per read.
    #[must_use]
    pub fn events_per_read(&self) -> f64 {
        self.events as f64 / self.latencies.count() as f64
    }
}

/// Every kind of read of a store that holds the first `events` events.
///
/// # Errors
/// When something cannot be read, or what was appended is not there.
pub fn measure_reads(reading: &impl Reading, workload: &Workload, events: u64) -> anyhow::Result<Vec<ReadFigures>> {
    let pages = |share: u64| (events / share / PAGE_EVENTS as u64).clamp(1, PAGES_MAX);
    let mut after = 0;
    let scan =
        sample("scan, pages of 1,000", pages(1), |_| next_page(&mut after, |after| reading.scan(after, PAGE_EVENTS)))?;
    let (mut after, one) = (0, workload.event_type(1));
    let by_type = sample("one type, pages of 1,000", pages(8), |_| {
        next_page(&mut after, |after| reading.by_type(one, after, PAGE_EVENTS))
    })?;
    let by_stream = sample("a stream", READS, |random| reading.by_stream(&workload.stream(random)))?;
    let by_tag = sample("a tag", READS / 10, |random| reading.by_tag(&workload.tag(random)))?;
    let by_id = match reading.by_id(id_of(0))? {
        None => ReadFigures { what: "an id", latencies: Latencies::default(), events: 0 },
        Some(_) => sample("an id", READS, |random| Ok(reading.by_id(id_of(random % events))?.unwrap_or(0)))?,
    };
    Ok(vec![scan, by_type, by_stream, by_tag, by_id])
}

/// Reads the page after the last one; the first again when there is none.
fn next_page(after: &mut u64, read: impl Fn(u64) -> anyhow::Result<Page>) -> anyhow::Result<usize> {
    let mut page = read(*after)?;
    if page.events == 0 {
        page = read(0)?;
    }
    *after = if page.events < PAGE_EVENTS { 0 } else { page.through };
    Ok(page.events)
}

/// Does a read `count` times, after a tenth as many that do not count; it gets a random number each time
/// and answers how many events it read.
///
/// # Errors
/// When the read fails, or finds nothing: everything asked for was appended.
pub fn sample(
    what: &'static str,
    count: u64,
    mut read: impl FnMut(u64) -> anyhow::Result<usize>,
) -> anyhow::Result<ReadFigures> {
    let mut random = fastrand::Rng::with_seed(7);
    let mut figures = ReadFigures { what, latencies: Latencies::default(), events: 0 };
    for index in 0..count + count / 10 {
        let number = random.u64(..);
        let begin = Instant::now();
        let events = read(number)?;
        let latency = begin.elapsed();
        anyhow::ensure!(events > 0, "reading {what} found nothing");
        if index >= count / 10 {
            figures.latencies.add(latency);
            figures.events += events as u64;
        }
    }
    Ok(figures)
}
