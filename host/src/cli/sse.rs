//! Reads server-sent events (WHATWG HTML §9.2.6), of which the API uses `id`, `event` and `data`.

use std::io::{self, BufRead, BufReader, Read};

/// Longest line in bytes: far above the largest event.
const LINE_BYTES_MAX: u64 = 16 << 20;

/// One message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Message {
    /// The last id that the stream told.
    pub(super) id: Option<String>,
    /// The event's name; empty for the usual.
    pub(super) event: String,
    /// Its data.
    pub(super) data: String,
}

/// The messages of a stream.
pub(super) struct Messages<R> {
    reader: BufReader<R>,
    last_id: Option<String>,
}

impl<R: Read> Messages<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader: BufReader::new(reader), last_id: None }
    }

    /// The last id that the stream told, with a message or without.
    pub(super) fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// The next message; none at the end of the stream.
    pub(super) fn next(&mut self) -> io::Result<Option<Message>> {
        let mut message = Message::default();
        let mut has_data = false;
        loop {
            let Some(line) = self.line()? else { return Ok(None) };
            if line.is_empty() {
                if has_data {
                    message.id = self.last_id.clone();
                    return Ok(Some(message));
                }
                message = Message::default();
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((&line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "id" => self.last_id = Some(value.into()),
                "event" => message.event = value.into(),
                "data" => {
                    if has_data {
                        message.data.push('\n');
                    }
                    message.data.push_str(value);
                    has_data = true;
                }
                _ => {}
            }
        }
    }

    fn line(&mut self) -> io::Result<Option<String>> {
        let mut line = Vec::new();
        self.reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
        if line.last() != Some(&b'\n') {
            return Ok(None);
        }
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        String::from_utf8(line).map(Some).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_put_together_from_lines() {
        let text = "id: 1\ndata: {\"a\":\ndata: 1}\n\n: idle\nid: 5\n\nevent: error\r\ndata:x\r\n\r\ndata: cut off";
        let mut messages = Messages::new(text.as_bytes());
        let first = messages.next().unwrap().unwrap();
        assert_eq!((first.id.as_deref(), first.data.as_str()), (Some("1"), "{\"a\":\n1}"));
        let second = messages.next().unwrap().unwrap();
        assert_eq!((second.id.as_deref(), second.event.as_str(), second.data.as_str()), (Some("5"), "error", "x"));
        assert_eq!(messages.next().unwrap(), None, "half a message is none");
        assert_eq!(messages.last_id(), Some("5"));
    }
}
