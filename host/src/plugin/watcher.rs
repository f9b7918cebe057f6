//! Says when to look at the plugins directory again.
//!
//! File notifications make it quick, a slow poll makes it certain: a notification that is lost, or a
//! platform without any, costs one poll interval and nothing else. The directory and each folder directly
//! in it are watched, never whole trees. Notifications carry no content here: at most one of them waits,
//! however many came.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

/// How often to look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// How long files must stand still.
    pub(crate) debounce: Duration,
    /// How long to go without a look when nothing is heard.
    pub(crate) poll: Duration,
}

/// Watches the plugins directory.
#[derive(Debug)]
pub(crate) struct Watcher {
    pace: Pace,
    /// None where notifications do not work.
    notifier: Option<RecommendedWatcher>,
    /// What is watched, with what it was when the watch began.
    watched: BTreeMap<PathBuf, Identity>,
    heard: mpsc::Receiver<()>,
}

/// What tells a directory from another one of the same path.
type Identity = (u64, u64);

impl Watcher {
    /// Watches nothing yet; see [`Self::rearm`].
    pub(crate) fn new(pace: Pace) -> Self {
        let (tell, heard) = mpsc::channel(1);
        let notifier = notify::recommended_watcher(move |event: notify::Result<Event>| {
            if event.map_or(true, |event| is_change(event.kind)) {
                // Full means that a look is due already.
                let _ = tell.try_send(());
            }
        });
        let notifier = notifier.inspect_err(|error| warn_polling(&error.to_string(), pace.poll)).ok();
        Self { pace, notifier, watched: BTreeMap::new(), heard }
    }

    /// Watches exactly these directories, beginning anew with those that were replaced. Blocks.
    pub(crate) fn rearm<'a>(&mut self, directories: impl IntoIterator<Item = &'a Path>) {
        let wanted: BTreeMap<PathBuf, Identity> = directories
            .into_iter()
            .filter_map(|path| identity(path).map(|identity| (path.to_owned(), identity)))
            .collect();
        let Some(notifier) = &mut self.notifier else { return };
        for (path, identity) in &self.watched {
            if wanted.get(path) != Some(identity) {
                // It may be gone with its directory already.
                let _ = notifier.unwatch(path);
            }
        }
        for (path, identity) in &wanted {
            if self.watched.get(path) == Some(identity) {
                continue;
            }
            if let Err(error) = notifier.watch(path, RecursiveMode::NonRecursive) {
                warn_polling(&error.to_string(), self.pace.poll);
                self.notifier = None;
                return;
            }
        }
        self.watched = wanted;
    }

    /// Waits until a look is due: one debounce from now while files settle, else when notifications have
    /// come and then been quiet for one debounce, and at the latest one poll interval from now. Never
    /// less than one debounce.
    pub(crate) async fn due(&mut self, settling: bool) {
        let Pace { debounce, poll } = self.pace;
        if settling {
            return sleep(debounce).await;
        }
        let heard = &mut self.heard;
        let quiet = async {
            if heard.recv().await.is_none() {
                // Without a notifier only the poll is left.
                std::future::pending::<()>().await;
            }
            while timeout(debounce, heard.recv()).await.is_ok_and(|heard| heard.is_some()) {}
        };
        // Running out of time is as good a reason to look.
        let _ = timeout(poll.max(debounce), quiet).await;
    }
}

fn warn_polling(reason: &str, poll: Duration) {
    tracing::warn!(reason, poll_ms = poll.as_millis(), "file notifications do not work here: polling for plugins");
}

/// Whether an event can mean that a file is another one now. Mere reading, ours included, cannot.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        EventKind::Any | EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) | EventKind::Other => true,
    }
}

#[cfg(unix)]
fn identity(path: &Path) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn identity(path: &Path) -> Option<Identity> {
    path.is_dir().then_some((0, 0))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);
    const DEADLINE: Duration = Duration::from_secs(120);

    fn notified_only() -> Watcher {
        Watcher::new(Pace { debounce: Duration::from_millis(5), poll: LONG })
    }

    async fn is_told(watcher: &mut Watcher) -> bool {
        tokio::time::timeout(DEADLINE, watcher.due(false)).await.is_ok()
    }

    #[tokio::test]
    async fn a_new_file_makes_a_look_due_long_before_the_poll() {
        let directory = tempfile::tempdir().unwrap();
        let mut watcher = notified_only();
        watcher.rearm([directory.path()]);
        fs::write(directory.path().join("a.wasm"), "a").unwrap();
        assert!(is_told(&mut watcher).await);
    }

    #[tokio::test]
    async fn a_folder_in_it_is_watched_too() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join("orders");
        fs::create_dir(&folder).unwrap();
        let mut watcher = notified_only();
        watcher.rearm([directory.path(), &folder]);
        fs::write(folder.join("plugin.toml"), "").unwrap();
        assert!(is_told(&mut watcher).await);
    }

    #[tokio::test]
    async fn a_directory_that_comes_back_is_watched_again() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("plugins");
        let mut watcher = notified_only();
        for round in 0..3 {
            fs::create_dir(&directory).unwrap();
            watcher.rearm([directory.as_path()]);
            while watcher.heard.try_recv().is_ok() {}
            fs::write(directory.join("a.wasm"), "a").unwrap();
            assert!(is_told(&mut watcher).await, "round {round}");
            fs::remove_dir_all(&directory).unwrap();
            watcher.rearm([directory.as_path()]);
            assert!(watcher.watched.is_empty());
        }
    }

    #[tokio::test]
    async fn without_notifications_the_poll_still_comes() {
        let mut watcher = Watcher::new(Pace { debounce: Duration::from_millis(1), poll: Duration::from_millis(2) });
        watcher.notifier = None;
        assert!(is_told(&mut watcher).await);
        assert!(is_told(&mut watcher).await);
    }

    #[test]
    fn reading_is_no_change() {
        assert!(!is_change(EventKind::Access(AccessKind::Open(AccessMode::Any))));
        assert!(!is_change(EventKind::Access(AccessKind::Close(AccessMode::Read))));
        assert!(is_change(EventKind::Access(AccessKind::Close(AccessMode::Write))));
        assert!(is_change(EventKind::Other));
    }
}
