//! The deserializer of serde on a [`Reader`]. What is generic is compiled for each type, so it is thin.

use serde::de::value::{BorrowedStrDeserializer, StrDeserializer};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::key::Key;
use super::read::{Number, Text};
use super::variant::Variant;
use super::{Error, RAW_VALUE, Reader};

/// Methods of a deserializer that do what one of its own does, whatever else they are told.
macro_rules! forward {
    ($($method:ident $(($($argument:ident: $kind:ty),*))?)* => $own:ident) => {$(
        fn $method<V: Visitor<'de>>(self, $($($argument: $kind,)*)? visitor: V) -> Result<V::Value, Self::Error> {
            self.$own(visitor)
        }
    )*};
}
pub(super) use forward;

/// Methods of a deserializer that read one value by the reader that its `read` gives.
macro_rules! read_by_reader {
    ($($method:ident($($argument:ident: $kind:ty),*))*) => {$(
        fn $method<V: Visitor<'de>>(self, $($argument: $kind,)* visitor: V) -> Result<V::Value, Self::Error> {
            self.read(|reader| reader.$method($($argument,)* visitor))
        }
    )*};
}
pub(super) use read_by_reader;

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.peek() {
            Some(b'{') => self.visit_fields(visitor),
            Some(b'[') => self.visit_items(visitor),
            Some(b'"') => self.visit_text(visitor),
            Some(b't' | b'f') => self.visit_bool(visitor),
            Some(b'n') => self.visit_null(visitor),
            _ => self.visit_number(visitor),
        }
    }

    forward! { deserialize_bool => visit_bool }
    forward! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 => visit_integer
    }
    forward! { deserialize_i128 => visit_i128 }
    forward! { deserialize_u128 => visit_u128 }
    forward! { deserialize_f32 deserialize_f64 => visit_number }
    forward! { deserialize_char deserialize_str deserialize_string deserialize_identifier => visit_text }
    forward! { deserialize_bytes deserialize_byte_buf => visit_bytes }
    forward! { deserialize_unit deserialize_unit_struct(_name: &'static str) => visit_null }
    forward! {
        deserialize_seq deserialize_tuple(_length: usize)
        deserialize_tuple_struct(_name: &'static str, _length: usize) => visit_items
    }
    forward! { deserialize_map => visit_fields }
    forward! { deserialize_struct(_name: &'static str, _fields: &'static [&'static str]) => visit_struct }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.peek() != Some(b'n') {
            return visitor.visit_some(self);
        }
        self.word("null")?;
        visitor.visit_none()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Error> {
        if name != RAW_VALUE {
            return visitor.visit_newtype_struct(self);
        }
        let start = self.start();
        self.skip()?;
        let text = str::from_utf8(self.since(start)).map_err(|_| self.fault("a string is not UTF-8"))?;
        visitor.visit_map(Raw(Some(text)))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let has_content = self.peek() == Some(b'{');
        match self.peek() {
            Some(b'{') => self.open(b'{', &visitor)?,
            Some(b'"') => {}
            _ => return Err(self.unexpected(&visitor)),
        }
        let value = visitor.visit_enum(Variant::new(self, has_content))?;
        if has_content {
            self.close(b'}')?;
        }
        Ok(value)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.skip()?;
        visitor.visit_unit()
    }
}

impl<'de> Reader<'de> {
    /// Offset of the value that is next.
    pub(super) fn start(&mut self) -> usize {
        self.peek();
        self.offset()
    }

    /// Reads a value; its place is that of an error which has none.
    pub(super) fn at_start<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        let start = self.start();
        read(self).map_err(|error| error.at(start))
    }

    pub(super) fn visit_text<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Error> {
        match self.string(&visitor)? {
            Text::Borrowed(text) => visitor.visit_borrowed_str(text),
            Text::Unescaped(text) => visitor.visit_str(text),
        }
    }

    /// A number of up to 64 bits. One with a point is refused, not visited: else each component had the code for it.
    fn visit_integer<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Error> {
        match self.number(&visitor)? {
            Number::Unsigned(value) => visitor.visit_u64(value),
            Number::Signed(value) => visitor.visit_i64(value),
            Number::Other(token) => Err(Error::invalid_number(token, &visitor)),
        }
    }

    fn visit_i128<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Error> {
        match self.number(&visitor)? {
            Number::Unsigned(value) => visitor.visit_u64(value),
            Number::Signed(value) => visitor.visit_i64(value),
            Number::Other(token) => match token.parse() {
                Ok(value) => visitor.visit_i128(value),
                Err(_) => Err(Error::invalid_number(token, &visitor)),
            },
        }
    }

    fn visit_u128<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Error> {
        match self.number(&visitor)? {
            Number::Unsigned(value) => visitor.visit_u64(value),
            Number::Signed(value) => visitor.visit_i64(value),
            Number::Other(token) => match token.parse() {
                Ok(value) => visitor.visit_u128(value),
                Err(_) => Err(Error::invalid_number(token, &visitor)),
            },
        }
    }

    /// A number of any kind.
    fn visit_number<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Error> {
        match self.number(&visitor)? {
            Number::Unsigned(value) => visitor.visit_u64(value),
            Number::Signed(value) => visitor.visit_i64(value),
            Number::Other(token) => match token.parse() {
                Ok(value) if f64::is_finite(value) => visitor.visit_f64(value),
                _ => Err(Error::new(format_args!("number out of range"))),
            },
        }
    }

    fn visit_bytes<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Error> {
        if self.peek() == Some(b'[') {
            return self.visit_items(visitor);
        }
        match self.string(&visitor)? {
            Text::Borrowed(text) => visitor.visit_borrowed_bytes(text.as_bytes()),
            Text::Unescaped(text) => visitor.visit_bytes(text.as_bytes()),
        }
    }

    pub(super) fn visit_items<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Error> {
        self.open(b'[', &visitor)?;
        let items = Items { reader: &mut *self, first: true };
        let value = visitor.visit_seq(items).map_err(|error| error.at(self.start()))?;
        self.close(b']')?;
        Ok(value)
    }

    pub(super) fn visit_fields<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Error> {
        self.open(b'{', &visitor)?;
        let fields = Fields { reader: &mut *self, first: true };
        let value = visitor.visit_map(fields).map_err(|error| error.at(self.start()))?;
        self.close(b'}')?;
        Ok(value)
    }

    /// An object, or its values alone as an array.
    pub(super) fn visit_struct<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Error> {
        if self.peek() == Some(b'[') { self.visit_items(visitor) } else { self.visit_fields(visitor) }
    }

    fn visit_null<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Error> {
        if self.peek() != Some(b'n') {
            return Err(self.unexpected(&visitor));
        }
        self.word("null")?;
        visitor.visit_unit()
    }

    fn visit_bool<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Error> {
        let value = match self.peek() {
            Some(b't') => self.word("true").map(|()| true)?,
            Some(b'f') => self.word("false").map(|()| false)?,
            _ => return Err(self.unexpected(&visitor)),
        };
        visitor.visit_bool(value)
    }
}

/// The items of an array.
struct Items<'r, 'de> {
    reader: &'r mut Reader<'de>,
    first: bool,
}

impl<'de> SeqAccess<'de> for Items<'_, 'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        if !self.reader.next(&mut self.first, b']')? {
            return Ok(None);
        }
        let start = self.reader.offset();
        seed.deserialize(&mut *self.reader).map(Some).map_err(|error| error.at(start))
    }
}

/// The keys and values of an object.
struct Fields<'r, 'de> {
    reader: &'r mut Reader<'de>,
    first: bool,
}

impl<'de> MapAccess<'de> for Fields<'_, 'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        if !self.reader.next_key(&mut self.first)? {
            return Ok(None);
        }
        let start = self.reader.offset();
        seed.deserialize(Key(&mut *self.reader)).map(Some).map_err(|error| error.at(start))
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        let start = self.reader.colon()?;
        seed.deserialize(&mut *self.reader).map_err(|error| error.at(start))
    }
}

/// The text of a value, as serde_json's `RawValue` takes it.
struct Raw<'de>(Option<&'de str>);

impl<'de> MapAccess<'de> for Raw<'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        self.0.map(|_| seed.deserialize(StrDeserializer::new(RAW_VALUE))).transpose()
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(BorrowedStrDeserializer::new(self.0.take().unwrap_or_default()))
    }
}
