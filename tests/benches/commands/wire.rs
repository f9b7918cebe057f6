//! A connection that is kept alive: one small request after the other, with as little as can be around it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use anyhow::Context as _;
use serde_json::Value;

/// A connection to a server.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
    request: Vec<u8>,
    body: Vec<u8>,
}

impl Connection {
    /// Connects to `http://HOST:PORT`.
    pub(crate) fn to(url: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(url.strip_prefix("http://").context("a server without TLS")?)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream), request: Vec::new(), body: Vec::new() })
    }

    /// Posts JSON; answers the status. What came is in [`Self::answer`].
    pub(crate) fn post(&mut self, path: &str, json: &str) -> anyhow::Result<u16> {
        self.request.clear();
        let length = json.len();
        write!(
            self.request,
            "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{json}"
        )?;
        self.stream.get_mut().write_all(&self.request)?;
        let (mut status, mut bytes, mut line) = (0, 0, String::new());
        loop {
            line.clear();
            anyhow::ensure!(self.stream.read_line(&mut line)? > 0, "the server hung up");
            let lower = line.trim_end().to_ascii_lowercase();
            if lower.is_empty() {
                break;
            } else if let Some(rest) = lower.strip_prefix("http/1.1 ") {
                status = rest.get(..3).context("a status")?.parse()?;
            } else if let Some(length) = lower.strip_prefix("content-length:") {
                bytes = length.trim().parse()?;
            }
        }
        self.body.resize(bytes, 0);
        self.stream.read_exact(&mut self.body)?;
        Ok(status)
    }

    /// The last answer.
    pub(crate) fn answer(&self) -> anyhow::Result<Value> {
        Ok(serde_json::from_slice(&self.body)?)
    }
}
