//! Where the schemas of a document are, and where each leads: as the validator reads a document, whatever its draft.
//!
//! What is named differs by draft: before 2019-09 all that stands beside a `$ref` counts for nothing, and an `$id` that
//! is just a fragment names its schema and begins no resource. Where a document has several resources, what its
//! `$dynamicRef` and `$recursiveRef` lead to depends on the way there: all that it may be stands apart.

use std::collections::BTreeMap;

use boon::Draft;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};
use url::Url;

/// What the schemas of a keyword are about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum About {
    /// The very same data.
    Same,
    /// What is within the data.
    Within,
    /// Nothing: they are there to be referred to.
    Nothing,
}

/// A keyword that has schemas: one, or a list of them.
struct Keyword {
    name: &'static str,
    about: About,
    since: Draft,
    /// It has them by name.
    by_name: bool,
}

const fn one(name: &'static str, about: About, since: Draft) -> Keyword {
    Keyword { name, about, since, by_name: false }
}

const fn named(name: &'static str, about: About, since: Draft) -> Keyword {
    Keyword { name, about, since, by_name: true }
}

static KEYWORDS: [Keyword; 22] = [
    one("allOf", About::Same, Draft::V4),
    one("anyOf", About::Same, Draft::V4),
    one("oneOf", About::Same, Draft::V4),
    one("not", About::Same, Draft::V4),
    one("if", About::Same, Draft::V7),
    one("then", About::Same, Draft::V7),
    one("else", About::Same, Draft::V7),
    named("dependencies", About::Same, Draft::V4),
    named("dependentSchemas", About::Same, Draft::V2019_09),
    one("items", About::Within, Draft::V4),
    one("additionalItems", About::Within, Draft::V4),
    one("additionalProperties", About::Within, Draft::V4),
    named("properties", About::Within, Draft::V4),
    named("patternProperties", About::Within, Draft::V4),
    one("contains", About::Within, Draft::V6),
    one("propertyNames", About::Within, Draft::V6),
    one("unevaluatedItems", About::Within, Draft::V2019_09),
    one("unevaluatedProperties", About::Within, Draft::V2019_09),
    one("prefixItems", About::Within, Draft::V2020_12),
    // Contents are not looked at.
    one("contentSchema", About::Nothing, Draft::V2019_09),
    named("definitions", About::Nothing, Draft::V4),
    named("$defs", About::Nothing, Draft::V2019_09),
];

/// Keywords that refer to a schema for the same data.
const REFERENCES: [(&str, Draft); 2] = [("$recursiveRef", Draft::V2019_09), ("$dynamicRef", Draft::V2020_12)];

/// The schemas of a document, by their JSON pointers.
pub(super) struct Outline<'a> {
    document: &'a Value,
    draft: Draft,
    url: Url,
    schemas: BTreeMap<String, Schema<'a>>,
    /// The URL of each resource, by its place.
    resources: BTreeMap<String, Url>,
    /// By the place of the resource and the name.
    anchors: BTreeMap<(String, String), String>,
}

#[derive(Clone)]
struct Schema<'a> {
    fields: &'a Map<String, Value>,
    /// The place of its resource.
    base: String,
}

/// Where a schema leads.
#[derive(Default)]
pub(super) struct Leads {
    /// For the very same data, and in what way.
    pub(super) same: Vec<(Way, String)>,
    /// For the very same data, too: to one of each of these lists, which depends on the way there.
    pub(super) dynamic: Vec<Vec<String>>,
    /// For what is within the data, and for what of it.
    pub(super) within: Vec<(Part, String)>,
}

/// In what way a schema is for the very same data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// It must hold.
    All,
    /// One of those must hold.
    Any,
    /// Exactly one of those must hold.
    One,
    /// It must not hold.
    Not,
    /// It is a condition,
    If,
    /// with what must hold if it does,
    Then,
    /// and if it does not.
    Else,
    /// It must hold where there is a field of that name.
    With(String),
}

impl Way {
    /// That of a keyword: of the schema of that name, where it has them by name.
    fn of(keyword: &str, which: String) -> Self {
        match keyword {
            "anyOf" => Self::Any,
            "oneOf" => Self::One,
            "not" => Self::Not,
            "if" => Self::If,
            "then" => Self::Then,
            "else" => Self::Else,
            "dependencies" | "dependentSchemas" => Self::With(which),
            _ => Self::All,
        }
    }
}

/// What within data a schema is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The field of that name.
    Field(String),
    /// Fields whose name matches that pattern.
    Matching(String),
    /// Fields that no other schema of their own is for.
    OtherFields,
    /// Fields that no other schema has looked at, also where another one leads.
    UnevaluatedFields,
    /// The names of fields.
    Names,
    /// The item at that index.
    Item(usize),
    /// Items that no schema of their own is for.
    OtherItems,
    /// Items that no other schema has looked at, also where another one leads.
    UnevaluatedItems,
    /// Every item.
    Items,
}

