//! Grants that the operator takes back while a version runs.
//!
//! What runs under a plugin's name never does what the manifest in its folder does not grant: a version that takes over
//! is loaded under that manifest, and one that goes on, because what is installed cannot run, or builds its state first,
//! loses at its next batch what is granted no more. It is told `denied` then, as whoever was never granted it.

use std::sync::Arc;

use super::Keeper;
use super::generations::Pending;
use crate::delivery::Rebuild;
use crate::plugin::{Manifest, ManifestGrants};

impl Keeper {
    /// Takes from what runs, and from what is built to replace it, what is granted no more. A version that may not be
    /// handed any more what it listens to is stopped: to go on it would have to pass events over. What decides commands
    /// gives its claim up.
    pub(super) async fn revoke(&mut self, granted: &ManifestGrants) {
        if let Some(deciding) = &self.deciding {
            let before = &deciding.manifest.grants;
            if before.within(granted) != *before {
                tracing::warn!(plugin = %self.name, "plugin decides no more commands: not all that it runs with is still granted");
                self.give_up_claim();
            }
            return;
        }
        let Some(running) = self.running.as_mut().filter(|running| !running.dispatcher.is_stopped()) else { return };
        let before = &running.manifest.grants;
        let left = before.within(granted);
        if left == *before {
            return;
        }
        let Some(allowed) = running.allowed.within(before, &left) else {
            let dispatcher = running.dispatcher.clone();
            tracing::warn!(plugin = %self.name, "plugin stopped: it may not read any more what it listens to");
            (self.running, self.pending) = (None, None);
            self.around.board.write(&self.name, |entry| entry.running = None);
            dispatcher.stop().await;
            return;
        };
        let builds_itself = running.dispatcher.status().rebuild.is_some_and(|it| it.component == running.digest);
        let manifest = Arc::new(Manifest { grants: left, ..(*running.manifest).clone() });
        let setup = allowed.setup(&*running.loaded, &manifest.policy, &running.digest, manifest.policy.partitions);
        if let Err(error) = running.dispatcher.swap(setup).await {
            // Its delivery has ended: it does nothing any more.
            tracing::warn!(plugin = %self.name, %error, "plugin stopped while it lost a grant");
            return;
        }
        tracing::warn!(plugin = %self.name, manifest = %running.manifest_path.display(), "plugin goes on without what its manifest grants no more");
        (running.allowed, running.manifest) = (allowed, manifest);
        let own = builds_itself.then(|| Pending {
            digest: running.digest.clone(),
            loaded: Arc::clone(&running.loaded),
            allowed: running.allowed.clone(),
            manifest: Arc::clone(&running.manifest),
        });
        let pending = own.or_else(|| self.pending.take().and_then(|pending| pending.within(granted)));
        if let Some(pending) = pending
            && let Err(error) = self.build(pending, Rebuild::GoOn).await
        {
            self.report(&error);
        }
        self.show();
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
