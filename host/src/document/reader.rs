//! Typed access to TOML that keeps lines, so that every error can point at one.

use std::ops::{Range, RangeInclusive};
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::units::{format_duration_ms, format_size, parse_duration_ms, parse_size};
use super::{DocumentError, Known};

/// The file being read.
#[derive(Clone, Copy)]
pub(crate) struct Document<'a> {
    file: &'a str,
    text: &'a str,
    /// Every table with keys of its own, to tell where a key belongs that stands elsewhere.
    tables: &'a [&'a Known<'a>],
}

/// One table of it, whose keys are all known.
pub(crate) struct Section<'a> {
    document: Document<'a>,
    /// How keys of it are called in errors, such as `[delivery] `.
    prefix: String,
    table: &'a DeTable<'a>,
}

/// One value of it.
pub(crate) struct Value<'a> {
    document: Document<'a>,
    /// The key with its place, such as `[delivery] max_attempts`.
    key: String,
    value: &'a Spanned<DeValue<'a>>,
}

impl<'a> Document<'a> {
    /// Parses the text; `file` is its name in errors, `tables` are those that have keys of their own.
    pub(crate) fn parse(
        file: &'a str,
        text: &'a str,
        tables: &'a [&'a Known<'a>],
    ) -> Result<(Self, Spanned<DeTable<'a>>), DocumentError> {
        let document = Self { file, text, tables };
        let table = DeTable::parse(text).map_err(|error| DocumentError::Syntax {
            file: file.into(),
            line: document.line(error.span().unwrap_or(0..0)),
            reason: error.message().split_whitespace().collect::<Vec<_>>().join(" "),
        })?;
        Ok((document, table))
    }

    /// The whole document as a section, its keys checked.
    pub(crate) fn root(self, table: &'a DeTable<'a>, known: &Known<'_>) -> Result<Section<'a>, DocumentError> {
        Section { document: self, prefix: String::new(), table }.checked(known)
    }

    fn line(&self, span: Range<usize>) -> usize {
        let before = self.text.as_bytes().get(..span.start).unwrap_or_default();
        1 + before.iter().filter(|byte| **byte == b'\n').count()
    }
}

impl<'a> Section<'a> {
    /// The value under a key, if it is there.
    pub(crate) fn get(&self, key: &str) -> Option<Value<'a>> {
        let value = self.table.get(key)?;
        Some(Value { document: self.document, key: format!("{}{key}", self.prefix), value })
    }

    /// The table of this name, its keys checked against what is known there.
    pub(crate) fn section(&self, name: &str, known: &Known<'_>) -> Result<Option<Section<'a>>, DocumentError> {
        self.get(name).map(|value| value.table(known)).transpose()
    }

    /// Every key with its value, in key order.
    pub(crate) fn values(&self) -> impl Iterator<Item = (&'a str, Value<'a>)> {
        self.table.iter().map(|(key, value)| {
            let name: &str = key.get_ref();
            (name, Value { document: self.document, key: format!("{}{name}", self.prefix), value })
        })
    }

    /// Refuses the first key, in the order of the file, that is not known here.
    fn checked(self, known: &Known<'_>) -> Result<Self, DocumentError> {
        if known.any {
            return Ok(self);
        }
        let unknown = self.table.iter().filter(|(key, _)| !known.keys.contains(&key.get_ref().as_ref()));
        let Some((key, value)) = unknown.min_by_key(|(key, _)| key.span().start) else { return Ok(self) };
        let line = self.document.line(key.span());
        let file = self.document.file.to_owned();
        let shown = known.describe(key.get_ref(), value.get_ref().is_table());
        if known.later.contains(&key.get_ref().as_ref()) {
            return Err(DocumentError::Unsupported { file, line, key: shown });
        }
        Err(DocumentError::UnknownKey { file, line, key: shown, hint: known.hint(key.get_ref(), self.document.tables) })
    }
}

impl<'a> Value<'a> {
    /// The value as TOML.
    pub(crate) fn raw(&self) -> &'a DeValue<'a> {
        self.value.get_ref()
    }

    /// The value as a table whose keys are checked.
    pub(crate) fn table(&self, known: &Known<'_>) -> Result<Section<'a>, DocumentError> {
        let table = self.raw().as_table().ok_or_else(|| self.bad("a table"))?;
        let prefix = if known.inline { format!("{}.", self.key) } else { format!("[{}] ", self.key) };
        Section { document: self.document, prefix, table }.checked(known)
    }

    /// The line it stands on, from 1.
    pub(crate) fn line(&self) -> usize {
        self.document.line(self.value.span())
    }

    /// The value as text.
    pub(crate) fn text(&self, allowed: &str) -> Result<&'a str, DocumentError> {
        self.raw().as_str().ok_or_else(|| self.bad(allowed))
    }

