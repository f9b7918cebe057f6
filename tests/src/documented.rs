//! Holds answers of the API against its `OpenAPI` document.
//!
//! It is stricter than the document: clients must put up with fields that they do not know, but an answer of today has
//! none that the document does not describe.

use std::cell::RefCell;
use std::collections::BTreeMap;

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::{Value, json};

/// Where the schemas stand for the validator.
const PLACE: &str = "http://document/schemas.json";
/// Beside the schema of a body of lines: the schema of each line.
const LINES: &str = "x-lines";
/// Keywords whose schemas are about parts of a value.
const PARTS: [&str; 2] = ["items", "additionalProperties"];
/// Keywords whose schemas are about the same value.
const SAME: [&str; 3] = ["allOf", "oneOf", "anyOf"];

/// An `OpenAPI` document. For one thread: the validator's loader is.
pub struct Document {
    json: Value,
    compiled: RefCell<Compiled>,
}

/// Schemas as they are asked for.
struct Compiled {
    compiler: Compiler,
    schemas: Schemas,
    known: BTreeMap<String, SchemaIndex>,
}

/// An answer of the API.
#[derive(Clone, Copy, Debug)]
pub struct Answered<'a> {
    /// Such as `GET`.
    pub method: &'a str,
    /// The path that was asked for, with or without a query.
    pub path: &'a str,
    /// The status.
    pub status: u16,
    /// The `Content-Type`, if there is one.
    pub content_type: Option<&'a str>,
    /// The body.
    pub body: &'a [u8],
}

impl Document {
    /// Takes a document.
    ///
    /// # Panics
    /// When it is not one.
    #[must_use]
    pub fn new(mut json: Value) -> Self {
        let shapes =
            json.pointer_mut("/components/schemas").and_then(Value::as_object_mut).expect("the document has schemas");
        shapes.values_mut().for_each(close_parts);
        close_contents(&mut json);
        let mut compiler = Compiler::new();
        compiler.enable_format_assertions();
        compiler.add_resource(PLACE, json.clone()).expect("the document is a resource");
        let compiled = Compiled { compiler, schemas: Schemas::new(), known: BTreeMap::new() };
        Self { json, compiled: RefCell::new(compiled) }
    }

    /// The document, its schemas closed.
    #[must_use]
    pub const fn json(&self) -> &Value {
        &self.json
    }

    /// Checks an answer.
    ///
    /// # Errors
    /// What of it is not as the document says.
    pub fn check(&self, answered: Answered<'_>) -> Result<(), String> {
        let Answered { method, path, status, .. } = answered;
        let told = |what: String| format!("{method} {path} answered {status}: {what}");
        let Some(route) = self.route(path) else {
            // Who may not ask is not told what there is.
            return if matches!(status, 401 | 404) {
                self.problem(answered).map_err(told)
            } else {
                Err(told("no such route".into()))
            };
        };
        let method_key = method.to_lowercase();
        if method_key == "head" {
            return Ok(());
        }
        if self.json.get("paths").and_then(|paths| paths.get(route)?.get(&method_key)).is_none() {
            return if status == 405 {
                self.problem(answered).map_err(told)
            } else {
                Err(told("no such method".into()))
            };
        }
        let place = ["paths", route, &method_key, "responses", &status.to_string()].map(escaped).join("/");
        self.response(&format!("/{place}"), answered).map_err(told)
    }

    /// Checks a value against the schema at a pointer.
    ///
    /// # Errors
    /// Why it does not fit.
    ///
    /// # Panics
    /// When there is no schema.
    pub fn fits(&self, value: &Value, pointer: &str) -> Result<(), String> {
        let mut compiled = self.compiled.borrow_mut();
        let Compiled { compiler, schemas, known } = &mut *compiled;
        let index = match known.get(pointer) {
            Some(index) => *index,
            None => {
                let place = format!("{PLACE}#{}", fragment(pointer));
                let index = compiler.compile(&place, schemas).unwrap_or_else(|error| panic!("{place}: {error:#}"));
                known.insert(pointer.to_owned(), index);
                index
            }
        };
        schemas.validate(value, index).map_err(|error| format!("{error:#}\nin {value}"))
    }

    /// The path of the document that a path is of: the one with most literal parts.
    fn route(&self, path: &str) -> Option<&str> {
        let path = path.split('?').next().unwrap_or_default();
        let paths = self.json.get("paths")?.as_object()?.keys();
        let matching = paths.filter(|template| is_of(path, template));
        matching.min_by_key(|template| template.matches('{').count()).map(String::as_str)
    }

    fn problem(&self, answered: Answered<'_>) -> Result<(), String> {
        self.fits(&parsed(answered.body)?, "/components/schemas/Problem")
    }