impl Part {
    /// What the schema of a keyword is for: the one of that name or index, where it has several.
    fn of(keyword: &str, which: &str, is_list: bool) -> Self {
        match keyword {
            "properties" => Self::Field(which.to_owned()),
            "patternProperties" => Self::Matching(which.to_owned()),
            "additionalProperties" => Self::OtherFields,
            "unevaluatedProperties" => Self::UnevaluatedFields,
            "propertyNames" => Self::Names,
            "prefixItems" | "items" if is_list => Self::Item(which.parse().unwrap_or_default()),
            "items" | "additionalItems" => Self::OtherItems,
            "unevaluatedItems" => Self::UnevaluatedItems,
            _ => Self::Items,
        }
    }
}

impl<'a> Outline<'a> {
    /// That of a document which knows itself by this URL.
    pub(super) fn of(document: &'a Value, url: Url) -> Self {
        let draft = document.get("$schema").and_then(Value::as_str).and_then(Draft::from_url).unwrap_or_default();
        let resources = BTreeMap::from([(String::new(), url.clone())]);
        let (schemas, anchors) = (BTreeMap::new(), BTreeMap::new());
        let mut outline = Self { document, draft, url, schemas, resources, anchors };
        outline.collect(document, "", "");
        outline
    }

    /// Where the schema at a place leads.
    pub(super) fn leads(&mut self, place: &str) -> Leads {
        let mut leads = Leads::default();
        let Some(Schema { fields, base }) = self.schema(place) else { return leads };
        leads.same.extend(self.referred(fields, "$ref", &base).map(|place| (Way::All, place)));
        if self.only_refers(fields) {
            return leads;
        }
        let references = REFERENCES.iter().filter(|(_, since)| self.draft >= *since).map(|(key, _)| *key);
        if self.resources.len() == 1 {
            let referred = references.filter_map(|key| self.referred(fields, key, &base));
            leads.same.extend(referred.map(|place| (Way::All, place)));
        } else {
            leads.dynamic.extend(references.filter_map(|key| self.referred_by_way(fields, key, &base)));
        }
        for keyword in self.keywords().filter(|keyword| self.is_used(keyword, fields)) {
            let is_list = fields.get(keyword.name).is_some_and(Value::is_array);
            let parts = parts(keyword, fields, place).into_iter();
            match keyword.about {
                About::Same => {
                    leads.same.extend(parts.map(|(which, place, _)| (Way::of(keyword.name, which), place)));
                }
                About::Within => {
                    leads.within.extend(parts.map(|(which, place, _)| (Part::of(keyword.name, &which, is_list), place)))
                }
                About::Nothing => {}
            }
        }
        leads
    }

    /// How many schemas are known: more are found where something refers to what no keyword names.
    pub(super) fn size(&self) -> usize {
        self.schemas.len()
    }

    /// Whether assertions mean in all of it what they mean since draft 6.
    pub(super) fn is_of_one_draft(&self) -> bool {
        let says = |(place, schema): (&String, &Schema<'_>)| !place.is_empty() && schema.fields.contains_key("$schema");
        self.draft >= Draft::V6 && !self.schemas.iter().any(says)
    }

    /// Whether the schema at a place is a reference beside which nothing counts.
    pub(super) fn is_bare_reference(&self, place: &str) -> bool {
        self.schemas.get(place).is_some_and(|schema| self.only_refers(schema.fields))
    }

    /// The schema at a place, also where none stands unless something refers to it.
    fn schema(&mut self, place: &str) -> Option<Schema<'a>> {
        if !self.schemas.contains_key(place) {
            let around = |resource: &&String| place.strip_prefix(resource.as_str()).is_some_and(is_pointer);
            let base = self.resources.keys().rev().find(around).cloned().unwrap_or_default();
            self.collect(self.document.pointer(place)?, place, &base);
        }
        self.schemas.get(place).cloned()
    }

    /// Notes the schemas at a place and below. `base` is the place of the resource around it.
    fn collect(&mut self, value: &'a Value, place: &str, base: &str) {
        let Value::Object(fields) = value else { return };
        let url = self.id(fields).and_then(|id| self.resources.get(base)?.join(id).ok());
        let base = if url.is_some() { place } else { base };
        self.resources.extend(url.map(|url| (place.to_owned(), url)));
        let anchors = self.anchors_of(fields).into_iter().flatten();
        self.anchors.extend(anchors.map(|name| ((base.to_owned(), name), place.to_owned())));
        self.schemas.insert(place.to_owned(), Schema { fields, base: base.to_owned() });
        let parts: Vec<_> = self.keywords().flat_map(|keyword| parts(keyword, fields, place)).collect();
        parts.into_iter().for_each(|(_, place, part)| self.collect(part, &place, base));
    }

