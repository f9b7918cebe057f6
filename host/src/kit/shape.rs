//! The fields of a fixture and what may stand in them: another field is refused with the nearest known one, a value of another
//! shape in the words of its documentation, both with their place.
//!
//! JSON says which of its scalars are texts. In YAML that is for its reader, and nothing may stand for an empty part.

use serde_json::Value;

use crate::nearest::unknown;
use Shape::{Any, Flag, Items, Number, Table, Text, TextTable, Texts};

/// Characters of a value that are told.
const TOLD_CHARS: usize = 64;

/// What may stand in a place.
#[derive(Clone, Copy)]
enum Shape {
    Any,
    Text,
    Number,
    Flag,
    Texts,
    Table,
    TextTable,
    /// A list of tables, and what they are.
    Items(&'static str),
}

/// Fields, each with what may stand in it.
type Fields = &'static [(&'static str, Shape)];

/// The fields of each part, by its place in a fixture.
const FIELDS: &[(&str, Fields)] = &[
    (
        "",
        &[("about", Text), ("config", Table), ("given", Table), ("when", Items("events or commands")), ("then", Table)],
    ),
    ("given", &[("state", Table), ("events", Items("events"))]),
    (
        "then",
        &[
            ("state", Table),
            ("appended", Items("events")),
            ("dispatched", Items("commands")),
            ("dead_letters", Items("dead letters")),
            ("waits", Items("waits")),
            ("queries", Items("queries")),
            ("log", Items("lines")),
            ("stopped", Texts),
            ("outcomes", Items("outcomes")),
            ("lifted", Items("events")),
            ("refused", Items("events")),
        ],
    ),
    (
        "then.appended",
        &[
            ("cause", Number),
            ("type", Text),
            ("stream", Text),
            ("tags", Texts),
            ("schema_version", Number),
            ("metadata", TextTable),
            ("data", Any),
        ],
    ),
    ("then.dispatched", &[("cause", Number), ("aggregate", Text), ("key", Text), ("type", Text), ("data", Any)]),
    ("then.dead_letters", &[("event", Number), ("kind", Text), ("attempts", Number), ("reason", Texts)]),
    ("then.waits", &[("event", Number), ("after_ms", Number), ("reason", Texts)]),
    ("then.queries", &[("query", Text), ("parameters", Table), ("answer", Any), ("error", Text), ("reason", Texts)]),
    ("then.log", &[("level", Text), ("message", Text)]),
    (
        "then.outcomes",
        &[
            ("events", Items("events")),
            ("rejection", Text),
            ("details", Any),
            ("errors", Items("errors")),
            ("error", Text),
            ("repeated", Flag),
            ("reason", Texts),
        ],
    ),
    ("then.lifted", &[("event", Number), ("type", Text), ("schema_version", Number), ("data", Any)]),
    ("then.refused", &[("event", Number), ("reason", Texts)]),
];

/// The fields that each part must have, by its place in a fixture.
const NEEDED: &[(&str, &[&str])] = &[
    ("", &["when"]),
    ("then.appended", &["cause", "type"]),
    ("then.dispatched", &["cause", "aggregate", "key", "type"]),
    ("then.dead_letters", &["event", "kind", "attempts"]),
    ("then.waits", &["event", "after_ms"]),
    ("then.queries", &["query"]),
    ("then.log", &["level", "message"]),
    ("then.lifted", &["event", "type", "schema_version"]),
    ("then.refused", &["event"]),
];

/// The parts of a fixture at a place: the one, or those of a list.
fn parts<'a>(fixture: &'a Value, place: &str) -> &'a [Value] {
    let part = place.split('.').filter(|name| !name.is_empty()).try_fold(fixture, |value, name| value.get(name));
    match part {
        Some(Value::Array(items)) => items,
        Some(part) => std::slice::from_ref(part),
        None => &[],
    }
}

