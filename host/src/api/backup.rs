//! `GET /v1/backup`: what the store holds now, as a tar, while it is in use.
//!
//! The answer's header tells the head and about how many bytes there are to come. The body is made as it is read, on a
//! thread of its own, and a few blocks of it are in memory. A client that is slow holds up no append; it holds files
//! that were replaced meanwhile, and so their room on the disk. One that reads nothing for `write_time` is given up. A body that
//! ends before its last file, the manifest, is no backup: so it is when the server shuts down or its disk fails.

use std::io::{self, Write};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures::stream::unfold;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::maintenance::Maintenance;
use super::params::Params;
use super::problem::Problem;
use super::state::ApiState;
use crate::backup::{Live, TarSink, write};
use crate::error::ErrorClass;

/// Position of the last event in a backup.
pub(super) const HEAD_HEADER: &str = "tidemill-head";
/// Bytes of all its files, as far as is known before they are read.
pub(crate) const BYTES_HEADER: &str = "tidemill-bytes";
/// Bytes sent at once.
const BLOCK_BYTES: usize = 256 << 10;
/// Blocks that wait for the client.
const BLOCKS_MAX: usize = 4;

type Block = Result<Bytes, io::Error>;

/// Sends a backup.
pub(super) async fn backup(State(state): State<ApiState>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    Params::parse(query.as_deref(), &[])?;
    let place = state.places().backups.take()?;
    let maintenance = Arc::clone(state.maintenance()?);
    let live = tokio::task::spawn_blocking(move || Maintenance::backup(maintenance)).await;
    let broke_off = |_| Problem::of_class(ErrorClass::Bug, "the backup broke off; the server's stderr says why");
    let live = live.map_err(broke_off)??;
    let headers = [
        (header::CONTENT_TYPE.as_str(), "application/x-tar".to_owned()),
        (HEAD_HEADER, live.head().to_string()),
        (BYTES_HEADER, live.bytes().to_string()),
    ];
    let (blocks, body) = mpsc::channel(BLOCKS_MAX);
    let stall_max = Duration::from_secs(state.limits().write_time);
    let out = Blocks { blocks, runtime: Handle::current(), buffer: Vec::new(), stall_max };
    let work = move || send(live, out, place);
    thread::Builder::new().name("backup".to_owned()).spawn(work).map_err(|error| {
        Problem::of_class(ErrorClass::Unavailable, format!("there is no thread to make a backup on: {error}"))
    })?;
    Ok((headers, Body::from_stream(until_closed(body, state))).into_response())
}

/// Makes the tar; how it ends is told to the client by the end of the body, and here in the log.
fn send(live: Live, out: Blocks, place: OwnedSemaphorePermit) {
    let (blocks, runtime, stall_max) = (out.blocks.clone(), out.runtime.clone(), out.stall_max);
    match write(live, &mut TarSink::new(out, "the answer".to_owned()), &mut |_| ()) {
        Ok(manifest) => {
            tracing::info!(head = manifest.head, bytes = manifest.bytes(), "a backup was taken");
        }
        Err(error) => {
            tracing::warn!(%error, "a backup was not finished");
            // What breaks the connection, if the client still reads.
            let _ = runtime.block_on(hand_over((&blocks, stall_max), Err(io::Error::other(error.to_string()))));
        }
    }
    // Before the body ends, which it does with the blocks: whoever has it all may ask for another.
    drop(place);
}

/// The blocks as a body, which breaks off when the server shuts down.
fn until_closed(blocks: mpsc::Receiver<Block>, state: ApiState) -> impl futures::Stream<Item = Block> + Send + 'static {
    unfold(Some((blocks, state)), |going| async move {
        let (mut blocks, state) = going?;
        let block = tokio::select! {
            block = blocks.recv() => block?,
            () = state.closed() => Err(io::Error::other("the server is shutting down")),
        };
        let next = block.is_ok().then_some((blocks, state));
        Some((block, next))
    })
}

/// Writes blocks for a client.
struct Blocks {
    blocks: mpsc::Sender<Block>,
    runtime: Handle,
    buffer: Vec<u8>,
    /// How long the client may read nothing.
    stall_max: Duration,
}

impl Write for Blocks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BLOCK_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let block = std::mem::take(&mut self.buffer);
        self.runtime.block_on(hand_over((&self.blocks, self.stall_max), Ok(block.into())))
    }
}

async fn hand_over((blocks, stall_max): (&mpsc::Sender<Block>, Duration), block: Block) -> io::Result<()> {
    let failed = |reason: &str| io::Error::new(io::ErrorKind::BrokenPipe, reason.to_owned());
    match tokio::time::timeout(stall_max, blocks.send(block)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(failed("the client went away")),
        Err(_) => Err(failed(&format!("the client read nothing for {} s", stall_max.as_secs()))),
    }
}
