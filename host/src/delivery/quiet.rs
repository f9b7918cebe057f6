//! Which events have had their effect on the log already: handled again, they emit nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::past::Abandoned;
use crate::event::{Position, RecordedEvent};

/// Events whose emissions are checked like any other, and then dropped.
#[derive(Clone, Debug, Default)]
pub(super) enum Quiet {
    /// None.
    #[default]
    Nothing,
    /// All.
    Everything,
    /// These.
    Those(Arc<BTreeSet<Position>>),
}

impl Quiet {
    /// Everything, or nothing.
    pub(super) const fn all(quiet: bool) -> Self {
        if quiet { Self::Everything } else { Self::Nothing }
    }

    /// Those of some events, as they are stored, that other generations had handled, given the latest first, each with what
    /// it had set aside that emitted nothing yet: the first one that tells of an event says what became of it.
    pub(super) fn after(left: &[(&Abandoned, BTreeSet<Position>)], events: &[RecordedEvent]) -> Self {
        let is_quiet = |event: &&RecordedEvent| {
            let told = left.iter().find(|(abandoned, _)| abandoned.tells_of(event));
            told.is_some_and(|(_, loud)| !loud.contains(&event.position))
        };
        let quiet: BTreeSet<_> = events.iter().filter(is_quiet).map(|event| event.position).collect();
        if quiet.is_empty() { Self::Nothing } else { Self::Those(quiet.into()) }
    }

    /// Whether an event emits nothing.
    pub(super) fn covers(&self, event: &RecordedEvent) -> bool {
        match self {
            Self::Nothing => false,
            Self::Everything => true,
            Self::Those(quiet) => quiet.contains(&event.position),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::layout::{Layout, Settled};
    use crate::event::{EventType, Filter, NewEvent, Pattern, Version};

    fn event(event_type: &str, position: u64) -> RecordedEvent {
        let event = NewEvent::json(EventType::new(event_type).unwrap(), "1");
        RecordedEvent::record(event, Position(position), Version(0), 1)
    }

    /// A generation that was handed these types, or any, and had set some events aside.
    fn past(types: &[&str], checkpoint: u64, loud: &[u64]) -> (Abandoned, BTreeSet<Position>) {
        let types: Vec<_> = types.iter().map(|name| Pattern::new(*name).unwrap()).collect();
        let filter = (!types.is_empty()).then(|| Filter { types, ..Filter::default() });
        let settled = vec![Settled { layout: Layout::single(), checkpoints: vec![Position(checkpoint)] }];
        (Abandoned { generation: 0, settled, filter, taken_over: None }, loud.iter().copied().map(Position).collect())
    }

    fn quiet(pasts: &[(Abandoned, BTreeSet<Position>)]) -> Vec<u64> {
        let pasts: Vec<_> = pasts.iter().map(|(abandoned, loud)| (abandoned, loud.clone())).collect();
        let events = [event("A", 140), event("B", 150), event("A", 160), event("A", 190)];
        let quiet = Quiet::after(&pasts, &events);
        events.iter().filter(|event| quiet.covers(event)).map(|event| event.position.0).collect()
    }

    #[test]
    fn a_generation_tells_nothing_of_events_that_it_was_never_handed() {
        assert_eq!(quiet(&[past(&["A"], 180, &[])]), [140, 160]);
        assert_eq!(quiet(&[past(&["A"], 180, &[160])]), [140]);
        assert_eq!(quiet(&[past(&[], 180, &[])]), [140, 150, 160], "of a filter that is not known it is safer so");
        assert!(quiet(&[]).is_empty());
    }

    #[test]
    fn of_what_a_generation_had_come_past_when_it_became_live_it_tells_whatever_it_was_handed() {
        let became_live_at = |checkpoints: Option<u64>| {
            let (past, loud) = past(&["C"], 180, &[140]);
            let at = |checkpoint| Settled { layout: Layout::single(), checkpoints: vec![Position(checkpoint)] };
            [(Abandoned { generation: 1, taken_over: checkpoints.map(at), ..past }, loud)]
        };
        assert_eq!(quiet(&became_live_at(Some(150))), [150], "what it has set aside still emits");
        assert!(quiet(&became_live_at(Some(149))).is_empty());
        assert_eq!(quiet(&became_live_at(None)), [150, 160], "of what is not known it is safer so");
    }

    #[test]
    fn of_what_the_last_was_never_handed_one_before_tells() {
        let before = |loud: &[u64]| past(&["A", "B"], 200, loud);
        assert_eq!(quiet(&[past(&["A"], 180, &[]), before(&[150])]), [140, 160, 190]);
        assert_eq!(quiet(&[past(&["A"], 180, &[]), before(&[])]), [140, 150, 160, 190]);
        assert_eq!(quiet(&[past(&["A"], 180, &[140]), before(&[])]), [150, 160, 190]);
    }
}
