//! The bounds of the face that are no settings. What one append may hold is bounded by the store.

use std::time::Duration;

/// Size after which events go into another message, in bytes. Clients take 4 MiB unless told otherwise; one event
/// is less than 2.
pub(super) const MESSAGE_BYTES: usize = 3 << 20;
/// Payload bytes after which a page of a read ends: about what a slow reader costs.
pub(super) const PAGE_BYTES: usize = 512 << 10;
/// Events in one message unless the client asks for another number.
pub(super) const BATCH_EVENTS: u32 = 1024;
/// Most events in one message, whatever the client asks for.
pub(super) const BATCH_EVENTS_MAX: u32 = 4096;
/// Most requests and streams of one connection at a time; its client holds back more by itself.
pub(super) const CONNECTION_STREAMS_MAX: u32 = 256;
/// Most questions for the server's health at a time; those who watch it are among them.
pub(super) const HEALTH_MAX: usize = 128;
/// What a client may send of one request before it is taken, in bytes.
pub(super) const STREAM_WINDOW_BYTES: u32 = 1 << 20;
/// What a client may send of all its requests before they are taken, in bytes.
pub(super) const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
/// How long a connection is silent before its client is asked for a sign of life.
pub(super) const PING_AFTER: Duration = Duration::from_secs(15);
/// How long the client may take for that; then the connection is closed.
pub(super) const PING_MAX: Duration = Duration::from_secs(15);
/// How long requests in flight may take once the server is told to stop.
pub(super) const DRAIN_MAX: Duration = Duration::from_secs(300);
