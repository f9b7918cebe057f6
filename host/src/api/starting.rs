//! What is not found while the plugins of the start are being loaded may be about to come: it is not now, and not never.

use super::problem::{Kind, Problem};
use super::state::ApiState;
use crate::error::ErrorClass;

/// Whether plugins were still being loaded when a request came. To be asked before anything is looked for: what is missed
/// then may be there by the time that is told.
#[derive(Clone, Copy)]
pub(super) struct Starting(bool);

impl Starting {
    pub(super) fn of(state: &ApiState) -> Self {
        Self(!state.plugins().is_ready())
    }

    /// Refuses what could meet a plugin that is about to run.
    pub(super) fn must_be_over(self) -> Result<(), Problem> {
        if !self.0 {
            return Ok(());
        }
        let detail = "the plugins are being loaded, and this one may be among them; send it again later";
        Err(Problem::of_class(ErrorClass::Unavailable, detail))
    }

    /// A problem as it is told: with 503 and `Retry-After` where what is not found may be among what is being loaded.
    pub(super) fn told(self, problem: Problem) -> Problem {
        if !self.0 || problem.kind() != Kind::NotFound {
            return problem;
        }
        let detail = format!("the plugins are being loaded; send it again later. So far: {}", problem.detail());
        Problem::of_class(ErrorClass::Unavailable, detail)
    }
}
