//! `tidemill append` from stdin: one event a line, sent in chunks.
//!
//! A chunk is what has arrived, up to a bound: a slow producer's events are stored as they come, a file's
//! a thousand at a time. Each chunk is appended atomically; the whole input is not. Every line is checked
//! before it is sent, and every event has an id before it is sent, so that a chunk can be sent again when
//! the connection is lost, and an input again when it was stored in part.

use std::fmt::Display;
use std::io::{BufRead, BufReader, IsTerminal as _, Read};

use serde_json::json;

use super::client::{Appends, ClientError, Refusal, Server};
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
    let mut appender = Appender::new(server, path, &progress);
    let result = appender.append_all(&mut Lines::new(input, |bytes| checked(&line_text(bytes)?)));
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
pub(super) struct Total {
    pub(super) events: u64,
    pub(super) first: Option<u64>,
    pub(super) last: Option<u64>,
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
pub(super) struct Appender<'a> {
    to: &'a dyn Appends,
    path: Query,
    progress: &'a Progress,
    pub(super) total: Total,
    /// The plugins that were behind when the last chunk was answered.
    behind: Vec<Behind>,
    /// Events up to this position were stored before.
    pub(super) known_up_to: Option<u64>,
    /// How many of the total were.
    pub(super) known: u64,
    /// Whether to go on behind lines that are refused.
    pub(super) skip_refused: bool,
    /// Those, and why.
    pub(super) refused: Vec<(usize, String)>,
}

impl<'a> Appender<'a> {
    /// Appends by posts to a path; stops at the first line that is refused.
    pub(super) fn new(to: &'a dyn Appends, path: Query, progress: &'a Progress) -> Self {
        let (total, behind, refused) = (Total::default(), Vec::new(), Vec::new());
        Self { to, path, progress, total, behind, known_up_to: None, known: 0, skip_refused: false, refused }
    }

    /// Appends chunk after chunk. Of a chunk with a bad line, the lines before it are stored.
    fn append_all<R: Read>(&mut self, lines: &mut Lines<'_, R, String>) -> Result<(), CliError> {
        loop {
            let Chunk { events, end } = lines.chunk();
            self.append(&events)?;
            match end {
                ChunkEnd::More => {}
                ChunkEnd::Input => return Ok(()),
                ChunkEnd::Bad { line, reason } => self.refuse(Exit::Usage, line, &reason)?,
                ChunkEnd::Unreadable { reason } => {
                    return Err(self.failed(Exit::Failure, format_args!("stdin cannot be read: {reason}")));
                }
            }
        }
    }

    /// Appends lines at once, if they are not refused.
    pub(super) fn append(&mut self, events: &[Line<String>]) -> Result<(), CliError> {
        let Some(first) = events.first() else { return Ok(()) };
        let body = events.iter().fold(String::new(), |body, line| body + &line.item + "\n");
        match retrying::append(self.to, &self.path, "application/x-ndjson", body.as_bytes()) {
            Ok(answer) => {
                let stored: Stored = serde_json::from_slice(&answer).map_err(|error| {
                    self.stopped(Exit::Failure, first.number, &format!("the answer is not understood: {error}"))
                })?;
                self.total.add(events.len(), &stored);
                // Of a chunk either all events were stored before, or none.
                if self.known_up_to.is_some_and(|known| stored.first_position <= known) {
                    self.known += events.len() as u64;
                }
                self.behind = stored.behind;
                self.progress.add(events.len() as u64);
                Ok(())
            }
            Err(ClientError::Refused(refusal)) if events.len() > 1 && self.may_take_some(&refusal) => {
                let (before, after) = events.split_at(events.len() / 2);
                self.append(before)?;
                self.append(after)
            }
            Err(ClientError::Refused(refusal)) => self.blame(events, first, &refusal),
            Err(error) => {
                let explained = self.to.explain(error);
                let CliError::Failed { exit, what, .. } = explained else { return Err(explained) };
                Err(self.stopped(exit, first.number, &what))
            }
        }
    }

    /// Whether a refusal leaves it open what becomes of a part of the lines: they were stored in part by an earlier run,
    /// whose chunks began elsewhere; they are too much, or take too much to look at, at once; or lines are left out.
    fn may_take_some(&self, refusal: &Refusal) -> bool {
        refusal.is("partly-stored") || refusal.is("too-large") || self.skip_refused && is_of_a_line(refusal)
    }

