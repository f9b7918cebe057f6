//! What a schema asks of data by itself, beside where it leads: held to here exactly as the validator does, where that is
//! cheap; what is not counts as one that may hold or not.

use regex::Regex;
use serde_json::{Map, Value};

use super::super::multiple::Divisor;
use super::unique;

/// Fields of an object that take as long as a visit: the validator walks all of them, whatever it looks for.
const VISIT_FIELDS: usize = 16;
/// Bytes of a text that take as long to match.
pub(super) const VISIT_MATCHED_BYTES: usize = 64;
/// Bytes of a text or a name that take as long to count or to look up.
const VISIT_BYTES: usize = 1024;
/// Longest text that is held to a pattern here, in bytes.
const MATCHED_BYTES_MAX: usize = 256;

/// What a schema asks for itself.
#[derive(Default)]
pub(super) struct Asserts {
    /// What `true` and `false` say.
    boolean: Option<bool>,
    /// Names of types; none where any is good.
    types: Vec<String>,
    /// Lists of which the data must be in each: that of `enum`, and `const`.
    lists: Vec<Vec<Value>>,
    required: Vec<String>,
    bounds: Vec<(Bound, f64)>,
    /// What a text must match, where that is understood.
    pattern: Option<Regex>,
    /// What a number must be a multiple of.
    divisor: Option<Divisor>,
    /// Whether no item of a list may be there twice.
    is_unique: bool,
    /// For each assertion that is not looked at here, what kind of data it is about; none for any.
    open: Vec<Option<Kind>>,
}

/// What came of holding data to them.
pub(super) enum Held {
    /// They are not met, and nothing else is looked at.
    Ends,
    /// So many are surely not met, and so many others may not be.
    GoesOn { failed: u32, open: u32 },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
    List,
    Object,
}

#[derive(Clone, Copy)]
enum Bound {
    Minimum,
    Maximum,
    Above,
    Below,
    Shortest,
    Longest,
    ItemsMin,
    ItemsMax,
    FieldsMin,
    FieldsMax,
}

const BOUNDS: [(&str, Bound, Kind); 10] = [
    ("minimum", Bound::Minimum, Kind::Number),
    ("maximum", Bound::Maximum, Kind::Number),
    ("exclusiveMinimum", Bound::Above, Kind::Number),
    ("exclusiveMaximum", Bound::Below, Kind::Number),
    ("minLength", Bound::Shortest, Kind::Text),
    ("maxLength", Bound::Longest, Kind::Text),
    ("minItems", Bound::ItemsMin, Kind::List),
    ("maxItems", Bound::ItemsMax, Kind::List),
    ("minProperties", Bound::FieldsMin, Kind::Object),
    ("maxProperties", Bound::FieldsMax, Kind::Object),
];

/// Those that are not looked at here, or where they are not understood.
const OPEN: [(&str, Kind); 8] = [
    ("pattern", Kind::Text),
    ("format", Kind::Text),
    ("multipleOf", Kind::Number),
    ("uniqueItems", Kind::List),
    ("minContains", Kind::List),
    ("maxContains", Kind::List),
    ("dependencies", Kind::Object),
    ("dependentRequired", Kind::Object),
];

