//! Schemas of names and numbers, which check themselves when they are made.

use std::borrow::Cow;

use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::{KnownFormat, RefOr, SchemaFormat};
use utoipa::{PartialSchema, ToSchema};

use crate::event::{Category, EventType, NAME_BYTES_MAX, PLUGIN_NAME_BYTES_MAX};
use crate::event::{Pattern, PluginName, Position, StreamName, Tag, Version};

/// Every character but control characters.
const PLAIN: &str = r"^[^\x00-\x1f\x7f-\x9f]+$";

fn text(max_bytes: usize, pattern: &str, about: &str) -> RefOr<Schema> {
    let text = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(max_bytes));
    text.pattern(Some(pattern)).description(Some(format!("{about} At most {max_bytes} bytes of UTF-8."))).into()
}

fn number(about: &str) -> RefOr<Schema> {
    let number = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0_usize)).maximum(Some(usize::MAX));
    number.format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64))).description(Some(about)).into()
}

macro_rules! named {
    ($($name:ident = $schema:expr;)*) => {$(
        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                $schema
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                stringify!($name).into()
            }
        }
    )*

        /// Every schema of this file, by name.
        pub(super) fn all() -> impl IntoIterator<Item = (String, RefOr<Schema>)> {
            [$((stringify!($name).to_owned(), $name::schema())),*]
        }
    };
}

named! {
    EventType = text(NAME_BYTES_MAX, PLAIN, "Type of an event. Those that begin with `$` are the host's.");
    StreamName = text(NAME_BYTES_MAX, r"^[^\x00-\x1f\x7f-\x9f*]+$", "Name of a stream.");
    Category = text(NAME_BYTES_MAX, r"^[^\x00-\x1f\x7f-\x9f*\-]+$", "The part of streams' names before the first `-`.");
    Tag = text(NAME_BYTES_MAX, PLAIN, "An indexed label of an event.");
    Pattern = text(NAME_BYTES_MAX, PLAIN, "A name, or the beginning of names when it ends in `*`.");
    PluginName = text(PLUGIN_NAME_BYTES_MAX, "^[A-Za-z0-9_.-]+$", "Name of a plugin: its folder or file.");
    Position = number("Place in the log: the first event is 1, 0 stands before it.");
    Version = number("Place in a stream: the first event is 1, 0 stands before it.");
}
