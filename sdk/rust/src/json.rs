//! JSON as components need it: read into serde types, and written from them.
//!
//! It takes and makes the same texts as `serde_json`, which is for those who want its `Value`. It is here for the
//! size of a component: what serde_json's errors can say brings formatting of floating point numbers into each,
//! about 20 KB, and the path to a failure would need every type to be compiled twice. Here, numbers with a point are
//! only read and written by who has one, and the path is found in the text when there is an error to tell.
//!
//! A number is read as a `u64`, `i64` or `f64`, as serde_json's `Number` does without its feature
//! `arbitrary_precision`. Where some dependency turns that on, such a `Number` is written as it stands, but what is read
//! is no more exact: who wants the digits as they stand takes a `RawValue`.
//!
//! Nesting is bounded ([`DEPTH_MAX`]), so no text overflows the stack. `json/tests.rs` holds it against serde_json.

mod de;
mod error;
mod key;
mod plain;
mod read;
#[cfg(test)]
mod tests;
mod variant;
mod write;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub(crate) use error::Error;
pub(crate) use read::Reader;
pub(crate) use variant::Named;
pub(crate) use write::write_digits;

/// How deep arrays and objects may lie in each other: less than this.
const DEPTH_MAX: u8 = 128;

/// The name under which serde_json's `RawValue` asks for a text as it is, and gives one.
const RAW_VALUE: &str = "$serde_json::private::RawValue";

/// The name under which serde_json's `Number` gives its digits, with the feature `arbitrary_precision`.
const NUMBER: &str = "$serde_json::private::Number";

/// Reads a value. An error is told with the path to it.
pub(crate) fn from_slice<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, String> {
    read(json, |reader| reader.at_start(|reader| T::deserialize(reader)))
}

/// Reads one value by `read`, to the end of the text. An error is told with the path to it.
pub(crate) fn read<'a, T>(json: &'a [u8], read: impl FnOnce(&mut Reader<'a>) -> Result<T, Error>) -> Result<T, String> {
    let mut reader = Reader::new(json);
    match read(&mut reader) {
        Ok(value) => reader.end().map(|()| value),
        Err(error) => Err(error),
    }
    .map_err(|error| error.told(json))
}

/// The text of one field of an object; none if it is not there, or no text.
pub(crate) fn text_field(json: &[u8], name: &str) -> Option<String> {
    Reader::new(json).text_field(name).ok()?
}

/// A variant of an enum as serde writes it: its name, and its content. None for what is no enum.
pub(crate) fn variant(json: &str) -> Option<(String, String)> {
    if json.starts_with('"') {
        return Some((from_slice(json.as_bytes()).ok()?, "null".to_owned()));
    }
    let (name, content) = Reader::new(json.as_bytes()).only_field().ok()??;
    Some((name, String::from_utf8(content.to_vec()).ok()?))
}

/// Writes a value.
pub(crate) fn to_string<T: Serialize + ?Sized>(value: &T) -> Result<String, String> {
    let mut writer = write::Writer::new();
    match value.serialize(&mut writer) {
        Ok(()) => Ok(writer.into_text()),
        Err(error) => Err(error.told(&[])),
    }
}

/// Reads a value that stands in a text: the text itself where one is wanted, else JSON.
pub(crate) fn from_plain<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    T::deserialize(plain::Plain(text)).or_else(|error| {
        // A type that takes anything was shown a text, and may have wanted something else.
        from_slice(text.as_bytes()).map_err(|_| error.told(text.as_bytes()))
    })
}
