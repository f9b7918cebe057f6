//! JSON Schemas that lead back to themselves before they look at any data: nothing could ever be held to one.
//!
//! A schema that refers to itself for what is *within* the data is well-formed, and common. One that does so in place, as
//! `{"$ref":"#"}`, has no end. The validator finds that only when it has data, and would blame them. What nothing leads to
//! from the top of the document may be as it likes. Whether the rest of a schema would let data pass by is not asked:
//! `{"anyOf":[true,{"$ref":"#"}]}` leads back to itself.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use url::Url;

use super::outline::{Leads, Outline};

/// Most steps that are followed in place: what goes on for longer is taken to end.
const STEPS_MAX: usize = 1000;

/// Where each schema of a document leads in place, by its JSON pointer.
type Steps = BTreeMap<String, Vec<String>>;

/// The places of a circle in a document, the first one again as the last; none where there is no circle. By `url` it knows
/// itself.
pub(super) fn circle(document: &Value, url: &str) -> Option<Vec<String>> {
    let steps = steps(&mut Outline::of(document, Url::parse(url).ok()?));
    let (mut ended, mut path) = (BTreeSet::new(), Vec::new());
    steps.keys().find_map(|place| follow(place, &steps, &mut ended, &mut path))
}

/// The steps of all that data may be held to, from the top of a document.
fn steps(outline: &mut Outline<'_>) -> Steps {
    let (mut steps, mut ahead) = (Steps::new(), vec![String::new()]);
    while let Some(place) = ahead.pop() {
        if let Entry::Vacant(vacant) = steps.entry(place) {
            let Leads { same, within, .. } = outline.leads(vacant.key());
            let same: Vec<_> = same.into_iter().map(|(_, place)| place).collect();
            ahead.extend(same.iter().cloned().chain(within.into_iter().map(|(_, place)| place)));
            vacant.insert(same);
        }
    }
    steps
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
        circle(&serde_json::from_str(text).unwrap(), "tidemill:///schema")
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
            r##"{"$schema":"http://json-schema.org/draft-07/schema#","dependencies":{"a":["b"],"c":{"$ref":"#"}}}"##,
            r##"{"$anchor":"top","not":{"$ref":"#top"}}"##,
            r##"{"$id":"https://a.b/c/d","oneOf":[{"$ref":"https://a.b/c/d"}]}"##,
            r##"{"$id":"https://a.b/c/d","items":{"$ref":"e"},"$defs":{"n":{"$id":"e","$ref":"d#/$defs/n"}}}"##,
            r##"{"allOf":[{"$ref":"tidemill:///schema"}]}"##,
            r##"{"$schema":"https://json-schema.org/draft/2019-09/schema","anyOf":[{"$recursiveRef":"#"}]}"##,
            r##"{"$dynamicAnchor":"n","anyOf":[{"$dynamicRef":"#n"}]}"##,
            r##"{"$ref":"#/%24defs/a%20%7E1%25","$defs":{"a /%":{"not":{"$ref":"#"}}}}"##,
            r##"{"properties":{"const":{"$ref":"#/properties/const"}}}"##,
            r##"{"properties":{"enum":{"items":{"$id":"https://a.b/c","$ref":"#"}}}}"##,
            r##"{"items":{"$ref":"#/components/n"},"components":{"n":{"not":{"$ref":"#/components/n"}}}}"##,
            r##"{"$schema":"http://json-schema.org/draft-04/schema#","not":{"id":"#n","not":{"$ref":"#n"}}}"##,
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
            r##"{"$defs":{"n":{"$id":"https://a.b/c","$ref":"#/$defs/m","$defs":{"m":true}},"m":{"$ref":"#/$defs/n"}},
                "$ref":"#/$defs/m"}"##,
            r##"{"$ref":"https://example.com/a.json"}"##,
            // An `$id` that is a fragment, and what stands beside a reference, in drafts before 2019-09.
            r##"{"$schema":"http://json-schema.org/draft-07/schema#","type":"array","items":{"$ref":"#/definitions/node"},
                "definitions":{"node":{"$id":"#node","oneOf":[{"type":"string"},{"$ref":"#"}]}}}"##,
            r##"{"$schema":"http://json-schema.org/draft-07/schema#","$ref":"#/definitions/a","allOf":[{"$ref":"#"}],
                "definitions":{"a":{}}}"##,
            r##"{"$schema":"http://json-schema.org/draft-06/schema#","items":{"$id":"https://a.b/c","$ref":"#/definitions/n"},
                "definitions":{"n":{}}}"##,
            // Nothing leads there.
            r##"{"$defs":{"n":{"$ref":"#/$defs/n"}}}"##,
            r##"{"$schema":"http://json-schema.org/draft-04/schema#","if":true,"then":{"$ref":"#"}}"##,
            r##"{"if":false,"then":{"$ref":"#"},"additionalItems":{"$ref":"#/additionalItems"}}"##,
            r##"{"default":{"$ref":"#"},"examples":[{"$ref":"#"}],"x-more":{"allOf":[{"$ref":"#/x-more"}]}}"##,
        ] {
            assert_eq!(found(ends), None, "{ends}");
        }
    }
}
