//! Why a text was not read, or a value not written, and where.

use std::fmt::{self, Display};

use serde::de::{self, Expected, Unexpected};
use serde::ser;

use super::write::{DIGITS_MAX, write_digits};

/// Why, and where.
#[derive(Debug)]
pub(crate) struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    message: String,
    /// Offset in the text, once it is known.
    at: Option<usize>,
}

impl Error {
    /// One whose place is not known yet.
    pub(crate) fn new(message: fmt::Arguments<'_>) -> Self {
        Self(Box::new(Inner { message: message.to_string(), at: None }))
    }

    /// One for what is not as expected, and is shown so.
    #[cold]
    pub(super) fn invalid(what: &str, [before, found, after]: [&str; 3], expected: &dyn Expected) -> Self {
        Self::new(format_args!("invalid {what}: {before}{found}{after}, expected {expected}"))
    }

    /// One for a number, as it stands in the text, where another type is expected.
    #[cold]
    pub(super) fn invalid_number(token: &str, expected: &dyn Expected) -> Self {
        let is_whole = token.bytes().all(|byte| matches!(byte, b'-' | b'0'..=b'9'));
        let before = if is_whole { "integer `" } else { "floating point `" };
        Self::invalid("type", [before, token, "`"], expected)
    }

    /// The same, at this offset if its place was not known.
    #[cold]
    pub(crate) fn at(mut self, offset: usize) -> Self {
        self.0.at.get_or_insert(offset);
        self
    }

    /// Path, message and place: `lines[1].quantity: invalid value: integer `-1`, expected u32 at line 1 column 64`.
    pub(crate) fn told(self, json: &[u8]) -> String {
        let Inner { message, at } = *self.0;
        let Some(before) = at.and_then(|at| json.get(..at)) else { return message };
        let (mut line, mut column) = (1, 1);
        for byte in before {
            (line, column) = if *byte == b'\n' { (line + 1, 1) } else { (line, column + 1) };
        }
        let path = path(json, before.len());
        let colon = if path.is_empty() { "" } else { ": " };
        format!("{path}{colon}{message} at line {line} column {column}")
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Error {}

impl ser::Error for Error {
    fn custom<T: Display>(message: T) -> Self {
        Self::new(format_args!("{message}"))
    }
}

/// What serde would say, but for numbers with a point: to show them here would bring the code for it into every
/// component. [`Reader`](super::Reader) shows them as they stand in the text.
impl de::Error for Error {
    fn custom<T: Display>(message: T) -> Self {
        Self::new(format_args!("{message}"))
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid("type", shown(&found, &mut [0; _], &mut [0; _]), expected)
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid("value", shown(&found, &mut [0; _], &mut [0; _]), expected)
    }
}

/// A value, with what stands before and after it.
fn shown<'a>(found: &'a Unexpected<'_>, digits: &'a mut [u8; DIGITS_MAX], bytes: &'a mut [u8; 4]) -> [&'a str; 3] {
    let name = match *found {
        Unexpected::Bool(value) => return ["boolean `", if value { "true" } else { "false" }, "`"],
        Unexpected::Unsigned(value) => return ["integer `", write_digits(value, digits), "`"],
        Unexpected::Signed(value) => {
            let before = if value < 0 { "integer `-" } else { "integer `" };
            return [before, write_digits(value.unsigned_abs(), digits), "`"];
        }
        Unexpected::Char(value) => return ["character `", value.encode_utf8(bytes), "`"],
        Unexpected::Str(value) => return ["string \"", value, "\""],
        Unexpected::Float(_) => "floating point number",
        Unexpected::Bytes(_) => "byte array",
        Unexpected::Unit => "null",
        Unexpected::Option => "Option value",
        Unexpected::NewtypeStruct => "newtype struct",
        Unexpected::Seq => "sequence",
        Unexpected::Map => "map",
        Unexpected::Enum => "enum",
        Unexpected::UnitVariant => "unit variant",
        Unexpected::NewtypeVariant => "newtype variant",
        Unexpected::TupleVariant => "tuple variant",
        Unexpected::StructVariant => "struct variant",
        Unexpected::Other(name) => name,
    };
    ["", name, ""]
}

/// The path to what is at an offset: `lines[1].quantity`; empty for the whole. A bracket that ends an array or object
/// stands for all of that. There is no fault before the offset.
fn path(json: &[u8], at: usize) -> String {
    let (before, rest) = json.split_at_checked(at).unwrap_or_default();
    let mut levels = levels(before);
    if let [b']' | b'}', ..] = rest {
        levels.pop();
    }
    let mut path = String::new();
    for Level { is_array, index, key, .. } in levels {
        if is_array {
            path.push_str(&format!("[{index}]"));
        } else if !key.is_empty() {
            path.push_str(if path.is_empty() { "" } else { "." });
            path.push_str(str::from_utf8(key).unwrap_or("?"));
        }
    }
    path
}

/// An array or an object that is not closed.
struct Level<'a> {
    is_array: bool,
    /// Of the item.
    index: usize,
    /// Of the item, once there was a colon.
    key: &'a [u8],
    /// The last string, which is a key if a colon follows.
    string: &'a [u8],
}

/// What is open at the end of a text.
fn levels(json: &[u8]) -> Vec<Level<'_>> {
    let mut levels: Vec<Level<'_>> = Vec::new();
    let mut rest = json;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, levels.last_mut()) {
            (b'{' | b'[', _) => levels.push(Level { is_array: byte == b'[', index: 0, key: &[], string: &[] }),
            (b'}' | b']', _) => levels.truncate(levels.len().saturating_sub(1)),
            (b',', Some(level)) => (level.index, level.key) = (level.index + 1, &[]),
            (b':', Some(level)) => level.key = level.string,
            (b'"', level) => {
                let (string, after) = split_string(rest);
                rest = after;
                if let Some(level) = level {
                    level.string = string;
                }
            }
            _ => {}
        }
    }
    levels
}

/// A string up to its quote, and what follows that. Escapes stay as they are.
fn split_string(after_quote: &[u8]) -> (&[u8], &[u8]) {
    let mut escaped = false;
    let ends = |byte: &u8| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    };
    let length = after_quote.iter().position(ends).unwrap_or(after_quote.len());
    let (text, rest) = after_quote.split_at_checked(length).unwrap_or_default();
    (text, rest.get(1..).unwrap_or_default())
}
