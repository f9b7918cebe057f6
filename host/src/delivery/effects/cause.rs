//! What an appended event has of the event that caused it.
//!
//! Events that plugins append carry which event that no plugin made they follow from, and how far they are from it: one
//! more than their cause says, so nothing is looked up. A chain that feeds itself ends where its plugin's limit is;
//! [`storm`](super::super::storm) bounds how many chains one event leads to.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::EffectError;
use crate::document::line_in;
use crate::event::{PluginName, RecordedEvent, metadata_key};

/// The ancestry of events with one cause.
pub(super) struct Cause {
    id: Uuid,
    correlation_id: String,
    /// The event that no plugin made.
    root: Uuid,
    /// How many appends by plugins lead to an event with this cause.
    depth: u64,
}

impl Cause {
    /// The ancestry of what is appended because of an event.
    pub(super) fn of(event: &RecordedEvent) -> Self {
        let metadata = |key: &str| event.metadata.get(key);
        let correlation_id = metadata(metadata_key::CORRELATION_ID).cloned();
        // What is no number was not written by a host, and begins a chain as what has none.
        let depth = metadata(metadata_key::CAUSATION_DEPTH).and_then(|depth| depth.parse::<u64>().ok());
        let root = metadata(metadata_key::CAUSATION_ROOT).and_then(|root| root.parse().ok());
        Self {
            id: event.id,
            root: root.unwrap_or(event.id),
            correlation_id: correlation_id.unwrap_or_else(|| event.id.to_string()),
            depth: depth.unwrap_or(0).saturating_add(1),
        }
    }

    /// Refuses what is further from its first cause than `depth_max`.
    pub(super) fn check(&self, plugin: &PluginName, event_type: &str, depth_max: u32) -> Result<(), EffectError> {
        if self.depth <= depth_max.into() {
            return Ok(());
        }
        Err(EffectError::TooDeep {
            reason: format!(
                "plugin {plugin} may not append {event_type:?}: {depth_max} events that plugins appended lead to its \
                 cause, one because of the other. If they do not feed themselves without end, raise it in its \
                 manifest, {}",
                line_in("limits", "causation_depth", u64::from(depth_max).saturating_mul(2))
            ),
            correlation_id: self.correlation_id.clone(),
        })
    }

    /// Writes it down; what the plugin gave under these keys is replaced.
    pub(super) fn write(self, metadata: &mut BTreeMap<String, String>) {
        metadata.insert(metadata_key::CAUSATION_ID.into(), self.id.to_string());
        metadata.insert(metadata_key::CORRELATION_ID.into(), self.correlation_id);
        metadata.insert(metadata_key::CAUSATION_DEPTH.into(), self.depth.to_string());
        metadata.insert(metadata_key::CAUSATION_ROOT.into(), self.root.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventType, NewEvent, Position, Version};

    fn event(metadata: &[(&str, &str)]) -> RecordedEvent {
        let mut event = NewEvent::json(EventType::new("T").unwrap(), "1");
        event.metadata = metadata.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        RecordedEvent::record(event, Position(1), Version(0), 1)
    }

    fn depth(metadata: &[(&str, &str)]) -> u64 {
        Cause::of(&event(metadata)).depth
    }

    #[test]
    fn depth_is_one_more_than_the_cause_says() {
        assert_eq!((depth(&[]), depth(&[("causation_depth", "1")])), (1, 2));
        assert_eq!((depth(&[("causation_depth", "deep")]), depth(&[("causation_depth", "-1")])), (1, 1));
        assert_eq!(depth(&[("causation_depth", &u64::MAX.to_string())]), u64::MAX, "and cannot begin anew");
    }

    #[test]
    fn a_chain_that_is_too_long_is_named_with_the_line_that_allows_it() {
        let cause = Cause::of(&event(&[("causation_depth", "31"), ("correlation_id", "c-1")]));
        let plugin = PluginName::new("p").unwrap();
        assert!(cause.check(&plugin, "Echoed", 32).is_ok());
        let error = cause.check(&plugin, "Echoed", 31).unwrap_err().to_string();
        assert!(error.contains("in [limits]: causation_depth = 62") && error.contains("c-1"), "{error}");
        assert!(error.contains("plugin p may not append \"Echoed\""), "{error}");
    }

    #[test]
    fn what_a_plugin_says_of_its_causes_is_replaced() {
        let cause = event(&[("causation_depth", "4"), ("correlation_id", "c")]);
        let mut metadata = BTreeMap::from([("causation_depth".to_owned(), "0".to_owned()), ("a".into(), "b".into())]);
        Cause::of(&cause).write(&mut metadata);
        let written: Vec<_> = metadata.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let id = cause.id.to_string();
        let (depth, root) = (("causation_depth", "5"), ("causation_root", &*id));
        assert_eq!(written, [("a", "b"), depth, ("causation_id", &id), root, ("correlation_id", "c")]);
        let root = Uuid::from_u128(7).to_string();
        let mut metadata = BTreeMap::new();
        Cause::of(&event(&[("causation_depth", "1"), ("causation_root", &root)])).write(&mut metadata);
        assert_eq!(metadata["causation_root"], root, "handed on");
    }
}
