//! How fixtures are written: JSON, or YAML in files that end in `.yaml` or `.yml`.
//!
//! A field that is not known is refused with the nearest known one, so that no expectation is passed over. What is
//! blessed is written back in the format it was read in; of YAML only `then` is written, so comments elsewhere stay.

use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::fixture::{Fixture, Given, Then};
use super::{KitError, Written, possible, shape};
use crate::nearest::unknown;
use crate::runtime::LogLine;

/// Endings of the names of files that are fixtures.
const ENDINGS: [&str; 3] = ["json", "yaml", "yml"];
/// What the reader of YAML says to programmers.
const OF_THE_READER: &str = ", set DuplicateKeyPolicy in Options if acceptable";

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Json,
    Yaml,
}

impl Fixture {
    /// Reads one; `file` tells how it is written.
    ///
    /// # Errors
    /// When it is no fixture, gives nothing, or expects nothing, or what can never come.
    pub fn parse(file: &Path, text: &str) -> Result<Self, KitError> {
        let fixture = read(file, text)?;
        if fixture.then == Then::default() {
            let reason = "it expects nothing: say in `then` what must come, such as `state` or `appended` (of an aggregate \
                          or a validator `outcomes`, of an upcaster `lifted` or `refused`), or have it filled in by --bless";
            return Err(KitError::NotAFixture { file: file.into(), reason: reason.into() });
        }
        possible::check_queries(&fixture).map_err(|reason| KitError::NotAFixture { file: file.into(), reason })?;
        Ok(fixture)
    }

    /// Reads one that may expect nothing yet: what it is to expect follows from the role that it is for,
    /// [`Kit::unsaid`](super::Kit::unsaid).
    ///
    /// # Errors
    /// When it is no fixture, gives nothing, or expects events that there are not.
    pub fn parse_to_bless(file: &Path, text: &str) -> Result<Self, KitError> {
        read(file, text)
    }

    /// The text of a file, written as it was, with another `then`.
    ///
    /// # Errors
    /// When it cannot be rendered.
    pub fn blessed(&self, file: &Path, text: &str) -> Result<String, KitError> {
        let failed = |reason: String| KitError::NotAFixture { file: file.into(), reason };
        match Format::of(file) {
            Format::Json => {
                serde_json::to_string_pretty(self).map(|text| text + "\n").map_err(|error| failed(error.to_string()))
            }
            Format::Yaml => {
                let then = yaml(&serde_json::json!({ "then": self.then })).map_err(failed)?;
                let mended = with_then(text, &then);
                // Where `then` cannot be told from the rest, all of it is written anew.
                match read(file, &mended) {
                    Ok(read) if read == *self => Ok(mended),
                    _ => yaml(self).map_err(failed),
                }
            }
        }
    }

    /// The files of fixtures at a place: the file itself, or those of a folder that end in `.json`, `.yaml` or `.yml`,
    /// by name.
    ///
    /// # Errors
    /// When there is none.
    pub fn files(place: &Path) -> Result<Vec<PathBuf>, KitError> {
        let failed = |source: io::Error| KitError::Unreadable { file: place.into(), reason: source.to_string() };
        if !fs::metadata(place).map_err(failed)?.is_dir() {
            return Ok(vec![place.into()]);
        }
        let entries = fs::read_dir(place).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(failed)?;
        let mut files: Vec<_> = entries.into_iter().map(|entry| entry.path()).collect();
        files.retain(|file| ENDINGS.iter().any(|ending| file.extension().is_some_and(|found| found == *ending)));
        files.sort();
        if files.is_empty() {
            let reason = "it holds no file that ends in .json, .yaml or .yml".into();
            return Err(KitError::Unreadable { file: place.into(), reason });
        }
        Ok(files)
    }
}

impl Format {
    fn of(file: &Path) -> Self {
        match file.extension().and_then(|ending| ending.to_str()) {
            Some("yaml" | "yml") => Self::Yaml,
            _ => Self::Json,
        }
    }

