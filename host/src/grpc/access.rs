//! Who calls, and whether they may.
//!
//! A key comes as metadata `authorization: Bearer KEY`, as clients of the protocol send theirs. No key, or an unknown one,
//! is `UNAUTHENTICATED`; a key that is not for that is `PERMISSION_DENIED`. The health service asks for none.

use prost::Message as _;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::{Code, Status};

use super::message::{ErrorResponse, ErrorType};
use crate::access::{Denied, NoEntry};
use crate::gate::{Caller, Farewell, Revocable};

/// The status for who is not let in.
pub(super) fn unknown(refused: NoEntry) -> Status {
    status(Code::Unauthenticated, refused.to_string())
}

/// The status for who may not do something.
pub(super) fn denied(denied: Denied) -> Status {
    match denied {
        Denied::NoKey => unknown(NoEntry::NoKey),
        Denied::Revoked { .. } => unknown(NoEntry::UnknownKey),
        Denied::Scope { .. } | Denied::Reach { .. } | Denied::Beyond { .. } => {
            status(Code::PermissionDenied, denied.to_string())
        }
    }
}

fn status(code: Code, message: String) -> Status {
    let details = ErrorResponse { message: message.clone(), error_type: ErrorType::Authentication.into() };
    Status::with_details(code, message, details.encode_to_vec().into())
}

/// Ends a stream of messages, as any error does, when its caller is expelled.
pub(super) fn revocable(answer: http::Response<Body>, caller: Caller) -> http::Response<Body> {
    let mut trailers = http::HeaderMap::new();
    let farewell = match unknown(caller.once_expelled()).add_header(&mut trailers) {
        Ok(()) => Farewell::Trailers(trailers),
        Err(_) => Farewell::Broken,
    };
    answer.map(|body| Body::new(Revocable::new(body, caller, farewell)))
}
