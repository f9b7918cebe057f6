//! Types and functions, whoever has them: printed as an author writes them, and held against each other.
//!
//! Names of types count for nothing, as they do for the engine; names of fields, cases and flags do.

use std::fmt;
use std::mem::discriminant;

/// A type.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    /// Its name, if it has one.
    pub(super) name: Option<String>,
    pub(super) kind: Kind,
}

/// What a type is made of.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// Such as `u32`.
    Plain(&'static str),
    Record(Vec<(String, Shape)>),
    Variant(Vec<(String, Option<Shape>)>),
    Enum(Vec<String>),
    Flags(Vec<String>),
    /// Such as `list` or `result`, of other types; none for `_`.
    Of(&'static str, Vec<Option<Shape>>),
}

/// A function's parameters and its result.
#[derive(Clone, Debug)]
pub(in crate::runtime) struct Function {
    pub(super) parameters: Vec<(String, Shape)>,
    pub(super) result: Option<Shape>,
}

/// One part, as either side has it, as WIT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::runtime) struct Difference {
    /// What the one that is looked at has.
    pub(in crate::runtime) has: String,
    /// What it is held against.
    pub(in crate::runtime) wanted: String,
}

/// Where a function differs from what it is held against: the innermost part that has a name there.
pub(in crate::runtime) fn differ(name: &str, has: &Function, wanted: &Function) -> Option<Difference> {
    let types = |function: &Function| function.parameters.iter().map(|(_, shape)| shape.clone()).map(Some).collect();
    let (left, right): (Vec<_>, Vec<_>) = (types(has), types(wanted));
    let found = all(&left, &right).and_then(|()| maybe(has.result.as_ref(), wanted.result.as_ref())).err()?;
    Some(found.unwrap_or_else(|| Difference { has: has.text(name), wanted: wanted.text(name) }))
}

impl Function {
    /// `name: func(parameter: type) -> type`.
    pub(in crate::runtime) fn text(&self, name: &str) -> String {
        let result = self.result.as_ref().map(|result| format!(" -> {result}")).unwrap_or_default();
        format!("{name}: func({}){result}", fields(&self.parameters))
    }
}

impl Shape {
    /// Without a name.
    pub(super) const fn plain(kind: &'static str) -> Self {
        Self { name: None, kind: Kind::Plain(kind) }
    }

    /// Its definition, such as `record span { start: u32, length: u32 }`.
    pub(super) fn definition(&self) -> String {
        let name = self.name.as_deref().unwrap_or("_");
        match &self.kind {
            Kind::Record(parts) => format!("record {name} {{ {} }}", fields(parts)),
            Kind::Variant(cases) => {
                let payload = |shape: &Option<Self>| shape.as_ref().map(|shape| format!("({shape})"));
                let cases = cases.iter().map(|(case, shape)| format!("{case}{}", payload(shape).unwrap_or_default()));
                format!("variant {name} {{ {} }}", cases.collect::<Vec<_>>().join(", "))
            }
            Kind::Enum(cases) => format!("enum {name} {{ {} }}", cases.join(", ")),
            Kind::Flags(flags) => format!("flags {name} {{ {} }}", flags.join(", ")),
            Kind::Plain(_) | Kind::Of(..) => {
                format!("type {name} = {}", Self { name: None, kind: self.kind.clone() })
            }
        }
    }

    /// Where it differs from what it is held against.
    #[cfg(test)]
    pub(super) fn difference(&self, wanted: &Self) -> Option<Difference> {
        let found = same(self, wanted).err()?;
        Some(found.unwrap_or_else(|| Difference { has: self.definition(), wanted: wanted.definition() }))
    }
}

impl Kind {
    /// Whether there is a handle to a resource in it.
    pub(super) fn holds_handle(&self) -> bool {
        let holds = |shape: &Shape| shape.kind.holds_handle();
        match self {
            Self::Record(parts) => parts.iter().any(|(_, shape)| holds(shape)),
            Self::Variant(cases) => cases.iter().filter_map(|(_, shape)| shape.as_ref()).any(holds),
            Self::Of("own" | "borrow", _) => true,
            Self::Of(_, parts) => parts.iter().flatten().any(holds),
            Self::Plain(_) | Self::Enum(_) | Self::Flags(_) => false,
        }
    }
}

impl fmt::Display for Shape {
    /// As it is used: its name, if it has one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.name, &self.kind) {
            (Some(name), _) => f.write_str(name),
            (None, Kind::Plain(name)) => f.write_str(name),
            (None, Kind::Of(name, parts)) if parts.iter().all(Option::is_none) => f.write_str(name),
            (None, Kind::Of("result", parts)) if matches!(parts.as_slice(), [Some(_), None]) => {
                write!(f, "result<{}>", list(parts.get(..1).unwrap_or_default()))
            }
            (None, Kind::Of(name, parts)) => write!(f, "{name}<{}>", list(parts)),
            _ => f.write_str(&self.definition()),
        }
    }
}

