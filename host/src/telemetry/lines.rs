//! One line of the log for each event: what others say cannot end it, nor speak to a terminal.
//!
//! Text of guests and of clients comes into fields by what errors say. Values that are text are quoted by whoever
//! formats them; what is displayed is not, so control characters in it are written as in a string literal here.

use std::borrow::Cow;
use std::error::Error;
use std::fmt::{self, Debug};

use tracing::field::{Field, Visit};
use tracing_subscriber::field::{MakeVisitor, VisitFmt, VisitOutput};
use tracing_subscriber::fmt::format::{DefaultFields, DefaultVisitor, Writer};

/// The name under which the words of a line are recorded.
const MESSAGE: &str = "message";

/// Formats fields as the default does, without control characters.
#[derive(Debug, Default)]
pub(super) struct Fields(DefaultFields);

impl<'w> MakeVisitor<Writer<'w>> for Fields {
    type Visitor = OneLine<DefaultVisitor<'w>>;

    fn make_visitor(&self, target: Writer<'w>) -> Self::Visitor {
        OneLine(self.0.make_visitor(target))
    }
}

/// Hands values on, on one line each.
#[derive(Debug)]
pub(super) struct OneLine<V>(V);

impl<V: Visit> Visit for OneLine<V> {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            MESSAGE => self.0.record_str(field, &one_line(value)),
            _ => self.0.record_str(field, value),
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.record_debug(field, &format_args!("{}", one_line(&format!("{value:?}"))));
    }
}

impl<V: VisitOutput<fmt::Result>> VisitOutput<fmt::Result> for OneLine<V> {
    fn finish(self) -> fmt::Result {
        self.0.finish()
    }
}

impl<V: VisitFmt> VisitFmt for OneLine<V> {
    fn writer(&mut self) -> &mut dyn fmt::Write {
        self.0.writer()
    }
}

/// Text without control characters.
fn one_line(text: &str) -> Cow<'_, str> {
    escaped(text, &[])
}

/// Text whose control characters, but for some, are written as in a string literal: so it says nothing to a terminal.
pub(crate) fn escaped<'t>(text: &'t str, kept: &[char]) -> Cow<'t, str> {
    let speaks = |char: char| char.is_control() && !kept.contains(&char);
    if !text.contains(speaks) {
        return text.into();
    }
    let mut said = String::with_capacity(text.len());
    for char in text.chars() {
        if speaks(char) { said.extend(char.escape_debug()) } else { said.push(char) }
    }
    said.into()
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(log: impl FnOnce()) -> String {
        let kept = Kept::default();
        let writer = kept.clone();
        let subscriber = tracing_subscriber::fmt()
            .fmt_fields(Fields::default())
            .with_ansi(false)
            .without_time()
            .with_target(false)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, log);
        let bytes = kept.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn what_others_say_neither_ends_a_line_nor_speaks_to_a_terminal() {
        let said = "\u{1b}[31mred\u{1b}]0;x\u{7}\nERROR made up\r\0\u{9b}2J";
        let escaped = r"\u{1b}[31mred\u{1b}]0;x\u{7}\nERROR made up\r\0\u{9b}2J";
        let error = io::Error::other(said);
        let lines = logged(|| {
            tracing::warn!(error = %said, "displayed");
            tracing::warn!(reason = said, "as text");
            tracing::warn!(error = &error as &(dyn Error + 'static), "as an error");
            tracing::warn!("{said}");
        });
        let expected = format!(
            " WARN displayed error={escaped}\n WARN as text reason=\"{escaped}\"\n WARN as an error error={escaped}\n \
             WARN {escaped}\n"
        );
        assert_eq!(lines, expected);
    }

    #[test]
    fn what_is_on_one_line_stays_as_it_is() {
        let lines = logged(|| tracing::info!(path = %"a \"b\" \\ ü\u{202e}", number = 7, "text"));
        assert_eq!(lines, " INFO text path=a \"b\" \\ ü\u{202e} number=7\n");
    }
}
