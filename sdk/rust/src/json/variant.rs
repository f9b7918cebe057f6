//! The variants of enums: as JSON has them, and as an event's type with its payload.

use serde::Deserialize;
use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeSeed, Deserializer, EnumAccess, Unexpected, VariantAccess, Visitor};

use super::de::read_by_reader;
use super::{Error, Reader};

/// A variant: its name is next.
pub(super) struct Variant<'r, 'de>(Content<'r, 'de>);

impl<'r, 'de> Variant<'r, 'de> {
    /// `"name"`, or `{"name": content}` behind its bracket.
    pub(super) fn new(reader: &'r mut Reader<'de>, has_content: bool) -> Self {
        Self(Content { reader, form: if has_content { Form::Field } else { Form::Name } })
    }
}

impl<'r, 'de> EnumAccess<'de> for Variant<'r, 'de> {
    type Error = Error;
    type Variant = Content<'r, 'de>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self::Variant), Error> {
        let Self(content) = self;
        let variant = seed.deserialize(&mut *content.reader)?;
        if matches!(content.form, Form::Field) {
            content.reader.colon()?;
        }
        Ok((variant, content))
    }
}

/// An enum whose variant has a name that is not in the text; all of the text is its content. What is no enum is read
/// as it is.
pub(crate) struct Named<'r, 'de> {
    pub(crate) name: &'de str,
    pub(crate) content: &'r mut Reader<'de>,
}

impl<'de> Named<'_, 'de> {
    /// Reads what is no enum.
    fn read<T>(self, read: impl FnOnce(&mut Reader<'de>) -> Result<T, Error>) -> Result<T, Error> {
        self.content.at_start(read)
    }
}

impl<'de> Deserializer<'de> for Named<'_, 'de> {
    type Error = Error;

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_enum(self)
    }

    read_by_reader! {
        deserialize_any() deserialize_ignored_any() deserialize_identifier()
        deserialize_bool() deserialize_f32() deserialize_f64()
        deserialize_i8() deserialize_i16() deserialize_i32() deserialize_i64() deserialize_i128()
        deserialize_u8() deserialize_u16() deserialize_u32() deserialize_u64() deserialize_u128()
        deserialize_char() deserialize_str() deserialize_string() deserialize_bytes() deserialize_byte_buf()
        deserialize_unit() deserialize_unit_struct(name: &'static str)
        deserialize_option() deserialize_newtype_struct(name: &'static str)
        deserialize_seq() deserialize_tuple(length: usize)
        deserialize_tuple_struct(name: &'static str, length: usize)
        deserialize_map() deserialize_struct(name: &'static str, fields: &'static [&'static str])
    }
}

impl<'r, 'de> EnumAccess<'de> for Named<'r, 'de> {
    type Error = Error;
    type Variant = Content<'r, 'de>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self::Variant), Error> {
        let variant = seed.deserialize(StrDeserializer::new(self.name))?;
        Ok((variant, Content { reader: self.content, form: Form::Whole }))
    }
}

/// What belongs to a variant.
pub(crate) struct Content<'r, 'de> {
    reader: &'r mut Reader<'de>,
    form: Form,
}

/// Where the content is.
#[derive(Clone, Copy)]
enum Form {
    /// There is none: there was just a name.
    Name,
    /// It is the value of a field.
    Field,
    /// It is the whole text. A variant without content has no use for it.
    Whole,
}

impl<'r, 'de> Content<'r, 'de> {
    fn required(self, expected: &str) -> Result<&'r mut Reader<'de>, Error> {
        match self.form {
            Form::Name => Err(de::Error::invalid_type(Unexpected::UnitVariant, &expected)),
            Form::Field | Form::Whole => Ok(self.reader),
        }
    }
}

impl<'de> VariantAccess<'de> for Content<'_, 'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        match self.form {
            Form::Name => Ok(()),
            Form::Whole => {
                self.reader.pass();
                Ok(())
            }
            Form::Field => <()>::deserialize(self.reader),
        }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Error> {
        self.required("newtype variant")?.at_start(|reader| seed.deserialize(reader))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, Error> {
        self.required("tuple variant")?.visit_items(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, _fields: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        self.required("struct variant")?.visit_struct(visitor)
    }
}
