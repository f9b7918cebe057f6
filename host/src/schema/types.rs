//! What data of an event type must look like: one JSON Schema for each version of a type, where somebody wrote one.
//!
//! A document describes; with `"x-enforce": true` at its top, appends are held to it. References to anything but the
//! document itself are refused, so nothing is ever fetched.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use boon::{Compiler, SchemaIndex, Schemas, UrlLoader};
use serde_json::Value;
use thiserror::Error;

use super::alone::alone;
use super::circle::circle;
use super::effort::{Allowance, Effort, Exceeds, Limits, TooMuch};
use super::multiple::Divisors;
use super::strict;
use super::told::{cut, told};
use crate::error::ErrorClass;
use crate::event::{EventType, NewEvent, RESERVED_TYPE_PREFIX};

/// The keyword by which a document asks to be held to.
const ENFORCE: &str = "x-enforce";
/// By what name a document knows itself.
const SELF_URL: &str = "tidemill:///schema";

/// Why documents are not taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{origin}: {reason}")]
pub struct InvalidSchema {
    /// Where the document is.
    pub origin: String,
    /// What is wrong with it.
    pub reason: String,
}

impl InvalidSchema {
    /// What kind of thing went wrong.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        ErrorClass::Invalid
    }
}

/// One document of one version of a type, or why it cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaFile {
    /// Where it is, as errors name it.
    pub origin: String,
    /// The type that it describes.
    pub event_type: EventType,
    /// The schema version that it describes.
    pub version: u32,
    /// Its text, or why there is none.
    pub text: Result<String, String>,
}

/// The documents of all types.
#[derive(Debug, Default)]
pub struct TypeSchemas {
    types: BTreeMap<EventType, BTreeMap<u32, Arc<TypeSchema>>>,
    /// Of types with a document that is none what is wrong with it: what it may ask for is not known.
    broken: BTreeMap<EventType, InvalidSchema>,
    /// Why it is not known which documents there are, where it is not: then nothing is appended.
    unknown: Option<String>,
    /// Whether appends are held to anything.
    enforces: bool,
}

/// The document of one version of a type.
pub struct TypeSchema {
    /// Where it is.
    pub origin: String,
    /// Whether appends are held to it.
    pub enforced: bool,
    /// What it says.
    pub document: Value,
    schemas: Schemas,
    index: SchemaIndex,
    effort: Effort,
    divisors: Divisors,
}

/// A place in an event's data, and what is wrong there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// A JSON pointer; empty for the whole.
    pub path: String,
    /// What is wrong.
    pub reason: String,
}

/// Why data do not fit, or are not known to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// Something is wrong with them.
    Wrong(Vec<FieldError>),
    /// To tell takes more than is left.
    TooMuch,
}

/// The documents that hold now, for whoever appends. Cheap to ask while none is held to.
#[derive(Debug, Default)]
pub struct SchemaCell(RwLock<Arc<TypeSchemas>>);

impl SchemaCell {
    /// The documents.
    #[must_use]
    pub fn get(&self) -> Arc<TypeSchemas> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts others in their place.
    pub fn set(&self, schemas: Arc<TypeSchemas>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = schemas;
    }
}

/// Nothing is fetched.
struct Nowhere;

impl UrlLoader for Nowhere {
    fn load(&self, url: &str) -> Result<Value, Box<dyn Error>> {
        Err(format!("{url} is outside the document, and nothing is fetched; put it under $defs").into())
    }
}

impl TypeSchemas {
    /// It is not known which documents there are, and whether they ask for anything. Nothing is appended then, but the
    /// host's own events.
    #[must_use]
    pub fn unknown(reason: String) -> Self {
        Self { unknown: Some(reason), enforces: true, ..Self::default() }
    }

    /// Reads documents, each by itself. In place of one that is none, reaches outside, or describes what another one
    /// does, stays what described that version `before`. Where nothing did, its type is not appended, but for versions
    /// that have a document. Answers what is wrong, too.
    #[must_use]
    pub fn read(files: Vec<SchemaFile>, before: &Self) -> (Self, Vec<InvalidSchema>) {
        let (mut all, mut problems) = (Self::default(), Vec::new());
        for file in files {
            let (event_type, version, origin) = (file.event_type.clone(), file.version, file.origin.clone());
            let of_type = all.types.entry(event_type.clone()).or_default();
            let read = match of_type.get(&version) {
                Some(other) => Err(format!("{event_type} {version} is described by {} already", other.origin)),
                None => file.text.and_then(|text| TypeSchema::read(&origin, &text)),
            };
            let reason = match read {
                Ok(schema) => {
                    of_type.insert(version, Arc::new(schema));
                    continue;
                }
                Err(reason) => reason,
            };
            let invalid = InvalidSchema { origin, reason };
            match before.types.get(&event_type).and_then(|versions| versions.get(&version)) {
                Some(schema) => drop(of_type.entry(version).or_insert_with(|| Arc::clone(schema))),
                None => drop(all.broken.insert(event_type, invalid.clone())),
            }
            problems.push(invalid);
        }
        all.types.retain(|_, versions| !versions.is_empty());
        let enforced = |versions: &BTreeMap<u32, Arc<TypeSchema>>| versions.values().any(|schema| schema.enforced);
        all.enforces = !all.broken.is_empty() || all.types.values().any(enforced);
        (all, problems)
    }

