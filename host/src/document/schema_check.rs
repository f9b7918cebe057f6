//! Holds a value against one of the JSON schemas here, for tests: the words that they use, and no others, so that none
//! is overlooked. `pattern` is read by editors only: what a text may be is for its parser to say.

use serde_json::Value;

/// What is wrong with a value, each with where it stands.
pub(crate) fn faults(schema: &Value, value: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    look(schema, schema, value, "", &mut faults);
    faults
}

fn is_sound(root: &Value, schema: &Value, value: &Value) -> bool {
    let mut faults = Vec::new();
    look(root, schema, value, "", &mut faults);
    faults.is_empty()
}

fn look(root: &Value, schema: &Value, value: &Value, at: &str, faults: &mut Vec<String>) {
    for (word, means) in schema.as_object().expect("a schema is an object") {
        let listed = || means.as_array().expect("a list").iter();
        let sound = |schema: &&Value| is_sound(root, schema, value);
        let names =
            |list: &Value| list.as_array().unwrap().iter().all(|name| value.get(name.as_str().unwrap()).is_some());
        let ok = match word.as_str() {
            "$schema" | "$defs" | "title" | "description" | "default" | "pattern" => true,
            word if word.starts_with("x-") => true,
            "properties" | "additionalProperties" => continue,
            "$ref" => {
                let place = means.as_str().unwrap().strip_prefix('#').expect("a place in this schema");
                look(root, root.pointer(place).expect("it is there"), value, at, faults);
                true
            }
            "type" => match means.as_str().unwrap() {
                "object" => value.is_object(),
                "array" => value.is_array(),
                "string" => value.is_string(),
                "boolean" => value.is_boolean(),
                "integer" => value.is_i64() || value.is_u64(),
                other => panic!("type {other:?} is not known here"),
            },
            "enum" => listed().any(|one| one == value),
            "const" => means == value,
            "minimum" => value.as_i64() >= means.as_i64(),
            "maximum" => value.as_i64() <= means.as_i64(),
            "minLength" => value.as_str().is_none_or(|text| text.len() as u64 >= means.as_u64().unwrap()),
            "minItems" => value.as_array().is_none_or(|items| items.len() as u64 >= means.as_u64().unwrap()),
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    look(root, means, item, &format!("{at}[{index}]"), faults);
                }
                true
            }
            "anyOf" => listed().any(|one| sound(&one)),
            "oneOf" => listed().filter(sound).count() == 1,
            "required" => names(means),
            "dependentRequired" => {
                means.as_object().unwrap().iter().all(|(name, needs)| value.get(name).is_none() || names(needs))
            }
            other => panic!("the word {other:?} is not known here"),
        };
        if !ok {
            faults.push(format!("{at}: {value} against {word} {means}"));
        }
    }
    let fields = value.as_object().into_iter().flatten();
    for (name, field) in fields {
        let at = format!("{at}.{name}");
        match (schema.pointer("/properties").and_then(|all| all.get(name)), schema.get("additionalProperties")) {
            (Some(schema), _) => look(root, schema, field, &at, faults),
            (None, Some(Value::Bool(false))) => faults.push(format!("{at} is not known")),
            (None, Some(schema)) => look(root, schema, field, &at, faults),
            (None, None) => {}
        }
    }
}
