//! stdout and stderr.

use std::borrow::Cow;
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::net::SocketAddr;

use serde::Serialize;

use super::color;
use super::error::{CliError, Exit};
use crate::telemetry::escaped;

/// Where a command's data goes.
pub(super) struct Output<'a> {
    writer: BufWriter<Box<dyn Write + 'a>>,
    terminal: bool,
    coloured: bool,
    /// How many characters fit on a line, where somebody looks.
    width: Option<usize>,
}

impl<'a> Output<'a> {
    /// The process's stdout.
    pub(super) fn stdout() -> Self {
        Self {
            writer: BufWriter::new(Box::new(io::stdout())),
            terminal: io::stdout().is_terminal(),
            coloured: color::on_stdout(),
            width: terminal_width(),
        }
    }

    /// Somewhere that is not a terminal.
    #[cfg(test)]
    pub(super) fn plain(writer: impl Write + 'a) -> Self {
        Self { writer: BufWriter::new(Box::new(writer)), terminal: false, coloured: false, width: None }
    }

    /// The same, as wide as a terminal.
    #[cfg(test)]
    pub(super) fn narrow(writer: impl Write + 'a, width: usize) -> Self {
        Self { width: Some(width), ..Self::plain(writer) }
    }

    /// Whether a person looks at it.
    pub(super) const fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// How many characters fit on a line; none when that is nobody's concern.
    pub(super) const fn width(&self) -> Option<usize> {
        self.width
    }

    /// Writes a line.
    pub(super) fn line(&mut self, text: &str) -> Result<(), CliError> {
        self.bytes(text.as_bytes())?;
        self.bytes(b"\n")
    }

    /// Writes JSON as one line.
    pub(super) fn json_line(&mut self, json: &str) -> Result<(), CliError> {
        self.line(&one_line(json))
    }

    /// Writes a value as one line of JSON.
    pub(super) fn json(&mut self, value: &impl Serialize) -> Result<(), CliError> {
        let json = serde_json::to_string(value);
        let json = json.map_err(|error| {
            CliError::new(Exit::Failure, format_args!("what was found could not be rendered: {error}"))
        })?;
        self.json_line(&json)
    }

    /// Writes a heading; bold on a terminal.
    pub(super) fn heading(&mut self, text: &str) -> Result<(), CliError> {
        if self.coloured { self.line(&format!("\u{1b}[1m{text}\u{1b}[0m")) } else { self.line(text) }
    }

    /// Writes bytes as they are.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        self.writer.write_all(bytes).map_err(|error| CliError::of_output(&error))
    }

    /// Hands everything written to the reader.
    pub(super) fn flush(&mut self) -> Result<(), CliError> {
        self.writer.flush().map_err(|error| CliError::of_output(&error))
    }
}

/// How wide the terminal is that stdout is, if it is one.
fn terminal_width() -> Option<usize> {
    let width = io::stdout().is_terminal().then(terminal_size::terminal_size)?;
    width.map(|(width, _)| usize::from(width.0))
}

/// JSON on one line: outside of strings line breaks mean nothing, inside they cannot stand.
fn one_line(json: &str) -> Cow<'_, str> {
    if json.contains(['\n', '\r']) { json.replace(['\n', '\r'], " ").into() } else { json.into() }
}

/// Text from a log or a guest, safe to show on a terminal, cut to `chars_max`.
pub(super) fn shown(text: &str, chars_max: usize) -> String {
    let mut chars = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut shown: String = chars.by_ref().take(chars_max).collect();
    if chars.next().is_some() {
        shown.pop();
        shown.push('…');
    }
    shown
}

/// Talks to the user on stderr. A closed stderr is nobody's problem.
pub(super) fn talk(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Tells the user of an error and what to do about it.
pub(super) fn complain(what: &str, hint: Option<&str>) {
    talk(&complaint(what, hint, color::on_stderr()));
}

/// An error, which may have several lines, and what to do about it. What a guest or a file has to do with it says nothing
/// to the terminal.
fn complaint(what: &str, hint: Option<&str>, coloured: bool) -> String {
    let (red, cyan, plain) = if coloured { ("\u{1b}[1;31m", "\u{1b}[1;36m", "\u{1b}[0m") } else { ("", "", "") };
    let safe = |text| escaped(text, &['\n', '\t']);
    let error = format!("{red}error:{plain} {}", safe(what));
    match hint {
        None => error,
        Some(hint) => format!("{error}\n{cyan}hint:{plain} {}", safe(hint)),
    }
}

/// Prints where a server listens, for people and scripts, on stdout: the URL on a line, and, if it serves gRPC too,
/// on another one `grpc` and the URL for that.
pub fn announce(scheme: &str, address: SocketAddr, grpc: Option<SocketAddr>) {
    // A server serves on even when nobody reads its stdout.
    let _ = print_line(&format!("{scheme}://{address}"));
    if let Some(address) = grpc {
        let _ = print_line(&format!("grpc {scheme}://{address}"));
    }
}

/// Prints one line of data on stdout.
///
/// # Errors
/// When stdout cannot be written.
pub fn print_line(line: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_text_cannot_drive_a_terminal() {
        assert_eq!(shown("a\u{1b}[31mb\n", 20), "a [31mb ");
        assert_eq!(shown("abcdef", 4), "abc…");
        assert_eq!(shown("abcd", 4), "abcd");
        assert_eq!(one_line("{\r\n\"a\":1}"), "{  \"a\":1}");
    }

    #[test]
    fn an_error_of_a_guest_cannot_drive_a_terminal() {
        let told = complaint("it says: \u{1b}[31mred\r\u{7}\nü", Some("see \u{9b}2J"), false);
        assert_eq!(told, "error: it says: \\u{1b}[31mred\\r\\u{7}\nü\nhint: see \\u{9b}2J");
        assert_eq!(complaint("it fails", None, true), "\u{1b}[1;31merror:\u{1b}[0m it fails");
    }

    #[test]
    fn a_reader_that_went_away_ends_the_command_quietly() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut output = Output::plain(Closed);
        output.line("a").unwrap();
        assert_eq!(output.flush(), Err(CliError::OutputClosed));
    }
}
