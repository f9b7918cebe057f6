//! What the edge asks of a store that keeps files, beside reading and writing it.

use std::sync::Arc;

use crate::backup::Live;
use crate::store::embedded::{Activity, EmbeddedStore, Sizes, VerifyProgress, VerifyReport};
use crate::store::{Pending, StoreError};

/// A store whose files can be looked at while it is in use. One that keeps none is not maintained.
pub trait Maintenance: Send + Sync + 'static {
    /// Looks at every byte, telling how far it is. Blocks for as long as reading all files takes.
    ///
    /// # Errors
    /// When it cannot be told what there is to look at. Damage is no error but in the report.
    fn verify(&self, tell: &mut dyn FnMut(VerifyProgress)) -> Result<VerifyReport, StoreError>;

    /// How large its parts are. Blocks for a moment.
    ///
    /// # Errors
    /// When the data directory cannot be listed.
    fn sizes(&self) -> Result<Sizes, StoreError>;

    /// Takes hold of what it holds now, to be written elsewhere. Blocks while plugins' state is copied.
    ///
    /// # Errors
    /// When the disk fails or has no room for a copy of that.
    fn backup(self: Arc<Self>) -> Result<Live, StoreError>;

    /// What it has done since it was opened.
    fn activity(&self) -> Activity;

    /// Asks whether it would take writes now. May block as an append does.
    fn ping(&self) -> Pending<Result<(), StoreError>>;
}

impl Maintenance for EmbeddedStore {
    fn verify(&self, tell: &mut dyn FnMut(VerifyProgress)) -> Result<VerifyReport, StoreError> {
        Self::verify(self, tell)
    }

    fn sizes(&self) -> Result<Sizes, StoreError> {
        Self::sizes(self)
    }

    fn backup(self: Arc<Self>) -> Result<Live, StoreError> {
        Live::of(self)
    }

    fn activity(&self) -> Activity {
        Self::activity(self)
    }

    fn ping(&self) -> Pending<Result<(), StoreError>> {
        Self::ping(self)
    }
}
