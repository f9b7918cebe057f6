//! `multipleOf`, by the digits of numbers: the validator divides floating-point numbers, by which 19.99 is no multiple of
//! 0.01, and 9007199254740993 is one of 2.
//!
//! The validator is given a copy of the document in which a format of our own stands for each `multipleOf`, one for each
//! divisor. A format is code that knows nothing but the number, so the divisors wait on the thread while data are held to
//! the document; so do the texts of numbers that say something else than the number that was read of them, each by where
//! that one is: the validator and the count look at the very values that were read.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::error::Error;
use std::fmt;
use std::ptr;
use std::sync::Arc;

use boon::Format;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value, json};
use url::Url;

use super::outline::{Leads, Outline};

/// The keyword.
const KEYWORD: &str = "multipleOf";
/// With what the names of our formats begin.
const PREFIX: &str = "tidemill:multiple-of:";
/// Most digits of a number that are looked at: one with more is a multiple of nothing.
const DIGITS_MAX: usize = 256;
/// Digits that are divided at once.
const DIGITS_AT_ONCE: usize = 18;
/// Texts up to this length are read as they stand, unless they have an exponent.
const EXACT_BYTES: usize = 15;
/// Most bytes of a number that are told: it may be wrong in very many ways.
const NUMBER_TOLD_BYTES_MAX: usize = 64;

macro_rules! formats {
    ($($at:literal)*) => {
        [$(Format { name: concat!("tidemill:multiple-of:", $at), func: held_to::<$at> }),*]
    };
}

/// By the index of the divisor: as many as a document may have different ones.
static FORMATS: [Format; 64] = formats!(
    0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31
    32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63
);

thread_local! {
    /// What data are held to on this thread now.
    static NOW: RefCell<Option<Now>> = const { RefCell::new(None) };
}

struct Now {
    divisors: Arc<[Divisor]>,
    texts: Texts,
}

/// The different divisors of a document.
pub(super) struct Divisors(Arc<[Divisor]>);

/// What a number must be a multiple of: digits, times ten to the power of the exponent, which is above 0 only where the
/// number is larger than `u64::MAX`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Divisor {
    told: String,
    digits: u64,
    exponent: i64,
}

/// A number without its sign: digits, of which neither the first nor the last is 0, times ten to the power of the
/// exponent. There are none of 0.
#[derive(Debug, PartialEq, Eq)]
struct Decimal {
    digits: String,
    exponent: i64,
}

/// Numbers that were read as something else than they say, each by its address among the data that were read: what is
/// told of it, and its digits.
#[derive(Default)]
struct Texts(HashMap<*const Number, (String, Decimal)>);

/// Data that were read, beside whose text they are walked.
struct Beside<'a> {
    data: &'a Value,
    texts: &'a mut Texts,
}

impl Divisors {
    /// Takes them out of a document that knows itself by a URL; answers the document for the validator, too.
    ///
    /// # Errors
    /// Words for it when there are too many.
    pub(super) fn take_out(document: &Value, url: &str) -> Result<(Value, Self), String> {
        let (mut document, mut divisors) = (document.clone(), Vec::<Divisor>::new());
        for place in held(&document, url) {
            let Some(Value::Object(fields)) = document.pointer_mut(&place) else { continue };
            let Some(divisor) = fields.get(KEYWORD).and_then(Divisor::of) else { continue };
            let known = divisors.iter().position(|other| *other == divisor);
            let at = known.unwrap_or_else(|| {
                divisors.push(divisor);
                divisors.len() - 1
            });
            let most = FORMATS.len();
            let format = FORMATS.get(at).ok_or_else(|| format!("at most {most} different {KEYWORD} are allowed"))?;
            put(fields, format.name);
        }
        Ok((document, Self(divisors.into())))
    }

    /// The formats that stand for them.
    pub(super) fn formats(&self) -> impl Iterator<Item = Format> {
        FORMATS.iter().take(self.0.len()).copied()
    }

