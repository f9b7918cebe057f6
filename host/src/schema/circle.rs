//! JSON Schemas that lead back to themselves before they look at any data: nothing could ever be held to one.
//!
//! A schema that refers to itself for what is *within* the data is well-formed, and common. One that does so in place, as
//! `{"$ref":"#"}`, has no end. The validator finds that only when it has data, and would blame them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// Keys whose schemas are for the very same data, one or a list of them.
const SAME: [&str; 6] = ["allOf", "anyOf", "oneOf", "not", "if", "dependentSchemas"];
/// The same, where there is an `if`.
const WITH_IF: [&str; 2] = ["then", "else"];
/// Keys that hold data, and no schemas.
const DATA: [&str; 4] = ["const", "default", "enum", "examples"];

/// Most steps that are followed in place: what goes on for longer is taken to end.
const STEPS_MAX: usize = 1000;

/// Where each schema of a document leads in place, by its JSON pointer.
type Steps = BTreeMap<String, Vec<String>>;

/// The places of a circle in a document, the first one again as the last; none where there is no circle.
pub(super) fn circle(document: &Value) -> Option<Vec<String>> {
    let mut steps = Steps::new();
    collect(document, "", "", &mut steps);
    let (mut ended, mut path) = (BTreeSet::new(), Vec::new());
    steps.keys().find_map(|place| follow(place, &steps, &mut ended, &mut path))
}

/// Notes where each object below a place leads. `base` is what `#` means there.
fn collect(value: &Value, place: &str, base: &str, steps: &mut Steps) {
    let below = |key: &str| format!("{place}/{}", key.replace('~', "~0").replace('/', "~1"));
    match value {
        Value::Array(items) => {
            (0..).zip(items).for_each(|(index, item)| collect(item, &format!("{place}/{index}"), base, steps));
        }
        Value::Object(fields) => {
            let base = if fields.get("$id").is_some_and(Value::is_string) { place } else { base };
            let mut leads: Vec<String> = fields.get("$ref").and_then(|to| referred(to, base)).into_iter().collect();
            let conditional = WITH_IF.iter().filter(|_| fields.contains_key("if"));
            for key in SAME.iter().chain(conditional) {
                leads.extend(fields.get(*key).into_iter().flat_map(|schemas| parts(schemas, key, &below(key))));
            }
            steps.insert(place.to_owned(), leads);
            for (key, field) in fields.iter().filter(|(key, _)| !DATA.contains(&key.as_str())) {
                collect(field, &below(key), base, steps);
            }
        }
        _ => {}
    }
}

/// Where the schemas of a key are.
fn parts(schemas: &Value, key: &str, place: &str) -> Vec<String> {
    match schemas {
        Value::Array(items) => (0..items.len()).map(|index| format!("{place}/{index}")).collect(),
        Value::Object(fields) if key == "dependentSchemas" => {
            fields.keys().map(|field| format!("{place}/{}", field.replace('~', "~0").replace('/', "~1"))).collect()
        }
        _ => vec![place.to_owned()],
    }
}

/// The place that a reference within the document names by a JSON pointer, without `%` in it; none for any other.
fn referred(to: &Value, base: &str) -> Option<String> {
    let pointer = to.as_str()?.strip_prefix('#')?;
    (pointer.is_empty() || pointer.starts_with('/')).then(|| format!("{base}{pointer}"))
}

/// Goes on from a place until it comes to one of its path again.
fn follow(place: &str, steps: &Steps, ended: &mut BTreeSet<String>, path: &mut Vec<String>) -> Option<Vec<String>> {
    if let Some(at) = path.iter().position(|passed| passed == place) {
        return path.get(at..).map(|round| round.iter().cloned().chain([place.to_owned()]).collect());
    }
    if ended.contains(place) || path.len() >= STEPS_MAX {
        return None;
    }
    path.push(place.to_owned());
    let found = steps.get(place).into_iter().flatten().find_map(|next| follow(next, steps, ended, path));
    path.pop();
    ended.insert(place.to_owned());
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<Vec<String>> {
        circle(&serde_json::from_str(text).unwrap())
    }

    #[test]
    fn what_leads_back_to_itself_in_place_is_found() {
        assert_eq!(found(r##"{"$ref":"#"}"##), Some(vec![String::new(), String::new()]));
        let both = r##"{"properties":{"n":{"$ref":"#/$defs/a~1b"}},
            "$defs":{"a/b":{"anyOf":[true,{"$ref":"#/$defs/cd"}]},"cd":{"not":{"$ref":"#/$defs/a~1b"}}}}"##;
        let round = ["/$defs/a~1b", "/$defs/a~1b/anyOf/1", "/$defs/cd", "/$defs/cd/not", "/$defs/a~1b"];
        assert_eq!(found(both), Some(round.map(str::to_owned).into()));
        for ends in [
            r##"{"if":true,"then":{"$ref":"#"}}"##,
            r##"{"dependentSchemas":{"a":{"$ref":"#"}}}"##,
            r##"{"properties":{"n":{"$id":"https://a.b/c","allOf":[{"$ref":"#"}]}}}"##,
        ] {
            assert!(found(ends).is_some(), "{ends}");
        }
    }

    #[test]
    fn what_goes_on_for_long_is_taken_to_end() {
        let step = |index: u32| format!(r##""s{index}":{{"$ref":"#/$defs/s{}"}}"##, index + 1);
        let steps: Vec<_> = (0..50_000).map(step).collect();
        assert_eq!(found(&format!(r##"{{"$ref":"#/$defs/s0","$defs":{{{}}}}}"##, steps.join(","))), None);
    }

    #[test]
    fn what_comes_to_an_end_is_none() {
        for ends in [
            "true",
            r##"{"properties":{"next":{"$ref":"#"}},"items":{"$ref":"#"}}"##,
            r##"{"allOf":[{"$ref":"#/$defs/a"},{"$ref":"#/$defs/a"}],"$defs":{"a":{"type":"object"}}}"##,
            r##"{"then":{"$ref":"#"}}"##,
            r##"{"const":{"$ref":"#"},"enum":[{"$ref":"#"}]}"##,
            r##"{"$defs":{"n":{"$id":"https://a.b/c","$ref":"#/$defs/m","$defs":{"m":true}},"m":{"$ref":"#/$defs/n"}}}"##,
            r##"{"$ref":"https://example.com/a.json"}"##,
        ] {
            assert_eq!(found(ends), None, "{ends}");
        }
    }
}
