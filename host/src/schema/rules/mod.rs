//! Lifts that need no code: rules over JSON data, written in TOML.
//!
//! Whatever no rule touches keeps its bytes: the order of keys, and numbers of any size.

mod file;
mod node;
mod path;
mod rule;

pub use file::read;
pub use path::{InvalidPath, JsonPath};
pub use rule::{Kind, Rule};

use serde_json::{Value, json};

use super::{NotUpcast, Upcast, Upcasted};
use crate::event::{EventType, RecordedEvent};
use node::Node;

/// One event that a declared lift makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Its type.
    pub event_type: EventType,
    /// What its data has over the data of the event it is made of, rule after rule.
    pub rules: Vec<Rule>,
}

/// A declared lift: one output for each event that it makes; none drops the event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// What it makes.
    pub outputs: Vec<Output>,
}

impl Upcast for Declared {
    fn upcast(&self, event: &RecordedEvent) -> Result<Vec<Upcasted>, NotUpcast> {
        Ok(self.outputs.iter().map(|output| output.of(event)).collect::<Result<_, _>>()?)
    }
}

impl Declared {
    /// What it does, as JSON text that stays the same from release to release: an array of outputs, each a type and its
    /// rules.
    fn identity(&self) -> String {
        let rules = |output: &Output| output.rules.iter().map(Rule::identity).collect::<Vec<_>>();
        let output = |output: &Output| json!([output.event_type.as_str(), rules(output)]);
        Value::from(self.outputs.iter().map(output).collect::<Vec<_>>()).to_string()
    }
}

impl Output {
    fn of(&self, event: &RecordedEvent) -> Result<Upcasted, String> {
        let data = if self.rules.is_empty() { event.data.clone() } else { self.rewritten(&event.data)? };
        Ok(Upcasted { event_type: self.event_type.clone(), data, content_type: event.content_type.clone() })
    }

    fn rewritten(&self, data: &[u8]) -> Result<Vec<u8>, String> {
        let mut root = Node::parse(data).map_err(|error| format!("its data is not JSON: {error}"))?;
        self.rules.iter().try_for_each(|rule| rule.apply(&mut root))?;
        Ok(root.into_bytes())
    }
}
