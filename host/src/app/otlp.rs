//! Sends what the server measures, for as long as it serves.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::api::{self, ApiState};
use crate::clock::{Clock, SystemClock};
use crate::config::{AuthoritiesError, ServeOptions, authorities};
use crate::telemetry::Otlp;

/// How long the last sending may take.
const END_MAX: Duration = Duration::from_secs(2);

/// Spans that are sent as they end, and metrics that are sent at intervals.
#[derive(Debug)]
pub(super) struct Sending {
    otlp: Otlp,
    interval: Duration,
    start_us: u64,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Sending {
    /// Begins to send spans, if the options name a receiver.
    ///
    /// # Errors
    /// When the file of its authority will not do.
    pub(super) fn start(options: &ServeOptions) -> Result<Option<Self>, AuthoritiesError> {
        let Some(endpoint) = &options.otlp_endpoint else { return Ok(None) };
        let authorities = options.otlp_ca.as_ref().map(|file| authorities("--otlp-ca", file)).transpose()?;
        let (interval, start_us) = (Duration::from_secs(options.otlp_interval), SystemClock.now_us());
        let otlp = Otlp::start(endpoint, authorities.as_deref());
        Ok(Some(Self { otlp, interval, start_us, task: Mutex::default() }))
    }

    /// Begins to send the metrics of an API, which from then on tells how often that failed. Must be called within a
    /// tokio runtime.
    pub(super) fn of(&self, state: ApiState, clock: Arc<dyn Clock>) -> ApiState {
        let state = state.with_otlp(self.otlp.clone());
        let (otlp, gathered, start_us) = (self.otlp.clone(), state.clone(), self.start_us);
        let mut ticks = tokio::time::interval(self.interval);
        let task = tokio::spawn(async move {
            loop {
                ticks.tick().await;
                send(&otlp, &gathered, (start_us, clock.now_us())).await;
            }
        });
        *self.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
        state
    }

    /// Sends what there is, and no more.
    pub(super) async fn end(self, state: &ApiState, clock: Arc<dyn Clock>) {
        if let Some(task) = self.task.into_inner().unwrap_or_else(PoisonError::into_inner) {
            task.abort();
        }
        let otlp = self.otlp.clone();
        let last = async {
            send(&self.otlp, state, (self.start_us, clock.now_us())).await;
            let _ = tokio::task::spawn_blocking(move || otlp.close(END_MAX)).await;
        };
        // A receiver that is gone holds nobody up.
        let _ = tokio::time::timeout(END_MAX, last).await;
    }
}

async fn send(otlp: &Otlp, state: &ApiState, times: (u64, u64)) {
    let (otlp, families) = (otlp.clone(), api::gather(state).await);
    // It ends early only with the runtime.
    let _ = tokio::task::spawn_blocking(move || otlp.send(&families, times)).await;
}
