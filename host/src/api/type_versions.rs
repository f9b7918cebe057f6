//! How many events of a type are stored under each schema version. Nobody keeps count of that, so the events are read, as
//! many as one answer may take; whoever wants to know of the rest asks on behind them.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::Stopwatch;
use crate::event::{EventType, Filter, NameError, Pattern, Position, Query};
use crate::store::{ReadRequest, Store, StoreError};

/// Events after which an answer ends.
const EVENTS_MAX: u64 = 100_000;
/// Time after which it does.
const TIME_MAX: Duration = Duration::from_secs(1);

/// Events by schema version.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) versions: BTreeMap<u32, u64>,
    /// Behind which position there may be more; none where there are none.
    pub(super) rest: Option<Position>,
}

/// The stored events of a type.
pub(super) fn of_type(name: &EventType) -> Result<Query, NameError> {
    Ok(Filter { types: vec![Pattern::literal(name.as_str())?], ..Filter::default() }.into())
}

/// Counts those that match above a position. Blocks.
pub(super) fn count(store: &dyn Store, query: Query, after: Position) -> Result<Counted, StoreError> {
    count_within(store, ReadRequest { query, after, ..ReadRequest::default() }, EVENTS_MAX)
}

fn count_within(store: &dyn Store, mut request: ReadRequest, events_max: u64) -> Result<Counted, StoreError> {
    let (began, mut versions) = (Stopwatch::start(), BTreeMap::new());
    let mut counted = 0;
    loop {
        let page = store.read(&request)?;
        page.events.iter().for_each(|event| *versions.entry(event.schema_version).or_default() += 1);
        counted += page.events.len() as u64;
        if page.complete {
            return Ok(Counted { versions, rest: None });
        }
        request.after = page.through;
        if counted >= events_max || began.elapsed() >= TIME_MAX {
            return Ok(Counted { versions, rest: Some(page.through) });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::ManualClock;
    use crate::event::NewEvent;
    use crate::store::AppendRequest;
    use crate::store::memory::MemoryStore;

    #[tokio::test]
    async fn every_version_is_counted_in_as_many_answers_as_it_takes() {
        let store = MemoryStore::new(Arc::new(ManualClock::at(1)));
        let event = |name: &str, schema_version| {
            let event = NewEvent::json(EventType::new(name).unwrap(), "1");
            NewEvent { schema_version, ..event }
        };
        let events = [("A", 1), ("A", 2), ("B", 7), ("A", 1), ("A", 9)].map(|(name, version)| event(name, version));
        store.append(AppendRequest::unconditional(events.into())).await.unwrap();
        let query = of_type(&EventType::new("A").unwrap()).unwrap();
        let whole = count(&store, query.clone(), Position::START).unwrap();
        assert_eq!(whole, Counted { versions: [(1, 2), (2, 1), (9, 1)].into(), rest: None });
        let (mut versions, mut after, mut answers) = (BTreeMap::new(), Some(Position::START), 0);
        while let Some(from) = after {
            let request = ReadRequest { query: query.clone(), after: from, limit: 1, ..ReadRequest::default() };
            let part = count_within(&store, request, 1).unwrap();
            part.versions.into_iter().for_each(|(version, events)| *versions.entry(version).or_default() += events);
            (after, answers) = (part.rest, answers + 1);
        }
        assert!(answers >= 4, "{answers}");
        assert_eq!(versions, whole.versions);
    }
}
