//! How long to wait before another attempt.

use crate::delivery::policy::Backoff;

/// Longest wait a handler may ask for, in milliseconds: one day.
const ASKED_WAIT_MS_MAX: u64 = 24 * 60 * 60 * 1000;

/// Wait after the `attempts`-th failed attempt, in microseconds: what the handler asked for, if at least a
/// millisecond, else
/// `initial * 2^(attempts - 1)` up to `max`, drawn from its upper half when jitter is on.
pub(super) fn wait_us(backoff: &Backoff, attempts: u32, asked_ms: Option<u64>, rng: &mut fastrand::Rng) -> u64 {
    if let Some(asked_ms) = asked_ms {
        return asked_ms.clamp(1, ASKED_WAIT_MS_MAX).saturating_mul(1000);
    }
    backoff.wait_us(attempts, rng)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Backoff = Backoff { initial_ms: 100, max_ms: 1000, jitter: false };

    #[test]
    fn waits_double_up_to_the_bound() {
        let mut rng = fastrand::Rng::with_seed(1);
        let waits: Vec<_> = (1..=6).map(|attempt| wait_us(&PLAIN, attempt, None, &mut rng) / 1000).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1000, 1000]);
        assert_eq!(wait_us(&PLAIN, u32::MAX, None, &mut rng), 1_000_000);
    }

    #[test]
    fn jitter_draws_from_the_upper_half() {
        let mut rng = fastrand::Rng::with_seed(1);
        let jittered = Backoff { jitter: true, ..PLAIN };
        let waits: Vec<_> = (0..100).map(|_| wait_us(&jittered, 2, None, &mut rng)).collect();
        assert!(waits.iter().all(|wait| (100_000..=200_000).contains(wait)));
        assert!(waits.iter().any(|wait| *wait != waits[0]));
    }

    #[test]
    fn what_the_handler_asks_for_is_honoured() {
        assert_eq!(wait_us(&PLAIN, 9, Some(7), &mut fastrand::Rng::with_seed(1)), 7000);
    }
}