fn list(parts: &[Option<Shape>]) -> String {
    let text = |part: &Option<Shape>| part.as_ref().map_or_else(|| "_".to_owned(), Shape::to_string);
    parts.iter().map(text).collect::<Vec<_>>().join(", ")
}

fn fields(fields: &[(String, Shape)]) -> String {
    fields.iter().map(|(name, shape)| format!("{name}: {shape}")).collect::<Vec<_>>().join(", ")
}

/// None: here, in something that has no name of its own.
type Same = Result<(), Option<Difference>>;

fn same(has: &Shape, wanted: &Shape) -> Same {
    let found = match (&has.kind, &wanted.kind) {
        (Kind::Plain(has), Kind::Plain(wanted)) if has == wanted => Ok(()),
        (Kind::Record(has), Kind::Record(wanted)) if names(has).eq(names(wanted)) => {
            has.iter().zip(wanted).try_for_each(|((_, has), (_, wanted))| same(has, wanted))
        }
        (Kind::Variant(has), Kind::Variant(wanted)) if names(has).eq(names(wanted)) => {
            has.iter().zip(wanted).try_for_each(|((_, has), (_, wanted))| maybe(has.as_ref(), wanted.as_ref()))
        }
        (Kind::Enum(has), Kind::Enum(wanted)) | (Kind::Flags(has), Kind::Flags(wanted)) if has == wanted => Ok(()),
        (Kind::Of(name, has), Kind::Of(other, wanted)) if name == other => all(has, wanted),
        _ => Err(None),
    };
    found.map_err(|inner| match (inner, &wanted.name) {
        // Of types of another kind, where they stand says more than what each is.
        (None, Some(_)) if discriminant(&has.kind) == discriminant(&wanted.kind) => {
            Some(Difference { has: has.definition(), wanted: wanted.definition() })
        }
        (inner, ..) => inner,
    })
}

fn names<T>(parts: &[(String, T)]) -> impl Iterator<Item = &str> {
    parts.iter().map(|(name, _)| name.as_str())
}

fn all(has: &[Option<Shape>], wanted: &[Option<Shape>]) -> Same {
    if has.len() != wanted.len() {
        return Err(None);
    }
    has.iter().zip(wanted).try_for_each(|(has, wanted)| maybe(has.as_ref(), wanted.as_ref()))
}

fn maybe(has: Option<&Shape>, wanted: Option<&Shape>) -> Same {
    match (has, wanted) {
        (None, None) => Ok(()),
        (Some(has), Some(wanted)) => same(has, wanted),
        _ => Err(None),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Wit;
    use super::*;

    fn difference(has: &str, wanted: &str) -> Option<(String, String)> {
        let wit = |text: &str| {
            let text = format!("package tidemill:plugin@0.1.0;\ninterface a {{ {text} }}");
            Wit::parse([("a.wit", &*text)]).unwrap().interfaces.remove("a").unwrap().functions.remove("f").unwrap()
        };
        differ("f", &wit(has), &wit(wanted)).map(|Difference { has, wanted }| (has, wanted))
    }

    #[test]
    fn the_innermost_part_with_a_name_is_told() {
        let told = |has: &str, wanted: &str| Some((has.to_owned(), wanted.to_owned()));
        assert_eq!(
            difference("f: func(k: u32);", "f: func(k: string);"),
            told("f: func(k: u32)", "f: func(k: string)")
        );
        let within = |field: &str| {
            format!(
                "record inner {{ {field} }} record outer {{ all: list<inner> }} type alias = outer; \
                 f: func(k: alias) -> result<_, inner>;"
            )
        };
        assert_eq!(
            difference(&within("x: u32"), &within("y: u32")),
            told("record inner { x: u32 }", "record inner { y: u32 }")
        );
        assert_eq!(
            difference("variant v { a, b(u8) } f: func() -> v;", "variant v { a, b(u16) } f: func() -> v;"),
            told("variant v { a, b(u8) }", "variant v { a, b(u16) }")
        );
        assert_eq!(
            difference("enum e { a } f: func(e: e) -> result<e>;", "enum e { a, b } f: func(e: e) -> result<e>;"),
            told("enum e { a }", "enum e { a, b }")
        );
        assert_eq!(
            difference("f: func() -> result<u8>;", "f: func() -> result;"),
            told("f: func() -> result<u8>", "f: func() -> result")
        );
    }

    #[test]
    fn names_of_types_and_aliases_make_no_difference() {
        let shape = "record one { x: option<tuple<u8, string>> } f: func(k: list<one>);";
        let same = "record two { x: option<tuple<u8, string>> } type also = list<two>; f: func(k: also);";
        assert_eq!(difference(shape, same), None);
        assert_eq!(difference(shape, shape), None);
    }
}
