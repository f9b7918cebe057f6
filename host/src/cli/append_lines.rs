//! `tidemill append` from stdin: one event a line, sent in chunks.
//!
//! A chunk is what has arrived, up to a bound: a slow producer's events are stored as they come, a file's
//! a thousand at a time. Each chunk is appended atomically; the whole input is not. Every line is checked
//! before it is sent, and every event has an id before it is sent, so that a chunk can be sent again when
//! the connection is lost, and an input again when it was stored in part.

use std::io::{BufRead, BufReader, IsTerminal as _, Read};

use serde_json::json;

use super::client::{ClientError, Refusal, Server};
use super::error::{CliError, Exit};
use super::output::{Output, talk};
use super::progress::Progress;
use super::query::Query;
use super::retrying::{self, Stored};
use super::waiting::{self, Behind, WaitForArgs};
use crate::api::{ParsedEvent, parse_event};

/// Most events in a chunk.
const CHUNK_EVENTS_MAX: usize = 1000;
/// Bytes after which a chunk ends.
const CHUNK_BYTES: usize = 4 << 20;
/// Longest line in bytes: the largest event in base64, with its metadata.
const LINE_BYTES_MAX: usize = 4 << 20;
/// Bytes read at a time.
const READ_BYTES: usize = 256 << 10;

/// Appends every line of `input`.
pub(super) fn run(
    input: impl Read,
    server: &Server,
    wait: &WaitForArgs,
    json: bool,
    output: &mut Output<'_>,
) -> Result<(), CliError> {
    if std::io::stdin().is_terminal() {
        talk("reading events from stdin, one JSON object a line; end with Ctrl-D");
    }
    let progress = Progress::events();
    // A chunk is one append: what it holds is safe to send again.
    let path = Query::path(&["v1", "events"]).with("atomic", "true").with_wait_for(wait);
    let mut appender = Appender { server, path, progress: &progress, total: Total::default(), behind: Vec::new() };
    let result = appender.append_all(&mut Lines::new(input));
    progress.finish();
    let Appender { total, behind, .. } = appender;
    result?;
    if json {
        let Total { events, first, last } = total;
        output.line(&json!({ "events": events, "first_position": first, "last_position": last }).to_string())?;
    } else {
        output.line(&total.to_text())?;
    }
    waiting::check(&behind)
}

/// What has been stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Total {
    events: u64,
    first: Option<u64>,
    last: Option<u64>,
}

impl Total {
    fn add(&mut self, events: usize, stored: &Stored) {
        self.events += events as u64;
        self.first = Some(self.first.map_or(stored.first_position, |first| first.min(stored.first_position)));
        self.last = Some(self.last.map_or(stored.last_position, |last| last.max(stored.last_position)));
    }

    fn to_text(self) -> String {
        match (self.first, self.last) {
            (Some(only), Some(_)) if self.events == 1 => format!("1 event stored at position {only}"),
            (Some(first), Some(last)) => format!("{} events stored at positions {first} to {last}", self.events),
            _ => "no events given, none stored".into(),
        }
    }
}

/// Sends chunks.
struct Appender<'a> {
    server: &'a Server,
    path: Query,
    progress: &'a Progress,
    total: Total,
    /// The plugins that were behind when the last chunk was answered.
    behind: Vec<Behind>,
}

impl Appender<'_> {
    /// Appends chunk after chunk. Of a chunk with a bad line, the lines before it are stored.
    fn append_all<R: Read>(&mut self, lines: &mut Lines<R>) -> Result<(), CliError> {
        loop {
            let Chunk { events, end } = lines.chunk();
            self.append(&events)?;
            match end {
                ChunkEnd::More => {}
                ChunkEnd::Input => return Ok(()),
                ChunkEnd::Bad { line, reason } => return Err(self.stopped(Exit::Usage, line, &reason)),
                ChunkEnd::Unreadable { reason } => {
                    return Err(CliError::new(Exit::Failure, format_args!("stdin cannot be read: {reason}"))
                        .hint(self.before()));
                }
            }
        }
    }

    fn append(&mut self, events: &[Line]) -> Result<(), CliError> {
        let Some(first) = events.first() else { return Ok(()) };
        let body = events.iter().fold(String::new(), |body, line| body + &line.text + "\n");
        match retrying::append(self.server, &self.path, "application/x-ndjson", body.as_bytes()) {
            Ok(answer) => {
                let stored: Stored = serde_json::from_slice(&answer).map_err(|error| {
                    self.stopped(Exit::Failure, first.number, &format!("the answer is not understood: {error}"))
                })?;
                self.total.add(events.len(), &stored);
                self.behind = stored.behind;
                self.progress.add(events.len() as u64);
                Ok(())
            }
            // Stored in part by an earlier run, whose chunks began elsewhere: find out which part.
            Err(ClientError::Refused(refusal)) if refusal.is("partly-stored") && events.len() > 1 => {
                let (before, after) = events.split_at(events.len() / 2);
                self.append(before)?;
                self.append(after)
            }
            Err(ClientError::Refused(refusal)) => Err(self.refused(events, first, &refusal)),
            Err(error) => {
                let explained = self.server.explain(error);
                let CliError::Failed { exit, what, .. } = explained else { return Err(explained) };
                Err(self.stopped(exit, first.number, &what))
            }
        }
    }

    /// Puts a refusal at the line of the input that it is about.
    fn refused(&self, events: &[Line], first: &Line, refusal: &Refusal) -> CliError {
        let named = refusal.problem.line;
        let line = named.and_then(|line| events.get(line.saturating_sub(1))).unwrap_or(first);
        // The server counts lines from the beginning of the chunk.
        let own = named.map(|line| format!("line {line}: ")).unwrap_or_default();
        let detail = &refusal.problem.detail;
        self.stopped(Exit::of_status(refusal.status), line.number, detail.strip_prefix(&own).unwrap_or(detail))
    }

    fn stopped(&self, exit: Exit, line: usize, reason: &str) -> CliError {
        CliError::new(exit, format_args!("line {line}: {reason}")).hint(self.before())
    }

    fn before(&self) -> String {
        match self.total.events {
            0 => "no event was stored".into(),
            1 => "the 1 event before it is stored; mend the input and send it from there".into(),
            events => format!("the {events} events before it are stored; mend the input and send it from there"),
        }
    }
}

