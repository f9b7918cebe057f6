//! Writes values as JSON: the serializer of serde on a text.

use std::fmt::{self, Write as _};

use serde::Serialize;
use serde::ser::{
    Error as _, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use super::read::plain_length;
use super::{Error, NUMBER, RAW_VALUE};

/// A text that is being written.
#[derive(Debug)]
pub(crate) struct Writer {
    text: String,
    /// The next text is JSON itself.
    raw: bool,
}

impl Writer {
    /// An empty one, with room for what is usual.
    pub(crate) fn new() -> Self {
        Self { text: String::with_capacity(128), raw: false }
    }

    pub(crate) fn into_text(self) -> String {
        self.text
    }

    /// Puts a text behind what there is.
    fn put(&mut self, text: &str) {
        self.text.push_str(text);
    }

    fn unsigned(&mut self, value: u64) -> Result<(), Error> {
        self.put(write_digits(value, &mut [0; DIGITS_MAX]));
        Ok(())
    }

    fn signed(&mut self, value: i64) -> Result<(), Error> {
        if value < 0 {
            self.put("-");
        }
        self.unsigned(value.unsigned_abs())
    }

    /// Of more than 64 bits.
    fn long(&mut self, value: fmt::Arguments<'_>) -> Result<(), Error> {
        self.text.write_fmt(value).map_err(Error::custom)
    }

    /// The shortest digits that are read as the same number; `null` for one that is none.
    fn float(&mut self, value: impl Serialize) -> Result<(), Error> {
        let text = serde_json::to_string(&value).map_err(Error::custom)?;
        self.put(&text);
        Ok(())
    }

    /// A text between its quotes, and what stands beside them.
    fn quoted(&mut self, before: &str, text: &str, after: &str) {
        self.put(before);
        let mut rest = text;
        loop {
            // What has to be escaped is one byte, so there is a character's bound on both sides.
            let (plain, special) = rest.split_at_checked(plain_length(rest.as_bytes())).unwrap_or_default();
            self.put(plain);
            let Some((special, following)) = special.split_at_checked(1) else { break };
            self.escaped(special);
            rest = following;
        }
        self.put(after);
    }

    /// A quote, a backslash or a control character.
    fn escaped(&mut self, special: &str) {
        const HEX: [&str; 16] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "a", "b", "c", "d", "e", "f"];
        let (before, rest) = match special {
            "\u{8}" => ("\\", "b"),
            "\u{c}" => ("\\", "f"),
            "\n" => ("\\", "n"),
            "\r" => ("\\", "r"),
            "\t" => ("\\", "t"),
            "\"" | "\\" => ("\\", special),
            _ => {
                let byte = special.bytes().next().unwrap_or_default();
                let last = HEX.get(usize::from(byte & 0xf)).copied().unwrap_or_default();
                (if byte < 0x10 { "\\u000" } else { "\\u001" }, last)
            }
        };
        self.put(before);
        self.put(rest);
    }

    /// Begins what is closed by `close`, in an object with this one key if it is given.
    fn open(&mut self, variant: Option<&str>, open: &str, close: &'static str) -> Open<'_> {
        if let Some(variant) = variant {
            self.quoted("{\"", variant, "\":");
        }
        self.put(open);
        Open { writer: self, close, first: true }
    }

    /// Makes a key of what was written from there on: a text, or a number or truth value in quotes.
    fn key_from(&mut self, start: usize) -> Result<(), Error> {
        match self.text.as_bytes().get(start) {
            Some(b'"') => {}
            Some(b'0'..=b'9' | b'-' | b't' | b'f') => {
                self.text.insert(start, '"');
                self.put("\"");
            }
            _ => return Err(Error::new(format_args!("key must be a string"))),
        }
        self.put(":");
        Ok(())
    }
}

/// Digits of `u64::MAX`.
pub(super) const DIGITS_MAX: usize = 20;

/// The decimal digits of a number, at the end of the buffer.
pub(crate) fn write_digits(mut value: u64, digits: &mut [u8; DIGITS_MAX]) -> &str {
    let mut used = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(value % 10).unwrap_or(0);
        used += 1;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    str::from_utf8(digits.get(DIGITS_MAX - used..).unwrap_or_default()).unwrap_or_default()
}

/// Methods that write a number.
macro_rules! numbers {
    ($($method:ident($number:ty) => $own:ident)*) => {$(
        fn $method(self, value: $number) -> Result<(), Error> {
            self.$own(value.into())
        }
    )*};
}

impl<'a> Serializer for &'a mut Writer {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Open<'a>;
    type SerializeTuple = Open<'a>;
    type SerializeTupleStruct = Open<'a>;
    type SerializeTupleVariant = Open<'a>;
    type SerializeMap = Open<'a>;
    type SerializeStruct = Open<'a>;
    type SerializeStructVariant = Open<'a>;

    numbers! {
        serialize_i8(i8) => signed serialize_i16(i16) => signed serialize_i32(i32) => signed
        serialize_i64(i64) => signed serialize_u8(u8) => unsigned serialize_u16(u16) => unsigned
        serialize_u32(u32) => unsigned serialize_u64(u64) => unsigned
    }

    fn serialize_i128(self, value: i128) -> Result<(), Error> {
        self.long(format_args!("{value}"))
    }

    fn serialize_u128(self, value: u128) -> Result<(), Error> {
        self.long(format_args!("{value}"))
    }

    fn serialize_f32(self, value: f32) -> Result<(), Error> {
        self.float(value)
    }

    fn serialize_f64(self, value: f64) -> Result<(), Error> {
        self.float(value)
    }

    fn serialize_bool(self, value: bool) -> Result<(), Error> {
        self.put(if value { "true" } else { "false" });
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result<(), Error> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<(), Error> {
        if self.raw {
            self.put(value);
        } else {
            self.quoted("\"", value, "\"");
        }
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Error> {
        self.collect_seq(value)
    }

    fn serialize_none(self) -> Result<(), Error> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Error> {
        self.put("null");
        Ok(())
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), Error> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _name: &'static str, _index: u32, variant: &'static str) -> Result<(), Error> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _name: &'static str, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        let mut object = self.open(None, "{", "}");
        SerializeStruct::serialize_field(&mut object, variant, value)?;
        object.close()
    }

    fn serialize_seq(self, _len: Option<usize>) -> Result<Open<'a>, Error> {
        Ok(self.open(None, "[", "]"))
    }

    fn serialize_tuple(self, _len: usize) -> Result<Open<'a>, Error> {
        Ok(self.open(None, "[", "]"))
    }

    fn serialize_tuple_struct(self, _name: &'static str, _len: usize) -> Result<Open<'a>, Error> {
        Ok(self.open(None, "[", "]"))
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<Open<'a>, Error> {
        Ok(self.open(Some(variant), "[", "]}"))
    }

    fn serialize_map(self, _len: Option<usize>) -> Result<Open<'a>, Error> {
        Ok(self.open(None, "{", "}"))
    }

    fn serialize_struct(self, name: &'static str, _len: usize) -> Result<Open<'a>, Error> {
        if matches!(name, RAW_VALUE | NUMBER) {
            self.raw = true;
            return Ok(Open { writer: self, close: "", first: true });
        }
        Ok(self.open(None, "{", "}"))
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<Open<'a>, Error> {
        Ok(self.open(Some(variant), "{", "}}"))
    }
}

