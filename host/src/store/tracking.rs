//! How far a source was followed by whoever appends what it comes to.
//!
//! A consumer of some other log appends its own events together with the place it has come to there. Both
//! commit at once, and the place only moves forward: what was handled once cannot be appended again. The place
//! is noted on the events too, in their metadata, so that each tells what it was made from.

use super::AppendError;
use crate::event::{NewEvent, RecordedEvent, TRACKING_KEY, check_name};

/// A source and how far it was followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracking {
    /// Name of the source: 1 to 255 bytes, no control characters.
    pub source: String,
    /// A number that rises along the source.
    pub position: u64,
}

impl Tracking {
    /// What was noted on an event when it was appended.
    #[must_use]
    pub fn of(event: &RecordedEvent) -> Option<Self> {
        let (position, source) = event.metadata.get(TRACKING_KEY)?.split_once(' ')?;
        Some(Self { source: source.to_owned(), position: position.parse().ok()? })
    }

    /// Notes it on an event.
    pub(in crate::store) fn note(&self, event: &mut NewEvent) {
        event.metadata.insert(TRACKING_KEY.to_owned(), format!("{} {}", self.position, self.source));
    }

    /// Checks its name.
    pub(super) fn check(&self) -> Result<(), AppendError> {
        check_name("tracking source", &self.source).map_err(|reason| AppendError::InvalidTracking { reason })
    }

    /// Checks that the source moves forward from where it is; none if it was never followed.
    pub(super) fn check_moves(&self, stored: Option<u64>) -> Result<(), AppendError> {
        let Self { source, position } = self;
        match stored {
            Some(stored) if *position <= stored => {
                Err(AppendError::TrackingNotForward { of: source.clone(), position: *position, stored })
            }
            _ => Ok(()),
        }
    }
}