impl Asserts {
    /// Those of a schema. Where it `is_exact`, they mean what they mean since draft 6; else none is relied on.
    pub(super) fn of(schema: &Value, is_exact: bool) -> Self {
        let fields = match schema {
            Value::Object(fields) => fields,
            other => return Self { boolean: other.as_bool(), ..Self::default() },
        };
        let is_unique = fields.get("uniqueItems").and_then(Value::as_bool) == Some(true);
        if !is_exact {
            let known = BOUNDS.iter().map(|(key, ..)| *key).chain(OPEN.iter().map(|(key, _)| *key));
            let keys = known.chain(["type", "enum", "const", "required"]).filter(|key| fields.contains_key(*key));
            return Self { is_unique, open: keys.map(|_| None).collect(), ..Self::default() };
        }
        let pattern = fields.get("pattern").and_then(Value::as_str).and_then(|pattern| Regex::new(pattern).ok());
        let divisor = fields.get("multipleOf").and_then(Divisor::of);
        let is_open = |key: &str| match key {
            "pattern" if pattern.is_some() => false,
            "multipleOf" if divisor.is_some() => false,
            key => fields.contains_key(key),
        };
        let open = OPEN.iter().filter(|(key, _)| is_open(key)).map(|(_, kind)| Some(*kind)).collect();
        let mut of = Self { pattern, divisor, is_unique, open, ..Self::default() };
        of.types = match fields.get("type") {
            Some(Value::Array(_)) => texts(fields, "type"),
            Some(name) => name.as_str().into_iter().map(str::to_owned).collect(),
            None => Vec::new(),
        };
        of.lists.extend(fields.get("const").map(|value| vec![value.clone()]));
        of.lists.extend(fields.get("enum").and_then(Value::as_array).cloned());
        of.required = texts(fields, "required");
        for (key, bound, kind) in BOUNDS {
            match fields.get(key).map(Value::as_f64) {
                Some(Some(limit)) => of.bounds.push((bound, limit)),
                Some(None) => of.open.push(Some(kind)),
                None => {}
            }
        }
        of
    }