    /// The documents of a type, by version.
    pub fn of(&self, event_type: &str) -> impl Iterator<Item = (u32, &TypeSchema)> {
        let of_type = self.types.iter().find(|(name, _)| name.as_str() == event_type);
        of_type.into_iter().flat_map(|(_, versions)| versions).map(|(version, schema)| (*version, &**schema))
    }

    /// Every type that has a document.
    pub fn types(&self) -> impl Iterator<Item = &EventType> {
        self.types.keys()
    }

    /// Holds an event to the document of its type and version, if one asks for that, and takes off what that takes.
    ///
    /// # Errors
    /// What is wrong with it, where; or that too little is left to tell.
    pub fn check(&self, event: &NewEvent, left: &mut Allowance) -> Result<(), Unfit> {
        match self.asked_of(event).map_err(Unfit::Wrong)? {
            Some(schema) => schema.check(&event.data, left),
            None => Ok(()),
        }
    }

    /// The document that an event is held to, if any.
    fn asked_of(&self, event: &NewEvent) -> Result<Option<&TypeSchema>, Vec<FieldError>> {
        if !self.enforces {
            return Ok(None);
        }
        let name = &event.event_type;
        if let Some(reason) = self.unknown.as_ref().filter(|_| !name.as_str().starts_with(RESERVED_TYPE_PREFIX)) {
            return Err(whole(format!(
                "the schemas of types are not known, and nothing is appended until they are: {reason}"
            )));
        }
        let versions = self.types.get(name);
        let all = || versions.into_iter().flatten();
        match (versions.and_then(|versions| versions.get(&event.schema_version)), self.broken.get(name)) {
            (Some(schema), _) => Ok(schema.enforced.then_some(&**schema)),
            (None, Some(broken)) => Err(whole(format!(
                "a schema of {name} is broken, and it is not appended until that is mended: {broken}"
            ))),
            (None, None) if all().any(|(_, schema)| schema.enforced) => {
                let known = all().map(|(version, _)| version.to_string()).collect::<Vec<_>>().join(", ");
                let version = event.schema_version;
                Err(whole(format!("there is no schema for version {version} of {name}; there is one for {known}")))
            }
            (None, None) => Ok(None),
        }
    }
}

impl TypeSchema {
    pub(super) fn read(origin: &str, text: &str) -> Result<Self, String> {
        let document = strict::read(text.as_bytes())?;
        let enforced = match document.get(ENFORCE) {
            None => false,
            Some(Value::Bool(enforced)) => *enforced,
            Some(other) => return Err(format!("{ENFORCE} is {other}; allowed is true or false")),
        };
        let (compiled, divisors) = Divisors::take_out(&document, SELF_URL)?;
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        compiler.use_loader(Box::new(Nowhere));
        compiler.enable_format_assertions();
        divisors.formats().for_each(|format| compiler.register_format(format));
        let told = |error: boon::CompileError| match error {
            // It asks for a report where a pattern is larger than it takes, and panics where debug assertions are on.
            boon::CompileError::Bug(cause) => format!("it cannot be used: {cause}").replace('\n', " "),
            error => format!("it is no JSON Schema: {error:#}").replace('\n', " "),
        };
        compiler.add_resource(SELF_URL, compiled).map_err(told)?;
        let index = compiler.compile(SELF_URL, &mut schemas).map_err(told)?;
        if let Some(places) = circle(&document, SELF_URL) {
            let round = places.iter().map(|place| format!("#{place}")).collect::<Vec<_>>().join(" → ");
            return Err(format!("no data can be held to it, as it leads back to itself: {}", cut(round)));
        }
        let effort = Effort::of(&document, SELF_URL);
        Ok(Self { origin: origin.to_owned(), enforced, document, schemas, index, effort, divisors })
    }

    /// Holds data to it, and takes off what that takes.
    ///
    /// # Errors
    /// What is wrong with them, where; or that too little is left to tell.
    pub fn check(&self, data: &[u8], left: &mut Allowance) -> Result<(), Unfit> {
        let text = data;
        let data = strict::read(text).map_err(|reason| Unfit::Wrong(whole(reason)))?;
        self.divisors.with(text, &data, || {
            self.effort.take(&data, left).map_err(|exceeds| match exceeds {
                Exceeds::Left => Unfit::TooMuch,
                Exceeds::All(too_much) => Unfit::Wrong(whole(too_much.to_string())),
            })?;
            self.validate(&data).map_err(Unfit::Wrong)
        })
    }

