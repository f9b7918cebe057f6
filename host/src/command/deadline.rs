//! The deadline of a command: after it nothing is begun for it any more.
//!
//! What waits or is being decided is given up; what is being appended is waited for, as only the store can tell whether
//! it is stored. So an answer always says what is true.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::error::CommandError;
use crate::clock::Clock;

/// How far a command has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It waits for others of its aggregate, or for an instance.
    Waiting,
    /// It is held against schemas and validators.
    Checked,
    /// It is being decided.
    Deciding,
    /// What was decided is being appended.
    Appending,
    /// Another who sent the same command has it decided.
    Joined,
    /// It was accepted before, to be decided later.
    Queued,
}

impl Progress {
    /// In words, after "it".
    #[must_use]
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Waiting => "waited for its turn",
            Self::Checked => "was held against schemas and validators",
            Self::Deciding => "was being decided",
            Self::Appending => "was decided, and others had appended meanwhile",
            Self::Joined => "was under way for another who sent it",
            Self::Queued => "waited in the queue, where it was accepted before",
        }
    }

    /// What is true of the command after its deadline; and, behind a semicolon, what to do.
    #[must_use]
    pub const fn what_follows(self) -> &'static str {
        match self {
            Self::Waiting | Self::Checked | Self::Deciding | Self::Appending => {
                "nothing of it was appended, nor will be; send it again, with more time"
            }
            Self::Joined | Self::Queued => "that goes on; ask what became of it, or send it again, with more time",
        }
    }
}

/// The deadline of one command, and how far it has come.
pub(super) struct Deadline {
    clock: Arc<dyn Clock>,
    ms: Option<u64>,
    since_us: u64,
    progress: Mutex<Progress>,
    past: AtomicBool,
}

impl Deadline {
    /// So long after a time, which is now unless it is given; none for as long as it takes.
    pub(super) fn new(clock: Arc<dyn Clock>, ms: Option<u64>, since_us: Option<u64>) -> Self {
        let since_us = since_us.unwrap_or_else(|| clock.now_us());
        Self { clock, ms, since_us, progress: Mutex::new(Progress::Waiting), past: AtomicBool::new(false) }
    }

    /// Notes that a stage begins.
    ///
    /// # Errors
    /// When the deadline has passed: then it must not begin.
    pub(super) fn enter(&self, stage: Progress) -> Result<(), CommandError> {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        if self.past.load(Ordering::Relaxed) || self.left_us() == Some(0) {
            return Err(self.expired(*progress));
        }
        *progress = stage;
        Ok(())
    }

    /// Gives work up when the deadline passes, unless something is being appended.
    pub(super) async fn bound<T>(
        &self,
        work: impl Future<Output = Result<T, CommandError>>,
    ) -> Result<T, CommandError> {
        let Some(left_us) = self.left_us() else { return work.await };
        let mut work = pin!(work);
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = tokio::time::sleep(Duration::from_micros(left_us)) => {}
        }
        let progress = self.pass();
        if progress == Progress::Appending { work.await } else { Err(self.expired(progress)) }
    }

    /// Notes that the deadline has passed: no stage begins any more. Answers the last one that has begun.
    fn pass(&self) -> Progress {
        // Under the lock, as stages begin on other threads.
        let progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        self.past.store(true, Ordering::Relaxed);
        *progress
    }

    /// Waits for a command that another has decided, which goes on after this deadline.
    pub(super) async fn joined<T>(&self, answer: impl Future<Output = T>) -> Result<T, CommandError> {
        let Some(left_us) = self.left_us() else { return Ok(answer.await) };
        tokio::select! {
            biased;
            answer = answer => Ok(answer),
            () = tokio::time::sleep(Duration::from_micros(left_us)) => Err(self.expired(Progress::Joined)),
        }
    }

    /// Time that is left; none where there is no deadline.
    fn left_us(&self) -> Option<u64> {
        let until_us = self.since_us.saturating_add(self.ms?.saturating_mul(1000));
        Some(until_us.saturating_sub(self.clock.now_us()))
    }

    fn expired(&self, progress: Progress) -> CommandError {
        CommandError::Expired { deadline_ms: self.ms.unwrap_or_default(), progress }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    fn deadline(ms: u64) -> (Arc<ManualClock>, Deadline) {
        let clock = Arc::new(ManualClock::at(1_000_000));
        (Arc::clone(&clock), Deadline::new(clock, Some(ms), None))
    }

    #[test]
    fn no_stage_begins_after_it_and_the_one_before_is_named() {
        let (clock, deadline) = deadline(5);
        deadline.enter(Progress::Checked).unwrap();
        clock.advance_us(4_999);
        deadline.enter(Progress::Deciding).unwrap();
        clock.advance_us(1);
        let error = deadline.enter(Progress::Appending).unwrap_err();
        assert!(matches!(error, CommandError::Expired { deadline_ms: 5, progress: Progress::Deciding }), "{error}");
        let (clock, since) = (Arc::new(ManualClock::at(9_000)), Some(1_000));
        assert!(Deadline::new(clock.clone(), Some(8), since).enter(Progress::Deciding).is_err(), "counted from then");
        assert!(Deadline::new(clock, None, since).enter(Progress::Deciding).is_ok(), "without one there is no end");
    }

    #[tokio::test]
    async fn what_waits_is_given_up_and_what_is_being_appended_is_waited_for() {
        let (clock, waiting) = deadline(5);
        clock.advance_us(5_000);
        let given_up = waiting.bound(std::future::pending::<Result<(), _>>()).await.unwrap_err();
        assert!(matches!(given_up, CommandError::Expired { progress: Progress::Waiting, .. }), "{given_up}");
        assert!(waiting.enter(Progress::Deciding).is_err());
        let (clock, appending) = deadline(5);
        appending.enter(Progress::Appending).unwrap();
        clock.advance_us(5_000);
        let (done, waits) = tokio::sync::oneshot::channel();
        let answer = async { Ok(waits.await.unwrap()) };
        let (answer, ()) = tokio::join!(appending.bound(answer), async {
            while !appending.past.load(Ordering::Relaxed) {
                tokio::task::yield_now().await;
            }
            done.send(7).unwrap();
        });
        assert_eq!(answer.unwrap(), 7, "what was stored is told, however late");
    }
}