/// One event of the input, with its id in it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    number: usize,
    text: String,
}

/// Events to send at once, and why there are not more.
struct Chunk {
    events: Vec<Line>,
    end: ChunkEnd,
}

#[derive(Debug, PartialEq, Eq)]
enum ChunkEnd {
    More,
    Input,
    Bad { line: usize, reason: String },
    Unreadable { reason: String },
}

/// The lines of the input.
struct Lines<R> {
    reader: BufReader<R>,
    number: usize,
}

impl<R: Read> Lines<R> {
    fn new(input: R) -> Self {
        Self { reader: BufReader::with_capacity(READ_BYTES, input), number: 0 }
    }

    /// Takes what has arrived; waits only for the first line.
    fn chunk(&mut self) -> Chunk {
        let (mut events, mut bytes) = (Vec::new(), 0);
        let end = loop {
            match self.line() {
                Ok(Some(line)) => {
                    bytes += line.text.len();
                    events.push(line);
                }
                Ok(None) => {}
                Err(end) => break end,
            }
            let arrived = self.reader.buffer().contains(&b'\n');
            if !arrived || events.len() >= CHUNK_EVENTS_MAX || bytes >= CHUNK_BYTES {
                break ChunkEnd::More;
            }
        };
        Chunk { events, end }
    }

    /// The next line; none when it is blank.
    fn line(&mut self) -> Result<Option<Line>, ChunkEnd> {
        let mut bytes = Vec::new();
        let read = self.reader.by_ref().take(LINE_BYTES_MAX as u64 + 1).read_until(b'\n', &mut bytes);
        match read {
            Err(error) => return Err(ChunkEnd::Unreadable { reason: error.to_string() }),
            Ok(0) => return Err(ChunkEnd::Input),
            Ok(_) => self.number += 1,
        }
        let number = self.number;
        checked(bytes)
            .map(|text| text.map(|text| Line { number, text }))
            .map_err(|reason| ChunkEnd::Bad { line: number, reason })
    }
}

/// Checks a line and gives its event an id; none when it is blank.
fn checked(bytes: Vec<u8>) -> Result<Option<String>, String> {
    if bytes.len() > LINE_BYTES_MAX {
        return Err(format!("longer than {LINE_BYTES_MAX} bytes"));
    }
    let text = String::from_utf8(bytes)
        .map_err(|error| format!("not valid UTF-8 at byte {}", error.utf8_error().valid_up_to()))?;
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let ParsedEvent { event, has_id } = parse_event(text)?;
    event.validate().map_err(|error| error.to_string())?;
    // An event has a type, so its object is not empty and a comma is right.
    let text = match text.strip_prefix('{') {
        Some(rest) if !has_id => format!("{{\"id\":\"{}\",{rest}", event.id),
        _ => text.to_owned(),
    };
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_gets_an_id_and_keeps_its_bytes() {
        let given = r#"{"type":"T","data": {"a" : 1.0}}"#;
        let text = checked(given.into()).unwrap().unwrap();
        assert!(text.starts_with("{\"id\":\"") && text.ends_with(&given[1..]), "{text}");
        let again = checked(text.clone().into_bytes()).unwrap().unwrap();
        assert_eq!(again, text, "an id is kept");
    }

    #[test]
    fn a_chunk_ends_at_the_bad_line_and_names_it() {
        let input = "{\"type\":\"A\"}\n\n{\"type\":\"B\"}\n{\"typ\":\"C\"}\n{\"type\":\"D\"}\n";
        let chunk = Lines::new(input.as_bytes()).chunk();
        assert_eq!(chunk.events.iter().map(|line| line.number).collect::<Vec<_>>(), [1, 3]);
        let reason = "unknown field `typ`; did you mean `type`?".into();
        assert_eq!(chunk.end, ChunkEnd::Bad { line: 4, reason });
    }

    #[test]
    fn invalid_utf8_and_endless_lines_are_refused() {
        assert_eq!(checked(b"{\"type\":\"\xff\"}".to_vec()), Err("not valid UTF-8 at byte 9".into()));
        let endless = std::io::repeat(b'x').take(1 << 30);
        let chunk = Lines::new(endless).chunk();
        assert_eq!(chunk.end, ChunkEnd::Bad { line: 1, reason: "longer than 4194304 bytes".into() });
    }

    #[test]
    fn chunks_are_bounded_and_lines_without_an_end_count() {
        let input = "{\"type\":\"A\"}\n".repeat(2500) + "{\"type\":\"Z\"}";
        let mut lines = Lines::new(input.as_bytes());
        let mut sizes = Vec::new();
        loop {
            let chunk = lines.chunk();
            sizes.push(chunk.events.len());
            if chunk.end == ChunkEnd::Input {
                break;
            }
        }
        assert_eq!(sizes.iter().sum::<usize>(), 2501);
        assert!(sizes.iter().all(|size| *size <= CHUNK_EVENTS_MAX), "{sizes:?}");
    }
}