    fn keywords(&self) -> impl Iterator<Item = &'static Keyword> + use<> {
        let draft = self.draft;
        KEYWORDS.iter().filter(move |keyword| draft >= keyword.since)
    }

    /// Whether all that stands beside a reference counts for nothing.
    fn only_refers(&self, fields: &Map<String, Value>) -> bool {
        self.draft < Draft::V2019_09 && fields.contains_key("$ref")
    }

    /// Whether anything is held to the schemas of a keyword.
    fn is_used(&self, keyword: &Keyword, fields: &Map<String, Value>) -> bool {
        match keyword.name {
            "then" => fields.get("if").is_some_and(|condition| *condition != Value::Bool(false)),
            "else" => fields.get("if").is_some_and(|condition| *condition != Value::Bool(true)),
            "additionalItems" => self.draft < Draft::V2020_12 && fields.get("items").is_some_and(Value::is_array),
            _ => true,
        }
    }

    fn id_text<'b>(&self, fields: &'b Map<String, Value>) -> Option<&'b str> {
        if self.only_refers(fields) {
            return None;
        }
        fields.get(if self.draft == Draft::V4 { "id" } else { "$id" })?.as_str()
    }

    /// What a schema is called, if it begins a resource.
    fn id<'b>(&self, fields: &'b Map<String, Value>) -> Option<&'b str> {
        Some(split(self.id_text(fields)?).0).filter(|id| !id.is_empty())
    }

    /// The names of a schema in its resource.
    fn anchors_of(&self, fields: &Map<String, Value>) -> [Option<String>; 2] {
        if self.draft < Draft::V2019_09 {
            let name = self.id_text(fields).and_then(|id| decoded(split(id).1));
            return [name.filter(|name| !is_pointer(name)), None];
        }
        let text = |key| fields.get(key).and_then(Value::as_str).map(str::to_owned);
        [text("$anchor"), text("$dynamicAnchor").filter(|_| self.draft >= Draft::V2020_12)]
    }

    /// The place that a keyword refers to, within a resource.
    fn referred(&self, fields: &Map<String, Value>, key: &str, base: &str) -> Option<String> {
        let (url, fragment) = split(fields.get(key)?.as_str()?);
        let resource = if url.is_empty() { base } else { self.resource(&self.resources.get(base)?.join(url).ok()?)? };
        let fragment = decoded(fragment)?;
        if is_pointer(&fragment) {
            return Some(format!("{resource}{fragment}"));
        }
        self.anchors.get(&(resource.to_owned(), fragment)).cloned()
    }

    /// All places that a keyword may refer to, by the way there: those of that name in any resource, or any resource.
    fn referred_by_way(&self, fields: &Map<String, Value>, key: &str, base: &str) -> Option<Vec<String>> {
        let name = decoded(split(fields.get(key)?.as_str()?).1)?;
        let mut places: Vec<_> = self.referred(fields, key, base).into_iter().collect();
        if key == "$recursiveRef" {
            places.extend(self.resources.keys().cloned());
        } else if !is_pointer(&name) {
            places.extend(self.anchors.iter().filter(|((_, of), _)| *of == name).map(|(_, place)| place.clone()));
        }
        places.sort_unstable();
        places.dedup();
        Some(places)
    }

    /// The place of the resource with a URL.
    fn resource(&self, url: &Url) -> Option<&str> {
        if *url == self.url {
            return Some("");
        }
        self.resources.iter().find(|(_, of)| *of == url).map(|(place, _)| place.as_str())
    }
}

/// The schemas of a keyword: name or index where it has several, and where each is.
fn parts<'a>(keyword: &Keyword, fields: &'a Map<String, Value>, place: &str) -> Vec<(String, String, &'a Value)> {
    let place = below(place, keyword.name);
    match fields.get(keyword.name) {
        Some(Value::Object(schemas)) if keyword.by_name => {
            schemas.iter().map(|(name, schema)| (name.clone(), below(&place, name), schema)).collect()
        }
        Some(Value::Array(schemas)) if !keyword.by_name => {
            (0..).zip(schemas).map(|(index, schema)| (index.to_string(), format!("{place}/{index}"), schema)).collect()
        }
        Some(schema) if !keyword.by_name => vec![(String::new(), place, schema)],
        _ => Vec::new(),
    }
}

/// The place of a field.
fn below(place: &str, key: &str) -> String {
    format!("{place}/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// A reference's URL and fragment.
fn split(reference: &str) -> (&str, &str) {
    reference.split_once('#').unwrap_or((reference, ""))
}

fn decoded(fragment: &str) -> Option<String> {
    percent_decode_str(fragment).decode_utf8().ok().map(Into::into)
}

/// Whether a fragment is a JSON pointer, and not a name.
fn is_pointer(fragment: &str) -> bool {
    fragment.is_empty() || fragment.starts_with('/')
}
