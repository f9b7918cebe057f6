//! Commands that a handler sends: staged as the events by which they are accepted.

use super::{EffectError, Effects};
use crate::delivery::Permit;
use crate::delivery::accepted::Envelope;
use crate::event::{
    Category, METADATA_ENTRIES_MAX, METADATA_VALUE_BYTES_MAX, NewEvent, Position, RESERVED_TYPE_PREFIX, StreamName,
    check_name,
};

/// Metadata entries that are added to a command and to its events.
const OWN_ENTRIES: usize = 7;

/// A command to send.
#[derive(Clone, Debug)]
pub struct Dispatch {
    /// Its identity; none for one that follows from its cause.
    pub id: Option<String>,
    /// To which kind of aggregate.
    pub aggregate: Category,
    /// To which one.
    pub key: String,
    /// What is wanted.
    pub command_type: String,
    /// Its data, content type and metadata; nothing else of it counts.
    pub event: NewEvent,
}

impl Effects {
    /// The same for a plugin that may send these commands.
    #[must_use]
    pub fn dispatching(self, dispatch: Permit) -> Self {
        Self { dispatch, ..self }
    }

    /// Stages commands caused by the event of the batch at `cause`, all or none; answers their ids.
    ///
    /// # Errors
    /// When one is malformed or not granted, `cause` is not in the batch or too far from its first cause, or the call has
    /// appended too much.
    pub fn dispatch_all(&mut self, cause: Position, commands: Vec<Dispatch>) -> Result<Vec<String>, EffectError> {
        self.all_or_none(cause, |effects| {
            commands.into_iter().map(|command| effects.dispatch(cause, command)).collect()
        })
    }

    fn dispatch(&mut self, cause: Position, command: Dispatch) -> Result<String, EffectError> {
        let Dispatch { id, aggregate, key, command_type, event } = command;
        self.check_dispatch(&aggregate, &command_type)?;
        check(&aggregate, &key, &command_type, id.as_deref(), &event)?;
        let ordinal = self.call.ordinals.get(&cause).copied().unwrap_or_default();
        let own = self.appended_id(cause, ordinal);
        let given = id.is_some();
        // Nobody else may give such an id, so nobody can be there first.
        let id = id.unwrap_or_else(|| format!("{RESERVED_TYPE_PREFIX}{}/{cause}/{ordinal}", self.owner.plugin));
        let envelope = Envelope::new(id.clone(), aggregate, key, command_type);
        let named = envelope.command_type.clone();
        let mut event = envelope.seal(event, self.ids).map_err(|bytes| {
            EffectError::Invalid(format!(
                "the command's names have {bytes} bytes as they are kept; at most {METADATA_VALUE_BYTES_MAX} are \
                 allowed: shorten its id, key or type"
            ))
        })?;
        if given {
            // Two causes may send one command; the second is not decided.
            event.id = own;
        }
        self.stage_event(cause, event, &named)?;
        Ok(id)
    }

    fn check_dispatch(&self, aggregate: &Category, command_type: &str) -> Result<(), EffectError> {
        self.check_writes("dispatch.dispatch")?;
        let named = format!("{aggregate}:{command_type}");
        if self.dispatch.allows(&named) {
            return Ok(());
        }
        Err(EffectError::Denied(format!(
            "plugin {} may not send {command_type:?} to {aggregate}; {}",
            self.owner.plugin,
            self.dispatch.to_send(&named)
        )))
    }
}

