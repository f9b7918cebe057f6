//! A value that stands in a text which is no JSON: texts are themselves there, and everything else is as in JSON.

use serde::de::value::StrDeserializer;
use serde::de::{Deserializer, IntoDeserializer, Visitor};

use super::de::{forward, read_by_reader};
use super::{Error, Reader};

/// The text of one value.
#[derive(Clone, Copy)]
pub(super) struct Plain<'de>(pub(super) &'de str);

impl<'de> Plain<'de> {
    /// Reads it as JSON.
    fn read<T>(self, read: impl FnOnce(&mut Reader<'de>) -> Result<T, Error>) -> Result<T, Error> {
        let mut reader = Reader::new(self.0.as_bytes());
        let value = read(&mut reader)?;
        reader.end()?;
        Ok(value)
    }

    fn text(self) -> StrDeserializer<'de, Error> {
        self.0.into_deserializer()
    }

    fn visit_text<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_borrowed_str(self.0)
    }
}

impl<'de> Deserializer<'de> for Plain<'de> {
    type Error = Error;

    forward! {
        deserialize_any deserialize_char deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf
        deserialize_identifier deserialize_ignored_any => visit_text
    }
    read_by_reader! {
        deserialize_bool() deserialize_f32() deserialize_f64()
        deserialize_i8() deserialize_i16() deserialize_i32() deserialize_i64() deserialize_i128()
        deserialize_u8() deserialize_u16() deserialize_u32() deserialize_u64() deserialize_u128()
        deserialize_unit() deserialize_unit_struct(name: &'static str)
        deserialize_seq() deserialize_tuple(length: usize)
        deserialize_tuple_struct(name: &'static str, length: usize)
        deserialize_map() deserialize_struct(name: &'static str, fields: &'static [&'static str])
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.0 == "null" { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_enum(self.text())
    }
}
