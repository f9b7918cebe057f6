//! What is told of data that do not fit a schema: the innermost errors, which say what is wrong and not what follows.
//!
//! Of `oneOf` and `anyOf` every case has failed, and most of them were not meant. Those are not that want something else
//! than the data as a whole, be it only another type, if there are others. Of these a case is not that has another
//! constant in a field than the data, if there is one where nothing like that is so; nor, if no constant is wrong in any,
//! one that lists other values there. What else is wrong with a field may be just what there is to tell: its type is.
//! Of cases that may be meant, those come first that fit the data farthest down.

use std::cmp::Reverse;

use boon::{ErrorKind, InstanceToken, Type, ValidationError};

use super::multiple;
use super::types::FieldError;

/// Most errors that are told of one event, or of one command.
pub(super) const ERRORS_MAX: usize = 16;
/// Most bytes of a place, or of what is wrong there, that are told.
pub(super) const TOLD_BYTES_MAX: usize = 1024;

/// What is told of data, with a last error for what is not told.
pub(super) fn told(error: &ValidationError<'_, '_>) -> Vec<FieldError> {
    let Told { leaves, .. } = Told::of(error);
    let is_cut = leaves.len() > ERRORS_MAX;
    let one = |leaf: &ValidationError<'_, '_>| {
        let [path, reason] = [leaf.instance_location.to_string(), reason(&leaf.kind)].map(cut);
        FieldError { path, reason }
    };
    let mut errors: Vec<_> = leaves.into_iter().take(ERRORS_MAX).map(one).collect();
    if is_cut {
        let reason = format!("more is wrong than the {ERRORS_MAX} places that are told");
        errors.push(FieldError { path: String::new(), reason });
    }
    errors
}

/// What is too long to be told, without its end: a list of all that is allowed may be as long as the document.
pub(super) fn cut(mut text: String) -> String {
    if text.len() > TOLD_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TOLD_BYTES_MAX));
        text.push('…');
    }
    text
}

/// How surely a case is not meant that has such an error.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stray {
    No,
    /// Which says nothing in a field.
    Type,
    Enum,
    Const,
}

/// What is told of an error with all within it.
struct Told<'e> {
    /// The innermost errors: no more than are told, and one.
    leaves: Vec<&'e ValidationError<'e, 'e>>,
    /// How deep in the data it is.
    place: usize,
    /// How deep the deepest of those within is.
    deepest: usize,
    /// What says that this is not meant: of the data there, and of their fields.
    strays: [Stray; 2],
}

impl<'e> Told<'e> {
    fn of(error: &'e ValidationError<'e, 'e>) -> Self {
        let place = error.instance_location.tokens.len();
        if error.causes.is_empty() {
            return Self { leaves: vec![error], place, deepest: place, strays: [Stray::of(&error.kind), Stray::No] };
        }
        let within = error.causes.iter().map(Self::of);
        match error.kind {
            ErrorKind::OneOf(_) | ErrorKind::AnyOf => Self::any(place, within.collect()),
            // It may fit for all that any of these is wrong with.
            ErrorKind::Contains | ErrorKind::MinContains { .. } | ErrorKind::PropertyName { .. } => {
                Self { strays: [Stray::No; 2], ..Self::all(place, within) }
            }
            _ => Self::all(place, within),
        }
    }

    /// Several that all count.
    fn all(place: usize, within: impl Iterator<Item = Self>) -> Self {
        let mut all = Self { leaves: Vec::new(), place, deepest: place, strays: [Stray::No; 2] };
        for one in within {
            let ([of_data, of_field], [own, field]) = (one.strays_at(place), all.strays);
            all.strays = [own.max(of_data), field.max(of_field)];
            all.deepest = all.deepest.max(one.deepest);
            all.leaves.extend(one.leaves);
            all.leaves.truncate(ERRORS_MAX + 1);
        }
        all
    }

    /// Cases of which one should have held.
    fn any(place: usize, mut cases: Vec<Self>) -> Self {
        let stray = |case: &Self| {
            let [_, of_field] = case.strays_at(place);
            of_field
        };
        leave_out(&mut cases, |case| {
            let [of_data, _] = case.strays_at(place);
            of_data != Stray::No
        });
        if !cases.iter().any(|case| stray(case) == Stray::Const) {
            leave_out(&mut cases, |case| stray(case) == Stray::Enum);
        } else if cases.iter().any(|case| stray(case) == Stray::No) || are_told_apart(place, &cases) {
            leave_out(&mut cases, |case| stray(case) == Stray::Const);
        }
        cases.sort_by_key(|case| Reverse(case.deepest));
        Self::all(place, cases.into_iter())
    }

    /// What says that this is not meant as a case for the data at a place: of them, and of their fields.
    fn strays_at(&self, place: usize) -> [Stray; 2] {
        let [own, _] = self.strays;
        if self.place == place {
            self.strays
        } else if self.place == place + 1 && own != Stray::Type {
            [Stray::No, own]
        } else {
            [Stray::No; 2]
        }
    }
}

