//! How much it takes to hold data to a JSON Schema, counted before it is done.
//!
//! The validator looks at a part of the data once for each way that leads there, and writes down what is wrong each time.
//! A schema that refers to itself twice, as that of an expression told apart by its operator does, has twice as many ways
//! at each level: a kilobyte of data then takes more time and memory than there is. The ways are counted here with each
//! pair of a schema and a part of the data looked at once. A pattern that is not understood matches every name.

use std::collections::{BTreeMap, HashMap};

use regex::Regex;
use serde_json::{Map, Value};
use url::Url;

use super::outline::{Outline, Part};

/// Most bytes that errors may take: what is wrong at a place takes some hundred, and a part of them for each level.
const BYTES_MAX: u64 = 128 << 20;
const ERROR_BYTES: u64 = 200;
const LEVEL_BYTES: u64 = 24;
/// Most schemas that lead to one another for one part of the data, with those of the parts around it.
const STEPS_MAX: usize = 2000;

/// Where the schemas of a document lead.
pub(super) struct Effort {
    places: Vec<Place>,
    /// Ways from the top to any schema; none where there is no end of them.
    ways: Option<u64>,
}

/// A schema, and the indices of those that it leads to.
#[derive(Default)]
struct Place {
    same: Vec<usize>,
    fields: BTreeMap<String, usize>,
    /// By a pattern; none for one that is not understood.
    matching: Vec<(Option<Regex>, usize)>,
    other_fields: Vec<usize>,
    names: Vec<usize>,
    prefix: BTreeMap<usize, usize>,
    other_items: Vec<usize>,
    items: Vec<usize>,
}

impl Effort {
    /// That of a document which knows itself by a URL.
    pub(super) fn of(document: &Value, url: &str) -> Self {
        let Ok(url) = Url::parse(url) else { return Self { places: Vec::new(), ways: None } };
        let mut outline = Outline::of(document, url);
        let (mut indices, mut known) = (HashMap::from([(String::new(), 0)]), vec![String::new()]);
        let mut places = Vec::new();
        while let Some(place) = known.get(places.len()).cloned() {
            let leads = outline.leads(&place);
            let mut index = |place: String| {
                *indices.entry(place).or_insert_with_key(|place| {
                    known.push(place.clone());
                    known.len() - 1
                })
            };
            let mut of = Place { same: leads.same.into_iter().map(&mut index).collect(), ..Place::default() };
            for (part, place) in leads.within {
                of.lead(part, index(place));
            }
            places.push(of);
        }
        let ways = ways(&places);
        Self { places, ways }
    }

    /// Whether it takes too much to hold data to the document, of which these are the bytes.
    pub(super) fn is_too_much(&self, data: &Value, bytes: usize) -> bool {
        let parts = bytes as u64 / 2 + 1;
        let most = ERROR_BYTES + LEVEL_BYTES * 128;
        if self.ways.is_some_and(|ways| ways.saturating_mul(parts).saturating_mul(most) <= BYTES_MAX) {
            return false;
        }
        let mut count = Count { places: &self.places, known: HashMap::new(), steps: 0 };
        count.held(0, data, 0) > BYTES_MAX
    }
}

impl Place {
    fn lead(&mut self, part: Part, to: usize) {
        match part {
            Part::Field(name) => drop(self.fields.insert(name, to)),
            Part::Item(index) => drop(self.prefix.insert(index, to)),
            Part::Matching(pattern) => self.matching.push((Regex::new(&pattern).ok(), to)),
            Part::OtherFields => self.other_fields.push(to),
            Part::Names => self.names.push(to),
            Part::OtherItems => self.other_items.push(to),
            Part::Items => self.items.push(to),
        }
    }

    fn all(&self) -> impl Iterator<Item = usize> {
        let lists = [&self.same, &self.other_fields, &self.names, &self.other_items, &self.items];
        let matching = self.matching.iter().map(|(_, to)| to);
        lists.into_iter().flatten().chain(matching).chain(self.fields.values()).chain(self.prefix.values()).copied()
    }
}

/// Ways from the first of some schemas to any of them; none where one leads to itself.
fn ways(places: &[Place]) -> Option<u64> {
    let mut waiting = vec![0_u32; places.len()];
    for to in places.iter().flat_map(Place::all) {
        *waiting.get_mut(to)? += 1;
    }
    let (mut ways, mut ahead, mut passed) = (vec![0_u64; places.len()], vec![0], 0);
    *ways.first_mut()? = 1;
    if waiting.first() != Some(&0) {
        return None;
    }
    while let Some(from) = ahead.pop() {
        passed += 1;
        let here = *ways.get(from)?;
        for to in places.get(from)?.all() {
            let (there, left) = (ways.get_mut(to)?, waiting.get_mut(to)?);
            *there = there.saturating_add(here);
            *left -= 1;
            if *left == 0 {
                ahead.push(to);
            }
        }
    }
    (passed == places.len()).then(|| ways.iter().fold(0, |sum: u64, ways| sum.saturating_add(*ways)))
}

/// Counts what holding data to schemas takes, in bytes of errors.
struct Count<'a> {
    places: &'a [Place],
    /// By schema and part of the data.
    known: HashMap<(usize, *const Value), u64>,
    /// How deep the count is.
    steps: usize,
}

