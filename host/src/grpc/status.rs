//! What a client is told of an error: a gRPC status whose details are the protocol's own error message.

use std::error::Error;

use prost::Message as _;
use tonic::{Code, Status};

use super::message::{ErrorResponse, ErrorType};
use crate::error::{ErrorClass, with_sources};
use crate::store::{AppendError, StoreError};

/// The status of an error of a class.
pub(super) fn refused(class: ErrorClass, message: impl Into<String>) -> Status {
    let (code, kind) = match class {
        ErrorClass::Conflict => (Code::FailedPrecondition, ErrorType::Integrity),
        ErrorClass::Invalid => (Code::InvalidArgument, ErrorType::InvalidArgument),
        ErrorClass::NotFound => (Code::NotFound, ErrorType::InvalidArgument),
        ErrorClass::Denied => (Code::Unauthenticated, ErrorType::Authentication),
        ErrorClass::Unavailable => (Code::Unavailable, ErrorType::Io),
        ErrorClass::Corrupted => (Code::DataLoss, ErrorType::Corruption),
        ErrorClass::Bug => (Code::Internal, ErrorType::Internal),
    };
    let message = message.into();
    let details = ErrorResponse { message: message.clone(), error_type: kind.into() };
    Status::with_details(code, message, details.encode_to_vec().into())
}

/// The status of a malformed request.
pub(super) fn invalid(message: impl Into<String>) -> Status {
    refused(ErrorClass::Invalid, message)
}

/// The status of an append that was refused.
pub(super) fn of_append(error: &AppendError) -> Status {
    told(error.class(), error)
}

/// The status of a read that failed.
pub(super) fn of_store(error: &StoreError) -> Status {
    told(error.class(), error)
}

fn told(class: ErrorClass, error: &dyn Error) -> Status {
    if matches!(class, ErrorClass::Corrupted | ErrorClass::Bug) {
        tracing::error!(error = with_sources(error), "a request failed");
    }
    refused(class, with_sources(error))
}
