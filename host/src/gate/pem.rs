//! Reads PEM (RFC 7468), and says on which line it is wrong.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// One thing in a PEM file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Section {
    /// What it says it is, such as `CERTIFICATE`.
    pub(super) label: String,
    /// Where it begins, from 1.
    pub(super) line: usize,
    /// What it holds.
    pub(super) der: Vec<u8>,
}

/// What is wrong, and on which line, from 1.
pub(super) type Fault = (usize, String);

/// Everything in a PEM file, in its order. Text around the sections means nothing.
pub(super) fn sections(text: &str) -> Result<Vec<Section>, Fault> {
    let mut sections = Vec::new();
    let mut open: Option<(Section, String)> = None;
    for (line, text) in (1..).zip(text.lines().map(str::trim)) {
        let mark = |begins: &str| text.strip_prefix(begins).and_then(|rest| rest.strip_suffix("-----"));
        let begun = mark("-----BEGIN ");
        open = match (open.take(), begun, mark("-----END ")) {
            (Some((section, _)), Some(_), _) => {
                return Err((section.line, format!("BEGIN {} has no END before the next BEGIN", section.label)));
            }
            (None, Some(label), _) => Some((Section { label: label.to_owned(), line, der: Vec::new() }, String::new())),
            (Some((section, body)), None, Some(label)) => {
                if label != section.label {
                    return Err((line, format!("END {label}, but {} was begun", section.label)));
                }
                let der = STANDARD.decode(&body).map_err(|error| (section.line, format!("not base64: {error}")))?;
                sections.push(Section { der, ..section });
                None
            }
            (Some((section, mut body)), None, None) => {
                if let Some(found) = text.chars().find(|c| !c.is_ascii_alphanumeric() && !"+/=".contains(*c)) {
                    return Err((line, format!("{found:?} is not base64")));
                }
                body.push_str(text);
                Some((section, body))
            }
            (None, None, _) => None,
        };
    }
    match open {
        None => Ok(sections),
        Some((section, _)) => Err((section.line, format!("BEGIN {} has no END", section.label))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_found_among_text() {
        let text =
            "subject=me\n-----BEGIN A-----\nAQID\nBA==\n-----END A-----\r\n\n-----BEGIN B B-----\n-----END B B-----";
        let section = |label: &str, line, der: &[u8]| Section { label: label.to_owned(), line, der: der.to_vec() };
        assert_eq!(sections(text).unwrap(), [section("A", 2, &[1, 2, 3, 4]), section("B B", 7, &[])]);
        assert_eq!(sections("nothing").unwrap(), []);
    }

    #[test]
    fn a_fault_has_its_line() {
        for (text, line, words) in [
            ("\n-----BEGIN A-----\nAQID", 2, "no END"),
            ("-----BEGIN A-----\n-----BEGIN B-----", 1, "no END before"),
            ("-----BEGIN A-----\n-----END B-----", 2, "END B, but A was begun"),
            ("-----BEGIN A-----\nAQ!D\n-----END A-----", 2, "'!' is not base64"),
            ("-----BEGIN A-----\nAQI\n-----END A-----", 1, "not base64"),
        ] {
            let (found, said) = sections(text).unwrap_err();
            assert!(found == line && said.contains(words), "{text:?}: line {found}: {said}");
        }
    }
}