impl<'a> Count<'a> {
    fn held(&mut self, place: usize, data: &'a Value, level: u64) -> u64 {
        let key = (place, std::ptr::from_ref(data));
        if let Some(known) = self.known.get(&key) {
            return *known;
        }
        let own = ERROR_BYTES + LEVEL_BYTES * level;
        if self.steps >= STEPS_MAX || self.known.len() as u64 >= BYTES_MAX / ERROR_BYTES {
            return u64::MAX;
        }
        // For one that leads back here for the same data.
        self.known.insert(key, own);
        self.steps += 1;
        let counted = self.places.get(place).map_or(own, |of| own.saturating_add(self.led(of, data, level)));
        self.steps -= 1;
        self.known.insert(key, counted);
        counted
    }

    fn led(&mut self, of: &'a Place, data: &'a Value, level: u64) -> u64 {
        let same = self.all(&of.same, data, level);
        let within = match data {
            Value::Object(fields) => self.fields(of, fields, level + 1),
            Value::Array(items) => self.items(of, items, level + 1),
            _ => 0,
        };
        same.saturating_add(within)
    }

    fn fields(&mut self, of: &'a Place, fields: &'a Map<String, Value>, level: u64) -> u64 {
        let mut sum = (of.names.len() * fields.len()) as u64 * (ERROR_BYTES + LEVEL_BYTES * level);
        for (name, value) in fields {
            let is_matched = |pattern: &Option<Regex>| pattern.as_ref().is_none_or(|pattern| pattern.is_match(name));
            let matching: Vec<_> =
                of.matching.iter().filter(|(pattern, _)| is_matched(pattern)).map(|(_, to)| *to).collect();
            let own = of.fields.get(name);
            let others = if own.is_none() && matching.is_empty() { of.other_fields.as_slice() } else { &[] };
            for place in own.into_iter().chain(&matching).chain(others) {
                sum = sum.saturating_add(self.held(*place, value, level));
            }
        }
        sum
    }

    fn items(&mut self, of: &'a Place, items: &'a [Value], level: u64) -> u64 {
        let mut sum: u64 = 0;
        for (index, item) in items.iter().enumerate() {
            let own = match of.prefix.get(&index) {
                Some(place) => self.held(*place, item, level),
                None => self.all(&of.other_items, item, level),
            };
            sum = sum.saturating_add(own).saturating_add(self.all(&of.items, item, level));
        }
        sum
    }

    fn all(&mut self, places: &'a [usize], data: &'a Value, level: u64) -> u64 {
        places.iter().fold(0, |sum, place| sum.saturating_add(self.held(*place, data, level)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn effort(schema: &str) -> Effort {
        Effort::of(&serde_json::from_str(schema).unwrap(), "tidemill:///schema")
    }

    fn is_too_much(schema: &str, data: &str) -> bool {
        effort(schema).is_too_much(&serde_json::from_str(data).unwrap(), data.len())
    }

    fn deep(levels: usize) -> String {
        format!("{}1{}", r#"{"op":"mul","x":"#.repeat(levels), "}".repeat(levels))
    }

    /// An expression, told apart by its operator.
    const EXPRESSION: &str = r##"{"$defs":{"e":{"anyOf":[
        {"properties":{"op":{"const":"add"},"x":{"$ref":"#/$defs/e"}}},
        {"properties":{"op":{"const":"neg"},"x":{"$ref":"#/$defs/e"}}}]}},"$ref":"#/$defs/e"}"##;

    #[test]
    fn what_doubles_at_each_level_is_too_much_where_it_is_deep() {
        assert!(!is_too_much(EXPRESSION, &deep(10)));
        assert!(is_too_much(EXPRESSION, &deep(30)));
        assert!(is_too_much(EXPRESSION, &deep(100)));
        let chain: Vec<_> = (0..40)
            .map(|n| format!(r##""a{n}":{{"allOf":[{0},{0}]}}"##, format!(r##"{{"$ref":"#/$defs/a{}"}}"##, n + 1)))
            .collect();
        let chain = format!(r##"{{"$ref":"#/$defs/a0","$defs":{{{},"a40":{{"type":"string"}}}}}}"##, chain.join(","));
        assert!(is_too_much(&chain, "1"));
    }

    #[test]
    fn what_each_part_of_the_data_has_one_way_to_is_not() {
        let tree = r##"{"properties":{"left":{"$ref":"#"},"right":{"$ref":"#"}},"additionalProperties":{"$ref":"#"},
            "items":{"$ref":"#"},"patternProperties":{"^x":{"$ref":"#"}}}"##;
        let deep = format!("{}1{}", r#"{"left":{"other":["#.repeat(40), "]}}".repeat(40));
        assert!(!is_too_much(tree, &deep));
        let wide = format!("[{}]", vec![r#"{"left":1,"right":{"x":2}}"#; 20_000].join(","));
        assert!(!is_too_much(tree, &wide));
    }

    #[test]
    fn many_errors_of_a_large_text_are_too_much_too() {
        let kinds: Vec<_> = (0..100).map(|n| format!(r#"{{"const":{n}}}"#)).collect();
        let schema = format!(r#"{{"items":{{"anyOf":[{}]}}}}"#, kinds.join(","));
        assert_eq!(effort(&schema).ways, Some(102));
        assert!(!is_too_much(&schema, &format!("[{}\"\"]", "\"\",".repeat(1000))));
        assert!(is_too_much(&schema, &format!("[{}\"\"]", "\"\",".repeat(100_000))));
    }
}
