//! The JSON schema of `tidemill.toml`, for editors and for checks before a file is installed.

use serde_json::{Map, Value as Json, json};

use super::setting::{Element, Setting, Shape};

/// The schema of a file that may say these settings.
#[must_use]
pub fn of(settings: &[Setting]) -> Json {
    let properties: Map<String, Json> =
        settings.iter().map(|setting| (setting.key().to_owned(), property(setting))).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "tidemill.toml",
        "description": "Settings of `tidemill serve`. A flag counts before its environment variable, that before this \
                        file, and that before the default.",
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    })
}

fn property(setting: &Setting) -> Json {
    let element = element(setting);
    let mut property = match setting.shape() {
        Shape::One => element,
        Shape::Many => json!({ "type": "array", "items": element }),
        Shape::Pairs => json!({ "type": "object", "additionalProperties": element }),
    };
    let mut note = |name: &str, value: Json| {
        if let (Some(fields), false) = (property.as_object_mut(), value.is_null()) {
            fields.insert(name.to_owned(), value);
        }
    };
    note("description", setting.help().into());
    note("default", setting.default().map_or(Json::Null, |text| typed(setting, text)));
    note("x-unit", setting.unit().map_or(Json::Null, Json::from));
    note("x-flag", setting.flag().into());
    note("x-variable", setting.variable().map_or(Json::Null, Json::from));
    note("x-reloaded", setting.is_reloaded().into());
    property
}

fn element(setting: &Setting) -> Json {
    let choices = setting.choices();
    if !choices.is_empty() {
        return json!({ "enum": choices.iter().map(|choice| choice.get_name().to_owned()).collect::<Vec<_>>() });
    }
    match setting.element() {
        Element::Switch => json!({ "type": "boolean" }),
        Element::Number => match bounds(setting) {
            Some((minimum, maximum)) => json!({ "type": "integer", "minimum": minimum, "maximum": maximum }),
            None => json!({ "type": "integer", "minimum": 0 }),
        },
        Element::Path | Element::Text => json!({ "type": "string" }),
    }
}

fn typed(setting: &Setting, text: String) -> Json {
    match setting.element() {
        Element::Switch | Element::Number => serde_json::from_str(&text).unwrap_or(Json::String(text)),
        Element::Path | Element::Text => text.into(),
    }
}

/// The least and the greatest number that the flag takes, which takes everything between: found by asking it.
fn bounds(setting: &Setting) -> Option<(u64, u64)> {
    let takes = |number: u64| setting.check(&number.to_string()).is_ok();
    let taken = setting.default()?.parse().ok().filter(|number| takes(*number))?;
    Some((furthest(taken, 0, takes), furthest(taken, i64::MAX.unsigned_abs(), takes)))
}

/// The number furthest from `taken` towards `end` that is taken too.
fn furthest(taken: u64, end: u64, takes: impl Fn(u64) -> bool) -> u64 {
    if takes(end) {
        return end;
    }
    let (mut taken, mut refused) = (taken, end);
    while taken.abs_diff(refused) > 1 {
        let middle = taken.midpoint(refused);
        if takes(middle) {
            taken = middle;
        } else {
            refused = middle;
        }
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_furthest_number_is_the_last_that_is_taken() {
        for (least, most) in [(0, 0), (0, 300), (1, 3600), (7, 7), (3, u64::MAX)] {
            let takes = |number| (least..=most).contains(&number);
            for taken in [least, most, least.midpoint(most)] {
                assert_eq!((furthest(taken, 0, takes), furthest(taken, u64::MAX, takes)), (least, most));
            }
        }
    }
}
