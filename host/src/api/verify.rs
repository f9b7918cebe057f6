//! `POST /v1/verify`: looks at every byte of the store while it is in use.
//!
//! It answers as [`super::lines`] says.
//!
//! One runs at a time, on a thread of its own and not on one of the runtime's, whose end the process waits for:
//! a server that is told to stop does not wait until hundreds of gigabytes are read.

use std::sync::Arc;
use std::thread;

use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};
use utoipa::ToSchema;

use super::lines::{Running, respond};
use super::maintenance::Maintenance;
use super::params::Params;
use super::problem::Problem;
use super::state::ApiState;
use crate::error::ErrorClass;
use crate::store::StoreError;
use crate::store::embedded::{self, VerifyProgress, VerifyReport};

/// What verifying found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = VerifyReport)]
pub(crate) struct VerifyView {
    /// Whether everything is as it was written.
    pub(crate) sound: bool,
    /// Position of the last event that was looked at.
    pub(crate) head: u64,
    /// Events that were looked at.
    pub(crate) events: u64,
    /// Removed events of which only stubs are left; left out when there are none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) stubs: u64,
    /// Segment files.
    pub(crate) segments: usize,
    /// Index files.
    pub(crate) index_files: usize,
    /// What is not as it was written, in the order in which it was found.
    pub(crate) problems: Vec<VerifyProblem>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it so")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// One place that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct VerifyProblem {
    /// The file, or what else.
    pub(crate) place: String,
    /// Position of the first damaged event, where it is known.
    pub(crate) position: Option<u64>,
    /// What is wrong with it.
    pub(crate) problem: String,
    /// Whether it can be made anew from the log.
    pub(crate) repairable: bool,
}

impl From<&VerifyReport> for VerifyView {
    fn from(report: &VerifyReport) -> Self {
        Self {
            sound: report.problems.is_empty(),
            head: report.head.0,
            events: report.events,
            stubs: report.stubs,
            segments: report.segments,
            index_files: report.runs,
            problems: report.problems.iter().map(VerifyProblem::from).collect(),
        }
    }
}

impl From<&embedded::Problem> for VerifyProblem {
    fn from(found: &embedded::Problem) -> Self {
        // The place is said already, and whoever verifies need not be told to verify.
        let (position, problem) = match &found.error {
            StoreError::Corrupted { position, reason } => (Some(position.0), reason.clone()),
            StoreError::CorruptedFile { file, reason } if *file == found.place => (None, reason.clone()),
            error => (None, error.to_string()),
        };
        Self { place: found.place.clone(), position, problem, repairable: found.repairable }
    }
}

/// Verifies the store.
pub(super) async fn verify(
    State(state): State<ApiState>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Params::parse(query.as_deref(), &[])?;
    let running = Verifying::start(&state)?;
    respond(running, state, &headers).await
}

/// Verifying that has begun.
struct Verifying {
    progress: watch::Receiver<VerifyProgress>,
    report: oneshot::Receiver<Result<VerifyReport, StoreError>>,
}

impl Verifying {
    fn start(state: &ApiState) -> Result<Self, Problem> {
        let maintenance = Arc::clone(state.maintenance()?);
        let place = state.places().verify()?;
        let (tell, progress) = watch::channel(VerifyProgress::default());
        let (answer, report) = oneshot::channel();
        let work = move || {
            let place: OwnedSemaphorePermit = place;
            let report = Maintenance::verify(&*maintenance, &mut |progress| {
                tell.send_replace(progress);
            });
            // Whoever hears the answer may have it verified again.
            drop(place);
            // Whoever asked may be gone.
            let _ = answer.send(report);
        };
        thread::Builder::new().name("verify".to_owned()).spawn(work).map_err(|error| {
            Problem::of_class(ErrorClass::Unavailable, format!("there is no thread to verify on: {error}"))
        })?;
        Ok(Self { progress, report })
    }
}

impl Running for Verifying {
    type Report = VerifyView;

    async fn done(&mut self, state: &ApiState) -> Result<VerifyView, Problem> {
        let report = tokio::select! {
            report = &mut self.report => report,
            () = state.closed() => {
                let detail = "the server is shutting down; verify again after the restart";
                return Err(Problem::of_class(ErrorClass::Unavailable, detail));
            }
        };
        let panicked = |_| Problem::of_class(ErrorClass::Bug, "verifying broke off; the server's stderr says why");
        let view = VerifyView::from(&report.map_err(panicked)??);
        if let Some(first) = view.problems.first() {
            let problems = view.problems.len();
            tracing::error!(problems, place = first.place, problem = first.problem, "the store is damaged");
        }
        Ok(view)
    }

    fn progress_line(&self) -> String {
        let VerifyProgress { bytes, bytes_total } = *self.progress.borrow();
        serde_json::json!({ "bytes": bytes, "bytes_total": bytes_total }).to_string()
    }
}