    /// The value as true or false.
    pub(crate) fn boolean(&self) -> Result<bool, DocumentError> {
        self.raw().as_bool().ok_or_else(|| self.bad("true or false"))
    }

    /// The value as a whole number within bounds.
    pub(crate) fn integer(&self, bounds: RangeInclusive<u64>) -> Result<u64, DocumentError> {
        let number = integer(self.raw()).and_then(|number| u64::try_from(number).ok());
        let allowed = || self.bad(&format!("a whole number from {} to {}", bounds.start(), bounds.end()));
        number.filter(|number| bounds.contains(number)).ok_or_else(allowed)
    }

    /// The value as a size in bytes within bounds.
    pub(crate) fn size(&self, bounds: RangeInclusive<u64>) -> Result<u64, DocumentError> {
        let bytes = self.raw().as_str().and_then(parse_size);
        let allowed = || {
            let (min, max) = (format_size(*bounds.start()), format_size(*bounds.end()));
            self.bad(&format!("a size from {min} to {max}, as text with B, KiB, MiB or GiB, such as \"64MiB\""))
        };
        bytes.filter(|bytes| bounds.contains(bytes)).ok_or_else(allowed)
    }

    /// The value as a duration in milliseconds within bounds.
    pub(crate) fn duration_ms(&self, bounds: RangeInclusive<u64>) -> Result<u64, DocumentError> {
        let ms = self.raw().as_str().and_then(parse_duration_ms);
        let allowed = || {
            let (min, max) = (format_duration_ms(*bounds.start()), format_duration_ms(*bounds.end()));
            self.bad(&format!("a duration from {min} to {max}, as text with ms, s, m or h, such as \"500ms\""))
        };
        ms.filter(|ms| bounds.contains(ms)).ok_or_else(allowed)
    }

    /// The value's items, as an array.
    pub(crate) fn items(&self) -> Result<Vec<Value<'a>>, DocumentError> {
        const ALLOWED: &str = "an array of texts, such as [\"OrderPlaced\"]";
        let array = self.raw().as_array().ok_or_else(|| self.bad(ALLOWED))?;
        let item = |(index, value)| Value { document: self.document, key: format!("{}[{index}]", self.key), value };
        Ok(array.iter().enumerate().map(item).collect())
    }

    /// The value as an array of names, each taken by `take`, whose error says what is wrong with it.
    pub(crate) fn texts<T, E: ToString>(&self, take: impl Fn(String) -> Result<T, E>) -> Result<Vec<T>, DocumentError> {
        self.list("a name", take)
    }

    /// The value as a text that is read as something else; `what` it is.
    pub(crate) fn parsed<T: FromStr<Err: ToString>>(&self, what: &str) -> Result<T, DocumentError> {
        let wrong = |error: T::Err| self.bad(&format!("{what} ({})", error.to_string()));
        self.text(what)?.parse().map_err(wrong)
    }

    /// The value as an array of texts, each taken by `take`, whose error says what is wrong with it; `what` they
    /// are.
    pub(crate) fn list<T, E: ToString>(
        &self,
        what: &str,
        take: impl Fn(String) -> Result<T, E>,
    ) -> Result<Vec<T>, DocumentError> {
        let texts = self.items()?.into_iter().map(|item| {
            take(item.text("a text")?.to_owned()).map_err(|error| item.bad(&format!("{what} ({})", error.to_string())))
        });
        texts.collect()
    }

    /// The error that this value is not what is allowed.
    pub(crate) fn bad(&self, allowed: &str) -> DocumentError {
        DocumentError::BadValue {
            file: self.document.file.into(),
            line: self.line(),
            key: self.key.clone(),
            found: describe(self.raw()),
            allowed: allowed.into(),
        }
    }
}

/// A TOML integer, whatever its radix.
pub(crate) fn integer(value: &DeValue<'_>) -> Option<i64> {
    let integer = value.as_integer()?;
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

/// A value as an error shows it.
fn describe(value: &DeValue<'_>) -> String {
    const SHOWN_CHARS_MAX: usize = 64;
    match value {
        DeValue::String(text) if text.chars().count() > SHOWN_CHARS_MAX => {
            format!("the text {:?}…", text.chars().take(SHOWN_CHARS_MAX).collect::<String>())
        }
        DeValue::String(text) => format!("the text {text:?}"),
        DeValue::Integer(number) => format!("the number {number}"),
        DeValue::Float(number) => format!("the number {number}"),
        DeValue::Boolean(truth) => truth.to_string(),
        DeValue::Datetime(time) => format!("the time {time}"),
        DeValue::Array(_) => "an array".into(),
        DeValue::Table(_) => "a table".into(),
    }
}