    /// Holds data to it. What takes much waits until nothing else does that takes much, and blocks the thread so long.
    ///
    /// # Errors
    /// What is wrong with them, where.
    pub fn check_data(&self, data: &[u8]) -> Result<(), Vec<FieldError>> {
        let light = self.check(data, &mut Allowance::light());
        let checked = if light == Err(Unfit::TooMuch) { alone(|left| self.check(data, left)) } else { light };
        checked.map_err(|unfit| match unfit {
            Unfit::Wrong(errors) => errors,
            Unfit::TooMuch => whole(TooMuch::Size.to_string()),
        })
    }

    /// Whether it may take more than is light to hold data to it, as far as their size tells.
    #[must_use]
    pub fn may_be_heavy(&self, data: &[u8]) -> bool {
        !self.effort.is_always_within(data.len(), Limits::LIGHT)
    }

    fn validate(&self, data: &Value) -> Result<(), Vec<FieldError>> {
        self.schemas.validate(data, self.index).map_err(|error| told(&error))
    }
}

impl fmt::Debug for TypeSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypeSchema").field("origin", &self.origin).field("enforced", &self.enforced).finish()
    }
}

/// What is wrong with data as a whole.
fn whole(reason: String) -> Vec<FieldError> {
    vec![FieldError { path: String::new(), reason }]
}

#[cfg(test)]
mod tests {
    use super::super::told::TOLD_BYTES_MAX;
    use super::*;

    fn file(event_type: &str, version: u32, text: &str) -> SchemaFile {
        let origin = format!("{event_type}.{version}.json");
        SchemaFile { origin, event_type: EventType::new(event_type).unwrap(), version, text: Ok(text.into()) }
    }

    fn read(files: Vec<SchemaFile>) -> TypeSchemas {
        let (schemas, problems) = TypeSchemas::read(files, &TypeSchemas::default());
        assert_eq!(problems, []);
        schemas
    }

    fn problem(files: Vec<SchemaFile>) -> String {
        let (_, problems) = TypeSchemas::read(files, &TypeSchemas::default());
        problems.iter().map(ToString::to_string).collect()
    }

    fn event(event_type: &str, schema_version: u32, data: &str) -> NewEvent {
        NewEvent { schema_version, ..NewEvent::json(EventType::new(event_type).unwrap(), data) }
    }

