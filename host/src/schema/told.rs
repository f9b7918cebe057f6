//! What is told of data that do not fit a schema: the innermost errors, which say what is wrong and not what follows.
//!
//! Of `oneOf` and `anyOf` every case has failed, and most of them were not meant. A case in which a field has another
//! constant than the data is not, if there is one where that is not so; then one that lists other values there, and then
//! one that wants another type. Of cases that may be meant, those come first that fit the data farthest down.

use std::cmp::Reverse;

use boon::{ErrorKind, Type, ValidationError};

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

/// How surely a case is not meant that has such an error in one field.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stray {
    No,
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
        let least = cases.iter().map(|case| case.stray(place)).min();
        cases.retain(|case| Some(case.stray(place)) == least);
        cases.sort_by_key(|case| Reverse(case.deepest));
        Self::all(place, cases.into_iter())
    }

    /// How surely this is not meant as a case for the data at a place.
    fn stray(&self, place: usize) -> Stray {
        let [of_data, of_field] = self.strays_at(place);
        if of_data == Stray::No { of_field } else { Stray::Const }
    }

    fn strays_at(&self, place: usize) -> [Stray; 2] {
        let [own, _] = self.strays;
        if self.place == place {
            self.strays
        } else if self.place == place + 1 {
            [Stray::No, own]
        } else {
            [Stray::No; 2]
        }
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
