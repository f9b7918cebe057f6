//! What a client is told of events that retention removed: by metadata, since the protocol's messages have no word
//! for it.
//!
//! That is no error unless the client asks for one: what the protocol itself appends stands on no stream and is never
//! removed, so its readers miss nothing of their own.

use tonic::metadata::MetadataMap;
use tonic::{Response, Status};

use super::status::invalid;
use crate::event::Position;

/// Metadata of an answer: before this position, and behind where the answer begins, events that may have matched are
/// removed.
pub(super) const REMOVED_BEFORE: &str = "tidemill-removed-before";
/// Metadata of a read: `true` if removed events that may have matched are an error.
pub(super) const COMPLETE: &str = "tidemill-complete";

/// Whether a read wants every event there ever was.
pub(super) fn wants_all(metadata: &MetadataMap) -> Result<bool, Status> {
    match metadata.get(COMPLETE).map(|value| value.as_bytes()) {
        None | Some(b"false") => Ok(false),
        Some(b"true") => Ok(true),
        Some(_) => Err(invalid(format!("metadata {COMPLETE} is neither true nor false; give one of them"))),
    }
}

/// An answer, and what is missing from it.
pub(super) fn tell<A>(answer: A, removed_before: Option<Position>) -> Response<A> {
    let mut response = Response::new(answer);
    if let Some(position) = removed_before {
        response.metadata_mut().insert(REMOVED_BEFORE, position.0.into());
    }
    response
}
