//! What other generations had settled, or the same one under layouts before: handled again, it emits nothing.
//!
//! Say that the live generation has settled 20 in the first of two partitions and 100 in the second, and 80 under a layout of
//! one partition before. It halts; another one is built beside it, becomes live, comes to 90 and 120, and a rollback leaves it:
//!
//! | events of the two | the one that was built | the first one, live again |
//! |---|---|---|
//! | 1–20, 1–100 | quiet; what is set aside is taken over | has settled them; what is set aside is quiet if the other handled it |
//! | 21–80 of the first | the first is `abandoned`, with `before`: quiet but what that set aside | passes over them; as above |
//! | 81–90, 101–120 | emits | the other is `abandoned`: quiet but what that set aside |
//! | later ones | does not come there | emits |
//!
//! A generation tells nothing of events that it was never handed, but of all that it had come past when it became live: what
//! was set aside of those it took over, and of the others the one before had settled them. Of several the one that was left
//! last and tells of an event says what became of it.

use serde::{Deserialize, Serialize};

use super::layout::Settled;
use super::record::Record;
use crate::event::{Filter, PluginName, Position, RecordedEvent};
use crate::store::Owner;

/// A generation that was left, with what it had settled. Its set-aside events are in its rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Abandoned {
    pub(super) generation: u32,
    pub(super) settled: Vec<Settled>,
    /// Which stored events it was handed: it tells nothing of others. None where it may have been any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) filter: Option<Filter>,
    /// How far it had come when it became live: up to there it tells of all. None where it was not built beside another
    /// one, or where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) taken_over: Option<Settled>,
}

impl Abandoned {
    /// Whose rows say what it has set aside.
    pub(super) fn owner(&self, plugin: &PluginName) -> Owner {
        Owner { plugin: plugin.clone(), generation: self.generation }
    }

    /// Nothing beyond this is settled by it.
    pub(super) fn reach(&self) -> Position {
        self.settled.iter().map(Settled::reach).max().unwrap_or_default()
    }

    /// Whether it had come past an event that it was handed, or that it had not come to by itself.
    pub(super) fn tells_of(&self, event: &RecordedEvent) -> bool {
        let was_handed = self.filter.as_ref().is_none_or(|filter| filter.matches(event));
        (was_handed || self.took_over(event)) && self.settled.iter().any(|settled| settled.covers(event))
    }

    /// Whether it had come past an event when it became live. Where that is not known it may have been any.
    fn took_over(&self, event: &RecordedEvent) -> bool {
        match &self.taken_over {
            Some(taken_over) => taken_over.covers(event),
            None => !is_first(self.generation),
        }
    }

    /// Nothing beyond this did it take over; none where that is not known.
    fn took_over_through(&self) -> Option<Position> {
        match &self.taken_over {
            Some(taken_over) => Some(taken_over.reach()),
            None => is_first(self.generation).then_some(Position::START),
        }
    }
}

/// Whether there was no generation before one.
pub(super) const fn is_first(generation: u32) -> bool {
    generation == 0
}

impl Record {
    /// The live generation as one that is left, with what it had settled.
    pub(super) fn left(&self, settled: Vec<Settled>) -> Abandoned {
        let (filter, taken_over) = (self.filter.clone(), self.taken_over.clone());
        Abandoned { generation: self.generation, settled, filter, taken_over }
    }

    /// The same, without generations that were left once nothing of what they had settled is beyond a position. What they
    /// told one that may be returned to, of events that this one was not handed, this one tells it: that all are settled.
    pub(super) fn come_past(&self, position: Position) -> Self {
        let back_to = self.previous.as_ref().map(|previous| previous.generation);
        let back_to = back_to.filter(|generation| *generation != self.generation);
        let (abandoned, passed): (Vec<_>, Vec<_>) =
            self.abandoned.iter().cloned().partition(|abandoned| abandoned.reach() > position);
        let mut told = passed.iter().filter(|passed| back_to.is_some_and(|generation| generation != passed.generation));
        let took_over = self.taken_over.as_ref().map_or(Position::START, Settled::lowest);
        let filter = self.filter.clone().filter(|own| {
            told.all(|told| {
                told.filter.as_ref().is_some_and(|told| own.covers(told))
                    && told.took_over_through().is_some_and(|through| through <= took_over)
            })
        });
        Self { abandoned, filter, ..self.clone() }
    }

    /// What is settled beyond a position that another generation has come to which becomes live instead of the live one:
    /// what that one had settled under layouts before, and what it knew of others.
    pub(super) fn settled_beyond(&self, position: Position) -> Vec<Abandoned> {
        let own = self.left(self.before.iter().filter(|settled| settled.reach() > position).cloned().collect());
        let all = [&own].into_iter().chain(&self.abandoned);
        all.filter(|abandoned| abandoned.reach() > position).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::layout::Layout;
    use crate::delivery::record::{Previous, noted};
    use crate::event::Pattern;

    #[test]
    fn what_generations_told_that_are_forgotten_the_live_one_tells_one_that_may_be_returned_to() {
        let types = |types: &[&str]| {
            let types = types.iter().map(|name| Pattern::new(*name).unwrap()).collect();
            noted(&Filter { types, ..Filter::default() })
        };
        let settled = vec![Settled { layout: Layout::single(), checkpoints: vec![Position(200)] }];
        let up_to = |checkpoint| Some(Settled { layout: Layout::single(), checkpoints: vec![Position(checkpoint)] });
        let took_over = |filter, checkpoint| {
            let (settled, taken_over) = (settled.clone(), up_to(checkpoint));
            vec![Abandoned { generation: 1, settled, filter, taken_over }]
        };
        let left = |types| took_over(types, 100);
        let to = |generation| Some(Previous { generation, ..Record::default().live() });
        let (filter, taken_over) = (types(&["A"]), up_to(100));
        let live = Record { generation: 2, filter, taken_over, previous: to(0), ..Record::default() };
        let wider = Record { abandoned: left(types(&["A", "B"])), ..live.clone() };
        assert_eq!(wider.come_past(Position(199)), wider);
        assert_eq!(wider.come_past(Position(200)), Record { filter: None, ..live.clone() });
        assert_eq!(Record { abandoned: left(None), ..live.clone() }.come_past(Position(200)).filter, None);
        // Nobody needs to be told of those that it was handed itself, or had settled itself, or where nobody returns.
        let same = Record { abandoned: left(types(&["A"])), ..live.clone() };
        assert_eq!(same.come_past(Position(200)), live);
        let more = Record { abandoned: took_over(types(&["A"]), 101), ..live.clone() };
        assert_eq!(more.come_past(Position(200)).filter, None, "of all that it took over it told");
        for previous in [to(1), to(2), None] {
            assert_eq!(Record { previous, ..wider.clone() }.come_past(Position(200)).filter, types(&["A"]));
        }
    }

    #[test]
    fn what_is_settled_beyond_is_what_matters_of_layouts_before_and_of_others() {
        let to = |checkpoint| Settled { layout: Layout::single(), checkpoints: vec![Position(checkpoint)] };
        let left = |generation, checkpoint| {
            let settled = vec![to(checkpoint)];
            Abandoned { generation, settled, filter: None, taken_over: None }
        };
        let abandoned = vec![left(1, 5), left(0, 40)];
        let record = Record { generation: 2, before: vec![to(9), to(20)], abandoned, ..Record::default() };
        assert_eq!(record.settled_beyond(Position(10)), [left(2, 20), left(0, 40)]);
        assert_eq!(record.settled_beyond(Position(20)), [left(0, 40)]);
        assert_eq!(record.settled_beyond(Position(40)), []);
    }
}