    /// Has a check of data know them; `text` is what they were read of. The check looks at these very values, which stay
    /// where they are.
    pub(super) fn with<T>(&self, text: &[u8], data: &Value, check: impl FnOnce() -> T) -> T {
        if self.0.is_empty() {
            return check();
        }
        let now = Now { divisors: Arc::clone(&self.0), texts: Texts::of(text, data) };
        let before = NOW.replace(Some(now));
        let checked = check();
        NOW.set(before);
        checked
    }
}

impl Divisor {
    /// That of a keyword; none where that is no number above 0, which the validator refuses.
    pub(super) fn of(value: &Value) -> Option<Self> {
        let told = value.as_number().filter(|number| number.as_f64().is_some_and(|number| number > 0.0))?.to_string();
        let Decimal { digits, exponent } = Decimal::of(&told);
        let digits = digits.parse::<u64>().ok().filter(|digits| *digits > 0)?;
        let power = u32::try_from(exponent).ok().and_then(|exponent| 10_u64.checked_pow(exponent));
        let (digits, exponent) = match power.and_then(|power| power.checked_mul(digits)) {
            Some(whole) => (whole, 0),
            None => (digits, exponent),
        };
        Some(Self { told, digits, exponent })
    }

    /// Whether a number is a multiple of it: one among the data that are checked now, where it is.
    pub(super) fn divides(&self, number: &Number) -> bool {
        NOW.with_borrow(|now| self.refused(number, now.as_ref().map(|now| &now.texts)).is_none())
    }

    /// What a number says that is no multiple of it; none where it is one.
    fn refused(&self, number: &Number, texts: Option<&Texts>) -> Option<String> {
        if let Some(whole) = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs)) {
            return (!self.divides_whole(whole)).then(|| number.to_string());
        }
        if let Some((told, decimal)) = texts.and_then(|texts| texts.0.get(&ptr::from_ref(number))) {
            return (!self.divides_decimal(decimal)).then(|| told.clone());
        }
        let told = number.to_string();
        (!self.divides_decimal(&Decimal::of(&told))).then_some(told)
    }

    fn divides_whole(&self, whole: u64) -> bool {
        // With an exponent above 0 it is larger than any of them.
        let Ok(places) = u64::try_from(-self.exponent) else { return whole == 0 };
        self.shifted(whole % self.digits, places) == 0
    }

    fn divides_decimal(&self, Decimal { digits, exponent }: &Decimal) -> bool {
        if digits.is_empty() {
            return true;
        }
        // The last digit is not 0: what has more places than the divisor, or fewer zeros, is no multiple.
        let Ok(places) = u64::try_from(exponent.saturating_sub(self.exponent)) else { return false };
        if digits.len() > DIGITS_MAX {
            return false;
        }
        let divisor = u128::from(self.digits);
        let rest = digits.as_bytes().chunks(DIGITS_AT_ONCE).fold(0_u128, |rest, chunk| {
            chunk.iter().fold(rest, |all, digit| all * 10 + u128::from(digit.saturating_sub(b'0'))) % divisor
        });
        u64::try_from(rest).is_ok_and(|rest| self.shifted(rest, places) == 0)
    }

    /// What is left of a rest with so many zeros behind it.
    fn shifted(&self, rest: u64, mut places: u64) -> u128 {
        let divisor = u128::from(self.digits);
        let (mut rest, mut power) = (u128::from(rest) % divisor, 10 % divisor);
        while places > 0 && rest > 0 {
            if places % 2 == 1 {
                rest = rest * power % divisor;
            }
            power = power * power % divisor;
            places /= 2;
        }
        rest
    }
}

