//! A JSON document that is taken apart only as far as rules reach into it.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

use super::path::EVERY;

/// A part of a document.
#[derive(Clone, Debug)]
pub(super) enum Node<'a> {
    /// Its text, as it came.
    Raw(Cow<'a, RawValue>),
    /// An object that was taken apart, in the order of its text.
    Object(Vec<(String, Node<'a>)>),
    /// An array that was taken apart.
    Array(Vec<Node<'a>>),
}

/// The members of an object, in the order of the text.
struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(members)
    }
}

impl<'a> Node<'a> {
    /// The whole document.
    pub(super) fn parse(data: &'a [u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice::<&RawValue>(data).map(|raw| Self::Raw(Cow::Borrowed(raw)))
    }

    /// Takes an object or an array apart; anything else stays.
    fn open(&mut self) {
        match self {
            Self::Raw(Cow::Borrowed(raw)) => {
                if let Some(opened) = opened(raw) {
                    *self = opened;
                }
            }
            Self::Raw(Cow::Owned(raw)) => {
                if let Some(opened) = opened(raw) {
                    *self = opened.owned();
                }
            }
            Self::Object(_) | Self::Array(_) => {}
        }
    }

    /// The same, which borrows nothing.
    fn owned<'b>(self) -> Node<'b> {
        match self {
            Self::Raw(raw) => Node::Raw(Cow::Owned(raw.into_owned())),
            Self::Object(members) => Node::Object(members.into_iter().map(|(key, node)| (key, node.owned())).collect()),
            Self::Array(items) => Node::Array(items.into_iter().map(Node::owned).collect()),
        }
    }

    /// Calls `visit` with everything that a way leads to. What is not there is made, as objects, where `make` says
    /// so, and passed over otherwise.
    pub(super) fn walk(
        &mut self,
        way: &[String],
        make: bool,
        visit: &mut dyn FnMut(&mut Node<'a>) -> Result<(), String>,
    ) -> Result<(), String> {
        let Some((step, rest)) = way.split_first() else { return visit(self) };
        self.open();
        match self {
            Self::Array(items) if step == EVERY => items.iter_mut().try_for_each(|item| item.walk(rest, make, visit)),
            Self::Array(items) => match step.parse().ok().and_then(|index: usize| items.get_mut(index)) {
                Some(item) => item.walk(rest, make, visit),
                None => Ok(()),
            },
            Self::Object(members) => {
                let at = members.iter().position(|(key, _)| key == step);
                let at = match at {
                    Some(at) => at,
                    None if make && step != EVERY => {
                        members.push((step.clone(), Node::Object(Vec::new())));
                        members.len() - 1
                    }
                    None => return Ok(()),
                };
                members.get_mut(at).map_or(Ok(()), |(_, node)| node.walk(rest, make, visit))
            }
            Self::Raw(raw) if make => Err(format!("{} stands where an object is expected for {step:?}", shown(raw))),
            Self::Raw(_) => Ok(()),
        }
    }

    /// The members, if it is an object.
    pub(super) fn members(&mut self) -> Option<&mut Vec<(String, Node<'a>)>> {
        self.open();
        match self {
            Self::Object(members) => Some(members),
            Self::Array(_) | Self::Raw(_) => None,
        }
    }

    /// The text, if it was never taken apart.
    pub(super) fn raw(&self) -> Option<&str> {
        match self {
            Self::Raw(raw) => Some(raw.get()),
            Self::Object(_) | Self::Array(_) => None,
        }
    }

    /// A part of a text of its own; none if that is not JSON.
    pub(super) fn of_text(text: String) -> Option<Self> {
        RawValue::from_string(text).ok().map(|raw| Self::Raw(Cow::Owned(raw)))
    }

    /// The document as text.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write(&mut bytes);
        bytes
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Raw(raw) => bytes.extend_from_slice(raw.get().as_bytes()),
            Self::Object(members) => {
                bytes.push(b'{');
                for (index, (key, node)) in members.iter().enumerate() {
                    if index > 0 {
                        bytes.push(b',');
                    }
                    bytes.extend_from_slice(serde_json::Value::from(key.as_str()).to_string().as_bytes());
                    bytes.push(b':');
                    node.write(bytes);
                }
                bytes.push(b'}');
            }
            Self::Array(items) => {
                bytes.push(b'[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        bytes.push(b',');
                    }
                    item.write(bytes);
                }
                bytes.push(b']');
            }
        }
    }
}

/// An object or an array, taken apart by one level; none for anything else.
fn opened(raw: &RawValue) -> Option<Node<'_>> {
    let part = |raw| Node::Raw(Cow::Borrowed(raw));
    match raw.get().as_bytes().first() {
        Some(b'{') => {
            let mut text = serde_json::Deserializer::from_str(raw.get());
            let members = text.deserialize_map(Members).ok()?;
            Some(Node::Object(members.into_iter().map(|(key, raw)| (key, part(raw))).collect()))
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(raw.get()).ok()?;
            Some(Node::Array(items.into_iter().map(part).collect()))
        }
        _ => None,
    }
}

/// A value as an error shows it.
pub(super) fn shown(raw: &RawValue) -> String {
    raw.get().chars().take(64).collect()
}
