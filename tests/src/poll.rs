//! Waiting for a condition, with a deadline.

use std::time::{Duration, Instant};

/// Longest wait before a test gives up. Generous: it is only reached by a failure.
const DEADLINE: Duration = Duration::from_secs(300);

/// Asks `probe` again and again until it answers.
///
/// # Panics
/// When it has not answered before the deadline; `what` says what was waited for.
pub fn poll<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(answer) = probe() {
            return answer;
        }
        assert!(begin.elapsed() < DEADLINE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
