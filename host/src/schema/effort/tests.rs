//! What is too much, what is not, and that what is taken to be known of data is so.

use super::super::types::{FieldError, TypeSchema, Unfit};
use super::*;

fn effort(schema: &str) -> Effort {
    Effort::of(&serde_json::from_str(schema).unwrap(), "tidemill:///schema")
}

fn too_much(schema: &str, data: &str) -> Option<TooMuch> {
    effort(schema).count(&serde_json::from_str(data).unwrap(), Limits::MOST).err()
}

fn checked(schema: &str, data: &str) -> Result<(), Vec<FieldError>> {
    TypeSchema::read("a.json", schema).unwrap().check_data(data.as_bytes())
}

fn nested(level: &str, levels: usize, innermost: &str) -> String {
    format!("{}{innermost}{}", level.repeat(levels), "}".repeat(levels))
}

fn deep(levels: usize) -> String {
    nested(r#"{"op":"mul","x":"#, levels, "1")
}

/// Items of the same kind, of a mebibyte together.
fn mebibyte(item: &str) -> String {
    let items = vec![item; ((1 << 20) - 64) / (item.len() + 1)].join(",");
    format!(r#"{{"a":{{"samples":[{items}]}}}}"#)
}

/// An expression, told apart by its operator.
const EXPRESSION: &str = r##"{"$defs":{"e":{"anyOf":[
    {"properties":{"op":{"const":"add"},"x":{"$ref":"#/$defs/e"}}},
    {"properties":{"op":{"const":"neg"},"x":{"$ref":"#/$defs/e"}}}]}},"$ref":"#/$defs/e"}"##;

/// The same, with its cases told apart first.
const CASES: &str = r##"{"$defs":{"e":{"allOf":[
    {"if":{"properties":{"op":{"const":"add"}}},"then":{"properties":{"x":{"$ref":"#/$defs/e"}}}},
    {"if":{"properties":{"op":{"const":"neg"}}},"then":{"properties":{"x":{"$ref":"#/$defs/e"}}}}]}},"$ref":"#/$defs/e"}"##;

const SAMPLES: &str = r#"{"type":"object","properties":{"a":{"type":"object","properties":{
    "samples":{"type":"array","items":{"type":"number"}}}}}}"#;

