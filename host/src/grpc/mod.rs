//! gRPC: the public protocol for stores with dynamic consistency boundaries, `umadb.v1.DCB`, over the same log.
//!
//! Its clients work unchanged: positions are from 1, a read's `start` is inclusive, `after` exclusive, an empty
//! log has no head. No rules live here but those that are the protocol's alone: what may be appended is decided
//! by `event` and `store`. One file per operation; `message` has what goes over the wire, `convert` what that
//! means, `status` what becomes of errors, by one match on their class, and `limits` every bound that is not a setting.
//!
//! An append is handed to the store by the task that received it, so appends of many connections share commits
//! without a thread changing hands. A read or a subscription is a stream that holds one page: the next is read
//! when the client has taken it, so a slow client costs that page and nothing else.
//!
//! The messages are written here rather than generated: that would need `protoc`, or a compiler of protocol
//! buffers, wherever this crate is built. That they are the protocol's is held by tests with its own clients.

mod access;
mod append;
mod arriving;
mod bounded;
mod client;
mod convert;
mod counted;
mod limits;
mod message;
mod read;
mod removed;
mod server;
mod service;
mod status;
mod subscribe;
mod taken;

#[cfg(test)]
mod tests;

pub(crate) use client::{Counts, DcbClient, DcbError, Proposal};
pub use server::{Face, serve};
