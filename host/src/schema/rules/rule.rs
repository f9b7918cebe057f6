//! One change of a document.

use serde_json::{Value, json};

use super::node::Node;
use super::path::JsonPath;
use crate::event::DATA_BYTES_MAX;

/// A change of a document. Where a path leads to nothing, there is nothing to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Sets a value where there is none; what is missing on the way is made.
    Add {
        /// Where.
        path: JsonPath,
        /// What, as JSON text.
        value: String,
    },
    /// Takes a value away.
    Remove {
        /// Where.
        path: JsonPath,
    },
    /// Gives a value another key in the same object.
    Rename {
        /// Where it is.
        path: JsonPath,
        /// The other key.
        to: String,
    },
    /// Takes a value to another place; what is missing on the way is made.
    Move {
        /// Where it is.
        path: JsonPath,
        /// Where it goes.
        to: JsonPath,
    },
    /// Makes another kind of value of it; null stays null.
    Convert {
        /// Where.
        path: JsonPath,
        /// The kind.
        to: Kind,
    },
}

/// A kind of value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text: of a number its digits, of a truth value `true` or `false`.
    String,
    /// A number: of a text the number it is.
    Number,
    /// A whole number: the same, and `3.0` is 3.
    Integer,
    /// True or false: of a text `true` or `false`, of a number 1 or 0.
    Boolean,
}

impl Kind {
    /// Every kind, by its name in rules.
    pub(super) const ALL: [(&'static str, Self); 4] =
        [("string", Self::String), ("number", Self::Number), ("integer", Self::Integer), ("boolean", Self::Boolean)];

    /// Its name.
    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, kind)| *kind == self).map_or("value", |(name, _)| name)
    }

    /// The text of a scalar as this kind; none where it cannot be.
    fn of(self, text: &str) -> Option<String> {
        let value: Value = serde_json::from_str(text).ok()?;
        let plain = match &value {
            Value::Null => return Some(text.into()),
            Value::String(plain) => plain.trim().to_owned(),
            Value::Number(_) | Value::Bool(_) => text.to_owned(),
            Value::Array(_) | Value::Object(_) => return None,
        };
        match self {
            Self::String if value.is_string() => Some(text.into()),
            Self::String => Some(Value::from(plain).to_string()),
            Self::Number if value.is_boolean() => None,
            Self::Number => is_number(&plain).then_some(plain),
            Self::Integer if value.is_boolean() => None,
            Self::Integer => integer(&plain),
            Self::Boolean => match plain.as_str() {
                "true" | "1" => Some("true".into()),
                "false" | "0" => Some("false".into()),
                _ => None,
            },
        }
    }
}

fn is_number(text: &str) -> bool {
    serde_json::from_str::<serde_json::Number>(text).is_ok()
}

/// A whole number of any size, without the fraction that is nothing.
fn integer(text: &str) -> Option<String> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = whole.strip_prefix('-').unwrap_or(whole);
    let is_whole = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let is_nothing = !fraction.is_empty() && fraction.bytes().all(|byte| byte == b'0');
    // Also refuses what begins with a 0 that means nothing.
    (is_whole && is_nothing && is_number(whole)).then(|| whole.to_owned())
}

impl Rule {
    /// What it is, as a JSON array: its kind, its places as pointers, and what it takes.
    pub(super) fn identity(&self) -> Value {
        match self {
            Self::Add { path, value } => json!(["add", path.to_string(), value]),
            Self::Remove { path } => json!(["remove", path.to_string()]),
            Self::Rename { path, to } => json!(["rename", path.to_string(), to]),
            Self::Move { path, to } => json!(["move", path.to_string(), to.to_string()]),
            Self::Convert { path, to } => json!(["convert", path.to_string(), to.name()]),
        }
    }

    /// Changes a document.
    ///
    /// # Errors
    /// Why it cannot, in one line.
    pub(super) fn apply<'a>(&self, root: &mut Node<'a>) -> Result<(), String> {
        match self {
            Self::Add { path, value } => {
                let ((way, key), mut bytes) = (path.split(), 0);
                root.walk(way, true, &mut |parent| {
                    // A place may be many.
                    bytes += value.len();
                    if bytes > DATA_BYTES_MAX {
                        return Err(format!("what is added at {path} is more than {DATA_BYTES_MAX} bytes"));
                    }
                    put(parent, key, path, false, || Node::of_text(value.clone()))
                })
            }
            Self::Remove { path } => {
                let (way, key) = path.split();
                root.walk(way, false, &mut |parent| {
                    take(parent, key);
                    Ok(())
                })
            }
            Self::Rename { path, to } => {
                let (way, key) = path.split();
                root.walk(way, false, &mut |parent| rename(parent, key, to, path))
            }
            Self::Move { path, to } => {
                let (way, key) = path.split();
                let mut taken = None;
                root.walk(way, false, &mut |parent| {
                    taken = take(parent, key);
                    Ok(())
                })?;
                let Some(taken) = taken else { return Ok(()) };
                let ((way, key), mut taken) = (to.split(), Some(taken));
                root.walk(way, true, &mut |parent| put(parent, key, to, true, || taken.take()))?;
                if taken.is_some() {
                    return Err(format!("there is no place {to}, to which {path} is moved"));
                }
                Ok(())
            }
            Self::Convert { path, to } => {
                let (way, key) = path.split();
                let whole: Vec<String> = way.iter().cloned().chain([key.to_owned()]).collect();
                root.walk(&whole, false, &mut |node| convert(node, *to, path))
            }
        }
    }
}

/// Puts a value under a key, if there is none; `must` is an error if there is one.
fn put<'a>(
    parent: &mut Node<'a>,
    key: &str,
    path: &JsonPath,
    must: bool,
    value: impl FnOnce() -> Option<Node<'a>>,
) -> Result<(), String> {
    let Some(members) = parent.members() else { return Err(format!("what holds {path} is not an object")) };
    match members.iter().any(|(name, _)| name == key) {
        true if must => Err(format!("there is a value at {path} already")),
        true => Ok(()),
        false => {
            members.extend(value().map(|value| (key.to_owned(), value)));
            Ok(())
        }
    }
}

fn take<'a>(parent: &mut Node<'a>, key: &str) -> Option<Node<'a>> {
    let members = parent.members()?;
    let at = members.iter().position(|(name, _)| name == key)?;
    Some(members.remove(at).1)
}

fn rename(parent: &mut Node<'_>, key: &str, to: &str, path: &JsonPath) -> Result<(), String> {
    let Some(members) = parent.members() else { return Ok(()) };
    let Some(at) = members.iter().position(|(name, _)| name == key) else { return Ok(()) };
    if members.iter().any(|(name, _)| name == to) {
        return Err(format!("beside {path} there is a value {to:?} already"));
    }
    if let Some((name, _)) = members.get_mut(at) {
        to.clone_into(name);
    }
    Ok(())
}

fn convert(node: &mut Node<'_>, to: Kind, path: &JsonPath) -> Result<(), String> {
    let converted = node.raw().and_then(|text| to.of(text)).and_then(Node::of_text);
    let Some(converted) = converted else {
        let found: String = node.raw().unwrap_or("an object or an array").chars().take(64).collect();
        let article = if to == Kind::Integer { "an" } else { "a" };
        return Err(format!("the value at {path} cannot be made {article} {}: {found}", to.name()));
    };
    *node = converted;
    Ok(())
}
