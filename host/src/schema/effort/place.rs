//! The schemas of a document as they are counted: what each asks for itself, and where it leads.

use std::collections::{BTreeMap, HashMap};

use regex::Regex;
use serde_json::Value;
use url::Url;

use super::super::outline::{Leads, Outline, Part, Way};
use super::asserts::Asserts;

/// A schema, and the indices of those that it leads to.
#[derive(Default)]
pub(super) struct Place {
    pub(super) asserts: Asserts,
    /// Those that must hold: of `allOf`, and what is referred to.
    pub(super) all: Vec<usize>,
    /// Of each of these lists one must hold; which one depends on the way here.
    pub(super) dynamic: Vec<Vec<usize>>,
    pub(super) any: Vec<usize>,
    pub(super) one: Vec<usize>,
    pub(super) not: Vec<usize>,
    pub(super) condition: Option<usize>,
    pub(super) then: Option<usize>,
    pub(super) otherwise: Option<usize>,
    /// With the field without which they are not looked at.
    pub(super) dependent: Vec<(String, usize)>,
    pub(super) fields: BTreeMap<String, usize>,
    /// By a pattern; none for one that is not understood.
    pub(super) matching: Vec<(Option<Regex>, usize)>,
    pub(super) other_fields: Vec<usize>,
    pub(super) unevaluated_fields: Vec<usize>,
    pub(super) names: Vec<usize>,
    pub(super) prefix: BTreeMap<usize, usize>,
    pub(super) other_items: Vec<usize>,
    pub(super) unevaluated_items: Vec<usize>,
    pub(super) contains: Vec<usize>,
}

/// Those of a document that knows itself by a URL: the first is its top.
pub(super) fn places(document: &Value, url: Url) -> Vec<Place> {
    let mut outline = Outline::of(document, url);
    loop {
        // What is found on the way may be what a reference before it leads to.
        let size = outline.size();
        let places = read(document, &mut outline);
        if outline.size() == size {
            return places;
        }
    }
}

fn read(document: &Value, outline: &mut Outline<'_>) -> Vec<Place> {
    let (mut indices, mut known) = (HashMap::from([(String::new(), 0)]), vec![String::new()]);
    let (is_exact, mut places) = (outline.is_of_one_draft(), Vec::new());
    while let Some(place) = known.get(places.len()).cloned() {
        let Leads { same, dynamic, within } = outline.leads(&place);
        let mut index = |place: String| {
            *indices.entry(place).or_insert_with_key(|place| {
                known.push(place.clone());
                known.len() - 1
            })
        };
        let mut of = Place::default();
        for (way, place) in same {
            of.lead(way, index(place));
        }
        for targets in dynamic {
            of.dynamic.push(targets.into_iter().map(&mut index).collect());
        }
        for (part, place) in within {
            of.lead_within(part, index(place));
        }
        if !outline.is_bare_reference(&place) {
            let schema = document.pointer(&place).unwrap_or(&Value::Null);
            of.asserts = Asserts::of(schema, is_exact);
        }
        places.push(of);
    }
    places
}

impl Place {
    fn lead(&mut self, way: Way, to: usize) {
        match way {
            Way::All => self.all.push(to),
            Way::Any => self.any.push(to),
            Way::One => self.one.push(to),
            Way::Not => self.not.push(to),
            Way::If => self.condition = Some(to),
            Way::Then => self.then = Some(to),
            Way::Else => self.otherwise = Some(to),
            Way::With(name) => self.dependent.push((name, to)),
        }
    }

    fn lead_within(&mut self, part: Part, to: usize) {
        match part {
            Part::Field(name) => drop(self.fields.insert(name, to)),
            Part::Item(index) => drop(self.prefix.insert(index, to)),
            Part::Matching(pattern) => self.matching.push((Regex::new(&pattern).ok(), to)),
            Part::OtherFields => self.other_fields.push(to),
            Part::UnevaluatedFields => self.unevaluated_fields.push(to),
            Part::Names => self.names.push(to),
            Part::OtherItems => self.other_items.push(to),
            Part::UnevaluatedItems => self.unevaluated_items.push(to),
            Part::Items => self.contains.push(to),
        }
    }

    /// Whether what is looked at depends on what others have looked at.
    pub(super) fn is_of_the_rest(&self) -> bool {
        !self.unevaluated_fields.is_empty() || !self.unevaluated_items.is_empty()
    }

    /// Most errors that one part of the data has here, or as long as it takes to look at it. What is large takes longer, but
    /// no more than once for each two bytes.
    pub(super) fn weight(&self) -> u64 {
        let told = self.asserts.errors_max() + self.all.len() + self.dynamic.len() + self.not.len() + 4;
        (told as u64).max(u64::from(self.asserts.visits()) + 1)
    }

    /// All that it leads to.
    pub(super) fn leads(&self) -> impl Iterator<Item = usize> {
        let same = [&self.all, &self.any, &self.one, &self.not];
        let within = [&self.other_fields, &self.unevaluated_fields, &self.names, &self.other_items];
        let lists = same.into_iter().chain(within).chain([&self.unevaluated_items, &self.contains]);
        let cases = [self.condition, self.then, self.otherwise].into_iter().flatten();
        let named = self.fields.values().chain(self.prefix.values()).copied();
        let matching = self.matching.iter().map(|(_, to)| *to);
        let dependent = self.dependent.iter().map(|(_, to)| *to);
        let dynamic = self.dynamic.iter().flatten().copied();
        lists.flatten().copied().chain(cases).chain(named).chain(matching).chain(dependent).chain(dynamic)
    }
}