    /// Reads a text twice: for the names and shapes of its fields, then for their values, so that each complaint is the best
    /// one.
    fn read(self, text: &str) -> Result<Fixture, String> {
        match self {
            Self::Json => {
                let value = serde_json::from_str(text).map_err(|error| error.to_string())?;
                shape::check_fields(&value)?;
                shape::check(&value, false)?;
                let fixture = serde_json::from_str::<Fixture>(text).map_err(|error| error.to_string())?;
                with_texts(fixture, text)
            }
            Self::Yaml => {
                let said = |error: serde_saphyr::Error| error.without_snippet().to_string().replace(OF_THE_READER, "");
                let value = serde_saphyr::from_str(text).map_err(said)?;
                shape::check_fields(&value)?;
                shape::check(&value, true)?;
                serde_saphyr::from_str(text).map_err(said)
            }
        }
    }
}

/// The same fixture of JSON, with the texts of its events and commands.
fn with_texts(fixture: Fixture, text: &str) -> Result<Fixture, String> {
    #[derive(Deserialize)]
    struct Texts {
        when: Vec<Box<RawValue>>,
        #[serde(default)]
        given: GivenTexts,
    }
    #[derive(Default, Deserialize)]
    struct GivenTexts {
        #[serde(default)]
        events: Vec<Box<RawValue>>,
    }
    let Texts { when, given } = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let read = |texts: Vec<Box<RawValue>>| {
        texts.iter().map(|text| Written::parse(text.get())).collect::<Result<Vec<_>, String>>()
    };
    let given = Given { events: read(given.events)?, ..fixture.given };
    Ok(Fixture { when: read(when)?, given, ..fixture })
}

fn read(file: &Path, text: &str) -> Result<Fixture, KitError> {
    let bad = |reason: String| KitError::NotAFixture { file: file.into(), reason };
    let mut fixture = Format::of(file).read(text).map_err(bad)?;
    // No query asked is nothing expected.
    fixture.then.queries.take_if(|queries| queries.is_empty());
    if fixture.when.is_empty() {
        return Err(bad("`when` has no event, so nothing would be handled".into()));
    }
    if let Some(index) = fixture.then.outcomes.iter().flatten().position(|outcome| !outcome.says_one_thing()) {
        return Err(bad(format!("outcome {index} of `then`: say one of `events`, `rejection`, `errors` or `error`")));
    }
    possible::check(&fixture).map_err(bad)?;
    let unknown_level = |line: &&LogLine| !LogLine::LEVELS.contains(&line.level.as_str());
    match fixture.then.log.iter().flatten().find(unknown_level) {
        Some(line) => Err(bad(format!("in `then.log`: {}", unknown("level", &line.level, &LogLine::LEVELS)))),
        None => Ok(fixture),
    }
}

fn yaml(value: &impl Serialize) -> Result<String, String> {
    let text = serde_saphyr::to_string(value).map_err(|error| error.to_string())?;
    Ok(if text.ends_with('\n') { text } else { text + "\n" })
}

/// Puts another `then` in the place of the one at the left edge of a text, or at its end.
fn with_then(text: &str, then: &str) -> String {
    let is_key = |line: &str| line.starts_with(|c: char| c.is_alphanumeric() || c == '"' || c == '\'');
    let (mut mended, mut inside, mut found) = (String::with_capacity(text.len() + then.len()), false, false);
    for line in text.split_inclusive('\n') {
        if line.starts_with("then:") && !found {
            (inside, found) = (true, true);
            mended.push_str(then);
        } else if is_key(line) {
            inside = false;
        }
        if !inside {
            mended.push_str(line);
        }
    }
    if !found {
        if !mended.ends_with('\n') {
            mended.push('\n');
        }
        mended.push_str(then);
    }
    mended
}

#[cfg(test)]
mod tests {
    use super::*;

    const YAML: &str = "\
about: A second order makes a VIP.   # for people
config: { vip_cents: 100 }
when:
  # the second one
  - { type: OrderPlaced, data: { customer: ada, cents: 60, sum: 1.5, note: 'no' } }
then:
  state: {}   # not yet
# beside the point
given:
  state: { ada: 50 }
";

    fn refused(name: &str, text: &str) -> String {
        Fixture::parse(Path::new(name), text).unwrap_err().to_string()
    }

    #[test]
    fn yaml_says_the_same_as_json() {
        let fixture = Fixture::parse(Path::new("a.yaml"), YAML).unwrap();
        let json = serde_json::to_string(&fixture).unwrap();
        assert_eq!(Fixture::parse(Path::new("a.json"), &json).unwrap(), fixture);
        assert_eq!(
            fixture.when,
            [Written::from(serde_json::json!({
                "type": "OrderPlaced",
                "data": { "customer": "ada", "cents": 60, "sum": 1.5, "note": "no" }
            }))]
        );
    }