impl Decimal {
    /// That of a number in JSON.
    fn of(text: &str) -> Self {
        let text = text.trim_start_matches('-');
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, places) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        // It is so long that it is not told apart from one that is a little longer.
        let longest = if exponent.starts_with('-') { i64::MIN / 2 } else { i64::MAX / 2 };
        let exponent: i64 = exponent.parse().unwrap_or(longest);
        let all = format!("{whole}{places}");
        let until = all.trim_end_matches('0');
        let zeros = all.len() - until.len();
        let digits = until.trim_start_matches('0').to_owned();
        if digits.is_empty() {
            return Self { digits, exponent: 0 };
        }
        let [zeros, places] = [zeros, places.len()].map(|count| i64::try_from(count).unwrap_or(i64::MAX / 4));
        Self { digits, exponent: exponent.saturating_add(zeros).saturating_sub(places) }
    }
}

impl Texts {
    /// Those of data, and of the text in JSON that they were read of.
    fn of(text: &[u8], data: &Value) -> Self {
        let mut texts = Self::default();
        let beside = Beside { data, texts: &mut texts };
        let walked = beside.deserialize(&mut serde_json::Deserializer::from_slice(text));
        debug_assert!(walked.is_ok(), "it was read before");
        texts
    }

    /// Notes a number, if its text says something else than was read of it.
    fn note(&mut self, number: &Number, text: &str) {
        if text.len() <= EXACT_BYTES && !text.contains(['e', 'E']) {
            return;
        }
        let decimal = Decimal::of(text);
        if decimal != Decimal::of(&number.to_string()) {
            let told = match text.get(..NUMBER_TOLD_BYTES_MAX) {
                Some(start) if start.len() < text.len() => format!("{start}…"),
                _ => text.to_owned(),
            };
            self.0.insert(ptr::from_ref(number), (told, decimal));
        }
    }
}

impl<'de> DeserializeSeed<'de> for Beside<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.data {
            Value::Array(_) => deserializer.deserialize_seq(self),
            Value::Object(_) => deserializer.deserialize_map(self),
            Value::Number(number) if number.is_f64() => {
                let text = <&RawValue>::deserialize(deserializer)?;
                self.texts.note(number, text.get());
                Ok(())
            }
            _ => IgnoredAny::deserialize(deserializer).map(|_| ()),
        }
    }
}

impl<'de> Visitor<'de> for Beside<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what was read before")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Self { data, texts } = self;
        for data in data.as_array().into_iter().flatten() {
            items.next_element_seed(Beside { data, texts: &mut *texts })?;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let Self { data, texts } = self;
        while let Some(name) = fields.next_key::<String>()? {
            let Some(data) = data.get(&name) else {
                fields.next_value::<IgnoredAny>()?;
                continue;
            };
            fields.next_value_seed(Beside { data, texts: &mut *texts })?;
        }
        Ok(())
    }
}

/// Whether a format is one of ours: what it says of a number is all there is to say.
pub(super) fn is_own(format: &str) -> bool {
    format.starts_with(PREFIX)
}

/// The places of all schemas that data may be held to.
fn held(document: &Value, url: &str) -> BTreeSet<String> {
    let Ok(url) = Url::parse(url) else { return BTreeSet::new() };
    let mut outline = Outline::of(document, url);
    loop {
        // What is found on the way may be what a reference before it leads to.
        let (size, mut known, mut ahead) = (outline.size(), BTreeSet::new(), vec![String::new()]);
        while let Some(place) = ahead.pop() {
            if known.contains(&place) {
                continue;
            }
            let Leads { same, dynamic, within } = outline.leads(&place);
            ahead.extend(same.into_iter().map(|(_, place)| place));
            ahead.extend(within.into_iter().map(|(_, place)| place));
            ahead.extend(dynamic.into_iter().flatten());
            known.insert(place);
        }
        if outline.size() == size {
            return known;
        }
    }
}

/// Puts a format in place of the keyword: beside another one as one more that must hold, too. What no validator takes
/// stays as it is, to be refused.
fn put(fields: &mut Map<String, Value>, format: &str) {
    if !fields.contains_key("format") {
        fields.remove(KEYWORD);
        fields.insert("format".to_owned(), format.into());
        return;
    }
    let more = json!({ "format": format });
    match fields.get_mut("allOf") {
        None => drop(fields.insert("allOf".to_owned(), json!([more]))),
        Some(Value::Array(all)) if !all.is_empty() => all.push(more),
        Some(_) => return,
    }
    fields.remove(KEYWORD);
}