    /// How long it takes to hold data to them: one for a schema, and more for long lists.
    pub(super) fn visits(&self) -> u32 {
        let listed = self.lists.iter().map(Vec::len).sum::<usize>() + self.required.len();
        u32::try_from(listed / 8).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// How much longer it takes for data that are of the right type, but large in themselves, whatever their parts take.
    pub(super) fn more_visits(&self, data: &Value) -> u32 {
        let more = match data {
            Value::Object(fields) => {
                fields.len() / VISIT_FIELDS + fields.keys().map(String::len).sum::<usize>() / VISIT_BYTES
            }
            Value::Array(items) if self.is_unique => unique::visits(items),
            Value::String(text) if self.pattern.is_some() || self.is_open(data) => text.len() / VISIT_MATCHED_BYTES,
            Value::String(text) if self.is_of_length() => text.len() / VISIT_BYTES,
            _ => 0,
        };
        u32::try_from(more).unwrap_or(u32::MAX)
    }

    /// Whether items are told apart, which may take long for few bytes.
    pub(super) fn is_unique(&self) -> bool {
        self.is_unique
    }

    fn is_of_length(&self) -> bool {
        self.bounds.iter().any(|(bound, _)| matches!(bound, Bound::Shortest | Bound::Longest))
    }

    /// Most errors of one part of the data.
    pub(super) fn errors_max(&self) -> usize {
        let told = [self.pattern.is_some(), self.divisor.is_some()].map(usize::from);
        2 + self.bounds.len() + told.iter().sum::<usize>() + self.open.len() + self.required.len() / 8
    }

    /// What is told of missing fields takes more the more may be missing.
    pub(super) fn missing_bytes(&self) -> u32 {
        u32::try_from(self.required.len()).unwrap_or(u32::MAX).saturating_mul(16)
    }

    /// Whether there is one about such data that is not looked at here.
    pub(super) fn is_open(&self, data: &Value) -> bool {
        self.open_of(data) > 0
    }

    /// Holds data to them.
    pub(super) fn held(&self, data: &Value) -> Held {
        let is_listed = |list: &Vec<Value>| is_among(list, data);
        let listed: Vec<_> = self.lists.iter().map(is_listed).collect();
        if self.boolean == Some(false) || !self.is_of_type(data) || listed.contains(&Some(false)) {
            return Held::Ends;
        }
        let mut failed = self.bounds.iter().filter(|(bound, limit)| !bound.holds(*limit, data)).count();
        if let Value::Object(fields) = data {
            failed += usize::from(self.required.iter().any(|name| !fields.contains_key(name)));
        }
        if let (Some(divisor), Value::Number(number)) = (&self.divisor, data) {
            failed += usize::from(!divisor.divides(number));
        }
        let mut open = self.open_of(data) + listed.iter().filter(|listed| listed.is_none()).count();
        if let (Some(pattern), Value::String(text)) = (&self.pattern, data) {
            match matches(Some(pattern).filter(|_| text.len() <= MATCHED_BYTES_MAX), text) {
                Some(true) => {}
                Some(false) => failed += 1,
                None => open += 1,
            }
        }
        let [failed, open] = [failed, open].map(|count| u32::try_from(count).unwrap_or(u32::MAX));
        Held::GoesOn { failed, open }
    }

    fn open_of(&self, data: &Value) -> usize {
        let kind = match data {
            Value::String(_) => Some(Kind::Text),
            Value::Number(_) => Some(Kind::Number),
            Value::Array(_) => Some(Kind::List),
            Value::Object(_) => Some(Kind::Object),
            Value::Null | Value::Bool(_) => None,
        };
        self.open.iter().filter(|about| about.is_none() || **about == kind).count()
    }

    fn is_of_type(&self, data: &Value) -> bool {
        let is = |name: &String| match (name.as_str(), data) {
            ("integer", Value::Number(number)) => {
                number.is_i64() || number.is_u64() || number.as_f64().is_some_and(|number| number.fract() == 0.0)
            }
            ("null", Value::Null)
            | ("boolean", Value::Bool(_))
            | ("number", Value::Number(_))
            | ("string", Value::String(_))
            | ("array", Value::Array(_))
            | ("object", Value::Object(_)) => true,
            _ => false,
        };
        self.types.is_empty() || self.types.iter().any(is)
    }
}

impl Bound {
    fn holds(self, limit: f64, data: &Value) -> bool {
        let number = || data.as_f64();
        let size = |size: Option<usize>| size.map(|size| u32::try_from(size).map_or(f64::INFINITY, f64::from));
        let text = || size(data.as_str().map(|text| text.chars().count()));
        let items = || size(data.as_array().map(Vec::len));
        let fields = || size(data.as_object().map(Map::len));
        match self {
            Self::Minimum => number().is_none_or(|is| is >= limit),
            Self::Maximum => number().is_none_or(|is| is <= limit),
            Self::Above => number().is_none_or(|is| is > limit),
            Self::Below => number().is_none_or(|is| is < limit),
            Self::Shortest => text().is_none_or(|is| is >= limit),
            Self::Longest => text().is_none_or(|is| is <= limit),
            Self::ItemsMin => items().is_none_or(|is| is >= limit),
            Self::ItemsMax => items().is_none_or(|is| is <= limit),
            Self::FieldsMin => fields().is_none_or(|is| is >= limit),
            Self::FieldsMax => fields().is_none_or(|is| is <= limit),
        }
    }
}

/// Whether a pattern is one of a text; none where that is not known: it is not understood, or what it means beyond ASCII
/// may be something else.
pub(super) fn matches(pattern: Option<&Regex>, text: &str) -> Option<bool> {
    pattern.filter(|_| text.is_ascii()).map(|pattern| pattern.is_match(text))
}

/// Whether data are in a list; none where that takes more than a look.
fn is_among(list: &[Value], data: &Value) -> Option<bool> {
    if list.iter().any(|value| is_same(value, data)) {
        return Some(true);
    }
    let is_alike = |value: &Value| (value.is_array() && data.is_array()) || (value.is_object() && data.is_object());
    (!list.iter().any(is_alike)).then_some(false)
}

/// Whether two values that have no parts are the same; numbers are by what they amount to.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => match (one.as_u64(), other.as_u64()) {
            (Some(one), Some(other)) => one == other,
            _ => match (one.as_i64(), other.as_i64()) {
                (Some(one), Some(other)) => one == other,
                _ => one.as_f64() == other.as_f64(),
            },
        },
        (Value::Array(_) | Value::Object(_), _) => false,
        (one, other) => one == other,
    }
}

fn texts(fields: &Map<String, Value>, key: &str) -> Vec<String> {
    let values = fields.get(key).and_then(Value::as_array).into_iter().flatten();
    values.filter_map(Value::as_str).map(str::to_owned).collect()
}