    const PAID: &str = r##"{
        "x-enforce": true, "type": "object", "required": ["sum"], "additionalProperties": false,
        "properties": { "sum": { "$ref": "#/$defs/amount" }, "at": { "type": "string", "format": "date-time" } },
        "$defs": { "amount": { "type": "integer", "minimum": 0 } }
    }"##;

    fn check(schemas: &TypeSchemas, event: &NewEvent) -> Result<(), Vec<FieldError>> {
        schemas.check(event, &mut Allowance::light()).map_err(|unfit| match unfit {
            Unfit::Wrong(errors) => errors,
            Unfit::TooMuch => panic!("it takes little"),
        })
    }

    #[test]
    fn events_are_held_to_what_asks_for_it_with_each_field_named() {
        let schemas = read(vec![file("Paid", 1, PAID), file("Sent", 1, r#"{"type":"object"}"#)]);
        assert_eq!(check(&schemas, &event("Paid", 1, r#"{"sum":1,"at":"2026-01-31T12:00:00Z"}"#)), Ok(()));
        for free in [event("Sent", 1, "1"), event("Sent", 9, "1"), event("Other", 1, "1")] {
            assert_eq!(check(&schemas, &free), Ok(()), "{free:?}");
        }
        let errors = check(&schemas, &event("Paid", 1, r#"{"sum":-1,"at":"noon","x":1}"#)).unwrap_err();
        let mut paths: Vec<_> = errors.iter().map(|error| error.path.as_str()).collect();
        paths.sort_unstable();
        assert_eq!(paths, ["", "/at", "/sum"], "{errors:?}");
        let unknown = check(&schemas, &event("Paid", 2, "{}")).unwrap_err();
        assert_eq!(unknown[0].reason, "there is no schema for version 2 of Paid; there is one for 1");
        assert!(check(&schemas, &event("Paid", 1, "{")).is_err());
        let twice = check(&schemas, &event("Paid", 1, r#"{"sum":-1,"sum":1}"#)).unwrap_err();
        assert!(twice[0].reason.contains("field `sum` stands twice"), "{twice:?}");
    }

    #[test]
    fn a_circle_is_told_in_part_if_it_is_long() {
        let places: Vec<_> = (0..100).map(|index| format!("{index}{}", "n".repeat(100))).collect();
        let round = (0..100)
            .map(|index| format!(r##""{}":{{"$ref":"#/$defs/{}"}}"##, places[index], places[(index + 1) % 100]));
        let round = round.collect::<Vec<_>>().join(",");
        let told =
            problem(vec![file("Paid", 1, &format!(r##"{{"$defs":{{{round}}},"$ref":"#/$defs/{}"}}"##, places[0]))]);
        assert!(told.contains("leads back to itself: #/$defs/0n") && told.ends_with('…'), "{told}");
        assert!(told.len() < TOLD_BYTES_MAX + 200, "{told}");
    }

    #[test]
    fn references_of_earlier_drafts_are_read_as_those_have_them() {
        let node = r##""definitions":{"node":{"$id":"#node","oneOf":[{"type":"string"},{"$ref":"#"}]}}"##;
        let beside = r##""$ref":"#/definitions/a","allOf":[{"$ref":"#"}],"definitions":{"a":{}}"##;
        for rest in [format!(r##""type":"array","items":{{"$ref":"#/definitions/node"}},{node}"##), beside.to_owned()] {
            let text = format!(r##"{{"$schema":"http://json-schema.org/draft-07/schema#",{rest}}}"##);
            assert_eq!(TypeSchema::read("a.json", &text).unwrap().check_data(br#"["a",["b"]]"#), Ok(()), "{text}");
        }
    }

    #[test]
    fn documents_that_reach_outside_or_are_none_are_refused_by_name() {
        for (text, words) in [
            (r#"{"$ref":"https://example.com/a.json"}"#, "outside the document"),
            (r#"{"$ref":"file:///etc/passwd"}"#, "outside the document"),
            (r#"{"$ref":"Other.json"}"#, "Other.json is outside the document, and nothing is fetched"),
            (r##"{"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#"}}}"##, "leads back to itself: # → #/$defs/a → #"),
            (r#"{"type":"strange"}"#, "no JSON Schema"),
            ("{", "not JSON"),
            (r#"{"x-enforce":"yes"}"#, "allowed is true or false"),
        ] {
            let error = problem(vec![file("Paid", 1, text)]);
            assert!(error.starts_with("Paid.1.json: ") && error.contains(words), "{error}");
        }
        let twice = problem(vec![file("A", 1, "{}"), file("A", 1, "{}")]);
        assert!(twice.contains("A 1 is described by A.1.json already"), "{twice}");
    }

    #[test]
    fn what_is_told_of_a_wrong_event_is_short_however_long_its_schema() {
        let long = "é".repeat(2_000);
        let schema = format!(r#"{{"x-enforce":true,"properties":{{"{long}":{{"enum":["{long}"]}}}}}}"#);
        let schemas = read(vec![file("Paid", 1, &schema)]);
        let errors = check(&schemas, &event("Paid", 1, &format!(r#"{{"{long}":1}}"#))).unwrap_err();
        assert_eq!(errors.len(), 1, "{errors:?}");
        for text in [&errors[0].path, &errors[0].reason] {
            assert!(text.len() <= TOLD_BYTES_MAX + '…'.len_utf8() && text.ends_with('…'), "{text}");
        }
    }

    #[test]
    fn a_broken_document_holds_back_its_own_type_only_and_what_was_good_before_goes_on() {
        let good = || vec![file("Sent", 1, "{}"), file("Paid", 1, PAID)];
        let with = |extra: SchemaFile| good().into_iter().chain([extra]).collect::<Vec<_>>();
        let unread = SchemaFile { text: Err("it cannot be read".into()), ..file("Made", 1, "") };
        let (schemas, problems) = TypeSchemas::read(with(unread.clone()), &TypeSchemas::default());
        assert_eq!((problems.len(), problems[0].to_string()), (1, "Made.1.json: it cannot be read".into()));
        let refused = check(&schemas, &event("Made", 2, "1")).unwrap_err();
        assert!(refused[0].reason.ends_with("until that is mended: Made.1.json: it cannot be read"), "{refused:?}");
        assert!(check(&schemas, &event("Paid", 1, "{}")).is_err(), "the others are held to");
        assert_eq!(check(&schemas, &event("Sent", 1, "1")), Ok(()));

        let (mended, problems) =
            TypeSchemas::read(with(file("Made", 1, r#"{"x-enforce":true,"type":"object"}"#)), &schemas);
        assert_eq!((problems, check(&mended, &event("Made", 1, "{}"))), (Vec::new(), Ok(())));
        let (again, problems) = TypeSchemas::read(with(unread), &mended);
        assert_eq!((problems.len(), check(&again, &event("Made", 1, "{}"))), (1, Ok(())), "as it was before");
        assert!(check(&again, &event("Made", 1, "1")).is_err());
    }
}
