//! How much a server takes on at a time, and how long it waits for a client.

use clap::Args;
use clap::builder::RangedU64ValueParser;

/// Most of anything at a time that can be asked for.
const AT_A_TIME_MAX: u64 = 1_000_000;
/// Longest wait for a client that can be asked for, in seconds.
const SECONDS_MAX: u64 = 3600;

/// How much a server takes on at a time, and how long it waits for a client.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Limits {
    /// Most requests over HTTP at a time whose answer is not taken yet, subscribers aside, and as many calls over gRPC; the
    /// next one is told to come back later (429, UNAVAILABLE)
    #[arg(long, value_name = "N", env = "TIDEMILL_MAX_REQUESTS", default_value_t = Limits::default().max_requests, value_parser = count())]
    pub max_requests: usize,
    /// Most subscribers over HTTP at a time; the next one is told to come back later (429)
    #[arg(long, value_name = "N", env = "TIDEMILL_MAX_SUBSCRIBERS", default_value_t = Limits::default().max_subscribers, value_parser = count())]
    pub max_subscribers: usize,
    /// Most reads and subscriptions over gRPC at a time; the next one is told to come back later (UNAVAILABLE)
    #[arg(long, value_name = "N", env = "TIDEMILL_MAX_GRPC_STREAMS", default_value_t = Limits::default().max_grpc_streams, value_parser = count())]
    pub max_grpc_streams: usize,
    /// Largest request over HTTP or gRPC, but for bodies of lines and plugins' components, which have bounds of their own
    #[arg(long, value_name = "BYTES", env = "TIDEMILL_MAX_BODY_BYTES", default_value_t = Limits::default().max_body_bytes, value_parser = RangedU64ValueParser::<usize>::new().range(1024..=1 << 30))]
    pub max_body_bytes: usize,
    /// How long such a request may take to arrive
    #[arg(long, value_name = "SECONDS", env = "TIDEMILL_BODY_TIME", default_value_t = Limits::default().body_time, value_parser = seconds())]
    pub body_time: u64,
    /// How long a body of lines may bring nothing
    #[arg(long, value_name = "SECONDS", env = "TIDEMILL_LINES_TIME", default_value_t = Limits::default().lines_time, value_parser = seconds())]
    pub lines_time: u64,
    /// How long a connection may be without a whole header of its next request, or over gRPC without the first bytes
    /// of HTTP/2; then it is closed
    #[arg(long, value_name = "SECONDS", env = "TIDEMILL_HEADER_TIME", default_value_t = Limits::default().header_time, value_parser = seconds())]
    pub header_time: u64,
    /// How long a client may take nothing of an answer, or of what it subscribed to; then it is given up
    #[arg(long, value_name = "SECONDS", env = "TIDEMILL_WRITE_TIME", default_value_t = Limits::default().write_time, value_parser = seconds())]
    pub write_time: u64,
    /// Most connections of a listener at a time; the next one is closed at once, which is logged and counted
    #[arg(long, value_name = "N", env = "TIDEMILL_MAX_CONNECTIONS", default_value_t = Limits::default().max_connections, value_parser = count())]
    pub max_connections: usize,
    /// How long a client may take to agree on TLS
    #[arg(long, value_name = "SECONDS", env = "TIDEMILL_HANDSHAKE_TIME", default_value_t = Limits::default().handshake_time, value_parser = seconds())]
    pub handshake_time: u64,
    /// Most connections of a listener that have not agreed on TLS yet; the oldest makes room for the next one
    #[arg(long, value_name = "N", env = "TIDEMILL_MAX_HANDSHAKES", default_value_t = Limits::default().max_handshakes, value_parser = count())]
    pub max_handshakes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_requests: 1024,
            max_subscribers: 10_000,
            max_grpc_streams: 4096,
            // An append of the largest size in base64, and as much again for JSON around it.
            max_body_bytes: 32 << 20,
            body_time: 60,
            lines_time: 300,
            header_time: 60,
            write_time: 300,
            max_connections: 16_384,
            handshake_time: 5,
            max_handshakes: 1024,
        }
    }
}

fn count() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=AT_A_TIME_MAX)
}

fn seconds() -> RangedU64ValueParser<u64> {
    RangedU64ValueParser::new().range(1..=SECONDS_MAX)
}