/// Refuses the first field that is not known.
pub(super) fn check_fields(fixture: &Value) -> Result<(), String> {
    FIELDS.iter().try_for_each(|(place, fields)| {
        let known: Vec<_> = fields.iter().map(|(name, _)| *name).collect();
        let mut names = parts(fixture, place).iter().filter_map(Value::as_object).flat_map(|part| part.keys());
        match names.find(|name| !known.contains(&name.as_str())) {
            None => Ok(()),
            Some(name) if place.is_empty() => Err(unknown("field", name, &known)),
            Some(name) => Err(format!("in `{place}`: {}", unknown("field", name, &known))),
        }
    })
}

/// Refuses the first value of another shape than that of its place.
pub(super) fn check(fixture: &Value, is_yaml: bool) -> Result<(), String> {
    if !fixture.is_object() {
        let told = told(fixture);
        return Err(format!(
            "it is {told}; a fixture is a table: `when`, `then`, and `about`, `config`, `given` if wanted"
        ));
    }
    for (place, fields) in FIELDS {
        for (item, part) in parts(fixture, place).iter().enumerate() {
            let wrong = fields.iter().find_map(|(field, shape)| {
                let value =
                    part.get(field).filter(|value| !value.is_null() || !(is_yaml || may_be_null(place, field)))?;
                (!shape.fits(value, is_yaml)).then(|| format!("`{field}` is {}; it is {}", told(value), shape.words()))
            });
            if let Some(wrong) = wrong {
                return Err(placed(place, item, &wrong));
            }
        }
    }
    check_needed(fixture)
}

/// Refuses the first part that lacks a field.
fn check_needed(fixture: &Value) -> Result<(), String> {
    for (place, needed) in NEEDED {
        let tables = parts(fixture, place).iter().enumerate().filter(|(_, part)| part.is_object());
        for (item, part) in tables {
            if let Some(field) = needed.iter().find(|field| part.get(field).is_none()) {
                let fields = FIELDS.iter().find(|(known, _)| known == place).map(|(_, fields)| *fields);
                let shape = fields.unwrap_or_default().iter().find(|(known, _)| known == field);
                let shape = shape.map_or(Any, |(_, shape)| *shape);
                return Err(placed(place, item, &format!("`{field}` is missing; it is {}", shape.words())));
            }
        }
    }
    Ok(())
}

/// What is wrong, with its place: the item of a list, or the part.
fn placed(place: &str, item: usize, wrong: &str) -> String {
    match place {
        "" => wrong.to_owned(),
        place if place.contains('.') => format!("in `{place}`, item {item}: {wrong}"),
        place => format!("in `{place}`: {wrong}"),
    }
}

/// Whether nothing is as good as a part or field that is missing.
fn may_be_null(place: &str, field: &str) -> bool {
    matches!((place, field), ("", "then") | ("then" | "then.outcomes", _) | (_, "stream" | "error"))
}

impl Shape {
    fn fits(self, value: &Value, is_yaml: bool) -> bool {
        let is_text = |value: &Value| value.is_string() || (is_yaml && !value.is_array() && !value.is_object());
        match (self, value) {
            (Any, _) => true,
            (Text, value) => is_text(value),
            (Number, value) => value.is_u64() || (is_yaml && value.is_string()),
            (Flag, value) => value.is_boolean(),
            (Texts, Value::Array(texts)) => texts.iter().all(is_text),
            (TextTable, Value::Object(fields)) => fields.values().all(is_text),
            (Items(_), Value::Array(items)) => items.iter().all(Value::is_object),
            (Table, value) => value.is_object(),
            (Texts | TextTable | Items(_), _) => false,
        }
    }

    fn words(self) -> String {
        match self {
            Any => "anything".into(),
            Text => "a text".into(),
            Number => "a whole number, 0 or more".into(),
            Flag => "true or false".into(),
            Texts => "a list of texts".into(),
            Table => "a table of names and values".into(),
            TextTable => "a table of names and texts".into(),
            Items(what) => format!("a list of {what}, each a table"),
        }
    }
}

