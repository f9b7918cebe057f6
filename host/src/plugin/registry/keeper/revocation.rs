//! Grants that the operator takes back while a version runs.
//!
//! What runs under a plugin's name never does what the manifest in its folder does not grant: a version that takes over
//! is loaded under that manifest, and one that goes on, because what is installed cannot run, or builds its state first,
//! loses at its next batch what is granted no more. It is told `denied` then, as whoever was never granted it. What has
//! stopped it stays: it does not mend anything to be allowed less.

use std::sync::Arc;

use super::Keeper;
use super::generations::Pending;
use crate::delivery::{CommandError, Rebuild};
use crate::plugin::registry::board::{Entry, Running};
use crate::plugin::{Manifest, ManifestGrants};

/// Why what decided commands decides no more.
const DECIDES_NO_MORE: &str = "not all that it decides commands with is still granted";
/// Why what handled events handles no more.
const READS_NO_MORE: &str = "it may not read any more what it listens to, by [grants] read";

impl Keeper {
    /// Takes from what runs, and from what is built to replace it, what the manifest that was read last grants no more.
    /// A version that may not be handed any more what it listens to is stopped: to go on it would have to pass events
    /// over. What decides commands gives its claim up. Answers why it is stopped, if it is.
    pub(super) async fn revoke(&mut self) -> Option<&'static str> {
        let granted = Arc::clone(self.read.as_ref()?);
        if let Some(deciding) = &self.deciding {
            let before = &deciding.manifest.grants;
            if before.within(&granted.grants) == *before {
                return None;
            }
            tracing::warn!(plugin = %self.name, "plugin decides no more commands: {DECIDES_NO_MORE}");
            self.give_up_claim();
            return Some(DECIDES_NO_MORE);
        }
        self.keep_up().await;
        match self.narrow(&granted.grants).await {
            Err(CommandError::Replaced { .. }) => {
                // What was built has become live since.
                self.keep_up().await;
                self.narrow(&granted.grants).await.ok()?
            }
            done => done.ok()?,
        }
    }

    /// The same where something handles events.
    async fn narrow(&mut self, granted: &ManifestGrants) -> Result<Option<&'static str>, CommandError> {
        let alive = self.running.as_mut().filter(|running| !running.dispatcher.is_stopped());
        let Some(running) = alive else { return Ok(None) };
        let before = &running.manifest.grants;
        let left = before.within(granted);
        if left == *before {
            return Ok(None);
        }
        let Some(allowed) = running.allowed.within(before, &left) else {
            let dispatcher = running.dispatcher.clone();
            tracing::warn!(plugin = %self.name, "plugin stopped: {READS_NO_MORE}");
            (self.running, self.pending) = (None, None);
            self.around.board.write(&self.name, |entry| entry.running = None);
            dispatcher.stop().await;
            return Ok(Some(READS_NO_MORE));
        };
        let manifest = Arc::new(Manifest { grants: left, ..(*running.manifest).clone() });
        let setup = allowed.setup(&*running.loaded, &manifest.policy, &running.digest, manifest.policy.partitions);
        if let Err(error) = running.dispatcher.narrow(setup).await {
            // Either another version is live, or its delivery has ended, and it does nothing any more.
            tracing::warn!(plugin = %self.name, %error, "plugin replaced or stopped while it lost a grant");
            return Err(error);
        }
        tracing::warn!(plugin = %self.name, manifest = %running.manifest_path.display(), "plugin goes on without what its manifest grants no more");
        (running.allowed, running.manifest) = (allowed, manifest);
        let Running { digest, loaded, allowed, manifest, dispatcher, .. } = running.clone();
        self.show();
        self.around.board.write(&self.name, Entry::renew_queries);
        // Who asks for a rebuild from now on, does so with what is left.
        let builds_itself = dispatcher.status().rebuild.is_some_and(|it| it.component == digest);
        let own = builds_itself.then_some(Pending { digest, loaded, allowed, manifest });
        let pending = own.or_else(|| self.pending.take().and_then(|pending| pending.within(granted)));
        if let Some(pending) = pending
            && let Err(error) = self.build(pending, Rebuild::GoOn).await
            && !error.is_overtaken()
        {
            self.report(error.line());
        }
        Ok(None)
    }
}

impl Pending {
    /// The same with what of its grants is left.
    fn within(self, granted: &ManifestGrants) -> Option<Self> {
        let before = &self.manifest.grants;
        let left = before.within(granted);
        let allowed = self.allowed.within(before, &left)?;
        let manifest = Arc::new(Manifest { grants: left, ..(*self.manifest).clone() });
        Some(Self { allowed, manifest, ..self })
    }
}