    #[test]
    fn what_is_blessed_keeps_its_format_and_the_rest_of_it() {
        let file = Path::new("a.yml");
        let mut fixture = Fixture::parse(file, YAML).unwrap();
        fixture.then.state = Some([("ada".to_owned(), serde_json::json!({ "no": "1", "x": [1, null] }))].into());
        let blessed = fixture.blessed(file, YAML).unwrap();
        assert_eq!(Fixture::parse(file, &blessed).unwrap(), fixture, "{blessed}");
        assert!(blessed.contains("# for people") && blessed.contains("# the second one"), "{blessed}");
        assert!(!blessed.contains("not yet"), "{blessed}");
        let json = fixture.blessed(Path::new("a.json"), "{}").unwrap();
        assert_eq!(Fixture::parse(Path::new("a.json"), &json).unwrap(), fixture);
    }

    #[test]
    fn payloads_in_json_keep_their_texts_and_are_blessed_so() {
        let (file, data) = (Path::new("a.json"), r#"{"n":18446744073709551616,"b":1,"a":2.50}"#);
        let event = format!(r#"{{"type":"A","data":{data}}}"#);
        let text = format!(r#"{{"given":{{"events":[{event}]}},"when":[{event}],"then":{{"state":{{}}}}}}"#);
        let fixture = Fixture::parse(file, &text).unwrap();
        assert_eq!((fixture.when[0].data(), fixture.given.events[0].data()), (Some(data), Some(data)));
        let blessed = fixture.blessed(file, &text).unwrap();
        assert_eq!(blessed.matches(data).count(), 2, "{blessed}");
    }

    #[test]
    fn one_without_then_is_blessed_at_its_end() {
        let (file, text) = (Path::new("a.yaml"), "when: [{ type: A }]");
        let mut fixture = Fixture::parse_to_bless(file, text).unwrap();
        fixture.then.appended = Some(Vec::new());
        let blessed = fixture.blessed(file, text).unwrap();
        assert!(blessed.starts_with("when: [{ type: A }]\nthen:\n"), "{blessed}");
        assert_eq!(Fixture::parse(file, &blessed).unwrap(), fixture);
        assert!(Fixture::parse_to_bless(file, "when: [{ type: A }]\nthen:\n").is_ok(), "nothing filled in");
    }

    #[test]
    fn an_unknown_field_is_told_with_its_place_and_the_nearest_one() {
        for (name, text, words) in [
            ("a.json", r#"{"wen": []}"#, "unknown field `wen`; did you mean `when`?"),
            (
                "a.json",
                r#"{"when":[{"type":"A"}],"then":{"apended":[]}}"#,
                "in `then`: unknown field `apended`; did you mean `appended`?",
            ),
            (
                "a.yaml",
                "when: [{ type: A }]\nthen:\n  dead_letters: [{ event: 0, kind: reject, attempt: 1 }]",
                "in `then.dead_letters`: unknown field `attempt`; did you mean `attempts`?",
            ),
            (
                "a.yaml",
                "when: [{ type: A }]\nthen: { log: [{ level: warning, message: a }] }",
                "in `then.log`: unknown level `warning`; known are `trace`, `debug`, `info`, `warn`",
            ),
        ] {
            let said = refused(name, text);
            assert!(said.contains(words), "{words} in: {said}");
        }
    }

    #[test]
    fn what_is_no_fixture_is_told_with_its_line() {
        for (name, text, words) in [
            ("a.json", "{\n  \"when\": [}", "line 2"),
            ("a.json", "{\n \"when\": 1 }", "`when` is 1; it is a list"),
            ("a.yaml", "when:\n  - type: [", "line"),
            ("a.yaml", "when:\n  - type: A\nwhen: []\n", "line 3"),
            ("a.yaml", "when: []\nthen: { state: {} }", "`when` has no event"),
            ("a.yaml", "when: [{ type: A }]\nthen: {}", "it expects nothing"),
            ("a.yaml", "when: [{ type: A }]", "it expects nothing"),
            ("a.yaml", "when: [{ type: A }]\nthen: { queries: [] }", "it expects nothing"),
        ] {
            let said = refused(name, text);
            assert!(said.contains(words) && !said.trim_end().contains('\n'), "{words} in: {said}");
        }
    }
}