    /// Puts a refusal at the line of the input that it is about.
    fn blame(&mut self, events: &[Line<String>], first: &Line<String>, refusal: &Refusal) -> Result<(), CliError> {
        let named = refusal.problem.line;
        let line = named.and_then(|line| events.get(line.saturating_sub(1))).unwrap_or(first);
        // The server counts lines from the beginning of the chunk.
        let own = named.map(|line| format!("line {line}: ")).unwrap_or_default();
        let detail = &refusal.problem.detail;
        let (exit, reason) = (Exit::of_status(refusal.status), detail.strip_prefix(&own).unwrap_or(detail));
        if is_of_a_line(refusal) {
            self.refuse(exit, line.number, reason)
        } else {
            Err(self.stopped(exit, line.number, reason))
        }
    }

    /// Stops at a line, or notes it and goes on.
    pub(super) fn refuse(&mut self, exit: Exit, line: usize, reason: &str) -> Result<(), CliError> {
        if !self.skip_refused {
            return Err(self.stopped(exit, line, reason));
        }
        self.refused.push((line, reason.to_owned()));
        Ok(())
    }

    /// A failure that no line is to blame for.
    pub(super) fn failed(&self, exit: Exit, what: impl Display) -> CliError {
        CliError::new(exit, what).hint(self.before())
    }

    fn stopped(&self, exit: Exit, line: usize, reason: &str) -> CliError {
        CliError::new(exit, format_args!("line {line}: {reason}")).hint(self.before())
    }

    fn before(&self) -> String {
        match self.total.events {
            0 => "no event was stored".into(),
            events if self.known_up_to.is_some() => {
                format!(
                    "the {events} events before it are stored; mend the line and import all of it again: those are known by their ids"
                )
            }
            1 => "the 1 event before it is stored; mend the input and send it from there".into(),
            events => format!("the {events} events before it are stored; mend the input and send it from there"),
        }
    }
}

/// One event of the input, with its id in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line<T> {
    pub(super) number: usize,
    pub(super) item: T,
}

/// Events to send at once, and why there are not more.
pub(super) struct Chunk<T> {
    pub(super) events: Vec<Line<T>>,
    pub(super) end: ChunkEnd,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum ChunkEnd {
    More,
    Input,
    Bad { line: usize, reason: String },
    Unreadable { reason: String },
}

/// Makes something of a line; none when it is blank.
type Make<'a, T> = dyn FnMut(Vec<u8>) -> Result<Option<T>, String> + 'a;

/// The lines of the input.
pub(super) struct Lines<'a, R, T> {
    reader: BufReader<R>,
    number: usize,
    make: Box<Make<'a, T>>,
}

impl<'a, R: Read, T> Lines<'a, R, T> {
    /// Of each line, what `make` makes of it.
    pub(super) fn new(input: R, make: impl FnMut(Vec<u8>) -> Result<Option<T>, String> + 'a) -> Self {
        Self { reader: BufReader::with_capacity(READ_BYTES, input), number: 0, make: Box::new(make) }
    }

