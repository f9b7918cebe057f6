//! Events as serde types: the payload alone, or an enum with one variant for each event type.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, VariantAccess, Visitor};
use serde::forward_to_deserialize_any;

use crate::{Context, Error, Event, Outcome, Subscriber};

/// A subscriber whose handler takes an enum with one variant for each event type. The variant's name
/// is the event's type, its content the payload; serde's `rename` works as usual.
///
/// ```
/// # use serde::Deserialize;
/// # use tidemill_sdk::{Context, Outcome, export, typed};
/// #[derive(Deserialize)]
/// enum Shop {
///     OrderPlaced { order: String },
///     OrderCancelled { order: String },
/// }
///
/// fn count(event: Shop, ctx: &mut Context) -> Outcome {
///     let (Shop::OrderPlaced { order } | Shop::OrderCancelled { order }) = event;
///     ctx.state().add(&format!("seen/{order}"), 1)?;
///     Ok(())
/// }
///
/// export!(typed(count)); // listens to OrderPlaced and OrderCancelled
/// ```
/// An event that does not decode is rejected. For the event's position, time or tags, take
/// `&Event` instead and call [`Event::decode`].
pub fn typed<E, F>(handler: F) -> Typed<E, F>
where
    E: DeserializeOwned,
    F: FnMut(E, &mut Context) -> Outcome,
{
    Typed { handler, event: PhantomData }
}

/// The subscriber that [`typed`] makes.
pub struct Typed<E, F> {
    handler: F,
    event: PhantomData<fn() -> E>,
}

impl<E, F> fmt::Debug for Typed<E, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Typed").finish_non_exhaustive()
    }
}

impl<E: DeserializeOwned, F: FnMut(E, &mut Context) -> Outcome> Subscriber for Typed<E, F> {
    fn handle(&mut self, event: &Event<'_>, ctx: &mut Context) -> Outcome {
        (self.handler)(event.decode()?, ctx)
    }

    fn event_types(&self) -> &'static [&'static str] {
        event_types::<E>()
    }
}

/// The variants of an enum by the names serde knows them under, as event types; none if `E` is not an
/// enum. For `types = event_types::<Shop>()` in [`export!`](crate::export!) when the handler is not
/// [`typed`].
#[must_use]
pub fn event_types<'de, E: Deserialize<'de>>() -> &'static [&'static str] {
    let mut variants: &'static [&'static str] = &[];
    // It always fails: it is there to be asked for an enum.
    let _ = E::deserialize(VariantNames(&mut variants));
    variants
}

/// Decodes a payload.
pub(crate) fn decode_json<'a, T: Deserialize<'a>>(event_type: &str, json: &'a [u8]) -> Result<T, Error> {
    serde_json::from_slice(json).map_err(|error| {
        // Only a failure pays for tracking the path.
        let again = serde_path_to_error::deserialize::<_, T>(&mut serde_json::Deserializer::from_slice(json));
        decode_error(event_type, &error, again.err())
    })
}

/// Decodes an enum by the event's type.
pub(crate) fn decode_event<'a, T: Deserialize<'a>>(event_type: &'a str, json: &'a [u8]) -> Result<T, Error> {
    let tagged = TaggedEvent { event_type, json };
    T::deserialize(tagged).map_err(|error| {
        let again = serde_path_to_error::deserialize::<_, T>(tagged);
        decode_error(event_type, &error, again.err())
    })
}

/// The second try reads one value, so it does not see text after it; then the first error is told.
fn decode_error(
    event_type: &str,
    error: &serde_json::Error,
    with_path: Option<serde_path_to_error::Error<serde_json::Error>>,
) -> Error {
    let detail = with_path.map_or_else(|| error.to_string(), |error| error.to_string());
    Error::Decode { event_type: event_type.into(), detail }
}

/// An event as an enum: the type is the variant, the payload its content.
#[derive(Clone, Copy)]
struct TaggedEvent<'a> {
    event_type: &'a str,
    json: &'a [u8],
}

impl<'de> Deserializer<'de> for TaggedEvent<'de> {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        serde_json::Deserializer::from_slice(self.json).deserialize_any(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_enum(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

impl<'de> EnumAccess<'de> for TaggedEvent<'de> {
    type Error = serde_json::Error;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Self::Error> {
        Ok((seed.deserialize(StrDeserializer::new(self.event_type))?, self))
    }
}

impl<'de> VariantAccess<'de> for TaggedEvent<'de> {
    type Error = serde_json::Error;

    fn unit_variant(self) -> Result<(), Self::Error> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Self::Error> {
        seed.deserialize(&mut serde_json::Deserializer::from_slice(self.json))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Self::Error> {
        serde_json::Deserializer::from_slice(self.json).deserialize_tuple(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        serde_json::Deserializer::from_slice(self.json).deserialize_struct("", fields, visitor)
    }
}

/// Holds no data: notes the variants when asked for an enum, and fails.
struct VariantNames<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for VariantNames<'_> {
    type Error = de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Self::Error> {
        Err(de::Error::custom("not an enum"))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = variants;
        Err(de::Error::custom("only its names were wanted"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Line<'a> {
        sku: &'a str,
        quantity: u32,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    enum Shop<'a> {
        OrderPlaced {
            #[serde(borrow)]
            lines: Vec<Line<'a>>,
        },
        #[serde(borrow)]
        LineAdded(Line<'a>),
        OrderPaid(u64),
        #[serde(rename = "order.cancelled.v2")]
        Cancelled,
    }

    #[test]
    fn the_type_chooses_the_variant_and_text_is_borrowed() {
        let line = Line { sku: "tea", quantity: 2 };
        assert_eq!(decode_event::<Shop>("LineAdded", br#"{"sku":"tea","quantity":2}"#), Ok(Shop::LineAdded(line)));
        assert_eq!(decode_event::<Shop>("OrderPaid", b"5"), Ok(Shop::OrderPaid(5)));
        assert_eq!(decode_event::<Shop>("order.cancelled.v2", br#"{"any":1}"#), Ok(Shop::Cancelled));
        let placed = Shop::OrderPlaced { lines: vec![Line { sku: "tea", quantity: 1 }] };
        let json = br#"{"lines":[{"sku":"tea","quantity":1}],"note":"fields nobody asked for"}"#;
        assert_eq!(decode_event::<Shop>("OrderPlaced", json), Ok(placed));
    }

    #[test]
    fn errors_name_the_path() {
        let bad = br#"{"lines":[{"sku":"tea","quantity":1},{"sku":"oil","quantity":-1}]}"#;
        let error = decode_event::<Shop>("OrderPlaced", bad).unwrap_err().to_string();
        assert!(error.contains("lines[1].quantity: invalid value: integer `-1`, expected u32"), "{error}");
        let error = decode_json::<Line>("LineAdded", br#"{"sku":"tea"}"#).unwrap_err().to_string();
        assert!(error.starts_with("payload of LineAdded: missing field `quantity`"), "{error}");
        let error = decode_event::<Shop>("OrderLost", b"{}").unwrap_err().to_string();
        assert!(error.contains("unknown variant `OrderLost`, expected one of"), "{error}");
        assert!(decode_json::<u8>("T", b"1 2").unwrap_err().to_string().contains("trailing"));
    }

    #[test]
    fn the_types_are_the_variants() {
        assert_eq!(event_types::<Shop>(), ["OrderPlaced", "LineAdded", "OrderPaid", "order.cancelled.v2"]);
        assert!(event_types::<Line>().is_empty());
    }
}