fn held_to<const AT: usize>(value: &Value) -> Result<(), Box<dyn Error>> {
    let Value::Number(number) = value else { return Ok(()) };
    NOW.with_borrow(|now| {
        let Some((now, divisor)) = now.as_ref().and_then(|now| Some((now, now.divisors.get(AT)?))) else {
            return Ok(());
        };
        match divisor.refused(number, Some(&now.texts)) {
            Some(told) => Err(format!("{told} is no multiple of {}", divisor.told).into()),
            None => Ok(()),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::types::TypeSchema;
    use super::*;

    fn is_multiple(number: &str, divisor: &str) -> bool {
        let schema = format!(r#"{{"properties":{{"n":{{"multipleOf":{divisor}}}}}}}"#);
        let schema = TypeSchema::read("a.json", &schema).unwrap();
        schema.check_data(format!(r#"{{"a\"{{1e9":"\\","n":{number}}}"#).as_bytes()).is_ok()
    }

    #[test]
    fn every_amount_of_cents_is_a_multiple_of_one() {
        let schema = TypeSchema::read("a.json", r#"{"items":{"multipleOf":0.01}}"#).unwrap();
        let amounts: Vec<_> = (0..=2000).map(|cents| format!("{}.{:02}", cents / 100, cents % 100)).collect();
        assert_eq!(schema.check_data(format!("[{}]", amounts.join(",")).as_bytes()), Ok(()));
        let errors = schema.check_data(b"[19.99,19.995]").unwrap_err();
        assert_eq!((errors.len(), errors[0].path.as_str()), (1, "/1"));
        assert_eq!(errors[0].reason, "19.995 is no multiple of 0.01");
    }

    #[test]
    fn numbers_of_any_length_are_told_apart() {
        for (number, divisor) in [
            ("9007199254740994", "2"),
            ("18446744073709551614", "2"),
            ("36893488147419103232", "2"),
            ("-4", "2"),
            ("4.0", "2"),
            ("0", "7"),
            ("-0.0", "0.3"),
            ("1e300", "1e299"),
            ("1e-7", "1E-8"),
            ("0.30", "0.1"),
            ("1.50000000000000000000000000", "0.5"),
            ("12345678901234567890.5", "0.5"),
            ("18446744073709551615", "18446744073709551615"),
        ] {
            assert!(is_multiple(number, divisor), "{number} of {divisor}");
        }
        for (number, divisor) in [
            ("9007199254740993", "2"),
            ("18446744073709551615", "2"),
            ("36893488147419103233", "2"),
            ("-36893488147419103233", "2"),
            ("1e22", "4e21"),
            ("3", "1e300"),
            ("0.07", "0.02"),
            ("1e-400", "0.1"),
            ("0.30000000000000004", "0.1"),
            ("1.0000000000000000000000001", "0.5"),
        ] {
            assert!(!is_multiple(number, divisor), "{number} of {divisor}");
        }
        assert!(!is_multiple(&format!("1.{}", "5".repeat(DIGITS_MAX)), "0.5"));
    }

    #[test]
    fn what_a_number_says_is_asked_of_that_number_alone() {
        let schema = r#"{"properties":{"price":{"multipleOf":0.01},"list":{"items":{"multipleOf":2}}}}"#;
        let schema = TypeSchema::read("a.json", schema).unwrap();
        let wrong = |data: &str| match schema.check_data(data.as_bytes()) {
            Ok(()) => Vec::new(),
            Err(errors) => errors.into_iter().map(|error| format!("{}: {}", error.path, error.reason)).collect(),
        };
        // Both are read as the same number.
        let [cents, more] = ["0.1", "0.10000000000000001"];
        assert_eq!(wrong(&format!(r#"{{"raw":{more},"price":{cents},"z":[{{"raw":{more}}}]}}"#)), Vec::<String>::new());
        let reason = "/price: 0.10000000000000001 is no multiple of 0.01";
        assert_eq!(wrong(&format!(r#"{{"raw":{cents}, "pr\u0069ce" : {more} ,"z":"\"{cents}"}}"#)), [reason]);
        let reason = "/list/1: 36893488147419103233 is no multiple of 2";
        let list = r#"{"list":[36893488147419103232,36893488147419103233 ,[1,{}],36893488147419103232]}"#;
        assert_eq!(wrong(list), [reason]);
        let not = TypeSchema::read("a.json", r#"{"not":{"properties":{"price":{"multipleOf":0.01}}}}"#).unwrap();
        assert!(not.check_data(format!(r#"{{"price":{cents},"raw":{more}}}"#).as_bytes()).is_err());
    }

    #[test]
    fn numbers_that_are_read_as_the_same_one_are_looked_at_once_each() {
        let schema = TypeSchema::read("a.json", r#"{"items":{"multipleOf":2}}"#).unwrap();
        // To look at each for each of them would take billions of divisions.
        let list = format!("[{}]", vec!["36893488147419103232"; 45_000].join(","));
        assert_eq!(schema.check_data(list.as_bytes()), Ok(()));
        let long = format!("1.{}", "5".repeat(100_000));
        let errors = schema.check_data(format!("[{long}]").as_bytes()).unwrap_err();
        assert_eq!(errors[0].reason, format!("{}… is no multiple of 2", &long[..NUMBER_TOLD_BYTES_MAX]));
    }

    #[test]
    fn it_holds_wherever_it_stands_and_beside_what_stands_there() {
        for (schema, fit, unfit) in [
            (r##"{"$ref":"#/$defs/n","$defs":{"n":{"multipleOf":0.01}}}"##, "0.07", "0.075"),
            (r##"{"$ref":"#/x/n","x":{"n":{"multipleOf":0.01}}}"##, "0.07", "0.075"),
            (r#"{"oneOf":[{"multipleOf":0.1},{"multipleOf":0.07}]}"#, "0.14", "0.7"),
            (r#"{"not":{"multipleOf":0.01}}"#, "0.075", "0.07"),
            (r#"{"format":"email","multipleOf":2}"#, "9007199254740992", "9007199254740993"),
            (r#"{"format":"email","allOf":[{"minimum":3}],"multipleOf":2}"#, "4", "2"),
            (r#"{"format":"email","multipleOf":2}"#, r#""a@b.c""#, r#""a""#),
            (
                r#"{"$schema":"http://json-schema.org/draft-04/schema#","items":{"multipleOf":0.01}}"#,
                "[0.07]",
                "[0.075]",
            ),
            (r#"{"enum":[{"multipleOf":2}]}"#, r#"{"multipleOf":2}"#, r#"{"format":2}"#),
        ] {
            let read = TypeSchema::read("a.json", schema).unwrap();
            assert_eq!(read.check_data(fit.as_bytes()), Ok(()), "{schema}");
            assert!(read.check_data(unfit.as_bytes()).is_err(), "{schema}");
        }
    }

    #[test]
    fn what_is_no_divisor_is_refused_and_so_are_too_many() {
        for wrong in [r#"{"multipleOf":0}"#, r#"{"multipleOf":-1}"#, r#"{"multipleOf":"2"}"#] {
            let error = TypeSchema::read("a.json", wrong).unwrap_err();
            assert!(error.contains("no JSON Schema"), "{error}");
        }
        let of = |count: usize| {
            let all = (1..=count).map(|n| format!(r#"{{"multipleOf":{n}}}"#)).collect::<Vec<_>>().join(",");
            TypeSchema::read("a.json", &format!(r#"{{"anyOf":[{all},{{"multipleOf":1}}]}}"#)).err()
        };
        assert_eq!(of(FORMATS.len()), None);
        assert_eq!(of(FORMATS.len() + 1).unwrap(), "at most 64 different multipleOf are allowed");
    }
}
