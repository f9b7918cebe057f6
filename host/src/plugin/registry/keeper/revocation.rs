//! Grants that the operator takes back while a version runs.
//!
//! What runs under a plugin's name never does what the manifest in its folder does not grant: a version that takes over
//! is loaded under that manifest, and one that goes on, because what is installed cannot run, or builds its state first,
//! loses at its next batch what is granted no more. It is told `denied` then, as whoever was never granted it. What has
//! stopped it stays: it does not mend anything to be allowed less.

use std::sync::Arc;

use super::generations::{InForce, Pending};
use super::{Keeper, Wanted};
use crate::delivery::{CommandError, Rebuild};
use crate::plugin::registry::board::Entry;
use crate::plugin::source::Candidate;
use crate::plugin::{Manifest, ManifestGrants};

/// Why what decided commands decides no more.
const DECIDES_NO_MORE: &str = "not all that it decides commands with is still granted";
/// Why what handled events handles no more.
const READS_NO_MORE: &str = "it may not read any more what it listens to, by [grants] read";

impl Keeper {
    /// Takes from what runs, and from what is built to replace it, what the manifest that was read last grants no more.
    /// A version that may not be handed any more what it listens to is stopped: to go on it would have to pass events
    /// over. What decides commands gives its claim up. Why something is stopped is noted.
    pub(super) async fn revoke(&mut self) {
        if let (Some(granted), Some(deciding)) = (&self.read, &self.deciding)
            && loses(&deciding.manifest, &granted.grants)
        {
            tracing::warn!(plugin = %self.name, "plugin decides no more commands: {DECIDES_NO_MORE}");
            self.give_up_claim();
            self.stopped = Some(DECIDES_NO_MORE);
        }
        self.revoke_delivery().await;
    }

    /// The same, but for what decides commands: that cannot be allowed less, and goes on until it is replaced or what
    /// would replace it is refused.
    pub(super) async fn revoke_delivery(&mut self) {
        let Some(granted) = self.read.clone() else { return };
        self.keep_up().await;
        if let Err(CommandError::Replaced { .. }) = self.narrow(&granted.grants).await {
            // What was built has become live since.
            self.keep_up().await;
            // Whatever fails now has been told.
            let _ = self.narrow(&granted.grants).await;
        }
    }

    /// Waits until something else than `candidate` is wanted whose manifest takes back what is granted to what handles
    /// events.
    pub(super) async fn taken_back(&self, candidate: &Candidate) {
        let takes_back = |wanted: &Wanted| {
            let manifest = match wanted {
                Wanted::Ready(newer) if **newer == *candidate => None,
                Wanted::Ready(newer) => Some(&newer.manifest),
                Wanted::Held(manifest) => Some(manifest),
                Wanted::Broken(broken) => broken.manifest.as_ref(),
                Wanted::Gone => None,
            };
            manifest.is_some_and(|manifest| self.delivery_loses(&manifest.grants))
        };
        if self.wanted.clone().wait_for(takes_back).await.is_err() {
            // The registry stops, which is heard elsewhere.
            std::future::pending().await
        }
    }

    /// Whether what handles events, or is built to do so, is granted more than this.
    fn delivery_loses(&self, granted: &ManifestGrants) -> bool {
        let running = self.running.as_ref().filter(|running| !running.dispatcher.is_stopped());
        let pending = self.pending.as_ref().map(|pending| &pending.words.manifest);
        running.is_some_and(|running| {
            [Some(&running.manifest), pending].into_iter().flatten().any(|manifest| loses(manifest, granted))
        })
    }

    /// Has what handles events, and what is built, go on with what is left.
    async fn narrow(&mut self, granted: &ManifestGrants) -> Result<(), CommandError> {
        if !self.delivery_loses(granted) {
            return Ok(());
        }
        let Some(running) = self.running.as_mut() else { return Ok(()) };
        let before = &running.manifest.grants;
        let left = before.within(granted);
        let Some(allowed) = running.allowed.within(before, &left) else {
            let dispatcher = running.dispatcher.clone();
            tracing::warn!(plugin = %self.name, "plugin stopped: {READS_NO_MORE}");
            (self.running, self.pending, self.stopped) = (None, None, Some(READS_NO_MORE));
            self.around.board.write(&self.name, |entry| entry.running = None);
            dispatcher.stop().await;
            return Ok(());
        };
        let manifest = Arc::new(Manifest { grants: left, ..(*running.manifest).clone() });
        let setup = allowed.setup(&*running.loaded, &manifest.policy, &running.digest, manifest.policy.partitions);
        // What is built stops with it.
        if let Err(error) = running.dispatcher.narrow(setup).await {
            // Either another version is live, or its delivery has ended, and it does nothing any more.
            tracing::warn!(plugin = %self.name, %error, "plugin replaced or stopped while it lost a grant");
            return Err(error);
        }
        tracing::warn!(
            plugin = %self.name, manifest = %running.manifest_path.display(),
            "plugin, and what it builds, goes on without what its manifest grants no more"
        );
        (running.allowed, running.manifest) = (allowed, manifest);
        self.show();
        self.around.board.write(&self.name, Entry::renew_queries);
        self.build_within(granted).await;
        Ok(())
    }

    /// Goes on to build with what is left. What may not be handed any more what it listens to rests, until it may again
    /// or an operator ends that: were it ended here, it would not be built either when it may again.
    async fn build_within(&mut self, granted: &ManifestGrants) {
        let Some(running) = self.running.clone() else { return };
        // Who asks for a rebuild from now on, does so with what is left.
        let builds_itself = running.dispatcher.status().rebuild.is_some_and(|it| it.component == running.digest);
        let itself = builds_itself.then(|| Pending::of(running));
        let pending = itself.or_else(|| self.pending.take().and_then(|pending| pending.within(granted)));
        if let Some(pending) = pending
            && let Err(error) = self.build(pending, Rebuild::GoOn).await
            && !error.is_overtaken()
        {
            self.report(error.line());
        }
    }
}

/// Whether a manifest grants more than this.
fn loses(manifest: &Manifest, granted: &ManifestGrants) -> bool {
    manifest.grants.within(granted) != manifest.grants
}

impl Pending {
    /// The same with what of its grants is left.
    fn within(self, granted: &ManifestGrants) -> Option<Self> {
        let before = &self.words.manifest.grants;
        let left = before.within(granted);
        let allowed = self.allowed.within(before, &left)?;
        let manifest = Arc::new(Manifest { grants: left, ..(*self.words.manifest).clone() });
        Some(Self { allowed, words: InForce { manifest, ..self.words }, ..self })
    }
}
