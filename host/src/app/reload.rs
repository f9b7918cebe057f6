//! SIGHUP: reads the settings again and applies what can change while the server runs.

use tokio::signal::unix::Signal;
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::config::{Change, Reload};
use crate::error::with_sources;
use crate::store::retention::Retention;
use crate::telemetry;

/// Applies what each signal finds changed, for as long as it is polled. A file that is not understood changes nothing.
pub(super) async fn on(mut hangup: Signal, mut reload: Reload, retention: watch::Sender<Vec<Retention>>) {
    while hangup.recv().await.is_some() {
        let (reread, changes) = match reload.again() {
            Ok(read) => read,
            Err(error) => {
                error!(error, "reload: the settings are not understood; nothing has changed");
                continue;
            }
        };
        if let Err(error) = telemetry::set_levels(&reread.log) {
            error!(error = with_sources(&error), "reload: what is logged stays as it is");
        }
        let policies = reread.options.retention;
        retention.send_if_modified(|current| {
            let is_other = *current != policies;
            *current = policies;
            is_other
        });
        let file = reread.layers.file.as_ref().map_or_else(|| "none".into(), |file| file.display().to_string());
        info!(file, changes = changes.len(), "reload: the settings were read again");
        changes.iter().for_each(tell);
    }
}

fn tell(Change { key, from, to, is_reloaded }: &Change) {
    if *is_reloaded {
        info!(setting = key, from, to, "reload: changed");
    } else {
        warn!(setting = key, running = from, wanted = to, "reload: this needs a restart");
    }
}
