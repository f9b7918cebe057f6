//! The format of a fixture: a JSON file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Asked, KitError};

/// Events that a plugin is given, and what must come of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fixture {
    /// What it shows, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub about: String,
    /// Put over the manifest's `[config]`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, Value>,
    /// What was there before.
    #[serde(default, skip_serializing_if = "Given::is_empty")]
    pub given: Given,
    /// The events that it handles, as they are appended.
    pub when: Vec<Value>,
    /// What must come of them.
    pub then: Then,
}

/// What was there before the first event that is handled.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Given {
    /// The plugin's state, as JSON.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub state: BTreeMap<String, Value>,
    /// Events of the log, handled long ago.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<Value>,
}

/// What must come of the events. What is not said may be anything.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Then {
    /// The plugin's whole state, as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<BTreeMap<String, Value>>,
    /// The events that it appended, in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub appended: Option<Vec<Appended>>,
    /// The events that were set aside, in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letters: Option<Vec<Dead>>,
    /// What it answers when all that is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queries: Option<Vec<Asked>>,
    /// When it has to stop: texts of the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Vec<String>>,
}

/// An event that the plugin appended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Appended {
    /// Index of the event that caused it, in `when`.
    pub cause: usize,
    /// Its type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// Its stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Its payload.
    #[serde(default)]
    pub data: Value,
}

/// An event that was set aside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dead {
    /// Its index in `when`.
    pub event: usize,
    /// What the plugin said, `reject` or `retry`, or what went wrong.
    pub kind: String,
    /// How often it was tried.
    pub attempts: u32,
    /// Texts that the reason holds.
    #[serde(default)]
    pub reason: Vec<String>,
}

impl Then {
    /// Brings appended events into an order that does not follow from when they were.
    pub(super) fn sort_appended(&mut self) {
        let text = |event: &Appended| (event.cause, event.event_type.clone(), event.data.to_string());
        self.appended.iter_mut().for_each(|appended| appended.sort_by_key(text));
    }
}

impl Given {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Fixture {
    /// Reads one.
    ///
    /// # Errors
    /// When it is no fixture, gives nothing, or expects nothing.
    pub fn parse(file: &Path, text: &str) -> Result<Self, KitError> {
        let bad = |reason: String| KitError::NotAFixture { file: file.into(), reason };
        let fixture: Self = serde_json::from_str(text).map_err(|error| bad(error.to_string()))?;
        if fixture.then == Then::default() {
            return Err(bad(
                "it expects nothing: say `state`, `appended`, `dead_letters`, `queries` or `stopped` in `then`, or have it \
                 filled in by --bless"
                    .into(),
            ));
        }
        if fixture.when.is_empty() {
            return Err(bad("`when` has no event, so nothing would be handled".into()));
        }
        Ok(fixture)
    }

    /// The files of fixtures at a place: the file itself, or those of a folder that end in `.json`, by name.
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
        files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
        files.sort();
        if files.is_empty() {
            return Err(KitError::Unreadable {
                file: place.into(),
                reason: "it holds no file that ends in .json".into(),
            });
        }
        Ok(files)
    }
}