/// Leaves out cases, as long as one is left.
fn leave_out<'e>(cases: &mut Vec<Told<'e>>, is_out: impl Fn(&Told<'e>) -> bool) {
    if !cases.iter().all(&is_out) {
        cases.retain(|case| !is_out(case));
    }
}

/// Whether it is by a constant that cases for the data at a place are told apart: two of them want different ones in the
/// first field that has another one. Else a case may be meant whose constant is wrong.
fn are_told_apart(place: usize, cases: &[Told<'_>]) -> bool {
    let mut wanted = cases.iter().flat_map(|case| &case.leaves).filter_map(|leaf| {
        let tokens = &leaf.instance_location.tokens;
        match &leaf.kind {
            ErrorKind::Const { want } if tokens.len() == place + 1 => Some((tokens.last()?, *want)),
            _ => None,
        }
    });
    let first = wanted.next();
    first.is_some_and(|(field, one)| wanted.any(|(other, another)| is_same(field, other) && one != another))
}

fn is_same(one: &InstanceToken<'_>, other: &InstanceToken<'_>) -> bool {
    match (one, other) {
        (InstanceToken::Prop(one), InstanceToken::Prop(other)) => one == other,
        (InstanceToken::Item(one), InstanceToken::Item(other)) => one == other,
        _ => false,
    }
}

impl Stray {
    fn of(kind: &ErrorKind<'_, '_>) -> Self {
        match kind {
            ErrorKind::Const { .. } => Self::Const,
            ErrorKind::Enum { .. } => Self::Enum,
            ErrorKind::Type { .. } => Self::Type,
            _ => Self::No,
        }
    }
}

/// What is wrong, in words.
fn reason(kind: &ErrorKind<'_, '_>) -> String {
    match kind {
        ErrorKind::FalseSchema => "it is not allowed here".to_owned(),
        ErrorKind::Format { want, err, .. } if multiple::is_own(want) => err.to_string(),
        ErrorKind::Type { got, want } => {
            let want = want.iter().map(named).collect::<Vec<_>>().join(" or ");
            format!("must be {want}, but is {}", named(*got))
        }
        ErrorKind::AdditionalProperties { got } => fields(got, "not allowed"),
        ErrorKind::Required { want } => fields(want, "missing"),
        ErrorKind::OneOf(Some((one, other))) => format!("it fits two cases of oneOf, those at {one} and {other}"),
        ErrorKind::Not => "it fits what it must not".to_owned(),
        kind => kind.to_string(),
    }
}

fn fields(names: &[impl AsRef<str>], are: &str) -> String {
    let all = names.iter().map(|name| format!("'{}'", name.as_ref().escape_debug())).collect::<Vec<_>>().join(", ");
    if names.len() == 1 { format!("field {all} is {are}") } else { format!("fields {all} are {are}") }
}

fn named(of: Type) -> &'static str {
    match of {
        Type::Null => "null",
        Type::Boolean => "true or false",
        Type::Number => "a number",
        Type::Integer => "an integer",
        Type::String => "a string",
        Type::Array => "an array",
        Type::Object => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::super::types::TypeSchema;
    use super::*;

    fn wrong(schema: &str, data: &str) -> Vec<String> {
        let errors = TypeSchema::read("a.json", schema).unwrap().check_data(data.as_bytes()).unwrap_err();
        errors.into_iter().map(|FieldError { path, reason }| format!("{path}: {reason}")).collect()
    }

    const SHAPES: &str = r##"{"oneOf":[{"$ref":"#/$defs/point"},{"$ref":"#/$defs/line"},{"$ref":"#/$defs/polygon"}],"$defs":{
        "at":{"type":"array","items":{"type":"number"},"minItems":2},"path":{"type":"array","items":{"$ref":"#/$defs/at"}},
        "point":{"properties":{"type":{"const":"Point"},"at":{"$ref":"#/$defs/at"}}},
        "line":{"properties":{"type":{"const":"Line"},"at":{"$ref":"#/$defs/path"}}},
        "polygon":{"properties":{"type":{"const":"Polygon"},"at":{"type":"array","items":{"$ref":"#/$defs/path"}}}}}}"##;

    const PAYMENT: &str = r#"{"anyOf":[
        {"properties":{"kind":{"const":"card"},"pan":{"type":"string","pattern":"^[0-9]+$"}},"required":["pan"]},
        {"properties":{"kind":{"const":"iban"},"iban":{"type":"string"}},"required":["iban"]},
        {"properties":{"kind":{"const":"cash"},"currency":{"enum":["EUR"]}}}]}"#;

    #[test]
    fn of_cases_the_one_that_is_meant_is_told() {
        let polygon = r#"{"type":"Polygon","at":[[[0,0],[0,1]],[[0,0],[1,1],[2,2],[0,"x"]]]}"#;
        assert_eq!(wrong(SHAPES, polygon), ["/at/1/3/1: must be a number, but is a string"]);
        let nested = format!(r#"{{"items":{}}}"#, SHAPES.replace("#/", "#/items/"));
        assert_eq!(wrong(&nested, &format!("[{polygon}]")), ["/0/at/1/3/1: must be a number, but is a string"]);
        let pan = wrong(PAYMENT, r#"{"kind":"card","pan":"x"}"#);
        assert!(pan.len() == 1 && pan[0].starts_with("/pan: "), "{pan:?}");
        assert_eq!(wrong(PAYMENT, r#"{"kind":"card","pan":1}"#), ["/pan: must be a string, but is a number"]);
        assert_eq!(wrong(PAYMENT, r#"{"kind":"iban"}"#), [": field 'iban' is missing"]);
        let currency = wrong(PAYMENT, r#"{"kind":"cash","currency":"USD"}"#);
        assert!(currency.len() == 1 && currency[0].starts_with("/currency: "), "{currency:?}");
        let or_null = format!(r#"{{"oneOf":[{{"type":"null"}},{PAYMENT}]}}"#);
        assert_eq!(wrong(&or_null, r#"{"kind":"iban"}"#), [": field 'iban' is missing"]);
    }

    #[test]
    fn no_case_hides_what_is_wrong_with_a_field_of_the_one_that_is_meant() {
        let email =
            r#"{"oneOf":[{"required":["email"],"properties":{"email":{"type":"string"}}},{"required":["phone"]}]}"#;
        let wrong_type = "must be a string, but is a number";
        let told = wrong(email, r#"{"email":5}"#);
        assert_eq!(told, [format!("/email: {wrong_type}"), ": field 'phone' is missing".to_owned()]);
        let either = r#"{"anyOf":[{"properties":{"a":{"type":"string"}},"additionalProperties":false},
            {"properties":{"b":{}},"additionalProperties":false}]}"#;
        let told = wrong(either, r#"{"a":1}"#);
        assert_eq!(told, [format!("/a: {wrong_type}"), ": field 'a' is not allowed".to_owned()]);
        let listed = r#"{"oneOf":[{"properties":{"kind":{"enum":["a","b"]},"version":{"const":2},"x":{"type":"string"}}},
            {"properties":{"kind":{"enum":["c","d"]}}},{"type":"null"}]}"#;
        let kind = "/kind: value must be one of 'c', 'd'";
        assert_eq!(wrong(listed, r#"{"kind":"a","version":1}"#), ["/version: value must be 2", kind]);
        let told = wrong(listed, r#"{"kind":"a","version":2,"x":1}"#);
        assert_eq!(told, [format!("/x: {wrong_type}")], "no constant is wrong");
    }

    #[test]
    fn where_no_case_is_meant_all_are_told_and_the_deepest_first() {
        let kind = wrong(PAYMENT, r#"{"kind":"cheque","pan":"1","iban":"a"}"#);
        assert_eq!(kind, ["card", "iban", "cash"].map(|kind| format!("/kind: value must be '{kind}'")));
        let untold = r#"{"anyOf":[{"required":["a"]},{"properties":{"b":{"items":{"type":"null"}}}}]}"#;
        assert_eq!(wrong(untold, r#"{"b":[1]}"#), ["/b/0: must be null, but is a number", ": field 'a' is missing"]);
    }

    #[test]
    fn what_is_wrong_is_told_in_words_and_so_is_that_there_is_more() {
        for (schema, reason) in [
            (r#"{"properties":{"p":true},"unevaluatedProperties":false}"#, "/q: it is not allowed here"),
            (r#"{"properties":{"p":true},"additionalProperties":false}"#, ": field 'q' is not allowed"),
            (r#"{"required":["p","a","b"]}"#, ": fields 'a', 'b' are missing"),
            (r#"{"type":["array","null"]}"#, ": must be null or an array, but is an object"),
            (r#"{"oneOf":[true,{"type":"object"}]}"#, ": it fits two cases of oneOf, those at 0 and 1"),
            (r#"{"not":{"required":["q"]}}"#, ": it fits what it must not"),
        ] {
            assert_eq!(wrong(schema, r#"{"p":1,"q":2}"#), [reason], "{schema}");
        }
        let list = |count: usize| format!("[{}]", vec!["1"; count].join(","));
        assert_eq!(wrong(r#"{"items":{"type":"null"}}"#, &list(ERRORS_MAX)).len(), ERRORS_MAX);
        let more = wrong(r#"{"items":{"type":"null"}}"#, &list(ERRORS_MAX + 1));
        assert_eq!((more.len(), more[16].as_str()), (17, ": more is wrong than the 16 places that are told"));
    }
}
