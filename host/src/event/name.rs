//! Checked names: an instance of these types is within bounds and free of control characters. Cloning one is cheap.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::limits::{NAME_BYTES_MAX, PLUGIN_NAME_BYTES_MAX};

/// Why a text is not a name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NameError {
    /// The text is empty.
    #[error("{what} is empty; give it 1 to {max_bytes} bytes")]
    Empty {
        /// What the name is of, such as "stream name".
        what: &'static str,
        /// The bound.
        max_bytes: usize,
    },
    /// The text is too long.
    #[error("{what} has {bytes} bytes; at most {max_bytes} are allowed")]
    TooLong {
        /// What the name is of.
        what: &'static str,
        /// Its length.
        bytes: usize,
        /// The bound.
        max_bytes: usize,
    },
    /// The text holds a character that is not allowed.
    #[error("{what} {text:?} holds {found:?} at byte {at}; {allowed}")]
    BadCharacter {
        /// What the name is of.
        what: &'static str,
        /// The text, cut to 64 characters.
        text: String,
        /// The offending character.
        found: char,
        /// Its byte offset.
        at: usize,
        /// What is allowed instead.
        allowed: &'static str,
    },
}

fn check(
    what: &'static str,
    text: &str,
    max_bytes: usize,
    allowed: &'static str,
    accept: impl Fn(char) -> bool,
) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty { what, max_bytes });
    }
    if text.len() > max_bytes {
        return Err(NameError::TooLong { what, bytes: text.len(), max_bytes });
    }
    match text.char_indices().find(|(_, found)| !accept(*found)) {
        None => Ok(()),
        Some((at, found)) => {
            let text = text.chars().take(64).collect();
            Err(NameError::BadCharacter { what, text, found, at, allowed })
        }
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:expr, $allowed:literal, $accept:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks a text and takes it as a name.
            ///
            /// # Errors
            /// When it is empty, too long, or holds a character that is not allowed.
            pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
                let text = text.into();
                check($what, &text, $max, $allowed, $accept)?;
                Ok(Self(text.into()))
            }

            /// Takes a text that was checked before it was stored.
            pub(crate) fn from_stored(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().into()
            }
        }
    };
}

const NO_CONTROL: &str = "control characters are not allowed";

name!(
    /// Type of an event, such as `OrderPlaced`: 1 to 255 bytes, no control characters.
    EventType, "event type", NAME_BYTES_MAX, "control characters are not allowed", |c| !c.is_control()
);
name!(
    /// Name of a stream, such as `order-42`: 1 to 255 bytes, no control characters and no `*`.
    StreamName, "stream name", NAME_BYTES_MAX, "control characters and '*' are not allowed",
    |c| !c.is_control() && c != '*'
);
name!(
    /// Category of streams, such as `order` of `order-42`: the part of their names before the first `-`. 1 to
    /// 255 bytes, no control characters, no `*` and no `-`.
    Category, "category", NAME_BYTES_MAX, "control characters, '*' and '-' are not allowed",
    |c| !c.is_control() && c != '*' && c != '-'
);
name!(
    /// Indexed label on an event, such as `order:42`: 1 to 255 bytes, no control characters.
    Tag, "tag", NAME_BYTES_MAX, "control characters are not allowed", |c| !c.is_control()
);
name!(
    /// Name of an installed plugin: 1 to 64 of `a-z A-Z 0-9 - _ .`, as it becomes part of paths and labels.
    PluginName, "plugin name", PLUGIN_NAME_BYTES_MAX, "allowed are letters, digits, '-', '_' and '.'",
    |c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
);

impl StreamName {
    /// The category: the part before the first `-`, or the whole name.
    #[must_use]
    pub fn category(&self) -> &str {
        category_of(&self.0)
    }

    /// Whether the host alone writes it.
    #[must_use]
    pub fn is_of_host(&self) -> bool {
        self.0.starts_with(super::RESERVED_TYPE_PREFIX)
    }
}

/// The category of a stream's name: the part before the first `-`, or the whole name.
pub(crate) fn category_of(stream: &str) -> &str {
    stream.split_once('-').map_or(stream, |(category, _)| category)
}

/// Checks a text that has the bounds of names but no type of its own, such as a metadata key.
pub(crate) fn check_plain(what: &'static str, text: &str) -> Result<(), NameError> {
    check(what, text, NAME_BYTES_MAX, NO_CONTROL, |c| !c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_names_say_what_and_where() {
        assert_eq!(EventType::new("").unwrap_err().to_string(), "event type is empty; give it 1 to 255 bytes");
        assert_eq!(Tag::new("a".repeat(300)).unwrap_err().to_string(), "tag has 300 bytes; at most 255 are allowed");
        assert_eq!(
            StreamName::new("order\n1").unwrap_err().to_string(),
            "stream name \"order\\n1\" holds '\\n' at byte 5; control characters and '*' are not allowed"
        );
        assert!(PluginName::new("../etc").unwrap_err().to_string().contains("'/'"));
    }

    #[test]
    fn category_is_the_part_before_the_first_dash() {
        assert_eq!(StreamName::new("order-42-a").unwrap().category(), "order");
        assert_eq!(StreamName::new("orders").unwrap().category(), "orders");
    }
}
