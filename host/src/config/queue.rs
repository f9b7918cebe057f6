//! How accepted commands wait, and how patiently they are tried.

use clap::Args;
use clap::builder::RangedU64ValueParser;

use crate::command::QueueOptions;
use crate::delivery::Backoff;

/// Most of anything that can be asked for.
const MOST: u64 = 1_000_000;
/// Longest wait that can be asked for, in milliseconds.
const WAIT_MS_MAX: u64 = 600_000;

/// How accepted commands wait, and how patiently they are tried.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct QueueLimits {
    /// Most accepted commands to a kind of aggregate that wait to be decided; the next one is told to come back later (503)
    #[arg(long, value_name = "N", env = "TIDEMILL_MAX_QUEUED_COMMANDS", default_value_t = QueueLimits::default().max_queued_commands, value_parser = count())]
    pub max_queued_commands: u64,
    /// How often an accepted command is tried after a failure that may pass; then it is given up
    #[arg(long, value_name = "N", env = "TIDEMILL_QUEUE_ATTEMPTS", default_value_t = QueueLimits::default().queue_attempts, value_parser = RangedU64ValueParser::<u32>::new().range(1..=1000))]
    pub queue_attempts: u32,
    /// Wait after the first of those attempts, which doubles with each
    #[arg(long, value_name = "MILLISECONDS", env = "TIDEMILL_QUEUE_WAIT", default_value_t = QueueLimits::default().queue_wait, value_parser = wait())]
    pub queue_wait: u64,
    /// Longest wait between two of those attempts
    #[arg(long, value_name = "MILLISECONDS", env = "TIDEMILL_QUEUE_WAIT_MAX", default_value_t = QueueLimits::default().queue_wait_max, value_parser = wait())]
    pub queue_wait_max: u64,
}

impl QueueLimits {
    /// The same, as the queue takes it.
    #[must_use]
    pub fn options(&self) -> QueueOptions {
        let max_ms = self.queue_wait_max.max(self.queue_wait);
        QueueOptions {
            waiting_max: self.max_queued_commands,
            attempts_max: self.queue_attempts,
            backoff: Backoff { initial_ms: self.queue_wait, max_ms, jitter: true },
        }
    }
}

impl Default for QueueLimits {
    fn default() -> Self {
        let QueueOptions { waiting_max, attempts_max, backoff } = QueueOptions::default();
        Self {
            max_queued_commands: waiting_max,
            queue_attempts: attempts_max,
            queue_wait: backoff.initial_ms,
            queue_wait_max: backoff.max_ms,
        }
    }
}

fn count() -> RangedU64ValueParser<u64> {
    RangedU64ValueParser::new().range(1..=MOST)
}

fn wait() -> RangedU64ValueParser<u64> {
    RangedU64ValueParser::new().range(1..=WAIT_MS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_usual_is_what_the_queue_does_unless_told() {
        let (usual, options) = (QueueLimits::default().options(), QueueOptions::default());
        assert_eq!((usual.waiting_max, usual.attempts_max), (options.waiting_max, options.attempts_max));
        assert_eq!(usual.backoff, options.backoff);
        let longer = QueueLimits { queue_wait: 60_000, ..QueueLimits::default() };
        assert_eq!(longer.options().backoff.max_ms, 60_000, "the first wait is no longer than the longest");
    }
}
