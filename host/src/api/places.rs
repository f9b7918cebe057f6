//! How many may do something at a time: a place for each, and none for one too many.

use std::sync::Arc;

use axum::http::StatusCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::problem::{Kind, Problem};
use crate::config::Limits;
use crate::error::ErrorClass;

/// Most verifications at a time: each reads the whole store.
const VERIFICATIONS_MAX: usize = 1;
/// Most backups at a time: each reads the whole store.
const BACKUPS_MAX: usize = 2;
/// Most rehearsals at a time: each has a processor, and state in memory.
const REHEARSALS_MAX: usize = 2;

/// The places for all that is bounded in number.
#[derive(Debug)]
pub(super) struct Places {
    pub(super) requests: Place,
    pub(super) subscribers: Place,
    pub(super) backups: Place,
    pub(super) rehearsals: Place,
    verifications: Place,
}

/// The places for one thing.
#[derive(Debug)]
pub(super) struct Place {
    what: &'static str,
    max: usize,
    free: Arc<Semaphore>,
}

impl Places {
    /// All of them free.
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            requests: Place::new("requests at a time", limits.max_requests),
            subscribers: Place::new("subscribers", limits.max_subscribers),
            backups: Place::new("backups at a time", BACKUPS_MAX),
            rehearsals: Place::new("rehearsals", REHEARSALS_MAX),
            verifications: Place::new("verifications", VERIFICATIONS_MAX),
        }
    }

    /// Takes the place for verifying.
    pub(super) fn verify(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.verifications.free).try_acquire_owned().map_err(|_| {
            let detail = "the store is being verified already; try again when that is done";
            Problem::of_class(ErrorClass::Unavailable, detail)
        })
    }
}

impl Place {
    fn new(what: &'static str, max: usize) -> Self {
        Self { what, max, free: Arc::new(Semaphore::new(max)) }
    }

    /// Takes one, until what is answered is dropped.
    pub(super) fn take(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.free).try_acquire_owned().map_err(|_| {
            let detail = format!("there are {} {} already; try again later", self.max, self.what);
            Problem::http(StatusCode::TOO_MANY_REQUESTS, Kind::TooManyRequests, detail)
        })
    }

    /// How many are taken.
    pub(super) fn taken(&self) -> usize {
        self.max - self.free.available_permits()
    }

    /// Takes all of them.
    #[cfg(test)]
    pub(super) fn fill(&self) -> OwnedSemaphorePermit {
        Arc::clone(&self.free).try_acquire_many_owned(u32::try_from(self.max).unwrap()).unwrap()
    }
}
