//! Cuts a body that arrives piece by piece into blocks of whole lines.
//!
//! Holds one block and one piece of the body at most: nobody reads the body while nobody asks for a block,
//! and what is longer than a line may be is dropped as it comes. Futures can be dropped without loss.

use axum::body::{Body, BodyDataStream};
use bytes::{Bytes, BytesMut};
use futures::{FutureExt as _, StreamExt as _};

/// Longest line in bytes: the largest event in base64, with its metadata.
pub(super) const LINE_BYTES_MAX: usize = 4 << 20;
/// Bytes after which nothing more is gathered for a block.
const BLOCK_BYTES: usize = 512 << 10;
/// Most lines in a block: an append holds as many.
const BLOCK_LINES_MAX: usize = 5_000;

/// The lines of a body.
#[derive(Debug)]
pub(super) struct Lines {
    body: BodyDataStream,
    buffer: BytesMut,
    /// Lines cut so far.
    count: usize,
    /// What follows belongs to a line that is too long.
    skipping: bool,
    ended: Option<Result<(), String>>,
}

/// What comes next of a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Block {
    /// Whole lines; `first` is the number of the first, from 1.
    Lines { first: usize, bytes: Bytes },
    /// A line longer than [`LINE_BYTES_MAX`], which is not kept.
    TooLong { line: usize },
    /// The body is over.
    End,
    /// The body broke off.
    Broken { reason: String },
}

impl Lines {
    pub(super) fn new(body: Body) -> Self {
        let body = body.into_data_stream();
        Self { body, buffer: BytesMut::new(), count: 0, skipping: false, ended: None }
    }

    /// Waits until a whole block has arrived, or the body is over.
    pub(super) async fn fill(&mut self) {
        while self.ended.is_none() && self.buffer.len() < BLOCK_BYTES {
            self.pull().await;
        }
    }

    /// The next block: what has arrived. Waits only when that is not a line.
    pub(super) async fn block(&mut self) -> Block {
        loop {
            while self.ended.is_none() && self.buffer.len() < BLOCK_BYTES && self.pull().now_or_never().is_some() {}
            if let Some(block) = self.cut() {
                return block;
            }
            self.pull().await;
        }
    }

    /// Waits for more of the body.
    async fn pull(&mut self) {
        match self.body.next().await {
            Some(Ok(bytes)) => self.buffer.extend_from_slice(&bytes),
            Some(Err(error)) => self.ended = Some(Err(error.to_string())),
            None => self.ended = Some(Ok(())),
        }
    }

    /// Takes a block of what has arrived; none when that does not end a line.
    fn cut(&mut self) -> Option<Block> {
        if self.skipping {
            let end = self.buffer.iter().position(|byte| *byte == b'\n');
            let _ = self.buffer.split_to(end.map_or(self.buffer.len(), |end| end + 1));
            self.skipping = end.is_none() && self.ended.is_none();
            if self.skipping {
                return None;
            }
        }
        let (lines, bytes) = whole_lines(&self.buffer);
        let first = self.count + 1;
        if lines > 0 {
            self.count += lines;
            return Some(Block::Lines { first, bytes: self.buffer.split_to(bytes).freeze() });
        }
        if self.buffer.len() > LINE_BYTES_MAX {
            self.count += 1;
            self.skipping = true;
            return Some(Block::TooLong { line: first });
        }
        match self.ended.clone()? {
            Err(reason) => Some(Block::Broken { reason }),
            Ok(()) if self.buffer.is_empty() => Some(Block::End),
            // The last line needs no end.
            Ok(()) => {
                self.count += 1;
                Some(Block::Lines { first, bytes: self.buffer.split().freeze() })
            }
        }
    }
}

/// How many whole lines a block takes of a buffer, and their bytes.
fn whole_lines(buffer: &[u8]) -> (usize, usize) {
    let ends = buffer.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    ends.take(BLOCK_LINES_MAX).fold((0, 0), |(lines, _), end| (lines + 1, end))
}

#[cfg(test)]
mod tests {
    use futures::stream::iter;

    use super::*;

    async fn blocks(pieces: Vec<Result<Bytes, std::io::Error>>) -> Vec<Block> {
        let mut lines = Lines::new(Body::from_stream(iter(pieces)));
        let mut blocks = Vec::new();
        loop {
            blocks.push(lines.block().await);
            if matches!(blocks.last(), Some(Block::End | Block::Broken { .. })) {
                return blocks;
            }
        }
    }

    fn piece(text: &str) -> Result<Bytes, std::io::Error> {
        Ok(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[tokio::test]
    async fn lines_are_whole_however_the_body_comes() {
        let found = blocks(vec![piece("a\nb"), piece("c"), piece("\n"), piece("d")]).await;
        let lines = |first, text: &str| Block::Lines { first, bytes: Bytes::copy_from_slice(text.as_bytes()) };
        assert_eq!(found, [lines(1, "a\nbc\n"), lines(3, "d"), Block::End]);
        let broken = blocks(vec![piece("a\nb"), Err(std::io::Error::other("gone"))]).await;
        assert_eq!(broken, [lines(1, "a\n"), Block::Broken { reason: "gone".into() }]);
    }

    #[tokio::test]
    async fn a_block_is_bounded() {
        let found = blocks(vec![piece(&"x\n".repeat(BLOCK_LINES_MAX + 1))]).await;
        let firsts = found.iter().filter_map(|block| match block {
            Block::Lines { first, .. } => Some(*first),
            _ => None,
        });
        assert_eq!(firsts.collect::<Vec<_>>(), [1, BLOCK_LINES_MAX + 1]);
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_is_dropped_and_named() {
        let mut pieces = vec![piece("a\n")];
        pieces.extend((0..64).map(|_| piece(&"x".repeat(LINE_BYTES_MAX / 32))));
        pieces.push(piece("x\nb\n"));
        let mut lines = Lines::new(Body::from_stream(iter(pieces)));
        assert!(matches!(lines.block().await, Block::Lines { first: 1, .. }));
        assert_eq!(lines.block().await, Block::TooLong { line: 2 });
        assert!(lines.buffer.len() <= LINE_BYTES_MAX + BLOCK_BYTES);
        assert!(matches!(lines.block().await, Block::Lines { first: 3, .. }));
        assert_eq!(lines.block().await, Block::End);
    }
}
