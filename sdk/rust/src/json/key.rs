//! The keys of objects: texts, or what stands in them.

use serde::de::{Deserializer, Visitor};

use super::de::{forward, read_by_reader};
use super::{Error, Reader};

/// The key that is next.
pub(super) struct Key<'r, 'de>(pub(super) &'r mut Reader<'de>);

impl<'de> Key<'_, 'de> {
    fn visit_text<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.0.visit_text(visitor)
    }

    /// Reads what stands within the quotes.
    fn read<T>(self, read: impl FnOnce(&mut Reader<'de>) -> Result<T, Error>) -> Result<T, Error> {
        let mut within = self.0.within_quotes()?;
        let value = read(&mut within)?;
        within.end()?;
        Ok(value)
    }
}

impl<'de> Deserializer<'de> for Key<'_, 'de> {
    type Error = Error;

    forward! {
        deserialize_any deserialize_char deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf
        deserialize_unit deserialize_unit_struct(_name: &'static str)
        deserialize_seq deserialize_tuple(_length: usize)
        deserialize_tuple_struct(_name: &'static str, _length: usize)
        deserialize_map deserialize_struct(_name: &'static str, _fields: &'static [&'static str])
        deserialize_identifier deserialize_ignored_any => visit_text
    }
    read_by_reader! {
        deserialize_bool() deserialize_f32() deserialize_f64()
        deserialize_i8() deserialize_i16() deserialize_i32() deserialize_i64() deserialize_i128()
        deserialize_u8() deserialize_u16() deserialize_u32() deserialize_u64() deserialize_u128()
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.0.deserialize_enum(name, variants, visitor)
    }
}
