//! How long to wait before another attempt, and which of them are worth a commit.

use crate::delivery::policy::Backoff;

/// Longest wait a handler may ask for, in milliseconds: one day.
const ASKED_WAIT_MS_MAX: u64 = 24 * 60 * 60 * 1000;
/// Longest wait of any kind, in microseconds: backoffs are no longer either.
pub(super) const WAIT_US_MAX: u64 = ASKED_WAIT_MS_MAX * 1000;
/// Which part of the time for which it has failed an event waits at least.
const FAILING_PART: u64 = 10;

/// Wait before an event is tried again that the handler asked time for, in microseconds: what was asked for, if at least
/// a millisecond and a tenth of the time for which it has been so; that tenth is never more than the longest backoff.
pub(super) fn asked_us(backoff: &Backoff, asked_ms: u64, failing_us: u64) -> u64 {
    let floor_us = (failing_us / FAILING_PART).min(backoff.max_ms.saturating_mul(1000));
    asked_ms.clamp(1, ASKED_WAIT_MS_MAX).saturating_mul(1000).max(floor_us)
}

/// Whether an event that waits for its moment has done so twice as long as when that was written down last: so a wait
/// without end costs ever fewer commits and log lines.
pub(super) const fn is_twice_as_long(first_us: u64, written_us: u64, now_us: u64) -> bool {
    now_us.saturating_sub(first_us) >= written_us.saturating_sub(first_us).saturating_mul(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Backoff = Backoff { initial_ms: 100, max_ms: 1000, jitter: false };

    #[test]
    fn waits_double_up_to_the_bound() {
        let mut rng = fastrand::Rng::with_seed(1);
        let waits: Vec<_> = (1..=6).map(|attempt| PLAIN.wait_us(attempt, &mut rng) / 1000).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1000, 1000]);
        assert_eq!(PLAIN.wait_us(u32::MAX, &mut rng), 1_000_000);
    }

    #[test]
    fn jitter_draws_from_the_upper_half() {
        let mut rng = fastrand::Rng::with_seed(1);
        let jittered = Backoff { jitter: true, ..PLAIN };
        let waits: Vec<_> = (0..100).map(|_| jittered.wait_us(2, &mut rng)).collect();
        assert!(waits.iter().all(|wait| (100_000..=200_000).contains(wait)));
        assert!(waits.iter().any(|wait| *wait != waits[0]));
    }

    #[test]
    fn what_the_handler_asks_for_is_honoured_and_not_in_a_storm() {
        assert_eq!(asked_us(&PLAIN, 7, 0), 7000);
        assert_eq!((asked_us(&PLAIN, 0, 0), asked_us(&PLAIN, u64::MAX, 0)), (1000, WAIT_US_MAX));
        assert_eq!(asked_us(&PLAIN, 1, 500_000), 50_000, "a tenth of half a second");
        assert_eq!(asked_us(&PLAIN, 1, u64::MAX), 1_000_000, "the longest backoff");
        // A handler that asks for a millisecond for ever: how often it is tried in an hour, and written down.
        let (mut now_us, mut written_us, mut tries, mut written) = (0, 0, 0, 0);
        while now_us < 3_600_000_000 {
            tries += 1;
            if is_twice_as_long(0, written_us, now_us) {
                (written_us, written) = (now_us, written + 1);
            }
            now_us += asked_us(&Backoff::default(), 0, now_us);
        }
        assert!((200..300).contains(&tries) && (20..26).contains(&written), "{tries} tries, {written} written");
    }
}
