//! A plain group commit: one thread that takes what waits, commits all of it at once, then answers.
//!
//! Whatever is compared and has no group commit of its own gets this one, so that it is judged by its
//! commits and not by its queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use anyhow::Context;
use tidemill::store::AppendRequest;
use tokio::sync::{mpsc, oneshot};

use super::Target;

/// Most appends that wait.
const QUEUE_MAX: usize = 1024;
/// Events after which a group takes no more appends.
const GROUP_EVENTS_MAX: usize = 4096;

/// Where groups are committed.
pub trait Sink: Send + 'static {
    /// Makes all of them durable at once, those whose condition does not hold left out; says of each
    /// whether it did.
    ///
    /// # Errors
    /// When nothing was committed.
    fn commit(&mut self, group: &[AppendRequest]) -> anyhow::Result<Vec<bool>>;
}

type Waiting = (AppendRequest, oneshot::Sender<bool>);

/// A sink behind a queue. Dropping it commits what waits, then drops the sink.
#[derive(Debug)]
pub struct GroupCommit {
    queue: Option<mpsc::Sender<Waiting>>,
    counts: Arc<Counts>,
    thread: Option<JoinHandle<anyhow::Result<()>>>,
}

#[derive(Debug)]
struct Counts {
    head: AtomicU64,
    groups: AtomicU64,
}

impl GroupCommit {
    /// Starts the thread; `head` is how many events the sink holds.
    #[must_use]
    pub fn new(sink: impl Sink, head: u64) -> Self {
        Self::start(sink, head, GROUP_EVENTS_MAX)
    }

    /// Commits every append by itself, one after the other.
    #[must_use]
    pub fn one_by_one(sink: impl Sink, head: u64) -> Self {
        Self::start(sink, head, 1)
    }

    fn start(sink: impl Sink, head: u64, group_events_max: usize) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE_MAX);
        let counts = Arc::new(Counts { head: AtomicU64::new(head), groups: AtomicU64::new(0) });
        let theirs = Arc::clone(&counts);
        let thread = std::thread::spawn(move || run(sink, receiver, group_events_max, &theirs));
        Self { queue: Some(sender), counts, thread: Some(thread) }
    }
}

impl Target for GroupCommit {
    async fn append(&self, request: AppendRequest) -> anyhow::Result<bool> {
        let (sender, receiver) = oneshot::channel();
        let queue = self.queue.as_ref().context("closed")?;
        queue.send((request, sender)).await.context("the committing thread ended")?;
        receiver.await.context("the commit failed")
    }

    fn head(&self) -> anyhow::Result<u64> {
        Ok(self.counts.head.load(Ordering::Acquire))
    }

    fn groups(&self) -> Option<u64> {
        Some(self.counts.groups.load(Ordering::Relaxed))
    }
}

impl Drop for GroupCommit {
    fn drop(&mut self) {
        self.queue = None;
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(Err(error))) if !std::thread::panicking() => panic!("a commit failed: {error:#}"),
            Some(Err(panic)) if !std::thread::panicking() => std::panic::resume_unwind(panic),
            _ => {}
        }
    }
}

fn run(
    mut sink: impl Sink,
    mut queue: mpsc::Receiver<Waiting>,
    group_events_max: usize,
    counts: &Counts,
) -> anyhow::Result<()> {
    while let Some((request, answer)) = queue.blocking_recv() {
        let mut events = request.events.len();
        let (mut group, mut answers) = (vec![request], vec![answer]);
        while events < group_events_max
            && let Ok((request, answer)) = queue.try_recv()
        {
            events += request.events.len();
            group.push(request);
            answers.push(answer);
        }
        let held = sink.commit(&group)?;
        let appended =
            group.iter().zip(&held).filter(|(_, held)| **held).map(|(request, _)| request.events.len() as u64);
        counts.head.fetch_add(appended.sum(), Ordering::Release);
        counts.groups.fetch_add(1, Ordering::Relaxed);
        for (answer, held) in answers.into_iter().zip(held) {
            // A client that no longer waits does not matter.
            let _ = answer.send(held);
        }
    }
    Ok(())
}