/// A value, as it is told.
fn told(value: &Value) -> String {
    let text = value.to_string();
    let short: String = text.chars().take(TOLD_CHARS).collect();
    if short.len() < text.len() { short + "…" } else { short }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::Fixture;

    fn refused(name: &str, text: &str) -> String {
        Fixture::parse(Path::new(name), text).unwrap_err().to_string()
    }

    #[test]
    fn what_has_another_shape_is_told_with_what_may_stand_there() {
        for (text, words) in [
            ("5", "it is 5; a fixture is a table: `when`, `then`"),
            (r#"{"when":5}"#, "`when` is 5; it is a list of events or commands, each a table"),
            (r#"{"when":[{"type":"A"},5]}"#, "`when` is [{\"type\":\"A\"},5]; it is a list of events"),
            (r#"{"when":null}"#, "`when` is null; it is a list"),
            (r#"{"about":1,"when":[]}"#, "`about` is 1; it is a text"),
            (r#"{"when":[],"given":{"state":[]}}"#, "in `given`: `state` is []; it is a table of names and values"),
            (r#"{"when":[],"then":{"stopped":"no"}}"#, "in `then`: `stopped` is \"no\"; it is a list of texts"),
            (
                r#"{"when":[],"then":{"dead_letters":[{"event":0},{"event":0,"attempts":"1"}]}}"#,
                "in `then.dead_letters`, item 1: `attempts` is \"1\"; it is a whole number, 0 or more",
            ),
            (
                r#"{"when":[],"then":{"outcomes":[{"events":[],"repeated":"yes"}]}}"#,
                "in `then.outcomes`, item 0: `repeated` is \"yes\"; it is true or false",
            ),
            (
                r#"{"when":[],"then":{"appended":[{"cause":0,"metadata":{"a":1}}]}}"#,
                "in `then.appended`, item 0: `metadata` is {\"a\":1}; it is a table of names and texts",
            ),
        ] {
            let said = refused("a.json", text);
            assert!(said.contains(words) && !said.contains("invalid type"), "{words} in: {said}");
        }
        let said = refused("a.yaml", "when: 5");
        assert!(said.contains("`when` is 5; it is a list of events or commands"), "{said}");
        let said = refused("a.json", &format!(r#"{{"when":"{}"}}"#, "x".repeat(200)));
        assert!(said.contains("xx…; it is a list"), "{said}");
    }

    #[test]
    fn what_is_missing_is_told_with_what_stands_there() {
        for (then, words) in [
            (
                r#""appended":[{"cause":0,"type":"A"},{"type":"A"}]"#,
                "in `then.appended`, item 1: `cause` is missing; it is a whole number",
            ),
            (
                r#""dead_letters":[{"event":0,"attempts":1}]"#,
                "in `then.dead_letters`, item 0: `kind` is missing; it is a text",
            ),
            (r#""log":[{"level":"info"}]"#, "in `then.log`, item 0: `message` is missing; it is a text"),
        ] {
            for name in ["a.json", "a.yaml"] {
                let said = refused(name, &format!(r#"{{"when":[{{"type":"A"}}],"then":{{{then}}}}}"#));
                assert!(said.contains(words), "{words} in: {said}");
            }
        }
        let said = refused("a.json", r#"{"then":{"state":{}}}"#);
        assert!(
            said.contains("`when` is missing; it is a list of events or commands") && !said.contains("line"),
            "{said}"
        );
    }

    #[test]
    fn what_nobody_filled_in_is_no_wrong_shape() {
        let text = r#"{"when":[{"type":"A"}],"then":{"state":{},"log":null,"appended":[{"cause":0,"type":"B","stream":null}]}}"#;
        assert!(Fixture::parse(Path::new("a.json"), text).is_ok());
        assert!(Fixture::parse(Path::new("a.yaml"), "when: [{ type: A }]\nthen: { state: {}, log: null }").is_ok());
    }
}
