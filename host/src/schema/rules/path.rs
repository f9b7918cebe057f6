//! Where in a document: a JSON pointer (RFC 6901) in which `*` stands for every item of an array.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Most steps of a path.
const STEPS_MAX: usize = 32;

/// A place in a document, below its root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonPath {
    steps: Vec<String>,
}

/// The text is no path.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "{text:?} names no place; write it as \"/order/total\", \"/items/*/price\" for every item of an array, at most {STEPS_MAX} steps, with ~1 for / and ~0 for ~ in a key"
)]
pub struct InvalidPath {
    /// The text.
    pub text: String,
}

impl JsonPath {
    /// The step that is the place itself, and those that lead to what holds it.
    pub(super) fn split(&self) -> (&[String], &str) {
        // A path has at least one step.
        self.steps.split_last().map_or((&[], ""), |(last, way)| (way, last))
    }

    /// Whether it may be several places.
    #[must_use]
    pub fn is_many(&self) -> bool {
        self.steps.iter().any(|step| step == EVERY)
    }

    /// Whether its last step stands for every item.
    pub(super) fn ends_in_every(&self) -> bool {
        self.split().1 == EVERY
    }
}

/// The step that stands for every item of an array.
pub(super) const EVERY: &str = "*";

impl FromStr for JsonPath {
    type Err = InvalidPath;

    fn from_str(text: &str) -> Result<Self, InvalidPath> {
        let invalid = || InvalidPath { text: text.chars().take(64).collect() };
        let steps = text.strip_prefix('/').ok_or_else(invalid)?.split('/').map(unescaped);
        let steps = steps.collect::<Option<Vec<_>>>().ok_or_else(invalid)?;
        if steps.len() > STEPS_MAX || steps.iter().any(String::is_empty) {
            return Err(invalid());
        }
        Ok(Self { steps })
    }
}

/// A step as it is meant; none when a `~` means nothing.
fn unescaped(step: &str) -> Option<String> {
    let mut plain = String::with_capacity(step.len());
    let mut letters = step.chars();
    while let Some(letter) = letters.next() {
        plain.push(match letter {
            '~' => match letters.next()? {
                '0' => '~',
                '1' => '/',
                _ => return None,
            },
            letter => letter,
        });
    }
    Some(plain)
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.steps.iter().try_for_each(|step| write!(f, "/{}", step.replace('~', "~0").replace('/', "~1")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_back_and_others_are_refused() {
        for text in ["/a", "/a/b~1c/~0d", "/items/*/price"] {
            assert_eq!(text.parse::<JsonPath>().unwrap().to_string(), text);
        }
        assert_eq!("/a~1b".parse::<JsonPath>().unwrap().split().1, "a/b");
        for wrong in ["", "a", "/", "/a//b", "/a~", "/a~2", &"/a".repeat(33)] {
            assert!(wrong.parse::<JsonPath>().unwrap_err().to_string().contains("names no place"), "{wrong:?}");
        }
    }
}
