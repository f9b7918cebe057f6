//! `wasi:cli` standard streams: stdin is closed, stdout and stderr go to the instance's [`Output`].

use bytes::Bytes;
use wasmtime_wasi::WasiCtx;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::pipe::{ClosedInputStream, SinkOutputStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::runtime::output::{Output, Stream};

/// Most bytes taken in one write.
const WRITE_BYTES_MAX: usize = 64 << 10;

/// A WASI context without arguments, environment, directories or network, whose output is captured.
pub(in crate::runtime) fn context(output: &Output) -> WasiCtx {
    let stream = |stream| StandardStream { output: output.clone(), stream };
    let mut builder = WasiCtx::builder();
    builder.stdin(ClosedInputStream).stdout(stream(Stream::Stdout)).stderr(stream(Stream::Stderr));
    builder.socket_addr_check(|_, _| Box::pin(async { false })).allow_tcp(false).allow_udp(false);
    builder.build()
}

/// One of the two output streams. Always ready, never full.
#[derive(Clone, Debug)]
pub(in crate::runtime) struct StandardStream {
    output: Output,
    stream: Stream,
}

impl IsTerminal for StandardStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for StandardStream {
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        // Only WASI 0.3 takes this form, and it is not linked.
        StdoutStream::async_stream(&SinkOutputStream)
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for StandardStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.output.write(self.stream, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES_MAX)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for StandardStream {
    async fn ready(&mut self) {}
}