/// Checks what the bus would refuse later, when nobody hears it any more.
fn check(
    aggregate: &Category,
    key: &str,
    command_type: &str,
    id: Option<&str>,
    event: &NewEvent,
) -> Result<(), EffectError> {
    let invalid = |error: crate::event::NameError| EffectError::Invalid(error.to_string());
    check_name("aggregate id", key).map_err(invalid)?;
    check_name("command type", command_type).map_err(invalid)?;
    if let Some(id) = id {
        check_name("command id", id).map_err(invalid)?;
        if id.starts_with(RESERVED_TYPE_PREFIX) {
            return Err(EffectError::Invalid(format!(
                "command id {id:?} is the host's own, as all that begin with '{RESERVED_TYPE_PREFIX}'; give another, or none"
            )));
        }
    }
    StreamName::new(format!("{aggregate}-{key}")).map_err(invalid)?;
    if let Some(key) = event.metadata.keys().find(|key| key.starts_with(RESERVED_TYPE_PREFIX)) {
        return Err(EffectError::Invalid(format!("metadata {key:?} is the host's own; give it another key")));
    }
    let (count, max) = (event.metadata.len(), METADATA_ENTRIES_MAX - OWN_ENTRIES);
    if count > max {
        return Err(EffectError::Invalid(format!("{count} metadata entries of a command; at most {max} are allowed")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::SystemClock;
    use crate::delivery::EventBatch;
    use crate::delivery::quiet::Quiet;
    use crate::event::{EventType, Pattern, PluginName, RecordedEvent, Version};
    use crate::store::memory::MemoryStore;

    fn effects(granted: &[&str]) -> Effects {
        describing(granted, granted)
    }

    /// The same of a plugin whose component names what it sends.
    fn describing(named: &[&str], granted: &[&str]) -> Effects {
        let store = Arc::new(MemoryStore::new(Arc::new(SystemClock)));
        let patterns = |texts: &[&str]| texts.iter().map(|text| Pattern::new(*text).unwrap()).collect();
        let effects = Effects::new(PluginName::new("p").unwrap(), store, Permit::default());
        let mut effects = effects.dispatching(Permit { allowed: patterns(named), granted: patterns(granted) });
        let event = NewEvent::json(EventType::new("T").unwrap(), "1");
        effects.begin_call(EventBatch::new(vec![RecordedEvent::record(event, Position(5), Version(0), 1)]));
        effects
    }

    fn open(id: Option<&str>, aggregate: &str) -> Dispatch {
        Dispatch {
            id: id.map(str::to_owned),
            aggregate: Category::new(aggregate).unwrap(),
            key: "7".into(),
            command_type: "Open".into(),
            event: NewEvent::json(EventType::new("x").unwrap(), "{}"),
        }
    }

    #[test]
    fn a_command_is_staged_as_what_accepts_it_under_an_id_that_its_cause_gives() {
        let mut first = effects(&["account:*"]);
        let ids = first.dispatch_all(Position(5), vec![open(None, "account"), open(Some("mine"), "account")]).unwrap();
        assert_eq!(ids, ["$p/5/0", "mine"]);
        let (_, staged) = first.take();
        let read =
            |event: &NewEvent| Envelope::of(&RecordedEvent::record(event.clone(), Position(6), Version(1), 1)).unwrap();
        assert_eq!(staged.iter().map(|event| read(event).id).collect::<Vec<_>>(), ids);
        assert_eq!(staged[0].metadata["causation_depth"], "1");
        let mut again = effects(&["*"]);
        again.dispatch_all(Position(5), vec![open(None, "account"), open(Some("mine"), "account")]).unwrap();
        let same: Vec<_> = again.take().1.into_iter().map(|event| event.id).collect();
        assert_eq!(same, staged.iter().map(|event| event.id).collect::<Vec<_>>(), "no attempt stores one twice");
    }

    #[test]
    fn what_is_not_granted_or_malformed_stages_nothing() {
        let mut effects = effects(&["account:Open"]);
        let denied = effects.dispatch_all(Position(5), vec![open(None, "account"), open(None, "order")]).unwrap_err();
        let told = denied.to_string();
        assert!(matches!(denied, EffectError::Denied(_)), "{told}");
        let cure = "in [grants]: dispatch = ['account:Open', 'order:Open'] (and name it in `describe`";
        assert!(told.contains(cure), "{told}");
        for bad in [
            Dispatch { key: String::new(), ..open(None, "account") },
            open(Some(""), "account"),
            open(Some("$p/5/0"), "account"),
            Dispatch { event: NewEvent::json(EventType::new("x").unwrap(), "{"), ..open(None, "account") },
        ] {
            assert!(matches!(effects.dispatch_all(Position(5), vec![bad]), Err(EffectError::Invalid(_))));
        }
        assert!(effects.dispatch_all(Position(4), vec![open(None, "account")]).is_err(), "no event of the batch");
        assert_eq!(effects.event_count(), 0);
        effects.hush(Quiet::Everything);
        assert_eq!(effects.dispatch_all(Position(5), vec![open(None, "account")]).unwrap(), ["$p/5/0"]);
        assert_eq!(effects.event_count(), 0, "nothing is sent while a state is built anew");
    }

    #[test]
    fn what_the_manifest_grants_already_is_to_be_named_by_the_component_alone() {
        let mut effects = describing(&["account:Close"], &["account:Close", "account:Open"]);
        let told = effects.dispatch_all(Position(5), vec![open(None, "account")]).unwrap_err().to_string();
        assert!(told.contains("its manifest grants that: name \"account:Open\" in its `describe`"), "{told}");
        assert!(!told.contains("[grants]"), "{told}");
        let told = effects.dispatch_all(Position(5), vec![open(None, "order")]).unwrap_err().to_string();
        let cure = "dispatch = ['account:Close', 'account:Open', 'order:Open'] (and name it in `describe`";
        assert!(told.contains(cure), "{told}");
    }
}
