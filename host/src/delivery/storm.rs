//! How many events a plugin appends because of one first cause: what multiplies ends here.
//!
//! The depth of a chain bounds how long it gets, not how wide: a plugin that appends two of what it listens to, or two
//! plugins that answer the same, double it at each step. So each plugin's events are counted by their first cause, and
//! the plugin halts before a unit of work that would bring more than it may. Its handler is not told, so what it does
//! follows from the events alone, and does the same when it is replayed.
//!
//! Counted are the first causes of late, since the partitions started or were resumed: what is forgotten begins anew.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use crate::document::line_in;
use crate::event::{NewEvent, metadata_key};

/// First causes that are told apart before those not met of late are forgotten.
const CAUSES_MAX: usize = 4096;

/// What a plugin has appended, by its first cause. All partitions share it.
#[derive(Debug)]
pub(super) struct Storms {
    max: u64,
    counts: Mutex<Counts>,
}

/// Events that are counted, and have to be given back where they are not appended after all.
#[derive(Debug)]
pub(super) struct Admitted(BTreeMap<Uuid, u64>);

#[derive(Debug, Default)]
struct Counts {
    recent: HashMap<Uuid, u64>,
    /// Those before, while `recent` fills up.
    older: HashMap<Uuid, u64>,
}

impl Storms {
    /// At most `max` events may follow from one first cause.
    pub(super) fn new(max: u64) -> Self {
        Self { max, counts: Mutex::default() }
    }

    /// Counts what is about to be appended.
    ///
    /// # Errors
    /// When that is more than may follow from its first cause: why, and the way out. Nothing is counted then.
    pub(super) fn admit(&self, events: &[NewEvent]) -> Result<Admitted, String> {
        let mut wanted = BTreeMap::new();
        for root in events.iter().filter_map(root) {
            *wanted.entry(root).or_default() += 1;
        }
        let mut counts = self.lock();
        if let Some((cause, _)) = wanted.iter().find(|(cause, count)| counts.of(cause) + **count > self.max) {
            return Err(self.reason(cause, events));
        }
        for (cause, count) in &wanted {
            let counted = counts.of(cause) + count;
            counts.set(*cause, counted);
        }
        Ok(Admitted(wanted))
    }

    /// Takes back what was counted and not appended.
    pub(super) fn give_back(&self, Admitted(counted): Admitted) {
        let mut counts = self.lock();
        for (cause, count) in counted {
            let left = counts.of(&cause).saturating_sub(count);
            counts.set(cause, left);
        }
    }

    /// As much may follow again.
    pub(super) fn forget(&self) {
        *self.lock() = Counts::default();
    }

    fn reason(&self, cause: &Uuid, events: &[NewEvent]) -> String {
        let max = self.max;
        let event = events.iter().find(|event| root(event).as_ref() == Some(cause));
        let named = event.map_or("an event", |event| event.event_type.as_str());
        let correlation_id = event.and_then(|event| event.metadata.get(metadata_key::CORRELATION_ID));
        format!(
            "appending {named:?} would make more than {max} events of this plugin that follow from one first cause, event \
             {cause} (correlation id {}). If it does not feed itself, or others that feed it, raise it in its manifest, \
             {}; resumed, as many may follow again",
            correlation_id.map_or("", String::as_str),
            line_in("limits", "causation_events", max.saturating_mul(2))
        )
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn of(&self, cause: &Uuid) -> u64 {
        self.recent.get(cause).or_else(|| self.older.get(cause)).copied().unwrap_or_default()
    }

    fn set(&mut self, cause: Uuid, count: u64) {
        if self.recent.len() >= CAUSES_MAX && !self.recent.contains_key(&cause) {
            self.older = std::mem::take(&mut self.recent);
        }
        self.recent.insert(cause, count);
    }
}

/// The first cause of an event, as the host wrote it.
fn root(event: &NewEvent) -> Option<Uuid> {
    event.metadata.get(metadata_key::CAUSATION_ROOT)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventType;

    fn events(cause: u128, count: usize) -> Vec<NewEvent> {
        let mut event = NewEvent::json(EventType::new("Ping").unwrap(), "1");
        event.metadata.insert(metadata_key::CAUSATION_ROOT.into(), Uuid::from_u128(cause).to_string());
        event.metadata.insert(metadata_key::CORRELATION_ID.into(), "c-1".into());
        vec![event; count]
    }

    #[test]
    fn each_first_cause_has_the_whole_limit_and_what_was_not_appended_counts_for_nothing() {
        let storms = Storms::new(10);
        storms.admit(&events(1, 6)).unwrap();
        let admitted = storms.admit(&events(1, 4)).unwrap();
        storms.admit(&events(2, 10)).unwrap();
        let mixed: Vec<_> = events(3, 1).into_iter().chain(events(1, 1)).collect();
        let reason = storms.admit(&mixed).unwrap_err();
        assert!(reason.contains(&Uuid::from_u128(1).to_string()) && reason.contains("c-1"), "{reason}");
        assert!(reason.contains("\"Ping\"") && reason.contains("in [limits]: causation_events = 20"), "{reason}");
        storms.give_back(admitted);
        storms.admit(&events(1, 4)).unwrap();
        assert!(storms.admit(&events(1, 1)).is_err());
        storms.admit(&events(3, 10)).expect("nothing was counted of what was refused");
        storms.forget();
        storms.admit(&events(1, 10)).unwrap();
    }

    #[test]
    fn what_is_met_again_and_again_is_not_forgotten_among_many_others() {
        let storms = Storms::new(3);
        for round in 0..3 {
            storms.admit(&events(1, 1)).unwrap();
            for other in 0..CAUSES_MAX as u128 - 1 {
                storms.admit(&events(10 + round * CAUSES_MAX as u128 + other, 1)).unwrap();
            }
        }
        assert!(storms.admit(&events(1, 1)).is_err());
        let counts = storms.lock();
        assert!(counts.recent.len() + counts.older.len() <= 2 * CAUSES_MAX);
    }
}
