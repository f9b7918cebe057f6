//! Looks at files whose components are compiled within the look: what lifts events, and what commands are held to.
//!
//! They are made beside the look at the plugins, each on a thread of its own, because a compilation may take long: what
//! is taken away from a plugin, and what is removed, does not wait for it. What does is the supervisor's to say.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::supervisor::Place;
use crate::plugin::source::{
    CommandFiles, CommandLook, Outlook, Scan, SourceError, UPCASTERS_FOLDER, Upcasters, VALIDATORS_FOLDER,
};

/// Both looks.
pub(super) struct Beside {
    upcasters: Aside<Upcasters>,
    checks: Aside<CommandFiles>,
}

/// How far the looks at something are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Looks {
    /// How many were begun.
    pub(super) begun: u64,
    /// How many of them are over.
    pub(super) ended: u64,
    /// Whether the last that is over found files that do not stand still, so that another is due one debounce later; so it
    /// is before the first.
    pub(super) settling: bool,
}

/// What looks at files, and remembers what it saw.
trait Eyes: Send + 'static {
    /// What a look finds.
    type Seen: Send;

    /// Whether it found files that do not stand still.
    fn is_settling(seen: &Self::Seen) -> bool;

    /// Looks. Blocks.
    fn look(&mut self) -> Self::Seen;

    /// What looks after a look that panicked: what that had put in place goes on.
    fn again(place: &Place) -> Self;

    /// What a look has found that failed as a whole.
    fn failed(place: &Place, reason: String) -> Self::Seen;
}

/// One of them, which has at most one look under way.
struct Aside<E: Eyes> {
    place: Place,
    /// None while a look is under way.
    eyes: Option<E>,
    under_way: Option<JoinHandle<(E, E::Seen)>>,
    /// How many looks were begun.
    begun: u64,
    /// What the last look found; none before the first.
    seen: Option<E::Seen>,
}

impl Beside {
    /// Takes what commands are held to, as far as it is there. Blocks.
    pub(super) fn open(place: &Place) -> Self {
        let Place { directory, loader, checks, .. } = place;
        let files = CommandFiles::new(directory, Arc::clone(checks), Arc::clone(loader));
        Self { upcasters: Aside::new(place, Upcasters::again(place)), checks: Aside::new(place, files) }
    }

    /// Begins the looks that are not under way.
    pub(super) fn begin(&mut self) {
        self.upcasters.begin();
        self.checks.begin();
    }

    /// How far the looks at each are.
    pub(super) fn looks(&self) -> [Looks; 2] {
        [self.upcasters.looks(), self.checks.looks()]
    }

    /// Waits until none is under way, but no longer than this: what takes longer goes on.
    pub(super) async fn at_most(&mut self, longest: Duration) {
        let both = async { tokio::join!(self.upcasters.finish(), self.checks.finish()) };
        let _ = timeout(longest, both).await;
    }

    /// Waits until one that is under way is over; for ever where none is.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            () = self.upcasters.finish(), if self.upcasters.under_way.is_some() => {}
            () = self.checks.finish(), if self.checks.under_way.is_some() => {}
            else => std::future::pending().await,
        }
    }

    /// What the last look at the upcasters found; none before the first.
    pub(super) const fn outlook(&self) -> Option<&Outlook> {
        self.upcasters.seen.as_ref()
    }

    /// Adds what is wrong with what commands are held to.
    pub(super) fn add_to(&self, scan: &mut Scan) {
        let Some(CommandLook { problems, .. }) = &self.checks.seen else { return };
        scan.strays.extend(problems.clone());
    }
}

impl<E: Eyes> Aside<E> {
    fn new(place: &Place, eyes: E) -> Self {
        Self { place: place.clone(), eyes: Some(eyes), under_way: None, begun: 0, seen: None }
    }

    fn looks(&self) -> Looks {
        let ended = self.begun - u64::from(self.under_way.is_some());
        Looks { begun: self.begun, ended, settling: self.seen.as_ref().is_none_or(E::is_settling) }
    }

    fn begin(&mut self) {
        let Some(mut eyes) = self.eyes.take() else { return };
        self.begun += 1;
        let place = self.place.clone();
        self.under_way = Some(tokio::task::spawn_blocking(move || {
            // Where the plugins directory itself is away, nothing in it was taken away.
            let seen = match fs::read_dir(&place.directory) {
                Ok(_) => eyes.look(),
                Err(error) => E::failed(&place, error.to_string()),
            };
            (eyes, seen)
        }));
    }

    /// Waits until the look is over, if one is under way. What it found is there then, and not before.
    async fn finish(&mut self) {
        let Some(look) = &mut self.under_way else { return };
        let (eyes, seen) = look.await.unwrap_or_else(|error| {
            let seen = E::failed(&self.place, error.to_string());
            (E::again(&self.place), seen)
        });
        self.under_way = None;
        self.eyes = Some(eyes);
        self.seen = Some(seen);
    }
}

impl Eyes for Upcasters {
    type Seen = Outlook;

    fn is_settling(seen: &Outlook) -> bool {
        seen.settling
    }

    fn look(&mut self) -> Outlook {
        Self::look(self)
    }

    fn again(place: &Place) -> Self {
        Self::new(&place.directory, Arc::clone(&place.loader))
    }

    fn failed(place: &Place, reason: String) -> Outlook {
        let folder = place.directory.join(UPCASTERS_FOLDER);
        Outlook { chain: Some(Err(unreadable(folder.clone(), reason))), settling: false, folder }
    }
}

impl Eyes for CommandFiles {
    type Seen = CommandLook;

    fn is_settling(seen: &CommandLook) -> bool {
        seen.settling
    }

    fn look(&mut self) -> CommandLook {
        Self::look(self)
    }

    fn again(place: &Place) -> Self {
        let Place { directory, loader, checks, .. } = place;
        Self::again(directory, Arc::clone(checks), Arc::clone(loader))
    }

    fn failed(place: &Place, reason: String) -> CommandLook {
        let folder = place.directory.join(VALIDATORS_FOLDER);
        let problems = [(folder.clone(), unreadable(folder, reason))].into();
        CommandLook { problems, settling: false }
    }
}

fn unreadable(path: PathBuf, reason: String) -> SourceError {
    SourceError::Unreadable { path, reason }
}