#[test]
fn what_doubles_at_each_level_is_too_much_where_it_is_deep() {
    assert_eq!(too_much(EXPRESSION, &deep(10)), None);
    assert_eq!(too_much(EXPRESSION, &deep(30)), Some(TooMuch::Ways));
    assert_eq!(too_much(EXPRESSION, &deep(100)), Some(TooMuch::Ways));
    let chain: Vec<_> = (0..40)
        .map(|n| format!(r##""a{n}":{{"allOf":[{0},{0}]}}"##, format!(r##"{{"$ref":"#/$defs/a{}"}}"##, n + 1)))
        .collect();
    let chain = format!(r##"{{"$ref":"#/$defs/a0","$defs":{{{},"a40":{{"type":"string"}}}}}}"##, chain.join(","));
    assert_eq!(too_much(&chain, "1"), Some(TooMuch::Ways));
}

#[test]
fn what_each_part_of_the_data_has_one_way_to_is_not() {
    let tree = r##"{"properties":{"left":{"$ref":"#"},"right":{"$ref":"#"}},"additionalProperties":{"$ref":"#"},
        "items":{"$ref":"#"},"patternProperties":{"^x":{"$ref":"#"}}}"##;
    let deep = format!("{}1{}", r#"{"left":{"other":["#.repeat(40), "]}}".repeat(40));
    assert_eq!(too_much(tree, &deep), None);
    let wide = format!("[{}]", vec![r#"{"left":1,"right":{"x":2}}"#; 20_000].join(","));
    assert_eq!(too_much(tree, &wide), None);
}

#[test]
fn many_errors_of_a_large_text_are_too_much_too() {
    let kinds: Vec<_> = (0..100).map(|n| format!(r#"{{"const":{n}}}"#)).collect();
    let schema = format!(r#"{{"items":{{"anyOf":[{}]}}}}"#, kinds.join(","));
    assert_eq!(effort(&schema).shape.map(|shape| shape.steps), Some(3));
    assert_eq!(too_much(&schema, &format!("[{}\"\"]", "\"\",".repeat(1000))), None);
    assert_eq!(too_much(&schema, &format!("[{}\"\"]", "\"\",".repeat(100_000))), Some(TooMuch::Size));
}

#[test]
fn cases_that_are_told_apart_count_once_however_deep() {
    for op in ["add", "neg", "mul"] {
        let data = nested(&format!(r#"{{"op":"{op}","x":"#), 100, "1");
        assert_eq!(too_much(CASES, &data), None, "{op}");
        assert_eq!(checked(CASES, &data), Ok(()), "{op}");
    }
    // Without the field both conditions hold.
    assert_eq!(too_much(CASES, &nested(r#"{"x":"#, 100, "1")), Some(TooMuch::Ways));
    let matched = CASES.replace(r#"{"const":"add"}"#, r#"{"pattern":"^a"}"#);
    assert_eq!(too_much(&matched, &nested(r#"{"op":"neg","x":"#, 100, "1")), None);
    let unknown = CASES.replace(r#"{"const":"add"}"#, r#"{"format":"date"}"#);
    assert_eq!(too_much(&unknown, &nested(r#"{"op":"neg","x":"#, 100, "1")), Some(TooMuch::Ways));
}

#[test]
fn what_depends_on_a_field_counts_where_that_is() {
    let schema = r##"{"properties":{"x":{"$ref":"#"}},"dependentSchemas":{"y":{"properties":{"x":{"$ref":"#"}}}}}"##;
    assert_eq!(too_much(schema, &deep(100)), None);
    assert_eq!(too_much(schema, &nested(r#"{"y":1,"x":"#, 100, "1")), Some(TooMuch::Ways));
}

#[test]
fn what_is_unevaluated_counts_each_field_once() {
    let schema = r##"{"properties":{"x":{"$ref":"#"}},"allOf":[{"properties":{"op":{"const":"mul"}}}],
        "unevaluatedProperties":false}"##;
    assert_eq!(too_much(schema, &deep(100)), None);
    assert_eq!(checked(schema, &deep(100)), Ok(()));
}

#[test]
fn much_that_is_right_is_not_too_much_and_what_is_told_of_much_that_is_wrong_is_bounded() {
    assert_eq!(checked(SAMPLES, &mebibyte("0")), Ok(()));
    let errors = checked(SAMPLES, &mebibyte(r#""x""#)).unwrap_err();
    assert!(errors.len() == 17 && errors[0].path.starts_with("/a/samples/"), "{errors:?}");
    let bounds = SAMPLES.replace(r#""type":"number""#, r#""type":"integer","minimum":0,"exclusiveMaximum":9"#);
    assert_eq!(checked(&bounds, &mebibyte("7")), Ok(()));
    let kinds = SAMPLES.replace(r#"{"type":"number"}"#, r#"{"anyOf":[{"type":"null"},{"pattern":"^a"}]}"#);
    let errors = checked(&kinds, &mebibyte(r#""""#)).unwrap_err();
    assert!(errors[0].reason.ends_with("send less at once"), "{errors:?}");
}

#[test]
fn each_name_is_held_to_all_that_its_schema_leads_to() {
    let patterns: Vec<_> = (0..20).map(|n| format!(r#"{{"pattern":"^x{n}$"}}"#)).collect();
    let schema = format!(r#"{{"propertyNames":{{"anyOf":[{}]}}}}"#, patterns.join(","));
    let names = |count: usize| {
        let names: Vec<_> = (0..count).map(|n| format!(r#""k{n}":0"#)).collect();
        format!("{{{}}}", names.join(","))
    };
    assert_eq!(too_much(&schema, &names(1000)), None);
    assert_eq!(too_much(&schema, &names(100_000)), Some(TooMuch::Size));
}

#[test]
fn too_many_fields_for_their_patterns_are_too_much_before_one_is_matched() {
    let fields: Vec<_> = (0..20).map(|n| format!(r#""a{n}":{{}}"#)).collect();
    let data = serde_json::from_str(&format!("{{{}}}", fields.join(","))).unwrap();
    let effort = effort(r##"{"patternProperties":{"^a":{"$ref":"#"}}}"##);
    // One that is matched leads on for too many steps.
    let most = |visits| Limits { visits, steps: 1, ..Limits::MOST };
    assert_eq!(effort.count(&data, most(1000)), Err(TooMuch::Deep));
    assert_eq!(effort.count(&data, most(10)), Err(TooMuch::Size));
}

/// What holds the innermost part to more, which has 256 ways to it below eight levels, and 16 below four.
fn held_innermost(assertions: &str, data: &str) -> [Option<TooMuch>; 2] {
    let schema = CASES.replace(r#""allOf":["#, &format!(r#"{assertions},"allOf":["#));
    [4, 8].map(|levels| too_much(&schema, &nested(r#"{"x":"#, levels, data)))
}

#[test]
fn a_part_counts_as_more_the_larger_it_is() {
    let fields: Vec<_> = (0..50_000).map(|n| format!(r#""k{n}":1"#)).collect();
    let many = held_innermost(r#""title":"it looks at none""#, &format!("{{{}}}", fields.join(",")));
    assert_eq!(many, [None, Some(TooMuch::Ways)], "the validator walks them all the same");
    let text = format!(r#""{}""#, "x".repeat(1_100_000));
    for (assertion, expected) in [("pattern", r#""^x+$""#), ("format", r#""regex""#)] {
        let long = held_innermost(&format!(r#""{assertion}":{expected}"#), &text);
        assert_eq!(long, [None, Some(TooMuch::Ways)], "{assertion}");
    }
    assert_eq!(held_innermost(r#""maxLength":2000000"#, &text), [None, None], "to count is quick");
    let list = format!("[{}0]", "0,".repeat(150_000));
    assert_eq!(held_innermost(r#""uniqueItems":true"#, &list), [None, Some(TooMuch::Ways)]);
    assert_eq!(held_innermost(r#""maxItems":200000"#, &list), [None, None], "they are not told apart");
    let within = format!("[{list},{list},1]");
    assert_eq!(
        held_innermost(r#""uniqueItems":true"#, &within)[1],
        Some(TooMuch::Ways),
        "of few items all is compared"
    );
    let long = format!(r#"{{"{}":1}}"#, "k".repeat(1 << 20));
    let effort = effort(r#"{"patternProperties":{"^k+$":true}}"#);
    let count = effort.count(&serde_json::from_str(&long).unwrap(), Limits::MOST);
    assert!(count.is_ok_and(|visits| visits > 10_000), "{count:?}");
}

#[test]
fn much_that_is_usual_is_not_too_much_and_little_stays_with_the_task() {
    let object = (0..20).map(|n| format!(r#""field{n}":{n}"#)).collect::<Vec<_>>().join(",");
    let list = |count: usize| format!("[{}]", vec![format!("{{{object}}}"); count].join(","));
    let numbers = r#"{"items":{"type":"object","additionalProperties":{"type":"number"}}}"#;
    assert_eq!(too_much(numbers, &list(10_000)), None);
    let count = |schema: &str, data: &str| effort(schema).count(&serde_json::from_str(data).unwrap(), Limits::INLINE);
    assert_eq!(count(numbers, &list(100)).err(), None);
    let codes = r##"{"items":{"$ref":"#/$defs/code"},"$defs":{"code":{"type":"string","pattern":"^[A-Z]{3}$"}}}"##;
    let data = format!("[{}]", vec![r#""EUR""#; 170_000].join(","));
    assert_eq!(too_much(codes, &data), None);
    assert_eq!(checked(codes, &data), Ok(()));
    assert_eq!(count(codes, &format!("[{}]", vec![r#""EUR""#; 1000].join(","))).err(), None);
    assert_eq!(count(r#"{"pattern":"^x*$"}"#, &format!(r#""{}""#, "x".repeat(60_000))).err(), None);
}

#[test]
fn to_tell_multiples_takes_no_more_than_to_look_at_them() {
    let schema = r#"{"items":{"oneOf":[{"multipleOf":5},{"multipleOf":7}]}}"#;
    let fit: Vec<_> = (0..90_000).map(|n| if n % 2 == 0 { "25" } else { "49" }).collect();
    let data = format!("[{}]", fit.join(","));
    assert_eq!(too_much(schema, &data), None);
    assert_eq!(checked(schema, &data), Ok(()));
    // It is a multiple of both, and what is read of it is not.
    let longer = data.replacen("25", "36893488147419103235", 1);
    assert_eq!(checked(schema, &longer).unwrap_err()[0].path, "/0");
}

#[test]
fn what_is_more_than_is_remembered_is_counted_all_the_same() {
    let count = |known: usize, schema: &str, data: &str| {
        let most = Limits { visits: 10_000, known, ..Limits::MOST };
        effort(schema).count(&serde_json::from_str(data).unwrap(), most).err()
    };
    let wide = format!("[{}[0]]", "[0],".repeat(1000));
    assert_eq!(count(10, r##"{"items":{"$ref":"#"}}"##, &wide), None);
    assert_eq!(count(10, EXPRESSION, &deep(100)), Some(TooMuch::Size), "it ends for all that");
    let round = r##"{"$ref":"#/$defs/a","$defs":{"a":{"anyOf":[{"$ref":"#"},{"items":{"$ref":"#"}}]}}}"##;
    assert_eq!(count(0, round, "[[1]]"), None, "where it is at is remembered always");
}

#[test]
fn references_by_the_way_are_counted_where_there_are_several_resources() {
    let tree = r##"{"$id":"https://a.b/top","$ref":"tree","$defs":{"tree":{"$id":"tree","$dynamicAnchor":"n","anyOf":[
        {"properties":{"op":{"const":"add"},"x":{"$dynamicRef":"#n"}}},
        {"properties":{"op":{"const":"neg"},"x":{"$dynamicRef":"#n"}}}]}}}"##;
    assert_eq!(too_much(tree, &deep(5)), None);
    assert_eq!(too_much(tree, &deep(100)), Some(TooMuch::Ways));
    assert!(checked(tree, &deep(5)).is_err());
    let strict = r##"{"$id":"https://a.b/strict","$dynamicAnchor":"n","$ref":"tree","$defs":{"tree":{"$id":"tree",
        "$dynamicAnchor":"n","properties":{"x":{"$dynamicRef":"#n"}}}}}"##;
    assert_eq!(too_much(strict, &deep(100)), None, "one of two at each level is one");
    let before = r##"{"$schema":"https://json-schema.org/draft/2019-09/schema","$id":"https://a.b/top","$ref":"tree",
        "$defs":{"tree":{"$id":"tree","$recursiveAnchor":true,"anyOf":[
        {"properties":{"op":{"const":"add"},"x":{"$recursiveRef":"#"}}},
        {"properties":{"op":{"const":"neg"},"x":{"$recursiveRef":"#"}}}]}}}"##;
    assert_eq!(too_much(before, &deep(100)), Some(TooMuch::Ways));
}

/// A schema with so many steps in place for each level.
fn stairs(steps: usize) -> String {
    let last = steps - 2;
    let step = |n: usize| format!(r##""s{n}":{{"$ref":"#/$defs/s{}"}}"##, n + 1);
    let steps: Vec<_> = (0..last).map(step).collect();
    format!(
        r##"{{"$ref":"#/$defs/s0","$defs":{{{},"s{last}":{{"type":"object","properties":{{"x":{{"$ref":"#/$defs/s0"}}}}}}}}}}"##,
        steps.join(",")
    )
}

#[test]
fn the_deepest_that_is_allowed_overflows_no_stack() {
    let levels = |innermost: &str| nested(r#"{"x":"#, 125, innermost);
    let check = move || {
        let schema = stairs(15);
        assert_eq!(checked(&schema, &levels("{}")), Ok(()));
        let errors = checked(&schema, &levels("1")).unwrap_err();
        assert!(errors[0].path.ends_with("/x/x"), "{errors:?}");
        let errors = checked(&stairs(20), &levels("{}")).unwrap_err();
        assert!(errors[0].reason.contains("for too many steps"), "{errors:?}");
        // As much as is done without a stack of its own.
        assert_eq!(checked(&stairs(15), &nested(r#"{"x":"#, 2, "{}")), Ok(()));
    };
    std::thread::Builder::new().stack_size(2 << 20).spawn(check).unwrap().join().unwrap();
}

#[test]
fn what_is_heavy_waits_for_its_turn_and_what_is_little_does_not() {
    let is_heavy = |schema: &str, data: &str| {
        let checked = TypeSchema::read("a.json", schema).unwrap().check(data.as_bytes(), &mut Allowance::light());
        checked == Err(Unfit::TooMuch)
    };
    assert!(!is_heavy(SAMPLES, r#"{"a":{"samples":[1,2,3]}}"#));
    assert!(is_heavy(SAMPLES, &mebibyte("0")));
    let text = format!(r#"{{"text":"{}"}}"#, "x".repeat(100_000));
    assert!(!is_heavy(SAMPLES, &text), "it has few parts");
    assert!(!is_heavy(EXPRESSION, &deep(3)) && is_heavy(EXPRESSION, &deep(30)));
    assert!(!is_heavy(EXPRESSION, "{"), "it is refused at once");
    assert!(is_heavy(&stairs(15), &nested(r#"{"x":"#, 50, "{}")), "it needs a stack of its own");
}

#[test]
fn many_that_are_light_are_so_together_until_they_take_much_and_one_is_heavy_by_itself() {
    let (usual, samples) = (TypeSchema::read("a.json", CASES).unwrap(), TypeSchema::read("a.json", SAMPLES).unwrap());
    let data = nested(r#"{"x":"#, 10, "1");
    let mut light = Allowance::light();
    assert!((0..24).all(|_| usual.check(data.as_bytes(), &mut light) == Ok(())), "it is thrice what one may take");
    assert!(light.left > LIGHT_VISITS_OF_ALL / 2);
    let left = light.left;
    assert_eq!(samples.check(mebibyte("0").as_bytes(), &mut light), Err(Unfit::TooMuch));
    assert_eq!(light.left, left, "it would have been enough");
    assert!((0..64).any(|_| usual.check(data.as_bytes(), &mut light) == Err(Unfit::TooMuch)));
}

#[test]
fn what_is_taken_for_one_is_not_there_for_the_next() {
    let schema = TypeSchema::read("a.json", CASES).unwrap();
    let data = nested(r#"{"x":"#, 10, "1");
    let mut light = Allowance { left: Limits::LIGHT.visits, ..Allowance::light() };
    assert!((0..8).all(|_| schema.check(data.as_bytes(), &mut light) == Ok(())));
    assert_eq!(schema.check(data.as_bytes(), &mut light), Err(Unfit::TooMuch));
    let mut most = Allowance { left: 20_000, ..Allowance::most() };
    assert_eq!(schema.check(data.as_bytes(), &mut most), Ok(()));
    assert_eq!(schema.check(data.as_bytes(), &mut most), Err(Unfit::TooMuch));
    let alone = schema.check(nested(r#"{"x":"#, 100, "1").as_bytes(), &mut most);
    assert!(matches!(alone, Err(Unfit::Wrong(_))), "it is too much for one alone: {alone:?}");
}

#[test]
fn what_is_taken_to_be_known_is_what_the_validator_says() {
    let schemas = [
        "true",
        "false",
        r#"{"type":"integer"}"#,
        r#"{"type":["null","string","object"]}"#,
        r#"{"const":1.0}"#,
        r#"{"enum":[null,"a",1,-1,[1],true]}"#,
        r#"{"required":["a"],"minProperties":1,"maxProperties":1}"#,
        r#"{"minimum":1,"exclusiveMaximum":3}"#,
        r#"{"maximum":1,"exclusiveMinimum":-1}"#,
        r#"{"minLength":1,"maxLength":2}"#,
        r#"{"pattern":"^a"}"#,
        r#"{"pattern":"^\\w{3}$","type":"string"}"#,
        r#"{"multipleOf":2}"#,
        r#"{"multipleOf":0.5,"format":"email"}"#,
        r#"{"not":{"multipleOf":1e-3}}"#,
        r#"{"$schema":"http://json-schema.org/draft-04/schema#","multipleOf":2}"#,
        r#"{"minItems":1,"maxItems":2,"uniqueItems":true}"#,
        r#"{"properties":{"a":{"const":1}},"additionalProperties":false}"#,
        r#"{"patternProperties":{"^a":{"type":"string"}},"additionalProperties":{"type":"null"}}"#,
        r#"{"prefixItems":[{"type":"integer"}],"items":false}"#,
        r#"{"anyOf":[{"type":"string"},{"minimum":2}]}"#,
        r#"{"oneOf":[{"type":"integer"},{"minimum":2},{"type":"string"}]}"#,
        r#"{"not":{"type":["integer","array"]}}"#,
        r#"{"if":{"properties":{"a":{"const":1}}},"then":{"type":"object"},"else":{"required":["b"]}}"#,
        r#"{"contains":{"type":"integer"},"minContains":0}"#,
        r#"{"contains":{"type":"integer"}}"#,
        r#"{"contains":{"type":"integer"},"maxContains":1}"#,
        r#"{"propertyNames":{"const":"a"}}"#,
        r#"{"dependentSchemas":{"a":{"required":["b"]}},"dependentRequired":{"b":["a"]}}"#,
        r#"{"allOf":[{"properties":{"a":true}}],"unevaluatedProperties":false}"#,
        r#"{"prefixItems":[true],"unevaluatedItems":false}"#,
        r#"{"$ref":"tree","$defs":{"tree":{"$id":"tree","type":"object","format":"email"}}}"#,
        r#"{"$schema":"http://json-schema.org/draft-04/schema#","const":7,"minimum":1,"exclusiveMinimum":true}"#,
        r##"{"$schema":"http://json-schema.org/draft-07/schema#","$ref":"#/definitions/a","type":"null","definitions":{"a":{}}}"##,
        r#"{"$schema":"http://json-schema.org/draft-07/schema#","dependencies":{"a":["b"],"b":{"type":"null"}}}"#,
    ];
    let data = [
        "null",
        "true",
        "0",
        "1",
        "1.0",
        "-1",
        "2",
        "3",
        "1.5",
        r#""""#,
        r#""a""#,
        r#""ä""#,
        r#""abc""#,
        "[]",
        "[1]",
        "[1.0,2]",
        "[1,1]",
        r#"["a"]"#,
        "[1,2,3]",
        "{}",
        r#"{"a":1}"#,
        r#"{"a":2}"#,
        r#"{"a":1,"b":null}"#,
        r#"{"b":1}"#,
        r#"{"ab":"x"}"#,
        r#"{"ä":null}"#,
    ];
    let mut known = 0;
    for schema in schemas {
        let (effort, validator) = (effort(schema), TypeSchema::read("a.json", schema).unwrap());
        for data in data {
            let surely = count::surely(&effort.places, effort.is_of_the_rest, &serde_json::from_str(data).unwrap());
            known += u32::from(surely.is_some());
            let fits = validator.check_data(data.as_bytes()).is_ok();
            assert!(surely.is_none_or(|surely| surely == fits), "{schema} of {data}: {surely:?}");
        }
    }
    assert!(known > 400, "of most it is known: {known}");
}