/// An array or an object that is being written.
#[derive(Debug)]
pub(crate) struct Open<'a> {
    writer: &'a mut Writer,
    close: &'static str,
    first: bool,
}

impl Open<'_> {
    fn comma(&mut self) {
        if !std::mem::replace(&mut self.first, false) {
            self.writer.put(",");
        }
    }

    /// The name of a field.
    fn name(&mut self, name: &str) {
        if !self.writer.raw {
            let first = std::mem::replace(&mut self.first, false);
            self.writer.quoted(if first { "\"" } else { ",\"" }, name, "\":");
        }
    }

    fn close(self) -> Result<(), Error> {
        self.writer.raw = false;
        self.writer.put(self.close);
        Ok(())
    }
}

/// Kinds of arrays.
macro_rules! arrays {
    ($($kind:ident :: $method:ident)*) => {$(
        impl $kind for Open<'_> {
            type Ok = ();
            type Error = Error;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
                self.comma();
                value.serialize(&mut *self.writer)
            }

            fn end(self) -> Result<(), Error> {
                self.close()
            }
        }
    )*};
}
arrays! {
    SerializeSeq::serialize_element
    SerializeTuple::serialize_element
    SerializeTupleStruct::serialize_field
    SerializeTupleVariant::serialize_field
}

/// Kinds of objects whose keys are the names of fields.
macro_rules! structs {
    ($($kind:ident)*) => {$(
        impl $kind for Open<'_> {
            type Ok = ();
            type Error = Error;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Error> {
                self.name(name);
                value.serialize(&mut *self.writer)
            }

            fn end(self) -> Result<(), Error> {
                self.close()
            }
        }
    )*};
}
structs! { SerializeStruct SerializeStructVariant }

impl SerializeMap for Open<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        self.comma();
        let start = self.writer.text.len();
        key.serialize(&mut *self.writer)?;
        self.writer.key_from(start)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        value.serialize(&mut *self.writer)
    }

    fn end(self) -> Result<(), Error> {
        self.close()
    }
}
