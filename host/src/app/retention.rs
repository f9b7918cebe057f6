//! The task that lets old events go: at the start and then every minute, what the policies ask for and no plugin
//! needs. Policies themselves, and what is needed, are the store's to decide (`store::retention`).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use super::Host;
use crate::clock::Clock;
use crate::error::with_sources;
use crate::event::{PluginName, Position};
use crate::store::retention::{self, Needed, Retention, RetentionStatus};
use crate::store::{Store, StoreError};

/// Time between two looks at the log.
const EVERY: Duration = Duration::from_secs(60);

/// A running task. Dropping it ends the task.
pub(super) struct RetentionTask {
    status: watch::Receiver<Vec<RetentionStatus>>,
    task: JoinHandle<()>,
}

impl RetentionTask {
    /// Begins to apply policies to a host's log. Must be called within a tokio runtime.
    pub(super) fn start(host: Host, policies: Vec<Retention>, clock: Arc<dyn Clock>) -> Self {
        let (told, status) = watch::channel(Vec::new());
        let task = tokio::spawn(async move {
            // A plugin that was not found yet would not be heard.
            host.plugins_loaded().await;
            let mut ticks = tokio::time::interval(EVERY);
            let mut blocked = Vec::new();
            while !policies.is_empty() {
                ticks.tick().await;
                match apply(&host, &policies, &*clock).await {
                    Ok(status) => {
                        blocked = tell_blocked(blocked, &status);
                        told.send_replace(status);
                    }
                    Err(error) => warn!(error = with_sources(&error), "retention: tried again in a minute"),
                }
            }
        });
        Self { status, task }
    }

    /// What the policies have come to; empty until the first look.
    pub(super) fn status(&self) -> watch::Receiver<Vec<RetentionStatus>> {
        self.status.clone()
    }
}

impl Drop for RetentionTask {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn apply(host: &Host, policies: &[Retention], clock: &dyn Clock) -> Result<Vec<RetentionStatus>, StoreError> {
    let (store, installed, now_us) = (host.store(), installed(host), clock.now_us());
    let policies = policies.to_vec();
    let applied = tokio::task::spawn_blocking(move || retention::apply(&*store, &policies, &installed, now_us)).await;
    applied.unwrap_or(Err(StoreError::ShuttingDown))
}

/// The plugins of the directory and how far they have come; the start for those that do not run.
fn installed(host: &Host) -> Vec<(PluginName, Position)> {
    let checkpoint = |info: &crate::plugin::PluginInfo| info.running.as_ref().map(|running| running.status.checkpoint);
    host.plugins().into_iter().map(|info| (info.name.clone(), checkpoint(&info).unwrap_or_default())).collect()
}

/// Says once of each category who holds back what; answers what is said by now.
fn tell_blocked(said: Vec<(String, String)>, status: &[RetentionStatus]) -> Vec<(String, String)> {
    let mut now = Vec::new();
    for RetentionStatus { policy, wanted_before, blocked_by, .. } in status {
        let Some(Needed { plugin, from }) = blocked_by else { continue };
        let block = (policy.category.to_string(), plugin.to_string());
        if !said.contains(&block) {
            let category = &policy.category;
            info!(%category, %plugin, needs_from = from.0, wanted_before = wanted_before.0, "retention waits for a plugin");
        }
        now.push(block);
    }
    now
}
