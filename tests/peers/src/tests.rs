//! What is compared holds the same events and keeps the same conditions.

use tempfile::TempDir;
use tidemill::event::{ExpectedVersion, Filter, Position, Query, Version};
use tidemill::store::{AppendCondition, AppendRequest, StreamExpectation};
use tidemill_tests::bench::{GroupCommit, Reading, Target, Tidemill, Workload, fill, id_of};
use tokio::runtime::Runtime;

use super::{SqliteReader, SqliteSink, UmaDb};

const EVENTS: u64 = 2500;
const STREAMS: u64 = 250;

/// How many events each kind of read finds.
fn found(reading: &impl Reading) -> (Vec<usize>, Option<usize>) {
    let workload = Workload::new(STREAMS);
    let page = reading.scan(100, 1000).unwrap();
    let typed = reading.by_type(workload.event_type(2), 100, 300).unwrap();
    let stream = reading.by_stream(&workload.stream(7)).unwrap();
    let tag = reading.by_tag(&workload.tag(3)).unwrap();
    let counts = vec![page.events, page.through as usize, typed.events, typed.through as usize, stream, tag];
    (counts, reading.by_id(id_of(EVENTS - 1)).unwrap())
}

/// Whether appends were refused: those whose condition or expected version holds, and those where it does not.
fn refused(runtime: &Runtime, target: &impl Target, versions: bool) -> Vec<bool> {
    let workload = Workload::starting_at(target.head().unwrap(), STREAMS);
    let append = |after: Option<Position>, expected: Option<Version>| {
        let event = workload.event(workload.take(1).start);
        let query = Query::from(Filter { tags: event.tags.clone(), ..Filter::default() });
        let stream = event.stream.clone().unwrap();
        let mut request = AppendRequest::unconditional(vec![event]);
        request.condition = after.map(|after| AppendCondition { fail_if_match: query, after });
        let expect = |version| StreamExpectation { stream, expected: ExpectedVersion::Exact(version) };
        request.expected = expected.map(expect).into_iter().collect();
        !runtime.block_on(target.append(request)).unwrap()
    };
    let mut refused = vec![append(Some(Position(EVENTS)), None), append(Some(Position(0)), None)];
    if versions {
        refused.extend([append(None, Some(Version(10))), append(None, Some(Version(9)))]);
    }
    refused
}

#[test]
fn all_find_the_same_events_and_keep_the_same_conditions() {
    let (runtime, place) = (Runtime::new().unwrap(), TempDir::new().unwrap());
    let at = |name: &str| place.path().join(name);
    let ours = Tidemill::open(&at("ours")).unwrap();
    fill(&runtime, &ours, &Workload::new(STREAMS), EVENTS).unwrap();
    let umadb = UmaDb::create(&at("umadb"), true).unwrap();
    fill(&runtime, &umadb, &Workload::new(STREAMS), EVENTS).unwrap();
    let sqlite = GroupCommit::new(SqliteSink::open(&at("sqlite")).unwrap(), 0);
    fill(&runtime, &sqlite, &Workload::new(STREAMS), EVENTS).unwrap();

    let (expected, by_id) = found(&ours);
    assert_eq!((expected.get(..2), expected.get(4), by_id), (Some([1000, 1100].as_slice()), Some(&10), Some(1)));
    assert_eq!(found(&umadb), (expected.clone(), None));
    assert_eq!(found(&SqliteReader::open(&at("sqlite")).unwrap()), (expected, Some(1)));

    assert_eq!(refused(&runtime, &ours, true), [false, true, false, true]);
    assert_eq!(refused(&runtime, &sqlite, true), [false, true, false, true]);
    assert_eq!(refused(&runtime, &umadb, false), [false, true]);
    let heads = [ours.head(), sqlite.head(), umadb.head()].map(Result::unwrap);
    assert_eq!(heads, [EVENTS + 2, EVENTS + 2, EVENTS + 1]);
}
