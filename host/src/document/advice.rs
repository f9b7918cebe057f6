//! Lines of a manifest as errors tell them: which table, and what to paste under its header.
//!
//! Texts stand in single quotes wherever they can, so that a line reads the same in a log, in JSON and in the file.

use std::fmt::{self, Display};

/// A line and its table: `in [limits]: fuel = 5000`.
pub(crate) fn line_in(table: impl Display, key: impl Display, value: impl Display) -> String {
    format!("in [{table}]: {key} = {value}")
}

/// The line of `[grants]` that allows what is in a list, and nothing else.
pub(crate) fn grant(key: &str, items: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    line_in("grants", key, Texts(items.into_iter().map(|item| quoted(item.as_ref())).collect()))
}

/// An array of texts.
struct Texts(Vec<String>);

impl Display for Texts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}]", self.0.join(", "))
    }
}

/// A text as TOML writes it. What nobody sees, or what would be seen as a line of its own, is written by its number:
/// who copies the line shall see what it says.
pub(crate) fn quoted(text: &str) -> String {
    let is_seen = |char: char| char.escape_debug().len() == 1;
    if text.chars().all(|char| matches!(char, '"' | '\\') || is_seen(char)) {
        return format!("'{text}'");
    }
    let mut quoted = String::from('"');
    for char in text.chars() {
        match char {
            '"' | '\\' => quoted.extend(['\\', char]),
            '\'' => quoted.push(char),
            _ if is_seen(char) => quoted.push(char),
            _ => quoted.push_str(&format!("\\U{:08X}", u32::from(char))),
        }
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_pasted_under_its_header_and_reads_the_same_in_a_log() {
        let line = grant("append", ["OpDone", "it's \"it\"", "Stock*"]);
        assert_eq!(line, r#"in [grants]: append = ['OpDone', "it's \"it\"", 'Stock*']"#);
        let (_, pasted) = line.split_once(": ").unwrap();
        let table: toml::Table = format!("[grants]\nread = [\"A\"]\n{pasted}\n").parse().unwrap();
        let append: Vec<_> =
            table["grants"]["append"].as_array().unwrap().iter().filter_map(|text| text.as_str()).collect();
        assert_eq!(append, ["OpDone", "it's \"it\"", "Stock*"]);
        let line = grant("append", ["OpDone"]);
        assert_eq!(format!("{line:?}"), format!("\"{line}\""), "nothing of it is escaped");
        assert_eq!(line_in("limits", "fuel", 5), "in [limits]: fuel = 5");
    }

    #[test]
    fn what_is_quoted_is_read_as_the_same() {
        for text in ["", "a\\b", "'", "\"", "a\nb", "\u{200b}", "\u{301}", "Ä", "\u{0}", "\u{10ffff}"] {
            let table: toml::Table = format!("key = {}", quoted(text)).parse().unwrap();
            assert_eq!(table["key"].as_str(), Some(text));
        }
    }
}