    /// Checks an answer against a response, or what it refers to.
    fn response(&self, pointer: &str, answered: Answered<'_>) -> Result<(), String> {
        let response = self.json.pointer(pointer).ok_or("the status is not in the document")?;
        if let Some(place) = response["$ref"].as_str() {
            return self.response(place.trim_start_matches('#'), answered);
        }
        let Some(contents) = response["content"].as_object() else {
            let empty = answered.body.is_empty();
            return if empty { Ok(()) } else { Err("the document says that there is no body".into()) };
        };
        let given = essence(answered.content_type.unwrap_or_default());
        let media =
            contents.keys().find(|media| essence(media) == given).or_else(|| contents.keys().find(|key| *key == "*/*"));
        let media = media.ok_or_else(|| format!("content type {:?} is not in the document", answered.content_type))?;
        self.content(&format!("{pointer}/content/{}", escaped(media)), &contents[media], answered)
    }

    fn content(&self, pointer: &str, content: &Value, answered: Answered<'_>) -> Result<(), String> {
        let text = || std::str::from_utf8(answered.body).map_err(|error| error.to_string());
        match essence(answered.content_type.unwrap_or_default()) {
            "text/event-stream" => self.events(text()?),
            _ if content.get(LINES).is_some() => {
                text()?.lines().try_for_each(|line| self.fits(&parsed(line.as_bytes())?, &format!("{pointer}/{LINES}")))
            }
            media if media.ends_with("json") => self.fits(&parsed(answered.body)?, &format!("{pointer}/schema")),
            _ => Ok(()),
        }
    }

    /// Checks the events of an event stream.
    fn events(&self, text: &str) -> Result<(), String> {
        for event in text.split("\n\n") {
            let Some((_, data)) = event.split_once("data: ") else { continue };
            let shape = match event {
                _ if event.contains("event: removed\n") => continue,
                _ if event.contains("event: error\n") => "Problem",
                _ => "Event",
            };
            self.fits(&parsed(data.as_bytes())?, &format!("/components/schemas/{shape}"))?;
        }
        Ok(())
    }
}

/// Closes every schema of a body.
fn close_contents(json: &mut Value) {
    match json {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::Object(media) if name == "content" => media.values_mut().for_each(close_content),
                    value => close_contents(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(close_contents),
        _ => {}
    }
}

/// Closes the schemas of a body under a media type.
fn close_content(content: &mut Value) {
    for keyword in ["schema", LINES] {
        content.get_mut(keyword).into_iter().for_each(close);
    }
}

/// Has a schema refuse fields that it does not know, at every depth.
fn close(schema: &mut Value) {
    close_parts(schema);
    let Value::Object(keywords) = schema else { return };
    if ["$ref", "properties"].iter().chain(&SAME).any(|keyword| keywords.contains_key(*keyword)) {
        keywords.insert("unevaluatedProperties".into(), json!(false));
    }
}

fn close_parts(schema: &mut Value) {
    let Value::Object(keywords) = schema else { return };
    for keyword in PARTS {
        keywords.get_mut(keyword).into_iter().for_each(close);
    }
    let properties = keywords.get_mut("properties").and_then(Value::as_object_mut);
    properties.into_iter().flat_map(|properties| properties.values_mut()).for_each(close);
    for keyword in SAME {
        let schemas = keywords.get_mut(keyword).and_then(Value::as_array_mut);
        schemas.into_iter().flatten().for_each(close_parts);
    }
}

/// Whether a path is one of a template's. What stands at its end in braces may hold slashes if it is a key or a query.
fn is_of(path: &str, template: &str) -> bool {
    if let Some(before) = template.strip_suffix("/{key}").or_else(|| template.strip_suffix("/{query}")) {
        let (depth, parts) = (before.split('/').count(), path.split('/').count());
        let head = path.split('/').take(depth).collect::<Vec<_>>().join("/");
        return parts > depth && is_of(&head, before);
    }
    let (parts, places) = (path.split('/'), template.split('/'));
    parts.clone().count() == places.clone().count()
        && parts.zip(places).all(|(part, place)| part == place || (place.starts_with('{') && !part.is_empty()))
}

fn essence(media: &str) -> &str {
    media.split(';').next().unwrap_or_default().trim()
}

fn parsed(body: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(body).map_err(|error| format!("{error} in {:?}", String::from_utf8_lossy(body)))
}

/// A part of a JSON pointer (RFC 6901).
fn escaped(part: &str) -> String {
    part.replace('~', "~0").replace('/', "~1")
}

/// A pointer as the fragment of a URL.
fn fragment(pointer: &str) -> String {
    pointer.replace('%', "%25").replace('{', "%7B").replace('}', "%7D").replace(' ', "%20").replace('"', "%22")
}
