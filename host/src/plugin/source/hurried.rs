//! When files are tried again that could not be compiled for lack of time.

/// Doublings of the wait before the same files are tried again.
const DOUBLINGS_MAX: u32 = 8;

/// Counts looks: files that failed for lack of time are tried again after two of them, then after four, and so on.
#[derive(Debug, Default)]
pub(super) struct Hurried(Option<Wait>);

#[derive(Clone, Copy, Debug, Default)]
struct Wait {
    attempts: u32,
    looks_left: u32,
}

impl Hurried {
    /// Whether the same files are to be tried again at this look.
    pub(super) fn is_due(&mut self) -> bool {
        self.0.as_mut().is_some_and(|wait| {
            wait.looks_left = wait.looks_left.saturating_sub(1);
            wait.looks_left == 0
        })
    }

    /// Notes what came of files, the same as last time or others: whether they failed for lack of time.
    pub(super) fn tried(&mut self, same: bool, failed: bool) {
        let attempts = 1 + self.0.filter(|_| same).unwrap_or_default().attempts;
        self.0 = failed.then(|| Wait { attempts, looks_left: 1 << attempts.min(DOUBLINGS_MAX) });
    }
}