    /// Takes what has arrived; waits only for the first line.
    pub(super) fn chunk(&mut self) -> Chunk<T> {
        let (mut events, mut bytes) = (Vec::new(), 0);
        let end = loop {
            match self.line() {
                Ok(Some((line, line_bytes))) => {
                    bytes += line_bytes;
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

    /// The next line and its length in bytes; none when it is blank.
    fn line(&mut self) -> Result<Option<(Line<T>, usize)>, ChunkEnd> {
        let mut bytes = Vec::new();
        let read = self.reader.by_ref().take(LINE_BYTES_MAX as u64 + 1).read_until(b'\n', &mut bytes);
        match read {
            Err(error) => return Err(ChunkEnd::Unreadable { reason: error.to_string() }),
            Ok(0) => return Err(ChunkEnd::Input),
            Ok(_) => self.number += 1,
        }
        let (number, line_bytes) = (self.number, bytes.len());
        (self.make)(bytes)
            .map(|item| item.map(|item| (Line { number, item }, line_bytes)))
            .map_err(|reason| ChunkEnd::Bad { line: number, reason })
    }
}

/// Whether it is the event that is refused, and not the server that cannot take any.
const fn is_of_a_line(refusal: &Refusal) -> bool {
    matches!(refusal.status, 400..=499) && !matches!(refusal.status, 408 | 429)
}

/// A line as text, without spaces around it.
pub(super) fn line_text(bytes: Vec<u8>) -> Result<String, String> {
    if bytes.len() > LINE_BYTES_MAX {
        return Err(format!("longer than {LINE_BYTES_MAX} bytes"));
    }
    let text = String::from_utf8(bytes)
        .map_err(|error| format!("not valid UTF-8 at byte {}", error.utf8_error().valid_up_to()))?;
    Ok(text.trim().to_owned())
}

/// Checks a line and gives its event an id; none when it is blank.
fn checked(text: &str) -> Result<Option<String>, String> {
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

    fn lines<R: Read>(input: R) -> Lines<'static, R, String> {
        Lines::new(input, |bytes| checked(&line_text(bytes)?))
    }

    #[test]
    fn every_event_gets_an_id_and_keeps_its_bytes() {
        let given = r#"{"type":"T","data": {"a" : 1.0}}"#;
        let text = checked(given).unwrap().unwrap();
        assert!(text.starts_with("{\"id\":\"") && text.ends_with(&given[1..]), "{text}");
        let again = checked(&text).unwrap().unwrap();
        assert_eq!(again, text, "an id is kept");
    }

    #[test]
    fn a_chunk_ends_at_the_bad_line_and_names_it() {
        let input = "{\"type\":\"A\"}\n\n{\"type\":\"B\"}\n{\"typ\":\"C\"}\n{\"type\":\"D\"}\n";
        let chunk = lines(input.as_bytes()).chunk();
        assert_eq!(chunk.events.iter().map(|line| line.number).collect::<Vec<_>>(), [1, 3]);
        let reason = "unknown field `typ`; did you mean `type`?".into();
        assert_eq!(chunk.end, ChunkEnd::Bad { line: 4, reason });
    }

    #[test]
    fn invalid_utf8_and_endless_lines_are_refused() {
        assert_eq!(line_text(b"{\"type\":\"\xff\"}".to_vec()), Err("not valid UTF-8 at byte 9".into()));
        let endless = std::io::repeat(b'x').take(1 << 30);
        let chunk = lines(endless).chunk();
        assert_eq!(chunk.end, ChunkEnd::Bad { line: 1, reason: "longer than 4194304 bytes".into() });
    }

    /// Takes so many lines at once.
    struct Takes(usize);

    impl Appends for Takes {
        fn post(&self, _: &str, _: &str, body: &[u8]) -> Result<Vec<u8>, ClientError> {
            if body.iter().filter(|byte| **byte == b'\n').count() > self.0 {
                let problem = br#"{"type":"urn:tidemill:problem:too-large","detail":"split it"}"#;
                return Err(ClientError::Refused(Refusal::of(413, problem)));
            }
            Ok(br#"{"first_position":1,"last_position":1}"#.to_vec())
        }

        fn explain(&self, error: ClientError) -> CliError {
            CliError::new(Exit::Failure, format!("{error:?}"))
        }
    }

    #[test]
    fn what_is_too_much_at_once_is_sent_in_parts_and_a_line_that_is_too_much_is_refused() {
        let events = lines("{\"type\":\"A\"}\n".repeat(100).as_bytes()).chunk().events;
        let progress = Progress::events();
        for (takes, stored) in [(1000, Some(100)), (10, Some(100)), (1, Some(100)), (0, None)] {
            let takes = Takes(takes);
            let mut appender = Appender::new(&takes, Query::path(&["v1", "events"]), &progress);
            let appended = appender.append(&events).is_ok();
            assert_eq!(appended.then_some(appender.total.events), stored);
        }
    }

    #[test]
    fn chunks_are_bounded_and_lines_without_an_end_count() {
        let input = "{\"type\":\"A\"}\n".repeat(2500) + "{\"type\":\"Z\"}";
        let mut lines = self::lines(input.as_bytes());
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
