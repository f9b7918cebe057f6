//! Events as serde types: the payload alone, or an enum with one variant for each event type.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{self, DeserializeOwned, Deserializer, Visitor};
use serde::forward_to_deserialize_any;

use crate::json::{self, Named};
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
pub(crate) fn decode_json<'a, T: Deserialize<'a>>(event_type: &str, payload: &'a [u8]) -> Result<T, Error> {
    json::from_slice(payload).map_err(|detail| Error::Decode { event_type: event_type.into(), detail })
}

/// Decodes an enum by the event's type.
pub(crate) fn decode_event<'a, T: Deserialize<'a>>(event_type: &'a str, payload: &'a [u8]) -> Result<T, Error> {
    json::read(payload, |content| T::deserialize(Named { name: event_type, content }))
        .map_err(|detail| Error::Decode { event_type: event_type.into(), detail })
}

/// Holds no data: notes the variants when asked for an enum, and fails.
struct VariantNames<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for VariantNames<'_> {
    type Error = NoData;

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Self::Error> {
        Err(NoData)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = variants;
        Err(NoData)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// The error of [`VariantNames`], which is told to nobody.
#[derive(Debug)]
struct NoData;

impl fmt::Display for NoData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there is no data")
    }
}

impl std::error::Error for NoData {}

impl de::Error for NoData {
    fn custom<T: fmt::Display>(_message: T) -> Self {
        Self
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
        assert!(!error.contains(" at line "), "the name is not in the payload: {error}");
        let error = decode_event::<u64>("Total", b" 7.5").unwrap_err().to_string();
        assert!(error.ends_with("floating point `7.5`, expected u64 at line 1 column 2"), "{error}");
        assert!(decode_json::<u8>("T", b"1 2").unwrap_err().to_string().contains("trailing"));
    }

    #[test]
    fn the_types_are_the_variants() {
        assert_eq!(event_types::<Shop>(), ["OrderPlaced", "LineAdded", "OrderPaid", "order.cancelled.v2"]);
        assert!(event_types::<Line>().is_empty());
    }
}
